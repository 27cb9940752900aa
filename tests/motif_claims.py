"""What a simulation says against what is derived of its motif.

In every state of a training the hypotheses of a claim are measured. Where all are met, what the claim concludes is
measured too, by the true gradient: never the other way round.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from motif_nets import Net, Synapse
from motif_orders import Claim, Derived, Hypothesis
from motif_reverse import FUNCTIONS
from simulate_motifs import EXAMPLES, Simulation, Weights

Array = Any

#: A hypothesis with a smaller residual is met.
MET = 0.05
#: How far a cosine may be on the wrong side, beside `SLACK` times the largest residual.
OFF, SLACK = 0.01, 3.0
#: A difference of numbers, not of what they stand for.
ROUNDING = 1e-6
#: Weights of this size, against their start, are gone.
GONE = 1e-3


@dataclass
class State:
    """One state of a training, and all that is measured in it."""

    simulation: Simulation
    update: int
    weights: Weights

    @property
    def net(self) -> Net:
        return self.simulation.net

    @cached_property
    def values(self) -> dict[str, Any]:
        return self.simulation.values(self.weights)

    @cached_property
    def by_term(self) -> list[dict[str, Array]]:
        return self.simulation.deltas(self.weights)

    def delta(self, s: Synapse) -> Array:
        return sum(d[f"{s.post}.{s.dendrite}"] for d in self.by_term)

    def drive(self, s: Synapse) -> Array:
        """What the rule adds but for what pulls at its weights."""
        return self.simulation.drive(s.name, self.values, self.weights[s.name])

    def learnt(self, s: Synapse) -> Array:
        """That, times what multiplies the whole rule."""
        return self.simulation.factor(s, self.weights[s.name]) * self.drive(s)

    def descent(self, s: Synapse, delta: Array | None = None) -> Array:
        """-grad of the loss, or of the part of it with these deltas."""
        shown = self.delta(s) if delta is None else delta
        return shown.T @ self.values[s.pre] / EXAMPLES * self.simulation.masks[s.name]

    def agreement(self, s: Synapse) -> Array:
        """<drive, -grad> of each example by itself, as a cosine."""
        delta, pre = self.delta(s), self.values[s.pre]
        mask, terms = self.simulation.masks[s.name], self.simulation.factors(s.name, self.values, self.weights[s.name])
        mask = self.simulation.factor(s, self.weights[s.name]) * mask
        drive = sum(gain * (p[:, :, None] * r[:, None, :]) for p, r, gain in terms) * mask
        down = delta[:, :, None] * pre[:, None, :] * mask
        sizes = np.sqrt((drive**2).sum((1, 2)) * (down**2).sum((1, 2)))
        return (drive * down).sum((1, 2)) / np.maximum(sizes, 1e-12)

    def credit(self, s: Synapse) -> Array | None:
        """The postsynaptic factor, where the rule is that times the presynaptic rate."""
        if any(t.pre != "pre" or t.weight != "1" for t in s.terms) or s.per_weight or s.whole:
            return None
        return sum(p for p, _, _ in self.simulation.factors(s.name, self.values, self.weights[s.name]))

    def with_permuted_errors(self, s: Synapse) -> Array:
        """The drive if each example had another one's targets, rates and weights as they are."""
        data = self.simulation.data
        rolled = {**data, "y": np.roll(data["y"], 7, axis=0)}
        values = self.simulation.values(self.weights, data=rolled)
        w = self.weights[s.name]
        return self.simulation.factor(s, w) * self.simulation.drive(s.name, values, w)


def states(simulation: Simulation, updates: int) -> list[State]:
    """The states of a training that has not diverged on the way."""
    with np.errstate(all="ignore"):
        return [State(simulation, t, w) for t, w in simulation.states(updates)]


# ---------------------------------------------------------------- hypotheses


