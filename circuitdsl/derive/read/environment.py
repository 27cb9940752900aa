"""The numbers behind the letters of one circuit: what gates, slopes and other derived signals are, given its values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from circuitdsl.derive.algebra.letters import Identity, Made, Named, Part, Stated
from circuitdsl.derive.algebra.words import Sum, column, ones, times
from circuitdsl.derive.read.numeric import instantiate
from circuitdsl.derive.read.symbols import Symbols
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.graph.functions import elementwise, quiet
from circuitdsl.graph.populations import over

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@mutable
class Environment(Mapping[str | Identity, Any]):
    """Every letter by its name, or what else it is, for `numeric.instantiate`.

    `signals`: each value of the circuit, [examples, size] (a modulator's with size 1); `arrays`: weights, coefficients,
    and whatever else there is, such as the δ of dendrites."""

    symbols: Symbols
    signals: Mapping[str, Any]
    arrays: Mapping[Any, Any]
    known: dict[str | Identity, Any] = field(default_factory=dict)

    def __getitem__(self, name: str | Identity) -> Any:
        if name not in self.known:
            with quiet():
                self.known[name] = self._find(name)
        return self.known[name]

    def __iter__(self) -> Iterator[str | Identity]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)

    def _find(self, name: str | Identity) -> Any:
        if name in self.arrays:
            return self.arrays[name]
        if not isinstance(name, str):
            return self._derived(name)
        if name in self.symbols.constants.derived:
            return self.symbols.constants.derived[name]
        if name in self.signals:
            value = self.symbols.circuit.values.get(name)
            scalar = value is not None and value.population is None and value.kind is not ir.Kind.DENDRITE
            return self.signals[name][:, 0] if scalar else self.signals[name]
        return self._derived(Named(name))

    def _derived(self, of: Identity) -> Any:
        for units in (self.symbols.opened, self.symbols.plain):
            found = [made for (other, _), made in units.arithmetic.made.items() if other == of]
            if found:  # of several sizes: of a modulator, or of numbers, and the same in all units
                return self._made(found[0])[..., slice(None) if len(found) == 1 else slice(1)]
        match of:
            case Stated(ir.Flag(which="train")):
                return self.arrays["train"]
            case _:
                raise KeyError(of)

    def polynomial(self, poly: Sum) -> Array:
        """A polynomial of units, [examples, size], or [size] if it is the same for all."""
        found: Array = instantiate(times(poly, column(ones(poly.rows))), self)
        return found

    def _made(self, made: Made) -> Array:
        import numpy as np

        x = self.polynomial(made.argument)
        others = [self.polynomial(other) for other in made.others]
        if made.part is Part.RATIO:
            kept = elementwise(made.function, [x, *others])
            return np.where(x == 0, 1.0, kept / np.where(x == 0, 1.0, x))
        match made.function:
            case "":
                return x
            case "inverse":
                return np.asarray(1 / x)
            case "ne":
                return np.asarray(x != 0).astype(float)
            case "tanh" if made.part is Part.SLOPE:
                return np.asarray(1 - np.tanh(x) ** 2)
            case "sigmoid" if made.part is Part.SLOPE:
                s = elementwise("sigmoid", [x])
                return np.asarray(s * (1 - s))
            case "softmax" | "onehot_max" | "kwta" as function:
                return np.asarray(over(function, x, others[0] if others else None))
            case function:
                return np.asarray(elementwise(function, [x, *others]))
