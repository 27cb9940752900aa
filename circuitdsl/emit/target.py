"""The back ends, by the name that `--target` takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from circuitdsl.diagnostics import did_you_mean

if TYPE_CHECKING:
    from circuitdsl.lower.loop_ir import Program, Scalar

DType = Literal["float32", "float64"]


class Printer(Protocol):
    """A loop program as the source text of a module with one entry point, which is called as the program."""

    def __call__(self, program: Program, dtype: DType, *, comments: bool = True) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One back end. `print_program` gives what the runtime compiles, whose entry point takes the scalars
    `arguments` and then the program's buffers. `print_copies` adds the driver of many copies (emit/copies.py); None:
    this back end has none."""

    name: str
    title: str
    print_program: Printer
    arguments: Callable[[Program], tuple[Scalar, ...]]
    print_copies: Printer | None = None


class UnavailableTarget(Exception):
    """There is no such back end, or not yet; the text says which."""


#: Back ends that are planned: their names are taken.
PLANNED = {
    "cuda": "kernels for NVIDIA GPUs",
    "cuda-emulated": "the phases of a GPU's threads, as loops on the CPU",
    "ptx": "PTX assembly for a given GPU",
}


def find_target(name: str) -> Target:
    """The back end of that name. Raises UnavailableTarget with the way out."""
    from circuitdsl.emit.cpu import CPU

    targets = {CPU.name: CPU}
    if name in targets:
        return targets[name]
    if name in PLANNED:
        raise UnavailableTarget(f"target `{name}` ({PLANNED[name]}) is not yet available; use `cpu`")
    hint = did_you_mean(name, [*targets, "reference", *PLANNED]) or f"targets are {', '.join(targets)}"
    raise UnavailableTarget(f"there is no target `{name}`; {hint}")
