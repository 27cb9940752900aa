"""Loop programs as JavaScript: typed arrays and plain loops, every statement with its line of the `.circ`.

A program becomes a constant of a module: an object with the function `run`, which takes the scalars
`arguments(program)` and then the buffers, flat and in C order, and with the tables `scalars` and `buffers`, which say
what these are. So the texts of several programs make one module. emit/host/engine.js binds them.

JavaScript computes in double precision. In float32 the constants, the params and all that is stored are rounded, which
a `Float32Array` does by itself; what is between a load and a store, a sum among it, is not: rounding each step would
cost more than the step. Whole numbers are doubles too, exact below 2^53, but for the occurrence of a random number,
which has 63 bits and is printed as two words.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import field
from pathlib import Path
from typing import assert_never

from circuitdsl.emit.comments import place
from circuitdsl.emit.entry import arguments
from circuitdsl.emit.names import apart, fresh
from circuitdsl.emit.target import DType, Target
from circuitdsl.frozen import frozen, mutable
from circuitdsl.lower.functions import definitions as formulas
from circuitdsl.lower.functions import functions_of, with_parts
from circuitdsl.lower.loop_ir import (
    READ_ONLY,
    Assign,
    Blocks,
    Branch,
    Const,
    Control,
    Define,
    Dtype,
    Expr,
    Fetch,
    Given,
    Load,
    Loop,
    Op,
    Phase,
    Program,
    Repeat,
    Rest,
    Row,
    Statement,
    Store,
    Sum,
    Var,
    When,
    names_of,
    statements,
    walk,
)
from circuitdsl.lower.teams import in_turn
from circuitdsl.lower.trim import phase_uses
from circuitdsl.noise import SCALE_NORMAL, SCALE_UNIFORM24, SCALE_UNIFORM53

#: The JavaScript that runs what is printed here.
HOST = Path(__file__).parent / "host"

#: Words that mean something to the language, and globals that the text uses.
RESERVED = frozenset(
    """abstract arguments async await boolean break byte case catch char class const continue debugger default delete do
    double else enum eval export extends false final finally float for from function get goto if implements import in
    instanceof int interface let long native new null of package private protected public return set short static super
    switch synchronized this throw throws transient true try typeof undefined var void volatile while with yield
    Infinity Math NaN real run scalars buffers power""".split()
)

#: 1 to any power is 1, as in C and NumPy, and so is -1 to an infinite one.
_POWER = "const power = (a, b) => (a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b);"


def print_program(program: Program, dtype: DType, *, comments: bool = True) -> str:
    """A constant of a module. Without comments it is the same for circuits that differ in layout only."""
    helpers = _helpers(program, dtype)
    taken = {*RESERVED, *_bound(helpers), program.name}
    program = in_turn(apart(program, taken))
    printer = _Printer(program, dtype, comments, taken | names_of(program))
    scope = _Scope()
    printer.control(program.body, scope, 1)
    names = [*(s.name for s in arguments(program)), *(b.name for b in program.buffers)]
    lines = [f"// {program.title}, in {dtype}. Written by circuitdsl."] if comments else []
    lines += [f"export const {program.name} = (() => {{", *_indented(helpers), *printer.functions]
    lines += [*_indented([*_head("run", names), *scope.lines, "}", ""])]
    lines += [*_indented(["return {", *_indented(_tables(program, dtype)), "};"]), "})();"]
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- the module


def _tables(program: Program, dtype: DType) -> list[str]:
    """What the function takes, for whoever calls it: names, what each is bound to, shapes."""
    taken = {s.name for s in arguments(program)}
    scalars = [
        {"name": s.name, "dtype": s.dtype, "given": s.given, "key": s.key, "taken": s.name in taken}
        for s in program.scalars
    ]
    buffers = [
        {"name": b.name, "dtype": b.dtype, "role": b.role, "key": b.key, "shape": list(b.shape)}
        for b in program.buffers
    ]
    return [
        f"run, dtype: {json.dumps(dtype)},",
        "scalars: [",
        *(f"  {json.dumps(s)}," for s in scalars),
        "],",
        "buffers: [",
        *(f"  {json.dumps(b)}," for b in buffers),
        "],",
    ]


def _helpers(program: Program, dtype: DType) -> list[str]:
    """The constants and functions that the program uses."""
    used = functions_of(program)
    lines = [*(f"const {name} = {value};" for name, value in program.constants)]
    lines += ["const real = Math.fround;"] if dtype == "float32" else []
    lines += definitions(used, dtype)
    draws = {
        "rand": ("uniform24", SCALE_UNIFORM24) if dtype == "float32" else ("uniform53", SCALE_UNIFORM53),
        "randn": ("normal28", SCALE_NORMAL),
    }
    if used & draws.keys():
        lines += [line.removeprefix("export ") for line in (HOST / "noise.js").read_text().splitlines()]
    for name, (bits, scale) in draws.items():
        if name in used:
            key = "seed, high, low, epoch, index, tick, unit"
            value = f"{bits}({key}) * {scale!r}"
            value = f"real({value})" if dtype == "float32" else value
            lines.append(f"const {name} = ({key}) => {value};")
    return [*lines, ""] if lines else []


def definitions(functions: Collection[str], dtype: DType = "float64") -> list[str]:
    """These functions of reals, and what they are made of, as far as the language lacks them."""
    used = with_parts(functions)
    lines = [_POWER] if "pow" in used else []
    for made in formulas(used):
        value = _Expressions({}, dtype).text(made.value)
        lines.append(f"const {made.name} = ({', '.join(made.parameters)}) => {value};")
    return lines


def print_expression(expr: Expr) -> str:
    """An expression of numbers in double precision."""
    return _Expressions({}, "float64").text(expr)


def _bound(lines: Sequence[str]) -> set[str]:
    """The names that helpers bind; each begins a line."""
    words = [line.replace("(", " ").split() for line in lines if line.startswith(("const ", "function "))]
    return {word[1] for word in words}


def _indented(lines: Sequence[str], depth: int = 1) -> list[str]:
    return ["  " * depth + line if line else "" for line in lines]


def _head(name: str, parameters: Sequence[str]) -> list[str]:
    """The first lines of a function, wrapped."""
    whole = f"function {name}({', '.join(parameters)}) {{"
    if len(whole) <= 108:
        return [whole]
    return [f"function {name}(", *_wrapped(parameters, "  "), ") {"]


def _wrapped(items: Sequence[str], indent: str) -> list[str]:
    lines, line = [], indent
    for item in items:
        if len(line) + len(item) + 2 > 106 and line.strip():
            lines.append(line.rstrip())
            line = indent
        line += f"{item}, "
    return [*lines, line.rstrip()]


# ---------------------------------------------------------------- statements


@mutable
class _Scope:
    """The lines of a block so far. `defined`: the names that it defines; `places`: the names of the places in buffers
    that are computed in it, by their text."""

    around: _Scope | None = None
    depth: int = 1
    lines: list[str] = field(default_factory=list)
    defined: set[str] = field(default_factory=set)
    places: dict[str, str] = field(default_factory=dict)

    def home(self, names: set[str]) -> _Scope:
        """The outermost block that knows all of these names."""
        scope = self
        while scope.around is not None and not names & scope.defined:
            scope = scope.around
        return scope

    def place(self, text: str) -> str | None:
        """The name of a place that is known here."""
        found = self.places.get(text)
        return found or (self.around.place(text) if self.around is not None else None)


@mutable
class _Printer:
    """The functions of a program's phases, as they are written. The place of a row in a buffer is computed where its
    last index becomes known, and not again for each element: engines for JavaScript do not move it out of a loop. Each
    is made a whole number of 32 bits, and so are sizes, without which they reckon with doubles: training would take
    twice as long.
    `assigned` and `local` are of the present function: its numbers that change, and the names that mean something."""

    program: Program
    dtype: DType
    comments: bool
    taken: set[str]
    functions: list[str] = field(default_factory=list)
    expressions: _Expressions = field(init=False)
    read_only: frozenset[str] = field(init=False)
    assigned: frozenset[str] = frozenset()
    local: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.expressions = _Expressions({b.name: b.shape for b in self.program.buffers}, self.dtype)
        self.read_only = frozenset(b.name for b in self.program.buffers if b.role in READ_ONLY)

    def control(self, body: tuple[Control, ...], scope: _Scope, depth: int) -> None:
        indent = "  " * depth
        for part in body:
            match part:
                case Define():
                    scope.lines.append(f"{indent}const {part.name} = {self.expressions.text(part.value)};")
                case Phase():
                    scope.lines += self._call(part, indent)
                case Repeat():
                    scope.lines.append(indent + _loop(part.var, part.extent, part.backward))
                    self.control(part.body, scope, depth + 1)
                    scope.lines.append(indent + "}")
                case Branch():
                    scope.lines.append(f"{indent}if ({self.expressions.text(part.condition)}) {{")
                    self.control(part.body, scope, depth + 1)
                    scope.lines.append(indent + "}")
                case Fetch():
                    pass
                case _:
                    assert_never(part)

    def _call(self, phase: Phase, indent: str) -> list[str]:
        """The call of a phase's function, which is written."""
        own = {s.name for s in statements(phase.body) if isinstance(s, Define)}
        own |= {s.var for s in statements(phase.body) if isinstance(s, Loop)}
        fixed = {"1", *dict(self.program.constants)}
        free = [n for n in self._used(phase) if n not in own | fixed]
        name = fresh(phase.name, self.taken)
        self.taken.add(name)
        self.assigned = frozenset(s.name for s in statements(phase.body) if isinstance(s, Assign))
        self.local = set(self.taken)
        scope = _Scope(defined=set(free))
        sizes = [s.name for s in self.program.scalars if s.given is Given.SIZE and s.name in free]
        scope.lines += ["  " + " ".join(f"{name} |= 0;" for name in sizes)] if sizes else []
        self._block(phase.body, scope)
        head = [f"// {phase.title}{place(phase.origin)}"] if self.comments else []
        self.functions += _indented([*head, *_head(name, free), *scope.lines, "}", ""])
        call = f"{indent}{name}({', '.join(free)});"
        return [call] if len(call) <= 110 else [f"{indent}{name}(", *_wrapped(free, indent + "  "), f"{indent});"]

    def _used(self, phase: Phase) -> list[str]:
        """The names that a phase uses, with the extents of its buffers, which say where a row begins."""
        shapes = self.expressions.shapes
        found = dict.fromkeys(phase_uses(phase))
        found |= dict.fromkeys(extent for name in [*found] for extent in shapes.get(name, ())[1:])
        return list(found)

    def _block(self, body: tuple[Statement, ...], scope: _Scope) -> None:
        for statement in body:
            self._statement(statement, scope)

    def _statement(self, statement: Statement, scope: _Scope) -> None:
        indent = "  " * scope.depth
        match statement:
            case Define():
                line = f"{self._definition(statement)} {statement.name} = {self._text(statement.value, scope)};"
                scope.defined.add(statement.name)
            case Assign():
                line = self._assignment(statement, scope)
            case Store():
                target = self._element(statement.buffer, statement.index, scope)
                sign = "+=" if statement.add else "="
                line = f"{target} {sign} {self._text(statement.value, scope)};"
            case Loop():
                line = self._rounds(statement, scope)
            case Sum():
                self._statement(statement.in_turn(), scope)
                return
            case When():
                line = f"if ({self._text(statement.condition, scope)}) {{"
            case _:
                assert_never(statement)
        if self.comments and not isinstance(statement, When) and statement.origin is not None:
            line += f"  // {statement.origin.entity}{place(statement.origin)}"
        if not isinstance(statement, Loop | When):
            scope.lines.append(indent + line)
            return
        defined = {statement.var} if isinstance(statement, Loop) else set()
        inner = _Scope(scope, scope.depth + 1, defined=defined)
        self._block(statement.body, inner)
        scope.lines += [indent + line, *inner.lines, indent + "}"]

    def _rounds(self, loop: Loop, scope: _Scope) -> str:
        match loop.extent:
            case str() as extent:
                return _loop(loop.var, extent)
            case Row() as row:
                first, stop = (self._text(bound, scope) for bound in row.bounds)
                return f"for (let {loop.var} = {first}; {loop.var} < {stop}; {loop.var}++) {{"
            case Blocks() | Rest() as extent:
                raise ValueError(f"blocks of {extent.size} are for vectors, which JavaScript has not")
            case _:
                assert_never(loop.extent)

    def _definition(self, statement: Define) -> str:
        return "let" if statement.name in self.assigned else "const"

    def _assignment(self, statement: Assign, scope: _Scope) -> str:
        match statement.value:
            case Op(function="add", arguments=(Var() as first, more)) if first.name == statement.name:
                return f"{statement.name} += {self._text(more, scope)};"
            case _:
                return f"{statement.name} = {self._text(statement.value, scope)};"

    # ------------------------------------------------------------ elements

    def _text(self, expr: Expr, scope: _Scope) -> str:
        for node in walk(expr):
            if isinstance(node, Load):
                self._row(node.buffer, node.index, scope)
        return self.expressions.text(expr, scope)

    def _element(self, buffer: str, index: tuple[Expr, ...], scope: _Scope) -> str:
        for i in index:
            for node in walk(i):
                if isinstance(node, Load):
                    self._row(node.buffer, node.index, scope)
        self._row(buffer, index, scope)
        return self.expressions.element(buffer, index, scope)

    def _row(self, buffer: str, index: tuple[Expr, ...], scope: _Scope) -> None:
        """Writes down where the row of an element begins, in the outermost block that can say so."""
        nodes = [node for i in index[:-1] for node in walk(i)]
        names = {node.name for node in nodes if isinstance(node, Var)}
        is_fixed = all(node.buffer in self.read_only for node in nodes if isinstance(node, Load))
        text = self.expressions.row(buffer, index)
        if not names or not is_fixed or names & self.assigned or scope.place(text) is not None:
            return
        home = scope.home(names)
        name = fresh(f"at_{buffer}", self.local)
        self.local.add(name)
        home.places[text] = name
        home.lines.append(f"{'  ' * home.depth}const {name} = ({text}) | 0;")


