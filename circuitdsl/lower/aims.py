"""What programs of a circuit are made for, which passes go by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from circuitdsl.graph.ir import Circuit
from circuitdsl.lower.blocks import units_at_once
from circuitdsl.lower.crew import suits_a_crew
from circuitdsl.lower.loop_ir import Aim, for_teams


def aimed(aim: Aim, circuit: Circuit, *, teams: bool, vectors: bool, registers: Callable[[], int] = lambda: 16) -> Aim:
    """The aim with what a back end's programs of a circuit can be, for `teams` of threads, or with loops that become
    `vectors`, of which the processor holds so many in registers."""
    if teams:
        return for_teams(aim.dtype)
    if not vectors:
        return replace(aim, vectors=False, blocks=0, sizes=())
    return replace(
        aim,
        vectors=True,
        blocks=units_at_once(circuit, registers),
        sizes=sizes_of(circuit),
        crew=aim.alone and suits_a_crew(circuit),
    )


def sizes_of(circuit: Circuit) -> tuple[tuple[str, int], ...]:
    """How many units each population has, as `Aim.sizes`."""
    return tuple((name, circuit.values[name].size) for name in sorted(circuit.populations))
