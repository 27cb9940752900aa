"""What circuits run on and are printed for: `BACK_ENDS`, which the command line, the API, certificates and sweeps read.

A new one is a file in emit/ (emit/target.py says what it holds) and a line in `BACK_ENDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, assert_never

from circuitdsl.diagnostics import did_you_mean
from circuitdsl.emit.target import DType, Target
from circuitdsl.frozen import frozen
from circuitdsl.runtime.cache import load_code
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.request import DEFAULT_TARGET

if TYPE_CHECKING:
    from circuitdsl.graph.ir import Circuit, Expr
    from circuitdsl.graph.machine import Engine
    from circuitdsl.lower.loop_ir import Program
    from circuitdsl.runtime.device import Device
    from circuitdsl.runtime.routine import Routine

#: What is asked of a back end.
Use = Literal["run", "print", "run many copies"]
#: (name, what prints it, program) -> its code, ready to be called.
Loader = Callable[[str, "Target", "Program"], "Routine"]


class Build(Protocol):
    """An engine for a circuit and what to measure, made `without` the passes of these names, for so many
    `threads` as may share it."""

    def __call__(
        self, circuit: Circuit, probes: Sequence[Expr], dtype: DType, without: Collection[str], threads: int
    ) -> Engine: ...


@frozen(kw_only=True)
class BackEnd:
    """`target`: what it prints, `load`: how that is made to run, `build`: its engines, `device`: where those keep what
    they compute with, if not on the host; each None, where there is none. An `interpreted` one holds the GIL."""

    name: str
    doc: str
    target: Target | None = None
    load: Loader | None = None
    build: Build | None = None
    device: Callable[[], Device] | None = None
    interpreted: bool = False

    def can(self, use: Use) -> bool:
        match use:
            case "run":
                return self.build is not None
            case "print":
                return self.target is not None
            case "run many copies":
                return self.load is not None and self.target is not None
            case _:
                assert_never(use)


def emitted(module: str, load: Loader | None = None) -> BackEnd:
    """The back end of a module of emit/; without `load` its text is only to be read."""
    target: Target = import_module(module).TARGET
    build = None if load is None else partial(_compiled, target=target.name)
    return BackEnd(name=target.name, doc=target.doc, target=target, load=load, build=build)


def on_device(module: str, device: Callable[[], Device]) -> BackEnd:
    """The back end of a module of emit/ whose kernels run on a device, which is sought when the first one is needed."""

    def load(name: str, target: Target, program: Program) -> Routine:
        from circuitdsl.runtime.device import OnDevice

        return OnDevice(name, target, program, device())

    return replace(emitted(module, load), device=device)


def _compiled(
    circuit: Circuit, probes: Sequence[Expr], dtype: DType, without: Collection[str], threads: int, *, target: str
) -> Engine:
    from circuitdsl.runtime.engine import Compiled

    return Compiled(circuit, probes, dtype, target=target, without=without, threads=threads)


def _interpreter(
    circuit: Circuit, probes: Sequence[Expr], dtype: DType, without: Collection[str], threads: int
) -> Engine:
    from circuitdsl.reference import Reference

    return Reference(circuit, probes, dtype)


def _gpu() -> Device:
    from circuitdsl.runtime.driver import the_gpu

    return the_gpu()


def _emulator() -> Device:
    from circuitdsl.runtime.emulator import the_emulator

    return the_emulator()


#: What is taken where nothing is said, and what follows a circuit tick by tick.
DEFAULT, INTERPRETER = DEFAULT_TARGET, "reference"

BACK_ENDS: tuple[BackEnd, ...] = (
    BackEnd(name=INTERPRETER, doc="the slow, obvious interpreter", build=_interpreter, interpreted=True),
    emitted("circuitdsl.emit.cpu", load_code),
    emitted("circuitdsl.emit.js"),
    on_device("circuitdsl.emit.cuda", _gpu),
    on_device("circuitdsl.emit.cuda_emulated", _emulator),
    emitted("circuitdsl.runtime.ptx"),
)


def names_of_back_ends() -> tuple[str, ...]:
    return tuple(b.name for b in BACK_ENDS)


def back_end(name: str, use: Use = "run") -> BackEnd:
    """The back end of that name. Raises UsageError with the way out if there is none, or none that can be used so."""
    found = next((b for b in BACK_ENDS if b.name == name), None)
    if found is None:
        hint = did_you_mean(name, names_of_back_ends())
        raise UsageError(f"there is no target `{name}`; {hint or 'targets are ' + ', '.join(names_of_back_ends())}")
    if found.can(use):
        return found
    way = ", ".join(f"`{b.name}`" for b in BACK_ENDS if b.can(use))
    raise UsageError(f"target `{name}` ({found.doc}) cannot {use}; use {way}")


def is_interpreted(name: str) -> bool:
    """Whether engines of that back end hold the GIL. Raises UsageError as `back_end`."""
    return back_end(name).interpreted


def make_engine(
    target: str, circuit: Circuit, probes: Sequence[Expr], dtype: DType, without: Collection[str] = (), threads: int = 1
) -> Engine:
    """An engine of one of the back ends, for a circuit and what to measure. `threads`: how many may share a large
    circuit, where the back end can. Raises UsageError as `back_end`."""
    build = back_end(target).build
    assert build is not None
    return build(circuit, probes, dtype, without, threads)


def printing(name: str) -> Target:
    """What a back end prints. Raises UsageError as `back_end`."""
    target = back_end(name, "print").target
    assert target is not None
    return target
