"""What decay alone forces at rest: that a drive, whatever the rule, agrees with the gradient on the whole.

theory.md, section 3, "The stationary flow". A synapse e at rest has E[drive] = gamma W, so that its drive times the
negative gradient is gamma f_e. Flows are conserved (derive/prove/conservation.py), and the flow of a synapse t that is
known to follow its gradient, at rest with a decay, is f_t = gamma_t / c_t tr(W_t^T H^-1 W_t) >= 0: a **top**. Where
conservation alone gives f_e = sum of mu_t f_t with all mu_t >= 0, not all 0, the sign of f_e is forced, and its value
known; where it does not, there are flows within all that is known with f_e < 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from fractions import Fraction
from typing import Any, Literal

from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.comparison import is_positive_diagonal
from circuitdsl.derive.algebra.constants import negative
from circuitdsl.derive.algebra.linear import Elimination, TooLarge, combined
from circuitdsl.derive.algebra.obstacles import Obstacle
from circuitdsl.derive.algebra.polynomials import signals_of_sum
from circuitdsl.derive.algebra.words import Coefficient, depends_on_example
from circuitdsl.derive.prove.conservation import Equation, Flow, Flows, Synaptic, Wired, flows_of
from circuitdsl.derive.prove.hypotheses import AtRest, Homogeneous, Hypothesis, Nontrivial, Unbound
from circuitdsl.derive.read.constraints import is_dense, is_free
from circuitdsl.derive.read.drives import Drive, Unread, read_rule
from circuitdsl.derive.read.roles import Roles, roles_of, unsettled
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph import ir
from circuitdsl.graph.folding import product, total
from circuitdsl.graph.plasticity import split


@frozen(kw_only=True)
class Known:
    """A synapse whose credit is `factor` times H times its gradient, the same H for all examples.

    `h`: what H is: the identity, a positive diagonal (also over presynaptic units, or weights), or any symmetric and
    positive semidefinite matrix. `hypotheses`: what that rests on."""

    verdict: Literal["exact", "gradient"]
    factor: Coefficient
    h: Literal["identity", "diagonal", "symmetric"] = "identity"
    hypotheses: tuple[Hypothesis, ...] = ()


# ---------------------------------------------------------------- what is found


@frozen(kw_only=True)
class Share:
    """What a top contributes to a flow: `amount` * tr(W^T H^-1 W), `amount` being mu gamma / c. `h` as in `Known`."""

    synapse: str
    amount: Coefficient
    h: Literal["identity", "diagonal", "symmetric"]


@frozen(kw_only=True)
class Balance:
    """At rest `E<drive, -grad>`, summed over `synapses` (one, or all that are into one population with equal
    decay), is gamma times the sum of the `shares`: positive, whatever the rules are, by the conservation of flow at
    the populations `through`.

    `gamma` is the decay by the rate of the drive (of several synapses: the decay itself, and their updates instead of
    their drives). `per_neuron`: it has this further factor of its own for each neuron, and the shares are
    to be read neuron by neuron, W's columns apart."""

    synapses: tuple[str, ...]
    gamma: Coefficient
    shares: tuple[Share, ...]
    through: tuple[str, ...]
    hypotheses: tuple[Hypothesis, ...]
    per_neuron: ir.Expr | None = None


@frozen
class ManyTicks:
    """Examples take several ticks."""


@frozen
class Unreadable:
    """The rule is no drive, or the gradient of evaluation says little about it."""

    why: Obstacle


@frozen
class Passed:
    """Traces, or factors of single synapses, stand between the drive and the weight."""


@frozen
class NoRest:
    """The synapse does not lose the same part of all its weights: its rest is not E[drive] = gamma W."""


@frozen
class NoTop:
    """The flow of no other synapse is known: none follows its gradient and decays."""


@frozen
class Unscaled:
    """The flow ends in a value that does not scale with what reaches it through weights, such as a sigmoid, a rate
    with an additive number, or a loss that reads a hidden population."""

    value: str
    read: str


@frozen
class Parted:
    """The flow parts, or comes together, with flows of unknown sign: through synapses or, by their names, values."""

    others: tuple[str, ...]


