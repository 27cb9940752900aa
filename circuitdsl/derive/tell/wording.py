"""Derivations in words, for a reader who knows the circuit: relations, updates, what a verdict rests on.

The same sentences in plain text and in LaTeX: formulas are made by a `Notation` and, in LaTeX, set in math mode.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import field
from fractions import Fraction

from circuitdsl.derive.algebra.constants import Constants
from circuitdsl.derive.algebra.expressions import text
from circuitdsl.derive.algebra.letters import Signal
from circuitdsl.derive.algebra.notation import Notation
from circuitdsl.derive.algebra.words import UNIT, Coefficient, Matrix, Sum, column, make_sum, ones, times
from circuitdsl.derive.prove.dual import Dual
from circuitdsl.derive.prove.hypotheses import AtRest, Hypothesis, Lagging, MeanField, Slow, SmallSteps
from circuitdsl.derive.prove.matching import Form, plain_factor
from circuitdsl.derive.prove.motifs import Motif, Motifs
from circuitdsl.derive.prove.relations import Relation
from circuitdsl.derive.prove.rest import Collapse, Spectrum
from circuitdsl.derive.prove.transport import Lemma
from circuitdsl.derive.read.drives import Drive, Passage
from circuitdsl.derive.tell.obstacles import uneven
from circuitdsl.frozen import frozen

#: Approximations, named once, so that all pages say the same, with what they mean.
AT_REST = "at rest"
MEAN_FIELD = "mean-field"
SMALL_STEPS = "small steps"
SLOW = "slow gradients"
LAG = "lagging factors"
GENTLE = "gentle pulls"
EXPLAINED = {
    AT_REST: "the weights are taken where they would come to rest, E[drive] = decay · w, away from their bounds",
    MEAN_FIELD: "gates are left out, as if independent of the signals that they gate and open as often in all neurons",
    SMALL_STEPS: "terms of second order in the learning rate are left out",
    SLOW: "the gradient changes slowly against the traces that it passes through",
    GENTLE: "what pulls at the weights takes no more than all of a difference at once: the weights stay small enough",
    LAG: "the positive factor of each synapse is made of its past drives, and taken as independent of this one",
}


@frozen
class Wording:
    """Sentences about one circuit."""

    constants: Constants
    notation: Notation = field(default_factory=Notation)

    # ------------------------------------------------------------ formulas

    def math(self, formula: str) -> str:
        return f"${formula}$" if self.notation.latex else formula

    def sign(self, unicode: str) -> str:
        return self.notation.sign(unicode)

    def short(self, name: str) -> str:
        """A name of the circuit, or a piece of an equation with names in it, as plain text."""
        return self.notation.rename(name)

    def sum(self, a: Sum) -> str:
        return self.notation.of(a)

    def multiple(self, number: Coefficient, of: str) -> str:
        """`0.5 of`; without a number that is 1."""
        shown = self.notation.number_of(number)
        if number in (Coefficient(), Coefficient(-Coefficient().number)):
            return shown.removesuffix("1") + of
        return f"{shown} {of}"

    def of_sum(self, factor: Sum, of: str) -> str:
        """A matrix in front of something."""
        plain = plain_factor(factor)
        if plain is not None:
            return self.multiple(plain, of)
        shown = self.sum(factor)
        return f"({shown}) {of}" if len(factor.terms) > 1 else f"{shown} {of}"

    # ------------------------------------------------------------ the update

    def update(self, drive: Drive) -> str:
        """The update as a formula: `Δw = η · (V2 err) ∘ 1[h.basal > 0] ⊗ x − ηγ w`."""
        minus = self.sign("−")
        credit = self.sum(drive.shown[0])
        if len(drive.shown[0].terms) > 1:
            credit = f"({credit})"
        negative = credit.startswith(minus)
        product = f"{credit.removeprefix(minus)} {self.sign('⊗')} {self.sum(drive.shown[1])}"
        if drive.passage.trace:
            product = self.call("trace", product)
        if drive.passage.scale is not None and not drive.passage.whole:
            scale = "c" if drive.passage.lagging else self.notation.name(text(drive.passage.scale))
            inner = product if drive.passage.trace else f"({product})"
            product = f"{scale} {self.sign('∘')} {inner}"
        rate = self.notation.number_of(drive.rate)
        if rate != "1":
            product = f"{rate}{self.sign(' · ')}{product}"
        change = f"{minus if negative else ''}{product}{self.decay(drive)}"
        if drive.passage.whole and drive.passage.scale is not None:
            change = f"{self.notation.name(text(drive.passage.scale))} {self.sign('∘')} ({change})"
        return self.math(f"{self.sign('Δ')}w = {change}")

    def call(self, function: str, of: str) -> str:
        name = rf"\operatorname{{{function}}}" if self.notation.latex else function
        return f"{name}({of})"

    def decay(self, drive: Drive) -> str:
        found = ""
        if drive.decay is not None:
            amount = Coefficient(abs(drive.decay.number), drive.decay.params)
            found = f" {self.sign('−') if drive.decay.number > 0 else '+'} {self.multiple(amount, 'w')}"
        if drive.uneven is not None:
            found += f" {self.notation.name(uneven(drive.uneven))}"
        return found

    # ------------------------------------------------------------ relations

    def sides(self, relation: Relation) -> tuple[str, str]:
        """The two sides, the factor with the right one."""
        left, right = self.sum(relation.left), self.multiple(relation.factor, self.sum(relation.right))
        if not relation.diagonal:
            return left, right
        opened, closed = self.sign("diag("), self.sign(")")
        return f"{opened}{left}{closed}", f"{opened}{right}{closed}"

    def equation(self, relation: Relation) -> str:
        """The relation as it stands once it holds: `V2 = W2ᵀ`."""
        left, right = self.sides(relation)
        return self.math(f"{left} = {right}")

    def relation(self, relation: Relation) -> str:
        """How it comes to hold."""
        left, right = self.sides(relation)
        arrow = self.math(f"{left} {self.sign('→')} {right}")
        if relation.kind == "quadratic" and relation.factor.number < 0:
            arrow = self.math(f"{left} + {right.replace(self.sign('−'), '', 1)} {self.sign('→')} 0")
        match relation.holds:
            case "tied":
                after = "both are fixed" if relation.common is None else "both change alike"
                return f"{self.math(f'{left} = {right}')} from the start: they start so, and {after}"
            case "rest":
                return f"{arrow} {', '.join(neglected_by(relation))}"
            case "attracted":
                least = "at every update"
                if relation.rate is not None:
                    shrunk = self.math(f"(1 {self.sign('−')} {self.notation.number_of(relation.rate)})")
                    least = f"at least by {shrunk} per update"
                assumed = "".join(f", {n}" for n in neglected_by(relation))
                return f"{arrow}: both are pulled alike, and the difference shrinks {least}{assumed}"
            case "exact" | "slow":
                assert relation.rate is not None
                minus = self.sign("−")
                negative = relation.factor.number < 0
                rest = right.replace(minus, "", 1) if negative else right
                difference = f"{left} {'+' if negative else minus} {rest}"
                rate = self.constants.value(relation.rate)
                shrinks = self.math(f"(1 {minus} {self.notation.number_of(relation.rate)})")
                neglected = "".join(f", {n}" for n in neglected_by(relation))
                return (
                    f"{arrow}: {self.math(difference)} shrinks by {shrinks} per update, half in {half_life(rate)} "
                    f"updates{neglected or (', faster at the bounds' if relation.bounded else ': exact')}"
                )

    def why(self, relation: Relation) -> str | None:
        """What brings a relation about, so that it can be checked by hand."""
        if relation.common is None:
            return None
        common = self.math(self.sum(relation.common))
        if relation.kind == "intertwiner":
            return f"at rest both sides are {common}"
        turned = ", one of them transposed" if _turns(relation) else ""
        drive = "the same" if relation.factor.number == 1 and relation.holds != "rest" else "multiples of the same"
        decay = {"rest": ", with unequal decay", "tied": ""}.get(relation.holds, ", with equal decay")
        return f"both are driven by {drive} {common}{turned}{decay}"

    def lemma(self, lemma: Lemma) -> str:
        """What a population sends down."""
        delta = self.notation.signal(lemma.delta)
        return self.math(f"{self.notation.name(lemma.source)} = {self.of_sum(lemma.factor, delta)}")

    def collapse(self, collapse: Collapse) -> str:
        """Which weights can rest at 0 only."""
        names = " and ".join(map(self.short, collapse.synapses))
        if len(collapse.synapses) == 1:
            return f"{names} has no rest but 0"
        return f"{names} drive each other with opposite signs, so that they have no rest but 0"

    # ------------------------------------------------------------ credit and gradient

    def h(self, form: Form, pre: Form, passage: Passage) -> str:
        """H, the positive matrix between credit and gradient."""
        parts = []
        if passage.scale is not None:
            parts.append("diag(vec W)" if passage.lagging else f"diag({text(passage.scale)})")
        if passage.trace:
            parts.append("low-pass")
        if self.notation.latex:
            parts = [rf"\text{{{p}}}" for p in parts]
        if not form.is_identity:
            parts.append(self.ratio(form))
        if not pre.is_identity:
            parts.append(f"(I {self.sign('⊗')} {self.ratio(pre)})")
        return self.sign(" · ").join(parts) or "I"

    def ratio(self, form: Form) -> str:
        over = "" if plain_factor(form.over) is not None else self.sum(form.over)
        if over:
            first = form.over.terms[0]
            alone = len(form.over.terms) == len(first.word) == 1 and not first.scalars
            over = f"{over if alone else f'({over})'}{self.sign('⁻¹')}"
        above = "" if plain_factor(form.h) is not None else self.sum(form.h)
        if len(form.h.terms) > 1:
            above = f"({above})"
        return " ".join(part for part in (above, over) if part) or "I"

    def credit(self, form: Form, pre: Form, delta: Signal) -> str:
        """`credit = Fᵀ F δ_h`."""
        h = self.h(form, pre, Passage())
        shown = self.notation.signal(delta) if h == "I" else f"{h} {self.notation.signal(delta)}"
        result = self.multiple(form.factor * pre.factor, shown)
        name = self._credit_name()
        varies = "" if form.constant and pre.constant else ", where the factor changes from example to example"
        return f"{self.math(f'{name} = {result}')}{varies}"

    def inverse(self, dual: Dual) -> str:
        """H where the gradient is an invertible K times the credit."""
        above = "" if plain_factor(dual.over) is not None else f"{self.sum(dual.over)} "
        shown = self.sum(dual.k)
        return f"{above}{shown if len(dual.k.terms) == 1 else f'({shown})'}{self.sign('⁻¹')}"

    def gradient_by_credit(self, dual: Dual, delta: Signal) -> str:
        """`δ_h = diag(W2ᵀ) credit`."""
        under = "" if plain_factor(dual.over) is not None else f"{self.sum(dual.over)}{self.sign('⁻¹')} "
        whole = self.of_sum(dual.k, f"{under}{self._credit_name()}")
        varies = "" if dual.constant else ", where the factor changes from example to example"
        return f"{self.math(f'{self.notation.signal(delta)} = {self.multiple(dual.factor, whole)}')}{varies}"

    def _credit_name(self) -> str:
        return r"\text{credit}" if self.notation.latex else "credit"

    def broadcast_gain(self, form: Form) -> str | None:
        """The number by which every example's gradient is weighted, if H is that number and nothing else."""
        alone = len(form.h.terms) == 1 and not form.h.terms[0].word and plain_factor(form.over) is not None
        if not alone or not form.h.terms[0].scalars:
            return None
        return self.notation.of(make_sum(UNIT, UNIT, [(Coefficient(), form.h.terms[0].scalars, ())]))

    def spectrum(self, spectrum: Spectrum) -> str:
        """Where a loop can rest: `V and F rest at 0, or where the singular values of Wo are 0 or 1`."""
        names = " and ".join(map(self.short, spectrum.loop.synapses))
        value = math.sqrt(self.constants.value(spectrum.square))
        letter = self.math(self.sum(spectrum.letter))
        return f"{names} rest at 0, or where the singular values of {letter} that they use are {value:.4g}"

    def passage(self, passage: Passage) -> str | None:
        """What stands between drive and weight."""
        parts = ["a trace (a low-pass)"] if passage.trace else []
        if passage.scale is not None:
            made = "c, made of its states" if passage.lagging else text(passage.scale)
            parts.append(f"a positive factor for each synapse, {made}")
        return " and ".join(parts) or None

    def objective(self, motifs: Motifs) -> str | None:
        """J, the sum of what the two-signal motifs climb, each with the others' signals held fixed."""
        found = [self.energy(m) for m in motifs if m.potential is not None]
        return self.math(f"J = {' + '.join(found)}") if found else None

    def energy(self, motif: Motif) -> str:
        """`E[h · h.apical] − ½γ(|W1|² + |V2|²)`."""
        assert motif.potential is not None
        follows, brings = map(self.sum, motif.potential)
        agreement = f"{self.sign('E[')}{follows}{self.sign(' · ')}{brings}{self.sign(']')}"
        decays = [self._energy_of_decay(side.drive) for side in (motif.first, motif.second)]
        amounts = {amount for amount, _ in decays}
        if len(amounts) == 1:
            (amount,) = amounts
            norms = " + ".join(norm for _, norm in decays)
            return agreement if amount == "0" else f"{agreement} {self.sign('−')} {amount}({norms})"
        return (
            f"{agreement} {self.sign('−')} {' − '.join(f'{amount}{norm}' for amount, norm in decays if amount != '0')}"
        )

    def _energy_of_decay(self, drive: Drive) -> tuple[str, str]:
        """½ decay / rate, and |w|²."""
        norm = f"|{self.notation.name(drive.synapse)}|{self.sign('²')}"
        if drive.decay is None:
            return "0", norm
        amount = drive.decay * drive.rate.inverse()
        if amount.number == 1:
            shown = self.notation.number_of(amount).removeprefix("1")
            return f"{self.sign('½')}{shown}", norm
        return self.notation.number_of(amount * Coefficient(Fraction(1, 2))), norm

    def curl(self, motif: Motif) -> str:
        """Why a pair of synapses climbs nothing in common."""
        one, two = motif.first, motif.second
        names = [self.math(self.notation.name(s.drive.synapse)) for s in (one, two)]
        size = motif.curl.rows
        curl = self.math(self.sum(times(motif.curl, column(ones(size)))))
        return f"no J of {names[0]} and {names[1]}: their mixed derivatives differ by {curl} (the curl of the pair)"


