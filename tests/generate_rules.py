"""Random learning circuits: motifs of feedback with things done to them that may or may not matter.

Every choice is one that a user might make: depth, activation, decays, signs, masks, bounds, gains, further feedback
paths, missing lateral synapses, skip connections, losses, ways to write a slope. `measure` says where the circuit's own
plasticity goes, with nothing but the reference interpreter.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.read.drives import Drive
from circuitdsl.derive.read.environment import Environment
from circuitdsl.derive.read.numeric import instantiate
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.reference import Reference
from circuitdsl.twin.gradient import adjoint_name, adjoints

Array = Any

#: rate, and ways to write its slope in a rule of the neuron (`{p}` is the neuron, `post` or a name).
ACTIVATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "relu": ("relu(basal)", ("step({p}.basal)", "({p}.basal > 0)", "step({p})")),
    "tanh": ("tanh(basal)", ("(1 - {p}^2)", "(1 - {p}) * (1 + {p})", "(1 - square(tanh({p}.basal)))")),
    "sigmoid": ("sigmoid(basal)", ("{p} * (1 - {p})", "({p} - {p}^2)")),
    "linear": ("basal", ("1",)),
    "leaky": (
        "max(basal, 0.2 * basal)",
        ("where({p}.basal > 0, 1, 0.2)", "(0.2 + 0.8 * step({p}.basal))", "(step({p}.basal) + 0.2 * ({p}.basal <= 0))"),
    ),
    "softplus": ("softplus(basal)", ("sigmoid({p}.basal)",)),
}


@dataclass
class Made:
    """A circuit as text, with what was done to it."""

    text: str
    choices: list[str]


class Generator:
    """One random circuit."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.items: list[str] = []
        self.choices: list[str] = []

    def chance(self, probability: float, choice: str) -> bool:
        happens = self.random.random() < probability
        if happens:
            self.choices.append(choice)
        return happens

    def make(self) -> Made:
        r = self.random
        self.depth = r.choice([1, 1, 2, 2, 3])
        self.kind = r.choice(["kp", "kp", "kp", "sal", "sal", "fixed", "direct"])
        self.activation = r.choice(["relu", "relu", "tanh", "sigmoid", "linear", "leaky", "softplus"])
        self.sizes = [6, *(r.choice([5, 7]) for _ in range(self.depth)), 3]
        self.choices += [f"depth {self.depth}", self.kind, self.activation]
        self.decay = r.choice([0.02, 0.03])
        self.output()
        for layer in range(self.depth, 0, -1):
            (self.sal_layer if self.kind == "sal" else self.layer)(layer)
        self.loss()
        text = "circuit c {\n  param eta = 0.3\n  input x: 6   target y: 3\n  " + "\n  ".join(self.items) + "\n}"
        return Made(text, self.choices)

    # ------------------------------------------------------------ output

    def output(self) -> None:
        top = self.rate(self.depth)
        self.softmax = not self.chance(0.25, "mse")
        rate = "softmax(basal)" if self.softmax else self.random.choice(["basal", "sigmoid(basal)"])
        self.items.append(f"neuron out: 3 {{ dendrite basal   rate = {rate} }}")
        slope = " * out * (1 - out)" if "sigmoid" in rate and self.chance(0.6, "output slope") else ""
        scale = "0.5 * " if self.chance(0.2, "scaled error") else ""
        self.items.append(f"neuron err: 3 {{ rate = {scale}(y - out){slope} }}")
        sign = "-" if self.chance(0.1, "flipped output") else ""
        self.synapse("Wo", top, "out.basal", f"{sign}err")
        if self.chance(0.3, "output bias"):
            self.synapse("bo", "bias", "out.basal", f"{sign}err")

    def loss(self) -> None:
        self.items.append(f"loss = {'cross_entropy' if self.softmax else 'mse'}(out, y)")

    def rate(self, layer: int) -> str:
        return "x" if layer == 0 else f"h{layer}"

    # ------------------------------------------------------------ layers

    def slope(self, neuron: str) -> str:
        """The slope of the activation as a rule or a partner writes it; wrong now and then."""
        if self.chance(0.12, "no slope"):
            return ""
        written = self.random.choice(ACTIVATIONS[self.activation][1]).format(p=neuron)
        return "" if written == "1" else f" * {written}"

    def neuron(self, layer: int) -> None:
        rate = ACTIVATIONS[self.activation][0]
        self.items.append(f"neuron h{layer}: {self.sizes[layer]} {{ dendrite basal, apical   rate = {rate} }}")

    def layer(self, layer: int) -> None:
        """A layer with a descending population; its feedback learns, or is fixed, or comes from the error."""
        self.neuron(layer)
        size = self.sizes[layer]
        gain = f"g{layer} * " if self.chance(0.12, f"gain in the path of {layer}") else ""
        if gain:
            self.items.append(f"param g{layer} per d{layer} = uniform(0.5, 2)")
        self.items.append(f"neuron d{layer}: {size} {{ rate = {gain}h{layer}.apical{self.slope(f'h{layer}')} }}")
        above = "err" if layer == self.depth or self.kind == "direct" else f"d{layer + 1}"
        credit = f"d{layer}" if self.chance(0.5, "rule by partner") else f"post.apical{self.slope('post')}"
        self.synapse(f"W{layer}", self.rate(layer - 1), f"h{layer}.basal", credit)
        self.feedback(layer, above)
        if layer < self.depth and self.chance(0.2, f"skip over {layer + 1}"):
            self.skip(layer)
        if self.chance(0.1, f"further feedback to {layer}"):
            self.items.append(f"synapse X{layer}: err -> h{layer}.apical {{ }}")

    def feedback(self, layer: int, above: str) -> None:
        if self.kind in ("fixed", "direct"):
            self.items.append(f"synapse V{layer}: {above} -> h{layer}.apical {{ }}")
            return
        sign = "-" if self.chance(0.12, f"flipped feedback {layer}") else ""
        forward = "Wo" if layer == self.depth else f"W{layer + 1}"
        self.synapse(f"V{layer}", above, f"h{layer}.apical", f"{sign}post", mirror=forward)

    def skip(self, layer: int) -> None:
        """A synapse over the layer above, with feedback of its own, or without."""
        target = "out.basal" if layer + 2 > self.depth else f"h{layer + 2}.basal"
        credit, above = ("err", "err") if layer + 2 > self.depth else (f"d{layer + 2}", f"d{layer + 2}")
        self.synapse(f"S{layer}", f"h{layer}", target, credit)
        if self.chance(0.6, "feedback of the skip"):
            self.synapse(f"T{layer}", above, f"h{layer}.apical", "post", mirror=f"S{layer}")

    def sal_layer(self, layer: int) -> None:
        """The four-synapse pair."""
        self.neuron(layer)
        size = self.sizes[layer]
        slope = self.slope(f"h{layer}")
        self.items.append(
            f"neuron d{layer}: {size} {{ dendrite basal, lateral   rate = basal{slope}   let told = lateral{slope} }}"
        )
        above = "err" if layer == self.depth else f"d{layer + 1}"
        self.synapse(f"W{layer}", self.rate(layer - 1), f"h{layer}.basal", f"post.apical{self.slope('post')}", bound=1)
        self.synapse(f"B{layer}", f"d{layer}", f"h{layer}.apical", "post", bound=1, mirror=f"F{layer}")
        if self.chance(0.1, f"no lateral {layer}"):
            self.items.append(f"synapse V{layer}: {above} -> d{layer}.basal {{ }}")
            self.items.append(f"synapse F{layer}: h{layer} -> d{layer}.lateral {{ }}")
            return
        self.synapse(f"V{layer}", above, f"d{layer}.basal", "post.told", bound=1)
        self.synapse(f"F{layer}", f"h{layer}", f"d{layer}.lateral", "post", bound=1)

    # ------------------------------------------------------------ synapses

    def synapse(
        self, name: str, source: str, target: str, signal: str, *, bound: float | None = None, mirror: str | None = None
    ) -> None:
        decay: float = self.decay
        body: list[str] = []
        if mirror is not None:
            if self.chance(0.1, f"{name} decays faster"):
                decay *= 2
            elif self.chance(0.06, f"{name} does not decay"):
                decay = 0
            if self.chance(0.1, f"{name} starts tied"):
                body.append(f"init = transpose({mirror})")
        if self.chance(0.04, f"{name} masked"):
            body.append("connect = sparse(0.6)")
        if bound is not None or self.chance(0.1, f"{name} bounded"):
            body.append(f"bounds = [-{bound or 1}, {bound or 1}]")
        elif self.chance(0.03, f"{name} excitatory"):
            body.append("sign = excitatory")
        rate = "eta" if not self.chance(0.06, f"{name} slower") else "0.5 * eta"
        pull = f" - eta * {decay} * w" if decay else ""
        body.append(f"dw = {rate} * ({signal}) * pre{pull}")
        self.items.append(f"synapse {name}: {source} -> {target} {{ {'   '.join(body)} }}")


