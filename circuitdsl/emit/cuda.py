"""Loop programs as kernels for NVIDIA GPUs, and the same text for a processor: one printer, three surfaces.

A phase is a function of what one team of threads does in it; between two phases all threads meet. How a thread knows
its team, its place in it and the others is said in the head of a text, which is all that differs between surfaces:

- `cuda`: a thread of a GPU has its place from the hardware.
- `emulated`: the teams of a phase take their turns in loops, and so do the lanes of a team, in either order. It is
  compiled for a processor by Numba, or run as plain Python.
- `simulator`: threads of the simulator of numba-cuda, each of which is a team.

Numbers keep the precision of the run: constants stand in `float32(...)`. Whole numbers have 32 bits, but for those that
random numbers are made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from typing import Literal, assert_never

from circuitdsl.emit.comments import place
from circuitdsl.emit.entry import COPY, PARAMETERS
from circuitdsl.emit.kernel_heads import Surface, head
from circuitdsl.emit.kernel_text import Scribe, whole
from circuitdsl.emit.names import PYTHON, apart, bound, fresh
from circuitdsl.emit.target import DType, Fit, Target
from circuitdsl.emit.teams import FLAG, ROOM, Form, binding, form_of, formed
from circuitdsl.frozen import frozen, mutable
from circuitdsl.lower.functions import definitions, functions_of
from circuitdsl.lower.loop_ir import (
    Branch,
    Control,
    Define,
    Dtype,
    Fetch,
    Given,
    Loop,
    Phase,
    Program,
    Repeat,
    Statement,
    Sum,
    Var,
    names_of,
    own_names,
    phases,
    statements,
)
from circuitdsl.lower.rewrite import rename
from circuitdsl.lower.trim import names_in, phase_uses
from circuitdsl.noise import SCALE_NORMAL, SCALE_UNIFORM24, SCALE_UNIFORM53, scalar_source

#: What a function of a phase takes before anything else.
PLACE = ("_team", "_teams", "_width")
#: Shared memory within a phase.
HERE = "_here"
#: So many registers an entry point takes for addresses and for places in shared memory, from step to step. If it needs
#: more, addresses are read anew where a phase is called.
HELD = 36
#: So many parameters the function of a phase has at most, if it can be parted: what they are bound to is held in
#: registers until it is used last.
MOST_PARAMETERS = 16
#: Names of the text's own.
OWN = frozenset({*PARAMETERS, COPY, *PLACE, HERE, "_turn", "_at", "_own", "_threads"})

#: What a parameter of a phase's function is.
Kind = Literal["reals", "ints", "shorts", "bytes", "real", "int", "seed", "bool"]


@frozen(kw_only=True)
class Function:
    """The function of a phase: its name, what its parameters are, after its `PLACE`, and its lines."""

    name: str
    parameters: tuple[Kind, ...]
    text: str


@frozen(kw_only=True)
class Kernel:
    """A module with the entry point `program.name`, and the functions that it calls, which need no more than its
    `head`; `program` has the form's buffers and scalars."""

    text: str
    head: str
    program: Program
    functions: tuple[Function, ...]


def print_kernel(
    program: Program, dtype: DType, form: Form, surface: Surface, *, comments: bool = True, threads: int = 32,
    backwards: bool = False,
) -> Kernel:  # fmt: skip
    """A program in that form. `threads` and `backwards` are the emulated device's: how many there are, and whether the
    last comes first."""
    program = formed(program, form)
    first = head(surface, form.shape, dtype, threads=threads, backwards=backwards)
    helpers = _helpers(program, dtype)
    taken = {*PYTHON, *bound("\n".join([*first, *helpers])), *OWN, program.name}
    program = apart(program, taken)
    module = _Module(program, dtype, form, comments, taken | names_of(program))
    entry = module.entry()
    lines = [f'"""{program.title}, in {dtype}. Written by circuitdsl."""', ""] if comments else []
    lines += [f"# {form.shape}: {form.why}", ""] if comments and form.why else []
    lines += [*first, *helpers]
    for made in module.made.values():
        lines += ["", "", *made.lines]
    return Kernel(
        text="\n".join([*lines, "", "", *entry]) + "\n",
        head="\n".join([*first, *helpers]) + "\n",
        program=program,
        functions=tuple(made.function() for made in module.made.values()),
    )


