"""Loop programs as Numba source: plain loops over arrays, every statement with its line of the `.circ`.

Phases become functions. Phases that differ in names only share one, so that compilation takes as long as there
are different phases, not as there are layers. What is emitted also runs as plain Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from itertools import groupby
from typing import assert_never

from circuitdsl.emit.calls import Call, Rounds, Table, named
from circuitdsl.emit.comments import place
from circuitdsl.emit.entry import OWN, ROUND, ROW, TABLE, Binding, binding_of, entry, given
from circuitdsl.emit.flat import WIDENED, flat
from circuitdsl.emit.marks import DISTINCT, FILLS, imports, marks
from circuitdsl.emit.names import PYTHON, apart, bound, fresh
from circuitdsl.emit.swift import quick_forms
from circuitdsl.emit.target import DType, Target
from circuitdsl.frozen import frozen, mutable
from circuitdsl.lower import crew as crews
from circuitdsl.lower.functions import definitions, functions_of
from circuitdsl.lower.loop_ir import (
    Assign,
    Blocks,
    Branch,
    Const,
    Control,
    Crew,
    Define,
    Dtype,
    Expr,
    Extent,
    Fetch,
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
    has_threads,
    names_of,
    own_names,
    phases,
)
from circuitdsl.lower.rewrite import rename, rewritten_expr
from circuitdsl.lower.swift import quick
from circuitdsl.lower.trim import fetch_uses, names_in, phase_uses
from circuitdsl.noise import SCALE_NORMAL, SCALE_UNIFORM24, SCALE_UNIFORM53, scalar_source

#: Sums may be reordered and products contracted, but NaN and infinity stay what they are.
OPTIONS = 'error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"}'
#: No function is called from Python, and a way in from there would be a third of the time to compile.
INNER = "no_cpython_wrapper=True, no_cfunc_wrapper=True"
#: Beyond so many calls of phases they are kept out of line, as LLVM's work would grow with the square of them, and made
#: in loops where they are alike.
INLINE_CALLS = 24


def print_program(program: Program, dtype: DType, *, comments: bool = True) -> str:
    """The source of a module with one entry point, `program.name` (emit/entry.py), that takes what `binding(program)`
    says. Without comments it is the same for circuits that differ in layout only."""
    program = flat(program)
    far = sum(1 for _ in phases(program.body)) > INLINE_CALLS
    told = any(p.fills for p in phases(program.body))
    head = _head(dtype, far=far, fetches=_fetches(program.body), crew=program.crew is not None, told=told)
    helpers = [*quick_forms(program, dtype, INNER), *_helpers(program, dtype)]
    program, taken = _apart(program, [*head, *helpers])
    fixed = dict(program.constants)
    first = [*(["    apart()"] if far else []), DISTINCT]
    functions = _Functions(_Style(comments, program.crew), first, fixed={"1", *fixed}, taken=taken)
    places = given(binding_of(program))
    control = _Control(functions, Table(places if far else {}))
    body = control.lines(program.body, 2)
    lines = [f'"""{program.title}, in {dtype}. Written by circuitdsl."""', ""] if comments else []
    lines += [*head, *([""] if fixed else []), *(f"{name} = {value}" for name, value in fixed.items()), *helpers]
    for function in functions.made:
        lines += ["", "", *function]
    way_in = entry(program.name, program.title if comments else "", places, control.used, body)
    return "\n".join([*lines, *control.table_lines(), "", "", "@kernel", *way_in]) + "\n"


def _fetches(body: Sequence[Control]) -> bool:
    """Whether anything is asked for early."""
    return any(isinstance(p, Fetch) or (isinstance(p, Repeat | Branch) and _fetches(p.body)) for p in body)


def _apart(program: Program, text: list[str]) -> tuple[Program, set[str]]:
    """The program with names that mean nothing else in a module of this text, and all names that mean something
    there."""
    taken = {*PYTHON, *bound("\n".join(text)), *OWN, program.name}
    program = apart(program, taken)
    return program, taken | names_of(program)


def binding(program: Program) -> Binding:
    """What the entry point of a program takes."""
    return binding_of(flat(program))


# ---------------------------------------------------------------- the module


def _head(dtype: DType, *, far: bool, fetches: bool, crew: bool, told: bool) -> list[str]:
    """`far`: whether phases are kept out of line; `fetches`: whether anything is asked for early; `crew`: whether
    several threads share the loops over units; `told`: whether a phase says what its rows fill."""
    kinds = [f"real = np.{dtype}", "kernel = njit(", f"    {OPTIONS},", f"    {INNER},", ")"]
    stretches = _stretches() if crew else []
    return [
        *imports(fetches=fetches, crew=crew),
        "",
        *kinds,
        *marks(far=far, fetches=fetches, crew=crew, told=told),
        *stretches,
    ]


def _stretches() -> list[str]:
    """The functions that tell a worker where its units begin and end."""
    size = crews.UNITS
    first = f"min(units, (units + {size - 1}) // {size} * worker // workers * {size})"
    return [
        *_helper("first_of", "units, worker, workers", first),
        *_helper("past_of", "units, worker, workers", "first_of(units, worker + 1, workers)"),
    ]


#: Smallest and largest of two reals; NaN stays NaN.
_EXTREMES = {
    "min": ("least", "a if a < b or a != a else b"),
    "max": ("largest", "a if a > b or a != a else b"),
}


def _helpers(program: Program, dtype: DType) -> list[str]:
    """The functions that the program uses."""
    used = functions_of(program)
    lines: list[str] = []
    for made in definitions(used):
        formula = rewritten_expr(made.value, quick) if program.stand_ins else made.value
        lines += _helper(made.name, ", ".join(made.parameters), _print(formula))
    for function, (name, value) in _EXTREMES.items():
        if function in used:
            lines += _helper(name, "a, b", value)
    if used & {"rand", "randn"}:
        lines += ["", "", *scalar_source("@kernel").rstrip().split("\n")]
    draws = {
        "rand": ("uniform24", SCALE_UNIFORM24) if dtype == "float32" else ("uniform53", SCALE_UNIFORM53),
        "randn": ("normal28", SCALE_NORMAL),
    }
    for name, (bits, scale) in draws.items():
        if name in used:
            key = "seed, occurrence, epoch, index, tick, unit"
            lines += ["", "", "@kernel", f"def {name}({key}):", f"    return real({bits}({key})) * real({scale!r})"]
    return lines


def _helper(name: str, parameters: str, value: str) -> list[str]:
    return ["", "", "@kernel", f"def {name}({parameters}):", f"    return {value}"]


def _signature(name: str, parameters: Sequence[str]) -> list[str]:
    """The first lines of a function, wrapped."""
    whole = f"def {name}({', '.join(parameters)}):"
    if len(whole) <= 110:
        return [whole]
    return [f"def {name}(", *_wrapped(parameters, "    "), "):"]


def _wrapped(items: Sequence[str], indent: str) -> list[str]:
    lines, line = [], indent
    for item in items:
        if len(line) + len(item) + 2 > 108 and line.strip():
            lines.append(line.rstrip())
            line = indent
        line += f"{item}, "
    return [*lines, line.rstrip()]


# ---------------------------------------------------------------- phases as functions


@frozen
class _Style:
    """How statements are printed. `crew`: who shares the loops over threads; None: one thread has all of them."""

    comments: bool
    crew: Crew | None = None


@mutable
class _Functions:
    """The functions written so far, by what they do when names are left out. `first`: the lines that each begins
    with; `fixed`: extents that are literals."""

    style: _Style
    first: list[str]
    fixed: set[str]
    made: list[list[str]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    heads: dict[str, int] = field(default_factory=dict)

    def call(self, phase: Phase) -> Call:
        """The call of a phase's function, which is written if no phase like it was."""
        own = own_names(phase.body)
        names = [n for n in dict.fromkeys(phase_uses(phase)) if n not in self.fixed]
        free = [n for n in names if n not in own]
        bare = {n: f"v{i}" for i, n in enumerate(names)}
        lines = _block(rename(phase.body, bare), 0, replace(self.style, comments=False))
        key = "\n".join([str(phase.fills), *lines])
        free += () if self.style.crew is None else self.style.crew.names
        if key not in self.names:
            self._write(key, phase, free)
        elif self.style.comments:
            self._also(key, phase)
        return Call(self.names[key], tuple(free))

    def _write(self, key: str, phase: Phase, free: list[str]) -> None:
        name = fresh(phase.name, self.taken)
        self.taken.add(name)
        self.names[key] = name
        self.heads[key] = len(self.made)
        head = [f"# {phase.title}{place(phase.origin)}"] if self.style.comments else []
        rows = [f"@{FILLS}({phase.fills})"] if phase.fills else []
        self.made.append([*head, "@kernel", *rows, *_signature(name, free), *self.first, *self._body(phase)])

    def _body(self, phase: Phase) -> list[str]:
        """What a phase does; of a crew the first worker does what is not shared, and at the end all wait for each
        other."""
        crew = self.style.crew
        if crew is None:
            return _block(phase.body, 1, self.style)
        meet = f"    meet({crew.meeting}, {crew.workers})"
        if has_threads(phase.body):
            return [*_block(phase.body, 1, self.style), meet]
        return [f"    if {crew.worker} == 0:", *_block(phase.body, 2, self.style), meet]

    def _also(self, key: str, phase: Phase) -> None:
        lines = self.made[self.heads[key]]
        decorator = lines.index("@kernel")
        lines.insert(decorator, f"# also {phase.title}{place(phase.origin)}")


