"""Every code that a message can carry: what it means, an example that gives it, and one that does not.

One source for `circuitdsl explain C012` and for docs/errors.md (`python -m circuitdsl.codes` prints it).
"""

from __future__ import annotations

from circuitdsl.codes.code import Code
from circuitdsl.codes.deriving import DERIVING
from circuitdsl.codes.judging import JUDGING
from circuitdsl.codes.names import NAMES
from circuitdsl.codes.numbers import NUMBERS
from circuitdsl.codes.running import RUNNING
from circuitdsl.codes.syntax import SYNTAX
from circuitdsl.codes.types import TYPES
from circuitdsl.codes.wiring import WIRING

__all__ = ["CODES", "Code"]

#: By code, in order.
CODES: dict[str, Code] = {**SYNTAX, **NAMES, **NUMBERS, **TYPES, **WIRING, **JUDGING, **RUNNING, **DERIVING}
