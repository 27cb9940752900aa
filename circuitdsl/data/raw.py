"""What a source gives: arrays before they are split, scaled and fitted to a circuit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from circuitdsl.frozen import frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[Any]


@frozen(kw_only=True)
class Raw:
    """Data before they are scaled. `x` [examples, features]; `y` [examples] or [examples, size].

    `named`: arrays given per population instead. `top`: for images the value of white, which becomes
    1; None for tables. `classes`: how many there are, where the set is known. `train`, `test`: the indices or masks of
    the examples for each, if the data bring their split; `validation`: of those that judge a choice. `notes`: how it
    was read, where that is not the only way.
    """

    x: Table | None = None
    y: Table | None = None
    named: Mapping[str, Table] = field(default_factory=dict)
    top: float | None = None
    classes: int | None = None
    train: Table | None = None
    test: Table | None = None
    validation: Table | None = None
    notes: tuple[str, ...] = ()


class SourceError(Exception):
    """Data that cannot be had. `missing`: a file or package is not there (rather than wrong)."""

    def __init__(self, title: str, *, hint: str | None = None, missing: bool = False):
        super().__init__(title)
        self.title, self.hint, self.missing = title, hint, missing


@frozen
class Wanted:
    """What a circuit takes: the sizes of its inputs and of its targets, by name. A table whose columns have no names
    is read by them."""

    inputs: Mapping[str, int] = field(default_factory=dict)
    targets: Mapping[str, int] = field(default_factory=dict)

    @property
    def features(self) -> int:
        return sum(self.inputs.values())

    @property
    def values(self) -> int:
        """Of all targets."""
        return sum(self.targets.values())

    @property
    def populations(self) -> tuple[str, ...]:
        return (*self.inputs, *self.targets)


def white(x: Table | None) -> float | None:
    """255 for images, that is bytes; None for a table."""
    return 255.0 if x is not None and x.dtype == "uint8" else None


def counted(n: int, what: str) -> str:
    """`3 classes`, `1 feature`."""
    return f"{n:,} {what}" + ("" if n == 1 else "es" if what.endswith("s") else "s")
