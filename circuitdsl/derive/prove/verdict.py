"""The verdict on every learning synapse: what its own plasticity amounts to, and whether that is a gradient.

theory.md, sections 3 and 4. Symbols only: no data is seen here. Where no relation decides, the verdict is None and
`because` says which step failed and what is missing; a certificate may then measure it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.constants import sign
from circuitdsl.derive.algebra.notation import text
from circuitdsl.derive.algebra.words import Matrix, Word, names
from circuitdsl.derive.prove.findings import Derivation, Evidence, Finding, Role, Verdict, consistent
from circuitdsl.derive.prove.levels import Levels
from circuitdsl.derive.prove.matching import Form, divided, forms
from circuitdsl.derive.prove.missing import Search, almost, missing
from circuitdsl.derive.prove.motifs import find_motifs, quadratics
from circuitdsl.derive.prove.relations import Relation, find_relations
from circuitdsl.derive.prove.rewriting import Steps, steps_of
from circuitdsl.derive.prove.transport import Grounds, Transport
from circuitdsl.derive.read.drives import Drive, Unread, read_rule
from circuitdsl.derive.read.roles import Roles, cannot_see_error, roles_of, rule_kind, unsettled
from circuitdsl.derive.read.symbols import Symbols, symbols_of
from circuitdsl.derive.read.ticks import without_phase
from circuitdsl.derive.tell.wording import Wording, neglected
from circuitdsl.graph import ir
from circuitdsl.twin.paths import learning_synapses


def derive(circuit: ir.Circuit) -> Derivation:
    """What the circuit's plasticity amounts to, symbolically. A circuit without a loss gets no verdicts."""
    circuit = without_phase(circuit)
    symbols = symbols_of(circuit)
    learning = frozenset(learning_synapses(circuit))
    rules = {s.name: read_rule(symbols, s) for s in circuit.synapses.values() if s.dw is not None}
    drives = [d for d in rules.values() if isinstance(d, Drive)]
    relations = find_relations(symbols, drives, learning) if symbols.opened.one_tick else []
    by_synapse: dict[tuple[str, str], list[Relation]] = {}
    for relation in relations:
        for name in dict.fromkeys(relation.synapses):
            by_synapse.setdefault(("either", name), []).append(relation)
        for name in names(relation.right) if relation.kind == "intertwiner" else ():
            by_synapse.setdefault(("right", name), []).append(relation)
    transports = tuple(_transports(symbols, relations, rules, learning))
    court = _Court(circuit, roles_of(circuit), symbols, learning, rules, by_synapse, transports)
    findings, dc = consistent({name: court.finding(s) for name, s in circuit.synapses.items()})
    motifs = find_motifs(symbols, drives) if symbols.opened.one_tick else []
    return Derivation(
        circuit=circuit,
        symbols=symbols,
        findings=findings,
        relations=(*relations, *quadratics(symbols, motifs)),
        motifs=tuple(motifs),
        meta_objective=court.words.objective(motifs),
        dc=dc,
    )


def _transports(
    symbols: Symbols, relations: Sequence[Relation], rules: Mapping[str, Drive | Unread], learning: frozenset[str]
) -> Iterator[Transport]:
    """The way down by more and more relations: tied ones, exact ones, those at rest, those without gates."""
    first = _readouts(rules, learning)
    exact = [r for r in relations if r.holds in ("tied", "exact")]
    kept = [r for r in relations if not r.mean_field]
    tied = [r for r in exact if r.holds == "tied"]
    levels = Levels(symbols)
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


