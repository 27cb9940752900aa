"""From readings over training and seeds to one certificate for each synapse, and whether it bears out `derive`.

theory.md, section 4: a verdict is `descent` if the descent rate is positive beyond its interval and more than under
one of the controls, `ascent` if it is negative likewise, `none` if it cannot be told from either. `gradient` is never
claimed by measurement alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from circuitdsl.certify.certificate import Moment, SynapseCertificate
from circuitdsl.certify.measure import Reading
from circuitdsl.certify.relations import REACHED
from circuitdsl.certify.statistics import Interval, interval
from circuitdsl.derive.prove.findings import Finding, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

#: What an example's agreement may lie below 0, as a part of the largest, by rounding in float32.
ROUNDING = 1e-5
#: A cosine above this one, and norms in a ratio that varies less than that, are those of the gradient itself.
EXACT, CONSTANT = 0.9999, 1e-3
#: A derivation that dropped gates is taken to hold where the mean cosine of credit and H delta is above this one.
ALIGNED = 0.5
#: Checkpoints count as late from this part of the updates on.
LATE = 1 / 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The readings of one synapse: [seeds][checkpoints], and the residuals of the relations that it needs.
    `approximate`: the derivation dropped gates, or took weights for being at rest, so that its verdict holds as far as
    the credit is H delta. `filtered`: the drive passes through states or a function, so that it is not the update."""

    finding: Finding
    at: tuple[int, ...]
    readings: list[list[Reading]]
    residuals: list[list[float | None]]
    approximate: bool = False
    filtered: bool = False
    realised: float | None = None

    @property
    def conditional(self) -> bool:
        """Whether the derived verdict says nothing of every state, but of those that the circuit has to reach."""
        return self.approximate or any(r is not None for seed in self.residuals for r in seed)

    def holds(self, seed: int) -> list[int]:
        """The checkpoints of a seed at which the conditions of the derived verdict hold."""
        pairs = zip(self.readings[seed], self.residuals[seed], strict=True)
        return [
            i
            for i, (reading, r) in enumerate(pairs)
            if (r is None or r < REACHED) and (not self.approximate or reading.aligned > ALIGNED)
        ]

    def late(self) -> list[int]:
        """The checkpoints that count, by their numbers."""
        return [i for i, update in enumerate(self.at) if update >= LATE * self.at[-1]]

    def array(self, of: Callable[[Reading], Array], chosen: Sequence[int]) -> Array:
        """Something of every example, averaged over checkpoints at which it is known: [seeds, examples]."""
        import numpy as np

        rows = []
        for readings in self.readings:
            found = [a for i in chosen if np.isfinite(a := of(readings[i])).all()]
            if found:
                rows.append(np.mean(found, axis=0))
        return np.array(rows)

    def numbers(self, of: Callable[[Reading], float]) -> Array:
        """Something of every reading: [seeds, checkpoints]."""
        import numpy as np

        return np.array([[of(r) for r in readings] for readings in self.readings])


# ---------------------------------------------------------------- one synapse


def certify_synapse(record: Record) -> SynapseCertificate:
    """What the readings of one synapse come to, without regard to the others."""
    late = record.late()
    each, control, turned = (record.array(of, late) for of in (_descent, _control, _turned))
    descent, differences = interval(each).within(-1, 1), (interval(each - control), interval(each - turned))
    agreement, power = record.array(lambda r: r.agreement, late), record.array(lambda r: r.power, late)
    phis, phi = record.numbers(lambda r: r.phi), interval(agreement, power)
    controls = [float(a.mean()) if a.size else float("nan") for a in (control, turned)]
    return SynapseCertificate(
        name=record.finding.synapse,
        cos=_last(record.numbers(lambda r: r.cos)),
        norm_ratio=_last(record.numbers(lambda r: r.ratio)),
        aligned=_last(record.numbers(lambda r: r.aligned)),
        phi=phi,
        phi_positive=float((phis > 0).mean()) if phis.size else float("nan"),
        r2=_last(record.numbers(lambda r: r.response.r2)),
        h_min=_last(record.numbers(lambda r: r.response.low)),
        h_max=_last(record.numbers(lambda r: r.response.high)),
        descent=descent,
        control=controls[0],
        differences=differences,
        verdict=_verdict(record, descent, phi, controls, differences) if record.readings else None,
        derived=record.finding.verdict,
        reached=_reached(record),
        agrees=None,
        objection=None,
        realised=record.realised,
        course=tuple(_moment(record, i) for i in range(len(record.at))) if record.readings else (),
    )


def _last(numbers: Array) -> float:
    """The mean over the seeds at the last checkpoint at which it is known."""
    import numpy as np

    known = [column[np.isfinite(column)] for column in numbers.T] if numbers.size else []
    return next((float(c.mean()) for c in reversed(known) if c.size), float("nan"))


def _descent(reading: Reading) -> Array:
    return reading.descent


def _control(reading: Reading) -> Array:
    return reading.control


def _turned(reading: Reading) -> Array:
    return reading.turned


def _verdict(
    record: Record, descent: Interval, phi: Interval, controls: Sequence[float], differences: Sequence[Interval]
) -> Verdict:
    """Beside the interval of the differences that of the descent rate itself counts, where phi is as sure: late in
    learning, with few errors left and large ones, differences of single examples are too wide to tell anything."""
    if is_exact(record) and not record.filtered:
        return "exact"
    up = descent.sign
    end = descent.low if up > 0 else descent.high
    outside = phi.sign == up and all(up * (end - control) > 0 for control in controls)
    if up != 0 and (outside or any(d.sign == up for d in differences)):
        return "descent" if up > 0 else "ascent"
    return "none"