def _loop(var: str, extent: str, backward: bool = False) -> str:
    if backward:
        return f"for (let {var} = {extent} - 1; {var} >= 0; {var}--) {{"
    return f"for (let {var} = 0; {var} < {extent}; {var}++) {{"


# ---------------------------------------------------------------- expressions

_SYMBOLS = {
    "or": ("||", 1), "and": ("&&", 2), "eq": ("===", 3), "ne": ("!==", 3), "lt": ("<", 4), "le": ("<=", 4),
    "gt": (">", 4), "ge": (">=", 4), "add": ("+", 5), "sub": ("-", 5), "mul": ("*", 6), "div": ("/", 6),
}  # fmt: skip
_MATH = frozenset({"exp", "expm1", "log", "log1p", "sqrt", "tanh", "floor", "sin", "cos", "abs", "min", "max"})
_CONDITIONAL, _NEGATION, _ATOM = 0, 7, 9
#: The least whole number that float32 may not have.
_WHOLE = 2**24


@frozen
class _Expressions:
    """Prints expressions over buffers of these shapes."""

    shapes: dict[str, tuple[str, ...]]
    dtype: DType

    def text(self, expr: Expr, scope: _Scope | None = None, above: int = -1) -> str:
        """The expression, in brackets if it binds less than what stands around it."""
        text, level = self._text(expr, scope)
        return f"({text})" if level <= above else text

    def _text(self, expr: Expr, scope: _Scope | None) -> tuple[str, int]:
        """Source text, and how strongly it binds."""
        match expr:
            case Const():
                return self._number(expr)
            case Var():
                return expr.name, _ATOM
            case Load():
                element = self.element(expr.buffer, expr.index, scope)
                return (f"{element} === 1", 3) if expr.dtype is Dtype.BOOL else (element, _ATOM)
            case Op():
                return self._operation(expr, scope)
            case _:
                assert_never(expr)

    def _number(self, const: Const) -> tuple[str, int]:
        match const.dtype:
            case Dtype.INT | Dtype.SHORT:
                return str(int(const.value)), _ATOM
            case Dtype.BOOL:
                return str(bool(const.value)).lower(), _ATOM
            case Dtype.REAL:
                return _real(const.value, self.dtype)
            case _:
                assert_never(const.dtype)

    def element(self, buffer: str, index: tuple[Expr, ...], scope: _Scope | None) -> str:
        row = self.row(buffer, index)
        known = scope.place(row) if scope is not None else None
        parts = [known or row, self.text(index[-1], scope, above=4)]
        return f"{buffer}[{' + '.join(part for part in parts if part != '0') or '0'}]"

    def row(self, buffer: str, index: tuple[Expr, ...]) -> str:
        """Where the row of an element begins in the flat array."""
        text, level = "0", _ATOM
        for extent, unit in zip(self.shapes[buffer][1:], index[:-1], strict=True):
            inner, inner_level = self._text(unit, None)
            if text == "0":
                text, level = inner, inner_level
            elif inner != "0":
                text, level = f"{text} + {inner}", _SYMBOLS["add"][1]
            if extent != "1" and text != "0":
                factor = f"({text})" if level < _SYMBOLS["mul"][1] else text
                text, level = f"{factor} * {extent}", _SYMBOLS["mul"][1]
        return text

    def _operation(self, op: Op, scope: _Scope | None) -> tuple[str, int]:
        arguments = op.arguments
        match op.function:
            case "neg":
                return f"-{self.text(arguments[0], scope, _NEGATION)}", _NEGATION
            case "where":
                condition, yes, no = (self.text(a, scope, _CONDITIONAL) for a in arguments)
                return f"{condition} ? {yes} : {no}", _CONDITIONAL
            case "real":
                if arguments[0].dtype is Dtype.BOOL:
                    return f"{self.text(arguments[0], scope, _CONDITIONAL)} ? 1 : 0", _CONDITIONAL
                return self._text(arguments[0], scope)
            case "pow":
                return f"power({self._listed(arguments, scope)})", _ATOM
            case "rand" | "randn":
                seed, occurrence, *rest = arguments
                words = _words(occurrence, self.text(occurrence, scope, _NEGATION))
                return f"{op.function}({self.text(seed, scope)}, {words}, {self._listed(rest, scope)})", _ATOM
            case function if function in _SYMBOLS:
                symbol, level = _SYMBOLS[function]
                left = self.text(arguments[0], scope, level - 1)
                return f"{left} {symbol} {self.text(arguments[1], scope, level)}", level
            case function:
                name = f"Math.{function}" if function in _MATH else function
                return f"{name}({self._listed(arguments, scope)})", _ATOM

    def _listed(self, arguments: Sequence[Expr], scope: _Scope | None) -> str:
        return ", ".join(self.text(a, scope) for a in arguments)


def _words(occurrence: Expr, text: str) -> str:
    """An occurrence as its high and its low word."""
    if isinstance(occurrence, Const):
        high, low = divmod(int(occurrence.value), 1 << 32)
        return f"{high}, {low}"
    return f"Math.floor({text} / 4294967296), {text} % 4294967296"


def _real(value: float, dtype: DType) -> tuple[str, int]:
    """A constant, and how strongly its text binds: a sign is an operator."""
    level = _NEGATION if value < 0 else _ATOM
    if value != value or abs(value) == float("inf"):
        return "NaN" if value != value else f"{'-' if value < 0 else ''}Infinity", level
    if value == int(value) and abs(value) < _WHOLE:
        return str(int(value)), level
    text = repr(float(value))
    return (f"real({text})", _ATOM) if dtype == "float32" else (text, level)


TARGET = Target(
    name="js",
    doc="JavaScript over typed arrays, for a page or node",
    print_program=print_program,
)
