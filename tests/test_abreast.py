"""Runs side by side on a device: each gives the bits that it gives alone, in launches that all share."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from bench import LIBRARY
from generate import random_circuit

import circuitdsl as cd
from circuitdsl.api import Request, Simulation, load
from circuitdsl.api.simulation import Outcome
from circuitdsl.cli.main import main
from circuitdsl.explore import sweep as sweeping
from circuitdsl.runtime import abreast, simulate
from circuitdsl.runtime.abreast import room_for, simulate_abreast
from circuitdsl.runtime.emulator import the_emulator
from circuitdsl.runtime.memory import HostMemory
from circuitdsl.runtime.stopping import told_by

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing holds the weights of W1")

SMALL = """circuit small {
  param eta = 0.1
  input x: 4   target y: 3
  neuron h: 5 { dendrite basal   rate = tanh(basal) }
  neuron out: 3 { dendrite basal   state v = 0 keep   dv = 0.1 * basal   rate = softmax(basal + v) }
  neuron err: 3 { rate = y - out }
  pair out ~ err
  synapse W1: x -> h.basal { init = normal(0, 0.4)   dw = eta * pre * post * (1 - w * w) }
  synapse W2: h -> out.basal { state m = 0   init = normal(0, 0.4)   dm = 0.5 * pre * err - 0.1 * m   dw = eta * m }
  loss = cross_entropy(out, y)
  record mean(abs(h)) every 7
  record W2
  task iris { data = iris   epochs = 3   seed = 3   metric = accuracy(out, y) }
}"""


@pytest.fixture
def circuit(tmp_path: Path) -> Path:
    path = tmp_path / "small.circ"
    path.write_text(SMALL)
    return path


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The copies of every launch of a circuit's kernels."""
    from circuitdsl.runtime.device import OnDevice

    counted: list[int] = []
    call = OnDevice.__call__

    def counting(self: OnDevice, frame: Any, begin: int, end: int, worker: int) -> None:
        if self.name != "finite":
            counted.append(end - begin)
        call(self, frame, begin, end, worker)

    monkeypatch.setattr(OnDevice, "__call__", counting)
    return counted


def same(one: Any, other: Any) -> None:
    """Two labelled datasets, bit for bit."""
    assert one.variables.keys() == other.variables.keys()
    for name in one.variables:
        a, b = one[name].values, other[name].values
        assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), name


def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "abreast", lambda *_: 1)
    monkeypatch.setattr(abreast, "room_for", lambda *_: 1)


