"""`frozen` and `mutable`: what `dataclass(slots=True)` makes, frozen or not, in a tenth of the time.

The standard decorator compiles up to six functions for each class, which takes half a millisecond, and `derive` starts
with more than four hundred classes. Here classes share what can be shared, and a method that needs the names of the
fields is compiled when it is first called, which most never are. `fields`, `replace`, `asdict`, patterns and pickles
work as with `dataclass`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, dataclass_transform, overload

if TYPE_CHECKING:
    Made = TypeVar("Made")
    Fields = tuple[Field[Any], ...]

_EQUAL = ("__eq__", "__hash__")
_SIGNS = {"__eq__": "==", "__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">="}
_set = object.__setattr__


@overload
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(made: type[Made], /) -> type[Made]: ...


@overload
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(
    *, kw_only: bool = False, eq: bool = True, order: bool = False, repr: bool = True
) -> Callable[[type[Made]], type[Made]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(
    made: type[Made] | None = None, /, *, kw_only: bool = False, eq: bool = True, order: bool = False, repr: bool = True
) -> type[Made] | Callable[[type[Made]], type[Made]]:
    """A class of values: its annotations are its fields. What the class itself defines stays as it is."""

    def decorate(cls: type[Made]) -> type[Made]:
        return _made(cls, "_set(self, {!r}, {})", _FROZEN, kw_only=kw_only, eq=eq, order=order, repr=repr)

    return decorate if made is None else decorate(made)


@overload
@dataclass_transform(field_specifiers=(field,))
def mutable(made: type[Made], /) -> type[Made]: ...


@overload
@dataclass_transform(field_specifiers=(field,))
def mutable(*, kw_only: bool = False, eq: bool = True) -> Callable[[type[Made]], type[Made]]: ...


@dataclass_transform(field_specifiers=(field,))
def mutable(
    made: type[Made] | None = None, /, *, kw_only: bool = False, eq: bool = True
) -> type[Made] | Callable[[type[Made]], type[Made]]:
    """A class whose annotations are its fields, which may be set. What is equal by them has no hash."""

    def decorate(cls: type[Made]) -> type[Made]:
        whole = _made(cls, "self.{} = {}", {}, kw_only=kw_only, eq=eq)
        if eq:
            setattr(whole, "__hash__", vars(cls).get("__hash__"))  # noqa: B010
        return whole

    return decorate if made is None else decorate(made)


def _made(
    cls: type[Made], assign: str, shared: dict[str, Callable[..., Any]], *, kw_only: bool, eq: bool,
    order: bool = False, repr: bool = True,
) -> type[Made]:  # fmt: skip
    cls.__doc__ = cls.__doc__ or cls.__name__  # else `dataclass` would put a signature together
    whole = dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
    methods = shared | {"__init__": _later(whole, "__init__", assign)}
    if repr:
        methods["__repr__"] = _repr
    for name in (*(_EQUAL if eq else ()), *(_SIGNS.keys() - _EQUAL if order else ())):
        methods[name] = _later(whole, name, assign)
    for name, method in methods.items():
        if vars(cls).get(name) is None:
            setattr(whole, name, method)
    return whole


# ---------------------------------------------------------------- what is compiled for a class


def _later(cls: type, name: str, assign: str) -> Callable[..., Any]:
    """A method that compiles what takes its place when it is first called."""

    def first(self: object, *arguments: Any, **named: Any) -> Any:
        method = _compiled(cls, name, assign)
        setattr(cls, name, method)
        return method(self, *arguments, **named)

    return first


def _compiled(cls: type, name: str, assign: str) -> Callable[..., Any]:
    of = fields(cls)
    given: dict[str, Any] = {"_set": _set, "_missing": MISSING}
    match name:
        case "__init__":
            given |= {f"_default_{f.name}": f.default for f in of}
            given |= {f"_make_{f.name}": f.default_factory for f in of}
            lines = [f"def __init__({_parameters(of)}):", *_assignments(of, assign), "pass"]
            if hasattr(cls, "__post_init__"):
                lines.append("self.__post_init__()")
            text = "\n ".join(lines)
        case "__hash__":
            text = f"def __hash__(self): return hash({_values(of, 'self')})"
        case _:
            test = f"{_values(of, 'self')} {_SIGNS[name]} {_values(of, 'other')}"
            text = f"def {name}(self, other): return {test} if other.__class__ is self.__class__ else NotImplemented"
    exec(text, given)
    method: Callable[..., Any] = given[name]
    method.__qualname__ = f"{cls.__qualname__}.{name}"
    return method


def _values(of: Fields, whose: str) -> str:
    return f"({' '.join(f'{whose}.{f.name},' for f in of if f.compare)})"


def _parameters(of: Fields) -> str:
    plain, named = ([_parameter(f) for f in of if f.init and f.kw_only is keyword] for keyword in (False, True))
    return ", ".join(["self", *plain, *(["*", *named] if named else [])])


def _parameter(f: Field[Any]) -> str:
    if f.default is not MISSING:
        return f"{f.name}=_default_{f.name}"
    return f.name if f.default_factory is MISSING else f"{f.name}=_missing"


def _assignments(of: Fields, assign: str) -> list[str]:
    """A field that is no parameter and has no default is for `__post_init__` to set."""
    values = {f.name: _value(f) for f in of}
    return [assign.format(name, value) for name, value in values.items() if value]


def _value(f: Field[Any]) -> str:
    if f.default_factory is not MISSING:
        return f"_make_{f.name}()" + (f" if {f.name} is _missing else {f.name}" if f.init else "")
    if f.init:
        return f.name
    return "" if f.default is MISSING else f"_default_{f.name}"


# ---------------------------------------------------------------- what classes share


def _repr(self: Any) -> str:
    told = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.repr)
    return f"{self.__class__.__qualname__}({', '.join(told)})"


def _refuse(self: object, name: str, *value: object) -> NoReturn:
    raise FrozenInstanceError(f"`{name}` of a `{self.__class__.__qualname__}` stays as it is")


def _state(self: Any) -> list[Any]:
    return [getattr(self, f.name) for f in fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for f, value in zip(fields(self), state, strict=True):
        _set(self, f.name, value)


_FROZEN: dict[str, Callable[..., Any]] = {
    "__setattr__": _refuse,
    "__delattr__": _refuse,
    "__getstate__": _state,
    "__setstate__": _restore,
}