@mutable
class _Control:
    """The lines of what stands around phases, with the calls of their functions. `used`: the names in them."""

    functions: _Functions
    table: Table
    used: set[str] = field(default_factory=set)

    def lines(self, body: tuple[Control, ...], depth: int) -> list[str]:
        indent = "    " * depth
        lines: list[str] = []
        for is_phase, parts in groupby(body, lambda part: isinstance(part, Phase)):
            if is_phase:
                calls = [self.functions.call(part) for part in parts if isinstance(part, Phase)]
                for each in self.table.rounds(calls):
                    self.used.update(named(each))
                    lines += _called(each, indent)
            else:
                lines += [line for part in parts for line in self._part(part, depth)]
        return lines or [f"{indent}pass"]

    def _part(self, part: Control, depth: int) -> list[str]:
        indent = "    " * depth
        match part:
            case Define():
                self.used |= names_in(part.value)
                return [f"{indent}{part.name} = {_print(part.value)}"]
            case Repeat():
                self.used.add(part.extent)
                span = f"range({part.extent} - 1, -1, -1)" if part.backward else f"range({part.extent})"
                return [f"{indent}for {part.var} in {span}:", *self.lines(part.body, depth + 1)]
            case Branch():
                self.used |= names_in(part.condition)
                return [f"{indent}if {_print(part.condition)}:", *self.lines(part.body, depth + 1)]
            case Phase():
                raise AssertionError("phases are called together")
            case Fetch(buffer=buffer, index=(place,), count=count):
                self.used |= fetch_uses(part)
                return [f"{indent}fetch({buffer}, {_print(place)}, {_print(count)})"]
            case Fetch():
                raise AssertionError("a place of memory has one index")
            case _:
                assert_never(part)

    def table_lines(self) -> list[str]:
        """The table of the loops over calls."""
        if not self.table.places:
            return []
        return [
            "",
            "",
            f"{TABLE} = np.array([",
            *_wrapped([str(p) for p in self.table.places], "    "),
            "], dtype=np.int32)",
        ]


