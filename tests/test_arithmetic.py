"""Polynomials of units against the equations that they were made of: equal in numbers, however they were rewritten."""

from __future__ import annotations

import numpy as np
import pytest
from derivation_texts import kp

from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.words import column, ones, times
from circuitdsl.derive.read.environment import Environment
from circuitdsl.derive.read.numeric import instantiate
from circuitdsl.derive.read.symbols import symbols_of
from circuitdsl.graph.functions import elementwise
from circuitdsl.graph.ir import Apply, Expr, Num, Read
from circuitdsl.graph.resolve import load_text

Z = np.random.default_rng(0).normal(size=(40, 6)) * 1.5
RATES = (
    "basal * sigmoid(basal)", "relu(basal)", "1 / (1 + exp(-basal))", "tanh(min(basal, 0))", "basal * tanh(2 * basal)",
)  # fmt: skip


def equation(rng: np.random.Generator, depth: int) -> str:
    """A random equation of a dendrite and of the rate that it makes."""
    leaves = ("h.basal", "h.basal", "h", "0", "1", "0.5", "-1")
    if depth == 0:
        return leaves[rng.integers(len(leaves))]
    inner = [equation(rng, depth - 1 - int(rng.integers(2)) * (depth > 1)) for _ in range(3)]
    forms = (
        "({0} + {1})", "({0} - {1})", "({0} * {1})", "({0} * {1})", "-{0}", "max({0}, {1})", "min({0}, {1})",
        "relu({0})", "step({0})", "abs({0})", "exp({0})", "exp(-{0})", "sigmoid({0})", "tanh({0})", "softplus({0})",
        "1 / (1 + exp({0}))", "where({0} > 0, {1}, {2})", "clip({0}, -1, 0.5)", "{0} * sigmoid({0})", "({0} > {1})",
    )  # fmt: skip
    return forms[rng.integers(len(forms))].format(*inner)


def direct(expr: Expr, rate: np.ndarray) -> np.ndarray:
    match expr:
        case Num(value=value):
            return np.full(Z.shape, value)
        case Read(value=name):
            return Z if name == "h.basal" else rate
        case Apply(function=function, arguments=arguments):
            return np.asarray(elementwise(function, [direct(a, rate) for a in arguments]), dtype=float)
        case _:
            raise AssertionError(expr)


@pytest.mark.parametrize("seed", range(40))
def test_rewriting_changes_no_number(seed: int) -> None:
    rng = np.random.default_rng(seed)
    compared = 0
    for _ in range(4):
        rate, slope = RATES[seed % len(RATES)], equation(rng, 3)
        circuit = load_text(kp(rate=rate, extra=f"neuron g: 6 {{ rate = {slope} }}")).circuit
        if circuit is None:  # it is a constant
            continue
        h, g = circuit.values["h"].expr, circuit.values["g"].expr
        assert h is not None
        assert g is not None
        symbols = symbols_of(circuit)
        with np.errstate(all="ignore"):
            signals = {"h.basal": Z, "h": direct(h, Z)}
            wanted = direct(g, signals["h"])
            try:
                poly = symbols.opened.of(g, 6)
            except NotLinear:
                continue
            env = Environment(symbols, {**signals, "g": wanted}, {})  # g where it is one function, by that name
            found = np.broadcast_to(instantiate(times(poly, column(ones(6))), env), Z.shape)
        fine = np.isfinite(wanted) & np.isfinite(found) & (np.abs(wanted) < 1e6)
        assert np.allclose(found[fine], wanted[fine], rtol=1e-6, atol=1e-6), (rate, slope)
        compared += fine.any()
    assert compared
