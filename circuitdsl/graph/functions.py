"""Every function of a number, told once: whatever is to be known of one follows from its record.

A function is a **primitive**, which the host and every back end know, or a formula of other functions. To add one that
is a formula is to add its record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

from circuitdsl.graph import intervals
from circuitdsl.graph.formulas import OPERATOR_NAMES, T, fold, functions_in, names_in
from circuitdsl.graph.intervals import Range, point

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

#: Below every float32 that matters: keeps a quotient finite where its numerator is 0.
TINY = 1e-30

COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})


def quiet() -> AbstractContextManager[Any]:
    """No warnings about division by zero, overflow and the like: inf and nan speak for themselves."""
    import numpy as np

    return np.errstate(all="ignore")


@dataclass(frozen=True)
class Primitive:
    """A function of floats, where what is undefined is IEEE's answer, and its name in NumPy."""

    number: Callable[..., float]
    array: str


@dataclass(frozen=True)
class Function:
    """`call`: how it is called. `value`: the primitive, or a formula of its parameters.

    `slopes`: for each parameter the derivative, a formula that may also read the result, `out`; "0" for what is flat.
    One that reads `g`, the derivative of something else with respect to the result, is g times the derivative: to fix
    the order of the operations. Of two arguments that tie, a `symmetric` function gives the slope to the second, or
    to neither if the other one does not move.

    What the value lies between is computed from the formula, but for a function that `rises` from one limit, which it
    does not reach, to another, and where its `range` is known better."""

    call: str
    value: Primitive | str
    slopes: tuple[str, ...]
    doc: str = ""
    rises: tuple[float, float] | None = None
    range: Callable[..., Range] | None = None
    symmetric: bool = False

    @cached_property
    def name(self) -> str:
        return self.call.partition("(")[0]

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        return tuple(self.call.partition("(")[2][:-1].split(", "))

    @property
    def arity(self) -> int:
        return len(self.parameters)

    @cached_property
    def flat(self) -> bool:
        """Whether the derivative is 0 wherever there is one."""
        return set(self.slopes) == {"0"}

    @cached_property
    def is_gate(self) -> bool:
        """Whether the value is 0 or 1, and nothing between."""
        outermost = functions_in(self.value)[0] if isinstance(self.value, str) else self.name
        return outermost in COMPARISONS

    @cached_property
    def is_short(self) -> bool:
        """Whether it is one operation that reads each argument once: as short as its call."""
        if isinstance(self.value, Primitive):
            return False
        return len(functions_in(self.value)) == 1 and sorted(names_in(self.value)) == sorted(self.parameters)

    def number(self, *arguments: float) -> float:
        """The value of floats."""
        if isinstance(self.value, Primitive):
            return self.value.number(*arguments)
        return fold(self.value, self.named(arguments), float, lambda f, xs: FUNCTIONS[f].number(*xs))

    def array(self, *arguments: Array) -> Array:
        """The value of arrays that broadcast, in their common dtype."""
        import numpy as np

        if isinstance(self.value, Primitive):
            return _of_arrays(self.value.array, self.name, arguments)
        literal = np.result_type(*arguments, 0.0).type
        return fold(self.value, self.named(arguments), literal, lambda f, xs: FUNCTIONS[f].array(*xs))

    def within(self, *arguments: Range) -> Range:
        """What the value lies between, by what the arguments do."""
        if self.range is not None:
            return self.range(*arguments)
        if self.rises is not None:
            return intervals.rising(self.number, *self.rises, *arguments)
        assert isinstance(self.value, str), f"the range of {self.name}"
        return fold(self.value, self.named(arguments), point, lambda f, xs: FUNCTIONS[f].within(*xs))

    def named(self, arguments: Sequence[T]) -> dict[str, T]:
        """The arguments by the names that formulas have for them."""
        return dict(zip(self.parameters, arguments, strict=True))


def elementwise(function: str, arguments: Sequence[Array]) -> Array:
    """A function of `FUNCTIONS` on arrays that broadcast, in their common dtype."""
    return FUNCTIONS[function].array(*arguments)


