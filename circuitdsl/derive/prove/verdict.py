"""The verdict on every learning synapse: what its own plasticity amounts to, and whether that is a gradient.

theory.md, sections 3 and 4. Symbols only: no data is seen here, and no words are made (derive/tell). Where no relation
decides, the verdict is None and the reasons tell which step failed and what is missing; a certificate may then measure
it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count, islice

from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.comparison import is_positive_diagonal
from circuitdsl.derive.algebra.constants import sign
from circuitdsl.derive.algebra.obstacles import Obstacle
from circuitdsl.derive.algebra.words import Matrix, names, weights_in
from circuitdsl.derive.prove.assumptions import Assumed, of_drive, of_masks, of_relation, of_units, unique
from circuitdsl.derive.prove.balanced import balanced
from circuitdsl.derive.prove.depth import depth_conditions
from circuitdsl.derive.prove.dual import Dual
from circuitdsl.derive.prove.findings import Finding, Proof, Role, Verdict, consistent
from circuitdsl.derive.prove.hypotheses import (
    AtRest,
    Hypothesis,
    Live,
    ManyDraws,
    MeanField,
    Nontrivial,
    SmallSteps,
    Spectral,
)
from circuitdsl.derive.prove.levels import Levels
from circuitdsl.derive.prove.matching import Form, divided, forms
from circuitdsl.derive.prove.missing import Search, almost, missing
from circuitdsl.derive.prove.over_ticks import Reading, reading_of
from circuitdsl.derive.prove.reasons import (
    AgainstEach,
    Arrives,
    Between,
    Collapsed,
    CreditIs,
    Fades,
    FollowsReward,
    GatesDropped,
    GradientIs,
    Holds,
    IsPositive,
    Lack,
    LeaksByError,
    MixesExamples,
    MixesNeurons,
    NoGradient,
    NoRule,
    NoScore,
    NotShown,
    OtherRate,
    OtherReward,
    Penalised,
    Reason,
    RewardIsLoss,
    Unrelated,
    Unseeing,
)
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.prove.rest import Collapse, Rest, Spectrum, at_all_rests
from circuitdsl.derive.prove.rewriting import Steps, steps_of
from circuitdsl.derive.prove.score import Score, score_of
from circuitdsl.derive.prove.transport import Grounds, Transport
from circuitdsl.derive.read.canonical import canonical
from circuitdsl.derive.read.constraints import is_free
from circuitdsl.derive.read.drives import Drive, Passage, Unread
from circuitdsl.derive.read.roles import Roles, cannot_see_error, roles_of, rule_kind, unsettled
from circuitdsl.derive.read.silent import silent_in, without_currents
from circuitdsl.derive.read.symbols import Symbols, ranges_of
from circuitdsl.derive.read.ticks import one_tick, without_phase
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.graph.idle import FadesWith, Why, fading


def judge(circuit: ir.Circuit) -> Proof:
    """What the circuit's plasticity amounts to, symbolically. A circuit without a loss gets no verdicts."""
    with _no_collection():
        return _derived(circuit)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without looking for unused loops of objects: a derivation makes many objects and hardly a loop. What it made
    counts as old afterwards, and is looked at when all of it is."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def _derived(circuit: ir.Circuit) -> Proof:
    written = without_phase(circuit)
    circuit = canonical(written)
    ranges = ranges_of(circuit)
    silent = silent_in(ranges)
    if silent:
        written = without_currents(written, silent)
        circuit = canonical(written)
        ranges = ranges_of(circuit)
    reading = reading_of(circuit, ranges)
    symbols, rules, learning, motifs = reading.symbols, reading.rules, reading.learning, reading.motifs
    drives = [d for d in rules.values() if isinstance(d, Drive)]
    by_synapse: dict[str, list[Relation]] = {}
    for relation in reading.relations:
        for name in dict.fromkeys(relation.synapses):
            by_synapse.setdefault(name, []).append(relation)
    single = one_tick(circuit)
    rest = at_all_rests(symbols, drives, motifs.opposed(), learning) if single else Rest()
    levels = Levels(symbols)
    transports = _Transports(levels, _transports(levels, reading.relations, _readouts(rules, learning)))
    roles = roles_of(circuit)
    idle = {name for name, rule in rules.items() if isinstance(rule, Unread) and rule.idle}
    court = _Court(
        circuit, reading, (roles, roles_of(reading.circuit) if reading.circuit is not circuit else roles), symbols,
        learning, rules, by_synapse, transports, rest, fading(symbols.ranges, idle) if single else {},
    )  # fmt: skip
    found = {name: court.finding(s) for name, s in circuit.synapses.items()}
    findings, dc = consistent({name: found[name] for name in written.synapses})
    findings = balanced(symbols, rules, findings) if single else findings
    return Proof(
        circuit=written,
        symbols=symbols,
        findings=findings,
        between=tuple(reading.relations),
        motifs=motifs,
        rest=rest,
        dc=dc,
        depth=depth_conditions(symbols, rules) if single else (),
    )


