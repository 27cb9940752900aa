"""A derivation in the order in which it is told: blocks of rows, alike ones told once.

Printed by page.py, latex.py and notebook.py.

From the output downwards; before each learning weight come the auxiliaries that its proof stands on. Within a block
names are short: `basal` is the neuron's own dendrite, and in a motif `F` is the instance's own. Blocks that differ by
the numbers of their layers only are one: `L[l].W … for l = 1..4`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePath

from circuitdsl.derive.algebra.letters import Signal
from circuitdsl.derive.algebra.notation import Notation
from circuitdsl.derive.algebra.words import Sum
from circuitdsl.derive.prove.dual import Dual
from circuitdsl.derive.prove.findings import Finding
from circuitdsl.derive.prove.reasons import Confirmed, Contradicted, MeasuredBeside, Untested
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.prove.transport import Grounds, Lemma
from circuitdsl.derive.read.drives import Drive
from circuitdsl.derive.tell.brief import OPEN, in_short
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.derive.tell.hypotheses import in_a_line
from circuitdsl.derive.tell.layers import absolute, alike, index_of, relative
from circuitdsl.derive.tell.reasons import Reasons
from circuitdsl.derive.tell.squares import squares_text
from circuitdsl.derive.tell.wording import EXPLAINED, MEAN_FIELD, Wording, neglected
from circuitdsl.diagnostics import Span
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir

#: A sum of more terms is broken off on a page.
MAX_TOLD = 12


@frozen
class Row:
    """One line of a derivation: what it is, the line, and where in the `.circ` it comes from."""

    label: str
    text: str
    place: str = ""


@frozen(kw_only=True)
class Block:
    """What is told of one synapse, or of several alike: `indices` are then their layers."""

    name: str
    route: str
    kind: str
    rows: tuple[Row, ...]
    verdict: str | None
    colour: str
    indices: tuple[int, ...] = ()


def blocks(derivation: Derivation, *, latex: bool = False) -> list[Block]:
    """All synapses in the order in which they are told, those that are alike as one."""
    found: dict[Block, list[int | None]] = {}
    relations: dict[tuple[int, str], list[Relation]] = {}
    for relation in (r for r in derivation.relations if r.kind != "quadratic"):
        for side, name in enumerate(relation.synapses):
            relations.setdefault((side, name), []).append(relation)
    for finding in ordered(derivation):
        block = _Teller(derivation, finding, latex, relations).block()
        index = index_of(finding.synapse)
        general = block if index is None else _changed(block, partial(relative, index=index))
        found.setdefault(general, []).append(index)
    return [_named(general, indices) for general, indices in found.items()]


def ordered(derivation: Derivation) -> list[Finding]:
    """Learning weights from the output down, each after the auxiliaries that its proof needs; then the others."""
    findings = derivation.findings
    told: dict[str, Finding] = {}
    last_first = list(findings.values())[::-1]
    seen: set[Lemma] = set()
    for finding in (f for f in last_first if f.role == "learning"):
        for relation in finding.grounds.not_yet(seen) if finding.grounds is not None else ():
            for name in relation.synapses:
                if findings[name].role == "auxiliary":
                    told.setdefault(name, findings[name])
        told[finding.synapse] = finding
    for role in ("auxiliary", "fixed"):
        told |= {f.synapse: f for f in last_first if f.role == role and f.synapse not in told}
    return list(told.values())


# ---------------------------------------------------------------- one synapse


@frozen
class _Teller:
    derivation: Derivation
    finding: Finding
    latex: bool
    relations: Mapping[tuple[int, str], Sequence[Relation]]  # by the side on which a synapse stands

    @property
    def synapse(self) -> ir.Synapse:
        return self.derivation.circuit.synapses[self.finding.synapse]

    @property
    def words(self) -> Wording:
        notation = Notation(latex=self.latex, rename=shortener(self.synapse), most=MAX_TOLD)
        return Wording(self.derivation.symbols.constants, notation)

    def block(self) -> Block:
        finding, synapse = self.finding, self.synapse
        dendrites = self.derivation.circuit.populations[synapse.post].dendrites
        target = synapse.post if len(dendrites) == 1 else synapse.dendrite
        kind = "fixed" if finding.role == "fixed" else f"{finding.role} · {finding.rule}"
        return Block(
            name=synapse.name,
            route=f"{_source(synapse)} → {target}",
            kind=kind,
            rows=tuple(self._rows()),
            verdict=self._verdict() if finding.role == "learning" else None,
            colour=_COLOURS.get(finding.verdict or "", ""),
        )

    def _rows(self) -> Iterator[Row]:
        match self.finding.role:
            case "learning":
                yield from self._learning()
            case "auxiliary":
                yield from self._auxiliary()
            case "fixed":
                pass

    def _because(self) -> Iterator[str]:
        """The reasons, as plain text in LaTeX too, with short names."""
        reasons = Reasons(Wording(self.derivation.symbols.constants, Notation(rename=shortener(self.synapse))))
        return map(reasons.told, self.finding.reasons)

    def _update(self) -> Row:
        place = _place(self.synapse.dw_span or self.synapse.span, self.derivation.circuit)
        if isinstance(self.finding.drive, Drive):
            return Row("update", self.words.update(self.finding.drive), place)
        assert self.synapse.dw_span is not None
        return Row("update", " ".join(self.synapse.dw_span.text.split()), place)

    def _learning(self) -> Iterator[Row]:
        yield self._update()
        finding, words = self.finding, self.words
        if finding.delta is not None and finding.delta_signal is not None:
            delta = words.notation.signal(finding.delta_signal)
            yield Row("gradient", words.math(f"{delta} = {words.sum(finding.delta)}"))
        if finding.dual is not None and finding.delta_signal is not None:
            yield from self._by_dual(finding.dual, finding.delta_signal)
            return
        if finding.grounds is None or finding.form is None or finding.pre is None or self._is_open():
            yield from self._conditions()
            label = "" if finding.verdict is None else "because"
            yield from (Row(label, text) for text in self._because())
            return
        assert isinstance(finding.drive, Drive)
        credit = self._credit_made_of(finding.drive)
        if credit is not None:
            yield credit
        yield from self._arriving()
        between = words.passage(finding.drive.passage)
        if between is not None:
            yield Row("between", f"drive and weight: {between}")
        yield Row("so", f"{self._with(replace(finding.grounds, lemmas=()))}{self._credit()}")
        if finding.form.mean_field:
            yield Row("", f"credit and gradient begin with the same gate; gates dropped ({MEAN_FIELD})")
        yield from self._conditions()
        yield from self._tests()

    def _is_open(self) -> bool:
        """Whether nothing was derived, tested or not."""
        finding = self.finding
        return finding.evidence == "measured" or (finding.verdict is None and in_short(finding) == OPEN)

    def _by_dual(self, dual: Dual, delta: Signal) -> Iterator[Row]:
        yield from self._arriving()
        assert self.finding.grounds is not None
        with_ = self._with(replace(self.finding.grounds, lemmas=()))
        yield Row("so", f"{with_}{self.words.gradient_by_credit(dual, delta)}")
        yield Row("", f"which is positive: {self.words.math(squares_text(dual.squares, self.words.notation))}")
        yield from self._conditions()
        yield from self._tests()

    def _tests(self) -> Iterator[Row]:
        """What measurement says of all that was derived."""
        tests = (Confirmed, Untested, Contradicted, MeasuredBeside)
        reasons = Reasons(Wording(self.derivation.symbols.constants, Notation(rename=shortener(self.synapse))))
        for reason in self.finding.reasons:
            if isinstance(reason, tests):
                label, _, text = reasons.told(reason).partition(": ")
                yield Row("measured" if isinstance(reason, MeasuredBeside) else label, text)

    def _conditions(self) -> Iterator[Row]:
        """What a state has to meet, and where loops rest only at a spectrum; what is assumed above is told there."""
        constants, short = self.derivation.symbols.constants, shortener(self.synapse)
        assumed = self.finding.assumed
        shown = in_a_line(assumed.nearest(), constants, short)
        near = [node for each in assumed.by for node in each.by]
        above = any(node.own or node.by for each in near for node in each.by)
        if shown:
            yield Row("if", f"{shown}{' · and all that the layers above assume' if above else ''}")
        if self.finding.grounds is None:
            return
        direct = [self.finding.grounds, *(lemma.grounds for lemma in self.finding.grounds.lemmas)]
        used = [n for g in direct for r in g.relations if r.holds == "rest" for n in r.synapses]
        for spectrum in self.derivation.rest.spectra_of(used):
            yield Row("rest", self.words.spectrum(spectrum))

    def _credit_made_of(self, drive: Drive) -> Row | None:
        """The credit by what the synapses bring, where the rule names it otherwise."""
        symbols = self.derivation.symbols
        opened = symbols.column(drive.signal, symbols.one_synapse)
        if opened == drive.shown[0]:
            return None
        shown, made = self.words.sum(drive.shown[0]), self.words.sum(opened)
        return None if shown == made else Row("that is", self.words.math(f"{shown} = {made}"))

    def _arriving(self) -> Iterator[Row]:
        """What comes down to the neuron, where relations were needed to see it."""
        words = self.words
        assert self.finding.grounds is not None
        for lemma in self.finding.grounds.lemmas:
            grounds = lemma.grounds
            if not lemma.rests:
                continue
            value = self.derivation.circuit.values[lemma.source]
            made = words.math(f"{words.notation.name(lemma.source)} = {words.sum(self._made_of(value))}")
            yield Row(
                "arriving", made, _place((value.expr.span if value.expr else value.span), self.derivation.circuit)
            )
            dropped = f"   gates dropped ({MEAN_FIELD})" if grounds.mean_field else ""
            yield Row("", f"{self._with(grounds)}{words.lemma(lemma)}{dropped}")

    def _made_of(self, value: ir.Value) -> Sum:
        """A signal by the sources of the synapses that bring it."""
        symbols = self.derivation.symbols
        read = ir.Read(span=value.span, value=value.name, axis=ir.Axis.OWN)
        return symbols.column(symbols.opened.read(read, value.size), symbols.one_synapse)

    def _with(self, grounds: Grounds) -> str:
        """The lemmas that were shown for other neurons, and the relations, that a line is read with."""
        lemmas = [self.words.lemma(x) for x in grounds.lemmas if x.rests]
        shown = ", ".join([*lemmas, *map(self.words.equation, grounds.relations)])
        return f"with {shown}: " if shown else ""

    def _credit(self) -> str:
        finding = self.finding
        assert finding.form is not None
        assert finding.pre is not None
        assert finding.delta_signal is not None
        return self.words.credit(finding.form, finding.pre, finding.delta_signal)

    def _auxiliary(self) -> Iterator[Row]:
        yield self._update()
        own = self.relations.get((0, self.synapse.name), ())
        for relation in own:
            yield Row("relation", self.words.relation(relation))
            why = self.words.why(relation)
            if why is not None:
                yield Row("", why)
        others = [r.synapses[0] for r in self.relations.get((1, self.synapse.name), ())]
        if others and not own:
            listed = ", ".join(map(shortener(self.synapse), dict.fromkeys(others)))
            yield Row("relation", f"see {listed}")
        if not own and not others:
            yield from (Row("", text) for text in self._because())

    # ------------------------------------------------------------ the verdict

    def _verdict(self) -> str:
        finding = self.finding
        match finding.verdict:
            case _ if finding.evidence == "measured":
                return f"{finding.verdict}, measured"
            case None if not self._is_open():
                return in_short(finding)
            case None if finding.measured is not None:
                return f"{OPEN}: no relation decides it, and the seeds do not either"
            case None:
                return f"{OPEN}: no relation decides it, and nothing was measured"
            case "exact":
                return f"exact, proved: {self._exact()}"
            case "gradient" | "aligned" | "descent" | "ascent" if finding.dual is not None:
                return f"{finding.verdict}, {finding.evidence}: {self._by_its_dual(finding.verdict)}"
            case "gradient" | "ascent" if finding.form is None:
                return f"{finding.verdict}, {finding.evidence}: on average over the draws"
            case "gradient":
                h = self.words.math(f"H = {self._h()}")
                return f"gradient, {self._evidence()}: {self._where()} φ > 0, {h}"
            case "aligned":
                return f"aligned, {finding.evidence}: {self._aligned()}"
            case "descent" if finding.balance is not None:
                return "descent, derived: at rest, by balance"
            case "none":
                return f"none, {finding.evidence}"
            case "ascent":
                return f"ascent, {self._evidence()}: φ < 0, it climbs the loss"
            case "inconsistent":
                return f"inconsistent, {self._evidence()}: φ < 0 here, φ > 0 elsewhere"
            case "descent":
                return f"descent, {self._evidence()}: no more, as other patches climb the loss"

    def _where(self) -> str:
        grounds = self.finding.grounds
        loose = grounds is not None and any(r.holds != "tied" for r in grounds.kinds())
        return "on the attractor" if loose else "in every state"

    def _h(self) -> str:
        finding = self.finding
        assert finding.form is not None
        assert finding.pre is not None
        assert isinstance(finding.drive, Drive)
        return self.words.h(finding.form, finding.pre, finding.drive.passage)

    def _exact(self) -> str:
        finding, words = self.finding, self.words
        assert isinstance(finding.drive, Drive)
        assert finding.form is not None
        assert finding.pre is not None
        rate = words.notation.number_of(finding.drive.rate * finding.form.factor * finding.pre.factor)
        minus, name = words.sign("−"), words.notation.name(self.synapse.name)
        loss = rf"\partial\,\text{{loss}} / \partial\,{name}" if self.latex else f"∂loss/∂{name}"
        formula = words.math(f"{rate}{words.sign(' · ')}({minus}{loss})")
        return f"update = {formula} in every state"

    def _evidence(self) -> str:
        return str(self.finding.evidence)

    def _by_its_dual(self, verdict: str) -> str:
        assert self.finding.dual is not None
        match verdict:
            case "gradient":
                return f"{self._where()} φ > 0, {self.words.math(f'H = {self.words.inverse(self.finding.dual)}')}"
            case "descent":
                return "the gradient is a positive matrix, that may have no inverse, times the drive"
            case "aligned":
                return "positive for every example, but another matrix for each: a step helps its own example"
            case _:
                return "φ < 0, it climbs the loss"

    def _aligned(self) -> str:
        """What every example's update amounts to, and no more."""
        finding, words = self.finding, self.words
        assert finding.form is not None
        assert finding.pre is not None
        gain = words.broadcast_gain(finding.form) if finding.pre.is_identity else None
        if gain is not None:
            return (
                f"the gradient of the loss weighted by {words.math(gain)}, held fixed; on average it can climb the loss"
            )
        h = words.math(f"H = {self._h()}")
        return f"{h} is positive for every example, but another one for each: a step helps its own example"


