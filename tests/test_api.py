"""The Python front door."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import circuitdsl as cd

TEXT = """circuit small {
  param eta = 0.1   param n = 5
  input x: 4   target y: 3
  neuron h: n { dendrite basal   rate = relu(basal) }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  synapse W1: x -> h
  synapse W2: h -> out { dw = eta * err * pre }
  loss = cross_entropy(out, y)
  task flowers { data = iris   epochs = 2   batch = 4   metric = accuracy(out, y) }
}"""


@pytest.fixture
def circuit(tmp_path: Path) -> cd.Circuit:
    (tmp_path / "small.circ").write_text(TEXT)
    return cd.load(tmp_path / "small.circ")


def test_import_costs_nothing() -> None:
    script = "import sys, circuitdsl; print(sorted(m for m in sys.modules if m.startswith(('circuitdsl.', 'numpy'))))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
    assert set(cd.__all__) <= set(dir(cd))
    for name in cd.__all__:
        assert getattr(cd, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        cd.nothing_like_it  # noqa: B018


def test_load_and_run(circuit: cd.Circuit) -> None:
    assert (circuit.name, circuit.warnings) == ("small", ())
    run = circuit.compile(target="reference").run()
    assert run["metric"].dims == ("epoch",)
    assert run["metric"].sizes["epoch"] == 3
    assert run["W2.final"].dims == ("post_out", "pre_h")
    again = circuit.run(target="reference", epochs=2)
    np.testing.assert_array_equal(run["W2.final"], again["W2.final"])


def test_params_are_runtime_arguments(circuit: cd.Circuit) -> None:
    simulation = circuit.compile(target="reference")
    runs = [simulation.run(params={"eta": eta}, epochs=1) for eta in (0.1, 0.02)]
    assert len(simulation._engines) == 1
    assert not np.array_equal(runs[0]["W2.final"], runs[1]["W2.final"])
    wide = simulation.run(params={"n": 8}, epochs=0)
    assert wide["W2.final"].shape == (3, 8)
    assert len(simulation._engines) == 2


def test_arrays_as_data(circuit: cd.Circuit) -> None:
    random = np.random.RandomState(0)
    x = random.randn(200, 4)
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)
    simulation = circuit.compile(target="reference", dtype="float64")
    run = simulation.run(data=(x, y), epochs=20, batch=4, params={"n": 40})
    assert float(run["metric"][-1]) > 0.8
    assert run["W1.final"].dtype == np.float64
    assert run.attrs["data"] == "arrays"
    shuffled = simulation.run(data=(x, random.permutation(y)), epochs=20, batch=4, params={"n": 40})
    assert float(shuffled["metric"][-1]) < 0.7


def test_errors_carry_all_diagnostics(tmp_path: Path, circuit: cd.Circuit) -> None:
    with pytest.raises(cd.CircuitError) as caught:
        cd.loads(TEXT.replace("h.n", "h").replace("-> h\n", "-> hh\n").replace("h -> out", "h -> oot"))
    assert len(caught.value.diagnostics) == 2
    with pytest.raises(OSError, match=r"nowhere\.circ"):
        cd.load(tmp_path / "nowhere.circ")
    with pytest.raises(cd.UsageError, match="no circuit to run"):
        cd.loads("rule r(a) = a")
    with pytest.raises(cd.CircuitError, match="has 64 features, but input `x` has 4"):
        circuit.run(target="reference", data="digits")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"task": "flower"}, "did you mean `flowers`?"),
        ({"params": {"etta": 1}}, "did you mean `eta`?"),
        ({"params": {"eta": "much"}}, "is a number"),
        ({"epochs": -1}, "`epochs` is -1"),
        ({"batch": 0}, "`batch` is 0"),
        ({"epochs": 1.5}, "whole number, not 1.5"),
        ({"batch": "much"}, "whole number, not 'much'"),
        ({"seed": 2**32}, "`seed` is"),
        ({"learn": "backpropp"}, "did you mean `backprop`?"),
        ({"scale": "centre"}, "did you mean `center`?"),
    ],
)
def test_requests_that_make_no_sense(circuit: cd.Circuit, request_: dict[str, object], said: str) -> None:
    with pytest.raises(cd.UsageError, match=said.replace("?", r"\?")):
        circuit.compile(target="reference").run(**request_)  # type: ignore[arg-type]


def test_ticks_are_whole_numbers_under_all_params() -> None:
    schedule = "param ticks = 2   schedule { phase free: ticks   phase clamped: 3 train }   input x: 4"
    circuit = cd.loads(TEXT.replace("input x: 4", schedule))
    assert circuit.run(target="reference", epochs=0)["metric"].size == 1
    for ticks, said in (
        (2.5, "the number of ticks of phase free is 2.5"),
        (0, "no tick in evaluation"),
        (1e300, "more than anyone waits for"),
    ):
        with pytest.raises(cd.UsageError, match=said):
            circuit.run(target="reference", params={"ticks": ticks})


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"widths": 3}, "`widths` is a list of 2 numbers, not one number"),
        ({"turns": [1]}, "`turns` is a number; it cannot be set to"),
        ({"turns": float("inf")}, "`turns` is a finite number"),
        ({"widths": [4, float("nan")]}, r"`widths` is a finite number"),
    ],
)
def test_what_shapes_the_circuit_is_set_to_its_kind(params: dict[str, object], said: str) -> None:
    shaped = "param widths = [4, 3]   param turns = 1   for i in 1..turns { param p[i] = i }   input x: widths[0]"
    circuit = cd.loads(TEXT.replace("input x: 4", shaped))
    with pytest.raises(cd.UsageError, match=said):
        circuit.run(target="reference", params=params)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"k": 5}, "the k of `kwta` in `win` is 5, which is out of its range: expected 1 to 4"),
        ({"k": 1.5}, "the k of `kwta` in `win` is 1.5, not a whole number"),
        ({"p": 2}, "`S` is connected with the probability 2"),
        ({"low": 3}, r"the bounds of `S` are \[3, 1\]"),
        ({"step": 0}, "`dt` is 0"),
    ],
)
def test_params_from_outside_stay_in_their_range(params: dict[str, float], said: str) -> None:
    more = """input x: 4   param k = 2   param p = 0.5   param low = -1   param step = 1   schedule { dt = step }
      neuron win: 4 { dendrite d   rate = kwta(d, k) }   record win
      synapse S: x -> win { connect = sparse(p)   bounds = [low, 1] }"""
    circuit = cd.loads(TEXT.replace("input x: 4", more))
    assert circuit.run(target="reference", epochs=0, params={"k": 3})["metric"].size == 1
    with pytest.raises(cd.UsageError, match=said):
        circuit.run(target="reference", epochs=0, params=params)


def test_targets(circuit: cd.Circuit) -> None:
    with pytest.raises(cd.UsageError, match="cannot run; use `reference`, `cpu`"):
        circuit.compile(target="ptx")
    with pytest.raises(cd.UsageError, match="there is no target"):
        circuit.compile(target="gpu")
    with pytest.raises(cd.UsageError, match="unknown dtype"):
        circuit.compile(dtype="float16")  # type: ignore[arg-type]


def test_divergence_warns_and_keeps_what_there_is() -> None:
    circuit = cd.loads(TEXT.replace("softmax(basal)", "basal"))
    with pytest.warns(RuntimeWarning, match="diverged"):
        run = circuit.run(target="reference", params={"eta": 1000.0})
    assert run.attrs["diverged"]
    assert np.isfinite(run["metric"][0])


def test_data_files_are_looked_for_beside_the_circuit(tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    np.savez(tmp_path / "mine.npz", X=random.randn(30, 4), y=np.arange(30) % 3)
    (tmp_path / "c.circ").write_text(TEXT.replace("data = iris", 'data = "mine.npz"'))
    with pytest.warns(RuntimeWarning, match="no test example") as told:
        assert cd.load(tmp_path / "c.circ").run(target="reference")["metric"].size == 3
    assert {one.filename for one in told} == {__file__}  # where the user asked, however deep it was noticed


def test_the_gradient_twin_learns(circuit: cd.Circuit) -> None:
    run = circuit.run(target="reference", learn="backprop", epochs=5)
    assert float(run["metric"][-1]) > float(run["metric"][0])
    assert run.attrs["learn"] == "backprop"


def test_data_that_cannot_be_had_are_shown_where_they_are_named() -> None:
    with pytest.raises(cd.CircuitError) as caught:
        cd.loads(TEXT.replace("data = iris", "data = iriss")).run(target="reference")
    (found,) = caught.value.diagnostics
    assert (found.code, found.span.shown) == ("C060", "iriss")
