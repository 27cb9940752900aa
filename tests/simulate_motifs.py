"""A motif in NumPy: its data, its weights, its updates, and the true gradient by reverse accumulation.

Made from the data of motif_nets.py; nothing of the compiler is known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np
from motif_nets import ONE, Net, Synapse, names_in, python_of
from motif_reverse import FUNCTIONS, Traced, backward, linear, value

Array = Any
Weights = dict[str, Array]

EXAMPLES = 32
#: Weights beyond it have diverged.
LARGE = 1e2
#: Whether all is at rest is looked at after so many updates.
LOOK = 8


@dataclass(frozen=True)
class _Node:
    """A dendrite (`synapses` into it), or a rate or modulator (an equation)."""

    name: str
    code: CodeType | None
    synapses: tuple[Synapse, ...] = ()


@dataclass(frozen=True)
class _Product:
    """One term of a rule, ready to be evaluated."""

    post: CodeType
    pre: CodeType
    weight: CodeType | None
    coefficient: float


class Simulation:
    """One net with data and weights of its own, drawn from a seed."""

    def __init__(self, net: Net, seed: int) -> None:
        self.net = net
        self.rng = np.random.default_rng(seed)
        self.data = self._data()
        self.masks = {s.name: self._mask(s) for s in net.synapses}
        self.coefficients = {s.name: self._coefficient(s) for s in net.synapses}
        self.limits = {s.name: _limits(s) for s in net.synapses}
        self.start: Weights = {}
        for s in sorted(net.synapses, key=lambda s: s.of is not None):
            self.start[s.name] = self._kept(s.name, self._drawn(s))
        self.nodes = list(self._planned())
        self.products = {s.name: tuple(self._products(s)) for s in net.synapses}
        self.terms = [compile(python_of(term), "loss", "eval") for term in net.loss]

    # ------------------------------------------------------------ what is drawn

    def _data(self) -> dict[str, Array]:
        n, ny = self.net.size("x"), self.net.size("y")
        x = self.rng.standard_normal((EXAMPLES, n))
        shown = x @ self.rng.standard_normal((n, ny)) / np.sqrt(n) + 0.5 * np.tanh(x @ self.rng.normal(size=(n, ny)))
        match self.net.targets:
            case "classes":
                y = np.eye(ny)[shown.argmax(1)]
            case "mixtures":
                y = np.exp(shown) / np.exp(shown).sum(1, keepdims=True)
            case _:
                y = 1.5 * shown
        return {"x": x, "y": y, "bias": np.ones((EXAMPLES, 1))}

    def _shape(self, s: Synapse) -> tuple[int, int]:
        return self.net.size(s.post), self.net.size(s.pre)

    def _mask(self, s: Synapse) -> Array:
        match s.mask:
            case "one_to_one":
                return np.eye(*self._shape(s))
            case "no_self":
                return 1 - np.eye(*self._shape(s))
            case "sparse":
                return (self.rng.random(self._shape(s)) < s.density).astype(float)
            case _:
                return np.ones(self._shape(s))

    def _coefficient(self, s: Synapse) -> Array:
        return 1.0 if s.per_weight is None else self.rng.uniform(*s.per_weight, self._shape(s))

    def _drawn(self, s: Synapse) -> Array:
        match s.start:
            case "zeros":
                return np.zeros(self._shape(s))
            case "constant":
                return np.full(self._shape(s), s.scale)
            case "transpose":
                return s.scale * self.start[s.of or ""].T
            case _:
                fan_in = max(self.masks[s.name].sum() / self._shape(s)[0], 1e-9)
                return s.scale * self.rng.standard_normal(self._shape(s)) / np.sqrt(fan_in)

    def _kept(self, name: str, w: Array) -> Array:
        low, high = self.limits[name]
        w = w * self.masks[name]
        return w if low == -np.inf and high == np.inf else np.minimum(np.maximum(w, low), high) * self.masks[name]

    # ------------------------------------------------------------ the order of evaluation

    def _planned(self) -> Iterator[_Node]:
        done = {"x", "y", "bias"}
        equations = {p.name: _own(p.rate, p.name, p.dendrites) for p in self.net.populations if p.rate is not None}
        equations |= dict(self.net.modulators)

        def visit(name: str) -> Iterator[_Node]:
            if name in done:
                return
            done.add(name)
            if "." in name:
                into = tuple(s for s in self.net.synapses if f"{s.post}.{s.dendrite}" == name)
                for s in into:
                    yield from visit(s.pre)
                yield _Node(name, None, into)
                return
            expr = equations[name]
            for other in names_in(expr):
                yield from visit(other)
            yield _Node(name, compile(python_of(expr), name, "eval"))

        for p in self.net.populations:
            for dendrite in p.dendrites:
                yield from visit(f"{p.name}.{dendrite}")
            yield from visit(p.name)
        for name, _ in self.net.modulators:
            yield from visit(name)

    def _products(self, s: Synapse) -> Iterator[_Product]:
        for term in s.terms:
            post, pre = (
                python_of(re.sub(r"\bpre\b", s.pre, re.sub(r"\bpost\b", s.post, e))) for e in (term.post, term.pre)
            )
            weight = None if term.weight == ONE else compile(python_of(term.weight), "w", "eval")
            yield _Product(compile(post, s.name, "eval"), compile(pre, s.name, "eval"), weight, term.coefficient)

    # ------------------------------------------------------------ a state

    def values(self, weights: Weights, *, traced: bool = False, data: dict[str, Array] | None = None) -> dict[str, Any]:
        """Every dendrite, rate and modulator, by flat name."""
        found: dict[str, Any] = dict(data or self.data)
        modulators = dict(self.net.modulators)
        for node in self.nodes:
            flat = node.name.replace(".", "__")
            if node.code is None:
                currents = [linear(found[s.pre], weights[s.name]) for s in node.synapses]
                whole = sum(currents[1:], start=currents[0])
                found[flat] = Traced(whole, ()) if traced and not isinstance(whole, Traced) else whole
            elif node.name in modulators:
                found[flat] = eval(node.code, FUNCTIONS, {k: value(v) for k, v in found.items()})
            else:
                found[flat] = eval(node.code, FUNCTIONS, found)
        return found

    def factors(self, name: str, values: dict[str, Any], w: Array) -> list[tuple[Array, Array, Array]]:
        """The terms of a rule as (post [examples, n], pre [examples, m], per weight [n, m])."""
        found = []
        shapes = [(EXAMPLES, k) for k in w.shape]
        for p in self.products[name]:
            post = p.coefficient * eval(p.post, FUNCTIONS, values)
            pre = eval(p.pre, FUNCTIONS, values)
            gain = 1.0 if p.weight is None else eval(p.weight, FUNCTIONS, {"w": w})
            gain = gain * self.coefficients[name]
            found.append((_shaped(post, shapes[0]), _shaped(pre, shapes[1]), gain))
        return found

    def drive(self, name: str, values: dict[str, Any], w: Array) -> Array:
        """E of what the rule adds, without its decay and its rate."""
        total: Array = 0.0
        for post, pre, gain in self.factors(name, values, w):
            total = total + gain * (post.T @ pre)
        return total * (self.masks[name] / EXAMPLES)

    def step(self, weights: Weights) -> Weights:
        """One update with all examples."""
        values, found = self.values(weights), dict(weights)
        for s in self.net.synapses:
            if s.plastic:
                w = weights[s.name]
                change = self.drive(s.name, values, w) - self.decayed(s, w)
                found[s.name] = self._kept(s.name, w + self.net.eta * s.rate * self.factor(s, w) * change)
        return found

    def decayed(self, s: Synapse, w: Array) -> Array:
        """What pulls at the weights."""
        linear = s.decay * self.net.gamma * w
        return linear if s.pull is None else linear + self.net.gamma * _of_weight(s.pull, w)

    def factor(self, s: Synapse, w: Array) -> Array:
        """What multiplies the whole rule."""
        return 1.0 if s.whole is None else _of_weight(s.whole, w)

    def states(self, updates: int, still: float = 1e-7) -> Iterator[tuple[int, Weights]]:
        """The states after 0, 1, 2, 4, ... updates and the last: when all is at rest, or has diverged."""
        weights, shown = self.start, 1
        yield 0, weights
        for t in range(1, updates + 1):
            after = self.step(weights)
            before, weights, resting = weights, after, False
            if t % LOOK == 0 or t in (shown, updates):
                size = max(np.abs(w).max(initial=0) for w in after.values())
                if not np.isfinite(size) or size > LARGE:
                    return
                moved = max(np.abs(after[n] - before[n]).max(initial=0) for n in after)
                resting = moved < still * self.net.eta * self.net.gamma
            if t in (shown, updates) or resting:
                shown *= 2
                yield t, weights
            if resting:
                return

    def deltas(self, weights: Weights) -> list[dict[str, Array]]:
        """-d loss / d current of every dendrite [examples, units], for each additive term of the loss."""
        found = []
        for term in self.terms:
            values = self.values(weights, traced=True)
            loss = eval(term, FUNCTIONS, values)
            if isinstance(loss, Traced):
                backward(loss)
            at = {n.name: values[n.name.replace(".", "__")] for n in self.nodes if n.code is None}
            found.append({n: np.zeros_like(v.value) if v.grad is None else -v.grad for n, v in at.items()})
        return found

    def loss(self, weights: Weights) -> float:
        values = self.values(weights)
        return float(sum(np.mean(eval(term, FUNCTIONS, values)) for term in self.terms))


def _of_weight(expr: str, w: Array) -> Array:
    return eval(python_of(expr), FUNCTIONS, {"w": w})


def _shaped(a: Array, shape: tuple[int, int]) -> Array:
    return a if np.shape(a) == shape else np.broadcast_to(a, shape)


def _own(rate: str, population: str, dendrites: tuple[str, ...]) -> str:
    """The rate with the names of its own dendrites in full."""
    for dendrite in dendrites:
        rate = re.sub(rf"(?<![\w.]){dendrite}\b", f"{population}.{dendrite}", rate)
    return rate


def _limits(s: Synapse) -> tuple[float, float]:
    low, high = s.bounds or (-np.inf, np.inf)
    return (
        (max(low, 0.0), high)
        if s.sign == "excitatory"
        else (low, min(high, 0.0))
        if s.sign == "inhibitory"
        else (low, high)
    )
