"""The certificate: what was measured of every learning synapse, and whether it bears out what was derived."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from circuitdsl.certify.assumptions import Assumption
from circuitdsl.certify.statistics import Interval
from circuitdsl.derive.prove.findings import Verdict
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.frozen import frozen

Status = Literal["confirmed", "contradicted", "untested"]
#: How a status is shown.
MARK: dict[Status | None, str] = {"confirmed": "✓", "contradicted": "✗", "untested": "·", None: ""}


@frozen(kw_only=True)
class Moment:
    """One synapse at one checkpoint, over the seeds.

    `cos` of drive and descent direction, and under `control`; `phi`, the consistency score; `met`: in how many seeds
    all that the derived verdict assumes was met there."""

    update: int
    cos: Interval
    control: float
    phi: Interval
    norm_ratio: float
    met: int


@frozen(kw_only=True)
class Outcome:
    """What became of a derived verdict, and why. `seeds`: how many came to a state that meets all that it assumes."""

    status: Status
    why: str
    seeds: int


@frozen(kw_only=True)
class SynapseCertificate:
    """One learning synapse (theory.md, section 4). Intervals are over seeds (Student's t).

    Means over the seeds after the last update: `cos`; `norm_ratio`, |drive| / |gradient| in units of the rule's rate;
    `aligned`, the cosine of credit and H delta, H as it was derived, else the identity; `r2`, `h_min` and `h_max`. Over
    the late checkpoints (from a fifteenth of the updates on): `phi`, `descent` and `control`. `descent` is
    E<drive, -grad> / (|drive| |grad|), 1 for the gradient itself; `control` the same with permuted errors, in the same
    unit. `phi_positive`: the part of checkpoints and seeds with phi > 0; `phi_signs`: the sign of each seed's mean
    phi, 0 for one that diverged. `verdict`: by measurement; None where the seeds do not decide. `phases`: which way
    it went when, if it turned, or seeds went opposite ways. `derived`: the verdict of `derive`; `outcome`: what became
    of it, None if nothing was derived; `assumes`: what it assumes, with residuals at the last state that met all
    of it, else at the last, in the seed that is farthest from it. `balance`: <D, G> as a multiple of what balance at
    rest says. `whole`: where the drive passes through states on its way to the weight, the cosine of the whole
    increment, decay left out, after the last update."""

    name: str
    cos: float
    norm_ratio: float
    aligned: float
    phi: Interval
    phi_positive: float
    phi_signs: tuple[int, ...]
    r2: float
    h_min: float
    h_max: float
    descent: Interval
    control: float
    verdict: Verdict | None
    phases: str | None
    derived: Verdict | None
    outcome: Outcome | None
    assumes: tuple[Assumption, ...]
    balance: float | None
    whole: float | None
    course: tuple[Moment, ...]

    @property
    def status(self) -> Status | None:
        return None if self.outcome is None else self.outcome.status

    @property
    def mark(self) -> str:
        """✓, ✗ or ·"""
        return MARK[self.status]

    def as_json(self) -> dict[str, Any]:
        return {
            "cos": self.cos,
            "phi": list(self.phi),
            "phi_positive": self.phi_positive,
            "derived": self.derived,
            "status": self.status,
            "because": None if self.outcome is None else self.outcome.why,
            "assumes": [assumption.as_json() for assumption in self.assumes],
            "balance": self.balance,
            "r2": self.r2,
            "h_min": self.h_min,
            "h_max": self.h_max,
            "norm_ratio": self.norm_ratio,
            "descent": list(self.descent),
            "control": self.control,
            "verdict": self.verdict,
            "phases": self.phases,
        }

    @property
    def figures(self) -> str:
        """What was measured, in one line: `descent, cos 0.83 [0.80, 0.85], control 0.00`."""
        told = f"{self.verdict or 'undecided'}, {self._descent()}"
        diverged = sum(sign == 0 for sign in self.phi_signs) if not self.course else 0
        notes = [self.phases, f"all {diverged} seeds diverged" if diverged else None]
        noted = "; ".join(n for n in notes if n is not None)
        return f"{told} ({noted})" if noted else told

    def _descent(self) -> str:
        if self.descent.mean != self.descent.mean:
            return "no gradient to go along"
        low, mean, high, control = (f"{x:.2f}".replace("-0.00", "0.00") for x in (*self.descent, self.control))
        return f"cos {mean} [{low}, {high}], control {control}"


@frozen(kw_only=True)
class Certificate:
    """The certificate of a circuit.

    `dc`: the phi of all patches have one sign, as measured; None if that is not decided; `dc_evidence`: in how many of
    the seeds. `decay`: what the slowest relation, or else the slowest learning weight, loses per update; None where no
    decay is known. `long`: how many updates `certify --long` has, for all that verdicts assume to come about; None if
    nothing takes time. `taylor_slope`: the order of the gradient's error along random
    directions, 2 for a right gradient. `relaxation`: for circuits of several ticks, how much the rates on the way to
    the loss still change in the last one, relative to their size. `diverged`: how many seeds did."""

    circuit: str
    seeds: int
    updates: int
    examples: int
    synapses: dict[str, SynapseCertificate]
    dc: bool | None
    dc_evidence: str | None
    decay: float | None
    long: int | None
    taylor_slope: float | None
    relaxation: float | None
    diverged: int
    derivation: Derivation = field(repr=False)

    def __getitem__(self, synapse: str) -> SynapseCertificate:
        return self.synapses[synapse]

    @property
    def agrees_with_derive(self) -> bool | None:
        """False if a verdict is contradicted, True if one is confirmed and none contradicted; None if none was
        tested."""
        found = {s.status for s in self.synapses.values()}
        return False if "contradicted" in found else True if "confirmed" in found else None

    @property
    def contradictions(self) -> tuple[str, ...]:
        """What the measurement objects to, one sentence for each synapse."""
        return tuple(
            f"`{s.name}` is derived to be {s.derived}, but {s.outcome.why}"
            for s in self.synapses.values()
            if s.outcome is not None and s.outcome.status == "contradicted"
        )

    def as_json(self) -> dict[str, Any]:
        """The object of `certify --json` (language.md)."""
        return {
            "circuit": self.circuit,
            "seeds": self.seeds,
            "dc": self.dc,
            "dc_evidence": self.dc_evidence,
            "synapses": {name: s.as_json() for name, s in self.synapses.items()},
            "agrees_with_derive": self.agrees_with_derive,
            "taylor_slope": self.taylor_slope,
            "relaxation": self.relaxation,
            "diverged": self.diverged > 0,
        }

    def table(self, *, width: int = 100) -> str:
        """The certificate as text."""
        from circuitdsl.certify.table import table

        return table(self, width=width)

    def __str__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        from circuitdsl.certify.summary import as_html

        return as_html(self)
