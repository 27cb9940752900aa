"""What one team of threads does in a phase, as text: statements in which every number says its precision.

Whole numbers are of 32 bits and say so after every operation, for Numba would make 64 bits of them, but for the sums
and products of an index, which say so once. The index of an element has no sign, which is half the instructions. Where
the threads of a team share a phase, the team meets before it reads or writes what one of its threads has written or
read since it last met.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from circuitdsl.emit.comments import place
from circuitdsl.emit.target import DType
from circuitdsl.frozen import frozen, mutable
from circuitdsl.lower.loop_ir import (
    Assign,
    Blocks,
    Const,
    Define,
    Dtype,
    Expr,
    Extent,
    Load,
    Loop,
    Op,
    Rest,
    Row,
    Statement,
    Store,
    Sum,
    Var,
    When,
    expressions,
    has_threads,
    statements,
    walk,
)


def whole(extent: Extent) -> str:
    """An extent that is a number; teams hold whole matrices (`Aim.sparse`), and take units one by one."""
    match extent:
        case str():
            return extent
        case Row():
            raise ValueError(f"a row of the sparse matrix of `{extent.starts}` is not for teams")
        case Blocks() | Rest():
            raise ValueError(f"blocks of {extent.size} are not for teams")
        case _:
            assert_never(extent)


_SYMBOLS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "or": "or", "and": "and", "lt": "<", "le": "<=",
    "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
}  # fmt: skip
_MATH = frozenset({"exp", "expm1", "log", "log1p", "sqrt", "tanh", "floor", "sin", "cos"})
_RENAMED = {"min": "least", "max": "largest"}


@mutable
class Touched:
    """The buffers that a team has read and written since it last met."""

    read: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()

    def clashes(self, other: Touched) -> bool:
        return bool(self.written & (other.read | other.written) or self.read & other.written)

    def with_(self, other: Touched) -> Touched:
        return Touched(self.read | other.read, self.written | other.written)


@frozen
class Scribe:
    """Writes statements and expressions in a precision; with `comments` every statement says where it comes from."""

    dtype: DType
    comments: bool = False

    def phase(self, body: Sequence[Statement], *, wide: bool) -> list[str]:
        """The body of a phase's function, one level in; `wide`: teams may be of several threads."""
        if has_threads(tuple(body)):
            return self._alike(body, 1, wide)
        return ["    if _team == int32(0):", *(self._round(body, 2, Touched())[0] if wide else self._plain(body, 2))]

    # ------------------------------------------------------------ statements

    def _alike(self, body: Sequence[Statement], depth: int, wide: bool) -> list[str]:
        """What stands around loops over threads: every thread does it."""
        lines: list[str] = []
        for s in body:
            match s:
                case Loop(over="threads"):
                    inside = self._one_round(s, depth + 1) if wide else self._plain(s.body, depth + 1)
                    lines += self._loop(s, inside, "_team", "_teams", depth)
                case Loop():
                    lines += self._loop(s, self._alike(s.body, depth + 1, wide), "int32(0)", "int32(1)", depth)
                case When():
                    lines += [f"{_in(depth)}if {self.text(s.condition)}:", *self._alike(s.body, depth + 1, wide)]
                case _:
                    lines += self._simple(s, depth)
        return lines

    def _one_round(self, loop: Loop, depth: int) -> list[str]:
        lines, _ = self._round(loop.body, depth, Touched())
        return [*lines, *self._meet(depth)] if _touched(loop).written else lines

    def _round(self, body: Sequence[Statement], depth: int, before: Touched) -> tuple[list[str], Touched]:
        """Statements of a round that a team of several threads shares, and what it has touched since it last met."""
        lines: list[str] = []
        for s in body:
            now = _touched(s)
            if before.clashes(now):
                lines += self._meet(depth)
                before = Touched()
            lines += self._shared(s, depth, before)
            before = before.with_(now)
        return lines, before

    def _shared(self, s: Statement, depth: int, before: Touched) -> list[str]:
        match s:
            case Define() | Assign():
                return self._simple(s, depth)
            case Store():
                return [f"{_in(depth)}if leads(_width):", *self._simple(s, depth + 1)]
            case Loop(over="lanes"):
                inside = self._loop(s, self._plain(s.body, depth + 2), "_at", "_width", depth + 1)
                return [*self._lanes(depth, "lane_at"), *inside]
            case Loop():
                inside, _ = self._round(s.body, depth + 1, before)
                again = self._meet(depth + 1) if _touched(s).written else []
                return self._loop(s, [*inside, *again], "int32(0)", "int32(1)", depth)
            case Sum():
                return self._sum(s, depth)
            case When():
                inside, _ = self._round(s.body, depth + 1, before)
                return [f"{_in(depth)}if {self.text(s.condition)}:", *inside]
            case _:
                assert_never(s)

    def _lanes(self, depth: int, function: str) -> list[str]:
        return [
            f"{_in(depth)}for _turn in range(lane_turns(_width)):",
            f"{_in(depth + 1)}_at = {function}(_turn, _width)",
        ]

    def _sum(self, s: Sum, depth: int) -> list[str]:
        """Every lane adds up its summands, and then all of them what they have."""
        if s.value.dtype is not Dtype.REAL:
            return self._plain((s.in_turn(),), depth)
        return [
            f"{_in(depth)}_own = {self.dtype}(0)",
            *self._lanes(depth, "lane_in_turn"),
            *self._loop(
                s, [f"{_in(depth + 2)}_own = _own + {self.text(s.value)}{self._origin(s)}"], "_at", "_width", depth + 1
            ),
            f"{_in(depth)}{s.name} = {s.name} + together(_own, _width)",
        ]

    def _plain(self, body: Sequence[Statement], depth: int) -> list[str]:
        """Statements that one thread does."""
        lines: list[str] = []
        for s in body:
            match s:
                case Loop():
                    lines += self._loop(s, self._plain(s.body, depth + 1), "int32(0)", "int32(1)", depth)
                case Sum():
                    lines += self._plain((s.in_turn(),), depth)
                case When():
                    lines += [f"{_in(depth)}if {self.text(s.condition)}:", *self._plain(s.body, depth + 1)]
                case _:
                    lines += self._simple(s, depth)
        return lines

    def _loop(self, s: Loop | Sum, inside: list[str], first: str, step: str, depth: int) -> list[str]:
        note = "" if isinstance(s, Sum) else self._origin(s)
        return [
            f"{_in(depth)}{s.var} = {first}",
            f"{_in(depth)}while {s.var} < {self.extent(s.extent)}:{note}",
            *inside,
            f"{_in(depth + 1)}{s.var} = int32({s.var} + {step})",
        ]

    def _simple(self, s: Statement, depth: int) -> list[str]:
        match s:
            case Define() | Assign():
                line = f"{s.name} = {self.text(s.value)}"
            case Store():
                target = self._element(s.buffer, s.index)
                value = (
                    Op("add", (Load(s.buffer, s.index, s.value.dtype), s.value), s.value.dtype) if s.add else s.value
                )
                line = f"{target} = {self.text(value)}"
            case Loop() | Sum() | When():
                raise ValueError(f"{type(s).__name__} is no simple statement")
            case _:
                assert_never(s)
        return [_in(depth) + line + self._origin(s)]

    def _meet(self, depth: int) -> list[str]:
        return [f"{_in(depth)}meet(_width)"]

    def _origin(self, s: Define | Assign | Store | Loop | Sum) -> str:
        return f"  # {s.origin.entity}{place(s.origin)}" if self.comments and s.origin is not None else ""

    # ------------------------------------------------------------ expressions

    def extent(self, of: Extent) -> str:
        name = whole(of)
        return "int32(1)" if name == "1" else name

    def text(self, expr: Expr) -> str:
        """An expression; what binds loosely stands in brackets."""
        match expr:
            case Const():
                return self._number(expr)
            case Var():
                return expr.name
            case Load():
                element = self._element(expr.buffer, expr.index)
                return f"int32({element})" if expr.dtype is Dtype.INT else element
            case Op():
                return self._operation(expr)
            case _:
                assert_never(expr)

    def _number(self, const: Const) -> str:
        match const.dtype:
            case Dtype.INT | Dtype.SHORT:
                return f"int32({int(const.value)})"
            case Dtype.BOOL:
                return str(bool(const.value))
            case Dtype.REAL:
                whole = const.value == int(const.value) if abs(const.value) < 1e15 else False
                return f"{self.dtype}({int(const.value) if whole else repr(float(const.value))})"
            case _:
                assert_never(const.dtype)

    def _element(self, buffer: str, index: Sequence[Expr]) -> str:
        (only,) = index
        return f"{buffer}[uint32({self._place(only)})]"

    def _place(self, expr: Expr) -> str:
        """A whole number of which the last 32 bits are wanted: those of a sum or product depend on no others."""
        match expr:
            case Op(function="add" | "sub", arguments=(first, second)):
                right = self._place(second)
                bracketed = f"({right})" if expr.function == "sub" and _is_sum(second) else right
                return f"{self._place(first)} {_SYMBOLS[expr.function]} {bracketed}"
            case Op(function="mul", arguments=both):
                return " * ".join(f"({self._place(each)})" if _is_sum(each) else self._place(each) for each in both)
            case _:
                return self.text(expr)

    def _operation(self, op: Op) -> str:
        texts = [self.text(a) for a in op.arguments]
        match op.function:
            case "neg":
                return f"(-{texts[0]})"
            case "real" if op.arguments[0].dtype is Dtype.BOOL:
                return f"({self.dtype}(1) if {texts[0]} else {self.dtype}(0))"
            case "real":
                return f"{self.dtype}({texts[0]})"
            case "where":
                return f"({texts[1]} if {texts[0]} else {texts[2]})"
            case "min" | "max" if op.dtype is Dtype.INT:
                return f"int32({op.function}({texts[0]}, {texts[1]}))"
            case "rand" | "randn":
                return f"{op.function}({', '.join(map(self._wide, op.arguments))})"
            case function if function in _SYMBOLS:
                both = f"{texts[0]} {_SYMBOLS[function]} {texts[1]}"
                return f"int32({both})" if op.dtype is Dtype.INT else f"({both})"
            case function:
                name = f"math.{function}" if function in _MATH else _RENAMED.get(function, function)
                return f"{name}({', '.join(texts)})"

    def _wide(self, expr: Expr) -> str:
        """A whole number of 64 bits."""
        return f"int64({int(expr.value) if isinstance(expr, Const) else self.text(expr)})"


def _is_sum(expr: Expr) -> bool:
    return isinstance(expr, Op) and expr.function in ("add", "sub")


def _touched(s: Statement) -> Touched:
    inside = list(statements((s,)))
    loads = [n.buffer for each in inside for e in expressions(each) for n in walk(e) if isinstance(n, Load)]
    stores = [each for each in inside if isinstance(each, Store)]
    added = [each.buffer for each in stores if each.add]
    return Touched(frozenset([*loads, *added]), frozenset(each.buffer for each in stores))


def _in(depth: int) -> str:
    return "    " * depth