def _helpers(program: Program, dtype: DType) -> list[str]:
    """The functions of numbers that the program uses."""
    used, scribe = functions_of(program), Scribe(dtype)
    lines: list[str] = []
    for definition in definitions(used):
        lines += _helper(definition.name, ", ".join(definition.parameters), scribe.text(definition.value))
    for function, name, sign in (("min", "least", "<"), ("max", "largest", ">")):
        if function in used:
            lines += _helper(name, "a, b", f"a if a {sign} b or a != a else b")
    if used & {"rand", "randn"}:
        lines += ["", "", *scalar_source("@helper").rstrip().split("\n")]
    draws = {
        "rand": ("uniform24", SCALE_UNIFORM24) if dtype == "float32" else ("uniform53", SCALE_UNIFORM53),
        "randn": ("normal28", SCALE_NORMAL),
    }
    for name, (bits, scale) in draws.items():
        if name in used:
            key = "seed, occurrence, epoch, index, tick, unit"
            lines += _helper(name, key, f"{dtype}({bits}({key})) * {dtype}({scale!r})")
    return lines


def _helper(name: str, parameters: str, value: str) -> list[str]:
    return ["", "", "@helper", f"def {name}({parameters}):", f"    return {value}"]


# ---------------------------------------------------------------- the module


@mutable
class _Made:
    """A phase's function that is written."""

    name: str
    parameters: tuple[Kind, ...]
    lines: list[str]

    def function(self) -> Function:
        return Function(name=self.name, parameters=self.parameters, text="\n".join(self.lines) + "\n")


