"""The certificate: what was measured of every learning synapse, and whether it agrees with what was derived."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from circuitdsl.certify.assumptions import Assumption
from circuitdsl.certify.statistics import Interval
from circuitdsl.derive.prove.findings import Verdict
from circuitdsl.derive.tell.derivation import Derivation


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One synapse at one checkpoint, over the seeds.

    `cos` of drive and descent direction, its interval over examples and seeds, and under `control`; `phi`, the
    consistency score; `residual` of the relations that the derived verdict needs, the largest over the seeds; None
    without any."""

    update: int
    cos: Interval
    control: float
    phi: Interval
    norm_ratio: float
    residual: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SynapseCertificate:
    """One learning synapse (theory.md, section 4).

    Means over the seeds after the last update: `cos`; `norm_ratio`, |drive| / |gradient| in units of the rule's rate;
    `aligned`, the cosine of credit and H delta, H as it was derived, else the identity; `r2`, `h_min` and `h_max`. Over
    the late checkpoints (from a fifteenth of the updates on): `phi`, `descent` and `control`. `descent` is
    E<drive, -grad> / (|drive| |grad|), 1 for the gradient itself; `control` the same with permuted errors, in the same
    unit; `differences` from that, and from the control in which every other error is also turned round, are taken
    example by example.
    `phi_positive`: the part of checkpoints and seeds with phi > 0. `reached`: the relations that the derived
    verdict needs came under 0.1 in all seeds (and, if it is approximate, the credit was about H delta then); None if it
    needs none. `verdict`: by measurement; None if every seed
    diverged. `agrees`: with what was `derived`; None if nothing was. `realised`: where the drive passes through states
    on its way to the weight, the cosine of the whole increment after the last update. `assumes`: what the
    finding assumes, with its residuals in the first seed after the last update; empty if that was not looked at."""

    name: str
    cos: float
    norm_ratio: float
    aligned: float
    phi: Interval
    phi_positive: float
    r2: float
    h_min: float
    h_max: float
    descent: Interval
    control: float
    differences: tuple[Interval, Interval]
    verdict: Verdict | None
    derived: Verdict | None
    reached: bool | None
    agrees: bool | None
    objection: str | None
    realised: float | None
    course: tuple[Moment, ...]
    assumes: tuple[Assumption, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "cos": self.cos,
            "phi": list(self.phi),
            "phi_positive": self.phi_positive,
            "reached": self.reached,
            "assumes": [assumption.as_json() for assumption in self.assumes],
            "r2": self.r2,
            "h_min": self.h_min,
            "h_max": self.h_max,
            "norm_ratio": self.norm_ratio,
            "descent": list(self.descent),
            "control": self.control,
            "verdict": self.verdict,
        }

    @property
    def evidence(self) -> str:
        """The verdict with its figures, as `derive` shows it."""
        low, mean, high, control = (f"{x:.2f}".replace("-0.00", "0.00") for x in (*self.descent, self.control))
        return f"{self.verdict}, cos {mean} [{low}, {high}], control {control}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The certificate of a circuit.

    `dc`: the phi of all patches have one sign, as measured; None if that is not decided. `decay`: what the slowest
    relation, or else the slowest learning weight, loses per update; None where no decay is known. `taylor_slope`:
    the order of the gradient's error along random directions, 2 for a right gradient. `relaxation`: for circuits of
    several ticks, how much the rates on the way to the loss still change in the last one, relative to their size.
    `diverged`: whether a seed did; the others count."""

    circuit: str
    seeds: int
    updates: int
    examples: int
    synapses: dict[str, SynapseCertificate]
    dc: bool | None
    decay: float | None
    taylor_slope: float | None
    relaxation: float | None
    diverged: bool
    derivation: Derivation = field(repr=False)

    def __getitem__(self, synapse: str) -> SynapseCertificate:
        return self.synapses[synapse]

    @property
    def agrees_with_derive(self) -> bool:
        return all(s.agrees is not False for s in self.synapses.values())

    @property
    def contradictions(self) -> tuple[str, ...]:
        """What the measurement objects to, one sentence for each synapse."""
        return tuple(s.objection for s in self.synapses.values() if s.objection is not None)

    def as_json(self) -> dict[str, Any]:
        """The object of `certify --json` (language.md)."""
        return {
            "circuit": self.circuit,
            "seeds": self.seeds,
            "dc": self.dc,
            "synapses": {name: s.as_json() for name, s in self.synapses.items()},
            "agrees_with_derive": self.agrees_with_derive,
            "taylor_slope": self.taylor_slope,
            "relaxation": self.relaxation,
            "diverged": self.diverged,
        }

    def table(self, *, width: int = 100) -> str:
        """The certificate as text."""
        from circuitdsl.certify.table import table

        return table(self, width=width)

    def __str__(self) -> str:
        return self.table()