@frozen
class Opposed:
    """The flow is made of tops, but some of them count against it."""

    tops: tuple[str, ...]


@frozen
class Still:
    """The flow is 0 in every state: no weight above changes the loss in proportion."""


@frozen
class TooMany:
    """There are too many flows to be solved for."""


Why = ManyTicks | Unreadable | Passed | NoRest | NoTop | Unscaled | Parted | Opposed | Still | TooMany


@frozen
class Unbalanced:
    """Conservation does not decide the sign of a synapse's flow."""

    synapse: str
    why: Why


@frozen
class Balances:
    """What balance says of each synapse that was asked about, and of all those into a population together, where it
    says nothing of one of them."""

    of: dict[str, Balance | Unbalanced]
    together: tuple[Balance, ...] = ()


# ---------------------------------------------------------------- asking


def balances(
    symbols: Symbols, rules: Mapping[str, Drive | Unread], known: Mapping[str, Known], asked: Iterable[str]
) -> Balances:
    """Whether balance forces the sign of E<drive, -grad> at rest, for each synapse `asked` about.

    `known`: the learning synapses that are shown to follow their gradients; those that have no rest of their own are
    left out."""
    names = sorted(asked)
    if not names:
        return Balances({})
    if not symbols.opened.one_tick:
        return Balances({name: Unbalanced(name, ManyTicks()) for name in names})
    bank = _Bank(symbols, rules, known)
    found = {name: bank.balance(name) for name in names}
    return Balances(found, tuple(bank.together(found)))


