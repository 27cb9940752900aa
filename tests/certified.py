"""Small circuits to be certified, with data on which they learn within seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitdsl.certify.certificate import Certificate
from circuitdsl.certify.certify import certify
from circuitdsl.certify.checkpoint import Sample, checkpoint
from circuitdsl.certify.drive import rule_of
from circuitdsl.certify.measure import Reading, look
from circuitdsl.certify.pairing import Pair, pair
from circuitdsl.certify.passes import Still
from circuitdsl.derive.tell.derivation import derive
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_text
from circuitdsl.runtime.data import load_data
from circuitdsl.twin.gradient import learning_synapses

Array = NDArray[np.floating[Any]]

EXAMPLES, INPUTS, CLASSES = 120, 8, 4


def clusters() -> tuple[Array, Array]:
    """Four noisy clusters in eight dimensions."""
    rng = np.random.default_rng(3)
    labels = np.arange(EXAMPLES) % CLASSES
    centres = rng.standard_normal((CLASSES, INPUTS))
    return centres[labels] + 0.8 * rng.standard_normal((EXAMPLES, INPUTS)), labels


DATA = clusters()

LAYERS = """
circuit c {{
  param eta = 0.1   param gamma = {gamma}
  input x: 8   target y: 4
  neuron h: 12 {{ dendrite basal, apical   {more} rate = {rate} }}
  neuron out: 4 {{ dendrite basal   rate = softmax(basal) }}
  neuron err: 4 {{ rate = y - out }}
  synapse W: x -> h.basal {{ {w} }}
  synapse U: h -> out.basal {{ {u} }}
  synapse b: bias -> out.basal {{ init = zeros   dw = eta * err * pre }}
  synapse V: err -> h.apical {{ {v} }}
  loss = cross_entropy(out, y)
  {rest}
}}
"""

FEEDBACK = "dw = eta * post.apical * step(post.basal) * pre - eta * gamma * w"


def layers(
    w: str = FEEDBACK, u: str = "dw = eta * err * pre - eta * gamma * w", v: str = "", *, rate: str = "relu(basal)",
    gamma: float = 0.0, more: str = "", rest: str = "",
) -> Circuit:  # fmt: skip
    return circuit(LAYERS.format(w=w, u=u, v=v, rate=rate, gamma=gamma, more=more, rest=rest))


def circuit(text: str) -> Circuit:
    found = load_text(text).circuit
    assert found is not None
    return found


ALIGNMENT = layers()
TIED_FEEDBACK = "init = transpose(U)   dw = eta * post * pre"
TIED = layers(v=TIED_FEEDBACK)
KOLEN_POLLACK = layers(v="dw = eta * post * pre - eta * gamma * w", gamma=0.5)
HEBB = layers(w="dw = 0.01 * post * pre", v="")
MASKED = layers(w=f"connect = fan_in(3)   {FEEDBACK}")
TRACES = layers(
    w="state e = 0 fresh   de = post.basal * pre - 0.5 * e   dw = m * e",
    u="drive g = err * pre   dw = eta * g",
    rest="modulator m = loss   schedule { phase a: 3   update = example }",
)
NOISY = layers(
    w="dw = train * m * post.xi * pre",
    more="let xi = train * 0.1 * randn()",
    rate="relu(basal + xi)",
    rest="modulator m = loss",
)
CLAMPED = circuit("""
circuit c {
  input x: 8   target y: 4
  neuron out: 4 { dendrite basal   rate = where(train, y, tanh(basal)) }
  synapse W: x -> out.basal { dw = 0.01 * post * pre - 0.01 * w }
  loss = mse(out, y)
}
""")
DIRECT = circuit("""
circuit c {
  input x: 8   target y: 4
  neuron out: 4 { dendrite basal   let off = y - tanh(basal)   rate = tanh(basal) }
  synapse W: x -> out.basal { dw = 0.1 * (post.off + y) * pre }
  loss = mse(out, y)
}
""")
FILTERED = layers(
    w="state e = 0 fresh   de = pre - 0.5 * e   dw = post.apical * (1 - post^2) * e * w",
    more="state v = 0   dv = 0.3 * (basal - v)",
    rate="tanh(v)",
    rest="schedule { phase early: 4   phase later: 3 }",
)
CIRCUITS = {
    "filtered": FILTERED,
    "alignment": ALIGNMENT, "tied": TIED, "hebb": HEBB, "masked": MASKED, "traces": TRACES, "noisy": NOISY,
    "clamped": CLAMPED, "direct": DIRECT,
}  # fmt: skip


class Bench:
    """A circuit in its initial state, with its sample."""

    def __init__(self, of: Circuit):
        self.circuit = of
        self.numbers = numbers_of(of, {})
        self.data = load_data(DATA, (), of, dtype="float64")
        self.state: State = initial_state(of, self.numbers, 1, dtype="float64")
        self.sample = self.data.train[:40]
        self.still = Still(of)

    def passes(self) -> Any:
        return self.still.look(self.state, self.data.arrays, self.sample, self.numbers, seed=1, epoch=0)

    def pair(self, synapse: str) -> Pair:
        return pair(rule_of(self.circuit.synapses[synapse]), self.passes(), self.still, self.state)

    def look(self) -> dict[str, Reading]:
        rules = [rule_of(self.circuit.synapses[name]) for name in learning_synapses(self.circuit)]
        sample = Sample(data=self.data.arrays, examples=self.sample, numbers=self.numbers)
        where = (self.still, derive(self.circuit), sample, self.state)
        return look(rules, checkpoint(*where, start=self.state.weights, batch=8, seed=1, epoch=0))


def certified(of: Circuit, **settings: Any) -> Certificate:
    given: dict[str, Any] = {"seeds": 2, "epochs": 30, "batch": 8, "engine": "reference", "examples": 64, "moments": 6}
    return certify(of, data=DATA, **{**given, **settings})