def _called(part: Call | Rounds, indent: str) -> list[str]:
    match part:
        case Call():
            return _call(part.function, part.arguments, indent)
        case Rounds():
            lines = [
                f"{indent}for {ROUND} in range({part.count}):",
                f"{indent}    {ROW} = {ROUND} * {part.width} + {part.first}",
            ]
            for function, arguments in part.calls:
                texts = [a if isinstance(a, str) else part.arrays[a].at(f"{TABLE}[{ROW} + {a}]") for a in arguments]
                lines += _call(function, texts, indent + "    ")
            return lines
        case _:
            assert_never(part)


def _call(function: str, arguments: Sequence[str], indent: str) -> list[str]:
    whole = f"{indent}{function}({', '.join(arguments)})"
    if len(whole) <= 110:
        return [whole]
    return [f"{indent}{function}(", *_wrapped(arguments, indent + "    "), f"{indent})"]


# ---------------------------------------------------------------- statements


def _range(extent: Extent) -> str:
    match extent:
        case str():
            return extent
        case Row() | Rest():
            return ", ".join(map(_print, extent.bounds))
        case Blocks():
            return ", ".join([*map(_print, extent.bounds), str(extent.size)])
        case _:
            assert_never(extent)


def _stretch(extent: Extent, crew: Crew) -> str:
    """What a worker has of a loop over threads (lower/crew.py)."""

    def ends(of: str) -> tuple[str, str]:
        return f"first_of({of}, {crew.worker}, {crew.workers})", f"past_of({of}, {crew.worker}, {crew.workers})"

    match extent:
        case str():
            return ", ".join(ends(extent))
        case Blocks(of=of, size=size):
            first, past = ends(of)
            return f"{first}, {past} - {size - 1}, {size}"
        case Rest(of=of):
            first, past = ends(of)
            return f"max({first}, {_print(extent.bounds[0])}), {past}"
        case Row():
            raise AssertionError("a row is no loop over threads")
        case _:
            assert_never(extent)


def _block(body: tuple[Statement, ...], depth: int, style: _Style) -> list[str]:
    lines: list[str] = []
    for statement in body:
        lines += _statement(statement, depth, style)
    return lines