def _of_arrays(name: str, function: str, arguments: Sequence[Array]) -> Array:
    import numpy as np

    if function == "where":
        condition, yes, no = arguments
        return np.where(condition != 0, yes, no)
    found = getattr(np, name)(*arguments)
    return np.asarray(found).astype(np.result_type(*arguments)) if function in COMPARISONS else found


# ---------------------------------------------------------------- primitives of floats


def _divide(a: float, b: float) -> float:
    if b != 0:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)


def _power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:
        return math.inf if a == 0 else math.nan


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def _expm1(x: float) -> float:
    try:
        return math.expm1(x)
    except OverflowError:
        return math.inf


def _log(x: float) -> float:
    if x == 0:
        return -math.inf
    return math.log(x) if x > 0 else math.nan


def _log1p(x: float) -> float:
    if x == -1:
        return -math.inf
    return math.log1p(x) if x > -1 else math.nan


def _least(a: float, b: float) -> float:
    return math.nan if math.isnan(a) or math.isnan(b) else min(a, b)


def _greatest(a: float, b: float) -> float:
    return math.nan if math.isnan(a) or math.isnan(b) else max(a, b)


def _finite(f: Callable[[float], float]) -> Callable[[float], float]:
    return lambda x: f(x) if math.isfinite(x) else math.nan


# ---------------------------------------------------------------- the records

_ADD = Primitive(lambda a, b: a + b, "add")
_SUB = Primitive(lambda a, b: a - b, "subtract")
_MUL = Primitive(lambda a, b: a * b, "multiply")
_NEG = Primitive(lambda x: -x, "negative")
_LT = Primitive(lambda a, b: float(a < b), "less")
_LE = Primitive(lambda a, b: float(a <= b), "less_equal")
_GT = Primitive(lambda a, b: float(a > b), "greater")
_GE = Primitive(lambda a, b: float(a >= b), "greater_equal")
_EQ = Primitive(lambda a, b: float(a == b), "equal")
_NE = Primitive(lambda a, b: float(a != b), "not_equal")
_SQRT = Primitive(lambda x: math.sqrt(x) if x >= 0 else math.nan, "sqrt")
_FLOOR = Primitive(lambda x: float(math.floor(x)) if math.isfinite(x) else x, "floor")
_SIN = Primitive(_finite(math.sin), "sin")
_COS = Primitive(_finite(math.cos), "cos")
_WHERE = Primitive(lambda condition, yes, no: yes if condition != 0 else no, "where")