@pytest.mark.parametrize("batch", [1, 16])
def test_a_sweep_has_the_bits_of_runs_alone(
    circuit: Path, batch: int, launches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def swept() -> Any:
        grid = {"eta": [0.01, 0.1, 1e30]}
        return cd.sweep(circuit, grid, seeds=2, epochs=2, batch=batch, target="cuda-emulated", jobs=1)

    together = swept()
    shared = list(launches)
    launches.clear()
    apart(monkeypatch)
    same(together, swept())
    assert max(launches) == 1
    assert together.diverged.values.tolist() == [[0, 0], [0, 0], [1, 1]]
    assert "diverged" in together.why.values[2, 0]
    assert shared.count(6) * 4 < len(launches)  # each of two diverged ones is searched for the place by itself


def test_seeds_run_side_by_side(
    circuit: Path, launches: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    simulation = load(circuit).compile("cuda-emulated")
    together = simulation.run(seeds=4, out=tmp_path / "run.nc")
    assert set(launches) == {4}
    apart(monkeypatch)
    same(together, simulation.run(seeds=4))


def test_a_state_goes_there_once_and_comes_back_once(circuit: Path) -> None:
    memory = the_emulator().store.memory
    assert isinstance(memory, HostMemory)
    circuit.write_text(SMALL.replace("  record W2\n", "").replace("  record mean(abs(h)) every 7\n", ""))
    simulation = load(circuit).compile("cuda-emulated")
    traffic = []
    for epochs in (2, 5, 8):
        before = memory.back
        simulation.run(seeds=3, epochs=epochs)
        traffic.append(memory.back - before)
    epoch = (traffic[1] - traffic[0]) // 3
    assert traffic[2] - traffic[1] == traffic[1] - traffic[0] == 3 * epoch
    numbers = 4 * 5 + 2 * 3 * 5 + 3  # of a run: W1, W2 and its state, v
    measured = 30 * 2 + 33 + numbers  # loss and metric of each example, and sums of what is finite
    assert epoch <= 4 * 3 * measured
    assert traffic[0] - 2 * epoch >= 4 * 3 * numbers


def begun(circuit: Path, seeds: int, **settings: Any) -> tuple[Simulation, list[Outcome]]:
    simulation = load(circuit).compile("cuda-emulated")
    return simulation, [simulation.prepare(Request(seed=seed, **settings)) for seed in range(seeds)]


def pairs(outcomes: list[Outcome]) -> list[tuple[simulate.Loop, simulate.Run]]:
    return [(outcome.loop, outcome.run) for outcome in outcomes]


def test_interrupted_runs_are_whole_and_go_on(circuit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told to stop in the middle of an epoch, each is put back to where the epoch began; going on gives all bits."""
    monkeypatch.setattr(simulate, "STRETCH", 1000)
    simulation, outcomes = begun(circuit, 3)
    stop = threading.Event()
    steps = 0
    train = abreast.Population.train

    def stopping(self: Any, *given: Any, **named: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == 30:
            stop.set()
        train(self, *given, **named)

    monkeypatch.setattr(abreast.Population, "train", stopping)
    with told_by(stop):
        simulate_abreast(pairs(outcomes))
    assert all(o.run.interrupted for o in outcomes)
    done = {o.run.epochs_done for o in outcomes}
    assert len(done) == 1
    assert done < {1, 2}
    saved = [simulation.dataset_of(o) for o in outcomes]
    whole = [simulation.execute(Request(seed=seed)) for seed in range(3)]
    for seed, outcome in enumerate(simulation.execute(Request(seed=s), saved=d) for s, d in enumerate(saved)):
        for a, b in zip(outcome.run.state.arrays(), whole[seed].run.state.arrays(), strict=True):
            assert np.array_equal(a, b)
        assert outcome.run.metric == whole[seed].run.metric


def test_an_interrupt_in_a_launch_is_told_to_all(circuit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, outcomes = begun(circuit, 3)
    steps = 0
    train = abreast.Population.train

    def breaking(self: Any, *given: Any, **named: Any) -> None:
        nonlocal steps
        steps += 1
        train(self, *given, **named)
        if steps == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(abreast.Population, "train", breaking)
    simulate_abreast(pairs(outcomes))
    assert all(o.run.interrupted for o in outcomes)
    alone = [o.run for o in begun(circuit, 3, epochs=0)[1]]
    for outcome, run in zip(outcomes, alone, strict=True):
        epochs = outcome.run.epochs_done
        assert len(outcome.run.metric) == epochs + 1
        if epochs == 0:
            assert all(map(np.array_equal, outcome.run.state.arrays(), run.state.arrays()))


def test_an_epoch_is_told_when_all_of_it_is_done(circuit: Path) -> None:
    """To save: nothing of the next one has happened, wherever the others are."""
    simulation, outcomes = begun(circuit, 3)
    seen: list[tuple[int, Any]] = []

    def told(ended: Any) -> None:
        for at in ended:
            seen.append((at, simulation.dataset_of(outcomes[at]).copy(deep=True)))

    simulate_abreast(pairs(outcomes), after_epoch=told)
    assert [at for at, _ in seen] == [0, 1, 2] * 3
    for at, (seed, dataset) in enumerate(seen):
        alone = simulation.execute(Request(seed=seed, epochs=at // 3 + 1))
        assert np.array_equal(dataset["W1.final"].values, simulation.dataset_of(alone)["W1.final"].values)


def lone(text: str, path: Path, target: str = "cuda-emulated", **settings: Any) -> Outcome:
    path.write_text(text)
    return load(path).compile(target).prepare(Request(**settings))


def test_where_runs_stay_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.circ"

    def small(_: HostMemory, needed: int) -> None:
        if needed > 500_000:
            raise cd.UsageError("no room")

    def room(text: str, target: str = "cuda-emulated") -> int:
        outcome = lone(text, path, target)
        return room_for(outcome.loop, outcome.run)

    assert room(SMALL) > 1000
    with monkeypatch.context() as patched:  # a small device has room for fewer
        patched.setattr(HostMemory, "check_room", small)
        assert 1 < room(SMALL) < 30
    assert room(SMALL, "cpu") == room(SMALL, "reference") == 1
    assert room(SMALL.replace("record W2", "record h")) == 1  # the rates of one run are read after its evaluation
    assert room(SMALL.replace("h: 5", "h: 5000")) == 1  # one such run has all of a GPU


def test_a_circuit_without_weights(tmp_path: Path) -> None:
    path = tmp_path / "none.circ"
    path.write_text("circuit none { input x: 4  neuron out: 4 { rate = tanh(x) }  loss = mse(out, x) }")
    found = load(path).compile("cuda-emulated").run("iris", seeds=3, epochs=2)
    assert np.isfinite(found.loss.values).all()
    assert len(np.unique(found.loss.values)) == 1


def test_points_of_other_sizes_and_epochs(circuit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SMALL.replace("param eta = 0.1", "param eta = 0.1   param n = 5   param e = 2")
    circuit.write_text(text.replace("h: 5", "h: n").replace("epochs = 3", "epochs = e"))

    def swept() -> Any:
        return cd.sweep(circuit, {"n": [3, 5], "e": [1, 3]}, seeds=2, target="cuda-emulated", jobs=1)

    together = swept()
    apart(monkeypatch)
    same(together, swept())


@pytest.mark.parametrize("seed", range(8))
def test_generated_circuits(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also such as have noise, ticks, params in what is drawn, and no loss."""
    path = tmp_path / "generated.circ"
    path.write_text(random_circuit(Random(f"abreast {seed}")))
    circuit = load(path).ir
    rng = np.random.default_rng(seed)
    sizes = {p.name: p.size for p in circuit.populations.values() if p.kind.name in ("INPUT", "TARGET")}
    data = {name: rng.normal(size=(24, size)).astype("float32") for name, size in sizes.items()}
    assert data
    simulation = load(path).compile("cuda-emulated")
    together = simulation.run(data, seeds=3, epochs=2, batch=1 + seed % 3)
    apart(monkeypatch)
    same(together, simulation.run(data, seeds=3, epochs=2, batch=1 + seed % 3))


def test_run_with_seeds_at_the_command_line(
    circuit: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    for again in (False, True):
        if again:
            apart(monkeypatch)
        with pytest.raises(SystemExit) as ended:
            main(["run", str(circuit), "--seeds", "3", "--epochs", "1", "--target", "cuda-emulated", "--json"])
        assert ended.value.code == 0
        told.append(json.loads(capsys.readouterr().out))
    for one in (*told, *told[0]["runs"], *told[1]["runs"]):
        for measured in ("seconds", "examples_per_second", "compile_seconds"):
            del one[measured]
    assert told[0] == told[1]


def test_a_library_circuit(monkeypatch: pytest.MonkeyPatch, launches: list[int]) -> None:
    path = LIBRARY / "heterosynaptic" / "kolen_pollack.circ"

    def swept() -> Any:
        return cd.sweep(path, {"eta": [0.01, 0.02]}, seeds=2, epochs=1, batch=16, target="cuda-emulated", jobs=1)

    together = swept()
    assert set(launches) == {4}
    apart(monkeypatch)
    same(together, swept())
