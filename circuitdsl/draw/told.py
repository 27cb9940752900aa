"""What is derived of a synapse, as far as a drawing shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """`note`: what is written below the name of a synapse, such as `⇒ gradient, proved`."""

    role: Literal["learning", "auxiliary", "fixed"]
    note: str | None = None
