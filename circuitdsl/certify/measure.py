"""What is measured of a circuit at one state: every learning synapse, over one sample of examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from circuitdsl.certify.drive import Rule
from circuitdsl.certify.pairing import Pair, pair
from circuitdsl.certify.passes import Passes, Still, in_float64
from circuitdsl.certify.statistics import Response, response
from circuitdsl.graph.functions import quiet
from circuitdsl.graph.initial import fans_of
from circuitdsl.graph.numbers import evaluate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Data, Indices, Numbers, State

    Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One learning synapse at one state of one seed.

    `cos` of mean drive and descent direction; `ratio` of their norms, in units of the rule's rate. For each example
    of the sample: `along`, its part in that cosine, `control`, the same with permuted errors, `agreement`, s . delta
    in units of the rate, and `power`, |delta|^2. NaN where the gradient is 0."""

    cos: float
    ratio: float
    along: Array
    control: Array
    agreement: Array
    power: Array
    response: Response

    @property
    def phi(self) -> float:
        """The consistency score E[s . delta] / E|delta|^2."""
        return float(self.agreement.mean() / self.power.mean())


def read(rule: Rule, passes: Passes, still: Still, state: State, numbers: Numbers) -> Reading:
    """What the passes at a state say about a rule."""
    with quiet():
        found = pair(rule, passes, still.errors, state)
        return _reading(found, _rate(rule, state, numbers))


def _rate(rule: Rule, state: State, numbers: Numbers) -> float:
    """The rule's own rate, a positive number; 1 where it is 0, or differs from synapse to synapse."""
    try:
        rate = evaluate(rule.rate, numbers, fans_of(rule.synapse, state.masks[rule.synapse.name]))
    except ValueError:
        return 1.0
    return rate if rate > 0 else 1.0


def _reading(found: Pair, rate: float) -> Reading:
    import numpy as np

    drive, descent = float(np.linalg.norm(found.drive)), float(np.linalg.norm(found.descent))
    scale = drive * descent
    if scale > 0:
        along, control = found.along / scale, found.control / scale
        cos = float(np.vdot(found.drive, found.descent)) / scale
    else:
        along = control = np.zeros(len(found.along)) if descent > 0 else np.full(len(found.along), np.nan)
        cos = float("nan")
    return Reading(
        cos=cos,
        ratio=drive / rate / descent if descent > 0 else float("nan"),
        along=along,
        control=control,
        agreement=found.agreement / rate,
        power=found.power,
        response=response(found.credit / rate, found.delta),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The examples at which a circuit is looked at, always the same."""

    data: Data
    examples: Indices
    numbers: Numbers


def look(
    still: Still, rules: Sequence[Rule], sample: Sample, state: State, *, seed: int, epoch: int
) -> dict[str, Reading]:
    """Every rule at one state; the state may be of any precision."""
    wide = in_float64(state)
    passes = still.look(wide, sample.data, sample.examples, sample.numbers, seed=seed, epoch=epoch)
    return {rule.synapse.name: read(rule, passes, still, wide, sample.numbers) for rule in rules}
