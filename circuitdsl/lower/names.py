"""Names that are safe in Python and C: `L[1].a.basal` becomes `L_1_a_basal`."""

from __future__ import annotations

import builtins
import keyword
import re
from dataclasses import dataclass, field

from circuitdsl.graph.functions import FUNCTIONS

#: Variables of phases; an entity of that name (also with a number after it) gets a `_` behind.
LOCALS = frozenset({
    "b", "i", "j", "k", "total", "top", "best", "winner", "rank", "mine", "e", "s", "g", "dw", "step", "other",
    "first", "count", "share", "example", "tick", "ticks", "batch", "examples", "steps", "seed", "epoch", "order",
    "start", "stop", "tape",
})  # fmt: skip

_C_KEYWORDS = frozenset(
    "auto char const default do double enum extern float goto inline int long register restrict short signed"
    " sizeof static struct switch typedef union unsigned void volatile main".split()
)
_TAKEN = frozenset(keyword.kwlist) | frozenset(keyword.softkwlist) | frozenset(dir(builtins)) | _C_KEYWORDS
#: What back ends call their own.
BACK_END = frozenset(
    "np njit math numba cuda real kernel apart distinct swift_tanh intrinsic config types train train_online evaluate"
    " least largest rand randn philox minus_log31 sqrt27 cosine30 uniform24 uniform53 normal28".split()
) | frozenset(f.name for f in FUNCTIONS.values() if isinstance(f.value, str))


@dataclass(slots=True)
class Names:
    """Gives every key (an entity and what is meant of it) one name, the same every time."""

    given: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def of(self, text: str, prefix: str = "") -> str:
        """The name of an entity, with a prefix that says what of it is meant: `prev`, `mask`, `n`."""
        key = f"{prefix} {text}"
        if key not in self.given:
            self.given[key] = self._fresh(f"{prefix}_{_word(text)}" if prefix else _word(text))
        return self.given[key]

    def _fresh(self, wanted: str) -> str:
        if wanted[0].isdigit():
            wanted = f"v{wanted}"
        if wanted in _TAKEN | BACK_END or re.sub(r"\d+$", "", wanted) in LOCALS:
            wanted += "_"
        name, count = wanted, 1
        while name in self.used:
            count += 1
            name = f"{wanted}_{count}"
        self.used.add(name)
        return name


def _word(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_") or "value"


@dataclass(slots=True)
class Locals:
    """Names of the variables of one phase: `total`, `total2`, ..."""

    counts: dict[str, int] = field(default_factory=dict)

    def fresh(self, base: str) -> str:
        assert base in LOCALS, base
        self.counts[base] = self.counts.get(base, 0) + 1
        return base if self.counts[base] == 1 else f"{base}{self.counts[base]}"