_COLOURS = {
    "exact": "green",
    "gradient": "green",
    "aligned": "cyan",
    "descent": "cyan",
    "ascent": "red",
    "inconsistent": "red",
    "none": "yellow",
}


# ---------------------------------------------------------------- short names, alike blocks


def shortener(synapse: ir.Synapse) -> Callable[[str], str]:
    """Names as they are said within a block: without the motif's instance, and of the neuron's own dendrites without
    the neuron."""
    instance, dot, _ = synapse.name.rpartition(".")
    prefix = instance + dot
    neuron = synapse.post.removeprefix(prefix)
    own = re.compile(rf"(?<![\w.\]]){re.escape(neuron)}\.(?=[A-Za-z_])")

    def short(name: str) -> str:
        return own.sub("", name.replace(prefix, "") if prefix else name)

    return short


def _source(synapse: ir.Synapse) -> str:
    return f"prev({synapse.source.value})" if synapse.source.when is ir.When.PREV else synapse.source.value


def _changed(block: Block, change: Callable[[str], str]) -> Block:
    return replace(
        block, name=change(block.name), route=change(block.route), verdict=block.verdict and change(block.verdict),
        rows=tuple(replace(r, text=change(r.text)) for r in block.rows),
    )  # fmt: skip


def _named(general: Block, indices: Sequence[int | None]) -> Block:
    """A block for the layers that it holds for; of a single one with its number."""
    known = sorted(i for i in indices if i is not None)
    if len(known) > 1:
        return replace(general, indices=tuple(known))
    return _changed(general, lambda text: absolute(text, known[0])) if known else general


