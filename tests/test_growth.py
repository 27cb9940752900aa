"""Work grows with the circuit and not faster: every further population or synapse takes as many calls as one before.

Calls of functions are counted, not seconds: they are the same at every run.
"""

from __future__ import annotations

import cProfile
import gc
import pstats
from collections.abc import Callable, Iterable

import pytest

from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower import long, rows
from circuitdsl.lower.loop_ir import PLAIN, Aim, Program
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_all
from circuitdsl.lower.verify import verify

TEAMS = Aim(teams=True)
#: By how many items a circuit grows.
STEP = 4


def text(items: str) -> str:
    return f"""circuit grown {{
      param eta = 0.1
      input x: 4   target y: 4
      neuron out: 4 {{ dendrite d   rate = tanh(d) }}
      {items}
      loss = mse(out, y)
    }}"""


def chain(n: int) -> str:
    """Populations in a row, each learning from the one before it."""
    rows = [
        f"neuron p{k + 1:02}: 4 {{ dendrite d   rate = tanh(d) }}\n"
        f"synapse W{k + 1:02}: p{k:02} -> p{k + 1:02}.d {{ dw = eta * post * pre }}"
        for k in range(n)
    ]
    first, last = "neuron p00: 4 { rate = relu(x) }", f"synapse V: p{n:02} -> out.d {{ dw = eta * post * pre }}"
    return text("\n".join([first, *rows, last]))


def side_by_side(n: int) -> str:
    """Equal populations that share one loop."""
    rows = [f"neuron p{k + 1:02}: 4 {{ state v = 0   dv = 0.1 * (p{k:02} - v)   rate = tanh(v) }}" for k in range(n)]
    return text(
        "\n".join(["neuron p00: 4 { rate = relu(x) }", *rows, f"synapse V: p{n:02} -> out.d {{ dw = eta * pre }}"])
    )


def fan_in(n: int) -> str:
    """Synapses on one dendrite."""
    return text("\n".join(f"synapse W{k:02}: x -> out.d {{ dw = eta * post * pre }}" for k in range(n)))


def loaded(source: str) -> Circuit:
    found = load_text(source, "grown").circuit
    assert found is not None
    return found


def calls(work: Callable[..., object], *arguments: object) -> int:
    """The calls of some work alone: what other tests left to be cleared away is no part of it."""
    profile = cProfile.Profile()
    gc.collect()
    gc.disable()
    try:
        profile.runcall(work, *arguments)
    finally:
        gc.enable()
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def lowered(circuit: Circuit, aim: Aim) -> list[Program]:
    return lower_all(circuit, aim=aim)


def finished(programs: list[Program]) -> None:
    for program in programs:
        verify(passed(program))


def bends(counts: Iterable[int]) -> int:
    """How far three counts are from a straight line. One call for each pair of items would be 2 * STEP ** 2."""
    few, more, many = counts
    return abs((many - more) - (more - few))


@pytest.mark.parametrize("circuit", [chain, side_by_side, fan_in])
def test_work_grows_as_the_circuit(circuit: Callable[[int], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """However long phases become: where they are cut, work would have steps, and up to how far `rows` looks."""
    monkeypatch.setattr(long, "statements", lambda phases: 10**6)
    monkeypatch.setattr(long, "currents", lambda count: count)
    monkeypatch.setattr(rows, "FURTHEST", 3)
    texts = [circuit(n) for n in (STEP, 2 * STEP, 3 * STEP)]
    graphs = [loaded(text) for text in texts]
    assert bends(calls(loaded, text) for text in texts) < STEP
    for aim in (PLAIN, TEAMS):
        finished(lowered(graphs[0], aim))  # what is done once is done
        programs = [lowered(graph, aim) for graph in graphs]
        assert bends(calls(lowered, graph, aim) for graph in graphs) < STEP
        assert bends(calls(finished, each) for each in programs) < STEP
