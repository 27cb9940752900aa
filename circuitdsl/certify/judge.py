"""From readings over training and seeds to one certificate for each synapse, and whether it bears out `derive`.

theory.md, section 4. What is measured does not depend on what was derived: `descent` if the rate of descent is positive
beyond its interval over seeds and more than under one of the controls, `ascent` if it is negative likewise, `none` if
permuting the errors leaves the drive as it is; else nothing is decided. What was derived is held against the states
that meet all that it assumes (conclusion.py), and untested where there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import dropwhile, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from circuitdsl.certify.assumptions import Assumption, Stand
from circuitdsl.certify.certificate import Moment, Outcome, SynapseCertificate
from circuitdsl.certify.conclusion import Seen, concluded, is_exact
from circuitdsl.certify.measure import Reading
from circuitdsl.certify.statistics import FEWEST, interval, opposed
from circuitdsl.derive.prove.findings import Finding, Verdict
from circuitdsl.frozen import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

#: Checkpoints count as late from this part of the updates on.
LATE = 1 / 15
#: A direction is told of a time if at least so many checkpoints in a row go there.
LASTING = 2
#: A rate of descent that differs from its control by less is not told from it.
MARGIN = 0.01
#: After so many times 1/pace what comes about with time could be there.
TIMES = 5
#: Which way a rate of descent goes, by its sign.
WAYS = {1: "descends", -1: "ascends", 0: "undecided"}


@frozen
class Course:
    """One synapse in one seed: its readings, and how it stood with what its verdict assumes, at every checkpoint; fewer
    if the seed diverged."""

    readings: Sequence[Reading]
    stands: Sequence[Stand]

    @property
    def met(self) -> Stand | None:
        """The last state that meets all that the verdict assumes."""
        return next((s for s in reversed(self.stands) if s.met), None)

    @property
    def seen(self) -> Seen:
        pairs = zip(self.readings, self.stands, strict=True)
        return Seen([r for r, stand in pairs if stand.met], self.readings[0])


@frozen(kw_only=True)
class Record:
    """One synapse in all seeds, at the checkpoints `at`. `filtered`: the drive passes through states or a function, so
    that it is not the update. `penalised`: the loss has a part that compares with no data, so that what errors leave
    alone may still follow it."""

    finding: Finding
    at: tuple[int, ...]
    seeds: Sequence[Course]
    filtered: bool = False
    penalised: bool = False
    balance: float | None = None

    @property
    def whole(self) -> list[Sequence[Reading]]:
        """The readings of the seeds that did not diverge."""
        return [c.readings for c in self.seeds if len(c.readings) == len(self.at)]

    @property
    def diverged(self) -> int:
        return len(self.seeds) - len(self.whole)

    def late(self) -> list[int]:
        """The checkpoints that count, by their numbers."""
        return [i for i, update in enumerate(self.at) if update >= LATE * self.at[-1]]

    def numbers(self, of: Callable[[Reading], float]) -> Array:
        """Something of every reading: [seeds, checkpoints]."""
        import numpy as np

        return np.array([[of(r) for r in readings] for readings in self.whole]).reshape(-1, len(self.at))

    def late_means(self, of: Callable[[Reading], float]) -> Array:
        """Something of every seed, mean over the late checkpoints at which it is known; NaN if there are none, or some
        drive is no number."""
        import numpy as np

        numbers, drives = (self.numbers(f)[:, self.late()] for f in (of, lambda r: r.drive))
        known = np.isfinite(numbers)
        whole = known.any(axis=1) & np.isfinite(drives).all(axis=1)
        count = np.where(whole, known.sum(axis=1), np.nan)
        return np.asarray(np.where(known, numbers, 0).sum(axis=1) / count)


# ---------------------------------------------------------------- one synapse


def certify_synapse(record: Record) -> SynapseCertificate:
    """What the readings of one synapse come to, without regard to the others."""
    descent, control, phi = (record.late_means(of) for of in (_cos, _control, _phi))
    phis = record.numbers(_phi)
    known = phis[phis == phis]
    finding = record.finding
    return SynapseCertificate(
        name=finding.synapse,
        cos=_last(record.numbers(_cos)),
        norm_ratio=_last(record.numbers(lambda r: r.ratio)),
        aligned=_last(record.numbers(lambda r: r.aligned if r.follows != r.follows else r.follows)),
        phi=interval(phi),
        phi_positive=float((known > 0).mean()) if known.size else float("nan"),
        phi_signs=(*(int(x > 0) - int(x < 0) for x in phi), *[0] * record.diverged),
        r2=_last(record.numbers(lambda r: r.response.r2)),
        h_min=_last(record.numbers(lambda r: r.response.low)),
        h_max=_last(record.numbers(lambda r: r.response.high)),
        descent=interval(descent).within(-1, 1),
        control=float(control.mean()) if control.size else float("nan"),
        verdict=measured_verdict(record),
        phases=_phases(record, descent),
        derived=finding.verdict,
        outcome=None if finding.verdict is None else _outcome(record),
        assumes=_assumes(record.seeds),
        balance=record.balance,
        whole=_last(record.numbers(_whole)) if record.filtered else None,
        course=tuple(_moment(record, i) for i in range(len(record.at))) if record.whole else (),
    )


def _cos(reading: Reading) -> float:
    """The rate of descent: 0 of what has no drive where there is a gradient."""
    return 0.0 if reading.ratio == 0 else reading.cos


def _control(reading: Reading) -> float:
    return reading.control


def _turned(reading: Reading) -> float:
    return reading.turned


def _phi(reading: Reading) -> float:
    return reading.phi


def _whole(reading: Reading) -> float:
    return reading.whole


def _last(numbers: Array) -> float:
    """The mean over the seeds at the last checkpoint at which it is known."""
    import numpy as np

    known = [column[np.isfinite(column)] for column in numbers.T] if numbers.size else []
    return next((float(c.mean()) for c in reversed(known) if c.size), float("nan"))


def _moment(record: Record, i: int) -> Moment:
    import numpy as np

    ratios = record.numbers(lambda r: r.ratio)[:, i]
    known = ratios[np.isfinite(ratios)]
    return Moment(
        update=record.at[i],
        cos=interval(record.numbers(_cos)[:, i]).within(-1, 1),
        control=float(record.numbers(_control)[:, i].mean()),
        phi=interval(record.numbers(_phi)[:, i]),
        norm_ratio=float(known.mean()) if known.size else float("nan"),
        met=sum(c.stands[i].met for c in record.seeds if i < len(c.stands)),
    )


# ---------------------------------------------------------------- what is measured


def measured_verdict(record: Record) -> Verdict | None:
    """What the seeds decide by themselves; None if they do not, it turned in the end, or there are none."""
    readings = [r for seed in record.whole for r in seed]
    if not readings:
        return None
    if _moves_nothing(record, readings):
        return "none"
    if len(record.seeds) < FEWEST:
        return None
    if not record.filtered and not record.diverged and is_exact(readings):
        return "exact"
    descent, *controls = (record.late_means(of) for of in (_cos, _control, _turned))
    sign = _decided(descent, record.diverged)
    spans = _spans(record)
    if spans and spans[-1].sign != sign:
        return None  # it is going elsewhere in the end
    if record.filtered and _decided(record.late_means(_whole), record.diverged) != sign:
        return None  # what it comes to on its way to the weight is something else
    if sign and any(_beaten(descent - control, record.diverged, sign) for control in controls):
        return "descent" if sign > 0 else "ascent"
    return None


def _moves_nothing(record: Record, readings: Sequence[Reading]) -> bool:
    """Whether errors leave the drive as it is, or there is none from the first checkpoint to the last."""
    if record.penalised or not any(r.ratio == r.ratio for r in readings):
        return False
    silent = [r for r in readings if r.drive == 0]
    return all(r.blind or r.drive == 0 for r in readings) and (len(silent) < len(readings) or len(record.at) > 1)


def _beaten(differences: Array, diverged: int, sign: int) -> bool:
    """Whether the control is: beyond the interval, and by more than rounding and a few examples could make."""
    return _decided(differences, diverged) == sign and abs(float(differences.mean())) > MARGIN


def _decided(seeds: Array, diverged: int) -> int:
    """The sign that seeds agree on, beyond their interval; those that diverged count as going the other way."""
    import numpy as np

    sign = interval(seeds).sign
    return sign if interval(np.append(seeds, [-sign] * diverged)).sign == sign else 0


def _phases(record: Record, late: Array) -> str | None:
    """Seeds that go opposite ways, with their counts; else which way it went when, if it turned on the way."""
    apart = opposed(late)
    if apart is not None:
        return f"bimodal: {apart[0]} of {len(late)} seeds descend, {apart[1]} ascend"
    spans = _spans(record)
    if len(spans) < 2:
        return None
    parts = [f"{WAYS[span.sign]} until {span.until:,}" for span in spans[:-1]]
    return f"{', '.join(parts)}, {WAYS[spans[-1].sign]} after"


class _Span(NamedTuple):
    """A time in which the seeds went one way: the sign of the rate of descent, and its last checkpoint."""

    sign: int
    until: int


def _spans(record: Record) -> list[_Span]:
    """The times that lasted, from the first on in which a way was decided."""
    numbers = record.numbers(_cos)
    signs = [(interval(numbers[:, i]).sign, update) for i, update in enumerate(record.at)]
    runs = [(sign, [update for _, update in run]) for sign, run in groupby(signs, key=lambda s: s[0])]
    lasting = [_Span(sign, updates[-1]) for sign, updates in runs if len(updates) >= LASTING]
    merged = [list(same)[-1] for _, same in groupby(lasting, key=lambda s: s.sign)]
    return list(dropwhile(lambda s: s.sign == 0, merged))


# ---------------------------------------------------------------- what was derived


def _outcome(record: Record) -> Outcome:
    """What became of the derived verdict."""
    stayed = [c for c in record.seeds if len(c.readings) == len(record.at)]
    seen = [c.seen for c in stayed if c.met is not None]
    if not seen:
        why = _not_met(record) if stayed else "every seed diverged"
        return Outcome(status="untested", why=why, seeds=0)
    held, why = concluded(record.finding, seen, penalised=record.penalised, filtered=record.filtered)
    if held is None:
        return Outcome(status="untested", why=why, seeds=len(seen))
    return Outcome(status="confirmed" if held else "contradicted", why=why, seeds=len(seen))


def _not_met(record: Record) -> str:
    """The hypothesis that is farthest from being met, and whether there was time for it."""
    stand = _nearest(record.seeds)
    farthest = None if stand is None else stand.worst
    if farthest is None:
        return "it was met only on the way, in seeds that diverged"
    told = farthest.missed if farthest.met is False else f"whether {farthest.text} cannot be told"
    enough = time_for(farthest.pace)
    if enough is not None and record.at[-1] < enough:
        return f"{told} (stopped before {TIMES}/(ηγ) = {enough:,} updates, after {record.at[-1]:,})"
    return told


def _nearest(seeds: Sequence[Course]) -> Stand | None:
    """How it stands at the end of the seed that came nearest to what is assumed."""
    stands = [c.stands[-1] for c in seeds if c.stands]
    return min(stands, key=lambda s: (w.met is None, w.excess) if (w := s.worst) else (False, 0.0), default=None)


def time_for(pace: float | None) -> int | None:
    """After how many updates something that comes about at that pace is there."""
    import math

    return None if pace is None else math.ceil(TIMES / pace)


def _assumes(seeds: Sequence[Course]) -> tuple[Assumption, ...]:
    """Each assumption in the seed that is farthest from it, of those that came to meet all; else as it is in the one
    that came nearest."""
    met = [c.met.assumes for c in seeds if c.met is not None]
    if not met:
        nearest = _nearest(seeds)
        return () if nearest is None else nearest.assumes
    return tuple(max(of, key=lambda a: a.excess) for of in zip(*met, strict=True))


# ---------------------------------------------------------------- together


def together(found: dict[str, SynapseCertificate]) -> tuple[dict[str, SynapseCertificate], bool | None, str | None]:
    """Dynamical consistency of the measured signs, and in how many seeds it is so; where the signs of patches differ,
    those that go up are `inconsistent`."""
    judged = [s for s in found.values() if s.phi.mean == s.phi.mean]
    signs = {s.name: 0 if s.verdict == "none" else s.phi.sign for s in judged}
    up, down = -1 in signs.values(), 1 in signs.values()
    if not judged or not ((up and down) or all(signs.values())):
        return found, None, None
    dc = not (up and down)
    decided = [s for s in judged if signs[s.name]]
    wanted = tuple(signs[s.name] for s in decided)
    seeds = list(zip(*(s.phi_signs for s in decided), strict=True))
    agreeing = sum(seed == wanted for seed in seeds)
    evidence = f"measured, in {agreeing} of {len(seeds)} seeds"
    if dc:
        return found, True, evidence
    return {n: _inconsistent(s) if signs.get(n) == -1 else s for n, s in found.items()}, False, evidence


def _inconsistent(found: SynapseCertificate) -> SynapseCertificate:
    return found if found.verdict is None else replace(found, verdict="inconsistent")
