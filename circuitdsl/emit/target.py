"""What a back end is as far as text goes: a module of this folder that holds one as `TARGET`.

It prints any loop program that lower/verify.py takes. runtime/backends.py lists it, and says how its text is made to
run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol

from circuitdsl.frozen import frozen

if TYPE_CHECKING:
    from circuitdsl.emit.entry import Binding
    from circuitdsl.lower.loop_ir import Program

DType = Literal["float32", "float64"]


@frozen(kw_only=True)
class Fit:
    """What a kernel is to fit: the bytes of each buffer that a copy has of its own, and the GPU's architecture."""

    sizes: Mapping[str, int]
    arch: str


class Printer(Protocol):
    """A loop program as source text."""

    def __call__(self, program: Program, dtype: DType, *, comments: bool = True) -> str: ...


@frozen(kw_only=True)
class Target:
    """One back end's text; `doc` says in words what it is. `print_program` gives what the runtime compiles: a module
    with one entry point (emit/entry.py), which is called with what `binding` says; None: it is only to be read.
    `teams`: it takes programs that are made for teams of threads; `vectors`: its loops become vector instructions;
    `print_fitted`: prints what depends on how large a circuit is, and on the machine."""

    name: str
    doc: str
    print_program: Printer
    binding: Callable[[Program], Binding] | None = None
    teams: bool = False
    vectors: bool = False
    print_fitted: Callable[[Program, DType, Fit], str] | None = None