def is_exact(record: Record) -> bool:
    """Whether the drive was the gradient at every checkpoint, times one number."""
    import numpy as np

    cos, ratio = record.numbers(lambda r: r.cos), record.numbers(lambda r: r.ratio)
    known = np.isfinite(cos)
    if not known.any() or not (cos[known] > EXACT).all():
        return False
    return bool(np.ptp(ratio[known]) <= CONSTANT * ratio[known].mean())


def _is_silent(record: Record) -> bool:
    """Whether there was neither a drive nor a gradient at any checkpoint: then one is a multiple of the other."""
    import numpy as np

    return bool(np.isnan(record.numbers(lambda r: r.ratio)).all())


def _reached(record: Record) -> bool | None:
    if not record.conditional or not record.readings:
        return None
    return all(record.holds(seed) for seed in range(len(record.readings)))


def _moment(record: Record, i: int) -> Moment:
    import numpy as np

    residuals = [r for seed in record.residuals if (r := seed[i]) is not None]
    control = record.array(lambda r: r.control, [i])
    ratios = record.numbers(lambda r: r.ratio)[:, i]
    known = ratios[np.isfinite(ratios)]
    return Moment(
        update=record.at[i],
        cos=interval(record.array(lambda r: r.descent, [i])).within(-1, 1),
        control=float(control.mean()) if control.size else float("nan"),
        phi=interval(record.array(lambda r: r.agreement, [i]), record.array(lambda r: r.power, [i])),
        norm_ratio=float(known.mean()) if known.size else float("nan"),
        residual=max(residuals) if residuals else None,
    )


# ---------------------------------------------------------------- together


def together(found: dict[str, SynapseCertificate]) -> tuple[dict[str, SynapseCertificate], bool | None]:
    """Dynamical consistency of the measured signs; where they differ, the synapses that go up are `inconsistent`."""
    judged = [s for s in found.values() if s.verdict is not None]
    signs = {s.name: s.phi.sign if s.verdict != "none" else 0 for s in judged}
    up, down = -1 in signs.values(), 1 in signs.values()
    if up and down:
        return {n: replace(s, verdict="inconsistent") if signs.get(n) == -1 else s for n, s in found.items()}, False
    return found, True if judged and all(signs.values()) else None


def agreed(found: SynapseCertificate, record: Record) -> SynapseCertificate:
    """The certificate with whether it bears out what was derived."""
    if found.verdict is None or found.derived is None:
        return found
    if found.derived == "none" and record.finding.evidence == "derived":  # at rest, which nothing here looks for
        return found
    objection = _objection(found, record)
    return replace(found, agrees=objection is None, objection=objection)


def _objection(found: SynapseCertificate, record: Record) -> str | None:
    """Why the measurement contradicts the derived verdict; None if it does not."""
    claim = f"`{found.name}` is derived to be {found.derived} ({record.finding.evidence})"
    match found.derived:
        case "exact":
            worst = _least(record.numbers(lambda r: r.cos))
            agrees = is_exact(record) or _is_silent(record)
            return None if agrees else f"{claim}, but its cosine falls to {worst:.6f}"
        case "none":
            low, mean, high = next((d for d in found.differences if d.sign), found.differences[0])
            seen = f"{claim}, but differs from the control by {mean:.3g} [{low:.3g}, {high:.3g}]"
            return seen if any(d.sign for d in found.differences) else None
        case "aligned":
            worst = min(
                (float(r.agreement.min() / (abs(r.agreement).max() or 1)) for r in _settled(record)), default=0.0
            )
            return None if worst >= -ROUNDING else f"{claim}, but an example has the agreement {worst:.3g}"
        case "gradient" | "descent":
            return _wrong_way(found, record, claim, 1)
        case "ascent" | "inconsistent":
            return _wrong_way(found, record, claim, -1)
        case _:
            return None


def _wrong_way(found: SynapseCertificate, record: Record, claim: str, sign: int) -> str | None:
    """The signs of phi and of the descent rate, where the conditions of the verdict hold; and whether both controls
    go further that way, beyond the interval."""
    import numpy as np

    readings = _settled(record)
    if not readings:
        return None
    phi = sum(r.agreement.sum() for r in readings) / sum(r.power.sum() for r in readings)
    if found.derived in ("gradient", "inconsistent", "ascent") and sign * phi <= 0:
        return f"{claim}, but its phi is {phi:.3g}"
    each, *controls = (np.array([of(r) for r in readings]) for of in (_descent, _control, _turned))
    if sign * each.mean() <= 0:
        return f"{claim}, but its descent rate is {each.mean():.3g}"
    if all(sign * interval(each - control).sign < 0 for control in controls):
        shown = f"{each.mean():.3g}, and {controls[0].mean():.3g} with permuted errors"
        return f"{claim}, but its descent rate is {shown}"
    if all(np.array_equal(each, control) for control in controls):
        return f"{claim}, but permuted errors change nothing: it does not see the error"
    return None


def _settled(record: Record) -> list[Reading]:
    """The readings at which the conditions of the derived verdict hold; the late ones if it has none."""
    import numpy as np

    chosen: list[Reading] = []
    for seed, readings in enumerate(record.readings):
        numbers = record.holds(seed) if record.conditional else record.late()
        chosen += [readings[i] for i in numbers]
    return [r for r in chosen if np.isfinite(r.descent).all()]


def _least(numbers: Array) -> float:
    import numpy as np

    return float(np.nanmin(numbers)) if np.isfinite(numbers).any() else float("nan")
