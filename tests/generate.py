"""Random circuits that are valid: every construct of the language, in random company.

What they compute means nothing. They are bounded, so that they do not diverge, and small, so that plain Python
can run hundreds of them. `random_circuit(rng)` gives a `.circ` text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random

UNARY = (
    "relu({})", "step({} - 0.05)", "sigmoid({})", "tanh({})", "softplus({})", "exp(-abs({}))", "-({})",
    "log(1 + square({}))", "sqrt(0.1 + abs({}))", "abs({})", "sign({} - 0.03)", "square(tanh({}))", "tanh({}) ^ 2",
    "(0.5 + abs(tanh({}))) ^ 1.5", "0.5 * ({})", "clip({}, -0.8, 0.9)", "-tanh({}) ^ 3",
)  # fmt: skip
BINARY = (
    "{} + {}", "{} - {}", "tanh({}) * {}", "{} / (1 + abs({}))", "min({}, {})", "max({}, {})",
    "where({} > {} + 0.01, 0.3, -0.2)", "where({} - 0.02, {}, 0.1)", "({} <= {} + 0.013)", "({} >= {} - 0.017)",
    "({} != {})", "({} == 0.5) * {}", "0.3 * ({} < {} - 0.011)", "{} - 2 * ({})",
)  # fmt: skip
NUMBERS = ("0.1", "0.25", "-0.4", ".5", "1", "2", "1.5e-1")


def random_circuit(rng: Random) -> str:
    """The text of a circuit."""
    return _Writer(rng).circuit()


@dataclass
class _Neuron:
    """A population as rules see it. `signed` says whether its rates may be negative."""

    name: str
    size: int
    dendrites: list[str]
    members: list[str] = field(default_factory=list)
    partners: list[str] = field(default_factory=list)
    inhibitory: bool | None = None


@dataclass
class _Writer:
    rng: Random
    items: list[str] = field(default_factory=list)
    neurons: list[_Neuron] = field(default_factory=list)
    numbers: list[str] = field(default_factory=lambda: ["eta", "gain", "rates[1]", "half"])
    phases: list[tuple[str, bool]] = field(default_factory=list)
    sums: list[str] = field(default_factory=list)  # scalars that forward equations may read
    signals: list[str] = field(default_factory=list)  # scalars for rules only
    synapses: list[tuple[str, int, int]] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)
    count: int = 0

    # ------------------------------------------------------------ drawing

    def maybe(self, chance: float) -> bool:
        return self.rng.random() < chance

    def one(self, *options: str) -> str:
        return self.rng.choice(options)

    def fresh(self, base: str) -> str:
        self.count += 1
        return f"{base}{self.count}"

    def expr(self, atoms: list[str], depth: int = 2, *, random: bool = True) -> str:
        """An expression of these names, numbers and params."""
        if depth == 0 or self.maybe(0.15):
            return self.atom(atoms, random=random)
        if self.maybe(0.5):
            return self.one(*UNARY).format(self.expr(atoms, depth - 1, random=random))
        parts = [self.expr(atoms, depth - 1, random=random) for _ in range(2)]
        return "(" + self.one(*BINARY).format(*parts) + ")"

    def atom(self, atoms: list[str], *, random: bool) -> str:
        if random and self.maybe(0.06):
            return self.one("randn()", "rand()", "0.2 * randn()")
        if self.maybe(0.12):
            return self.one(*NUMBERS, *self.numbers)
        if self.maybe(0.1):
            return self.flag()
        return self.one(*atoms) if atoms else self.one(*NUMBERS)

    def flag(self) -> str:
        flags = ["train", "(0.1 * tick)"]
        for phase, _ in self.phases:
            flags += [phase, f"first({phase})", f"last({phase})"]
        return self.one(*flags)

    # ------------------------------------------------------------ the circuit

    def circuit(self) -> str:
        self.schedule()
        nx, ny = self.rng.randint(2, 5), self.rng.choice([1, 2, 3, 4])
        self.items += [f"input x: {nx}", f"target y: {ny}"]
        below = [_Neuron("x", nx, [])]
        if self.maybe(0.3):
            self.items.append("input context: 2")
            below.append(_Neuron("context", 2, []))
        for _ in range(self.rng.randint(1, 3)):
            below.append(self.hidden(below))
        if self.maybe(0.3):
            self.chain(below)
        out = self.readout(below, ny)
        error = self.error(out, ny)
        if self.maybe(0.4):
            self.top_down(error)
        for neuron in self.neurons:
            self.feedback(neuron, error)
        self.modulators(out)
        for neuron in [*self.neurons, out]:
            self.forward(neuron, below, error)
        self.losses(out, ny)
        return "\n".join([*sorted(self.imports), "circuit generated {", *(f"  {line}" for line in self.items), "}", ""])

    def schedule(self) -> None:
        self.items += [
            '"""Drawn at random."""',
            f"param eta = {self.one('0.05', '0.02', '1e-2')}",
            "param gain = 0.5 + eta",
            "param rates = [0.1, 0.2 * gain, 3]",
            "param half = rates[1] / 2",
            "rule local(signal, eta) = eta * signal * pre - 0.1 * eta * w",
        ]
        if self.maybe(0.3):
            return
        self.phases = [("free", False)]
        if self.maybe(0.6):
            self.phases.append(("clamped", True))
        if self.maybe(0.2):
            self.phases.insert(0, ("early", self.maybe(0.5)))
        self.items.append("param settle = 2")
        lines = [
            f"phase {name}: {self.one('1', '2', 'settle', '3')}{' train' if train else ''}"
            for name, train in self.phases
        ]
        lines += ["update = example"] if self.maybe(0.5) else []
        lines += ["dt = 0.2"]
        self.items.append("schedule { " + "; ".join(lines) + " }")

    # ------------------------------------------------------------ neurons

    def hidden(self, below: list[_Neuron]) -> _Neuron:
        """A population with dendrites, states, lets and wires to those before it."""
        name, size = self.fresh("h"), self.rng.randint(2, 5)
        neuron = _Neuron(name, size, ["basal"], inhibitory=self.rng.choice([None, None, True, False]))
        body = ["dendrite basal" + (", apical" if self.maybe(0.7) else "") + (", rec" if self.maybe(0.4) else "")]
        neuron.dendrites = body[0].removeprefix("dendrite ").split(", ")
        wires = self.wires(neuron, below)
        own = ["basal"] + (["rec"] if "rec" in neuron.dendrites else [])
        seen = [*own, *own, *wires, *self.sums]
        if self.maybe(0.3):
            coefficient = self.fresh("c")
            self.items.append(f"param {coefficient} per {name} = {self.init(size, None)}")
            seen.append(coefficient)
        for _ in range(self.rng.randint(0, 2)):
            member, body_lines = self.state(seen)
            body += body_lines
            neuron.members.append(member)
            seen.append(member)
        if self.maybe(0.5):
            member = self.fresh("a")
            body.append(f"let {member} = {self.population_function(seen, size)}")
            neuron.members.append(member)
            seen.append(member)
        body.append(f"rate = {self.rate(seen, size, neuron)}")
        self.items.append(f"neuron {name}: {size} {{ {'   '.join(body)} }}")
        self.neurons.append(neuron)
        unread = [p for p in neuron.partners if not re.search(rf"\b{re.escape(p)}\b", " ".join(body))]
        neuron.partners = [p for p in neuron.partners if p not in unread]
        if unread and unread[0].startswith("h"):
            self.items.append(f"pair {name} ~ {unread[0]}")
            neuron.partners.append(unread[0])
        if self.maybe(0.35):
            self.gain_control(neuron)
        return neuron

    def wires(self, neuron: _Neuron, below: list[_Neuron]) -> list[str]:
        """Names of others of equal size or of size 1, one to one."""
        found = []
        for other in below:
            if other.size in (1, neuron.size) and self.maybe(0.6):
                neuron.partners.append(other.name)
                choices = [other.name, *(f"{other.name}.{m}" for m in other.members)]
                if other.dendrites:
                    choices += [f"prev({other.name})", f"prev({other.name}.{other.dendrites[0]})"]
                found.append(self.one(*choices))
        if self.maybe(0.3):
            found.append(f"prev({neuron.name})")
        return found

    def state(self, seen: list[str]) -> tuple[str, list[str]]:
        """A leaky state of the example or one that stays."""
        member = self.fresh("v")
        target = self.expr(seen)
        keep = " keep" if self.maybe(0.35) else ""
        start = self.one("0", "0.5", "gain", "uniform(-0.3, 0.3)", "normal(0, 0.2)")
        rate = self.one("0.3", "0.1", "half")
        increment = f"d{member} = {rate} * (tanh({target}) - {member})"
        if self.phases and self.maybe(0.4):
            increment = f"d{member}/dt = tanh({target}) - {member}"
        return member, [f"state {member} = {start}{keep}", increment]

    def population_function(self, seen: list[str], size: int) -> str:
        choice = self.rng.random()
        if choice < 0.15:
            return f"softmax({self.expr(seen)})"
        if choice < 0.3:
            return f"kwta({self.expr(seen)} + 0.1 * basal, {self.rng.randint(1, size)})"
        if choice < 0.45:
            return f"onehot_max({self.expr(seen)} + 0.1 * basal)"
        if choice < 0.6:
            return f"0.7 * softmax(basal) - {self.expr(seen, 1)} * onehot_max(basal + 0.3 * randn())"
        return self.expr(seen)

    def rate(self, seen: list[str], size: int, neuron: _Neuron) -> str:
        inner = self.population_function(seen, size) if self.maybe(0.3) else self.expr([*seen, "basal"])
        if neuron.inhibitory is not None:
            return f"sigmoid({inner} + 0.5 * basal)"
        return f"{self.one('tanh', 'sigmoid', 'relu(0.3) - tanh')}({inner} + 0.5 * basal)"

    def gain_control(self, neuron: _Neuron) -> None:
        """A scalar that later populations may read, at times with a memory."""
        name = self.fresh("pool")
        reduced = self.one("mean({0})", "max({0})", "norm({0})", "sum(square({0})) / 4", "mean({0}) - 0.5 * max({0})")
        text = f"modulator {name} = {reduced.format(neuron.name)}"
        self.sums.append(name)
        if self.maybe(0.5):
            keep = " keep" if self.maybe(0.5) else ""
            text += f" {{ state trace = 0.1{keep}   dtrace = 0.2 * (tanh({name}) - trace) }}"
            self.sums.append(f"{name}.trace")
        self.items.append(text)

    def chain(self, below: list[_Neuron]) -> None:
        """Populations made by a motif and a loop, with an alias."""
        size, source = self.rng.randint(2, 4), below[-1]
        self.items += [
            "motif layer(below, n, step_size) {",
            "  neuron a: n { dendrite basal, apical   rate = tanh(basal) }",
            "  synapse W: below -> a.basal { bounds = [-1, 1]   dw = local(post.apical, step_size) }",
            "}",
            f"alias L[0].a = {source.name}",
            f"for l in 1..2 {{ use layer as L[l](below = L[l-1].a, n = {size}, step_size = eta) }}",
        ]
        for level in (1, 2):
            neuron = _Neuron(f"L[{level}].a", size, ["basal", "apical"])
            self.neurons.append(neuron)
            below.append(neuron)
            self.synapses.append((f"L[{level}].W", size, source.size if level == 1 else size))

    def readout(self, below: list[_Neuron], size: int) -> _Neuron:
        out = _Neuron("out", size, ["basal"], partners=["err"])
        rate = self.one("softmax(basal)", "sigmoid(basal)") if size > 1 else "sigmoid(basal)"
        if self.maybe(0.3):
            train = [name for name, train in self.phases if train]
            rate = f"where({self.one('train', *train)}, y, {rate})" if "softmax" not in rate else rate
        self.items.append(f"neuron out: {size} {{ dendrite basal   rate = {rate} }}")
        return out

    def error(self, out: _Neuron, size: int) -> _Neuron:
        self.items.append(f"neuron err: {size} {{ rate = {self.one('y - out', 'y - out', 'tanh(2 * (y - out))')} }}")
        return _Neuron("err", size, [], partners=["out"])

    def top_down(self, error: _Neuron) -> None:
        """The error gates the forward path where it is allowed to: in training only."""
        neuron = self.rng.choice(self.neurons)
        if "apical" not in neuron.dendrites:
            return
        self.items.append(
            f"neuron gated: {neuron.size} {{ rate = {neuron.name} + 0.1 * train * tanh({neuron.name}.apical) }}"
        )
        neuron.partners.append("gated")

    # ------------------------------------------------------------ synapses

    def init(self, post: int, pre: int | None) -> str:
        """An initial value for a matrix, or for the neurons of a population."""
        choices = ["normal(0.1, 0.5)", "uniform(-0.5, 0.7)", "normal(0, 0.3) + constant(0.05)", "0.5 * uniform(-1, 1)"]
        if pre is not None:
            choices += ["normal(0, 1/sqrt(fan_in))", "orthogonal()", "identity() + normal(0, 0.1)",
                        "normal(0, 1/fan_out)", "0.1 * normal(0, 1) - 0.2 * identity()"]  # fmt: skip
            for name, rows, columns in self.synapses:
                if (rows, columns) == (post, pre):
                    choices.append(f"copy({name}) + normal(0, 0.1)")
                if (columns, rows) == (post, pre):
                    choices.append(f"0.5 * transpose({name})")
        return self.one(*choices)

    def connect(self, post: int, pre: int, same: bool) -> str:
        choices = ["dense", "sparse(0.6)", f"fan_in({max(1, pre - 1)})", "sparse(gain) & sparse(0.9)"]
        if same:
            choices += ["no_self", "no_self & sparse(0.7)"]
        if post == pre:
            choices.append("one_to_one")
        return self.one(*choices)

    def forward(self, neuron: _Neuron, below: list[_Neuron], error: _Neuron) -> None:
        """Synapses into the dendrites that make the rate."""
        if neuron.name.startswith("L["):
            return
        place = next((i for i, n in enumerate(below) if n is neuron), len(below))
        sources = [n for n in below[:place] if n is not neuron]
        for _ in range(self.rng.randint(1, 2)):
            source = self.rng.choice(sources[-3:])
            self.synapse(source, neuron, "basal", error)
        if self.maybe(0.3):
            self.synapse(_Neuron("bias", 1, []), neuron, "basal", error)
        if "rec" in neuron.dendrites:
            self.synapse(neuron, neuron, "rec", error, delayed=True)

    def feedback(self, neuron: _Neuron, error: _Neuron) -> None:
        if "apical" in neuron.dendrites:
            self.synapse(error, neuron, "apical", error)

    def synapse(self, pre: _Neuron, post: _Neuron, dendrite: str, error: _Neuron, *, delayed: bool = False) -> None:
        name = self.fresh("W")
        source, members = pre.name, pre.members
        lets = [m for m in pre.members if m.startswith("a")]
        if delayed:
            source = f"prev({pre.name})"
        elif lets and self.maybe(0.3):
            source, members = f"{pre.name}.{lets[0]}", []
        body = [f"init = {self.init(post.size, pre.size)}"] if self.maybe(0.8) else []
        if pre.size > 1 and self.maybe(0.5):
            body.append(f"connect = {self.connect(post.size, pre.size, pre.name == post.name)}")
        if pre.inhibitory is not None and source == pre.name:
            body.append(f"sign = {'inhibitory' if pre.inhibitory else 'excitatory'}")
            body.append("bounds = [-1, 0]" if pre.inhibitory else "bounds = [0, 1]")
        elif self.maybe(0.7):
            body.append(self.one("bounds = [-1, 1]", "bounds = [-0.8, gain]", "sign = free"))
        if self.maybe(0.85):
            body += self.plasticity(name, pre, post, members, error)
        self.items.append(f"synapse {name}: {source} -> {post.name}.{dendrite} {{ {'   '.join(body)} }}")
        self.synapses.append((name, post.size, pre.size))

    def plasticity(self, name: str, pre: _Neuron, post: _Neuron, members: list[str], error: _Neuron) -> list[str]:
        """A rule of one of the kinds: local, with states, with drives."""
        atoms = ["pre", "post", "w", *(f"pre.{m}" for m in members)]
        atoms += [f"post.{m}" for m in [*post.dendrites, *post.members]]
        atoms += [p for p in post.partners if p not in ("x", "y", "context")]
        atoms += [*self.sums, *self.signals]
        body: list[str] = []
        if self.maybe(0.3):
            coefficient = self.fresh("k")
            self.items.append(f"param {coefficient} per {name} = {self.init(post.size, pre.size)}")
            atoms.append(coefficient)
        kind = self.rng.random()
        if kind < 0.25:
            return [*body, f"dw = {self.increment(self.expr(atoms, 3))}"]
        if kind < 0.4:
            signal, step_size = self.expr(atoms), self.one("eta", "half")
            if self.count % 3:
                return [*body, f"dw = local({signal}, {step_size})"]
            self.imports.add('import "rules/heterosynaptic.circ"')
            return [*body, f"dw = hetero({signal}, {step_size}, gain)"]
        if kind < 0.7:
            state = self.fresh("m")
            fresh = " fresh" if self.maybe(0.5) else ""
            start = self.one("0", "0.1", "normal(0, 0.1)")
            body += [f"state {state} = {start}{fresh}", f"d{state} = 0.3 * (tanh({self.expr(atoms)}) * pre - {state})"]
            return [*body, f"dw = {self.increment(self.expr([*atoms, state, state], 3))}"]
        return [*body, *self.driven(atoms)]

    def increment(self, text: str) -> str:
        choice = self.rng.random()
        if choice < 0.5:
            return f"eta * tanh({text}) * pre - eta * gain * w"
        if choice < 0.7:
            return f"eta * ({text} * pre * post / (1 + abs({text})) - w * square(post))"
        return f"-(eta * (sin_like({text})))".replace("sin_like", "tanh")

    def driven(self, atoms: list[str]) -> list[str]:
        """Drives and the slow equations that read them."""
        drive, first, second = self.fresh("g"), self.fresh("m"), self.fresh("m")
        slow = ["w", drive, first, "eta", "fan_in"]
        body = [
            f"drive {drive} = {self.one('pre * post', 'pre')} * tanh({self.expr(atoms)})",
            f"state {first} = 0",
            f"d{first} = 0.2 * ({drive} - {first})",
        ]
        if self.maybe(0.4):
            body += [f"state {second} = 1", f"d{second} = 0.1 * (tanh({self.expr(atoms)}) - {second})"]
            slow.append(second)
        if self.maybe(0.2):
            return [*body, f"dw = {self.increment(self.expr(atoms))}"]
        adam = f"eta * {first} / (sqrt(abs({drive})) + 0.1)"
        tail = self.expr_of_weights(slow)
        return [*body, f"dw = {self.one(adam, f'eta * tanh({tail})', f'eta * ({drive} - 0.1 * w) / fan_in')}"]

    def expr_of_weights(self, atoms: list[str]) -> str:
        """Without noise and flags: what is evaluated once per update may read no more."""
        kept, self.phases = self.phases, []
        text = self.expr(atoms, 2, random=False).replace("train", "1").replace("tick", "1")
        self.phases = kept
        return text

    # ------------------------------------------------------------ scalars

    def modulators(self, out: _Neuron) -> None:
        """Reward, surprise and the like: for rules only, as they may know the target."""
        if self.maybe(0.5):
            name = self.fresh("reward")
            expr = self.one("sum(out * y)", "tanh(loss)", "mean(square(err)) - 0.1", "-norm(err)")
            text = f"modulator {name} = {expr}"
            self.signals.append(name)
            if self.maybe(0.6):
                keep = " keep" if self.maybe(0.6) else ""
                text += f" {{ state base = 0{keep}   dbase = 0.1 * ({self.one(name, 'tanh(loss)')} - base) }}"
                self.signals.append(f"{name}.base")
            self.items.append(text)

    def losses(self, out: _Neuron, size: int) -> None:
        loss = self.one("cross_entropy(out, y)", "mse(out, y)", "sum(square(y - out)) + 0.1 * mean(out)")
        where = [f" {word} {name}" for name, train in self.phases if not train for word in ("at", "over")]
        self.items.append(f"loss = {loss}{self.one('', *where)}")
        metric = self.one("accuracy(out, y)", "mse(out, y)", "max(out) - norm(out)", "mean(out * y)")
        self.items.append(f"task t {{ data = xor   epochs = 1   batch = 2   seed = 1   metric = {metric} }}")