_RECORDS = (
    # ------------------------------------------------------------ operators
    Function("add(a, b)", _ADD, ("1", "1"), range=Range.__add__),
    Function("sub(a, b)", _SUB, ("1", "-1"), range=Range.__sub__),
    Function("mul(a, b)", _MUL, ("b", "a"), range=Range.__mul__),
    Function("div(a, b)", Primitive(_divide, "divide"), ("g / b", "-(g * out / b)"), range=intervals.div),
    Function(
        "pow(a, b)",
        Primitive(_power, "power"),
        ("g * b * a^(b - 1)", f"g * out * ((a > 0) * log(max(a, {TINY})))"),
        range=lambda a, b: intervals.power(a, b, FUNCTIONS["exp"].within),
    ),
    Function("neg(x)", _NEG, ("-1",), range=Range.__neg__),
    Function("lt(a, b)", _LT, ("0", "0"), range=intervals.lt),
    Function("le(a, b)", _LE, ("0", "0"), range=intervals.le),
    Function("gt(a, b)", _GT, ("0", "0"), range=lambda a, b: intervals.lt(b, a)),
    Function("ge(a, b)", _GE, ("0", "0"), range=lambda a, b: intervals.le(b, a)),
    Function("eq(a, b)", _EQ, ("0", "0"), range=intervals.eq),
    Function("ne(a, b)", _NE, ("0", "0"), range=intervals.ne),
    # ------------------------------------------------------------ piecewise linear
    Function("relu(x)", "where(x < 0, 0, x)", ("step(x)",), "`max(x, 0)`; its derivative at 0 is 0",
             range=intervals.relu),
    Function("step(x)", "x > 0", ("0",), "1 for x > 0, else 0"),
    Function("abs(x)", Primitive(abs, "abs"), ("sign(x)",), "the size of x", range=Range.absolute),
    Function("sign(x)", "where(x > 0, 1, where(x < 0, -1, x))", ("0",), "1, 0 or -1", range=intervals.sign),
    Function("floor(x)", _FLOOR, ("0",), "the largest whole number that is not above x", range=intervals.floor),
    Function("mod(x, y)", "x - y * floor(x / y)", ("1", "-floor(x / y)"),
             "what is left of x after whole numbers of y, with the sign of y", range=intervals.mod),
    # ------------------------------------------------------------ smooth
    Function("square(x)", "x * x", ("2 * x",), "x times x", range=intervals.square),
    Function("sqrt(x)", _SQRT, (f"0.5 * (x > 0) / max(out, {TINY})",), "the square root; its derivative at 0 is 0",
             range=intervals.sqrt),
    Function("exp(x)", Primitive(_exp, "exp"), ("out",), "e^x", rises=(0.0, inf)),
    Function("expm1(x)", Primitive(_expm1, "expm1"), ("exp(x)",), "`exp(x) - 1`, exact near 0", rises=(-1.0, inf)),
    Function("log(x)", Primitive(_log, "log"), ("1 / x",), "the natural logarithm", range=intervals.log),
    Function("log1p(x)", Primitive(_log1p, "log1p"), ("1 / (1 + x)",), "`log(1 + x)`, exact near 0",
             range=intervals.log1p),
    Function("sin(x)", _SIN, ("cos(x)",), "the sine of x, in radians", range=lambda x: intervals.wave(_SIN.number, x)),
    Function("cos(x)", _COS, ("-sin(x)",), "the cosine", range=lambda x: intervals.wave(_COS.number, x)),
    Function("tanh(x)", Primitive(math.tanh, "tanh"), ("1 - square(out)",), "the hyperbolic tangent",
             rises=(-1.0, 1.0)),
    Function("sigmoid(x)", "1 / (1 + exp(-x))", ("out * (1 - out)",), "`1 / (1 + exp(-x))`", rises=(0.0, 1.0)),
    Function("softplus(x)", "where(x > 0, x, 0) + log1p(exp(-abs(x)))", ("sigmoid(x)",), "`log(1 + exp(x))`",
             rises=(0.0, inf)),
    Function("elu(x)", "where(x > 0, x, expm1(x))", ("where(x > 0, 1, exp(x))",), "x for x > 0, else `exp(x) - 1`",
             rises=(-1.0, inf)),
    # ------------------------------------------------------------ of several numbers
    Function("min(a, b)", Primitive(_least, "minimum"), ("a < b", "a >= b"), "the smallest of two or more",
             range=intervals.minimum, symmetric=True),
    Function("max(a, b)", Primitive(_greatest, "maximum"), ("a > b", "a <= b"), "the largest of two or more",
             range=intervals.maximum, symmetric=True),
    Function("clip(x, low, high)", "where(x < low, low, where(x > high, high, x))",
             ("g * (x > low) * (x < high)", "x <= low", "x >= high"), "x, but at least low and at most high",
             range=intervals.clip),
    Function("where(condition, yes, no)", _WHERE, ("0", "where(condition, g, 0)", "where(condition, 0, g)"),
             "yes where the condition is not 0, else no", range=intervals.where),
)  # fmt: skip

#: Every function of a number, by name.
FUNCTIONS: dict[str, Function] = {f.name: f for f in _RECORDS}

#: Those that are written as calls; the others are operators.
CALLED = frozenset(FUNCTIONS) - frozenset(OPERATOR_NAMES.values()) - {"neg"}