@mutable
class _Module:
    """A program's functions as they are written. `made`: each by what it does; `far`: where the entry point finds the
    addresses that it does not hold."""

    program: Program
    dtype: DType
    form: Form
    comments: bool
    taken: set[str]
    made: dict[str, _Made] = field(default_factory=dict)
    kinds: dict[str, Kind] = field(init=False)
    teams: dict[str, str] = field(default_factory=dict)
    far: dict[str, str] = field(default_factory=dict)
    scribe: Scribe = field(init=False)

    def __post_init__(self) -> None:
        self.scribe = Scribe(self.dtype)
        self.kinds = {b.name: _array(b.dtype) for b in self.program.buffers}
        for scalar in self.program.scalars:
            self.kinds[scalar.name] = "seed" if scalar.given is Given.SEED else _number(scalar.dtype)

    def entry(self) -> list[str]:
        """The lines of the entry point: the copies of a call, one after the other or side by side."""
        program = self.program
        bound_to = binding(program)
        wholes = [(s.name, "{}" if s.given is Given.SEED else "int32({})") for s in bound_to.wholes]
        lines = ["@entry", f"def {program.name}({', '.join(PARAMETERS)}):"]
        lines += [f'    """{program.title}."""'] if self.comments else []
        lines += ["    _threads = threads()", f"    for {COPY} in range(first_copy(_begin), _end, copy_step()):"]
        lines += [f"        {n} = {how.format(_taken('_wholes', i, len(wholes)))}" for i, (n, how) in enumerate(wholes)]
        numbers = [s.name for s in bound_to.numbers]
        lines += [f"        {name} = {_taken('_numbers', i, len(numbers))}" for i, name in enumerate(numbers)]
        buffers, near = bound_to.buffers, {ROOM, FLAG, *_around(program.body)}
        places = {b.name: _taken(f"_{_array(b.dtype)}", i, len(buffers)) for i, b in enumerate(buffers)}
        held = 2 * len(buffers) + sum(isinstance(p, Define) and not isinstance(p.value, Var) for p in program.body)
        self.far = {n: where for n, where in places.items() if n not in near} if held > HELD else {}
        lines += [f"        {name} = {where}" for name, where in places.items() if name not in self.far]
        sizes = [s.name for s in bound_to.wholes]
        return [*lines, *self._widths(sizes, 2), *self._controls(program.body, 2)]

    def _widths(self, extents: Sequence[str], depth: int) -> list[str]:
        """How many threads a team has where there are that many rounds, for what loops run to."""
        over = {"1", *extents} if "1" not in self.teams else set(extents)
        lines = []
        for phase in phases(self.program.body):
            extent = _rounds(phase)
            if extent in over and extent not in self.teams and _is_wide(phase):
                self.teams[extent] = fresh(f"_wide_{extent}", self.taken)
                rounds = "int32(1)" if extent == "1" else extent
                lines.append(f"{'    ' * depth}{self.teams[extent]} = team_width({rounds}, _threads)")
        return lines

    # ------------------------------------------------------------ control

    def _controls(self, body: tuple[Control, ...], depth: int) -> list[str]:
        indent = "    " * depth
        lines: list[str] = []
        for part in body:
            match part:
                case Define():
                    lines.append(f"{indent}{part.name} = {self.scribe.text(part.value)}")
                    self.kinds[part.name] = _number(part.value.dtype)
                    lines += self._widths([part.name], depth)
                case Phase():
                    lines += self._phase(part, indent)
                case Repeat():
                    self.kinds[part.var] = "int"
                    lines += self._repeat(part, depth)
                case Branch():
                    lines.append(f"{indent}if {self.scribe.text(part.condition)}:")
                    lines += self._controls(part.body, depth + 1) or [f"{indent}    pass"]
                case Fetch():
                    pass
                case _:
                    assert_never(part)
        return lines

    def _repeat(self, part: Repeat, depth: int) -> list[str]:
        indent, var, extent = "    " * depth, part.var, self.scribe.extent(part.extent)
        if part.backward:
            start, test, step = f"int32({extent} - int32(1))", ">= int32(0)", "-"
        else:
            start, test, step = "int32(0)", f"< {extent}", "+"
        return [
            f"{indent}{var} = {start}",
            f"{indent}while {var} {test}:",
            *self._controls(part.body, depth + 1),
            f"{indent}    {var} = int32({var} {step} int32(1))",
        ]

    def _phase(self, phase: Phase, indent: str) -> list[str]:
        """The teams of a phase at work, and all threads together again."""
        wide = _is_wide(phase)
        width = self.teams[_rounds(phase)] if wide else "int32(1)"
        place = [f"team_at(_turn, {width})", f"int32(_threads // {width})", width]
        lines = [f"{indent}for _turn in range(turns({width})):"]
        for part in _parts(phase):
            name, free = self._function(part, wide)
            lines += _call(f"{indent}    ", name, [*place, *(self.far.get(each, each) for each in free)])
        met = f"barrier({FLAG})" if self.form.shape == "grid" else "barrier()"
        return [*lines, f"{indent}{met}"]

    def _function(self, phase: Phase, wide: bool) -> tuple[str, list[str]]:
        """The name of the function of a phase, or of a part of one, which is written if there was none like it, and the
        names that it takes. `wide`: whether its teams have several threads."""
        free = _free(phase)
        names = dict.fromkeys(n for n in phase_uses(phase) if n != "1")
        bare = {n: f"v{i}" for i, n in enumerate(names)}
        kinds = tuple(self.kinds[n] for n in free)
        plain = Scribe(self.dtype)
        key = "\n".join([str(kinds), *plain.phase(rename(phase.body, bare), wide=wide)])
        made = self.made.get(key)
        if made is None:
            name = fresh(phase.name, self.taken)
            self.taken.add(name)
            made = self.made[key] = _Made(name, kinds, self._written(phase, name, free, wide))
        elif self.comments:
            made.lines.insert(made.lines.index("@phase"), f"# also {phase.title}{place(phase.origin)}")
        return made.name, free

    def _written(self, phase: Phase, name: str, free: Sequence[str], wide: bool) -> list[str]:
        first = [f"# {phase.title}{place(phase.origin)}"] if self.comments else []
        body = rename(phase.body, {ROOM: HERE})
        lines = Scribe(self.dtype, comments=self.comments).phase(body, wide=wide)
        room = [f"    {HERE} = shared({ROOM})"] if ROOM in free else []
        return [*first, "@phase", *_signature(name, [*PLACE, *free]), *room, *lines, "    return int32(0)"]


def _free(phase: Phase) -> list[str]:
    """What a phase takes from outside."""
    own = own_names(phase.body)
    return [n for n in dict.fromkeys(phase_uses(phase)) if n not in own and n != "1"]


def _parts(phase: Phase) -> list[Phase]:
    """A phase as several, one after the other, that take no more than `MOST_PARAMETERS` each, where it can be parted.
    There is no barrier between them, as there was none: what a team reads of what the phase writes is its own."""
    if len(_free(phase)) <= MOST_PARAMETERS:
        return [phase]
    parts: list[Phase] = []
    last: Loop | None = None  # that the last piece is of
    for loop, piece in _pieces(phase):
        alone = replace(phase, body=piece)
        same = loop is not None and loop is last
        joined = replace(phase, body=_joined(parts[-1].body, piece, same)) if parts else alone
        if parts and len(_free(joined)) > MOST_PARAMETERS:
            parts.append(alone)
        else:
            parts[-1:] = [joined]
        last = loop
    return parts


