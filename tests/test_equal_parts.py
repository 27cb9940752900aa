"""Equal parts of a circuit are compiled once: code has as many functions and calls as there are different parts.

Statements are counted, not seconds. The table of the loops over calls is data, and grows with the circuit.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest
from agreement import worst
from equal_parts import KINDS, beside, layers, one_loop, synapses
from test_engine import as_plain_python

from circuitdsl.emit.calls import Call, Given, Rounds, Table
from circuitdsl.emit.cpu import print_program
from circuitdsl.graph.ir import Circuit
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_all

#: Not so few that parts are left as they are.
SIZES: dict[Callable[[int], Circuit], tuple[int, int]] = {layers: (24, 40), one_loop: (600, 680), synapses: (480, 560)}


def statements(circuit: Circuit) -> list[tuple[int, int]]:
    """Of each program the number of functions and that of all statements."""
    texts = (print_program(passed(program), "float32", comments=False) for program in lower_all(circuit))
    every = ([node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt)] for text in texts)
    return [(sum(isinstance(n, ast.FunctionDef) for n in nodes), len(nodes)) for nodes in every]


@pytest.mark.parametrize("circuit", KINDS)
def test_code_is_as_long_as_parts_are_different(circuit: Callable[[int], Circuit]) -> None:
    """What is left over where parts become phases by fours is a function more."""
    for few, many in zip(*(statements(circuit(n)) for n in SIZES.get(circuit, (104, 164))), strict=True):
        assert many[0] <= few[0] + 1 < 24
        assert many[1] < few[1] + 30


def test_code_in_loops_computes_what_the_reference_does() -> None:
    assert as_plain_python("equal-parts") == []


def test_compiled_code_in_loops_too() -> None:
    error, place = worst(beside(34), dtype="float64", updates=4, batch=1, watching=False)
    assert error < 1e-9, place


def test_a_loop_is_made_where_calls_differ_in_what_is_held() -> None:
    """Not where a number of the program itself differs, nor where an address stands for a number."""
    given = {f"a{k}": Given("_reals", "_copy", k) for k in range(9)} | {"n": Given("_wholes", "_copy", 9)}

    def made(*arguments: tuple[str, ...]) -> list[Call | Rounds]:
        return list(Table(given).rounds([Call("f", each) for each in arguments]))

    (loop,) = made(("a0", "n"), ("a1", "n"), ("a2", "n"), ("a3", "n"))
    assert loop == Rounds((("f", (0, "n")),), 4, 0, 1, (given["a0"],))
    assert len(made(("a0",), ("a1",), ("a2",))) == 3
    assert len(made(("a0", "s"), ("a1", "s2"), ("a2", "s3"), ("a3", "s4"))) == 4
    assert len(made(("a0",), ("a1",), ("n",), ("a3",))) == 4


def test_what_repeats_may_be_several_calls() -> None:
    given = {f"a{k}": Given("_reals", "_copy", k) for k in range(8)}
    calls = [Call("fg"[k % 2], (f"a{k // 2}",)) for k in range(8)]
    table = Table(given)
    first, loop, last = table.rounds([Call("h", ("a0",)), *calls, Call("h", ("a1",))])
    assert isinstance(first, Call)
    assert isinstance(loop, Rounds)
    assert isinstance(last, Call)
    assert loop.calls == (("f", (0,)), ("g", (0,)))
    assert (loop.count, table.places) == (4, [0, 1, 2, 3])