def _statement(statement: Statement, depth: int, style: _Style) -> list[str]:
    indent = "    " * depth
    match statement:
        case Define():
            lines = [f"{indent}{statement.name} = {_print(statement.value)}"]
        case Assign():
            lines = [indent + _assignment(statement)]
        case Store():
            sign = "+=" if statement.add else "="
            target = _element(statement.buffer, statement.index)
            lines = [f"{indent}{target} {sign} {_print(statement.value)}"]
        case Loop():
            crew = style.crew if statement.over == "threads" else None
            span = _range(statement.extent) if crew is None else _stretch(statement.extent, crew)
            lines = [f"{indent}for {statement.var} in range({span}):"]
        case Sum():
            return _statement(statement.in_turn(), depth, style)
        case When():
            lines = [f"{indent}if {_print(statement.condition)}:"]
        case _:
            assert_never(statement)
    if style.comments and not isinstance(statement, When) and statement.origin is not None:
        lines[-1] += f"  # {statement.origin.entity}{place(statement.origin)}"
    if isinstance(statement, Loop | When):
        lines += _block(statement.body, depth + 1, style)
    return lines


def _assignment(statement: Assign) -> str:
    match statement.value:
        case Op(function="add", arguments=(Var() as first, more)) if first.name == statement.name:
            return f"{statement.name} += {_print(more)}"
        case _:
            return f"{statement.name} = {_print(statement.value)}"


# ---------------------------------------------------------------- expressions

_SYMBOLS = {
    "or": ("or", 1), "and": ("and", 2), "lt": ("<", 3), "le": ("<=", 3), "gt": (">", 3), "ge": (">=", 3),
    "eq": ("==", 3), "ne": ("!=", 3), "add": ("+", 4), "sub": ("-", 4), "mul": ("*", 5), "div": ("/", 5),
    "floordiv": ("//", 5),
    "pow": ("**", 7),
}  # fmt: skip
_CHAINING = frozenset({"<", "<=", ">", ">=", "==", "!="})
_NUMPY = frozenset({"exp", "expm1", "log", "log1p", "sqrt", "tanh", "floor", "sin", "cos"})
_CONDITIONAL, _NEGATION, _ATOM = 0, 6, 9


def _print(expr: Expr, above: int = -1) -> str:
    """The expression, in brackets if it binds less than what stands around it."""
    text, level = _text(expr)
    return f"({text})" if level <= above else text


def _text(expr: Expr) -> tuple[str, int]:
    """Source text, and how strongly it binds."""
    match expr:
        case Const():
            return _number(expr), _ATOM
        case Var():
            return expr.name, _ATOM
        case Load():
            return _element(expr.buffer, expr.index), _ATOM
        case Op():
            return _operation(expr)
        case _:
            assert_never(expr)


def _number(const: Const) -> str:
    match const.dtype:
        case Dtype.INT | Dtype.SHORT:
            return str(int(const.value))
        case Dtype.BOOL:
            return str(bool(const.value))
        case Dtype.REAL:
            whole = const.value == int(const.value) if abs(const.value) < 1e15 else False
            return f"real({int(const.value) if whole else repr(float(const.value))})"
        case _:
            assert_never(const.dtype)


def _element(buffer: str, index: tuple[Expr, ...]) -> str:
    return f"{buffer}[{', '.join(_print(i) for i in index)}]"


def _operation(op: Op) -> tuple[str, int]:
    arguments = op.arguments
    match op.function:
        case "neg":
            return f"-{_print(arguments[0], _NEGATION - 1)}", _NEGATION
        case "where":
            condition, yes, no = (_print(a, _CONDITIONAL) for a in arguments)
            return f"{yes} if {condition} else {no}", _CONDITIONAL
        case function if function == WIDENED:
            return f"np.int64({_print(arguments[0])})", _ATOM
        case "min" | "max" if op.dtype is Dtype.INT:
            return f"{op.function}({_print(arguments[0])}, {_print(arguments[1])})", _ATOM
        case function if function in _SYMBOLS:
            symbol, level = _SYMBOLS[function]
            left_above = level if symbol in _CHAINING else level - 1
            left, right = _print(arguments[0], left_above), _print(arguments[1], level)
            return f"{left} {symbol} {right}", level
        case function:
            name = f"np.{function}" if function in _NUMPY else _EXTREMES.get(function, (function,))[0]
            return f"{name}({', '.join(_print(a) for a in arguments)})", _ATOM


TARGET = Target(
    name="cpu",
    doc="compiled for this machine's processor by Numba",
    print_program=print_program,
    binding=binding,
    vectors=True,
)
