"""Fewer barriers and fewer passes: neighbouring phases become one where no thread needs what another writes.

Two phases are joined if all that they both touch, and one of them writes, belongs to the same thread in both.
Loops that then stand side by side over the same extent are joined by the same rule, with their rounds in
place of threads: a dendrite and the rate that it makes end up in one loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import assert_never

from circuitdsl.lower.loop_ir import (
    Branch,
    Control,
    Define,
    Expr,
    Load,
    Loop,
    Phase,
    Program,
    Repeat,
    Role,
    Statement,
    Store,
    Var,
    expressions,
    rename,
    statements,
    walk,
)


def fuse(program: Program) -> Program:
    """The program with fewer phases and loops."""
    private = frozenset(b.name for b in program.buffers if b.role is Role.ROW)
    return replace(program, body=_controls(program.body, private))


def _controls(body: Sequence[Control], private: frozenset[str]) -> tuple[Control, ...]:
    result: list[Control] = []
    for part in body:
        last = result[-1] if result else None
        match part:
            case Repeat() | Branch():
                result.append(replace(part, body=_controls(part.body, private)))
            case Phase():
                joined = _joined(last, part, private) if isinstance(last, Phase) else None
                if joined is not None:
                    result[-1] = joined
                else:
                    result.append(part)
            case Define():
                result.append(part)
            case _:
                assert_never(part)
    return tuple(result)


def _joined(a: Phase, b: Phase, private: frozenset[str]) -> Phase | None:
    """One phase that does both, if threads allow and it saves a loop."""
    body = _apart(b.body, {s.name for s in statements(a.body) if isinstance(s, Define)})
    if len(a.body) != 1 or len(body) != 1:
        return None
    merged = _merged(a.body[0], body[0], private)
    if merged is None:
        return None
    return replace(a, title=f"{a.title}; {b.title}", body=(merged,))


def _apart(body: tuple[Statement, ...], taken: set[str]) -> tuple[Statement, ...]:
    """The statements with their numbers renamed where `taken` has the name."""
    own = {s.name for s in statements(body) if isinstance(s, Define)}
    names: dict[str, str] = {}
    for name in sorted(own & taken):
        base, count = name.rstrip("0123456789"), 2
        while f"{base}{count}" in own | taken | set(names.values()):
            count += 1
        names[name] = f"{base}{count}"
    return rename(body, names)


def _merged(a: Statement, b: Statement, private: frozenset[str]) -> Loop | None:
    """One loop for two, if they are alike and no round needs what another one writes."""
    if not isinstance(a, Loop) or not isinstance(b, Loop):
        return None
    if (a.var, a.extent, a.threads) != (b.var, b.extent, b.threads):
        return None
    if not _independent((a, b), private):
        return None
    if len(a.body) == 1 and len(b.body) == 1:
        inner = _merged(a.body[0], b.body[0], private)
        if inner is not None:
            return replace(a, body=(inner,))
        if not a.threads:
            return None
    return replace(a, body=(*a.body, *b.body)) if a.threads else None


def _independent(loops: tuple[Loop, Loop], private: frozenset[str]) -> bool:
    """Whether whatever is written is only touched by the round of the loop that it belongs to. Rows that
    are `private` to a thread are no matter between rounds of a thread loop: they are set before they are read."""
    own = private if loops[0].threads else frozenset()
    accesses = [access for loop in loops for access in _accesses(loop.body, loops[0].var)]
    for buffer in {name for name, write, _ in accesses if write} - own:
        axes = {axis for name, _, axis in accesses if name == buffer}
        if len(axes) > 1 or -1 in axes:
            return False
    return True


def _accesses(body: tuple[Statement, ...], var: str) -> Iterator[tuple[str, bool, int]]:
    """(buffer, whether it is written, the axis along which `var` indexes it or -1)."""
    for statement in statements(body):
        for expr in expressions(statement):
            for node in walk(expr):
                if isinstance(node, Load):
                    yield node.buffer, False, _axis(node.index, var)
        if isinstance(statement, Store):
            yield statement.buffer, True, _axis(statement.index, var)


def _axis(index: tuple[Expr, ...], var: str) -> int:
    return next((n for n, e in enumerate(index) if isinstance(e, Var) and e.name == var), -1)
