"""The certificate as text: a table over training for each learning synapse, and one sentence."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from circuitdsl.certify.certificate import Certificate, Moment, SynapseCertificate
from circuitdsl.certify.relations import REACHED
from circuitdsl.certify.statistics import Interval

#: How many checkpoints are shown of each synapse.
SHOWN = 6


def table(certificate: Certificate, *, width: int = 100) -> str:
    """The whole certificate, at most `width` characters wide."""
    lines = [_headline(certificate), ""]
    for synapse in certificate.synapses.values():
        lines += [*_block(certificate, synapse), ""]
    lines += textwrap.wrap(_sentence(certificate), width, break_on_hyphens=False)
    return "\n".join(lines)


def _headline(certificate: Certificate) -> str:
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


def _block(certificate: Certificate, synapse: SynapseCertificate) -> Iterator[str]:
    made = certificate.derivation.circuit.synapses[synapse.name]
    derived = certificate.derivation.findings[synapse.name]
    shown = "nothing derived" if synapse.derived is None else f"derived {synapse.derived}, {derived.evidence}"
    mark = {True: "   ✓", False: "   ✗", None: ""}[synapse.agrees]
    measured = "not measured: every seed diverged" if synapse.verdict is None else f"measured {synapse.verdict}"
    yield f"{synapse.name}   {made.source.value} → {made.dendrite}      {shown} · {measured}{mark}"
    if not synapse.course:
        return
    unit = certificate.decay
    residuals = any(m.residual is not None for m in synapse.course)
    head = f"{'updates':>10}" + (f"{'1/(ηγ)':>9}" if unit is not None else "")
    yield f"{head}   {'cos (rate of descent)':<22}{'control':>8}   {'φ':<22}{'|drive|/|∇|':>12}" + (
        f"{'residual':>10}" if residuals else ""
    )
    for moment in _chosen(synapse.course):
        time = f"{moment.update:>10,}" + (f"{moment.update * unit:>9.3f}" if unit is not None else "")
        yield (
            f"{time}   {_shown(moment.cos):<22}{_figure(moment.control):>8}   {_small(moment.phi):<22}"
            + (f"{_figure(moment.norm_ratio):>12}")
            + (f"{_figure(moment.residual):>10}" if residuals else "")
        )
    h = derived.H if derived.H is not None and derived.form is not None and derived.form.constant else None
    name = "δ" if h in (None, "I") else f"{h} δ"
    span = f"sym(H) from {_figure(synapse.h_min)} to {_figure(synapse.h_max)}"
    always = f"φ > 0 in {100 * synapse.phi_positive:.0f} % of all"
    yield f"     credit: cos with {name} {_figure(synapse.aligned)}; R² of Hδ {_figure(synapse.r2)}, {span}; {always}"
    if synapse.realised is not None:
        yield f"     the whole increment, states included: cos {_figure(synapse.realised)} after the last update"


def _chosen(course: Sequence[Moment]) -> list[Moment]:
    """A few of the checkpoints, the first and the last among them."""
    if len(course) <= SHOWN:
        return list(course)
    numbers = {round(i * (len(course) - 1) / (SHOWN - 1)) for i in range(SHOWN)}
    return [course[i] for i in sorted(numbers)]


def _shown(found: Interval) -> str:
    if found.mean != found.mean:
        return "–"
    return f"{_figure(found.mean)} [{_figure(found.low)}, {_figure(found.high)}]"


def _figure(value: float | None) -> str:
    """Two decimals; three digits if it is large."""
    if value is None or value != value:
        return "–"
    if abs(value) >= 100:
        return f"{value:.3g}"
    return f"{value:.2f}".replace("-0.00", "0.00")


def _small(found: Interval) -> str:
    """A score, which has no scale of its own: two digits where two decimals would be 0."""
    if found.mean != found.mean or abs(found.mean) >= 0.05:
        return _shown(found)
    return f"{found.mean:.2g} [{found.low:.2g}, {found.high:.2g}]"


# ---------------------------------------------------------------- the sentence


def _sentence(certificate: Certificate) -> str:
    parts = [_agreement(certificate)]
    late = [s for s in certificate.synapses.values() if s.reached is False and s.course]
    if late:
        parts.append(
            f"Not reached in all seeds in these {certificate.updates:,} updates, so that what holds on the attractor"
            f" is not at issue: {', '.join(map(_distance, late))}"
        )
    if certificate.dc is False:
        wrong = [s.name for s in certificate.synapses.values() if s.phi.sign < 0]
        parts.append(f"Not dynamically consistent: φ < 0 at {', '.join(wrong)}, φ > 0 elsewhere")
    if certificate.diverged:
        parts.append("Some seeds diverged and are left out")
    return ". ".join(parts) + "."


def _distance(synapse: SynapseCertificate) -> str:
    """How far a synapse still is from what its derived verdict needs."""
    found = synapse.course[-1].residual
    if found is None or found < REACHED:
        return f"{synapse.name} (credit and Hδ: cos {_figure(synapse.aligned)})"
    return f"{synapse.name} (residual {_figure(found)})"


def _agreement(certificate: Certificate) -> str:
    if certificate.contradictions:
        return "The measurement contradicts the derivation: " + "; ".join(certificate.contradictions)
    compared = [s for s in certificate.synapses.values() if s.agrees is not None]
    listed = ", ".join(f"{s.name} {s.verdict}" for s in certificate.synapses.values() if s.verdict is not None)
    if not listed:
        return "Every seed diverged: nothing was measured"
    if not compared:
        return f"Measured: {listed}; nothing was derived to hold it against"
    return f"Measured: {listed}; this agrees with what was derived"
