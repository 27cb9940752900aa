"""Tasks of the study `metalearn`: two classes, as arrays. One task again and again with fresh samples, or a family of
which every member is different: moons and corners turned by a random angle, pairs of digits, and in all of them a coin
says which of the two classes is 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

from circuitdsl.data.named import NAMED, Sizes
from circuitdsl.explore.families import Drawn
from circuitdsl.frozen import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]
    Whole = NDArray[np.int64]

#: `one`: the same task in every lifetime; `many`: a family.
Scope = Literal["one", "many"]
SCOPES: tuple[Scope, ...] = ("one", "many")
Task = tuple[Any, Any]

#: Examples of a lifetime in the plane: 300 to learn from, 75 to be tested with.
EXAMPLES = 375
#: Of the 45 pairs of digits so many are held out; images are averaged over squares of 2 x 2 pixels.
HELD_PAIRS, SIDE = 15, 4


@frozen(kw_only=True)
class Kind:
    """A kind of task. `sizes`: params of the circuit; `make(seed, life, scope, held)`: the task of one lifetime."""

    title: str
    sizes: Mapping[str, float]
    make: Callable[[int, int, Scope, bool], Task]


def in_the_plane(name: str, noise: float) -> Callable[[int, int, Scope, bool], Task]:
    """Tasks from a data set in the plane, in standard scores; in a family turned, its classes perhaps swapped."""

    def make(seed: int, life: int, scope: Scope, held: bool) -> Task:
        import numpy as np

        random = np.random.default_rng([seed, life, held, 0x7A5C])
        settings = {"n": EXAMPLES, "noise": noise, "seed": int(random.integers(2**31))}
        raw = NAMED[name].make({**NAMED[name].defaults, **settings}, Sizes(2, 1))
        assert raw.x is not None
        assert raw.y is not None
        x, y = standard(raw.x), raw.y
        if scope == "one":
            return x, y
        angle = random.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return x @ turn, y ^ int(random.integers(2))

    return make


def standard(x: Array) -> Array:
    """Standard scores; a feature that never varies stays 0."""
    import numpy as np

    spread = x.std(axis=0)
    scores: Array = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return scores


def digit_pair(seed: int, life: int, scope: Scope, held: bool) -> Task:
    """Which of two digits. A family holds pairs out; one pair alone holds half of its images out."""
    import numpy as np

    images, labels = small_digits()
    random = np.random.default_rng([seed, life, held, 0x7A5C])
    if scope == "one":
        a, b = digit_pairs(seed, held=True)[0]
    else:
        chosen = digit_pairs(seed, held=held)
        a, b = random.permutation(chosen[life % len(chosen)])
    which = np.flatnonzero((labels == a) | (labels == b))
    if scope == "one":
        which = which[int(held) :: 2]
    which = random.permutation(which)
    return standard(images[which]), (labels[which] == b).astype(np.int64)


def digit_pairs(seed: int, *, held: bool) -> Whole:
    """The pairs of digits that are held out, or the others, [pairs, 2]."""
    import numpy as np

    pairs = np.random.default_rng([seed, 0xD161]).permutation(list(combinations(range(10), 2)))
    return pairs[:HELD_PAIRS] if held else pairs[HELD_PAIRS:]


@cache
def small_digits() -> tuple[Array, Whole]:
    """The handwritten digits, [images, SIDE * SIDE], and their labels."""
    raw = NAMED["digits"].make({}, Sizes(64, 10))
    assert raw.x is not None
    assert raw.y is not None
    step = 8 // SIDE
    squares = (raw.x / 16).reshape(-1, SIDE, step, SIDE, step)
    return squares.mean(axis=(2, 4)).reshape(-1, SIDE * SIDE), raw.y


PLANE = {"inputs": 2, "hidden": 12}
KINDS: Mapping[str, Kind] = {
    "moons": Kind(title="two moons", sizes=PLANE, make=in_the_plane("two_moons", 0.1)),
    "digits": Kind(title="pairs of digits", sizes={"inputs": SIDE * SIDE, "hidden": 8}, make=digit_pair),
    "corners": Kind(title="opposite corners (XOR)", sizes=PLANE, make=in_the_plane("xor", 0.2)),
}


def drawn(kind: str, seed: int, scope: Scope) -> Drawn:
    """What an evolution draws the task of each lifetime from: never one that is held out."""
    return Drawn(name=f"{kind}, {scope}, {seed}", make=partial(_life, kind=kind, seed=seed, scope=scope))


def _life(life: int, *, kind: str, seed: int, scope: Scope) -> Task:
    return KINDS[kind].make(seed, life, scope, False)


def tasks(kind: str, seed: int, count: int, scope: Scope, *, held: bool) -> list[Task]:
    """One task for each of so many lifetimes; those held out share no sample with the others."""
    return [KINDS[kind].make(seed, life, scope, held) for life in range(count)]
