"""What is derived of a synapse, as far as a drawing shows it."""

from __future__ import annotations

from typing import Literal

from circuitdsl.frozen import frozen


@frozen(kw_only=True)
class Told:
    """`note`: what is written below the name of a synapse, such as `⇒ gradient, proved`."""

    role: Literal["learning", "auxiliary", "fixed"]
    note: str | None = None