def _place(span: Span, circuit: ir.Circuit) -> str:
    """`line 22`, with the file where it is not the circuit's own."""
    if span.source.name == circuit.span.source.name:
        return f"line {span.line}"
    return f"{PurePath(span.source.name).name}:{span.line}"


# ---------------------------------------------------------------- together


def together(derivation: Derivation, *, latex: bool = False) -> Iterator[Row]:
    """What holds of all synapses: consistency, the meta-objective, the other relations, wires, approximations."""
    words = Wording(derivation.symbols.constants, Notation(latex=latex, most=MAX_TOLD))
    learning = [f for f in derivation.findings.values() if f.role == "learning"]
    if learning:
        yield Row("together", _consistency(derivation, learning))
    yield from _objective(derivation, words)
    others = [r for r in derivation.relations if r.kind == "quadratic"]
    yield from (Row("also", text) for text in alike(words.relation(r) for r in others))
    wires: dict[str, list[str]] = {}
    for wire in derivation.circuit.wires:
        wires.setdefault(wire.population, []).append(wire.value)
    if wires:
        shown = "; ".join(alike(f"{p} ← {', '.join(dict.fromkeys(v))}" for p, v in wires.items()))
        yield Row("wires", f"{shown} (one-to-one)")
    if any(isinstance(f.drive, Drive) and f.drive.decay is not None for f in learning):
        energy = words.math(f"{words.sign('½')}{words.notation.param('gamma', 1)}|w|{words.sign('²')}")
        yield Row("decay", f"is no part of a verdict: it descends {energy} beside the loss")
    assumed = [h for f in learning for h in f.assumed.nearest()]
    used = [name for name in EXPLAINED if name in neglected(assumed)]
    for name in used:
        yield Row("neglected" if name == used[0] else "", f"{name}: {EXPLAINED[name]}")


