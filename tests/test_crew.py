"""Several threads of a processor share a run of a large circuit (lower/crew.py, runtime/crew.py)."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from threading import Barrier
from time import sleep

import pytest
from agreement import TOLERANCE, worst
from bench import Bench
from safetensors.numpy import load_file
from test_engine import as_plain_python

from circuitdsl.api import load
from circuitdsl.cli.main import main
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower import crew as crews
from circuitdsl.lower.aims import aimed
from circuitdsl.lower.crew import UNITS, most_workers, suits_a_crew
from circuitdsl.lower.loop_ir import Aim
from circuitdsl.runtime.crew import AGAIN, Crew, Pace
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.lanes import aim_of_copies

#: Layers of several stretches each, whose sizes are no multiples of anything.
WIDE = """circuit wide {
  param eta = 0.01   param gamma = 0.01
  input x: 150   target y: 10
  neuron h: 333 { dendrite basal   rate = relu(basal) }
  neuron g: 333 { dendrite basal   rate = step(h) * basal }
  neuron k: 201 { dendrite basal   rate = tanh(basal) }
  neuron out: 10 { dendrite basal   rate = softmax(basal) }
  neuron err: 10 { rate = y - out }
  synapse W1: x -> h.basal { connect = sparse(0.5)   dw = eta * g * pre - eta * gamma * w }
  synapse W2: h -> k.basal { state m = 0   dm = 0.1 * (post * pre - m)   dw = eta * m }
  synapse W3: k -> out.basal { dw = eta * err * pre }
  synapse V: err -> g.basal { dw = eta * h * pre - eta * gamma * w }
  loss = cross_entropy(out, y)
}"""


def circuit(text: str = WIDE) -> Circuit:
    found = load_text(text, "wide").circuit
    assert found is not None
    return found


@pytest.fixture
def every_circuit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones, too."""
    monkeypatch.setattr(crews, "WEIGHTS", 0)


# ---------------------------------------------------------------- numbers


def test_generated_circuits_agree_by_a_crew() -> None:
    """Their emitted text as plain Python, by three threads with few units each; `make agreement` does so with 500."""
    assert as_plain_python("crew", "0", "24") == []


@pytest.mark.parametrize("batch", [1, 7])
def test_a_crew_is_the_reference(every_circuit: None, batch: int) -> None:
    shared = partial(Compiled, threads=3)
    error, place = worst(circuit(), dtype="float64", updates=6, batch=batch, scale=0.3, engine=shared)
    assert error < TOLERANCE["float64"], place


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 8])
def test_bits_do_not_depend_on_how_many_there_are(every_circuit: None, dtype: str, batch: int) -> None:
    """More than there are processors, too: who waits lets others run."""
    learnt = {}
    for threads in (1, 2, 3, 5):
        bench = Bench(circuit(), examples=40, dtype=dtype)
        engine = Compiled(bench.circuit, [], dtype, threads=threads)
        for epoch in range(3):
            engine.train(bench.state, bench.data, bench.order, bench.numbers, seed=1, epoch=epoch, batch=batch)
        found = engine.evaluate(bench.state, bench.data, bench.order, bench.numbers, seed=1, epoch=3)
        learnt[threads] = [a.tobytes() for a in bench.state.arrays()], found.loss
    assert all(found == learnt[1] for found in learnt.values())


def test_a_run_is_the_same_on_one_thread(every_circuit: None, tmp_path: Path) -> None:
    """From the command line, and interrupted by records: the numbers of a run say nothing of its threads."""
    file = tmp_path / "wide.circ"
    task = "task t { data = digits   epochs = 1   metric = accuracy(out, y) }  record loss every 100"
    file.write_text(WIDE.replace("input x: 150", "input x: 64").replace("  loss =", f"  {task}\n  loss ="))
    weights = [tmp_path / f"{threads}.safetensors" for threads in (1, 2)]
    for threads, kept in zip("12", weights, strict=True):
        with pytest.raises(SystemExit) as ended:
            main(["run", str(file), "--threads", threads, "--weights", str(kept)])
        assert ended.value.code == 0
    one, two = map(load_file, weights)
    assert {name: array.tobytes() for name, array in one.items()} == {n: a.tobytes() for n, a in two.items()}
    assert load(file).compile(threads=3).threads == 3


# ---------------------------------------------------------------- which programs


