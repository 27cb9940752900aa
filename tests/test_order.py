"""The order of items means nothing: no draw, no sum and no line of the code that runs depends on it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np
import pytest
from bench import Bench
from generate import random_circuit

from circuitdsl import noise
from circuitdsl.diagnostics import Source
from circuitdsl.emit.cpu import TARGET
from circuitdsl.graph import ir
from circuitdsl.graph.machine import State
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.loop_ir import Aim
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_evaluation, lower_training
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.records import plan
from circuitdsl.runtime.state import circuit_hash
from circuitdsl.syntax import ast
from circuitdsl.syntax.parse import parse
from circuitdsl.twin.gradient import twin

#: Every place in which a circuit can draw, and sums of several currents into one dendrite.
EVERYWHERE = """circuit c {
  input x: 3
  target y: 2
  rule jitter(a) = a + 0.1 * randn() * rand()
  motif noisy(below) {
    neuron h: 4 { dendrite d, e   let a = 0.1 * randn()   state v = normal(0, 1)   dv = 0.1 * (jitter(d) - v)
                  state k = 0 keep   dk = 0.01 * randn()   rate = tanh(d + v + a + k + 0.2 * rand()) }
    synapse W: below -> h.d { connect = sparse(0.8)   dw = 0.1 * randn() * pre * post.e + 0.01 * post.a }
    synapse V: below -> h.d { connect = fan_in(2)   state m = normal(0, 1)   dm = 0.1 * (randn() * pre - m)
                              drive g = pre * post * rand()   dw = 0.1 * g - 0.01 * m }
    synapse U: below -> h.d { state z = 0 fresh   dz = rand() * pre   dw = 0.01 * z * post }
  }
  use noisy as L(below = x)
  use noisy as M(below = x)
  neuron out: 2 { dendrite d   rate = softmax(d + c2 * randn()) }
  neuron err: 2 { rate = y - out }
  synapse A: L.h -> out.d { dw = 0.1 * c1 * err * pre }
  synapse B: M.h -> out.d { dw = 0.1 * err * pre }
  synapse C: bias -> out.d { dw = 0.1 * err }
  synapse F: err -> L.h.e { }
  synapse G: err -> M.h.e { }
  modulator r = mean(out) * rand() { state base = 0 keep   dbase = 0.1 * (r + randn() - base) }
  modulator s = sum(err) + randn()
  param c1 per A = normal(0, 1)
  param c2 per out = uniform(0, 1)
  schedule { phase run: 2 }
  loss = cross_entropy(out, y) + 0.1 * rand()
  record mean(out + randn()), r, norm(A)
  record sum(square(L.h)) * rand()
  task t { data = xor   epochs = 1   batch = 2   metric = accuracy(out, y) + rand() }
}"""

NOISY = [s for s in range(60) if "rand" in random_circuit(Random(s))]


def text_of(seed: int) -> str:
    return random_circuit(Random(seed))


def load(text: str) -> ir.Circuit:
    circuit = load_text(text, "c").circuit
    assert circuit is not None
    return circuit


def shuffled(text: str, rng: Random, *, members: bool = False) -> str:
    """The text with the items of the circuit and of its motifs in another order; with `members` also what stands
    within neurons and synapses."""
    circuit = next(i for i in parse(Source("c", text)).items if isinstance(i, ast.Circuit))
    return text[: circuit.span.start] + _moved(text, circuit, rng, members=members) + text[circuit.span.end :]


def _moved(text: str, item, rng: Random, *, members: bool) -> str:
    """The text of an item, with what stands in it in another order."""
    inner = _inside(item, members=members)
    if not inner:
        return item.span.text
    written = [_moved(text, each, rng, members=members) for each in inner]
    rng.shuffle(written)
    return text[item.span.start : inner[0].span.start] + "\n".join(written) + text[inner[-1].span.end : item.span.end]


def _inside(item, *, members: bool) -> Sequence:
    match item:
        case ast.Circuit() | ast.Motif():
            return item.items
        case ast.Neuron() | ast.Synapse() if members:
            return item.members
        case _:
            return ()


def orders(text: str, count: int, *, members: bool = False) -> Iterator[str]:
    """The same circuit in other orders."""
    for seed in range(count):
        yield shuffled(text, Random(seed), members=members)


def bits(state: State) -> dict[str, bytes]:
    """Every number of a state."""
    found = {f"weight {k}": v for k, v in state.weights.items()}
    found |= {f"mask {k}": v for k in state.projections if (v := state.mask(k)) is not None}
    found |= {f"state {k}": v for k, v in state.synapse_states.items()}
    found |= {f"kept {k}": v for k, v in state.kept.items()}
    found |= {f"reset {k}": v for k, v in state.resets.items()}
    found |= {f"coefficient {k}": v for k, v in state.coefficients.items()}
    return {name: array.tobytes() for name, array in found.items()}


def lived(circuit: ir.Circuit) -> dict[str, bytes]:
    """What a circuit starts from, every value while it learns, what it has learnt and how it is judged."""
    bench = Bench(circuit, examples=5, dtype="float32")
    found = {f"start {k}": v for k, v in bits(bench.state).items()}
    found |= {f"trace {k}": v.tobytes() for k, v in bench.trace().items()}
    bench.train([3, 0, 1, 4, 2], batch=2, seed=3, epoch=1)
    found |= {f"end {k}": v for k, v in bits(bench.state).items()}
    judged = bench.evaluate()
    return found | {"judged": np.array([*judged.probes, judged.loss or 0.0]).tobytes()}


def programs(circuit: ir.Circuit) -> list[str]:
    """The code that runs, of all kinds."""
    probes = plan(circuit, next((t.metric for t in circuit.tasks.values()), None)).probes
    made = [lower_training(circuit, online=online) for online in (True, False)]
    made += [lower_evaluation(circuit, probes, watched=watched) for watched in (True, False)]
    texts = [TARGET.print_program(passed(p), "float32", comments=False) for p in made]
    return [*texts, TARGET.print_program(passed(made[0], Aim(copies=4)), "float32", comments=False)]


# ---------------------------------------------------------------- draws have names


def test_an_occurrence_is_a_name_and_a_number() -> None:
    """These values are published with every noisy run: a change needs a reason."""
    assert noise.occurrence("h", 0) == OCCURRENCE
    names = [
        noise.occurrence(name, draw) for name in ("h", "h.a", "d h.a", "L[1].h", "L[11].h") for draw in range(4000)
    ]
    assert len(set(names)) == len(names)
    assert all(0 <= k < 2**63 for k in names)
    assert len({k & 0xFFFFFFFF for k in names}) == pytest.approx(len(names), abs=2)


OCCURRENCE = 6642100882773594709


def test_both_words_of_an_occurrence_count() -> None:
    def drawn(seed: int, occurrence: int) -> int:
        return noise.uniform53(seed, occurrence, 0, 0, 0, 0)

    k = noise.occurrence("h", 0)
    assert len({drawn(1, k), drawn(1, k ^ 1), drawn(1, k ^ 1 << 40), drawn(1, k ^ 1 << 62), drawn(2, k)}) == 5


def occurrences(circuit: ir.Circuit) -> dict[tuple[int, int], int]:
    """Every draw of a circuit, by its equation and where it is written."""
    exprs = [e for v in circuit.values.values() for e in (v.expr, v.update)]
    exprs += [e for s in circuit.synapses.values() for e in (s.dw, *(d.expr for d in s.drives))]
    exprs += [v.update for s in circuit.synapses.values() for v in s.states]
    exprs += [t.metric for t in circuit.tasks.values()]
    exprs += [r.what for r in circuit.records if isinstance(r.what, ir.Apply | ir.Reduce)]
    return {
        (i, part.span.start): part.occurrence
        for i, e in enumerate(exprs)
        if e is not None
        for part in ir.walk(e)
        if isinstance(part, ir.Random)
    }


def test_no_two_written_draws_are_one() -> None:
    circuit = load(EVERYWHERE)
    found = occurrences(circuit)
    assert len(found) == 2 * 9 + 8
    assert len(set(found.values())) == len(found)


def test_two_neurons_of_equal_text_draw_differently() -> None:
    text = "circuit c { neuron a: 4 { rate = randn() - randn() }  neuron b: 4 { rate = randn() - randn() } }"
    trace = Bench(text).trace()
    assert not np.any(trace["a"] == trace["b"])
    assert not np.any(trace["a"] == 0)


def test_a_name_is_what_keys_a_draw() -> None:
    """Another name is another draw, another place is not."""
    text = "circuit c { neuron a: 4 { rate = randn() } %s }"
    plain = Bench(text % "").trace()["a"]
    for more in ("neuron b: 4 { rate = randn() }", "modulator m = rand() * mean(a)", "record mean(a) * rand()"):
        assert np.array_equal(Bench(text % more).trace()["a"], plain)
        before = f"circuit c {{ {more} neuron a: 4 {{ let u = rand()   rate = randn() }} }}"
        assert np.array_equal(Bench(before).trace()["a"], plain)
    other = Bench(re.sub(r"\ba\b", "b", text % "")).trace()["b"]
    assert not np.any(other == plain)


def test_a_noisy_item_elsewhere_moves_nothing() -> None:
    """Neither before nor after, nor its initial weights, masks and states."""
    more = """neuron noise: 5 { dendrite d   state v = normal(0, 1)   dv = randn() - v   rate = d + v + rand() }
      synapse N: x -> noise { connect = sparse(0.5)   dw = randn() * pre * post }
      modulator n = mean(noise) * randn()"""
    end = EVERYWHERE.rindex("}")
    alone = lived(load(EVERYWHERE))
    for text in (EVERYWHERE.replace("  input x", f"  {more}\n  input x"), EVERYWHERE[:end] + more + EVERYWHERE[end:]):
        assert alone.items() <= lived(load(text)).items()


# ---------------------------------------------------------------- a run


def test_the_order_of_items_changes_no_bit_of_a_noisy_run() -> None:
    first = lived(load(EVERYWHERE))
    for text in orders(EVERYWHERE, 4, members=True):
        assert text != EVERYWHERE
        assert lived(load(text)) == first


@pytest.mark.parametrize("seed", NOISY[:20])
def test_the_order_of_items_changes_no_bit_of_a_run(seed: int) -> None:
    first = lived(load(text_of(seed)))
    for text in orders(text_of(seed), 2):
        assert lived(load(text)) == first


def test_a_twin_learns_the_same_in_every_order() -> None:
    found = [lived(twin(load(text))) for text in (EVERYWHERE, *orders(EVERYWHERE, 2))]
    assert found[1:] == found[:-1]


# ---------------------------------------------------------------- the code


def test_the_order_of_items_changes_no_line_of_code() -> None:
    first = load(EVERYWHERE)
    for text in orders(EVERYWHERE, 3, members=True):
        other = load(text)
        assert programs(other) == programs(first)
        assert programs(twin(other)) == programs(twin(first))
        assert circuit_hash(other) == circuit_hash(first)


@pytest.mark.parametrize("seed", range(16))
def test_the_order_of_items_changes_no_line_of_generated_circuits(seed: int) -> None:
    first = programs(load(text_of(seed)))
    for text in orders(text_of(seed), 2):
        assert programs(load(text)) == first


def test_compiled_code_gives_the_same_bits_in_every_order() -> None:
    found = []
    for text in (EVERYWHERE, *orders(EVERYWHERE, 1)):
        bench = Bench(load(text), examples=6, dtype="float32")
        engine = Compiled(bench.circuit, bench.engine.probes, "float32")
        engine.train(bench.state, bench.data, bench.order, bench.numbers, seed=1, epoch=0, batch=2)
        judged = engine.evaluate(bench.state, bench.data, bench.order, bench.numbers, seed=1, epoch=1)
        found.append((bits(bench.state), judged.loss, judged.probes))
    assert found[1:] == found[:-1]