def residual(h: Hypothesis, state: State, attractors: Sequence[dict[str, Any]]) -> float:
    """How far a hypothesis is from being met in a state: 0 where it is, infinite where it cannot be told."""
    net, sim = state.net, state.simulation
    match h.kind:
        case "AtRest":
            return _unrest(state, net.synapse(h.names[0]))
        case "Unbound":
            low, high = sim.limits[h.names[0]]
            w = state.weights[h.names[0]][sim.masks[h.names[0]] > 0]
            return 0.0 if ((w > low) & (w < high)).all() else np.inf
        case "Within":
            assert h.value is not None
            return 0.0 if np.abs(state.weights[h.names[0]]).max(initial=0) <= h.value else np.inf
        case "Attracted":
            own = [a for a in attractors if set(h.names) <= set(_letters(a))]
            return min((_distance(a, state.weights) for a in own), default=np.inf)
        case "OneHot":
            return float(np.abs(sim.data[h.names[0]].sum(1) - 1).max())
        case "Nontrivial":
            w = state.weights[h.names[0]]
            return 0.0 if _size(w) > GONE * 10 else np.inf
        case "Nonempty":
            return 0.0 if sim.masks[h.names[0]].any() else np.inf
        case "MeanField":
            return max((_dependence(state, s) for s in net.synapses if s.plastic), default=0.0)
        case "Spectral":
            assert h.value is not None
            if h.value <= 0:
                return np.inf
            found = np.linalg.svd(state.weights[h.names[0]], compute_uv=False) / np.sqrt(h.value)
            return float(np.minimum(np.abs(found), np.abs(found - 1)).max(initial=0.0))
        case "SmallSteps":
            return max(_unrest(state, s) for s in net.synapses if s.plastic)
        case "Homogeneous":
            return _bent(state, h.names[0])
        case _:
            return np.inf


def _size(w: Array) -> float:
    return float(np.sqrt((w**2).mean())) if w.size else 0.0


def _unrest(state: State, s: Synapse) -> float:
    """The mean increment against the decay, which it balances at rest; weights that are gone are at rest."""
    if not s.plastic:
        return 0.0
    w = state.weights[s.name]
    decayed = state.simulation.decayed(s, w)
    moved = _size(state.drive(s) - decayed)
    if moved == 0:
        return 0.0
    first = max(_size(state.simulation.start[s.name]), 0.1)
    scale = max(_size(decayed), GONE * (s.decay or 1.0) * state.net.gamma * first)
    return moved / scale


def _dependence(state: State, s: Synapse) -> float:
    """How far the gates of a drive are from being independent of what they gate: |E[g u v] - E[g] E[u v]|."""
    found = 0.0
    flat = {k: v for k, v in state.values.items() if not np.isscalar(v)}
    for post, pre, _ in state.simulation.factors(s.name, flat, state.weights[s.name]):
        g = (np.abs(post) > 0).astype(float)
        if g.min() == g.max():
            continue
        open_ungated = _ungated(state, s)
        if open_ungated is None:
            return np.inf
        whole = (g * open_ungated).T @ pre / EXAMPLES
        apart = g.mean(0)[:, None] * (open_ungated.T @ pre / EXAMPLES)
        found = max(found, float(np.linalg.norm(whole - apart) / max(np.linalg.norm(whole), 1e-12)))
    return found


def _ungated(state: State, s: Synapse) -> Array | None:
    """The postsynaptic factor without its gates: the dendrite that the rule reads, None if it reads none."""
    names = re.findall(r"\bpost\.(\w+)", s.terms[0].post.split(" * ")[0])
    return state.values[f"{s.post}__{names[0]}"] if names else None


def _bent(state: State, population: str) -> float:
    """How far the rates are from doubling with the currents."""
    flat = state.values
    p = state.net.population(population)
    node = next(n for n in state.simulation.nodes if n.name == population)
    assert node.code is not None
    double = {f"{population}__{d}": 2 * flat[f"{population}__{d}"] for d in p.dendrites}
    once, twice = (eval(node.code, FUNCTIONS, {**flat, **more}) for more in ({}, double))
    return float(np.abs(twice - 2 * once).max() / max(np.abs(once).max(), 1e-12))


# ---------------------------------------------------------------- attractors


def _letters(attractor: dict[str, Any]) -> list[str]:
    both = f"{attractor['left']} {attractor['right']}"
    return [n for n in re.findall(r"\w+", both) if n not in ("transpose", "diag") and not n.isdigit()]


def _product(side: str, weights: Weights) -> Array:
    """`V transpose(B)`, `F transpose(W) + 2 G`, `diag(...)` in numbers."""
    scaled = re.sub(r"(?<![\w.])(\d[\d.e+-]*)\s+(?=[A-Za-z(])", r"\1 * ", side)
    multiplied = re.sub(r"(?<=[\w)])\s+(?=[A-Za-z(])", " @ ", scaled)
    functions = {"transpose": np.transpose, "diag": lambda a: np.diag(np.diag(a)), "__builtins__": {}}
    return eval(multiplied, functions, dict(weights))


def _difference(attractor: dict[str, Any], weights: Weights) -> tuple[float, float]:
    """|left - factor right|, and the size of both."""
    left = _product(attractor["left"], weights)
    right = attractor["factor"] * _product(attractor["right"], weights)
    return float(np.linalg.norm(left - right)), float(max(np.linalg.norm(left), np.linalg.norm(right)))


