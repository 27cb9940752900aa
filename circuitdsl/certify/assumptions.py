"""What the findings of a circuit assume, each with how far one state is from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from circuitdsl.certify.checkpoint import Checkpoint
from circuitdsl.certify.hypotheses import is_met, residual
from circuitdsl.derive.prove.hypotheses import Hypothesis
from circuitdsl.derive.tell.hypotheses import name_of, text_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """A hypothesis at one state: its name and what it says, its residual there (NaN: the state cannot tell), and
    whether that is small enough (None: likewise)."""

    name: str
    text: str
    residual: float
    met: bool | None

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "text": self.text, "residual": self.residual, "met": self.met}


def assumptions(at: Checkpoint, synapses: Iterable[str]) -> dict[str, tuple[Assumption, ...]]:
    """What the finding of each of these synapses assumes. A hypothesis of several is evaluated once."""
    known: dict[Hypothesis, Assumption] = {}
    found: dict[str, tuple[Assumption, ...]] = {}
    for synapse in synapses:
        assumes = at.derivation.findings[synapse].assumes
        for hypothesis in assumes:
            if hypothesis not in known:
                known[hypothesis] = _evaluated(hypothesis, at)
        found[synapse] = tuple(known[hypothesis] for hypothesis in assumes)
    return found


def _evaluated(hypothesis: Hypothesis, at: Checkpoint) -> Assumption:
    off = residual(hypothesis, at)
    text = text_of(hypothesis, at.derivation.symbols.constants)
    return Assumption(name=name_of(hypothesis), text=text, residual=off, met=is_met(hypothesis, off))
