"""Initial values some rows at a time: the numbers are those of whole matrices, drawn one after the other.

Every entity has its own stream, keyed by (seed, its name), so that adding or removing one leaves the others
as they were. Everything is made in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, assert_never

from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph.blocks import rows_of
from circuitdsl.graph.functions import elementwise
from circuitdsl.graph.ir import Expr, Fan, Init, InitApply, InitCall, Num, ParamRef
from circuitdsl.graph.projections import Dense, Projection, Sparse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]
    Doubles = NDArray[np.float64]
    Generator = np.random.Generator

#: An array, or weights of any kind.
Shaped = TypeVar("Shaped", bound="_HasShape")


class _HasShape(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...


#: Makes the rows of an initial value, from the first to the last, each once.
Maker = Callable[[slice], "Doubles"]
#: Draws numbers of a shape.
Kind = Callable[["Generator", tuple[int, ...]], "Doubles"]


def generator(seed: int, key: str) -> Generator:
    """The stream of one entity."""
    from hashlib import sha256

    import numpy as np

    words = np.frombuffer(sha256(key.encode()).digest(), dtype="<u4")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words.tolist()])))


@mutable
class Draws:
    """Matrices of one shape drawn from one stream one after the other, each of which is made some rows at a time.
    So a draw begins where the one before would have ended: that is drawn, and thrown away, first."""

    stream: Generator
    shape: tuple[int, ...]
    before: Kind | None = None

    def rows(self, kind: Kind) -> Maker:
        """The next matrix."""
        self._skip()
        self.before, own = kind, deepcopy(self.stream)
        return lambda rows: kind(own, (rows.stop - rows.start, *self.shape[1:]))

    def whole(self, kind: Callable[[Generator], Doubles]) -> Maker:
        """The next matrix, of whatever comes in one piece."""
        self._skip()
        made = kind(self.stream)
        return lambda rows: made[rows]

    def _skip(self) -> None:
        if self.before is not None:
            for rows in rows_of(self.shape):
                self.before(self.stream, (rows.stop - rows.start, *self.shape[1:]))
        self.before = None


@frozen
class Matrix:
    """Weights, and how they are held."""

    projection: Projection
    values: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.projection.shape if isinstance(self.projection, Sparse) else self.values.shape

    @property
    def T(self) -> Matrix:
        match self.projection:
            case Dense(mask=mask):
                return Matrix(Dense(None if mask is None else mask.T), self.values.T)
            case Sparse():
                return Matrix(*self.projection.transposed(self.values))
            case _:
                assert_never(self.projection)

    def rows(self, rows: slice) -> Array:
        """Some rows, 0 where there is no weight."""
        return self.values[rows] if isinstance(self.projection, Dense) else self.projection.whole(self.values, rows)

    def at(self, posts: NDArray[Any], columns: NDArray[Any]) -> Array:
        """The weights at these places, 0 where there is none."""
        import numpy as np

        if isinstance(self.projection, Dense):
            found: Array = self.values[posts, columns]
            return found
        pre = np.int64(self.projection.pre)
        keys, wanted = self.projection.posts() * pre + self.projection.columns, posts * pre + columns
        places = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
        return np.where(keys[places] == wanted, self.values[places], 0) if len(keys) else np.zeros(len(wanted))


@frozen(kw_only=True)
class Value:
    """An initial value of an entity: `key` is its name, `number` evaluates its arguments, `weights` are those that it
    may be a copy of, `path` says where a file is. `places`: of a matrix only these are made, in a row."""

    key: str
    shape: tuple[int, ...]
    draws: Draws
    number: Callable[[Expr], float]
    weights: Mapping[str, Callable[[], Matrix]]
    path: Callable[[str], Path]
    places: Sparse | None = None

    def maker(self, init: Init) -> Maker:
        """What makes its rows, or a number for all of them. Raises ValueError for a file or a matrix of the wrong
        shape, OSError for a file that cannot be read."""
        import numpy as np

        match init:
            case InitApply():
                parts = [self.maker(a) for a in init.arguments]
                function = init.function
                return lambda rows: np.asarray(elementwise(function, [p(rows) for p in parts]), dtype=np.float64)
            case InitCall():
                return self._call(init, [self.number(a) for a in init.arguments])
            case Num() | ParamRef() | Fan():
                return _same(self.number(init))
            case _:
                assert_never(init)

    def _call(self, init: InitCall, arguments: list[float]) -> Maker:
        import numpy as np

        match init.which:
            case "zeros":
                return _same(0.0)
            case "constant":
                return _same(arguments[0])
            case "normal":
                mean, deviation = arguments
                drawn = self.draws.rows(lambda stream, shape: stream.standard_normal(shape))
                return lambda rows: mean + deviation * drawn(rows)
            case "uniform":
                low, high = arguments
                drawn = self.draws.rows(lambda stream, shape: stream.random(shape))
                return lambda rows: low + (high - low) * drawn(rows)
            case "orthogonal":
                size = self._matrix(init)
                if self.places is not None:
                    raise ValueError(f"`{self.key}` is {size[0]}x{size[1]}, too large for `orthogonal`")
                return self.draws.whole(lambda stream: _orthogonal(stream, *size))
            case "identity":
                columns = np.arange(self._matrix(init)[1])
                if self.places is not None:
                    return self._of_all((self.places.posts() == self.places.columns).astype(np.float64))
                return lambda rows: (np.arange(rows.start, rows.stop)[:, None] == columns).astype(np.float64)
            case "transpose" | "copy":
                assert init.other is not None
                found = self.weights[init.other]()
                other = shaped(self.key, init.span.text, found.T if init.which == "transpose" else found, self._whole)
                if self.places is not None:
                    return self._of_all(other.at(self.places.posts(), self.places.columns))
                return lambda rows: other.rows(rows).astype(np.float64)
            case "file":
                assert init.path is not None
                held = shaped(self.key, init.path, numbers_in(self.path(init.path)), self._whole)
                if self.places is not None:
                    return self._of_all(held[self.places.posts(), self.places.columns])
                return lambda rows: held[rows].astype(np.float64)
            case _:
                assert_never(init.which)

    @property
    def _whole(self) -> tuple[int, ...]:
        return self.shape if self.places is None else self.places.shape

    def _matrix(self, init: InitCall) -> tuple[int, int]:
        if len(self._whole) != 2:
            raise ValueError(f"`{self.key}` is not a matrix: `{init.which}` has no meaning for it")
        return self._whole[0], self._whole[1]

    @staticmethod
    def _of_all(values: NDArray[Any]) -> Maker:
        return lambda rows: values[rows].astype("float64")


def _same(value: float) -> Maker:
    import numpy as np

    number: Doubles = np.float64(value) * np.ones(())
    return lambda rows: number


def _orthogonal(stream: Generator, rows: int, columns: int) -> Doubles:
    """Uniformly drawn with orthonormal rows or columns, whichever are fewer (QR of a normal matrix, with
    the sign that makes it unique; Mezzadri 2007)."""
    import numpy as np

    tall = stream.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return q if rows >= columns else q.T


def numbers_in(path: Path) -> NDArray[Any]:
    """The numbers of an `.npy` file. Raises OSError if there is none, ValueError if it holds none."""
    from circuitdsl.data.raw import SourceError
    from circuitdsl.data.weights import weights_of

    try:
        return weights_of(path)
    except SourceError as problem:
        kind = OSError if problem.missing else ValueError
        raise kind(problem.title + (f" ({problem.hint})" if problem.hint else "")) from None


def shaped(key: str, source: str, values: Shaped, shape: tuple[int, ...]) -> Shaped:
    """The values themselves. Raises ValueError if they have another shape."""
    if values.shape != shape:
        wanted, found = ("x".join(map(str, s)) or "a number" for s in (shape, values.shape))
        raise ValueError(f"`{key}` is {wanted}, but `{source}` is {found}")
    return values