def _distance(attractor: dict[str, Any], weights: Weights) -> float:
    apart, size = _difference(attractor, weights)
    return apart / size if size > GONE**2 else 0.0


# ---------------------------------------------------------------- conclusions


def objection(claim: Claim, s: Synapse, state: State, loose: float) -> str | None:
    """Why a state in which the hypotheses are met (but for `loose`) contradicts a claim."""
    drive, down = state.learnt(s), state.descent(s)
    off = ROUNDING if loose < ROUNDING**2 else OFF + SLACK * loose
    if claim.verdict == "none":
        return _sees(claim, s, state, drive)
    norms = np.linalg.norm(drive), np.linalg.norm(down)
    if norms[1] < 1e-9:  # nothing to descend
        return None
    if _is_idle(*norms):  # told of all states together
        return None
    cos = float((drive * down).sum() / (norms[0] * norms[1]))
    match claim.verdict:
        case "exact":
            return None if cos > 1 - ROUNDING else f"exact, but cos {cos:.4f}"
        case "gradient":
            return f"gradient, but cos {cos:.4f}" if cos < -off else _no_one_h(claim, s, state, loose)
        case "descent":
            return None if cos > -off else f"descent, but cos {cos:.4f}"
        case "ascent" | "inconsistent":
            return None if cos < off else f"{claim.verdict}, but cos {cos:.4f}"
        case "aligned":
            least = float(state.agreement(s).min())
            return None if least > -off else f"aligned, but in one example cos {least:.4f}"
        case _:
            return f"an unknown verdict {claim.verdict}"


def _is_idle(drive: float, down: float) -> bool:
    """A drive of 0 where there is something to descend."""
    return down >= 1e-9 and drive < 1e-9 * max(down, 1)


def _sees(claim: Claim, s: Synapse, state: State, drive: Array) -> str | None:
    """Why a rule that is said to be no learning is one: it changes with the errors, or follows a part of the loss."""
    first = State(state.simulation, 0, state.simulation.start).learnt(s)
    size = np.linalg.norm(drive)
    if size <= GONE * max(np.linalg.norm(first), 1e-2) or size < 1e-9:
        return None
    for part, deltas in enumerate(state.by_term[1:], 1):
        down = state.descent(s, deltas[f"{s.post}.{s.dendrite}"])
        both = size * np.linalg.norm(down)
        if both > 1e-9 and float((drive * down).sum()) / both > 1 - ROUNDING:
            return f"none, but it is the gradient of {state.net.loss[part]}"
    changed = np.linalg.norm(state.with_permuted_errors(s) - drive) / size
    return None if changed < ROUNDING else f"none, but other errors change it by {changed:.2g}"


def _no_one_h(claim: Claim, s: Synapse, state: State, loose: float) -> str | None:
    """Why no one positive matrix leads from delta to the credit in all examples."""
    credit = state.credit(s)
    if credit is None or any(h.kind == "MeanField" for h in claim.assumes) or loose > 0.01:
        return None
    delta = state.delta(s)
    u, size, vt = np.linalg.svd(delta, full_matrices=False)
    kept = size > 1e-6 * size[0]
    h = (vt[kept].T / size[kept]) @ (u[:, kept].T @ credit)  # credit = delta h: h is H transposed
    lost = np.linalg.norm(credit - delta @ h) / max(np.linalg.norm(credit), 1e-12)
    if lost > 0.05 + 10 * loose:
        return f"gradient, but no one H: {lost:.2g} of the credit is left"
    inside = size[kept, None] * (vt[kept] @ h @ vt[kept].T) * size[kept]  # S H S, S S = E[delta delta^T]
    least = float(np.linalg.eigvalsh((inside + inside.T) / 2)[0])
    big = float(np.linalg.norm(inside))
    if least < -(OFF + SLACK * loose) * big:
        return f"gradient, but H has an eigenvalue {least:.2g} of {big:.2g}"
    return None


# ---------------------------------------------------------------- a whole motif


