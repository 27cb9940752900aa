"""The certificate as text: a table over training for each learning synapse, and one sentence."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from circuitdsl.certify.assumptions import Assumption
from circuitdsl.certify.certificate import MARK, Certificate, Moment, SynapseCertificate
from circuitdsl.certify.statistics import FEWEST, Interval

#: How many checkpoints are shown of each synapse, and how many of the things that it assumes.
SHOWN, MOST_ASSUMED = 6, 8


def table(certificate: Certificate, *, width: int = 100) -> str:
    """The whole certificate, at most `width` characters wide."""
    lines = [*_wrapped(headline(certificate), width), ""]
    for synapse in certificate.synapses.values():
        lines += [*_block(certificate, synapse, width), ""]
    lines += _wrapped(sentence(certificate), width)
    return "\n".join(lines)


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False, initial_indent=indent, subsequent_indent=indent)


def headline(certificate: Certificate) -> str:
    parts = [
        _counted(certificate.seeds, "seed"),
        f"{certificate.updates:,} updates" + _in_units(certificate, certificate.updates),
        f"{certificate.examples} examples",
    ]
    if certificate.taylor_slope is not None:
        parts.append(f"Taylor slope of the gradient {certificate.taylor_slope:.2f}")
    if certificate.relaxation is not None:
        parts.append(f"relaxation {certificate.relaxation:.2g}")
    return f"{certificate.circuit}      " + " · ".join(parts)


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")


def _in_units(certificate: Certificate, updates: int) -> str:
    return "" if certificate.decay is None else f" = {updates * certificate.decay:.2g}/(ηγ)"


def _block(certificate: Certificate, synapse: SynapseCertificate, width: int) -> Iterator[str]:
    made = certificate.derivation.circuit.synapses[synapse.name]
    derived = certificate.derivation.findings[synapse.name]
    shown = "nothing derived" if synapse.derived is None else f"derived {synapse.derived}, {derived.evidence}"
    outcome = "" if synapse.status is None else f" {synapse.mark} {synapse.status}"
    measured = f"measured {synapse.verdict or 'undecided'}" if synapse.course else "every seed diverged"
    yield f"{synapse.name}   {made.source.value} → {made.dendrite}      {shown}{outcome} · {measured}"
    if synapse.outcome is not None:
        yield from _wrapped(_told(synapse, certificate.seeds), width, " " * 5)
    if synapse.course:
        yield from _course(certificate, synapse)
        yield from _wrapped(_credit(certificate, synapse), width, " " * 5)
    if synapse.phases is not None:
        yield f"     {synapse.phases}"
    if synapse.whole is not None:
        yield f"     the whole increment, states included, without decay: cos {figure(synapse.whole)} at the end"
    if synapse.balance is not None:
        yield f"     balance: ⟨drive, −∇⟩ is {figure(synapse.balance)} times what it is at rest"
    if synapse.assumes:
        yield from _wrapped(f"if: {_if(synapse.assumes)}", width, " " * 5)


def _told(synapse: SynapseCertificate, seeds: int) -> str:
    """What became of the verdict, and why."""
    assert synapse.outcome is not None
    if not synapse.assumes:
        return synapse.outcome.why
    if synapse.outcome.seeds == 0:
        return f"not met: {synapse.outcome.why}"
    return f"met in {synapse.outcome.seeds} of {seeds} seeds: {synapse.outcome.why}"


def _if(assumes: Sequence[Assumption]) -> str:
    """Each assumption with its residual, those first that are missed."""
    ordered = sorted(assumes, key=lambda a: (a.met is True, a.met is None))
    marks = {True: MARK["confirmed"], False: MARK["contradicted"], None: "?"}
    told = " · ".join(f"{a.name} {_small_figure(a.residual)} {marks[a.met]}" for a in ordered[:MOST_ASSUMED])
    more = len(ordered) - MOST_ASSUMED
    return f"{told} · and {more} more" if more > 0 else told


def _course(certificate: Certificate, synapse: SynapseCertificate) -> Iterator[str]:
    unit, conditional = certificate.decay, bool(synapse.assumes)
    head = f"{'updates':>10}" + (f"{'1/(ηγ)':>9}" if unit is not None else "")
    columns = f"{'cos (rate of descent)':<22}{'control':>8}   {'φ':<22}{'|drive|/|∇|':>12}"
    yield f"{head}   {columns}" + (f"{'met in':>9}" if conditional else "")
    for moment in chosen(synapse.course):
        time = f"{moment.update:>10,}" + (f"{moment.update * unit:>9.3f}" if unit is not None else "")
        yield (
            f"{time}   {interval_text(moment.cos):<22}{figure(moment.control):>8}   {score_text(moment.phi):<22}"
            + f"{figure(moment.norm_ratio):>12}"
            + (f"{f'{moment.met}/{certificate.seeds}':>9}" if conditional else "")
        )


def _credit(certificate: Certificate, synapse: SynapseCertificate) -> str:
    derived = certificate.derivation.findings[synapse.name]
    h = derived.H if derived.H is not None and derived.form is not None and derived.form.constant else None
    name = "δ" if h in (None, "I") else f"{h} δ"
    span = f"sym(H) from {figure(synapse.h_min)} to {figure(synapse.h_max)}"
    positive, seeds = sum(sign > 0 for sign in synapse.phi_signs), len(synapse.phi_signs)
    always = f"φ > 0 in {100 * synapse.phi_positive:.0f} % of all, in the end in {positive} of {seeds} seeds"
    return f"credit: cos with {name} {figure(synapse.aligned)}; R² of Hδ {figure(synapse.r2)}, {span}; {always}"


def chosen(course: Sequence[Moment]) -> list[Moment]:
    """A few of the checkpoints, the first and the last among them."""
    if len(course) <= SHOWN:
        return list(course)
    numbers = {round(i * (len(course) - 1) / (SHOWN - 1)) for i in range(SHOWN)}
    return [course[i] for i in sorted(numbers)]


def interval_text(found: Interval) -> str:
    if found.mean != found.mean:
        return "–"
    if found.low != found.low:
        return figure(found.mean)
    return f"{figure(found.mean)} [{figure(found.low)}, {figure(found.high)}]"


def figure(value: float | None) -> str:
    """Two decimals; three digits if it is large."""
    if value is None or value != value:
        return "–"
    if abs(value) >= 100:
        return f"{value:.3g}"
    return f"{value:.2f}".replace("-0.00", "0.00")


def _small_figure(value: float) -> str:
    return "–" if value != value else f"{value:.2g}"


def score_text(found: Interval) -> str:
    """A score, which has no scale of its own: two digits where two decimals would be 0."""
    if found.mean != found.mean or found.low != found.low or abs(found.mean) >= 0.05:
        return interval_text(found)
    return f"{found.mean:.2g} [{found.low:.2g}, {found.high:.2g}]"


# ---------------------------------------------------------------- the sentence


def sentence(certificate: Certificate) -> str:
    synapses = certificate.synapses.values()
    parts = [_agreement(certificate)]
    untested = [s for s in synapses if s.status == "untested" and s.outcome is not None]
    if untested:
        listed = "; ".join(f"{s.name}: {s.outcome.why}" for s in untested if s.outcome is not None)
        parts.append(f"Untested: {listed}")
    if untested and certificate.long is not None and certificate.updates < certificate.long:
        parts.append(f"`--long` (`long=True` in Python) trains for {certificate.long:,} updates")
    if certificate.dc is False:
        wrong = [s.name for s in synapses if s.phi.sign < 0]
        told = f"Not dynamically consistent ({certificate.dc_evidence}): φ < 0 at {', '.join(wrong)}, φ > 0 elsewhere"
        parts.append(told)
    if certificate.diverged:
        parts.append(f"{certificate.diverged} of {_counted(certificate.seeds, 'seed')} diverged, and count against")
    if certificate.seeds < FEWEST and any(s.verdict is None for s in synapses):
        parts.append(f"To decide descent or ascent takes {FEWEST} seeds")
    return ". ".join(parts) + "."


def _agreement(certificate: Certificate) -> str:
    if certificate.contradictions:
        return "The measurement contradicts the derivation: " + "; ".join(certificate.contradictions)
    listed = ", ".join(f"{s.name} {s.verdict or 'undecided'}" for s in certificate.synapses.values() if s.course)
    if not listed:
        return "Every seed diverged: nothing was measured"
    confirmed = [s.name for s in certificate.synapses.values() if s.status == "confirmed"]
    if confirmed:
        return f"Measured: {listed}. What was derived of {', '.join(confirmed)} is confirmed"
    if all(s.derived is None for s in certificate.synapses.values()):
        return f"Measured: {listed}; nothing was derived to hold it against"
    return f"Measured: {listed}"
