"""Drops numbers and buffers that nothing uses: flags of phases that no equation reads, and the like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import assert_never

from circuitdsl.lower.loop_ir import (
    Branch,
    Control,
    Define,
    Expr,
    Fetch,
    Load,
    Loop,
    Phase,
    Program,
    Repeat,
    Statement,
    Store,
    Sum,
    Var,
    expressions,
    statements,
    walk,
)


def trimmed(program: Program) -> Program:
    """The program without uniform numbers that are never read, and without buffers that are never touched."""
    used: set[str] = set()
    body = _without(program.body, used)
    return replace(program, body=body, buffers=tuple(b for b in program.buffers if b.name in used))


def uses(body: tuple[Control, ...]) -> set[str]:
    """The names of all variables, extents and buffers that are read or written (not merely defined)."""
    found: set[str] = set()
    for part in body:
        match part:
            case Define():
                found |= names_in(part.value)
            case Branch():
                found |= names_in(part.condition) | uses(part.body)
            case Repeat():
                found |= {part.extent} | uses(part.body)
            case Phase():
                found |= set(phase_uses(part))
            case Fetch():
                found |= fetch_uses(part)
            case _:
                assert_never(part)
    return found


def phase_uses(phase: Phase) -> Iterator[str]:
    """The names that a phase uses, its own variables among them, in the order of their use."""
    return statement_uses(phase.body)


def statement_uses(body: tuple[Statement, ...]) -> Iterator[str]:
    """The names that statements use, their own variables among them, in the order of their use."""
    for statement in statements(body):
        match statement:
            case Loop(extent=str() as extent) | Sum(extent=extent):
                yield extent
            case Store():
                yield statement.buffer
            case _:
                pass
        for expr in expressions(statement):
            yield from _names(expr)


def fetch_uses(part: Fetch) -> set[str]:
    """The names that it uses."""
    return {part.buffer}.union(*map(names_in, (*part.index, part.count)))


def _names(expr: Expr) -> Iterator[str]:
    for node in walk(expr):
        match node:
            case Load():
                yield node.buffer
            case Var():
                yield node.name
            case _:
                pass


def names_in(expr: Expr) -> set[str]:
    """The variables and buffers in an expression."""
    return set(_names(expr))


def _without(body: tuple[Control, ...], used: set[str]) -> tuple[Control, ...]:
    """From the end to the beginning, as numbers are defined before they are read; what is read on the way is added to
    `used`."""
    kept: list[Control] = []
    for part in reversed(body):
        match part:
            case Define():
                if part.name not in used:
                    continue
                used.discard(part.name)
                used |= names_in(part.value)
            case Branch() | Repeat():
                inner = _without(part.body, used)
                if not inner:
                    continue
                used |= {part.extent} if isinstance(part, Repeat) else names_in(part.condition)
                part = replace(part, body=inner)
            case Phase():
                if not part.body:
                    continue
                used |= set(phase_uses(part))
            case Fetch():
                used |= fetch_uses(part)
            case _:
                assert_never(part)
        kept.append(part)
    return tuple(reversed(kept))