@mutable
class _Transports:
    """The ways down of one circuit, the surest first, each found when it is asked for."""

    levels: Levels
    others: Iterator[Transport]
    found: list[Transport] = field(default_factory=list)

    def __iter__(self) -> Iterator[Transport]:
        for i in count():
            if i == len(self.found):
                self.found += islice(self.others, 1)
            if i == len(self.found):
                return
            yield self.found[i]

    @property
    def first(self) -> Transport:
        return next(iter(self))

    @property
    def last(self) -> Transport:
        self.found += self.others
        return self.found[-1]


def _transports(levels: Levels, relations: Sequence[Relation], first: frozenset[str]) -> Iterator[Transport]:
    """The way down by more and more relations: tied ones, exact ones, those at rest, those without gates."""
    exact = [r for r in relations if r.holds in ("tied", "exact")]
    kept = [r for r in relations if not r.mean_field]
    tied = [r for r in exact if r.holds == "tied"]
    before: Steps | None = None
    for chosen, mean_field in ((tied, False), (exact, False), (kept, False), (relations, True)):
        steps = steps_of(chosen, first)
        if steps != before or mean_field:
            yield Transport(levels, steps, mean_field)
        before = steps


def _readouts(rules: Mapping[str, Drive | Unread], learning: frozenset[str]) -> frozenset[str]:
    """The weights that stand first in the credit of a learning weight."""
    found: set[str] = set()
    for name, rule in rules.items():
        if name in learning and isinstance(rule, Drive):
            for term in rule.credit.terms:
                first = next((x for x in term.word if isinstance(x, Matrix)), None)
                found |= {first.name} if first is not None else set()
    return frozenset(found)


