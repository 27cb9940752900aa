"""Every function is told once, by a record: walks the records, and adds one. `python tests/test_functions.py` puts the
tables of functions into docs/language.md."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from bench import Bench
from problems import load, problem

from circuitdsl.explore.objective import objective
from circuitdsl.graph.formulas import fold, names_in
from circuitdsl.graph.functions import CALLED, FUNCTIONS, Function, quiet
from circuitdsl.graph.populations import POPULATION_FUNCTIONS, REDUCTIONS
from circuitdsl.runtime.engine import Compiled

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "language.md"

#: Further functions by NumPy itself.
NUMPY = {
    "relu": lambda x: np.maximum(x, 0), "step": lambda x: (x > 0) * 1.0, "sign": np.sign, "square": np.square,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "softplus": lambda x: np.logaddexp(0, x),
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1), "mod": np.mod, "floor": np.floor, "sin": np.sin, "cos": np.cos,
    "expm1": np.expm1, "log1p": np.log1p, "tanh": np.tanh, "exp": np.exp, "log": np.log, "sqrt": np.sqrt,
    "abs": np.abs, "min": np.minimum, "max": np.maximum, "clip": np.clip,
    "where": lambda c, a, b: np.where(c != 0, a, b),
}  # fmt: skip


def points(function: Function, count: int = 200) -> np.ndarray:
    """Arguments, [count, arity], zeros and whole numbers among them; bounds of `clip` in order."""
    rng = np.random.default_rng(len(function.call))
    found = np.where(rng.random((count, 3)) < 0.3, rng.integers(-3, 4, (count, 3)), rng.normal(0, 2, (count, 3)))
    found[:, 1:] = np.sort(found[:, 1:], axis=1)
    return found[:, : function.arity]


# ---------------------------------------------------------------- values


def test_numbers_arrays_and_compiled_code_agree() -> None:
    """In one circuit that has a neuron for each function."""
    neurons = "".join(f"neuron n_{name}: 1 {{ rate = {name}({call(FUNCTIONS[name])}) }}\n" for name in sorted(CALLED))
    bench = Bench(f"circuit c {{ input a: 1   input b: 1   input d: 1\n{neurons} }}", examples=200)
    compiled = Compiled(bench.circuit, [], "float64")
    watch = [f"n_{name}" for name in CALLED]
    for name in sorted(CALLED):
        function = FUNCTIONS[name]
        values = points(function)
        for population, column in zip("abd", values.T, strict=False):
            bench.data[population][:, 0] = column
        found = compiled.evaluate(
            bench.state, bench.data, bench.order, bench.numbers, seed=0, epoch=0, watch=watch
        ).watched[f"n_{name}"][:, 0]
        with quiet():
            expected = NUMPY[name](*values.T)
            arrays = function.array(*values.T)
        numbers = [function.number(*row) for row in values.tolist()]
        for what in (found, arrays, numbers, bench.evaluate(watch=watch).watched[f"n_{name}"][:, 0]):
            np.testing.assert_allclose(what, expected, rtol=1e-9, atol=1e-12, err_msg=name)


def call(function: Function) -> str:
    return ", ".join("abd"[: function.arity])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_keep_their_dtype(dtype: type) -> None:
    for function in FUNCTIONS.values():
        with quiet():
            assert function.array(*points(function).astype(dtype).T).dtype == dtype, function.name
    for reduction in REDUCTIONS.values():
        assert reduction.array(*[np.ones((2, 3), dtype)] * reduction.arity).dtype == dtype, reduction.name


def test_records_are_whole() -> None:
    for name, function in FUNCTIONS.items():
        assert len(function.slopes) == function.arity, name
        assert function.doc or name not in CALLED, name
        if isinstance(function.value, str):
            assert set(names_in(function.value)) <= set(function.parameters), name
    for reduction in REDUCTIONS.values():
        assert len(reduction.slopes) in (0, reduction.arity)
        assert reduction.slopes or reduction.result == "joined"
        assert (reduction.better is not None) == (reduction.compares is not None) == (reduction.arity == 2)


# ---------------------------------------------------------------- slopes


def slope(function: Function, i: int, at: list[float], g: float = 1.0) -> float:
    """g times the derivative with respect to an argument."""
    formula = function.slopes[i]
    names = function.named(at) | {"g": g, "out": function.number(*at)}
    found = fold(formula, names, float, lambda f, xs: FUNCTIONS[f].number(*xs))
    return found if "g" in names_in(formula) else g * found


def quotients(function: Function, i: int, at: list[float]) -> Iterator[float]:
    """Difference quotients to either side."""
    for step in (1e-6, -1e-6):
        moved = [x + step * (j == i) for j, x in enumerate(at)]
        yield (function.number(*moved) - function.number(*at)) / step


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_slopes_are_difference_quotients(name: str) -> None:
    """Where both sides have the same one: at a kink, conventions hold."""
    function, rng, told = FUNCTIONS[name], Random(name), 0
    for _ in range(400):
        at = [rng.normalvariate(0, 2) for _ in range(function.arity)]
        at[1:] = sorted(at[1:])  # the bounds of `clip`
        for i in range(function.arity):
            right, left = quotients(function, i, at)
            if math.isfinite(right) and math.isfinite(left) and abs(right - left) < 1e-3 * (1 + abs(right)):
                told += 1
                assert slope(function, i, at) == pytest.approx((left + right) / 2, rel=1e-4, abs=1e-4), (at, i)
                assert slope(function, i, at, 2.5) == pytest.approx(2.5 * slope(function, i, at), rel=1e-12)
    assert told > 150


@pytest.mark.parametrize("name", [r.name for r in REDUCTIONS.values() if not r.flat])
def test_gradients_of_reductions_are_difference_quotients(name: str) -> None:
    for arguments in (["p"], ["q"]) if REDUCTIONS[name].arity == 1 else (["p", "q"], ["q", "p"]):
        p = problem(
            f"""circuit c {{ input x: 3   target y: 3
            neuron p: 3 {{ dendrite basal   rate = sigmoid(basal) }}   synapse W: x -> p {{ dw = post * pre }}
            neuron q: 3 {{ dendrite basal   rate = softmax(basal) }}   synapse V: x -> q {{ dw = post * pre }}
            loss = {name}({", ".join(arguments)}) + 0.1 * mean(p) * sum(q) }}"""
        )
        for synapse, found in p.gradient().items():
            weights = p.state.weights[synapse]
            for at in np.ndindex(weights.shape):
                step = np.zeros_like(weights)
                step[at] = 1e-6
                ends = (p.loss({synapse: weights + sign * step}) for sign in (1, -1))
                assert found[at] == pytest.approx((next(ends) - next(ends)) / 2e-6, rel=1e-5, abs=1e-8)


# ---------------------------------------------------------------- what they are for


@pytest.mark.parametrize(
    ("metric", "better"),
    [
        ("accuracy(p, y)", "larger"),
        ("mse(p, y)", "smaller"),
        ("cross_entropy(p, y)", "smaller"),
        ("-mse(p, y)", "larger"),
        ("1 - accuracy(p, y)", "smaller"),
        ("2 * mse(p, y) - accuracy(p, y)", "smaller"),
        ("mean(p) - 0.5 * mse(p, y)", "larger"),
        ("mean(p)", "larger"),
    ],
)
def test_a_metric_tells_which_way_is_better(metric: str, better: str) -> None:
    circuit = load(
        f"""circuit c {{ input x: 3   target y: 3   neuron p: 3 {{ dendrite basal   rate = basal }}
        synapse W: x -> p {{ dw = post * pre }}   task t {{ data = digits   metric = {metric} }} }}"""
    )
    assert objective(circuit, circuit.tasks["t"], "metric").better == better


def test_the_cosine_is_of_a_number_or_of_two_matrices() -> None:
    circuit = load(
        """circuit c { input x: 3   neuron p: 3 { dendrite basal   rate = cos(basal) }   modulator m = mean(cos(p))
        synapse W: x -> p   synapse V: x -> p   record cos(m), cos(W, V), m }"""
    )
    assert [type(r.what).__name__ for r in circuit.records] == ["Apply", "MatrixCall", "Read"]


# ---------------------------------------------------------------- one more


FUNCTION = 'Function("swish(x)", "x * sigmoid(x)", ("sigmoid(x) + out * (1 - sigmoid(x))",), "x times its sigmoid"),'
LOSS = 'Reduction("mae(p, y)", "abs(p - y)", Join.MEAN, "the mean of the distances", "lower", "numbers"),'
CIRCUIT = """circuit c {
  input x: 5   target y: 3
  neuron h: 4 { dendrite basal, apical   rate = swish(basal) }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  synapse W1: x -> h.basal {
    dw = 0.1 * post.apical * (sigmoid(post.basal) + swish(post.basal) * (1 - sigmoid(post.basal))) * pre
  }
  synapse W2: h -> out.basal { dw = 0.1 * err * pre }
  synapse V2: err -> h.apical { init = transpose(W2)   dw = 0.1 * post * pre }
  LOSS
  task t { data = digits   metric = mae(out, y) }
}"""
PROGRAM = """
import json, sys
import circuitdsl as cd
from agreement import worst
from circuitdsl.explore.objective import objective
from circuitdsl.graph.resolve import load_text
from circuitdsl.twin.gradient import twin
text = sys.stdin.read()
found = {}
for loss in ("cross_entropy(out, y)", "mae(out, y)"):
    circuit = load_text(text.replace("LOSS", f"loss = {loss}")).circuit
    for what in (circuit, twin(circuit)):
        found[f"{what is circuit} {loss}"] = worst(what, dtype="float64", updates=5, batch=1)[0]
