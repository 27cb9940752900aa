"""Random learning motifs: streams of credit, and things done to them that may or may not matter.

Layers of the four-synapse circuit, of Kolen-Pollack feedback, of fixed, direct or tied feedback, of rules without an
error, mixed; then changes to single synapses (signs, masks, bounds, starts, gains, decays), to the loss and to what is
between. `random_net(seed)` gives the data from which the text and the simulation are made (motif_nets.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from motif_nets import Net, Population, Synapse, Term

STREAMS = ("four", "four", "four", "kolen", "kolen", "random", "direct", "direct_plastic", "tied", "hebb", "factor")

#: Functions of the weight: what pulls at it, and positive factors.
PULLS = ("w^3", "tanh(w)", "relu(w)")
FACTORS = ("1 + square(w)", "1 + tanh(abs(w))", "abs(w)")

#: rate of a neuron with the dendrite basal; its slope, with {p} for the neuron.
ACTIVATIONS: dict[str, tuple[str, str | None]] = {
    "linear": ("basal", None),
    "relu": ("relu(basal)", "step({p}.basal)"),
    "leaky": ("max(basal, 0.2 * basal)", "where({p}.basal > 0, 1, 0.2)"),
    "tanh": ("tanh(basal)", "(1 - square({p}))"),
}


def random_net(seed: int) -> Net:
    """One circuit; the same for the same seed."""
    return _Builder(Random(seed)).net()


class _Builder:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.choices: list[str] = []
        self.populations: list[Population] = []
        self.synapses: list[Synapse] = []
        self.slopes: dict[str, str | None] = {}
        self.modulators: dict[str, str] = {}
        self.partners: list[tuple[str, str]] = []

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    # ------------------------------------------------------------ the circuit

    def net(self) -> Net:
        depth = self.random.choices((1, 2, 3), (5, 3, 2))[0]
        same = self.chance(0.4)
        size = self.random.randint(3, 7)
        sizes = [size if same else self.random.randint(3, 7) for _ in range(depth)]
        classes = self.chance(0.4)
        outputs = 1 if not classes and self.chance(0.2) else self.random.randint(2, 4)
        self.populations = [Population("x", self.random.randint(3, 6)), Population("y", outputs)]
        activation = self.random.choices(tuple(ACTIVATIONS), (4, 3, 1, 1))[0]
        kind = self.random.choice(STREAMS)
        kinds = [kind if self.chance(0.7) else self.random.choice(STREAMS) for _ in range(depth)]
        if outputs == 1 and self.chance(0.5):
            kinds[-1] = "broadcast"
        self.top(depth, outputs, classes)
        for level in range(depth, 0, -1):
            act = activation if self.chance(0.8) else self.random.choice(tuple(ACTIVATIONS))
            self.layer(level, depth, sizes[level - 1], kinds[level - 1], act)
        self.choices += kinds
        loss = ["cross_entropy(out, y)" if classes else self.random.choice(["mse(out, y)", "sum(square(y - out))"])]
        if classes and self.chance(0.1):
            loss = ["mse(out, y)"]
            self.choices.append("mse of classes")
        targets = self.random.choices(("classes", "mixtures", "reals"), (8, 1, 1))[0] if classes else "reals"
        net = Net(
            tuple(self.populations), tuple(self.synapses), tuple(loss), targets, tuple(self.modulators.items()),
            tuple(self.partners), eta=self.random.choice((0.03, 0.06)), gamma=self.random.choice((0.1, 0.2, 0.4)),
            choices=tuple(self.choices),
        )  # fmt: skip
        return self.changed(net, depth)

    def top(self, depth: int, outputs: int, classes: bool) -> None:
        rate = "softmax(basal)" if classes else self.random.choices(("basal", "tanh(basal)"), (6, 1))[0]
        error = "y - out"
        if rate == "tanh(basal)" and self.chance(0.7):
            error = "(y - out) * (1 - square(out))"
        elif self.chance(0.1):
            error = self.random.choice(("-(y - out)", "0.5 * (y - out)", "2 * y - out", "out - y"))
        self.populations += [Population("out", outputs, rate, ("basal",)), Population("err", outputs, error)]
        self.synapses.append(Synapse("Wo", f"a{depth}", "out", "basal", (Term("err"),)))
        if outputs == 1 and self.chance(0.5):
            self.choices.append("readout of one sign")
            start = replace(self.synapses[-1], start="constant", scale=0.3)
            self.synapses[-1] = (
                replace(start, sign="excitatory") if self.chance(0.5) else replace(start, bounds=(0.1, 1.0))
            )
        if self.chance(0.15):
            self.choices.append("bias")
            self.synapses.append(Synapse("bo", "bias", "out", "basal", (Term("err"),)))

    def layer(self, level: int, depth: int, size: int, kind: str, activation: str) -> None:
        rate, slope = ACTIVATIONS[activation]
        a, d, below = f"a{level}", f"d{level}", "x" if level == 1 else f"a{level - 1}"
        above, leads = ("err", "Wo") if level == depth else (f"d{level + 1}", f"W{level + 1}")
        self.choices.append(activation)
        own = "" if slope is None else f" * {slope.format(p='post')}"
        of_a = "" if slope is None else f" * {slope.format(p=a)}"
        self.slopes[a] = slope
        ascend = Population(a, size, rate, ("basal", "apical"))
        if kind == "four":
            self.populations += [ascend, Population(d, size, f"basal{of_a}", ("basal", "lateral"))]
            self.synapses += [
                Synapse(f"W{level}", below, a, "basal", (Term(f"post.apical{own}"),)),
                Synapse(f"B{level}", d, a, "apical", (Term("post"),)),
                Synapse(f"V{level}", above, d, "basal", (Term(f"post.lateral{of_a}"),)),
                Synapse(f"F{level}", a, d, "lateral", (Term("post"),)),
            ]
            return
        self.populations += [ascend, Population(d, size, f"{a}.apical{of_a}")]
        signal = f"post.apical{own}" if self.chance(0.6) else d
        if kind == "broadcast":
            self.partners.append((a, "err"))
            signal = f"err{own}"
        elif kind == "hebb":
            signal = self.random.choice(("post", "post.basal", "-post"))
        elif kind == "factor":
            self.modulators.setdefault("m", self.random.choice(("sum(err)", "max(err)", "sum(y)", "norm(err)")))
            signal = f"m * post{own}" if self.chance(0.5) else "m * post"
        source = "err" if kind.startswith("direct") else above
        feedback = Synapse(f"V{level}", source, a, "apical")
        if kind in ("kolen", "direct_plastic", "tied"):
            feedback = replace(feedback, terms=(Term("post"),))
        if kind == "tied":
            feedback = replace(feedback, start="transpose", of=leads)
        self.synapses += [Synapse(f"W{level}", below, a, "basal", (_term(signal),)), feedback]

    # ------------------------------------------------------------ what is done to it

    def changed(self, net: Net, depth: int) -> Net:
        if self.chance(0.25):
            net = self.bounded(net)
        if self.chance(0.1):
            net = self.penalised(net, depth)
        if self.chance(0.1) and depth > 1:
            net = self.skip(net, depth)
        if self.chance(0.1):
            net = self.biased(net)
        if self.chance(0.05):
            net = self.modulated(net)
        if self.chance(0.08):
            net = self.alike(net)
        number = self.random.choices((0, 1, 2, 3), (3, 4, 3, 2))[0]
        for _ in range(number):
            change, done = self.random.choice(CHANGES), None
            for _ in range(8):
                synapse = self.random.choice(net.synapses)
                done = change(self.random, net, synapse)
                if done is not None:
                    break
            if done is not None:
                net = net.replaced(done)
                self.choices.append(f"{change.__name__.lstrip('_')} {done.name}")
        if self.chance(0.06):
            net = self.siphon(net)
        return replace(net, choices=tuple(self.choices))

    def bounded(self, net: Net) -> Net:
        end = self.random.choice((0.5, 2.0, 4.0))
        self.choices.append(f"bounds {end}")
        return replace(net, synapses=tuple(replace(s, bounds=(-end, end)) for s in net.synapses))

    def alike(self, net: Net) -> Net:
        """The same pull, or the same factor of the whole rule, on all plastic weights."""
        field = self.random.choice(("pull", "whole", "weight"))
        expr = self.random.choice(PULLS) if field == "pull" else self.random.choice(FACTORS)
        self.choices.append(f"{field} {expr}")
        if field == "weight":
            every = [replace(s, terms=tuple(replace(t, weight=expr) for t in s.terms)) for s in net.synapses]
        else:
            every = [replace(s, **{field: expr}) if s.plastic else s for s in net.synapses]
        return replace(net, synapses=tuple(every))

    def siphon(self, net: Net) -> Net:
        """A subset of the auxiliaries starts at 0."""
        letters = self.random.choice(("VF", "VFB", "V", "B", "F", "W"))
        self.choices.append(f"zero {letters}")
        chosen = tuple(replace(s, start="zeros") if s.name[0] in letters else s for s in net.synapses)
        return replace(net, synapses=chosen)

    def penalised(self, net: Net, depth: int) -> Net:
        a = f"a{self.random.randint(1, depth)}"
        term = self.random.choice((f"0.1 * sum({a})", f"0.1 * sum(square({a}))"))
        self.choices.append(f"penalty {a}")
        net = replace(net, loss=(*net.loss, term))
        if self.chance(0.5):  # and a rule that is its gradient
            slope = self.slopes[a]
            own = "" if slope is None else f" * {slope.format(p='post')}"
            signal = f"post{own}" if "square" in term else slope.format(p="post") if slope else "1"
            return net.replaced(replace(net.synapse(f"W{a[1:]}"), terms=(Term(signal, coefficient=-1.0),)))
        return net

    def skip(self, net: Net, depth: int) -> Net:
        self.choices.append("skip")
        source, terms = self.random.choice(("x", "a1")), self.random.choice(((Term("err"),), ()))
        return replace(net, synapses=(*net.synapses, Synapse("S", source, "out", "basal", terms)))

    def biased(self, net: Net) -> Net:
        self.choices.append("bias of a1")
        terms = self.random.choice((net.synapse("W1").terms, ()))
        start = self.random.choice(("zeros", "normal"))
        bias = Synapse("b1", "bias", "a1", "basal", terms, start=start)
        return replace(net, synapses=(*net.synapses, bias))

    def modulated(self, net: Net) -> Net:
        """A gain by example on one rule, or on all."""
        self.modulators.setdefault("m", self.random.choice(("sum(square(err))", "sum(y)", "max(err)", "1 + sum(y)")))
        self.choices.append(f"modulator {self.modulators['m']}")
        every = self.chance(0.3)
        one = self.random.choice(net.synapses).name
        synapses = tuple(
            replace(s, terms=tuple(replace(t, post=f"m * {_factor(t.post)}") for t in s.terms))
            if (every or s.name == one) and not any("m *" in t.post for t in s.terms)
            else s
            for s in net.synapses
        )
        return replace(net, synapses=synapses, modulators=tuple(self.modulators.items()))


def _term(signal: str) -> Term:
    return Term(signal[1:], coefficient=-1.0) if signal.startswith("-") else Term(signal)


def _factor(expr: str) -> str:
    return f"({expr})" if " + " in expr or " - " in expr.split("(", 1)[0] else expr


# ---------------------------------------------------------------- changes of one synapse; None: not this one

Change = Callable[[Random, Net, Synapse], Synapse | None]


def _each(s: Synapse, change: Callable[[Term], Term]) -> Synapse | None:
    return replace(s, terms=tuple(map(change, s.terms))) if s.plastic else None


def _flip(random: Random, net: Net, s: Synapse) -> Synapse | None:
    return _each(s, lambda t: replace(t, coefficient=-t.coefficient))


def _gain(random: Random, net: Net, s: Synapse) -> Synapse | None:
    factor = random.choice((0.5, 2.0, 3.0))
    return _each(s, lambda t: replace(t, coefficient=factor * t.coefficient))


def _decay(random: Random, net: Net, s: Synapse) -> Synapse | None:
    return replace(s, decay=random.choice((0.0, 0.5, 1.5, 2.0, 10.0))) if s.plastic else None


def _faster(random: Random, net: Net, s: Synapse) -> Synapse | None:
    return replace(s, rate=random.choice((0.5, 2.0))) if s.plastic else None


def _faster_alone(random: Random, net: Net, s: Synapse) -> Synapse | None:
    """Another rate, with a decay that makes up for it."""
    if not s.plastic:
        return None
    factor = random.choice((0.5, 2.0))
    return replace(s, rate=factor * s.rate, decay=s.decay / factor)


def _weight(random: Random, net: Net, s: Synapse) -> Synapse | None:
    gain = random.choice(("relu(w)", "abs(w)", "square(w)", "1 + square(w)", "w"))
    start = random.choice((s, replace(s, start="constant", scale=random.choice((-0.5, 0.3)), of=None)))
    return _each(start, lambda t: replace(t, weight=gain))


def _pull(random: Random, net: Net, s: Synapse) -> Synapse | None:
    return replace(s, pull=random.choice(PULLS)) if s.plastic else None


def _whole(random: Random, net: Net, s: Synapse) -> Synapse | None:
    return replace(s, whole=random.choice(FACTORS)) if s.plastic else None


def _coefficient(random: Random, net: Net, s: Synapse) -> Synapse | None:
    return replace(s, per_weight=random.choice(((0.5, 1.5), (-1.0, 1.0)))) if s.plastic else None


def _gate(random: Random, net: Net, s: Synapse) -> Synapse | None:
    """A further gate: the neuron's own, or that of a partner."""
    gates = [f"step(post.{dendrite})" for dendrite in net.population(s.post).dendrites]
    if s.post[0] == "d" and net.population(s.post).rate != "basal":
        gates += [f"step(a{s.post[1:]}.basal)", f"step(a{s.post[1:]}.apical)"]
    gate = random.choice(gates)
    return _each(s, lambda t: replace(t, post=f"{_factor(t.post)} * {gate}"))


