"""The emitted Numba source: readable, the same every time, without literals that are no business of code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from agreement import generated, odd
from bench import library

from circuitdsl.api import Emission, load
from circuitdsl.emit.cpu import print_program
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_all

KP = "heterosynaptic/kolen_pollack.circ"


def sources(circuit: Circuit, dtype: str = "float32", *, comments: bool = True) -> list[str]:
    return [print_program(passed(p), dtype, comments=comments) for p in lower_all(circuit)]


@pytest.mark.parametrize("seed", range(20))
def test_source_is_python_and_the_same_every_time(seed: int) -> None:
    texts = sources(generated(seed))
    for text in texts:
        ast.parse(text)
    assert texts == sources(generated(seed))


def test_statements_carry_their_line_and_entity() -> None:
    circuit = library(KP)
    line = circuit.synapses["W2"].dw_span.line
    online = sources(circuit)[0]
    assert f"# W2.dw (kolen_pollack.circ:{line})" in online
    assert "h.basal: dendrite" in online
    assert str(Path(__file__).resolve().parents[1]) not in online


def test_layout_and_comments_of_the_circuit_do_not_change_the_code() -> None:
    text = Path(library(KP).span.source.name).read_text()
    moved = load_text("\n\n# moved\n" + text, "other").circuit
    assert moved is not None
    assert sources(library(KP), comments=False) == sources(moved, comments=False)
    assert sources(library(KP)) != sources(moved)


def test_sizes_and_params_are_arguments() -> None:
    """No size in the code: the same source serves circuits of other sizes and params."""
    template = Path(library(KP).span.source.name).read_text()
    other = load_text(template.replace("64", "48").replace("0.1", "0.3"), "kolen_pollack.circ").circuit
    assert other is not None
    assert sources(library(KP), comments=False) == sources(other, comments=False)


def test_sizes_that_happen_to_be_equal_do_not_change_the_code() -> None:
    template = Path(library(KP).span.source.name).read_text()
    other = load_text(template.replace("neuron h: 64", "neuron h: 10"), "kolen_pollack.circ").circuit
    assert other is not None
    assert sources(library(KP), comments=False) == sources(other, comments=False)


@pytest.mark.parametrize("seed", range(30))
def test_every_real_number_has_the_precision_of_the_run(seed: int) -> None:
    """A bare 0.5 would make a float32 program compute in float64."""
    for text in sources(generated(seed)):
        tree = ast.parse(text)
        wrapped = {id(a) for n in ast.walk(tree) if isinstance(n, ast.Call) for a in n.args if named(n.func) == "real"}
        negative = {id(n.operand) for n in ast.walk(tree) if isinstance(n, ast.UnaryOp) and id(n) in wrapped}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, float):
                assert id(node) in wrapped | negative, ast.unparse(node)


def named(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else ""


@pytest.mark.parametrize("seed", range(30))
def test_only_loops_over_elements(seed: int) -> None:
    """No arrays are made or combined, and NumPy serves for functions of single numbers only. The table of loops over
    calls is there before anything runs."""
    scalar = {"exp", "log", "sqrt", "tanh", "log1p", "float32", "float64"}
    for text in sources(generated(seed)):
        module = ast.parse(text)
        tables = [n for n in module.body if isinstance(n, ast.Assign) and "_table" in ast.unparse(n)]
        module.body = [n for n in module.body if n not in tables]
        for node in ast.walk(module):
            if isinstance(node, ast.Attribute) and named(node.value) == "np":
                assert node.attr in scalar
            assert not isinstance(node, ast.Slice | ast.MatMult | ast.ListComp)


def test_layers_that_are_alike_share_their_functions() -> None:
    """Compile time must not grow with depth; long programs are cut into shorter phases (lower/long.py)."""
    three, six, twelve, forty = (
        [text.count("@kernel") for text in sources(library("heterosynaptic/self_assembly.circ", depth=n))]
        for n in (3, 6, 12, 40)
    )
    assert three == six
    assert twelve == forty


def test_odd_names_are_safe() -> None:
    """That the code does the same as the reference is seen with the generated circuits (test_engine.py)."""
    for text in sources(odd()):
        ast.parse(text)


def test_what_emit_shows_is_all_of_it() -> None:
    source = Emission(circuit=load(KP), dtype="float64").source()
    assert "real = np.float64" in source
    for entry in ("def train_online(", "def train(", "def evaluate("):
        assert entry in source
    assert source != Emission(circuit=load(KP), dtype="float64", without=["fuse"]).source()