def test_what_is_small_has_no_crew() -> None:
    def layer(pre: int, post: int) -> Circuit:
        units = f"input x: {pre}   neuron y: {post} {{ dendrite a   rate = a }}"
        return circuit(f"circuit c {{ {units}   synapse W: x -> y.a {{ dw = 0.01 * post * pre }} }}")

    assert not suits_a_crew(layer(crews.WEIGHTS // 256, 255))
    assert suits_a_crew(layer(crews.WEIGHTS // 256, 256))


def test_copies_share_processors_among_themselves(every_circuit: None) -> None:
    assert aimed(Aim(), circuit(), teams=False, vectors=True).crew
    assert not aimed(aim_of_copies(circuit(), "float32"), circuit(), teams=False, vectors=True).crew
    assert not aimed(Aim(), circuit(), teams=True, vectors=False).crew


def test_stretches_are_whole_blocks_and_all_units() -> None:
    """As the emitted text tells them."""
    from circuitdsl.emit.cpu import print_program
    from circuitdsl.lower.pipeline import passed
    from circuitdsl.lower.schedule import lower_training

    program = passed(lower_training(circuit(), online=True), Aim(vectors=True, crew=True))
    text = print_program(program, "float32")
    scope: dict = {"kernel": lambda function: function}
    start = text.index("@kernel\ndef first_of")
    exec(text[start : text.index("\n\n\n", text.index("def past_of"))], scope)
    for units in (0, 1, 63, 64, 65, 200, 4096):
        for workers in (1, 2, 3, 7):
            ends = [(scope["first_of"](units, w, workers), scope["past_of"](units, w, workers)) for w in range(workers)]
            assert [i for first, past in ends for i in range(first, past)] == list(range(units))
            assert all(first % UNITS == 0 or first == units for first, _ in ends)
            assert units == 0 or ends[-1][1] > ends[-1][0]  # who has what is left of blocks


# ---------------------------------------------------------------- threads


def test_no_worker_is_called_that_has_no_units() -> None:
    assert [most_workers(units) for units in (1, 64, 65, 1000)] == [1, 1, 2, 16]


def test_all_workers_are_there_at_the_same_time() -> None:
    crew, meeting, seen = Crew(4), Barrier(4), []

    def share(worker: int) -> None:
        meeting.wait(timeout=60)
        seen.append(worker)

    crew.call(Pace(4), 1, seen.append, share)
    assert sorted(seen[1:]) == [0, 1, 2, 3]
    assert seen[0] == 4


def test_a_crew_at_work_lets_others_do_it_alone() -> None:
    crew, seen = Crew(2), []

    def within(worker: int) -> None:
        if worker == 0:
            crew.call(Pace(2), 1, seen.append, lambda w: seen.append(f"worker {w}"))

    crew.call(Pace(2), 1, lambda _: None, within)
    assert seen == [1, "worker 0"]


def test_a_key_press_waits_for_all_of_them() -> None:
    """It is raised when nobody works any more."""
    seen = []

    def share(worker: int) -> None:
        if worker == 1:
            os.kill(os.getpid(), signal.SIGINT)
        sleep(0.2)
        seen.append(worker)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background ignores
    try:
        with pytest.raises(KeyboardInterrupt):
            Crew(3).call(Pace(3), 1, lambda _: None, share)
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(seen) == [0, 1, 2]


def test_what_goes_wrong_with_a_worker_is_told() -> None:
    def share(worker: int) -> None:
        if worker == 1:
            raise ValueError("no room")

    crew = Crew(2)
    with pytest.raises(ValueError, match="no room"):
        crew.call(Pace(2), 1, lambda _: None, share)
    crew.call(Pace(2), 1, lambda _: None, lambda _: None)  # and is free again


def test_the_faster_number_of_workers_is_kept_and_the_other_tried_again() -> None:
    def chosen(seconds: dict[int, float], calls: int) -> list[int]:
        pace, found = Pace(4), []
        for _ in range(calls):
            found.append(pace.workers())
            pace.note(found[-1], seconds[found[-1]], 1)
        return found

    assert chosen({4: 1.0, 2: 2.0, 1: 3.0}, 10) == [4, 2, 1] + [4] * 7
    assert chosen({4: 3.0, 2: 2.0, 1: 1.0}, 10) == [4, 2] + [1] * 8
    assert chosen({4: 3.0, 2: 1.0, 1: 2.0}, 10) == [4, 2, 1] + [2] * 7
    long = chosen({4: 1.0, 2: 2.0, 1: 3.0}, 3 * AGAIN + 3)
    assert (long.count(2), long.count(1)) == (2, 2)
