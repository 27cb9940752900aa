"""What is measured of a circuit at one state: every learning synapse, over one sample of examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from circuitdsl.certify.drive import Rule
from circuitdsl.certify.pairing import Pair, mean_descent, pair
from circuitdsl.certify.passes import Passes, Still, in_float64
from circuitdsl.certify.relations import derived_h
from circuitdsl.certify.statistics import Response, response
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.graph.functions import quiet
from circuitdsl.graph.initial import fans_of
from circuitdsl.graph.ir import Synapse
from circuitdsl.graph.numbers import evaluate
from circuitdsl.reference import Reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Data, Indices, Numbers, State

    Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One learning synapse at one state of one seed.

    `cos` of mean drive and descent direction; `ratio` of their norms, in units of the rule's rate. For each example
    of the sample: `descent`, whose mean is that cosine and whose spread is what the example does to it; `control`,
    the same with the drive under permuted errors, in the same unit, `turned`, with errors that are also turned round;
    `agreement`, s . delta in units of the rate, and
    `power`, |delta|^2; `aligned`, the mean cosine of s and H delta, H as it was derived (else the identity), over the
    neurons that have credit, the others learning nothing from it. NaN where the gradient is 0, but for the ratio where
    the drive is not."""

    cos: float
    ratio: float
    descent: Array
    control: Array
    turned: Array
    agreement: Array
    power: Array
    aligned: float
    response: Response

    @property
    def phi(self) -> float:
        """The consistency score E[s . delta] / E|delta|^2; NaN without gradient."""
        power = float(self.power.mean())
        return float(self.agreement.mean()) / power if power > 0 else float("nan")


def read(rule: Rule, passes: Passes, still: Still, derivation: Derivation, state: State, numbers: Numbers) -> Reading:
    """What the passes at a state say about a rule."""
    with quiet():
        found = pair(rule, passes, still, state)
        return _reading(found, _rate(rule, state, numbers), derived_h(derivation, rule.synapse.name, state))


def _rate(rule: Rule, state: State, numbers: Numbers) -> float:
    """The rule's own rate, a positive number; 1 where it is 0, or differs from synapse to synapse."""
    try:
        rate = evaluate(rule.rate, numbers, fans_of(rule.synapse, state.masks[rule.synapse.name]))
    except ValueError:
        return 1.0
    return rate if rate > 0 else 1.0


def _reading(found: Pair, rate: float, h: Array | None) -> Reading:
    import numpy as np

    drive, descent = float(np.linalg.norm(found.drive)), float(np.linalg.norm(found.descent))
    examples = len(found.power)
    cos = float(np.vdot(found.drive, found.descent)) / (drive * descent) if drive * descent > 0 else float("nan")
    if drive * descent > 0:
        each, control, turned = _influences(found, drive, descent)
    else:
        each = control = turned = np.zeros(examples) if descent > 0 else np.full(examples, np.nan)
    return Reading(
        cos=cos,
        ratio=drive / rate / descent if descent > 0 else float("inf") if drive > 0 else float("nan"),
        descent=each,
        control=control,
        turned=turned,
        agreement=found.agreement / rate,
        power=found.power,
        aligned=_aligned(found.credit, found.delta if h is None else found.delta @ h.T),
        response=response(found.credit / rate, found.delta),
    )


def _aligned(credit: Array, wanted: Array) -> float:
    """The mean cosine of credits and what they should be, over the examples that have both. A neuron that its rule's
    gate keeps from credit at an example does not count there: credit and gradient begin with that gate."""
    import numpy as np

    wanted = np.where(credit == 0, 0, wanted)
    norms = np.linalg.norm(credit, axis=1) * np.linalg.norm(wanted, axis=1)
    there = norms > 0
    products = np.einsum("ej,ej->e", credit, wanted)
    return float((products[there] / norms[there]).mean()) if there.any() else float("nan")


def _influences(found: Pair, drive: float, descent: float) -> tuple[Array, Array, Array]:
    """a / sqrt(b c) plus what each example does to it (its influence function), for a the product of the two means
    and b, c their squares; with the real drive, and with those of the two controls in the same unit."""
    import numpy as np

    scale = drive * descent
    spread = (found.drive_drive / drive**2 - 1) + (found.descent_descent / descent**2 - 1)

    def each(forth: Array, back: Array) -> Array:
        mean = forth.mean()
        return np.asarray((forth + back - back.mean() - mean * spread) / scale)

    return (
        each(found.drive_descent, found.descent_drive),
        each(found.control_descent, found.descent_control),
        each(found.turned_descent, found.descent_turned),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The examples at which a circuit is looked at, always the same."""

    data: Data
    examples: Indices
    numbers: Numbers


def look(
    still: Still, rules: Sequence[Rule], sample: Sample, derivation: Derivation, state: State, *, seed: int, epoch: int
) -> dict[str, Reading]:
    """Every rule at one state; the state may be of any precision."""
    wide = in_float64(state)
    passes = still.look(wide, sample.data, sample.examples, sample.numbers, seed=seed, epoch=epoch)
    return {rule.synapse.name: read(rule, passes, still, derivation, wide, sample.numbers) for rule in rules}


def realised_cosine(
    still: Still, synapses: Sequence[Synapse], sample: Sample, state: State, *, seed: int, epoch: int
) -> dict[str, float]:
    """The cosine of what the next update would really add, states and decay included, with the descent direction."""
    import numpy as np

    wide = in_float64(state)
    where = (wide, sample.data, sample.examples, sample.numbers)
    with quiet():
        frames = still.evaluation(*where, seed=seed, epoch=epoch)
        steps = Reference(still.circuit, (), "float64").increments(*where, seed=seed, epoch=epoch)
    found = {}
    for synapse in synapses:
        step, descent = steps[synapse.name], mean_descent(synapse, frames, wide)
        norms = float(np.linalg.norm(step) * np.linalg.norm(descent))
        found[synapse.name] = float(np.vdot(step, descent)) / norms if norms > 0 else float("nan")
    return found
