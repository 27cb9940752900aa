"""What a verdict says of readings, held against them: at states that meet all that it assumes, and at no others.

Nothing here chooses states by what it finds there. A verdict that neglects nothing is held against every single
example; one that rests on approximations (gates dropped, weights about at rest) against means over the sample, over
all seeds that came to meet it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

from circuitdsl.certify.measure import Reading
from circuitdsl.certify.statistics import FEWEST, Interval, interval
from circuitdsl.derive.prove.findings import Finding
from circuitdsl.derive.prove.hypotheses import (
    AtRest,
    Attracted,
    Homogeneous,
    Lagging,
    ManyDraws,
    MeanField,
    Slow,
    SmallSteps,
    Spectral,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

#: Hypotheses that hold about, and those of them under which the credit is H delta only on average.
ABOUT = (AtRest, Attracted, Homogeneous, Lagging, ManyDraws, MeanField, Slow, SmallSteps, Spectral)
ON_AVERAGE = (Lagging, ManyDraws, MeanField, Slow)
#: What an example's agreement may lie below 0, as a part of the largest, by rounding of what was trained in float32.
ROUNDING = 1e-5
#: A cosine above this one, and norms in a ratio that varies less than that, are those of the gradient itself.
EXACT, CONSTANT = 0.9999, 1e-3
#: The cosine of credit and H delta is at least this: where that is so but for rounding, and where relations hold but
#: for residuals of 0.05 to 0.2.
TO_THE_LETTER, ABOUT_SO = 0.999, 0.9
#: An eigenvalue of sym(H) is taken for negative below this part of the largest, where H explains so much.
NEGATIVE, EXPLAINED = -0.1, 0.9
#: What has collapsed is below this part of what it was at the start; and a drive that is to follow the gradient at rest
#: is gone below this part of what it was beside it.
GONE, NOTHING_LEFT = 0.05, 0.02


class Held(NamedTuple):
    """Whether a verdict was borne out (None: the readings do not decide), and the figures that say so."""

    held: bool | None
    why: str


class Seen(NamedTuple):
    """The readings of one seed at states that meet what is assumed, and the one that it started with."""

    readings: Sequence[Reading]
    start: Reading


def concluded(claim: Finding, seeds: Sequence[Seen], *, penalised: bool, filtered: bool) -> Held:
    """The verdict of a finding, held against the seeds that came to meet what it assumes (one at least). `penalised`:
    the loss has a part that needs no error to be followed. `filtered`: the drive passes through states, and is not what
    the weight gets."""
    assert claim.verdict is not None
    match claim.verdict:
        case "none":
            return _moves_nothing(claim, seeds, penalised)
        case "exact" if filtered:
            return Held(None, "its drive passes through states, so that no update is the gradient")
        case "exact":
            return _is_the_gradient(seeds)
        case "gradient" | "aligned" | "descent":
            held = _descends(seeds) if claim.verdict == "descent" else _follows(claim, seeds)
            return _in_the_end(held, seeds) if filtered and held.held else held
        case "ascent" | "inconsistent":
            return _by_sign("φ", [[r.phi for r in s.readings] for s in seeds], -1)
        case verdict:
            assert_never(verdict)


# ---------------------------------------------------------------- none


def _moves_nothing(claim: Finding, seeds: Sequence[Seen], penalised: bool) -> Held:
    """It cannot see the error, or is 0 throughout; of what collapses at rest, hardly anything is left."""
    if claim.evidence == "derived":
        left = max((r.drive / s.start.drive for s in seeds for r in s.readings if s.start.drive > 0), default=0.0)
        if left <= GONE:
            return Held(True, f"its drive is {left:.2g} of what it was at the start")
    seeing = [r for s in seeds for r in s.readings if not r.blind and r.drive > 0]
    alive = [s for s in seeds if any(r.ratio > 0 for r in s.readings)]
    if not seeing and penalised and alive:
        down = _by_sign("the descent rate", [[r.cos for r in s.readings] for s in alive], 1)
        up = _by_sign("the descent rate", [[r.cos for r in s.readings] for s in alive], -1)
        return Held(False if down.held or up.held else None, f"{down.why}, without any error")
    if not seeing:
        return Held(True, "permuted errors change nothing in it")
    return Held(False, f"permuted errors change its drive (descent {seeing[0].cos:.2g}, then {seeing[0].control:.2g})")


# ---------------------------------------------------------------- exact


def _is_the_gradient(seeds: Sequence[Seen]) -> Held:
    readings = [r for s in seeds for r in s.readings]
    alone = [r for r in readings if r.ratio == float("inf")]
    if alone:
        return Held(False, "it has a drive where there is no gradient")
    alive = [r for r in readings if r.ratio == r.ratio]
    if not alive:
        return Held(None, "there is neither drive nor gradient")
    least = min((r.cos if r.cos == r.cos else 0.0) for r in alive)
    if least <= EXACT:
        return Held(False, f"its cosine with the gradient falls to {least:.6f}")
    low, high = min(r.ratio for r in alive), max(r.ratio for r in alive)
    if high - low > CONSTANT * high:
        return Held(False, f"it is from {low:.4g} to {high:.4g} times the gradient")
    return Held(True, f"its cosine with the gradient is at least {least:.6f}")


def is_exact(readings: Sequence[Reading]) -> bool:
    """Whether a drive was the gradient at every reading that has one, times one number."""
    return bool(readings) and _is_the_gradient([Seen(readings, readings[0])]).held is True


# ---------------------------------------------------------------- gradient, aligned


def _follows(claim: Finding, seeds: Sequence[Seen]) -> Held:
    """The credit agrees with the gradient: example by example if nothing is neglected, else on the whole; and where H
    is known, or needs to be positive, it is that."""
    alive = [s._replace(readings=[r for r in s.readings if r.power.any()]) for s in seeds]
    alive = [s for s in alive if s.readings]
    readings = [r for s in alive for r in s.readings]
    if not readings:
        return Held(None, "there is no gradient")
    objection = _unseeing(readings) or _nothing_left(claim, alive)
    if objection is None and not _is_about(claim):
        objection = _by_example(readings)
    if objection is None and claim.verdict == "gradient":
        objection = _h(claim, readings)
    if objection is not None:
        return Held(False, objection)
    if any(r.follows == r.follows for r in readings) or not _is_about(claim):
        return _everywhere("φ", [[r.phi for r in s.readings] for s in alive])
    return _by_sign("φ", [[r.phi for r in s.readings] for s in alive], 1)


def _in_the_end(held: Held, seeds: Sequence[Seen]) -> Held:
    """What passes through states on its way to the weight: whether that goes along the gradient too."""
    found = _by_sign("the cosine of the whole increment", [[r.whole for r in s.readings] for s in seeds], 1)
    return held if found.held else found


def _is_about(claim: Finding) -> bool:
    return any(isinstance(h, ABOUT) for h in claim.assumes)


def _unseeing(readings: Sequence[Reading]) -> str | None:
    return "permuted errors change nothing in it: it does not see the error" if all(r.blind for r in readings) else None


def _nothing_left(claim: Finding, seeds: Sequence[Seen]) -> str | None:
    """A drive that has died away at rest, where the gradient has not: H is 0 there."""
    if not any(isinstance(h, AtRest) for h in claim.assumes):
        return None
    left = [s.readings[-1].ratio / s.start.ratio for s in seeds if s.start.ratio > 0]
    gone = bool(left) and max(left) <= NOTHING_LEFT
    return f"beside the gradient its drive is {max(left):.2g} of what it was at the start" if gone else None


def _by_example(readings: Sequence[Reading]) -> str | None:
    """One example that it goes against."""
    worst = min(float(r.agreement.min()) / (float(abs(r.agreement).max()) or 1.0) for r in readings)
    return None if worst >= -ROUNDING else f"an example has the agreement {worst:.2g} of the largest"


def _h(claim: Finding, readings: Sequence[Reading]) -> str | None:
    """What the credit is not: H delta, with the H that was derived, or any H with a positive symmetric part."""
    if any(isinstance(h, ON_AVERAGE) for h in claim.assumes):
        return None
    least = TO_THE_LETTER if not _is_about(claim) else ABOUT_SO
    cosines = [r.follows for r in readings if r.follows == r.follows]
    if cosines and min(cosines) < least:
        return f"the cosine of its credit with Hδ is {min(cosines):.2g}"
    known = [r.response for r in readings if r.response.r2 > EXPLAINED and r.response.high > 0]
    negative = [h for h in known if h.low < NEGATIVE * h.high]
    if negative and not cosines:
        return f"sym(H) has eigenvalues from {negative[0].low:.2g} to {negative[0].high:.2g}"
    return None


# ---------------------------------------------------------------- signs


def _descends(seeds: Sequence[Seen]) -> Held:
    readings = [r for s in seeds for r in s.readings]
    if not any(r.ratio > 0 for r in readings):
        return Held(None, "there is neither drive nor gradient")
    objection = _unseeing(readings)
    if objection is not None:
        return Held(False, objection)
    return _by_sign("the descent rate", [[r.cos for r in s.readings] for s in seeds], 1)


def _by_sign(name: str, seeds: Sequence[Sequence[float]], sign: int) -> Held:
    """Something that is to have one sign, by its interval over seeds; fewer than decide anything decide nothing."""
    import numpy as np

    known = [[x for x in states if x == x] for states in seeds]
    if not any(known):
        return Held(None, f"{name} is not known")
    means = interval(np.array([sum(seed) / len(seed) for seed in known if seed]))
    shown = f"{name} is {_shown(means)}"
    count = sum(map(bool, known))
    if means.sign != 0 and count >= FEWEST:
        return Held(means.sign == sign, shown)
    return Held(None, f"{shown} in {count} seed{'' if count == 1 else 's'}: undecided")


def _everywhere(name: str, seeds: Sequence[Sequence[float]]) -> Held:
    """Something that was shown example by example, or for the H that was derived, and is above 0 at every state."""
    import numpy as np

    states = [x for seed in seeds for x in seed if x == x]
    means = interval(np.array([sum(seed) / len(seed) for seed in seeds]))
    return Held(min(states) > 0 if states else None, f"{name} is {_shown(means)}")


def _shown(found: Interval) -> str:
    if found.low != found.low:
        return f"{found.mean:.2g}"
    return f"{found.mean:.2g} [{found.low:.2g}, {found.high:.2g}]"