@dataclass
class Judgement:
    """What came of the claims on one motif. `met`, `unmet` count claims by verdict; `short` the hypotheses missed."""

    met: Counter[str] = field(default_factory=Counter)
    unmet: Counter[str] = field(default_factory=Counter)
    short: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether there were verdicts, and all hypotheses of all of them were met in some state."""
        met, unmet = (any(not k.startswith("attractor") for k in c) for c in (self.met, self.unmet))
        return met and not unmet


def judge_motif(derived: Derived, simulation: Simulation, updates: int) -> Judgement:
    found = Judgement()
    run = states(simulation, updates)
    with np.errstate(all="ignore"):
        for name, claim in derived.claims.items():
            if claim.verdict is not None:
                _judge_claim(found, derived, simulation.net.synapse(name), claim, run)
        for attractor in derived.attractors:
            _judge_attractor(found, derived, attractor, run)
    return found


def _judge_claim(found: Judgement, derived: Derived, s: Synapse, claim: Claim, run: Sequence[State]) -> None:
    label = f"{claim.verdict}, {claim.evidence}"
    missing: Counter[str] | None = None
    held = 0
    objections: list[str] = []
    factors: list[float] = []
    idle: list[bool] = []
    for state in run:
        if not np.isfinite(state.drive(s)).all() or not np.isfinite(state.descent(s)).all():
            continue
        residuals = {h: residual(h, state, derived.attractors) for h in claim.assumes}
        worst = max(residuals.values(), default=0.0)
        if worst > MET:
            missing = Counter(h.kind for h, r in residuals.items() if r > MET)
            continue
        held += 1
        why = objection(claim, s, state, worst)
        if why is not None:
            objections.append(f"{s.name} {why}, after {state.update} updates (largest residual {worst:.2g})")
        down = float(np.linalg.norm(state.descent(s)))
        idle += [_is_idle(float(np.linalg.norm(state.drive(s))), down)] if down >= 1e-9 else []
        if claim.verdict == "exact":
            factors += _factor(s, state)
    if claim.verdict != "none" and idle and all(idle):
        objections.append(f"{s.name} {claim.verdict}, but the drive is 0 in all {len(idle)} states")
    if not objections and len(factors) > 1 and max(factors) > min(factors) * (1 + 1e-4):
        objections.append(f"{s.name} exact, but the factor goes from {min(factors):.6f} to {max(factors):.6f}")
    if not held:
        found.unmet[label] += 1
        found.short.update((missing or Counter({"it diverged": 1})).keys())
        return
    found.met[label] += 1
    if objections:
        found.wrong.append(objections[-1])


def _factor(s: Synapse, state: State) -> Iterator[float]:
    drive, down = state.learnt(s), state.descent(s)
    if np.linalg.norm(down) > 1e-4:
        yield float((drive * down).sum() / (down**2).sum())


def _judge_attractor(found: Judgement, derived: Derived, attractor: dict[str, Any], run: Sequence[State]) -> None:
    """Whether a difference is 0, shrinks at its rate, or is gone at rest, as is said of it."""
    kind, said = attractor["kind"], f"{attractor['left']} ~ {attractor['factor']:g} {attractor['right']}"
    net = run[0].net
    letters = _letters(attractor)
    if kind == "tied":
        off = max(_distance(attractor, state.weights) for state in run)
        found.met["attractor, tied"] += 1
        found.wrong += [f"{said}: tied, but {off:.2g} apart"] if off > ROUNDING else []
    elif kind == "pair":
        found.met["attractor, pair"] += 1
        found.wrong += _too_slow(attractor, said, run)
    elif kind.endswith("at rest"):
        assumes = [Hypothesis(k, (n,)) for n in letters for k in ("AtRest", "Unbound")]
        last = run[-1]
        worst = max((residual(h, last, ()) for h in assumes), default=0.0)
        loose = set(letters) & derived.loose
        if worst > MET or (loose and any("step" in t.post for n in letters for t in net.synapse(n).terms)):
            found.unmet[f"attractor, {kind}"] += 1
            return
        found.met[f"attractor, {kind}"] += 1
        off = _distance(attractor, last.weights)
        if off > OFF + SLACK * worst:
            found.wrong.append(f"{said}: {kind}, but {off:.2g} apart (largest residual {worst:.2g})")


def _too_slow(attractor: dict[str, Any], said: str, run: Sequence[State]) -> list[str]:
    """A difference that shrinks by a rate, or faster, at every update."""
    for one, two in pairwise(run):
        before, after = (_difference(attractor, s.weights)[0] for s in (one, two))
        allowed = before * (1 - attractor["rate"]) ** (two.update - one.update)
        if after > allowed * (1 + ROUNDING) + 1e-9 * _difference(attractor, two.weights)[1] + 1e-12:
            return [
                f"{said}: from {before:.4g} to {after:.4g} between {one.update} and {two.update}, not {allowed:.4g}"
            ]
    return []