def _ungate(random: Random, net: Net, s: Synapse) -> Synapse | None:
    found = _each(s, lambda t: replace(t, post=t.post.split(" * ")[0]))
    return found if found is not None and found != s else None


def _pre(random: Random, net: Net, s: Synapse) -> Synapse | None:
    taken = random.choice(("step(pre)", "relu(pre)", "tanh(pre)", "square(pre)"))
    return _each(s, lambda t: replace(t, pre=taken))


def _hebbian(random: Random, net: Net, s: Synapse) -> Synapse | None:
    """A further, homosynaptic term."""
    return replace(s, terms=(*s.terms, Term("post", coefficient=random.choice((-0.1, 0.1))))) if s.plastic else None


def _freeze(random: Random, net: Net, s: Synapse) -> Synapse | None:
    return replace(s, terms=()) if s.plastic and s.name != "Wo" else None


def _mask(random: Random, net: Net, s: Synapse) -> Synapse | None:
    square = net.size(s.pre) == net.size(s.post) and s.pre != "bias"
    if s.start in ("transpose", "copy"):
        return None
    if square and random.random() < 0.7:
        return replace(s, mask=random.choice(("one_to_one", "no_self")))
    return replace(s, mask="sparse", density=random.choice((0.0, 0.5, 0.5)))