derivation = cd.loads(text.replace("LOSS", "loss = cross_entropy(out, y)")).derive(measure=False)
found["verdicts"] = {name: str(finding.verdict) for name, finding in derivation.findings.items()}
found["better"] = objective(circuit, circuit.tasks["t"], "metric").better
print(json.dumps(found))
"""


def test_one_record_makes_a_function_and_one_a_loss(tmp_path: Path) -> None:
    """In a copy of the package: reference, compiled code, gradient twin and derivation know them."""
    shutil.copytree(ROOT / "circuitdsl", tmp_path / "circuitdsl", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "grammars", tmp_path / "grammars")
    (tmp_path / "circuits").symlink_to(ROOT / "circuits")
    insert(tmp_path / "circuitdsl" / "graph" / "functions.py", "_RECORDS = (", FUNCTION)
    insert(tmp_path / "circuitdsl" / "graph" / "populations.py", "_REDUCTIONS = (", LOSS)
    path = os.pathsep.join([str(tmp_path), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": path, "NUMBA_DISABLE_JIT": "1"},
        input=CIRCUIT,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("verdicts") == {"W1": "exact", "W2": "exact", "V2": "None"}
    assert found.pop("better") == "smaller"
    assert len(found) == 4
    assert max(found.values()) < 1e-9


def insert(file: Path, after: str, line: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(after) == 1
    file.write_text(text.replace(after, f"{after}\n    {line}"), encoding="utf-8")


# ---------------------------------------------------------------- the page


def tables() -> dict[str, str]:
    """The tables of the page, by what stands in the comments around them."""
    numbers = [(f.call, f.doc) for name, f in FUNCTIONS.items() if name in CALLED]
    reductions = [(r.call, r.doc + (f"; {r.better} is better" if r.better else "")) for r in REDUCTIONS.values()]
    rows = {"numbers": numbers, "populations": list(POPULATION_FUNCTIONS.values()), "reductions": reductions}
    return {
        what: "".join(["| | |\n|---|---|\n", *(f"| `{c}` | {doc} |\n" for c, doc in found)])
        for what, found in rows.items()
    }


def parts(text: str, what: str) -> tuple[str, str, str]:
    """What stands before the table, the table, and what stands after it."""
    first, last = f"<!-- functions: {what} -->\n", "<!-- end -->\n"
    before, _, rest = text.partition(first)
    table, _, after = rest.partition(last)
    return before + first, table, last + after


@pytest.mark.parametrize("what", ["numbers", "populations", "reductions"])
def test_the_page_lists_every_function(what: str) -> None:
    assert parts(PAGE.read_text(encoding="utf-8"), what)[1] == tables()[what]


def update() -> None:
    """Puts the tables into the page."""
    text = PAGE.read_text(encoding="utf-8")
    for what, table in tables().items():
        before, _, after = parts(text, what)
        text = before + table + after
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    update()
