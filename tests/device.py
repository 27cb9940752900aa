"""Teams of threads on one processor: what a program for a GPU computes, whatever order its threads take.

A phase is taken apart into its threads. Each does all of the phase before the next one begins, so that one that reads
what another one writes gives other numbers in the other order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numba
from bench import Bench

from circuitdsl.emit.cpu import binding, print_program
from circuitdsl.lower.loop_ir import (
    Aim,
    Const,
    Define,
    Dtype,
    Expr,
    Loop,
    Op,
    Program,
    Row,
    Statement,
    Var,
    When,
    has_threads,
)
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.rewrite import with_phases
from circuitdsl.lower.schedule import lower_evaluation, lower_training
from circuitdsl.runtime.code import Kernel, Which
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.routine import Interpreted

Order = Literal["forward", "backward"]

_AT, _ONE = Var("_thread", Dtype.INT), Const(1, Dtype.INT)


def taken_apart(program: Program, threads: int, order: Order) -> Program:
    """The program with each phase done thread by thread, and the lanes of a loop in the same order; `threads` is at
    least every extent of a loop over threads. It is to be printed, and no more verified."""
    made = with_phases(program, lambda body: _by_threads(body, order))
    return replace(made, constants=(*program.constants, ("_threads", threads)))


def _by_threads(body: tuple[Statement, ...], order: Order) -> tuple[Statement, ...]:
    if not has_threads(body):
        return _of_thread(body, order)
    at = Define(name=_AT.name, value=_in_order("_turn", "_threads", order))
    return (Loop(var="_turn", extent="_threads", body=(at, *_of_thread(body, order))),)


def _in_order(turn: str, extent: str, order: Order) -> Expr:
    now = Var(turn, Dtype.INT)
    last = Op("sub", (Var(extent, Dtype.INT), _ONE), Dtype.INT)
    return now if order == "forward" else Op("sub", (last, now), Dtype.INT)


def _of_thread(body: tuple[Statement, ...], order: Order) -> tuple[Statement, ...]:
    return tuple(_one(s, order) for s in body)


def _one(s: Statement, order: Order) -> Statement:
    match s:
        case Loop(over="threads"):
            mine = Op("lt", (_AT, Var(s.extent, Dtype.INT)), Dtype.BOOL)
            return When(condition=mine, body=(Define(name=s.var, value=_AT), *_of_thread(s.body, order)))
        case Loop(over="lanes", extent=Row() as row):
            first, stop = row.bounds
            last = Op("sub", (Op("add", (first, stop), Dtype.INT), _ONE), Dtype.INT)
            turned = Op("sub", (last, Var("_lane", Dtype.INT)), Dtype.INT)
            at = Define(name=s.var, value=Var("_lane", Dtype.INT) if order == "forward" else turned)
            return replace(s, var="_lane", body=(at, *s.body))
        case Loop(over="lanes"):
            at = Define(name=s.var, value=_in_order("_lane", s.extent, order))
            return replace(s, var="_lane", body=(at, *s.body))
        case Loop() | When():
            return replace(s, body=_of_thread(s.body, order))
        case _:
            return s


# ---------------------------------------------------------------- as an engine


#: What a GPU is asked for, in a precision that shows what is wrong.
TEAMS = Aim(dtype="float64", teams=True)


@dataclass(frozen=True)
class Device:
    """How a program is made and run: `change` is the last word on what the passes leave."""

    order: Order = "forward"
    change: Callable[[Program], Program] = lambda program: program
    aim: Aim = TEAMS

    def engine(self, bench: Bench, *which: Which) -> Compiled:
        """An engine as plain Python for these programs and the probes of a bench."""
        found = Compiled(bench.circuit, bench.engine.probes, self.aim.dtype)
        places = [w.size for w in bench.state.weights.values() if w.ndim == 1]
        threads = max(bench.examples, *(p.size for p in bench.circuit.populations.values()), *places)
        found.population.code.kernels |= {name: self._kernel(found, name, threads) for name in which}
        return found

    def _kernel(self, engine: Compiled, which: Which, threads: int) -> Kernel:
        program = self.change(passed(self._lowered(engine, which)))
        apart = taken_apart(program, threads, self.order)
        entry = _plain(print_program(apart, self.aim.dtype))[program.name]
        return Kernel(program, binding(apart), Interpreted(entry))

    def _lowered(self, engine: Compiled, which: Which) -> Program:
        circuit = engine.circuit
        if which in ("evaluate", "watch"):
            return lower_evaluation(circuit, engine.probes, watched=which == "watch", aim=self.aim)
        return lower_training(circuit, online=which == "train_online", aim=self.aim)


def _plain(text: str) -> dict[str, Callable[..., None]]:
    """The names of a module that is run as plain Python."""
    before = numba.config.DISABLE_JIT
    numba.config.DISABLE_JIT = 1
    try:
        names: dict[str, Callable[..., None]] = {}
        exec(compile(text, "emitted", "exec"), names)  # as the runtime does with what it has on disk
    finally:
        numba.config.DISABLE_JIT = before
    return names
