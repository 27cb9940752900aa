"""What is derived about a circuit, with words: what `circuit.derive()` gives.

Every sentence and formula is made of the data of derive/prove when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any

from circuitdsl.derive.prove.findings import Finding, Proof, seeds_agreeing
from circuitdsl.derive.prove.verdict import judge
from circuitdsl.derive.read.drives import Drive
from circuitdsl.derive.tell.depth import depth_warnings
from circuitdsl.derive.tell.reasons import Reasons
from circuitdsl.derive.tell.wording import Wording
from circuitdsl.diagnostics import Diagnostic
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir


@frozen(kw_only=True)
class Told(Finding):
    """A finding with its words. `credit`, `gradient`, `implied` (the update) and `H` are formulas as text, None where
    they are not known; `because`: the reasons of the verdict, or what was not shown, each a sentence."""

    words: Wording = field(repr=False, compare=False)

    @property
    def because(self) -> tuple[str, ...]:
        return tuple(map(Reasons(self.words).told, self.reasons))

    @property
    def credit(self) -> str | None:
        return self.words.sum(self.drive.shown[0]) if isinstance(self.drive, Drive) else None

    @property
    def gradient(self) -> str | None:
        return None if self.delta is None else self.words.sum(self.delta)

    @property
    def implied(self) -> str | None:
        return self.words.update(self.drive) if isinstance(self.drive, Drive) else None

    @property
    def H(self) -> str | None:
        """The positive matrix between credit and gradient, where one is known."""
        if not self.follows:
            return None
        if self.dual is not None:
            return self.words.inverse(self.dual)
        if self.form is not None and self.pre is not None and isinstance(self.drive, Drive):
            return self.words.h(self.form, self.pre, self.drive.passage)
        return "I"

    def _repr_html_(self) -> str:
        from circuitdsl.derive.tell.notebook import finding_html

        return finding_html(self)


@frozen(kw_only=True)
class Derivation(Proof):
    """Everything derived about a circuit, with words. `meta_objective`: what its pairs of synapses climb together;
    `warnings`: where decays break what depth asks of them."""

    findings: Mapping[str, Told]

    def __getitem__(self, synapse: str) -> Told:
        """What was derived about a synapse, by its elaborated name. Raises KeyError."""
        if synapse not in self.findings:
            raise KeyError(f"no synapse `{synapse}` in `{self.circuit.name}`; there are {', '.join(self.findings)}")
        return self.findings[synapse]

    @property
    def dc_evidence(self) -> str | None:
        """On what evidence the signs of phi are known that make `dc`; None if that is not decided."""
        learning = [f for f in self.findings.values() if f.role == "learning"]
        seeds = seeds_agreeing(learning)
        if self.dc is None:
            return None
        if seeds is not None:
            return f"measured, in {seeds[0]} of {seeds[1]} seeds"
        return "proved" if all(f.assumed.proved for f in learning) else "derived"

    def drive_of(self, synapse: str) -> Drive | None:
        """The rule of a synapse as it was read; None if it was not."""
        found = self.findings[synapse].drive
        return found if isinstance(found, Drive) else None

    @property
    def meta_objective(self) -> str | None:
        return Wording(self.symbols.constants).objective(self.motifs)

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        return tuple(depth_warnings(self.symbols, self.depth))

    def __str__(self) -> str:
        from circuitdsl.derive.tell.expects import judge
        from circuitdsl.derive.tell.page import page

        return page(self, judge(self))

    def _repr_html_(self) -> str:
        from circuitdsl.derive.tell.notebook import html

        return html(self)

    def _repr_markdown_(self) -> str:
        from circuitdsl.derive.tell.notebook import markdown

        return markdown(self)


def derive(circuit: ir.Circuit) -> Derivation:
    """What the circuit's plasticity amounts to, symbolically. A circuit without a loss gets no verdicts."""
    proof = judge(circuit)
    words = Wording(proof.symbols.constants)
    told = {name: Told(**_data(found), words=words) for name, found in proof.findings.items()}
    return Derivation(**{**_data(proof), "findings": told})


def _data(of: Finding | Proof) -> dict[str, Any]:
    """The fields of a dataclass by their names."""
    return {f.name: getattr(of, f.name) for f in fields(of)}