@mutable
class _Bank:
    """The flows of one circuit, with what is known of them."""

    symbols: Symbols
    rules: Mapping[str, Drive | Unread]
    known: Mapping[str, Known]
    flows: Flows = field(init=False)
    roles: Roles = field(init=False)
    tops: dict[Flow, Known] = field(init=False)
    whole: Elimination[Flow] | None = field(init=False)
    homogeneous: dict[str, Homogeneous] = field(default_factory=dict)  # one object each, as deep circuits name many

    def __post_init__(self) -> None:
        self.flows = flows_of(self.symbols.circuit, self.symbols.constants)
        self.roles = roles_of(self.symbols.circuit)
        able = {Synaptic(n): k for n, k in self.known.items() if n in self.flows.synapses and self._is_top(n, k)}
        self.tops = dict(sorted(able.items(), key=lambda item: (_weakness(item[1]), item[0])))
        self.whole = self._solved(self.flows.equations, self.tops) if self.tops else None

    def _is_top(self, name: str, known: Known) -> bool:
        rule = self.rules[name]
        synapse = self.symbols.circuit.synapses[name]
        if not isinstance(rule, Drive) or not rule.passage.is_open or not self._settles(rule):
            return False
        return known.factor.number > 0 and (known.h != "symmetric" or is_dense(synapse))

    def _settles(self, rule: Drive) -> bool:
        """Whether the weight has a rest: one linear decay and nothing else, that does not overshoot without end."""
        return rule.uneven is None and rule.decay is not None and 0 < self.symbols.constants.value(rule.decay) < 2

    def _solved(self, equations: Iterable[Equation], tops: Mapping[Flow, Known]) -> Elimination[Flow] | None:
        """The equations, solved for what is no top as far as they can be; None if there are too many."""
        places = {flow: i for i, flow in enumerate(reversed(list(tops)), start=1)}  # weaker ones are solved for first

        def rank(flow: Flow) -> tuple[Any, ...]:
            return places.get(flow, 0), isinstance(flow, Synaptic), -self.flows.depth(flow), flow

        solver: Elimination[Flow] = Elimination(rank)
        try:
            for equation in equations:
                solver.add(equation.row, self.flows.population(equation.value))
        except TooLarge:
            return None
        return solver

    # ------------------------------------------------------------ one synapse

    def balance(self, name: str) -> Balance | Unbalanced:
        rule = self.rules[name]
        synapse = self.symbols.circuit.synapses[name]
        if not self.tops:
            return Unbalanced(name, NoTop())
        changed = unsettled(self.roles, synapse)
        if changed is not None:
            return Unbalanced(name, Unreadable(changed))
        if isinstance(rule, Drive) and not rule.passage.is_open:
            return Unbalanced(name, Passed())
        if isinstance(rule, Drive) and self._settles(rule):
            assert rule.decay is not None
            return self._decided((name,), self.whole, self.tops, rule.decay * rule.rate.inverse(), None)
        own = self._decay_per_neuron(synapse)
        if own is None:
            return Unbalanced(name, Unreadable(rule.why) if isinstance(rule, Unread) else NoRest())
        near = [e for e in self.flows.equations if self.flows.population(e.value) == synapse.post and e.elementwise]
        tops = {flow: k for flow, k in self.tops.items() if k.h == "identity"}
        return self._decided((name,), self._solved(near, tops), tops, *own)

    def _decay_per_neuron(self, synapse: ir.Synapse) -> tuple[Coefficient, ir.Expr] | None:
        """The decay of a rule whose only pull at the weight is linear, with a positive number for each postsynaptic
        neuron: by the rate of its drive, and what that number is."""
        assert synapse.dw is not None
        terms = split(synapse.dw)
        pulls = [t for t in terms if t.power == 1 and t.signals and not (t.pre or t.states)]
        if len(pulls) != 1:
            return None
        (pull,) = pulls
        number = self.symbols.constants.of(pull.coefficient())
        own = product(pull.signals, span=pull.span)
        if number is None or number.number >= 0 or not self._is_fixed_and_positive(own, synapse.post_size):
            return None
        moving = total([t.expr() for t in terms if t is not pull], span=synapse.span)
        rest = read_rule(self.symbols, replace(synapse, dw=moving))
        if not isinstance(rest, Drive) or not rest.passage.is_open or rest.decay is not None or rest.uneven is not None:
            return None
        return negative(number) * rest.rate.inverse(), own

    def _is_fixed_and_positive(self, expr: ir.Expr, size: int) -> bool:
        """Whether a signal of neurons is above 0 in each of them, and the same for all examples and at all times."""
        try:
            found = self.symbols.opened.of(expr, size)
        except NotLinear:
            return False
        fixed = all(self.symbols.is_fixed(s) for s in signals_of_sum(found))
        return fixed and not depends_on_example(found) and is_positive_diagonal(found)

    # ------------------------------------------------------------ flows

    def _decided(
        self, names: tuple[str, ...], solver: Elimination[Flow] | None, tops: Mapping[Flow, Known],
        gamma: Coefficient, per_neuron: ir.Expr | None,
    ) -> Balance | Unbalanced:  # fmt: skip
        """What the equations make of the flow through some synapses together."""
        asked: dict[Flow, Fraction] = {Synaptic(name): Fraction(1) for name in names}
        try:
            if solver is None:
                raise TooLarge
            row, grounds = solver.expressed(asked)
            shares = self._shares(solver, tops, row, names)
        except TooLarge:
            return Unbalanced(names[0], TooMany())
        if not isinstance(shares, dict):
            return Unbalanced(names[0], shares)
        through = tuple(sorted(grounds))
        found = tuple(self._share(top, tops[top], number) for top, number in shares.items())
        return Balance(
            synapses=names, gamma=gamma, shares=found, through=through, per_neuron=per_neuron,
            hypotheses=self._hypotheses(names, through, [(s.synapse, tops[Synaptic(s.synapse)]) for s in found]),
        )  # fmt: skip

    def _shares(
        self, solver: Elimination[Flow], tops: Mapping[Flow, Known], row: Mapping[Flow, Fraction],
        names: Sequence[str],
    ) -> dict[Flow, Fraction] | Why:  # fmt: skip
        """How much of each top a flow is; a reason, if it is no sum of tops."""
        if not row:
            return Still()
        free = [flow for flow in row if flow not in tops]
        if free:
            return self._open(solver, names, free)
        if all(number > 0 for number in row.values()):
            return dict(row)
        given = {top: solver.expressed({top: Fraction(1)})[0] for top in tops}
        shares = combined(row, given)
        if shares is None:
            return Opposed(tuple(sorted(f.synapse for f, n in row.items() if n < 0 and isinstance(f, Synaptic))))
        return shares

    def _open(self, solver: Elimination[Flow], names: Sequence[str], free: Sequence[Flow]) -> Why:
        """Where flows of unknown sign come in: at an equation that does not scale, where ways part, or at the loss."""
        users = sorted({user for flow in free for user in solver.users.get(flow, set())}, key=repr)
        wires = [flow for flow in sorted(free, key=repr) + users if isinstance(flow, Wired)]
        for wire in wires:
            if wire.value in self.flows.closed.get(wire.reader, frozenset()):
                return Unscaled(wire.reader, wire.value)
        places = {self.flows.place(flow) for flow in free}
        beside = [flow for flow in users if len(solver.solved[flow]) > 1 and self.flows.place(flow) in places]
        others = {_name(flow) for flow in (*free, *beside) if self.flows.joins(flow)}
        if others - set(names):
            return Parted(tuple(sorted(others - set(names))))
        read = next((wire for wire in wires if wire.reader == "loss"), None)
        return Parted(()) if read is None else Unscaled("loss", read.value)

    def _share(self, top: Flow, known: Known, number: Fraction) -> Share:
        assert isinstance(top, Synaptic)
        rule = self.rules[top.synapse]
        assert isinstance(rule, Drive)
        assert rule.decay is not None
        amount = Coefficient(number) * rule.decay * (rule.rate * known.factor).inverse()
        return Share(synapse=top.synapse, amount=amount, h=known.h)

    def _hypotheses(
        self, names: Sequence[str], through: Sequence[str], tops: Sequence[tuple[str, Known]]
    ) -> tuple[Hypothesis, ...]:
        resting = list(dict.fromkeys([*names, *(top for top, _ in tops)]))
        bound = [n for n in resting if not is_free(self.symbols.circuit.synapses[n])]
        found: list[Hypothesis] = [AtRest(n) for n in resting]
        found += [Unbound(n) for n in bound]
        found += [Nontrivial(top) for top, _ in tops]
        found += [h for _, known in tops for h in known.hypotheses]
        between = [self._homogeneous(population) for population in through]
        return (*dict.fromkeys(found), *between)

    def _homogeneous(self, population: str) -> Homogeneous:
        if population not in self.homogeneous:
            self.homogeneous[population] = Homogeneous(population)
        return self.homogeneous[population]

    # ------------------------------------------------------------ several synapses

    def together(self, found: Mapping[str, Balance | Unbalanced]) -> Iterable[Balance]:
        """Of populations into which balance leaves a synapse open: all their synapses, if they decay alike."""
        left = sorted({self.symbols.circuit.synapses[n].post for n, b in found.items() if isinstance(b, Unbalanced)})
        for population in left if self.whole is not None else ():
            into = [s for s in self.symbols.circuit.synapses.values() if s.post == population]
            names = tuple(sorted(s.name for s in into if s.name in self.flows.synapses))
            decay = self._same_decay(names)
            if len(names) > 1 and decay is not None:
                judged = self._decided(names, self.whole, self.tops, decay, None)
                if isinstance(judged, Balance):
                    yield judged

    def _same_decay(self, names: Sequence[str]) -> Coefficient | None:
        """What all these synapses lose of themselves per update, if it is the same."""
        decays: list[Coefficient] = []
        for name in names:
            rule = self.rules.get(name)
            synapse = self.symbols.circuit.synapses[name]
            if not isinstance(rule, Drive) or not rule.passage.is_open or not self._settles(rule):
                return None
            if unsettled(self.roles, synapse) is not None:
                return None
            assert rule.decay is not None
            decays.append(rule.decay)
        equal = self.symbols.constants.equal
        return decays[0] if decays and all(equal(decays[0], d) for d in decays[1:]) else None


def _weakness(known: Known) -> tuple[bool, bool, int]:
    """How much a top assumes: the less, the earlier it is used."""
    return known.verdict != "exact", known.h != "identity", len(known.hypotheses)


def _name(flow: Flow) -> str:
    match flow:
        case Synaptic(synapse):
            return synapse
        case Wired(value, _):
            return value