def _masks(random: Random, net: Net, s: Synapse) -> Synapse | None:
    """One-to-one laterals, as in a column."""
    return replace(s, mask="one_to_one") if s.name[0] in "BF" and net.size(s.pre) == net.size(s.post) else None


def _bounds(random: Random, net: Net, s: Synapse) -> Synapse | None:
    bounds = random.choice(((-0.1, 0.1), (-0.5, 0.5), (0.1, 1.0), (-1.0, -0.1), (-5.0, 5.0)))
    return None if _clash(s.sign, bounds) else replace(s, bounds=bounds)


def _clash(sign: str, bounds: tuple[float, float] | None) -> bool:
    """Whether no weight but 0 has the sign within the bounds, which the compiler refuses."""
    if bounds is None:
        return False
    return (sign == "excitatory" and bounds[1] <= 0) or (sign == "inhibitory" and bounds[0] >= 0)


def _sign(random: Random, net: Net, s: Synapse) -> Synapse | None:
    sign = random.choice(("excitatory", "inhibitory"))
    return None if _clash(sign, s.bounds) else replace(s, sign=sign)


def _start(random: Random, net: Net, s: Synapse) -> Synapse | None:
    partner = {"B": "F", "F": "B"}.get(s.name[0])
    if partner is not None and random.random() < 0.4 and net.synapse(partner + s.name[1:]).of is None:
        return replace(s, start="transpose", of=partner + s.name[1:], scale=random.choice((1.0, 1.0, 2.0, -1.0)))
    return replace(s, start=random.choice(("zeros", "constant")), scale=random.choice((0.3, -0.5)), of=None)


CHANGES: tuple[Change, ...] = (
    _flip, _gain, _decay, _decay, _faster, _faster_alone, _weight, _pull, _whole, _coefficient, _gate, _gate, _ungate,
    _pre, _hebbian, _freeze, _mask, _masks, _bounds, _sign, _start,
)  # fmt: skip
