"""What is measured of a circuit at one state: every learning synapse, over one sample of examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from circuitdsl.certify.checkpoint import Checkpoint
from circuitdsl.certify.drive import Rule
from circuitdsl.certify.pairing import Pair, pair
from circuitdsl.certify.relations import derived_h
from circuitdsl.certify.statistics import Response, response
from circuitdsl.frozen import frozen
from circuitdsl.graph.functions import quiet
from circuitdsl.graph.numbers import evaluate
from circuitdsl.graph.projections import fans_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Numbers, State

    Array = NDArray[np.floating[Any]]


@frozen(kw_only=True)
class Reading:
    """One learning synapse at one state of one seed.

    `cos` of mean drive and descent direction, the rate of descent; `control`, the same with the drive under permuted
    errors, in the same unit, and `turned`, with errors that are also turned round (NaN if permuting moves no error);
    `blind`: neither of them changes the drive of any example. `rate` of the rule; `drive`: its norm; `ratio`: that by
    the norm of the gradient. For each example of the sample `agreement`, s . delta, and `power`, |delta|^2. `follows`:
    the cosine of s and H delta, H as it was derived, of all examples together, over the neurons that have credit, the
    others learning nothing from it; NaN if no such H was derived. `aligned`: the mean of that of each example, with
    the identity. `whole`: of a drive that passes through states, the cosine of what the next update adds, decay left
    out; NaN of others, and where it was not looked at. Drives and credits are in units of the rule's rate. NaN where
    the gradient is 0, but for the ratio where the drive is not."""

    cos: float
    control: float
    turned: float
    blind: bool
    rate: float
    drive: float
    ratio: float
    agreement: Array
    power: Array
    follows: float
    aligned: float
    response: Response
    whole: float = float("nan")

    @property
    def phi(self) -> float:
        """The consistency score E[s . delta] / E|delta|^2; NaN without gradient."""
        power = float(self.power.mean())
        return float(self.agreement.mean()) / power if power > 0 else float("nan")


def look(rules: Sequence[Rule], at: Checkpoint, *, whole: bool = False) -> dict[str, Reading]:
    """Every rule at one state. `whole`: of drives that pass through states, what they come to in the end too."""
    return {rule.synapse.name: read(rule, at, whole=whole) for rule in rules}


def read(rule: Rule, at: Checkpoint, *, whole: bool = False) -> Reading:
    """What the passes at a state say about a rule."""
    with quiet():
        found = pair(rule, at.passes, at.still, at.state)
        h = derived_h(at.derivation, rule.synapse.name, at.state)
        reading = _reading(found, _rate(rule, at.state, at.sample.numbers), h)
        if not (whole and rule.filtered):
            return reading
        return replace(reading, whole=_cosine(at.drive_part(rule.synapse), found.descent))


def _cosine(one: Array, other: Array) -> float:
    import numpy as np

    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.vdot(one, other)) / norms if norms > 0 else float("nan")


def _rate(rule: Rule, state: State, numbers: Numbers) -> float:
    """The rule's own rate, a positive number; 1 where it is 0, or differs from synapse to synapse."""
    try:
        rate = evaluate(rule.rate, numbers, fans_of(rule.synapse, state.projections[rule.synapse.name]))
    except ValueError:
        return 1.0
    return rate if rate > 0 else 1.0


def _reading(found: Pair, rate: float, h: Array | None) -> Reading:
    import numpy as np

    drive, descent = float(np.linalg.norm(found.drive)), float(np.linalg.norm(found.descent))

    def along(of: Array) -> float:
        if drive * descent > 0:
            return float(np.vdot(of, found.descent)) / (drive * descent)
        return 0.0 if descent > 0 else float("nan")

    cos, control, turned = map(along, (found.drive, found.control, found.turned))
    return Reading(
        cos=cos if drive > 0 else float("nan"),
        control=control,
        turned=turned,
        blind=found.blind,
        rate=rate,
        drive=drive / rate,
        ratio=_ratio(drive / rate, descent),
        agreement=found.agreement / rate,
        power=found.power,
        follows=float("nan") if h is None else _pooled(found.credit, found.delta @ h.T),
        aligned=_aligned(found.credit, found.delta),
        response=response(found.credit / rate, found.delta),
    )


def _ratio(drive: float, descent: float) -> float:
    """Infinite for a drive without a gradient; NaN for neither, and where one of them is no number."""
    if descent != descent or drive != drive or descent == float("inf"):
        return float("nan")
    return drive / descent if descent > 0 else float("inf") if drive > 0 else float("nan")


def _pooled(credit: Array, wanted: Array) -> float:
    """The cosine of credits and what they should be, of all examples together, over the neurons that have credit."""
    import numpy as np

    wanted = np.where(credit == 0, 0, wanted)
    norms = float(np.linalg.norm(credit) * np.linalg.norm(wanted))
    return float(np.vdot(credit, wanted)) / norms if norms > 0 else float("nan")


def _aligned(credit: Array, wanted: Array) -> float:
    """The mean cosine of credits and what they should be, over the examples that have both. A neuron that its rule's
    gate keeps from credit at an example does not count there: credit and gradient begin with that gate."""
    import numpy as np

    wanted = np.where(credit == 0, 0, wanted)
    norms = np.linalg.norm(credit, axis=1) * np.linalg.norm(wanted, axis=1)
    there = norms > 0
    products = np.einsum("ej,ej->e", credit, wanted)
    return float((products[there] / norms[there]).mean()) if there.any() else float("nan")
