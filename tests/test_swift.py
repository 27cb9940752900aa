"""The functions that stand in for a library's: within rounding, and right at the ends."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit

from circuitdsl.emit.swift import quick_forms
from circuitdsl.emit.target import DType
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.functions import functions_in
from circuitdsl.lower.loop_ir import Aim, Loop, Program, phases
from circuitdsl.lower.pipeline import passed, stages
from circuitdsl.lower.schedule import lower_training
from circuitdsl.lower.swift import SWIFT

#: Units of the last place.
NEAR = 3


def program(rate: str = "tanh(basal) + expm1(basal) + sigmoid(basal)", aim: Aim | None = None) -> Program:
    text = f"""circuit c {{ input x: 2   target y: 2   neuron h: 2 {{ dendrite basal   rate = {rate} }}
      synapse W: x -> h {{ dw = 0.1 * post * pre }}   loss = mse(h, y) }}"""
    circuit = load_text(text, "c").circuit
    assert circuit is not None
    return passed(lower_training(circuit, online=True), aim or Aim(vectors=True))


@pytest.fixture(scope="module", params=["float32", "float64"])
def functions(request: pytest.FixtureRequest) -> tuple[type, dict[str, Callable[[Any], Any]]]:
    """The type of numbers, and by the name that each has in the language a function of arrays of them."""
    dtype: DType = request.param
    space: dict[str, Any] = {"np": np, "njit": njit, "real": getattr(np, dtype)}
    exec("\n".join(quick_forms(program(), dtype, "cache=False")), space)
    exec("\n".join(f"""
@njit
def all_{name}(x):
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = {swift}(x[i])
    return out
""" for name, swift in SWIFT.items()), space)  # fmt: skip
    return space["real"], {name: space[f"all_{name}"] for name in SWIFT}


def points(real: type) -> Any:
    ends = 104 if real is np.float32 else 746
    steps = [np.linspace(-ends, ends, 40_001), np.linspace(-2, 2, 40_001), np.geomspace(1e-30, 1, 2_001)]
    return np.concatenate([*steps, -steps[-1]]).astype(real)


@pytest.mark.parametrize("name", sorted(SWIFT))
def test_they_are_within_rounding(name: str, functions: tuple[type, dict[str, Callable[[Any], Any]]]) -> None:
    real, made = functions
    x = points(real)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exact = getattr(np, name)(x.astype(np.longdouble))
        want = exact.astype(real)
    found = made[name](x)
    finite = np.isfinite(want)
    np.testing.assert_array_equal(np.isfinite(found), finite)
    off = np.abs(found[finite].astype(np.longdouble) - exact[finite]) / np.spacing(np.abs(want[finite]))
    assert off.max() < NEAR, (x[finite][off.argmax()], off.max())


@pytest.mark.parametrize(
    ("name", "ends"), [("exp", [0.0, 1.0, np.inf]), ("expm1", [-1.0, 0.0, np.inf]), ("tanh", [-1.0, 0.0, 1.0])]
)
def test_they_are_right_at_the_ends(
    name: str, ends: list[float], functions: tuple[type, dict[str, Callable[[Any], Any]]]
) -> None:
    real, made = functions
    for far in (np.inf, np.finfo(real).max):
        np.testing.assert_array_equal(made[name](np.array([-far, 0, far], real)), np.array(ends, real))
    assert np.isnan(made[name](np.array([np.nan], real)))[0]


def test_formulas_are_made_of_them_and_only_programs_for_vectors_have_them() -> None:
    assert dict(program().stand_ins) == {swift: name for name, swift in SWIFT.items()}
    assert not program(aim=Aim()).stand_ins
    assert not program("relu(basal)").stand_ins
    from circuitdsl.emit.cpu import print_program

    text = print_program(program("elu(basal) + sigmoid(basal)"), "float32")
    assert "np.exp" not in text
    assert "real(1) / (real(1) + swift_exp(-x))" in text


def test_what_comes_after_a_row_has_a_loop_of_its_own() -> None:
    """But where the row is gone through again: that it is read once counts for more."""
    layers = """circuit c {
      input x: 5   target y: 3
      neuron h: 4 { dendrite d, apical   rate = tanh(d) }
      neuron out: 3 { dendrite d   rate = tanh(d) }
      neuron err: 3 { rate = y - out }
      synapse A: x -> h.d { dw = 0.1 * post.apical * pre }
      synapse B: h -> out.d { dw = 0.1 * err * pre }
      synapse V: err -> h.apical { dw = 0.1 * post * pre }
      loss = mse(out, y)
    }"""
    graph = load_text(layers, "c").circuit
    assert graph is not None
    lowered = lower_training(graph, online=True)

    def loops(*without: str) -> dict[str, int]:
        program = dict(stages(lowered, Aim(vectors=True), without=without))["swift"]
        made = {p.title.partition(":")[0]: p.body for p in phases(program.body) if "swift_tanh" in functions_in(p.body)}
        return {name: sum(isinstance(s, Loop) for s in body) for name, body in made.items()}

    assert loops() == {"A": 2, "B": 2}
    assert loops("defer") == {"h.d": 2, "out.d": 1}
