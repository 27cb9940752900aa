"""Equations of a circuit as papers write them, in LaTeX's math mode (amsmath, amssymb).

The unit that an equation is written for has the index i, a presynaptic one j; a weight onto i from j is W_ij. The rate
of `h` is h, its dendrite `h.basal` is h with that word above, its state `h.v` is v with h above; what a motif made,
such as `L[1].a`, has its place in the motif above.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

from circuitdsl.derive.algebra.notation import GREEK, upright
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir

#: How tightly an operation holds its operands together; a looser one within it stands in parentheses.
_SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(5)

_COMPARED = {"lt": "<", "le": r"\leq", "gt": ">", "ge": r"\geq", "eq": "=", "ne": r"\neq"}
#: Functions that LaTeX has a word for.
_KNOWN = {
    "exp": r"\exp",
    "log": r"\log",
    "sin": r"\sin",
    "cos": r"\cos",
    "tanh": r"\tanh",
    "min": r"\min",
    "max": r"\max",
}
_INITIAL = {"normal": r"\mathcal{N}", "uniform": r"\mathcal{U}"}


def symbol(name: str, *, above: str = "", index: str = "") -> str:
    r"""A name of the circuit with an index: `W1` is W_{1,ij}, `L[1].F` is F^{\text{L[1]}}_{ij}, `eta` is \eta."""
    place, _, base = name.rpartition(".")
    over = ", ".join(part for part in (place, above) if part)
    lettered = re.fullmatch(r"([A-Za-z])(\d*)", base)
    if base in GREEK:
        shown, below = rf"\{base}", index
    elif lettered is not None:
        shown, below = lettered[1], ",".join(part for part in (lettered[2], index) if part)
    else:
        shown, below = upright(base), index
    return shown + (f"^{{{upright(over)}}}" if over else "") + (f"_{{{below}}}" if below else "")


def value_symbol(circuit: ir.Circuit, name: str, index: str = "") -> str:
    """A value of the circuit, such as `h.basal`."""
    value = circuit.values[name]
    if value.population is None or name == value.population:
        return symbol(name, index=index)
    member = name.removeprefix(f"{value.population}.")
    if value.kind is ir.Kind.DENDRITE:
        return symbol(value.population, above=member, index=index)
    return symbol(member, above=value.population, index=index)


def weight_symbol(circuit: ir.Circuit, synapse: ir.Synapse, state: str | None = None) -> str:
    """A weight of a synapse, or a state that goes with it; one from the bias has no presynaptic unit."""
    index = "i" if circuit.populations[synapse.pre].kind is ir.Kind.BIAS else "ij"
    if state is None:
        return symbol(synapse.name, index=index)
    return symbol(state, above=synapse.name, index=index)


def number(value: float) -> str:
    """A number as papers have it: 5e-04 is 5 times a power of ten."""
    shown = f"{value:.6g}"
    digits, _, exponent = shown.partition("e")
    if not exponent:
        return shown
    power = f"10^{{{int(exponent)}}}"
    return power if digits == "1" else rf"{digits} \times {power}"


def around(shown: str, left: str = "(", right: str = ")") -> str:
    """In parentheses, which are as high as what is in them where that is more than a line."""
    if any(high in shown for high in (r"\frac", r"\sum", r"\begin", r"\left")):
        return rf"\left{left} {shown} \right{right}"
    return f"{left}{shown}{right}"


@frozen
class Writer:
    """Writes the expressions of one equation. `owner`: the synapse, if it is one of a synapse. Without `units` names
    have no index: what is said of whole populations."""

    circuit: ir.Circuit
    owner: ir.Synapse | None = None
    units: bool = True

    def of(self, expr: ir.Expr) -> str:
        return self._at(expr, _SUM)

    def _at(self, expr: ir.Expr, tight: int) -> str:
        """An expression where something holds it so tightly."""
        shown, own = self._written(expr)
        return shown if own >= tight else around(shown)

    def _written(self, expr: ir.Expr) -> tuple[str, int]:
        match expr:
            case ir.Num():
                return number(expr.value), _SUM if expr.value < 0 else _PRODUCT if "times" in number(
                    expr.value
                ) else _ATOM
            case ir.ParamRef():
                return symbol(expr.name), _ATOM
            case ir.Read():
                return self._read(expr), _ATOM
            case ir.Coef():
                axis = expr.axis
                return symbol(expr.name, index=self._index("ij" if axis is None else _INDEX[axis])), _ATOM
            case ir.Weight():
                return weight_symbol(self.circuit, self._owner), _ATOM
            case ir.SynapseState() | ir.DriveRead():
                return weight_symbol(self.circuit, self._owner, expr.name), _ATOM
            case ir.Fan():
                return rf"n_{{\text{{{expr.which}}}}}", _ATOM
            case ir.Flag():
                return _flag(expr), _ATOM
            case ir.Tick():
                return "t", _ATOM
            case ir.Random():
                return r"\mathcal{U}(0, 1)" if expr.which == "rand" else r"\mathcal{N}(0, 1)", _ATOM
            case ir.Apply():
                return self._applied(expr.function, expr.arguments)
            case ir.Over():
                return self._over(expr), _ATOM
            case ir.Reduce():
                whole = Writer(self.circuit, self.owner, units=False)
                return _call(expr.function, map(whole.of, expr.arguments)), _ATOM
            case _:
                assert_never(expr)

    @property
    def _owner(self) -> ir.Synapse:
        assert self.owner is not None
        return self.owner

    def _index(self, index: str) -> str:
        return index if self.units else ""

    def _read(self, read: ir.Read) -> str:
        shown = value_symbol(self.circuit, read.value, self._index(_INDEX[read.axis]))
        return shown + {ir.When.NOW: "", ir.When.PREV: r"(t-1)", ir.When.NEXT: r"(t+1)"}[read.when]

    def _over(self, expr: ir.Over) -> str:
        whole = Writer(self.circuit, self.owner, units=False)
        parts = [expr.argument] if expr.k is None else [expr.argument, expr.k]
        return _call(expr.function, map(whole.of, parts)) + (f"_{{{self._index('i')}}}" if self.units else "")

    def _applied(self, function: str, arguments: tuple[ir.Expr, ...]) -> tuple[str, int]:
        match function, arguments:
            case "add" | "sub", (a, b):
                sign = "+" if function == "add" else "-"
                return f"{self._at(a, _SUM)} {sign} {self._at(b, _SUM if function == 'add' else _PRODUCT)}", _SUM
            case "mul", (a, b):
                return self._product(a, b)
            case "div", (a, b):
                return rf"\frac{{{self.of(a)}}}{{{self.of(b)}}}", _PRODUCT
            case "neg", (a,):
                return f"-{self._at(a, _PRODUCT)}", _SUM
            case "pow", (a, b):
                return f"{self._base(a)}^{{{self.of(b)}}}", _POWER
            case "square", (a,):
                return f"{self._base(a)}^{{2}}", _POWER
            case "step", (a,):
                return r"\mathbf{1}" + around(f"{self.of(a)} > 0", "[", "]"), _ATOM
            case (("lt" | "le" | "gt" | "ge" | "eq" | "ne"), (a, b)):
                return r"\mathbf{1}" + around(self._compared(function, a, b), "[", "]"), _ATOM
            case "sqrt", (a,):
                return rf"\sqrt{{{self.of(a)}}}", _ATOM
            case "abs", (a,):
                return around(self.of(a), "|", "|"), _ATOM
            case "floor", (a,):
                return rf"\left\lfloor {self.of(a)} \right\rfloor", _ATOM
            case "where", (condition, yes, no):
                shown = rf"{self.of(yes)} & \text{{if }} {self._condition(condition)} \\ {self.of(no)} & \text{{else}}"
                return rf"\begin{{cases}} {shown} \end{{cases}}", _ATOM
            case _:
                return _call(function, map(self.of, arguments)), _ATOM

    def _product(self, a: ir.Expr, b: ir.Expr) -> tuple[str, int]:
        """A minus stands in front of all of it; the bias is 1; between digits is a sign."""
        match a, b:
            case ir.Apply(function="neg", arguments=(inner,)), _:
                shown, own = self._product(inner, b)
                return "-" + (shown if own >= _PRODUCT else around(shown)), _SUM
            case _, ir.Read() if self._is_bias(b):
                return self._written(a)
            case ir.Read(), _ if self._is_bias(a):
                return self._written(b)
        left = self._at(a, _PRODUCT)
        product = isinstance(b, ir.Apply) and b.function == "mul"
        right = self._at(b, _PRODUCT if product else _SIGN)
        digits = right[:1].isdigit() or (right.startswith(r"\mathbf{1}") and left[-1:].isdigit())
        return rf"{left} \cdot {right}" if digits else rf"{left}\,{right}", _PRODUCT

    def _is_bias(self, expr: ir.Expr) -> bool:
        return isinstance(expr, ir.Read) and self.circuit.values[expr.value].kind is ir.Kind.BIAS

    def _base(self, expr: ir.Expr) -> str:
        """What is raised to a power: a symbol may have something above it already."""
        shown = self._at(expr, _ATOM)
        bare = isinstance(expr, ir.Num | ir.ParamRef) and "^" not in shown
        return shown if bare or self._written(expr)[1] < _ATOM else around(shown)

    def _compared(self, function: str, a: ir.Expr, b: ir.Expr) -> str:
        return f"{self.of(a)} {_COMPARED[function]} {self.of(b)}"

    def _condition(self, expr: ir.Expr) -> str:
        """What is asked by `where`."""
        match expr:
            case ir.Apply(function=function, arguments=(a, b)) if function in _COMPARED:
                return self._compared(function, a, b)
            case ir.Flag():
                return _asked(expr)
            case _:
                return rf"{self.of(expr)} \neq 0"


_INDEX: Mapping[ir.Axis, str] = {ir.Axis.OWN: "i", ir.Axis.POST: "i", ir.Axis.PRE: "j", ir.Axis.SCALAR: ""}


def _call(function: str, arguments: Iterable[str]) -> str:
    name = _KNOWN.get(function) or (upright(function) if "_" in function else rf"\operatorname{{{function}}}")
    return name + around(", ".join(arguments))


def _asked(flag: ir.Flag) -> str:
    match flag.which:
        case "train":
            return r"\text{training}"
        case "phase":
            return rf"\text{{in }}{upright(flag.phase or '')}"
        case "first":
            return rf"\text{{first tick of }}{upright(flag.phase or '')}"
        case "last":
            return rf"\text{{last tick of }}{upright(flag.phase or '')}"
        case _:
            assert_never(flag.which)


def _flag(flag: ir.Flag) -> str:
    return rf"\mathbf{{1}}[{_asked(flag)}]"


# ---------------------------------------------------------------- initial values and masks


def initial(circuit: ir.Circuit, init: ir.Init) -> str:
    """What weights or states begin with."""
    match init:
        case ir.Num() | ir.ParamRef() | ir.Fan():
            return Writer(circuit).of(init)
        case ir.InitCall(which="zeros"):
            return "0"
        case ir.InitCall(which="constant", arguments=(value,)):
            return Writer(circuit).of(value)
        case ir.InitCall(which="identity", arguments=()):
            return "I"
        case ir.InitCall(which="transpose", other=str() as other):
            return (symbol(other) if "^" not in symbol(other) else around(symbol(other))) + r"^{\top}"
        case ir.InitCall(which="copy", other=str() as other):
            return symbol(other)
        case ir.InitCall(which="file", path=path):
            return upright(path or "")
        case ir.InitCall():
            arguments = ", ".join(map(Writer(circuit).of, init.arguments))
            name = _INITIAL.get(init.which, rf"\operatorname{{{init.which}}}")
            return name + around(arguments)
        case ir.InitApply():
            return _combined(init.function, [initial(circuit, a) for a in init.arguments])
        case _:
            assert_never(init)


def _combined(function: str, shown: list[str]) -> str:
    """Arithmetic on initial values."""
    held = [around(s) if re.search(r" [-+] ", s) else s for s in shown]
    signs: Mapping[str, Callable[[], str]] = {
        "add": lambda: " + ".join(shown),
        "sub": lambda: f"{shown[0]} - {held[1]}",
        "mul": lambda: r"\,".join(held),
        "div": lambda: rf"\frac{{{shown[0]}}}{{{shown[1]}}}",
        "neg": lambda: f"-{held[0]}",
    }
    return signs[function]() if function in signs else _call(function, shown)