def _objective(derivation: Derivation, words: Wording) -> Iterator[Row]:
    """J where there is one, and the pairs that have none."""
    energies = [words.energy(m) for m in derivation.motifs if m.potential is not None]
    if energies:
        shown = " + ".join(alike(energies, sum_over=True, latex=words.notation.latex))
        yield Row("objective", f"{words.math(f'J = {shown}')} is climbed, signals from outside held fixed")
    for text in alike(words.curl(m) for m in derivation.motifs if m.potential is None):
        yield Row("" if energies else "objective", text)


def _consistency(derivation: Derivation, learning: Sequence[Finding]) -> str:
    posts = ", ".join(alike(dict.fromkeys(derivation.circuit.synapses[f.synapse].post for f in learning)))
    evidence = derivation.dc_evidence
    measured = f" ({evidence})" if evidence is not None and evidence.startswith("measured") else ""
    match derivation.dc:
        case True:
            sign = "φ > 0" if all(f.phi_sign == 1 for f in learning) else "φ < 0"
            return f"patches {posts}: {sign} in all{measured}, dynamically consistent"
        case False:
            wrong = ", ".join(alike(f.synapse for f in learning if f.phi_sign == -1))
            return f"φ < 0 at {wrong}, φ > 0 elsewhere{measured}: not dynamically consistent"
        case None:
            unknown = ", ".join(alike(f.synapse for f in learning if f.phi_sign not in (1, -1)))
            return f"patches {posts}: the sign of φ is not known at {unknown}"


def headline(circuit: ir.Circuit) -> tuple[str, str]:
    """The circuit's name, and what it is made of."""
    neurons = len(circuit.of_kind(ir.Kind.RATE))
    plastic = sum(s.dw is not None for s in circuit.synapses.values())
    loss = f"loss {' '.join(circuit.loss.expr.span.text.split())}" if circuit.loss else "no loss"
    ticks = _count(len(circuit.schedule.phases), "phase") if circuit.schedule.phases else "one tick"
    return circuit.name, f"{_count(neurons, 'population')} · {_count(plastic, 'plastic synapse')} · {loss} · {ticks}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