def _turns(relation: Relation) -> bool:
    """Whether the right side of a pair is a transposed weight."""
    return any(isinstance(x, Matrix) and x.transposed for t in relation.right.terms for x in t.word)


def neglected_by(relation: Relation) -> list[str]:
    """What a relation neglects."""
    found = {"rest": [AT_REST], "slow": [SMALL_STEPS]}.get(relation.holds, [])
    found = [*found, *([GENTLE] if relation.assumes else [])]
    return [*found, MEAN_FIELD] if relation.mean_field else found


def neglected(assumed: Iterable[Hypothesis]) -> list[str]:
    """The approximations among hypotheses, under the names of `EXPLAINED`."""
    names: dict[type, str] = {
        AtRest: AT_REST, MeanField: MEAN_FIELD, SmallSteps: SMALL_STEPS, Slow: SLOW, Lagging: LAG,
    }  # fmt: skip
    return list(dict.fromkeys(names[type(h)] for h in assumed if type(h) in names))


def half_life(rate: float) -> str:
    """How many updates halve what shrinks by `rate` at each."""
    if not 0 < rate < 1:
        return "1"
    updates = min(math.log(0.5) / math.log1p(-rate), 1e300)
    return f"{round(updates):,}" if updates < 1e12 else f"{updates:.1e}"