# ---------------------------------------------------------------- measuring

EXAMPLES = 40
ORDER = np.arange(EXAMPLES)
BATCH = 10


@dataclass
class Measurement:
    """Where the drive of one synapse goes: its cosine with the steepest descent, phi, and the same cosine with the
    targets of other examples (its rates and weights as they are)."""

    cos: float
    phi: float
    residual: float


def teacher(seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((EXAMPLES, 6))
    hidden = np.tanh(x @ rng.standard_normal((6, 8)))
    return {"x": x, "y": np.eye(3)[(hidden @ rng.standard_normal((8, 3))).argmax(axis=1)]}


def train(circuit: Circuit, data: dict[str, Array], updates: int, seed: int = 1) -> State:
    numbers = numbers_of(circuit, {})
    state = initial_state(circuit, numbers, seed, dtype="float64")
    engine = Reference(circuit, [], "float64")
    rng = np.random.default_rng(seed)
    for epoch in range(updates * BATCH // EXAMPLES):
        engine.train(state, data, rng.permutation(ORDER), numbers, seed=seed, epoch=epoch, batch=BATCH)
    return state


def measure(derivation: Derivation, data: dict[str, Array], state: State) -> dict[str, Measurement]:
    """Every learning synapse at one state."""
    circuit = derivation.circuit
    numbers = numbers_of(circuit, {})
    where = (state, data, ORDER, numbers)
    steps = Reference(circuit, [], "float64").increments(*where, seed=1, epoch=0)
    twin = Reference(adjoints(circuit), [], "float64")
    gradient = twin.gradient(*where, seed=1, epoch=0)
    values = {n: a[0] for n, a in twin.trace(*where, seed=1, epoch=0, training=True).items()}
    env = Environment(derivation.symbols, values, {**state.weights, **state.coefficients})
    found = {}
    for name, finding in derivation.findings.items():
        if finding.role != "learning" or not isinstance(finding.drive, Drive):
            continue
        drive = steps[name]
        if finding.drive.decay is not None:
            drive = drive + derivation.symbols.constants.value(finding.drive.decay) * state.weights[name]
        delta = -values[adjoint_name(circuit.synapses[name].dendrite)]
        credit = np.broadcast_to(instantiate(finding.drive.credit, env), delta.shape)
        found[name] = Measurement(
            cos=cosine(drive, -gradient[name]), phi=float((credit * delta).sum() / (delta**2).sum()),
            residual=residual(derivation, finding.grounds.all_relations() if finding.grounds else (), state),
        )  # fmt: skip
    return found


def cosine(a: Array, b: Array) -> float:
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum()) / norms if norms > 1e-300 else 0.0


def residual(derivation: Derivation, relations: tuple[Relation, ...], state: State) -> float:
    """The largest |left - right| / |left| of relations that do not hold on average only."""
    constants = derivation.symbols.constants
    env = Environment(derivation.symbols, {}, {**state.weights, **state.coefficients})
    worst = 0.0
    for relation in relations:
        if relation.holds in ("tied", "exact") or not relation.mean_field:
            left = instantiate(relation.left, env)
            right = constants.value(relation.factor) * instantiate(relation.right, env)
            worst = max(worst, float(np.linalg.norm(left - right) / (np.linalg.norm(left) + 1e-300)))
    return worst
