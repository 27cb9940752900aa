"""Names of a loop program: `L[1].a.basal` becomes `L_1_a_basal`."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import field

from circuitdsl.frozen import mutable
from circuitdsl.lower.loop_ir import Define, Statement, statements
from circuitdsl.lower.rewrite import rename

#: Variables of phases; an entity of that name (also with a number after it) gets a `_` behind.
LOCALS = frozenset({
    "b", "i", "j", "k", "total", "top", "best", "winner", "rank", "mine", "e", "s", "g", "dw", "step", "other",
    "first", "count", "share", "example", "tick", "ticks", "batch", "examples", "steps", "seed", "epoch", "order",
    "start", "stop", "tape", "dataset",
})  # fmt: skip


@mutable
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
        if re.sub(r"\d+$", "", wanted) in LOCALS:
            wanted += "_"
        name, count = wanted, 1
        while name in self.used:
            count += 1
            name = f"{wanted}_{count}"
        self.used.add(name)
        return name


def _word(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_") or "value"


@mutable
class Locals:
    """Names of the variables of one phase: `total`, `total2`, ..."""

    counts: dict[str, int] = field(default_factory=dict)

    def fresh(self, base: str) -> str:
        assert base in LOCALS, base
        self.counts[base] = self.counts.get(base, 0) + 1
        return base if self.counts[base] == 1 else f"{base}{self.counts[base]}"


@mutable
class Apart:
    """Names of the numbers of phases that become one: the second `total` is `total2`. `reached`: up to where all
    numbers after a name are taken."""

    taken: set[str] = field(default_factory=set)
    reached: dict[str, int] = field(default_factory=dict)

    def renamed(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        """The statements with names for their numbers that nobody had so far."""
        own = {s.name for s in statements(body) if isinstance(s, Define)}
        names = self.others(own & self.taken, own)
        self.taken |= own
        return rename(body, names) if names else body

    def others(self, names: Collection[str], own: Collection[str] = frozenset()) -> dict[str, str]:
        """Another name for each of these, which nobody had so far."""
        found = {name: self._next(name.rstrip("0123456789"), own) for name in sorted(names)}
        self.taken |= set(found.values())
        return found

    def fresh(self, base: str) -> str:
        """A name that nobody had so far."""
        found = self._next(base, ())
        self.taken.add(found)
        return found

    def free(self, base: str) -> str:
        """This name, if nobody had it so far, or one like it."""
        if base in self.taken:
            return self.fresh(base)
        self.taken.add(base)
        return base

    def _next(self, base: str, own: Collection[str]) -> str:
        count = self.reached.get(base, 1) + 1
        while f"{base}{count}" in own or f"{base}{count}" in self.taken:
            count += 1
        self.reached[base] = count
        return f"{base}{count}"
