"""The flow of <W, -grad> is conserved: each equation that is stated, against the gradient of the product's own
reference and against central differences of the loss."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from problems import ORDER, Array, Problem, load, problem

from circuitdsl.derive.algebra.constants import Constants
from circuitdsl.derive.algebra.linear import Elimination, TooLarge, combined
from circuitdsl.derive.prove.conservation import Flow, Synaptic, flows_of
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.reference import Reference
from circuitdsl.twin.gradient import twin

CHAIN = (
    "synapse W1: x -> h.basal { dw = pre }  synapse W2: h -> g.basal { dw = pre }  synapse W3: g -> out { dw = pre }"
)
BIASES = "synapse b: bias -> h.basal { init = normal(0, 0.5) dw = pre }"


def circuit(
    h: str = "dendrite basal rate = relu(basal)", g: str = "dendrite basal rate = relu(basal)", wiring: str = CHAIN,
    more: str = "", out: str = "softmax(basal)", loss: str = "cross_entropy(out, y)",
) -> str:  # fmt: skip
    return f"""
circuit c {{
  param one = 1
  input x: 5   target y: 3
  neuron h: 8 {{ {h} }}
  neuron g: 8 {{ {g} }}
  neuron out: 3 {{ dendrite basal   rate = {out} }}
  {wiring}
  {more}
  loss = {loss}
}}"""


def rated(rate: str) -> str:
    return circuit(h=f"dendrite basal rate = {rate}", g=f"dendrite basal rate = {rate}")


TWO = "dendrite basal, apical   rate = {}"
INTO_TWO = CHAIN + " synapse A: x -> h.apical { dw = pre }"
GATED = "synapse W1: x -> h.basal { dw = pre } synapse Wg: x -> g.basal { dw = pre } synapse W3: h -> out { dw = pre }"
PARALLEL = (
    "synapse W1: x -> h.basal { dw = pre } synapse W2: x -> g.basal { dw = pre } synapse W3: g -> out { dw = pre }"
)

#: By name: a circuit, and the equations between flows of synapses that follow (the sums of what is on either side).
ARCHITECTURES: dict[str, tuple[str, list[str]]] = {
    "linear": (rated("basal"), ["W1 = W2", "W2 = W3"]),
    "relu": (rated("relu(basal)"), ["W1 = W2", "W2 = W3"]),
    "leaky": (rated("max(basal, 0.2 * basal)"), ["W1 = W2", "W2 = W3"]),
    "leaky, written by cases": (rated("where(basal > 0, basal, 0.1 * basal)"), ["W1 = W2", "W2 = W3"]),
    "abs": (rated("abs(basal)"), ["W1 = W2", "W2 = W3"]),
    "kwta": (rated("kwta(basal, 3)"), ["W1 = W2", "W2 = W3"]),
    "square": (rated("square(basal)"), ["W1 = W2 + W2", "W2 = W3 + W3"]),
    "cube": (rated("basal ^ 3"), ["W1 = W2 + W2 + W2", "W2 = W3 + W3 + W3"]),
    "root": (rated("sqrt(relu(basal))"), ["W1 + W1 = W2", "W2 + W2 = W3"]),
    "a step at another threshold": (rated("basal * step(basal - 1)"), ["W1 = W2", "W2 = W3"]),
    "tanh": (rated("tanh(basal)"), []),
    "softplus": (rated("softplus(basal)"), []),
    "an additive number": (rated("relu(basal + 1)"), []),
    "an additive param": (rated("relu(basal) - one"), []),
    "an additive input": (circuit(h="dendrite basal rate = relu(basal) + mean(x)".replace("mean(x)", "m"),
                                  more="modulator m = mean(x)"), ["W2 = W3"]),
    "softmax": (rated("softmax(basal)"), []),
    "bias": (circuit(more=BIASES), ["W1 + b = W2", "W2 = W3"]),
    "a bias in the dendrite": (circuit(h="dendrite basal rate = relu(basal)", more=BIASES.replace("-> h", "-> g")),
                               ["W1 = W2", "W2 + b = W3"]),
    "a sigmoid below the top": (circuit(g="dendrite basal rate = sigmoid(basal)"), ["W1 = W2"]),
    "mse, tanh at the top": (circuit(out="tanh(basal)", loss="mse(out, y)"), ["W1 = W2", "W2 = W3"]),
    "a skip to the top": (circuit(more="synapse S: h -> out { dw = pre }"), ["W1 = W2 + S", "W2 = W3"]),
    "a skip from the input": (circuit(more="synapse S: x -> g.basal { dw = pre }"), ["W1 = W2", "W2 + S = W3"]),
    "a fixed skip, sparse": (circuit(more="synapse S: h -> out { connect = sparse(0.5) }"), ["W1 = W2 + S", "W2 = W3"]),
    "a sum of dendrites": (circuit(h=TWO.format("relu(basal) + 0.3 * apical"), wiring=INTO_TWO),
                           ["W1 + A = W2", "W2 = W3"]),
    "the larger of two dendrites": (circuit(h=TWO.format("max(basal, apical)"), wiring=INTO_TWO),
                                    ["W1 + A = W2", "W2 = W3"]),
    "a product of dendrites": (circuit(h=TWO.format("basal * apical"), wiring=INTO_TWO),
                               ["W1 = W2", "A = W2", "W2 = W3"]),
    "a quotient": (circuit(h=TWO.format("basal / (1 + square(apical))"), wiring=INTO_TWO), ["W1 = W2", "W2 = W3"]),
    "gated by a step": (circuit(g="dendrite basal rate = basal", h="dendrite basal rate = relu(basal) * step(g - 1)",
                                wiring=GATED), ["W1 = W3"]),
    "gated by a sigmoid": (circuit(g="dendrite basal rate = basal", h="dendrite basal rate = relu(basal) * sigmoid(g)",
                                   wiring=GATED), ["W1 = W3"]),
    "scaled by the data": (circuit(h="dendrite basal rate = m * relu(basal)", more="modulator m = mean(abs(x))"),
                           ["W1 = W2", "W2 = W3"]),
    "scaled by the mean of a population": (
        circuit(g="dendrite basal rate = m * relu(basal)", wiring=PARALLEL, more="modulator m = mean(h)"),
        ["W1 = W3", "W2 = W3"]),
    "scaled by the norm of a population": (
        circuit(g="dendrite basal rate = relu(basal) / (m + one)", wiring=PARALLEL, more="modulator m = norm(h)"),
        ["W2 = W3"]),
    "normalised": (
        circuit(h="dendrite basal rate = basal", g="dendrite basal rate = h / m", more="modulator m = norm(h)",
                wiring="synapse W1: x -> h.basal { dw = pre } synapse W3: g -> out { dw = pre }"), ["W1 ="]),
    "two synapses on a dendrite": (circuit(more="synapse A: x -> h.basal { dw = pre }"), ["W1 + A = W2", "W2 = W3"]),
    "a penalty on the hidden layer": (circuit(loss="cross_entropy(out, y) + 0.3 * mean(square(h))"), ["W2 = W3"]),
    "two heads": (circuit(
        more="neuron k: 2 { dendrite basal rate = basal } synapse T: g -> k { dw = pre }",
        loss="cross_entropy(out, y) + 0.5 * mean(square(k))"), ["W1 = W2", "W2 = W3 + T"]),
    "a residual wire": (circuit(g="dendrite basal rate = h + relu(basal)"), ["W1 = W3"]),
    "lets": (circuit(h="dendrite basal let a = 2 * basal let b = relu(a) rate = min(b, 3 * a)"),
             ["W1 = W2", "W2 = W3"]),
    "a fixed layer, one to one": (
        circuit(wiring=CHAIN.replace("h -> g.basal { dw = pre }", "h -> g.basal { connect = one_to_one }")),
        ["W1 = W2", "W2 = W3"]),
}  # fmt: skip

Equations = Elimination[Flow]


def gradient_of(p: Problem) -> dict[str, Array]:
    """d loss / d W of every synapse, fixed ones too."""
    engine = Reference(twin(p.circuit), [], "float64")
    return engine.gradient(p.state, p.data, ORDER, p.numbers, seed=3, epoch=2)


def solved(text: str) -> Equations:
    graph = load(text)
    solver: Equations = Elimination(lambda flow: (isinstance(flow, Synaptic), flow))
    for equation in flows_of(graph, Constants(numbers_of(graph, {}))).equations:
        solver.add(equation.row, equation.value)
    return solver


def between_synapses(solver: Equations) -> dict[str, dict[str, float]]:
    """What is stated of the flows of synapses, by others of these."""
    return {
        flow.synapse: {of.synapse: float(number) for of, number in row.items() if isinstance(of, Synaptic)}
        for flow, row in solver.solved.items()
        if isinstance(flow, Synaptic) and all(isinstance(of, Synaptic) for of in row)
    }


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_equations_hold(name: str) -> None:
    text, _ = ARCHITECTURES[name]
    p = problem(text, seed=3, scale=0.5)
    flows = {n: -float((p.state.weights[n] * g).sum()) for n, g in gradient_of(p).items()}
    scale = max(map(abs, flows.values()))
    for synapse, row in between_synapses(solved(text)).items():
        assert flows[synapse] == pytest.approx(sum(k * flows[n] for n, k in row.items()), abs=1e-9 * scale), synapse


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_flows_are_how_the_loss_falls(name: str) -> None:
    """By central differences of the loss, where no gradient comes in."""
    p = problem(ARCHITECTURES[name][0], seed=3, scale=0.5)
    step = 1e-6
    for synapse, gradient in gradient_of(p).items():
        w = p.state.weights[synapse]
        slope = (p.loss({synapse: w * np.exp(step)}) - p.loss({synapse: w * np.exp(-step)})) / (2 * step)
        assert -slope == pytest.approx(-float((w * gradient).sum()), abs=2e-7)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_which_equations_are_found(name: str) -> None:
    text, wanted = ARCHITECTURES[name]
    solver = solved(text)
    for equation in wanted:
        left, _, right = equation.partition("=")
        row: dict[Flow, Fraction] = {}
        for side, sign in ((left, 1), (right, -1)):
            for synapse in filter(None, map(str.strip, side.split("+"))):
                row[Synaptic(synapse)] = row.get(Synaptic(synapse), Fraction(0)) + sign
        assert solver.expressed(row)[0] == {}, equation
    assert len(between_synapses(solver)) == len(wanted)


# ---------------------------------------------------------------- elimination and cones


def test_elimination_against_floating_point() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        matrix = rng.integers(-2, 3, size=(5, 8)) * (rng.random((5, 8)) < 0.6)
        solver: Elimination[int] = Elimination(lambda k: k)
        for i, row in enumerate(matrix):
            solver.add({j: Fraction(int(v)) for j, v in enumerate(row) if v}, str(i))
        assert len(solver.solved) == np.linalg.matrix_rank(matrix)
        _, _, null = np.linalg.svd(matrix)
        for vector in null[len(solver.solved) :]:
            for j, row in solver.solved.items():
                assert vector[j] == pytest.approx(sum(float(k) * vector[i] for i, k in row.items()), abs=1e-9)


def test_elimination_names_the_equations_it_needs() -> None:
    one = Fraction(1)
    solver: Elimination[str] = Elimination(lambda k: k)
    solver.add({"a": one, "b": -one}, "first")
    solver.add({"c": one, "d": -one}, "second")
    solver.add({"b": one, "e": -2 * one}, "third")
    assert solver.expressed({"a": one}) == ({"e": Fraction(2)}, {"first", "third"})
    assert solver.expressed({"c": one}) == ({"d": one}, {"second"})


def test_combined_against_a_linear_program() -> None:
    from scipy.optimize import linprog

    rng = np.random.default_rng(1)
    seen = {True: 0, False: 0}
    for _ in range(120):
        rows, columns = int(rng.integers(2, 5)), int(rng.integers(2, 7))
        given = rng.integers(-2, 3, size=(columns, rows))
        target = rng.integers(-2, 3, size=rows) if rng.random() < 0.5 else rng.integers(0, 3, size=columns) @ given
        found = combined(
            {i: Fraction(int(v)) for i, v in enumerate(target) if v},
            {j: {i: Fraction(int(v)) for i, v in enumerate(row) if v} for j, row in enumerate(given)},
        )
        possible = linprog(np.zeros(columns), A_eq=given.T, b_eq=target, bounds=[(0, None)] * columns).status == 0
        assert (found is not None) == possible
        seen[possible] += 1
        if found is not None:
            assert all(number > 0 for number in found.values())
            total = sum((float(k) * given[j] for j, k in found.items()), np.zeros(rows))
            np.testing.assert_allclose(total, target, atol=1e-12)
    assert min(seen.values()) > 20


def test_too_many_equations_are_given_up() -> None:
    solver: Elimination[int] = Elimination(lambda k: k)

    def add_all() -> None:
        for i in range(2_000):
            solver.add({j: Fraction(1 + (i * j) % 7) for j in range(i, 2_000)}, str(i))

    with pytest.raises(TooLarge):
        add_all()
