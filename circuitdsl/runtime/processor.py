"""What programs are made for on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitdsl.lower.aims import aimed
from circuitdsl.runtime.objects import host

if TYPE_CHECKING:
    from circuitdsl.emit.target import Target
    from circuitdsl.graph.ir import Circuit
    from circuitdsl.lower.loop_ir import Aim

#: Vectors that an x86 processor without AVX-512 holds, and one with it, or one of another kind.
FEW, MANY = 16, 32


def aimed_at(target: Target, aim: Aim, circuit: Circuit) -> Aim:
    """The aim with what a back end's programs of a circuit can be, on this machine's processor."""
    return aimed(aim, circuit, teams=target.teams, vectors=target.vectors, registers=vector_registers)


def vector_registers() -> int:
    """How many vectors this processor holds; FEW where nothing can be compiled for it."""
    try:
        triple, _, features = host()
    except ModuleNotFoundError:
        return FEW
    return FEW if triple.startswith("x86_64") and "+avx512vl" not in features.split(",") else MANY
