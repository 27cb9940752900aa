"""Circuits of many equal parts."""

from __future__ import annotations

from bench import library

from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.resolve import load_text
from circuitdsl.twin.gradient import twin


def chain(n: int) -> Circuit:
    """Populations in a row, each learning from the one before it."""
    rows = [
        f"neuron p{k}: 4 {{ dendrite d   rate = tanh(d) }}\n"
        f"synapse W{k}: {f'p{k - 1}' if k else 'x'} -> p{k}.d {{ dw = eta * post * pre }}"
        for k in range(n)
    ]
    return grown(rows, f"p{n - 1}")


def beside(n: int) -> Circuit:
    """Populations that all learn from the input and project to one dendrite."""
    rows = [
        f"neuron p{k}: 4 {{ dendrite d   rate = tanh(d) }}\n"
        f"synapse W{k}: x -> p{k}.d {{ dw = eta * post * pre }}\n"
        f"synapse V{k}: p{k} -> out.d {{ init = normal(0, 0.1)   dw = eta * post * pre }}"
        for k in range(n)
    ]
    return grown(["neuron out: 4 { dendrite d   rate = tanh(d) }", *rows], "out")


def one_loop(n: int) -> Circuit:
    """Populations whose equations share one loop over units."""
    rows = [f"neuron p{k}: 4 {{ rate = tanh(x + {f'p{k - 1}' if k else 'x'}) }}" for k in range(n)]
    out = f"neuron out: 4 {{ dendrite d   rate = d }}\nsynapse W: p{n - 1} -> out.d {{ dw = eta * post * pre }}"
    return grown([*rows, out], "out")


def grown(rows: list[str], last: str) -> Circuit:
    items = "\n".join(rows)
    circuit = load_text(
        f"circuit grown {{\nparam eta = 0.01\ninput x: 4\ntarget y: 4\n{items}\nloss = mse({last}, y)\n}}"
    ).circuit
    assert circuit is not None
    return circuit


def layers(n: int) -> Circuit:
    """Layers of four synapses each, in alternation of two kinds of phases."""
    return library("heterosynaptic/self_assembly.circ", depth=n)


def synapses(n: int) -> Circuit:
    """Synapses on one dendrite."""
    rows = [f"synapse W{k}: x -> out.d {{ dw = eta * post * pre }}" for k in range(n)]
    return grown(["neuron out: 4 { dendrite d   rate = tanh(d) }", *rows], "out")


def errors_from_many(n: int) -> Circuit:
    """The gradient of a population that projects to many: transposed currents from all of them."""
    rows = [
        f"neuron p{k}: 4 {{ dendrite d   rate = tanh(d) }}\n"
        f"synapse W{k}: h -> p{k}.d {{ init = normal(0, 0.3) }}\n"
        f"synapse V{k}: p{k} -> out.d {{ init = normal(0, 0.3) }}"
        for k in range(n)
    ]
    h = "neuron h: 4 { dendrite d   rate = tanh(d) }\nsynapse U: x -> h.d { dw = eta * post * pre }"
    return twin(grown(["neuron out: 4 { dendrite d   rate = tanh(d) }", h, *rows], "out"))


KINDS = (chain, beside, one_loop, layers, synapses, errors_from_many)
