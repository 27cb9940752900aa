"""The text of kernels, for a processor: the teams of a phase take turns (emit/cuda.py)."""

from __future__ import annotations

from dataclasses import replace

from circuitdsl.emit import cuda
from circuitdsl.emit.target import DType
from circuitdsl.emit.teams import Form
from circuitdsl.lower.loop_ir import Program


def print_program(program: Program, dtype: DType, *, comments: bool = True) -> str:
    """The kernel of one copy whose size is not known, as `cuda.print_program`."""
    return cuda.print_kernel(program, dtype, Form(shape="block"), "emulated", comments=comments).text


TARGET = replace(
    cuda.TARGET,
    name="cuda-emulated",
    doc="the threads of a GPU, one after the other on this machine's processor",
    print_program=print_program,
    print_fitted=None,
)
