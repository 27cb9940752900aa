"""A circuit as plain data, from which its `.circ` text and its NumPy simulation are both made.

Equations are strings in the words that `.circ` and Python share (`post.apical * step(post.basal)`), so that neither is
made from the other. Nothing here, nor in simulate_motifs.py, imports the compiler: what is derived of the text is
judged by what the data does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from random import Random

#: Identity for gains: a term without one.
ONE = "1"


@dataclass(frozen=True)
class Population:
    """Neurons: dendrites and a rate over their names, or wires to others. The rate of an input is its data."""

    name: str
    size: int
    rate: str | None = None
    dendrites: tuple[str, ...] = ()


@dataclass(frozen=True)
class Term:
    """coefficient * post * pre * weight: one product of a rule, each factor an equation over its own side."""

    post: str
    pre: str = "pre"
    weight: str = ONE
    coefficient: float = 1.0


@dataclass(frozen=True)
class Synapse:
    """Weights [post size, pre size]. `terms` of a fixed one are empty. Mask and start as words of the language, with
    their numbers; `per_weight`: a coefficient drawn per weight multiplies its drive; `pull`: what pulls at the weight
    beside its linear decay; `whole`: a function of the weight that multiplies all of the rule."""

    name: str
    pre: str
    post: str
    dendrite: str
    terms: tuple[Term, ...] = ()
    rate: float = 1.0
    decay: float = 1.0
    mask: str = "dense"
    density: float = 1.0
    sign: str = "free"
    bounds: tuple[float, float] | None = None
    start: str = "normal"
    scale: float = 1.0
    of: str | None = None
    per_weight: tuple[float, float] | None = None
    pull: str | None = None
    whole: str | None = None

    @property
    def plastic(self) -> bool:
        return bool(self.terms)


@dataclass(frozen=True)
class Net:
    """A whole circuit. `loss`: its additive terms, the task first. `targets`: what the data's targets are like."""

    populations: tuple[Population, ...]
    synapses: tuple[Synapse, ...]
    loss: tuple[str, ...]
    targets: str
    modulators: tuple[tuple[str, str], ...] = ()
    partners: tuple[tuple[str, str], ...] = ()
    eta: float = 0.2
    gamma: float = 0.1
    choices: tuple[str, ...] = field(default=(), compare=False)

    def population(self, name: str) -> Population:
        return next(p for p in self.populations if p.name == name)

    def synapse(self, name: str) -> Synapse:
        return next(s for s in self.synapses if s.name == name)

    def size(self, name: str) -> int:
        return 1 if name == "bias" else self.population(name).size

    def replaced(self, synapse: Synapse) -> Net:
        return replace(self, synapses=tuple(synapse if s.name == synapse.name else s for s in self.synapses))

    def renamed(self, names: dict[str, str]) -> Net:
        """The same circuit with other names for its synapses."""

        def one(s: Synapse) -> Synapse:
            return replace(s, name=names[s.name], of=None if s.of is None else names[s.of])

        return replace(self, synapses=tuple(map(one, self.synapses)))


# ---------------------------------------------------------------- as text


def text(net: Net, order: Random | None = None) -> str:
    """The `.circ` text; `order` shuffles its items."""
    items = _items(net)
    if order is not None:
        order.shuffle(items)
    return "circuit motif_net {\n" + "".join(f"  {item}\n" for item in items) + "}\n"


def _items(net: Net) -> list[str]:
    found = [f"param eta = {net.eta}", f"param gamma = {net.gamma}"]
    for p in net.populations:
        if p.rate is None:
            found.append(f"{'target' if p.name == 'y' else 'input'} {p.name}: {p.size}")
        else:
            dendrites = f"dendrite {', '.join(p.dendrites)}   " if p.dendrites else ""
            found.append(f"neuron {p.name}: {p.size} {{ {dendrites}rate = {p.rate} }}")
    found += [f"modulator {name} = {expr}" for name, expr in net.modulators]
    found += [f"pair {a} ~ {b}" for a, b in net.partners]
    for s in net.synapses:
        found.append(f"synapse {s.name}: {s.pre} -> {s.post}.{s.dendrite} {{ {'   '.join(_settings(s))} }}")
        if s.per_weight is not None:
            low, high = s.per_weight
            found.append(f"param c_{s.name} per {s.name} = uniform({low}, {high})")
    return [*found, f"loss = {' + '.join(net.loss)}"]


def _settings(s: Synapse) -> list[str]:
    found = []
    if s.mask == "sparse":
        found.append(f"connect = sparse({s.density})")
    elif s.mask != "dense":
        found.append(f"connect = {s.mask}")
    if s.sign != "free":
        found.append(f"sign = {s.sign}")
    if s.bounds is not None:
        found.append(f"bounds = [{s.bounds[0]}, {s.bounds[1]}]")
    match s.start:
        case "zeros":
            found.append("init = zeros")
        case "constant":
            found.append(f"init = constant({s.scale})")
        case "transpose" | "copy":
            found.append(f"init = {'' if s.scale == 1 else f'{s.scale} * '}{s.start}({s.of})")
        case _ if s.scale != 1:
            found.append(f"init = {s.scale} * normal(0, 1/sqrt(fan_in))")
    if s.plastic:
        found.append(f"dw = {_rule(s)}")
    return found


def _rule(s: Synapse) -> str:
    rate = "eta" if s.rate == 1 else f"{s.rate} * eta"
    whole = ""
    for term in s.terms:
        factors = [f for f in (_bracketed(term.post), _bracketed(term.pre), _bracketed(term.weight)) if f != ONE]
        factors += [f"c_{s.name}"] if s.per_weight is not None else []
        size = abs(term.coefficient)
        factors = ([f"{size:g}"] if size != 1 or not factors else []) + factors
        sign = "-" if term.coefficient < 0 else "+"
        whole += f" {sign} {rate} * {' * '.join(factors)}"
    whole = whole.removeprefix(" + ").replace(" - ", "-", 1) if whole.startswith(" - ") else whole.removeprefix(" + ")
    if s.decay:
        whole += f" - {rate} * {'' if s.decay == 1 else f'{s.decay:g} * '}gamma * w"
    if s.pull is not None:
        whole += f" - {rate} * gamma * {s.pull}"
    return whole if s.whole is None else f"{_bracketed(s.whole)} * ({whole})"


def _bracketed(expr: str) -> str:
    """Brackets around a sum, so that it may stand as a factor."""
    depth = 0
    for at, letter in enumerate(expr):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and letter in "+-<>" and at > 0:
            return f"({expr})"
    return f"({expr})" if expr.startswith("-") else expr


# ---------------------------------------------------------------- names in equations

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?(?!\w*\()")


def names_in(expr: str) -> list[str]:
    """The names of signals that an equation reads: `post`, `a1.basal`."""
    return list(dict.fromkeys(_NAME.findall(expr)))


def python_of(expr: str) -> str:
    """The equation as a Python expression over flat names."""
    return re.sub(r"([A-Za-z_]\w*)\.([A-Za-z_]\w*)", r"\1__\2", expr).replace("^", "**")
