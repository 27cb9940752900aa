"""`frozen` and `mutable` make what `dataclass(slots=True)` makes, frozen or not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from math import nan
from typing import Any

import pytest

from circuitdsl.frozen import frozen, mutable


@frozen(order=True)
class Place:
    line: int
    column: int = 1
    told: str = field(default="", compare=False, repr=False)


@frozen(kw_only=True)
class Named(Place):
    names: list[str] = field(default_factory=list)
    length: int = field(init=False, default=3)
    seen: dict[str, int] = field(init=False, default_factory=dict)
    joined: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "joined", "".join(self.names))


@frozen
class Nothing:
    pass


@frozen
class One:
    value: Any


@frozen(eq=False)
class Same:
    value: int

    def __repr__(self) -> str:
        return "mine"


@mutable
class Count:
    of: str
    seen: int = 0
    where: list[int] = field(default_factory=list)
    last: int = field(init=False, default=-1)

    def add(self, place: int) -> None:
        self.seen += 1
        self.last = place


@mutable(eq=False, kw_only=True)
class Own:
    value: int


def twins() -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    """The classes above, and those that the standard decorator makes of the same text."""

    def standard(cls: type, base: type = object, **how: bool) -> Callable[..., Any]:
        own = {f.name: f for f in fields(cls) if f.name in cls.__annotations__}
        body: dict[str, Any] = {"__annotations__": cls.__annotations__, "__qualname__": cls.__qualname__}
        for name, f in own.items():
            body[name] = field(
                init=f.init, compare=f.compare, repr=f.repr, default=f.default, default_factory=f.default_factory
            )
        body |= {name: vars(cls)[name] for name in ("__post_init__",) if name in vars(cls)}
        return dataclass(**{"frozen": True} | how, slots=True)(type(cls.__name__, (base,), body))

    place = standard(Place, order=True)
    assert isinstance(place, type)
    named, one = standard(Named, place, kw_only=True), standard(One)
    return {
        "Place": (Place, place),
        "Named": (Named, named),
        "Nothing": (Nothing, standard(Nothing)),
        "One": (One, one),
        "Count": (Count, standard(Count, frozen=False)),
        "Own": (Own, standard(Own, frozen=False, eq=False, kw_only=True)),
    }


CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Place", (1,), {}),
    ("Place", (1, 2, "here"), {}),
    ("Place", (), {"column": 2, "line": 1}),
    ("Place", (2,), {}),
    ("Place", (), {}),
    ("Place", (1, 2, "here", 4), {}),
    ("Place", (1,), {"line": 1}),
    ("Named", (1,), {}),
    ("Named", (1,), {"names": ["a", "b"]}),
    ("Named", (1, 1, "", ["a"]), {}),
    ("Named", (1,), {"length": 3}),
    ("Nothing", (), {}),
    ("Nothing", (1,), {}),
    ("One", (nan,), {}),
    ("One", ([1],), {}),
    ("Count", ("a",), {}),
    ("Count", ("a", 1, [2]), {}),
    ("Count", (), {}),
    ("Count", ("a",), {"last": 1}),
    ("Own", (1,), {}),
]


def outcome(of: Callable[[], Any]) -> object:
    try:
        return of()
    except TypeError as problem:
        return str(problem).replace("Place.__init__", "__init__").split(".")[-1]


@pytest.mark.parametrize(("name", "arguments", "named"), CALLS)
def test_as_the_standard_decorator(name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    ours, theirs = twins()[name]
    mine, other = outcome(lambda: ours(*arguments, **named)), outcome(lambda: theirs(*arguments, **named))
    assert repr(mine) == repr(other)
    assert outcome(lambda: hash(mine)) == outcome(lambda: hash(other))
    assert (mine == outcome(lambda: ours(*arguments, **named))) == (
        other == outcome(lambda: theirs(*arguments, **named))
    )
    for f in fields(theirs) if isinstance(other, theirs) else ():  # type: ignore[arg-type]
        assert getattr(mine, f.name) is getattr(other, f.name) or getattr(mine, f.name) == getattr(other, f.name)


def test_equality_and_order() -> None:
    assert Place(1, told="a") == Place(1, told="b")
    assert Place(1) != Place(2)
    assert Place(1) != One(1)
    assert Nothing() == Nothing()
    assert Same(1) != Same(1)
    assert One(nan) == One(nan)  # the same object, as in tuples
    assert sorted([Place(2), Place(1, 3), Place(1)]) == [Place(1), Place(1, 3), Place(2)]
    assert Place(1) <= Place(1) >= Place(1)
    with pytest.raises(TypeError, match="not supported between"):
        Place(1) < One(1)  # type: ignore[operator]  # noqa: B015


def test_what_the_class_defines_stays() -> None:
    assert repr(Same(1)) == "mine"


def test_nothing_changes() -> None:
    place = Place(1)
    with pytest.raises(FrozenInstanceError, match="`line` of a `Place` stays"):
        place.line = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del place.line
    with pytest.raises(FrozenInstanceError):
        place.other = 1  # type: ignore[attr-defined]
    assert not hasattr(place, "__dict__")


def test_what_is_mutable_changes() -> None:
    one, other = Count("a"), Count("a")
    one.add(3)
    other.add(3)
    assert (one.seen, one.last, one.where is other.where) == (1, 3, False)
    assert one == other == copy.copy(one) == pickle.loads(pickle.dumps(one))
    other.seen = 2
    assert one != other
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    with pytest.raises(AttributeError):
        one.other = 1  # type: ignore[attr-defined]
    assert {Own(value=1)} != {Own(value=1)}


def test_replace_copies_pickles_and_patterns() -> None:
    named = Named(1, names=["a"])
    assert replace(named, names=["b"]).joined == "b"
    for again in (copy.copy(named), copy.deepcopy(named), pickle.loads(pickle.dumps(named))):
        assert again == named
        assert again.joined == "a"
    match named:
        case Place(line, column):
            assert (line, column) == (1, 1)
    assert [f.name for f in fields(Place)] == ["line", "column", "told"]


def test_what_is_not_used_is_not_compiled() -> None:
    @frozen
    class Fresh:
        value: int

    assert Fresh.__init__.__name__ == Fresh.__hash__.__name__ == "first"
    assert Fresh(1) == Fresh(value=1)
    assert (Fresh.__init__.__name__, Fresh.__hash__.__name__) == ("__init__", "first")
