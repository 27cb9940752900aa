"""The circuits that `bench.py` measures, and the data that they are given.

`layers`: layers that learn by Kolen-Pollack, forward `W`, feedback `V`: h = relu(W h), e = y - softmax,
g = relu' * (V g), dW = eta g h^T - eta gamma W, and V likewise. `four`: the four synapses of self-assembly without
bounds. `eprop`: the recurrent circuit of the library. `few`: one layer of weights of which one in twenty is there.
`wide`: one layer of many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from circuitdsl.diagnostics import Source
from circuitdsl.graph.aligned import copied
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.ir import Circuit, Kind
from circuitdsl.graph.machine import State
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_source, load_text
from circuitdsl.shipped import library_path

Array = NDArray[Any]
Model = Literal["layers", "four", "eprop", "few", "wide", "own"]

ETA, GAMMA = 0.01, 0.01
#: The share of inputs that are zero, as in images on a black ground.
ZERO = 0.5


@dataclass(frozen=True, kw_only=True)
class Case:
    """`examples` are presented in a round, in batches of `batch`, to each of `copies`. `of`: the tuned circuit of the
    same size that one of model "own" is held against, in the same rounds."""

    name: str
    says: str
    model: Model
    text: str
    sizes: tuple[int, ...]
    batch: int = 1
    copies: int = 1
    examples: int
    of: Case | None = None

    @property
    def steps(self) -> int:
        """Steps of learning in a round."""
        return -(-self.examples // self.batch)

    @cached_property
    def circuit(self) -> Circuit:
        if self.model == "eprop":
            path = library_path() / "models" / "eprop.circ"
            found = load_source(Source(path.name, path.read_text(encoding="utf-8")), path.parent).circuit
        else:
            found = load_text(self.text, self.name).circuit
        assert found is not None
        return found

    @cached_property
    def numbers(self) -> dict[str, float]:
        return dict(numbers_of(self.circuit, {}))

    @cached_property
    def data(self) -> dict[str, Array]:
        """Inputs are normal, half of them zero; targets are classes, or normal where there is no softmax."""
        rng = np.random.default_rng(0)
        found = {}
        for value in self.circuit.values.values():
            if value.kind is Kind.INPUT:
                x = rng.standard_normal((self.examples, value.size), dtype=np.float32)
                found[value.name] = x * (rng.random(x.shape) >= ZERO)
                if self.model == "eprop":
                    found[value.name] = np.abs(found[value.name])
            elif value.kind is Kind.TARGET and self.model in ("few", "wide"):
                found[value.name] = rng.standard_normal((self.examples, value.size), dtype=np.float32)
            elif value.kind is Kind.TARGET:
                found[value.name] = np.eye(value.size, dtype=np.float32)[rng.integers(0, value.size, self.examples)]
        return {name: copied(array.astype(np.float32)) for name, array in found.items()}  # as a run has them

    def state(self, seed: int = 0) -> State:
        return initial_state(self.circuit, self.numbers, seed, dtype="float32")

    def states(self) -> list[State]:
        """Where each copy starts."""
        return [self.state(seed) for seed in range(self.copies)]

    @property
    def weights(self) -> int:
        """How many weights a step changes."""
        held = self.state().weights.values()
        return self.copies * sum(w.size for w in held)


# ---------------------------------------------------------------- texts


def layers(sizes: Sequence[int]) -> str:
    depth = len(sizes) - 1
    lines = [f"  param eta = {ETA}   param gamma = {GAMMA}", f"  input x: {sizes[0]}   target y: {sizes[-1]}"]
    names = ["x", *(f"h{k}" for k in range(1, depth)), "out"]
    drives = [*(f"g{k}" for k in range(1, depth)), "err"]
    for k in range(1, depth):
        lines.append(f"  neuron h{k}: {sizes[k]} {{ dendrite basal   rate = relu(basal) }}")
        lines.append(f"  neuron g{k}: {sizes[k]} {{ dendrite basal   rate = step(h{k}) * basal }}")
    lines.append(f"  neuron out: {sizes[-1]} {{ dendrite basal   rate = softmax(basal) }}")
    lines.append(f"  neuron err: {sizes[-1]} {{ rate = y - out }}")
    for k in range(depth):
        rule = f"dw = eta * {drives[k]} * pre - eta * gamma * w"
        lines.append(f"  synapse W{k}: {names[k]} -> {names[k + 1]}.basal {{ {rule} }}")
    for k in range(1, depth):
        rule = f"dw = eta * h{k} * pre - eta * gamma * w"
        lines.append(f"  synapse V{k}: {drives[k]} -> g{k}.basal {{ {rule} }}")
    return "\n".join(["circuit layers {", *lines, "  loss = cross_entropy(out, y)", "}"])


def four(sizes: Sequence[int]) -> str:
    first, hidden, last = sizes[0], sizes[1], sizes[-1]
    return f"""circuit four {{
  param eta = {ETA}   param gamma = {GAMMA}
  input x: {first}   target y: {last}
  neuron a1: {hidden} {{ dendrite basal, apical   rate = relu(basal) }}
  neuron d1: {hidden} {{ dendrite basal, lateral   rate = basal * step(a1.basal) }}
  neuron a2: {hidden} {{ dendrite basal, apical   rate = relu(basal) }}
  neuron d2: {hidden} {{ dendrite basal, lateral   rate = basal * step(a2.basal) }}
  neuron out: {last} {{ dendrite basal   rate = softmax(basal) }}
  neuron err: {last} {{ rate = y - out }}
  synapse W1: x -> a1.basal {{ dw = eta * post.apical * step(post.basal) * pre - eta * gamma * w }}
  synapse W2: a1 -> a2.basal {{ dw = eta * post.apical * step(post.basal) * pre - eta * gamma * w }}
  synapse B1: d1 -> a1.apical {{ dw = eta * post * pre - eta * gamma * w }}
  synapse B2: d2 -> a2.apical {{ dw = eta * post * pre - eta * gamma * w }}
  synapse V1: d2 -> d1.basal {{ dw = eta * post.lateral * step(a1.basal) * pre - eta * gamma * w }}
  synapse V2: err -> d2.basal {{ dw = eta * post.lateral * step(a2.basal) * pre - eta * gamma * w }}
  synapse F1: a1 -> d1.lateral {{ dw = eta * post * pre - eta * gamma * w }}
  synapse F2: a2 -> d2.lateral {{ dw = eta * post * pre - eta * gamma * w }}
  synapse Wo: a2 -> out.basal {{ dw = eta * err * pre - eta * gamma * w }}
  loss = cross_entropy(out, y)
}}"""


def one_layer(units: int, connect: str = "") -> str:
    return f"""circuit one {{
  param eta = {ETA / 10}   param gamma = {GAMMA}
  input x: {units}   target y: {units}
  neuron out: {units} {{ dendrite basal   rate = tanh(basal) }}
  neuron err: {units} {{ rate = y - out }}
  synapse W: x -> out.basal {{ {connect}dw = eta * err * pre - eta * gamma * w }}
  loss = mse(out, y)
}}"""


#: What is changed in the layers of C1 to make circuits that nobody has tuned the compiler for.
UNTUNED = (
    ("sigmoid units", (("relu(basal)", "sigmoid(basal)"), ("step(h1) * basal", "h1 * (1 - h1) * basal"))),
    ("tanh units", (("relu(basal)", "tanh(basal)"), ("step(h1) * basal", "(1 - square(h1)) * basal"))),
    ("bounded weights", (("- eta * gamma * w }", "- eta * gamma * w   bounds = [-1, 1] }"),)),
    (
        "leaky units",
        (("relu(basal)", "max(basal, 0.1 * basal)"), ("step(h1) * basal", "where(h1 > 0, 1, 0.1) * basal")),
    ),
    ("Oja's decay", (("eta * gamma * w }", "eta * gamma * square(pre) * w }"),)),
)


def cases(*, quick: bool) -> list[Case]:
    """All of them; the quick ones are few and small."""
    size = 8 if quick else 1

    def deep(name: str, sizes: tuple[int, ...], examples: int, says: str, batch: int = 1, copies: int = 1) -> Case:
        text = layers(sizes)
        return Case(
            name=name,
            says=says,
            model="layers",
            text=text,
            sizes=sizes,
            batch=batch,
            copies=copies,
            examples=max(batch, examples // size),
        )

    c1 = deep("C1", (784, 256, 10), 2000, "784-256-10, online")
    found = [
        deep("A", (8, 16, 4), 20_000, "8-16-4, online"),
        deep("B", (64, 64, 10), 10_000, "64-64-10, online"),
        c1,
        deep("C2", (784, 512, 512, 10), 200, "784-512-512-10, online"),
        deep("D", (784, 512, 512, 10), 64 * 8, "the same in batches of 64", batch=64),
        deep("E", (8, 16, 4), 500, "256 copies of A", copies=256),
    ]
    return [*found, *_others(quick=quick, size=size), *_untuned(c1)]


def _others(*, quick: bool, size: int) -> list[Case]:
    """Cases of other circuits; `size`: by how much fewer examples than in full."""
    sizes, found = (64, 48, 48, 10), list[Case]()
    found.append(
        Case(
            name="four",
            says="four synapses, 64-48-48-10, batches of 16",
            model="four",
            text=four(sizes),
            sizes=sizes,
            batch=16,
            examples=16 * 400 // size,
        )
    )
    units = 1024 if quick else 4096
    found.append(
        Case(
            name="few",
            says=f"5 % of {units} x {units}, online",
            model="few",
            text=one_layer(units, "connect = sparse(0.05)   "),
            sizes=(units, units),
            examples=40,
        )
    )
    found.append(
        Case(
            name="eprop",
            says="recurrent, 64-80-10, 30 ticks an example",
            model="eprop",
            text="",
            sizes=(64, 80, 10),
            examples=160 // size,
        )
    )
    if not quick:
        found.append(
            Case(
                name="wide",
                says="1e8 weights, online",
                model="wide",
                text=one_layer(10_000),
                sizes=(10_000, 10_000),
                examples=4,
            )
        )
    return found


def _untuned(c1: Case) -> list[Case]:
    made = []
    for says, changes in UNTUNED:
        text = c1.text
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        made.append(replace(c1, name=says, says="C1 with " + says, model="own", text=text, of=c1))
    return made