@dataclass(frozen=True, slots=True)
class _Court:
    """All that verdicts on one circuit's synapses need."""

    circuit: ir.Circuit
    roles: Roles
    symbols: Symbols
    learning: frozenset[str]
    rules: Mapping[str, Drive | Unread]
    relations: Mapping[tuple[str, str], Sequence[Relation]]  # by synapse: its own, intertwiners with it on the right
    transports: tuple[Transport, ...]

    @property
    def _search(self) -> Search:
        return Search(self.symbols, self.rules, self.transports[-1])

    @property
    def words(self) -> Wording:
        return Wording(self.symbols.constants)

    def finding(self, synapse: ir.Synapse) -> Finding:
        rule = self.rules.get(synapse.name)
        role: Role = "fixed" if rule is None else "learning" if synapse.name in self.learning else "auxiliary"
        found = Finding(synapse=synapse.name, role=role, rule=rule_kind(self.circuit, synapse), drive=rule)
        if isinstance(rule, Drive):
            found = replace(found, credit=text(rule.shown[0]), implied=self.words.update(rule))
        match role:
            case "fixed":
                return replace(found, because=("it has no rule",))
            case "auxiliary":
                return replace(found, because=self._about_auxiliary(synapse))
            case "learning":
                return self._judged(self._with_gradient(found, synapse), synapse)

    def _about_auxiliary(self, synapse: ir.Synapse) -> tuple[str, ...]:
        rule = self.rules[synapse.name]
        own = [self.words.relation(r) for r in self.relations.get(("either", synapse.name), ())]
        if own:
            return tuple(own)
        if isinstance(rule, Unread):
            return (f"no relation: {rule.why}",)
        return (almost(self._search, rule) or "no relation with another weight is found",)

    def _with_gradient(self, found: Finding, synapse: ir.Synapse) -> Finding:
        try:
            level = self.transports[-1].levels.level(synapse.dendrite)
        except NotLinear:
            return found
        named = self.transports[0].named_errors(level)
        name = self.transports[-1].levels.delta(synapse.dendrite).name
        return replace(found, gradient=text(named), delta=named, delta_name=name)

    # ------------------------------------------------------------ one learning synapse

    def _judged(self, found: Finding, synapse: ir.Synapse) -> Finding:
        rule = self.rules[synapse.name]
        blind = cannot_see_error(self.roles, synapse)
        if blind is None and isinstance(rule, Unread) and rule.idle:
            blind = rule.why
        if blind is not None:
            return replace(found, phi_sign=0, verdict="none", evidence="proved", because=(blind,))
        try:
            return self._compared(found, synapse, rule)
        except NotLinear as reason:
            return replace(found, because=(f"not shown: the gradient is no sum of words: {reason}",))

    def _compared(self, found: Finding, synapse: ir.Synapse, rule: Drive | Unread) -> Finding:
        obstacle = self._obstacle(synapse, rule)
        if obstacle is not None or isinstance(rule, Unread):
            return replace(found, because=(f"not shown: {obstacle}",))
        source = divided(rule.pre, self.symbols.source(synapse.source))
        pre = next(iter(forms(source, mean_field=False)), None) if source is not None else None
        if pre is None:
            taken = text(rule.shown[1])
            return replace(found, because=(f"not shown: the rule takes {taken} for its presynaptic rate",))
        best = self._best(rule, synapse.dendrite)
        if best is None:
            why = missing(self._search, rule, synapse.dendrite)
            return replace(found, because=(f"not shown: {why}",))
        empty = self._collapse(*best)
        if empty is not None:
            return replace(found, because=(f"not shown: {empty}",))
        return self._decided(found, rule, pre, *best)

    def _collapse(self, form: Form, grounds: Grounds) -> str | None:
        """Why a positive H is 0 at rest: `V = c F W^T`, where F is driven by V with the sign of -c. Then `F = -k F G`
        for some k > 0 and a positive semidefinite G, which leaves nothing but F = 0."""
        if form.factor.number <= 0:
            return None
        driven = {r for name in names(form.h) for r in self.relations.get(("right", name), ())}
        for relation in grounds.all_relations() if driven else ():
            left = relation.word[0]
            if relation not in driven or len(relation.word) > 1 or not isinstance(left, Matrix):
                continue
            for term in relation.right.terms:
                other = next(iter(term.word), None)
                rule = self.rules.get(other.name) if isinstance(other, Matrix) and not other.transposed else None
                if not isinstance(rule, Drive) or rule.synapse not in names(form.h):
                    continue
                led = {sign(t.coefficient) for t in rule.credit.terms if leads(t.word, left)}
                if led == {-sign(relation.factor * term.coefficient)}:
                    pair, lost = f"{rule.synapse} and {left.name}", text(form.h)
                    return f"{pair} drive each other with opposite signs: both go to 0, and with them H = {lost}"
        return None

    def _obstacle(self, synapse: ir.Synapse, rule: Drive | Unread) -> str | None:
        """What keeps a rule from being compared with the gradient at all."""
        if isinstance(rule, Unread):
            return rule.why
        if not self.symbols.opened.one_tick:
            return "with several ticks relations hold at best tick by tick; the gradient runs through all"
        return unsettled(self.roles, synapse)

    def _best(self, rule: Drive, dendrite: str) -> tuple[Form, Grounds] | None:
        """The surest way to see the credit as the gradient: with few relations, and an H that is the same for all
        examples."""
        varying: tuple[Form, Grounds] | None = None
        for transport in self.transports:
            try:
                found = transport.compare(rule.signal, dendrite)
            except NotLinear:  # with fewer relations there is more to write out
                if transport is self.transports[-1]:
                    raise
                continue
            for form, grounds in found:
                if form.constant:
                    return form, grounds
                varying = varying or (form, grounds)
        return varying

    def _decided(self, found: Finding, rule: Drive, pre: Form, form: Form, grounds: Grounds) -> Finding:
        phi = sign(form.factor) * sign(pre.factor)
        loose = [r for r in grounds.kinds() if r.holds != "tied"]
        left_out = neglected(grounds, rule.passage)
        plain = form.is_identity and pre.is_identity and rule.passage.is_open
        assert found.delta_name is not None
        verdict: Verdict
        evidence: Evidence = "derived" if left_out else "proved"
        if not (form.constant and pre.constant):
            verdict, evidence = "descent", "derived"
        elif plain and not loose and not left_out:
            verdict = "exact"
        else:
            verdict = "gradient"
        if phi < 0:
            verdict = "ascent"
        return replace(
            found, phi_sign=phi, H=self.words.h(form, pre, rule.passage), verdict=verdict, evidence=evidence,
            because=tuple(self.words.reasons(rule, form, pre, grounds, found.delta_name)), form=form, pre=pre,
            grounds=grounds,
        )  # fmt: skip


def leads(word: Word, letter: Matrix) -> bool:
    """Whether the first matrix of a word is this one."""
    return next((x for x in word if isinstance(x, Matrix)), None) == letter