@dataclass(frozen=True)
class _Court:
    """All that verdicts on one circuit's synapses need."""

    circuit: ir.Circuit
    reading: Reading
    roles: tuple[Roles, Roles]  # of all ticks, and of those in which the loss is read
    symbols: Symbols
    learning: frozenset[str]
    rules: Mapping[str, Drive | Unread]
    relations: Mapping[str, Sequence[Relation]]  # by synapse
    transports: _Transports
    rest: Rest
    fading: Mapping[str, Why]
    assumed: dict[Grounds, Assumed] = field(default_factory=dict)

    @cached_property
    def _search(self) -> Search:
        return Search(self.symbols, self.rules, self.transports.last)

    def finding(self, synapse: ir.Synapse) -> Finding:
        rule = self.reading.shown.get(synapse.name)
        role: Role = "fixed" if rule is None else "learning" if synapse.name in self.learning else "auxiliary"
        found = Finding(synapse=synapse.name, role=role, rule=rule_kind(self.circuit, synapse), drive=rule)
        match role:
            case "fixed":
                return replace(found, reasons=(NoRule(),))
            case "auxiliary":
                return replace(found, reasons=self._about_auxiliary(synapse))
            case "learning":
                barred = synapse.name in self.reading.obstacles
                return self._judged(found if barred else self._with_gradient(found, synapse), synapse)

    def _about_auxiliary(self, synapse: ir.Synapse) -> tuple[Reason, ...]:
        rule = self.rules[synapse.name]
        own = tuple(map(Holds, self.relations.get(synapse.name, ())))
        if own:
            return own
        if isinstance(rule, Unread):
            return (Unrelated(rule.why),)
        return (almost(self._search, rule) or Unrelated(),)

    def _with_gradient(self, found: Finding, synapse: ir.Synapse) -> Finding:
        try:
            level = self.transports.levels.level(synapse.dendrite)
        except NotLinear:
            return found
        named = self.transports.first.named_errors(level)
        signal = self.transports.levels.delta(synapse.dendrite)
        return replace(found, delta=named, delta_signal=signal)

    # ------------------------------------------------------------ one learning synapse

    def _judged(self, found: Finding, synapse: ir.Synapse) -> Finding:
        rule = self.rules[synapse.name]
        blind: Obstacle | None = cannot_see_error(self.roles[0], synapse)
        if blind is None and isinstance(rule, Unread) and rule.idle:
            blind = rule.why
        if blind is not None:
            return self._blind(found, synapse, blind)
        try:
            found = self._compared(found, synapse, rule)
        except NotLinear as reason:
            found = _not_shown(found, NoGradient(reason.obstacle))
        if synapse.name in self.fading and found.verdict != "exact":
            why = self.fading[synapse.name]
            gone = why.synapses if isinstance(why, FadesWith) else (synapse.name,)
            return replace(
                found, phi_sign=0, follows=False, verdict="none", evidence="derived", form=None, grounds=None,
                dual=None, assumed=Assumed(tuple(map(AtRest, gone))), reasons=(Fades(why, synapse.name),),
            )  # fmt: skip
        return found

    def _blind(self, found: Finding, synapse: ir.Synapse, why: Obstacle) -> Finding:
        """A rule that no error reaches; but it may follow a part of the loss that compares with no data."""
        rule = self.rules[synapse.name]
        idle = isinstance(rule, Unread) and rule.idle
        seen = () if idle else self.roles[0].penalties_of(synapse.name)
        if not seen:
            return replace(found, phi_sign=0, verdict="none", evidence="proved", reasons=(Unseeing(why),))
        return _not_shown(found, Penalised(seen))

    def _compared(self, found: Finding, synapse: ir.Synapse, rule: Drive | Unread) -> Finding:
        score = score_of(self.symbols, synapse, rule) if isinstance(rule, Drive) else None
        obstacle = None if score is not None else self._obstacle(synapse, rule)
        if obstacle is not None or isinstance(rule, Unread):
            assert obstacle is not None
            return _not_shown(found, obstacle)
        best = self._best(rule, synapse.dendrite)
        if synapse.name in self.rest.silent and (best is None or self._grounds(best[1]).rests):
            return self._collapsed(found, self.rest.silent[synapse.name])
        source = divided(rule.pre, self.symbols.source(synapse.source))
        known = [] if source is None else forms(source, mean_field=False)
        pre = next((form for form in known if form.is_symmetric), None)  # H x K is positive if one of them is symmetric
        if pre is None:
            return _not_shown(found, OtherRate(rule.shown[1]))
        if score is not None:
            return self._scored(found, pre, score)
        dual = self._dual(rule, synapse.dendrite) if best is None or not best[0].constant else None
        if dual is not None and (best is None or dual[0].constant):
            return self._decided_by_dual(found, rule, pre, *dual)
        if best is None:
            return _not_shown(found, missing(self._search, rule, synapse.dendrite))
        return self._decided(found, rule, pre, *best)

    def _scored(self, found: Finding, pre: Form, score: Score) -> Finding:
        """A rule that is a gradient on average over its draws, if that of the loss."""
        if not score.scored:
            return _not_shown(found, NoScore(score))
        if score.factor is None:
            return _not_shown(found, OtherReward(score))
        found = replace(found, reasons=(FollowsReward(score), RewardIsLoss(score)))
        if not pre.is_identity:
            return found
        phi = sign(score.factor) * sign(pre.factor)
        drawn = ManyDraws(self.circuit.synapses[found.synapse].post)
        assumed = Assumed(unique([drawn, *of_units(self.symbols.opened)]))
        verdict: Verdict = "gradient" if phi > 0 else "ascent"
        return replace(found, phi_sign=phi, follows=True, verdict=verdict, evidence="derived", assumed=assumed)

    def _collapsed(self, found: Finding, collapses: Sequence[Collapse]) -> Finding:
        assumed = Assumed(unique(h for collapse in collapses for h in collapse.assumes))
        reasons = tuple(Collapsed(c, found.synapse) for c in collapses[:1])
        return replace(found, phi_sign=0, verdict="none", evidence="derived", assumed=assumed, reasons=reasons)

    def _obstacle(self, synapse: ir.Synapse, rule: Drive | Unread) -> Obstacle | None:
        """What keeps a rule from being compared with the gradient at all."""
        barred = self.reading.obstacles.get(synapse.name)
        if barred is not None:
            return barred
        if isinstance(rule, Unread):
            return rule.why
        return unsettled(self.roles[1], self.reading.circuit.synapses[synapse.name])

    def _best(self, rule: Drive, dendrite: str) -> tuple[Form, Grounds] | None:
        """The surest way to see the credit as the gradient: with few relations, and an H that is the same for all
        examples."""
        varying: tuple[Form, Grounds] | None = None
        obstacle: NotLinear | None = None
        for transport in self.transports:
            try:
                found = transport.compare(rule.signal, dendrite)
                obstacle = None
            except NotLinear as reason:  # with fewer relations there is more to write out
                obstacle, found = reason, []
            for form, grounds in found:
                if form.constant:
                    return form, grounds
                varying = varying or (form, grounds)
        if obstacle is not None:
            raise obstacle
        return varying

    def _dual(self, rule: Drive, dendrite: str) -> tuple[Dual, Grounds] | None:
        """The surest way to see the gradient as a positive matrix times the credit."""
        varying: tuple[Dual, Grounds] | None = None
        for transport in self.transports:
            with suppress(NotLinear):
                for dual, grounds in transport.duals(rule.signal, dendrite):
                    if dual.constant:
                        return dual, grounds
                    varying = varying or (dual, grounds)
        return varying

    def _decided_by_dual(self, found: Finding, rule: Drive, pre: Form, dual: Dual, grounds: Grounds) -> Finding:
        """The verdict on a credit of which the gradient is a positive multiple, though that may have no inverse."""
        assert found.delta_signal is not None
        constant = dual.constant and pre.constant
        obstacle = self._mixed(rule, constant=constant, diagonal=dual.is_diagonal and pre.is_diagonal)
        if obstacle is not None:
            return _not_shown(found, obstacle)
        plastic = weights_in(self.transports.levels.level(self.circuit.synapses[rule.synapse].dendrite))
        assumed = self._assumed(rule, plastic, grounds, live=not constant and not dual.invertible)
        phi = sign(dual.factor) * sign(pre.factor)
        if phi < 0 and not constant:
            return replace(_not_shown(found, AgainstEach()), phi_sign=-1, assumed=assumed)
        verdict: Verdict = "aligned" if not constant else "gradient" if dual.invertible else "descent"
        return replace(
            found, phi_sign=phi, verdict="ascent" if phi < 0 else verdict, assumed=assumed, dual=dual, grounds=grounds,
            follows=verdict == "gradient", evidence="proved" if assumed.proved else "derived",
            reasons=(*_of_grounds(grounds), GradientIs(dual, found.delta_signal), IsPositive(dual.squares)),
        )  # fmt: skip

    def _decided(self, found: Finding, rule: Drive, pre: Form, form: Form, grounds: Grounds) -> Finding:
        """The verdict on a credit that is `form` of the gradient."""
        delta = found.delta_signal
        assert delta is not None
        found = replace(found, form=form, pre=pre, grounds=grounds)
        phi = sign(form.factor) * sign(pre.factor)
        constant, diagonal = form.constant and pre.constant, form.is_diagonal and pre.is_diagonal
        obstacle = self._mixed(rule, constant=constant, diagonal=diagonal)
        if obstacle is not None:
            return _not_shown(found, obstacle)
        made = frozenset().union(*(weights_in(a) for each in (form, pre) for a in (each.h, each.over)))
        positive = all(is_positive_diagonal(each.h) for each in (form, pre))
        assumed = self._assumed(rule, made, grounds, live=not constant and not positive)
        if phi < 0 and not constant:
            return replace(_not_shown(found, AgainstEach()), phi_sign=-1, assumed=assumed)
        verdict: Verdict
        if not constant:
            verdict = "aligned"
        elif form.is_identity and pre.is_identity and rule.passage.is_open and assumed.lasting:
            verdict = "exact"
        else:
            verdict = "gradient"
        if phi < 0:
            verdict = "ascent"
        return replace(
            found, phi_sign=phi, follows=True, verdict=verdict, assumed=assumed,
            evidence="proved" if assumed.proved else "derived",
            reasons=(*_of_grounds(grounds), *_of_form(form, rule.passage), CreditIs(form, pre, delta)),
        )  # fmt: skip

    def _mixed(
        self, rule: Drive, *, constant: bool, diagonal: bool
    ) -> MixesNeurons | MixesExamples | LeaksByError | None:
        """Why a positive matrix in front of the credit says nothing of the update."""
        if rule.passage.scale is not None and not diagonal:
            return MixesNeurons()
        if not constant and (rule.passage.trace or rule.passage.lagging):
            return MixesExamples()
        leak = frozenset() if rule.by_example is None else names(rule.by_example)
        return LeaksByError() if any(map(self.symbols.is_hot, leak)) else None

    # ------------------------------------------------------------ what is assumed

    def _assumed(self, rule: Drive, made: Set[str], grounds: Grounds, *, live: bool) -> Assumed:
        """Everything that a state has to meet for a comparison to say something of it; `made`: the weights that the
        positive matrix is made of; `live`: that matrix may be 0 for an example."""
        plastic = [n for n in sorted(made) if self.circuit.synapses[n].dw is not None]
        own: list[Hypothesis] = [*of_drive(rule), *of_units(self.symbols.opened), *map(Nontrivial, plastic)]
        own += map(SmallSteps, self.reading.drifting.get(rule.synapse, ()))
        own += [Live(rule.synapse)] if live else []
        own += of_masks(self.circuit, sorted({rule.synapse, *weights_in(rule.credit)}))
        return Assumed(unique(own), (self._grounds(grounds),))

    def _grounds(self, grounds: Grounds) -> Assumed:
        """What the relations of a statement, and the lemmas that it stands on, assume: each lemma once."""
        waiting = [grounds]
        while waiting:
            last = waiting[-1]
            open_ = [x.grounds for x in last.lemmas if x.grounds not in self.assumed]
            if last in self.assumed or not open_:
                waiting.pop()
            if last not in self.assumed and not open_:
                by = tuple(self.assumed[x.grounds] for x in last.lemmas)
                self.assumed[last] = Assumed(unique(self._own(last)), by)
            waiting += open_
        return self.assumed[grounds]

    def _own(self, grounds: Grounds) -> Iterator[Hypothesis]:
        yield from map(MeanField, grounds.gates)
        for relation in grounds.relations:
            yield from of_relation(self.circuit, relation)
            for spectrum in self.rest.spectra_of(relation.synapses) if relation.holds == "rest" else ():
                found = self._spectral(spectrum)
                if found is not None:
                    yield found

    def _spectral(self, spectrum: Spectrum) -> Spectral | None:
        """The condition of a loop that no bound can hold elsewhere."""
        free = all(is_free(self.circuit.synapses[name]) for name in spectrum.loop.synapses)
        return spectrum.hypothesis if free else None


# ---------------------------------------------------------------- reasons


def _not_shown(found: Finding, lack: Lack) -> Finding:
    return replace(found, reasons=(NotShown(lack),))


def _of_grounds(grounds: Grounds) -> Iterator[Reason]:
    """What was shown for neurons above, where relations were needed, and these of the synapse itself."""
    yield from (Arrives(lemma) for lemma in grounds.lemmas if lemma.rests)
    yield from map(Holds, grounds.relations)


def _of_form(form: Form, passage: Passage) -> Iterator[Reason]:
    if form.mean_field:
        yield GatesDropped()
    if not passage.is_open:
        yield Between(passage)