def _pieces(phase: Phase) -> Iterator[tuple[Loop | None, tuple[Statement, ...]]]:
    """What a phase can be parted into: its loops over threads, and those again, whose rounds are independent, as
    threads share them. Each with the loop that it is of, if it is of one."""
    for together in _apart(phase, phase.body):
        match together:
            case (Loop(over="threads") as loop,):
                yield from ((loop, (replace(loop, body=body),)) for body in _apart(phase, loop.body))
            case _:
                yield None, together


def _apart(phase: Phase, body: tuple[Statement, ...]) -> list[tuple[Statement, ...]]:
    """Statements in groups, where what comes first leaves nothing to what follows but what it stores."""
    groups: list[tuple[Statement, ...]] = []
    own: set[str] = set()
    for at, statement in enumerate(body):
        if own.isdisjoint(_free(replace(phase, body=body[at:]))):
            groups.append((statement,))
        else:
            groups[-1] += (statement,)
        own |= own_names((statement,))
    return groups


def _joined(body: tuple[Statement, ...], piece: tuple[Statement, ...], same: bool) -> tuple[Statement, ...]:
    """Statements and some more, which may be of the last one's loop."""
    match body[-1], piece:
        case Loop() as last, (Loop() as more,) if same:
            return (*body[:-1], replace(last, body=(*last.body, *more.body)))
        case _:
            return (*body, *piece)


def _around(body: Sequence[Control]) -> set[str]:
    """The names that are read around phases."""
    found: set[str] = set()
    for part in body:
        match part:
            case Define():
                found |= names_in(part.value)
            case Branch():
                found |= names_in(part.condition) | _around(part.body)
            case Repeat():
                found |= _around(part.body)
            case Phase() | Fetch():
                pass
            case _:
                assert_never(part)
    return found


def _array(dtype: Dtype) -> Kind:
    kinds: dict[Dtype, Kind] = {Dtype.REAL: "reals", Dtype.INT: "ints", Dtype.SHORT: "shorts", Dtype.BOOL: "bytes"}
    return kinds[dtype]


def _number(dtype: Dtype) -> Kind:
    kinds: dict[Dtype, Kind] = {Dtype.REAL: "real", Dtype.INT: "int", Dtype.SHORT: "int", Dtype.BOOL: "bool"}
    return kinds[dtype]


def _is_wide(phase: Phase) -> bool:
    """Whether there is something for a team of several threads to share."""
    return any(isinstance(s, Sum) or (isinstance(s, Loop) and s.over == "lanes") for s in statements(phase.body))


def _rounds(phase: Phase) -> str:
    """The extent that says how many teams a phase can use: that of its first loop over threads."""
    loops = (s for s in statements(phase.body) if isinstance(s, Loop) and s.over == "threads")
    return next((whole(loop.extent) for loop in loops), "1")


def _taken(parameter: str, number: int, of: int) -> str:
    row = COPY if of == 1 else f"{COPY} * {of}"
    return f"{parameter}[{f'{row} + {number}' if number else row}]"


def _signature(name: str, parameters: Sequence[str]) -> list[str]:
    whole = f"def {name}({', '.join(parameters)}):"
    return [whole] if len(whole) <= 110 else [f"def {name}(", *_wrapped(parameters, "    "), "):"]


def _call(indent: str, name: str, arguments: Sequence[str]) -> list[str]:
    whole = f"{indent}{name}({', '.join(arguments)})"
    return [whole] if len(whole) <= 110 else [f"{indent}{name}(", *_wrapped(arguments, indent + "    "), f"{indent})"]


def _wrapped(items: Sequence[str], indent: str) -> list[str]:
    lines, line = [], indent
    for item in items:
        if len(line) + len(item) + 2 > 108 and line.strip():
            lines.append(line.rstrip())
            line = indent
        line += f"{item}, "
    return [*lines, line.rstrip()]


def print_program(program: Program, dtype: DType, *, comments: bool = True) -> str:
    """The kernel of one copy whose size is not known: a block of threads, and all of it in the GPU's memory."""
    return print_kernel(program, dtype, Form(shape="block"), "cuda", comments=comments).text


def print_fitted(program: Program, dtype: DType, fit: Fit) -> str:
    """The kernel of one copy in the shape that suits it."""
    return print_kernel(program, dtype, form_of(program, fit.sizes, 1), "cuda").text


TARGET = Target(
    name="cuda",
    doc="kernels for NVIDIA GPUs",
    print_program=print_program,
    binding=binding,
    teams=True,
    print_fitted=print_fitted,
)
