"""The depth condition: which circuits have one, when it is warned of, and what unequal decays do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from derivation_texts import LINEAR, derived, kp, sal, shipped
from numpy.typing import NDArray
from problems import load

from circuitdsl.derive.prove.depth import DepthCondition, depth_conditions
from circuitdsl.derive.read.drives import read_rule
from circuitdsl.derive.read.symbols import symbols_of
from circuitdsl.diagnostics import Severity

Array = NDArray[np.float64]


def linear(depth: int, **decays: str) -> str:
    """A linear four-synapse circuit; by the names of synapses, what their decays are instead."""
    return with_decays(sal(depth, **LINEAR), **decays)


def with_decays(text: str, **decays: str) -> str:
    for name, decay in decays.items():
        text, count = re.subn(rf"(synapse {name}: .*?) - eta \* gamma \* w", rf"\1 - eta * {decay} * w", text)
        assert count == 1
    return text


def conditions(text: str) -> list[tuple[str, str, str, str, bool]]:
    return [(c.v, c.f, c.w, c.b, c.holds) for c in derived(text).depth]


def read(text: str) -> tuple[DepthCondition, ...]:
    """The conditions, and nothing else of the derivation."""
    circuit = load(text)
    symbols = symbols_of(circuit)
    rules = {s.name: read_rule(symbols, s) for s in circuit.synapses.values() if s.dw is not None}
    return depth_conditions(symbols, rules)


def only(text: str) -> DepthCondition:
    (found,) = derived(text).depth
    return found


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_each_layer_but_the_top_has_one(depth: int) -> None:
    wanted = [(f"V{i}", f"F{i}", f"W{i + 1}", f"B{i + 1}", True) for i in range(1, depth)]
    assert conditions(linear(depth)) == wanted
    assert conditions(sal(depth)) == wanted  # with gates


def test_it_does_not_depend_on_the_order_of_items() -> None:
    lines = linear(3, V1="0.02").strip().splitlines()
    turned = "\n".join([*lines[:3], *reversed(lines[3:-2]), *lines[-2:]])
    assert read(turned) == read("\n".join(lines))
    assert [c.holds for c in read(turned)] == [False, True]


@pytest.mark.parametrize(
    ("decays", "warned"),
    [
        ({}, False),
        ({"V1": "0.012"}, True),
        ({"F1": "0.005"}, True),
        ({"W2": "0.012"}, True),
        ({"B2": "0.02"}, True),
        ({"V1": "0.02", "F1": "0.005"}, False),  # their product is what counts
        ({"V1": "0.02", "W2": "0.02"}, False),
        ({"W1": "0.02", "B1": "0.5"}, False),  # below the lowest layer there is no other
        ({"V2": "0.02", "F2": "0.07"}, False),  # the top's signals are its own
    ],
)
def test_what_is_warned_of(decays: dict[str, str], warned: bool) -> None:
    found = derived(linear(2, **decays))
    assert [d.code for d in found.warnings] == (["C080"] if warned else [])
    assert [c.holds for c in found.depth] == [not warned]


def test_both_sides_with_their_numbers() -> None:
    found = only(linear(2, V1="0.012"))
    assert found.values == pytest.approx((0.012 * 0.01, 0.01 * 0.01))
    (warning,) = derived(linear(2, V1="0.012")).warnings
    assert warning.severity is Severity.WARNING
    assert "0.00012" in warning.label
    assert "0.0001" in warning.labels[0].text


def test_gains_of_drives_count() -> None:
    """gamma is the decay by the gain: a drive twice as strong is a decay half as large."""
    text = linear(2).replace(
        "dw = eta * post.lateral * pre - eta * gamma", "dw = 2 * eta * post.lateral * pre - eta * gamma"
    )
    assert only(text).values == pytest.approx((0.005 * 0.01, 0.01 * 0.01))
    assert only(with_decays(text, F1="0.02")).holds


def test_learning_rates_do_not_count() -> None:
    text = linear(2).replace(
        "dw = eta * post.lateral * pre - eta * gamma", "dw = 7 * (eta * post.lateral * pre - eta * gamma"
    )
    assert only(re.sub(r"(7 \* \(.*? \* w)", r"\1)", text)).holds


def test_bounds_make_it_a_note() -> None:
    """A weight that is held at a bound has another rest."""
    text = with_decays(sal(2, settings="bounds = [-0.5, 0.5]"), V1="0.02")
    assert only(text).bounded
    assert [d.severity for d in derived(text).warnings] == [Severity.NOTE]


def test_columns_are_told_of_and_not_warned_of() -> None:
    """With laterals between partners the products set how many columns live."""
    text = linear(2, V1="0.02").replace(": 5 { dendrite basal, lateral", ": 6 { dendrite basal, lateral")
    for name in ("F1", "F2", "B1", "B2"):
        text = re.sub(rf"(synapse {name}: [^{{]*{{)", r"\1 connect = one_to_one ", text)
    found = only(text)
    assert found.columns
    assert not found.holds
    assert derived(text).warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        kp(),
        linear(2).replace("V1: d2 -> d1.basal {", "V1: d2 -> d1.basal { connect = sparse(0.5) "),
        linear(2).replace("neuron a2: 6 { dendrite basal, apical   rate = basal }",
                          "neuron a2: 6 { dendrite basal, apical   rate = tanh(basal) }"),
        linear(2).replace("loss =", "synapse S: x -> a2.basal { }   loss ="),
        sal(2, F="eta * post * pre"),
    ],
)  # fmt: skip
def test_where_there_is_none(text: str) -> None:
    """No four-synapse pairs, masks, other rates, another way in, no decay."""
    assert derived(text).depth == ()


def test_the_library_breaks_none() -> None:
    for name in ("heterosynaptic/self_assembly.circ", "heterosynaptic/self_assembly_linear.circ"):
        found = shipped(name)
        assert all(c.holds for c in found.depth)
        assert found.warnings == ()


def test_the_command_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from circuitdsl.cli.main import run

    file = tmp_path / "c.circ"
    file.write_text(linear(2, V1="0.02"), encoding="utf-8")
    assert run(["derive", str(file), "--no-measure", "--json"]) == 0
    told = capsys.readouterr()
    assert "warning[C080]" in told.err
    assert [d["code"] for d in json.loads(told.out)["diagnostics"]] == ["C080"]
    file.write_text(linear(2), encoding="utf-8")
    assert run(["derive", str(file), "--no-measure", "--json"]) == 0
    told = capsys.readouterr()
    assert "C080" not in told.err
    assert json.loads(told.out)["diagnostics"] == []


# ---------------------------------------------------------------- the numbers, by plain NumPy


def laterals(gamma_v: float, updates: int, seed: int = 0) -> list[tuple[float, float]]:
    """|F1| and |F2| of a linear circuit of two layers, at a fifth of its updates and at the end. All decays are 0.02
    but that of V1."""
    r = np.random.default_rng(seed)
    n, nx, ny, size, eta, gamma = 64, 6, 4, 6, 0.05, 0.02
    x = r.normal(size=(n, nx))
    y = x @ r.normal(size=(nx, ny)) / np.sqrt(nx)

    def draw(rows: int, cols: int) -> Array:
        return r.normal(size=(rows, cols)) / np.sqrt(cols)

    w1, w2, wo = draw(size, nx), draw(size, size), draw(ny, size)
    v1, v2 = draw(size, size), draw(size, ny)
    f1, f2 = draw(size, size) * 0.7, draw(size, size) * 0.7
    b1, b2 = f1.T.copy(), f2.T.copy()
    seen = []
    for update in range(updates + 1):
        a1 = x @ w1.T
        a2 = a1 @ w2.T
        e = y - a2 @ wo.T
        d2 = e @ v2.T
        d1 = d2 @ v1.T
        if update in (updates // 5, updates):
            seen.append((float(np.linalg.norm(f1)), float(np.linalg.norm(f2))))
        c = d2.T @ a1 / n
        steps = [
            (w1, (d1 @ b1.T).T @ x / n, gamma), (w2, b2 @ c, gamma), (wo, e.T @ a2 / n, gamma),
            (v1, f1 @ c.T, gamma_v), (v2, f2 @ (a2.T @ e / n), gamma),
            (f1, d1.T @ a1 / n, gamma), (f2, d2.T @ a2 / n, gamma),
            (b1, a1.T @ d1 / n, gamma), (b2, a2.T @ d2 / n, gamma),
        ]  # fmt: skip
        for weights, drive, decay in steps:
            weights += eta * (drive - decay * weights)
    return seen


@pytest.mark.parametrize(("gamma_v", "sign"), [(0.02, 0), (0.03, -1), (0.013, 1)])
def test_unequal_decays_run_apart(gamma_v: float, sign: int) -> None:
    """log |F1| / |F2| stays where the products are equal; it falls if gamma_V gamma_F is the larger one."""
    (f1, f2), (g1, g2) = laterals(gamma_v, 6_000)
    moved = np.log(g1 / g2) - np.log(f1 / f2)
    assert abs(moved) < 0.3 if sign == 0 else sign * moved > 0.6
