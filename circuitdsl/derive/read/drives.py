"""What a plasticity rule does to its weight: `dw = rate * (credit ⊗ pre) - decay * w`, or why it does not.

`credit` is the postsynaptic factor s of theory.md, section 3. A rule may pass its drive through linear states
(momentum), or multiply it by a positive number for each synapse (RMSprop, Adam, gains, `1 - w`): the **passage**.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, prod

from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.comparison import ratio
from circuitdsl.derive.algebra.constants import Constants, real, sign
from circuitdsl.derive.algebra.obstacles import (
    BesideStates,
    DrivesItself,
    Idle,
    MayBeNegative,
    Mixing,
    NoDrive,
    NoNumber,
    NoProduct,
    NoRate,
    NotOfOneDrive,
    NotPositive,
    Obstacle,
    OtherGains,
    OtherPresynaptic,
    Pulling,
    Reset,
    SameForAll,
    SeveralDrives,
    TwoDecays,
    Uneven,
)
from circuitdsl.derive.algebra.words import Coefficient, Sum, coefficient, outer, plus, scaled, zero
from circuitdsl.derive.read.leaks import Leaks, most_of, shared_factors
from circuitdsl.derive.read.pulls import Pull, is_pull, per_synapse, pull_of
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.derive.read.ticks import in_training
from circuitdsl.derive.read.units import Units
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.folding import num, product, rebuild
from circuitdsl.graph.idle import OnlyDecays, why_idle
from circuitdsl.graph.intervals import NONNEGATIVE, Range
from circuitdsl.graph.plasticity import Term, split

#: What pulls at a weight in one tick.
Pulls = tuple[Pulling, ...]


@frozen(kw_only=True)
class Passage:
    """What stands between the drive and the weight. `trace`: linear states, a low-pass of the drive. `scale`: a
    positive factor for each synapse; `lagging` if it is made of states that follow the drive, `weight` if
    it depends on the weight itself (`vanishing`: it may be 0), `whole` if it multiplies the decay too and is the
    same for all examples, and then `most` is what it stays below (inf: not known)."""

    trace: bool = False
    scale: ir.Expr | None = None
    lagging: bool = False
    weight: bool = False
    vanishing: bool = False
    whole: bool = False
    most: float = inf

    @property
    def is_open(self) -> bool:
        return not self.trace and self.scale is None


@frozen
class Lockstep:
    """What a rule does between its drive and its weight, whatever the signals: `change` of the weight and, of each
    state, what it starts from and how it changes, or what part of it leaks where it follows the drive. Of nothing in
    between: all empty."""

    change: ir.Expr | None = None
    states: tuple[tuple[float, ir.Expr | float | None], ...] = ()


_ONE, _OPEN = Coefficient(), Passage()
#: From here on a number of a rule is none that a run could use.
HUGE = 10**300


@frozen(kw_only=True)
class Drive:
    """One rule as symbols. `rate` is positive; `decay` is None where there is none, `uneven` tells what else pulls
    at the weight: `pull` if it is a known function of the weight alone, `by_example` (what the weights are multiplied
    by, 0 or more) if it is a decay that differs between examples. `signal` is the credit as a polynomial of units;
    `credit` and `pre` are columns, expanded; `shown` are these as the rule writes them. Rules of equal `lockstep`
    (None: of no other) and transposed drives move alike, as long as their states do."""

    synapse: str
    rate: Coefficient
    signal: Sum
    credit: Sum
    pre: Sum
    decay: Coefficient | None
    uneven: Uneven | None
    passage: Passage
    lockstep: Lockstep | None
    shown: tuple[Sum, Sum]
    pull: Pull | None = None
    by_example: Sum | None = None

    @property
    def matrix(self) -> Sum:
        """rate * credit ⊗ pre of one example."""
        return scaled(outer(self.credit, self.pre), self.rate)


@frozen
class Unread:
    """A rule that is no such drive, and why. `idle`: it never changes its weight."""

    synapse: str
    why: Obstacle
    idle: bool = False


def read_pull(symbols: Symbols, synapse: ir.Synapse) -> tuple[Coefficient | None, Pulls | None]:
    """What pulls at a weight without any signal, in a rule that nothing else drives: the linear decay (None: there is
    none), and the rest. Raises NotLinear."""
    assert synapse.dw is not None
    reader = _Reader(symbols, in_training(synapse))
    decay, uneven, _ = reader.pulls([t for t in split(synapse.dw) if is_pull(t)])
    return decay, uneven


def settles(drive: Drive, constants: Constants) -> bool:
    """Whether the weight has a rest: a linear decay and nothing else, that does not overshoot without end."""
    if drive.decay is None or drive.uneven is not None:
        return False
    most = drive.passage.most if drive.passage.whole and drive.passage.most < inf else 1.0
    return 0 < constants.value(drive.decay) * most < 2


def read_rule(symbols: Symbols, synapse: ir.Synapse) -> Drive | Unread:
    """The rule of a plastic synapse as a drive, or the first thing that stands in the way."""
    assert synapse.dw is not None
    trained = in_training(synapse)
    assert trained.dw is not None
    terms = split(trained.dw)
    found = _read(_Reader(symbols, trained), terms)
    known = terms if trained.dw is synapse.dw else None
    why = None if isinstance(found, Unread) and found.idle else why_idle(symbols.ranges, synapse, known)
    return found if why is None else Unread(synapse.name, Idle(why, synapse.name), idle=True)


def _read(reader: _Reader, terms: Sequence[Term]) -> Drive | Unread:
    try:
        return reader.drive(terms)
    except NotLinear as reason:
        return Unread(reader.synapse.name, reason.obstacle, idle=isinstance(reason.obstacle, NoDrive))


@frozen
class _Reader:
    symbols: Symbols
    synapse: ir.Synapse

    @property
    def _leaks(self) -> Leaks:
        return Leaks(self.symbols, self.synapse, self._number)

    def drive(self, rule: Sequence[Term]) -> Drive | Unread:
        """The drive of the rule that these terms are."""
        terms = [t for t in rule if self._number(t).number]
        whole = shared_factors(terms)
        if whole:
            terms = [replace(t, numeric=tuple(e for e in t.numeric if e not in whole)) for t in terms]
        leaks = self._leaks.of(terms)
        pulls = [t for t in terms if is_pull(t)]
        moving = [t for t in terms if t not in pulls and t not in leaks]
        decay, uneven, pull = self.pulls(pulls)
        if not moving:
            why = Idle(OnlyDecays(), self.synapse.name) if pulls else NoRate()
            return Unread(self.synapse.name, why, idle=True)
        for term in moving:
            if term.mixed:
                raise NotLinear(Mixing(term.mixed[0]))
            if not term.factors():
                raise NotLinear(SameForAll(term.expr()))
        stateful = any(t.states for t in moving)
        passage, sources, rate = self._through_states() if stateful else self._plain(moving)
        within = [t for t in sources if is_pull(t)]  # `drive g = err * pre - gamma * w`
        if within:
            sources = [t for t in sources if t not in within]
            more, other, inner = self.pulls(within, rate, passage)
            pull = inner if uneven is None else None
            decay = more if decay is None else decay if more is None else self.symbols.constants.total([decay, more])
            uneven = (*(uneven or ()), *(other or ())) or None
        if leaks:
            if uneven is not None:
                raise NotLinear(TwoDecays(uneven))
            uneven = tuple(self._pulling(t, _ONE) for t in leaks)
        if whole:
            passage = self._scaled(whole)
        signal, pre, rate = self._outer(sources, rate)
        return Drive(
            synapse=self.synapse.name, rate=rate, signal=signal, credit=self._column(signal), pre=pre, decay=decay,
            uneven=uneven, passage=passage, lockstep=self._lockstep(passage), shown=self._shown(sources), pull=pull,
            by_example=self._leaks.matrix(leaks) if leaks else None,
        )  # fmt: skip

    def _scaled(self, whole: Sequence[ir.Expr]) -> Passage:
        for gain in whole:
            self._check_gain(gain)
        inits = [self.symbols.circuit.coefficients[e.name].init for e in whole if isinstance(e, ir.Coef)]
        most = prod(most_of(init, self.symbols.constants) for init in inits)
        return Passage(scale=product(whole, span=self.synapse.span), whole=True, most=most)

    # ------------------------------------------------------------ numbers

    def _range(self, expr: ir.Expr, weight: Range | None = None) -> Range:
        return self.symbols.ranges.of(expr, self.synapse, weight=weight)

    def _number(self, term: Term) -> Coefficient:
        """The number in front of a term, coefficients of single synapses aside."""
        asked = term.number, term.numeric
        known = self.symbols.numbers.get(asked)
        if known is None:
            known = self.symbols.numbers[asked] = self._new_number(term)
        return known

    def _new_number(self, term: Term) -> Coefficient:
        plain = [e for e in term.numeric if not per_synapse(e)]
        found = None
        if abs(term.number) < HUGE:
            whole = product([num(float(term.number), term.span), *plain], span=term.span)
            found = self.symbols.constants.of(whole)
        if found is None:
            raise NotLinear(NoNumber(product(plain, span=term.span)))
        return found

    def pulls(
        self, terms: Sequence[Term], rate: Coefficient = _ONE, passage: Passage = _OPEN
    ) -> tuple[Coefficient | None, Pulls | None, Pull | None]:
        """The linear decay, and what else pulls at the weight without any signal, term by term and if possible as a
        known function; `rate` and `passage` stand between these terms and the weight."""
        plain = [t for t in terms if passage.is_open and t.power == 1 and not any(map(per_synapse, t.numeric))]
        odd = [t for t in terms if t not in plain]
        for term in odd:
            alone = pull_of([(self._number(term), term.weights)], self.symbols.constants)
            if (alone is None and not self._pulls_back(term)) or rate.number < 0:
                raise NotLinear(DrivesItself(term.expr()))
        found = self.symbols.constants.total([rate * self._number(t) for t in plain]) if plain else None
        decay = None if found is None or not found.number else Coefficient(-found.number, found.params)
        within = not passage.is_open
        others = tuple(self._pulling(t, _ONE if within else rate, within=within) for t in odd)
        known = odd and passage.is_open and not any(per_synapse(e) for t in odd for e in t.numeric)
        pull = pull_of([(rate * self._number(t), t.weights) for t in odd], self.symbols.constants) if known else None
        return decay, others or None, pull

    def _pulling(self, term: Term, rate: Coefficient, *, within: bool = False) -> Pulling:
        """What pulls at the weight, with its number."""
        own = [e for e in term.numeric if per_synapse(e)]
        factors = [*own, *term.signals, *term.pre, *term.weights]
        return Pulling(rate * self._number(term), product(factors, span=term.span), within)

    def _pulls_back(self, term: Term) -> bool:
        """Whether a function of the weight alone never has its sign, and so pulls it toward 0."""
        whole = product([num(real(self._number(term).number), term.span), *term.weights], span=term.span)
        return self._range(whole, -NONNEGATIVE).nonnegative and self._range(whole, NONNEGATIVE).nonpositive

    # ------------------------------------------------------------ between drive and weight

    def _plain(self, moving: Sequence[Term]) -> tuple[Passage, list[Term], Coefficient]:
        """A rule without states: gains and functions of the weight, the same in all terms."""
        scales = {(tuple(e for e in t.numeric if per_synapse(e)), t.weights) for t in moving}
        if len(scales) != 1:
            raise NotLinear(OtherGains())
        gains, weights = scales.pop()
        factors = [*gains, *weights]
        if not factors:
            return Passage(), list(moving), Coefficient()
        for gain in gains:
            self._check_gain(gain)
        scale = product(factors, span=self.synapse.span)
        vanishing = self._may_vanish(weights)
        bare = [replace(t, weights=(), numeric=tuple(e for e in t.numeric if not per_synapse(e))) for t in moving]
        return Passage(scale=scale, weight=bool(weights), vanishing=vanishing), bare, Coefficient()

    def _check_gain(self, gain: ir.Expr) -> None:
        if not self._range(gain).positive:
            raise NotLinear(NotPositive(gain, gain=True))

    def _may_vanish(self, weights: Sequence[ir.Expr]) -> bool:
        """Whether functions of the weight, which have to be 0 or more for all weights that are reached, may be 0."""
        whole = product(weights, span=self.synapse.span)
        found = self._range(whole)
        if not found.nonnegative:
            raise NotLinear(MayBeNegative(whole))
        return not found.positive

    def _through_states(self) -> tuple[Passage, list[Term], Coefficient]:
        """A rule that reads its drive, or traces of it, possibly times positive functions of states."""
        assert self.synapse.dw is not None
        terms = [t for t in split(self.synapse.dw, expand=True) if self._number(t).number]
        moving = [t for t in terms if t.states or t.pre or t.signals]
        if any(t.pre or t.signals or t.weights for t in moving):
            raise NotLinear(BesideStates())
        drives: list[tuple[Term, ...]] = []
        passage = Passage()
        numbers: list[Coefficient] = []
        for term in moving:
            source, trace, others = self._carrier(term)
            if source is None:
                continue
            for other in others:
                if not self._range(other).positive:
                    raise NotLinear(NotPositive(other))
            drives.append(source)
            numbers.append(self._number(term))
            scale = product(others, span=term.span) if others and passage.scale is None else passage.scale
            passage = replace(passage, trace=passage.trace or trace, scale=scale,
                              lagging=passage.lagging or bool(others))  # fmt: skip
        if not drives:
            raise NotLinear(Reset())
        if any(d != drives[0] for d in drives) or len({sign(n) for n in numbers}) != 1:
            raise NotLinear(SeveralDrives())
        if passage.is_open:
            return passage, list(drives[0]), self.symbols.constants.total(numbers)
        turned = -1 if sign(numbers[0]) < 0 else 1  # `dw = -eta * m`
        return passage, [replace(t, number=turned * t.number) for t in drives[0]], _common(numbers)

    def _carrier(self, term: Term) -> tuple[tuple[Term, ...] | None, bool, list[ir.Expr]]:
        """The drive that a term is linear in (None if it is 0), whether through a trace, and the other factors."""
        found = [(s, made) for s in term.states if (made := self._source(s)) is not None]
        if len(found) != 1:
            raise NotLinear(NotOfOneDrive(term.expr()))
        state, (source, trace) = found[0]
        return source, trace, [s for s in term.states if s is not state]

    def _source(self, factor: ir.Expr) -> tuple[tuple[Term, ...] | None, bool] | None:
        """What a drive or a trace is made of, and whether it is a trace; None if it is neither."""
        match factor:
            case ir.DriveRead(name=name):
                return self._drive_terms(name), False
            case ir.SynapseState(name=name):
                return self._trace(self.synapse.state(name))
            case _:
                return None

    def _drive_terms(self, name: str) -> tuple[Term, ...]:
        return split(next(d for d in self.synapse.drives if d.name == name).expr)

    def _trace(self, state: ir.SynapseVar) -> tuple[tuple[Term, ...] | None, bool] | None:
        """A leaky sum with a positive gain of one drive, or of signals of its own."""
        if state.update is None:
            return None
        if state.fresh and self.symbols.opened.one_tick:
            return (None, True) if self.symbols.ranges.start_of(self.synapse, state).is_zero else None
        sources: list[Term] = []
        for term in split(state.update, expand=True):
            value = self.symbols.constants.value(self._number(term))
            if _is_leak(term, state):
                continue
            match term.states:
                case (ir.DriveRead(name=name),) if value > 0 and not (term.pre or term.signals or sources):
                    sources += self._drive_terms(name)
                case () if is_pull(term) or ((term.pre or term.signals) and not term.weights):
                    sources.append(term)
                case _:
                    return None
        return (tuple(sources), True) if sources and 0 < self._leak(state) <= 1 else None

    def _leak(self, state: ir.SynapseVar) -> float:
        """What part of itself a state loses at every update."""
        assert state.update is not None
        own = [t for t in split(state.update, expand=True) if _is_leak(t, state)]
        return -sum(self.symbols.constants.value(self._number(t)) for t in own)

    # ------------------------------------------------------------ the outer product

    def _outer(self, terms: Sequence[Term], rate: Coefficient) -> tuple[Sum, Sum, Coefficient]:
        """The credit (as a polynomial), pre and the rate of a sum of products."""
        pre: Sum | None = None
        signal = zero(self.synapse.post_size, self.synapse.post_size)
        numbers: list[Coefficient] = []
        for term in terms:
            if term.states or term.weights or term.mixed:
                raise NotLinear(NoProduct(term.expr()))
            number = self._number(term) * rate
            if not number.number:
                continue
            found = self._column(self._product(self.symbols.opened, term.pre, self.synapse.pre_size))
            pre = found if pre is None else pre
            factor = ratio(found, pre)
            if factor is None:
                raise NotLinear(OtherPresynaptic())
            numbers.append(number)
            credit = self._product(self.symbols.opened, term.signals, self.synapse.post_size)
            signal = plus(signal, scaled(credit, number * factor))
        if pre is None or not signal.terms or not pre.terms:
            raise NotLinear(NoDrive())
        common = _common(numbers)
        return scaled(signal, common.inverse()), pre, common

    def _product(self, units: Units, factors: Sequence[ir.Expr], size: int) -> Sum:
        """Factors multiplied unit by unit; 1 without any."""
        asked = tuple(factors), size
        found = units.products.get(asked)
        if found is None:
            found = units.products[asked] = units.of(product(factors, span=self.synapse.span), size)
        return found

    def _column(self, poly: Sum) -> Sum:
        return self.symbols.written_out(poly)

    def _shown(self, terms: Sequence[Term]) -> tuple[Sum, Sum]:
        """credit and pre as the rule writes them, dendrites opened by one synapse."""
        plain = self.symbols.plain
        numbers = [self._number(t) for t in terms]
        signal = zero(self.synapse.post_size, self.synapse.post_size)
        for term, number in zip(terms, numbers, strict=True):
            signal = plus(signal, scaled(self._product(plain, term.signals, self.synapse.post_size), number))
        pre = self._product(plain, terms[0].pre, self.synapse.pre_size)
        return self.symbols.shown(scaled(signal, _common(numbers).inverse())), self.symbols.shown(pre)

    # ------------------------------------------------------------ lockstep

    def _lockstep(self, passage: Passage) -> Lockstep | None:
        """What stands between drive and weight. None where that differs from synapse to synapse, starts from noise, or
        follows more than the one drive."""
        if passage.is_open:
            return Lockstep()
        assert self.synapse.dw is not None
        if any(isinstance(e, ir.Coef) for e in ir.walk(self.synapse.dw)) or len(self.synapse.drives) > 1:
            return None
        reading = [s for s in self.synapse.states if s.update is not None and any(ir.reads(s.update))]
        if any(self._trace(s) is None for s in reading) or len(reading) + len(self.synapse.drives) > 1:
            return None
        places = {s.name: str(i) for i, s in enumerate(self.synapse.states)}
        places |= {d.name: str(i) for i, d in enumerate(self.synapse.drives)}
        states: list[tuple[float, ir.Expr | float | None]] = []
        for state in self.synapse.states:
            if not isinstance(state.init, ir.Num | ir.ParamRef):
                return None
            start = self.symbols.constants.of(state.init)
            assert start is not None
            update: ir.Expr | float | None = None
            if state in reading:  # what comes in is the drive, with its gain
                update = _rounded(self._leak(state))
            elif state.update is not None:
                update = self._resolved(state.update, places)
            states.append((_rounded(self.symbols.constants.value(start)), update))
        return Lockstep(self._resolved(self.synapse.dw, places), tuple(states))

    def _resolved(self, expr: ir.Expr, places: dict[str, str]) -> ir.Expr:
        """An equation with numbers for params, states and drives by their place, and everything that signals make left
        out."""

        def plain(e: ir.Expr) -> ir.Expr | None:
            number = self.symbols.constants.of(e)
            if number is not None:
                return num(_rounded(self.symbols.constants.value(number)), e.span)
            match e:
                case ir.SynapseState(name=name) | ir.DriveRead(name=name):
                    return replace(e, name=places[name])
                case ir.Read(axis=axis):
                    own = axis if axis is ir.Axis.PRE else ir.Axis.POST
                    return ir.Read(span=e.span, value="", axis=own)
                case _:
                    return None

        return rebuild(expr, plain)


def _rounded(number: float) -> float:
    """Without the last digits, which the order of a product decides."""
    return float(f"{number:.12g}")


def _is_leak(term: Term, state: ir.SynapseVar) -> bool:
    """Whether a term is a number times the state itself."""
    match term.factors():
        case (ir.SynapseState(name=name),):
            return name == state.name
        case _:
            return False


def _common(numbers: Sequence[Coefficient]) -> Coefficient:
    """What several numbers have in common: their params and, where they agree, their plain number."""
    powers = [dict(n.params) for n in numbers]
    shared = {name: min(p.get(name, 0) for p in powers) for name in set().union(*powers)}
    plain = {abs(n.number) for n in numbers}
    return coefficient(plain.pop() if len(plain) == 1 else 1, shared)
