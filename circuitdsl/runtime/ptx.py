"""The assembly of kernels for a GPU, with what each takes of it: to be read, not to be run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitdsl.emit.cuda import print_kernel
from circuitdsl.emit.target import DType, Fit, Target
from circuitdsl.emit.teams import Form, form_of
from circuitdsl.lower.loop_ir import Program

if TYPE_CHECKING:
    from circuitdsl.runtime.cubin import Cubin

#: The architecture where none is named.
ARCH = "sm_90"


def print_program(program: Program, dtype: DType, *, comments: bool = True) -> str:
    """The kernel of one copy whose size is not known. Raises as `made_for`."""
    return _assembly(program, dtype, Form(shape="block"), ARCH)


def print_fitted(program: Program, dtype: DType, fit: Fit) -> str:
    """The kernel of one copy in the shape that suits it. Raises as `made_for`."""
    return _assembly(program, dtype, form_of(program, fit.sizes, 1), fit.arch)


def _assembly(program: Program, dtype: DType, form: Form, arch: str) -> str:
    from circuitdsl.runtime.cubin import made_for

    kernel = print_kernel(program, dtype, form, "cuda", comments=False)
    made = made_for(arch, program.name, kernel, form.shape)
    return "\n".join([f"// {program.title}, in {dtype}", f"// {form.shape}: {form.why}", *_facts(made, form), made.ptx])


def _facts(made: Cubin, form: Form) -> list[str]:
    from circuitdsl.runtime.occupancy import occupancy

    took = made.facts
    spills = f"{took.spills} bytes of spills, {took.stack} of stack"
    doubles = "computes in 64 bits" if took.doubles else "no .f64"
    return [
        f"// {made.arch}: {took.registers} registers a thread, {spills}, {doubles}, {len(made.code):,} bytes of code",
        f"// {form.held:,} bytes of shared memory to a block; {occupancy(made.arch, took.registers, form.held)}",
    ]


TARGET = Target(
    name="ptx",
    doc="PTX assembly for a given GPU",
    print_program=print_program,
    teams=True,
    print_fitted=print_fitted,
)
