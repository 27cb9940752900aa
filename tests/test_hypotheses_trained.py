"""Hypotheses as numbers: gates, against signals drawn by hand; circuits that learn until they meet what is assumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from assumed import Bench, met, relative
from derivation_texts import kp, sal

from circuitdsl.certify.checkpoint import Checkpoint
from circuitdsl.certify.hypotheses import residual
from circuitdsl.derive.algebra.letters import Named
from circuitdsl.derive.prove.hypotheses import AtRest, Attracted, MeanField, OneHot
from circuitdsl.derive.tell.hypotheses import name_of
from circuitdsl.shipped import find_circuit

Array = Any


# ---------------------------------------------------------------- gates


def gated() -> tuple[Bench, Checkpoint, MeanField]:
    """The four-synapse circuit with one gate, its signals set by hand: independent of each other."""
    rng = np.random.default_rng(0)
    bench = Bench(sal(1), {"x": rng.standard_normal((20000, 5)), "y": np.eye(3)[rng.integers(0, 3, 20000)]})
    at = bench.at()
    (gate,) = {h for f in at.derivation.findings.values() for h in f.assumes if isinstance(h, MeanField)}
    return bench, at, gate


def signals(at: Checkpoint) -> tuple[dict[str, Array], np.random.Generator]:
    """What the neurons do, all of it drawn: it hangs together, but with no gate."""
    now, rng = at.passes.training[0].now, np.random.default_rng(1)
    common, size = rng.standard_normal((20000, 6)), len(at.sample.examples)
    now["a1.basal"] = rng.standard_normal((size, 6))
    now["d1.basal"] = (common + now["a1.basal"]) @ rng.standard_normal((6, 6))
    now["d1.lateral"], now["a1.apical"] = common @ rng.standard_normal((6, 6)), common @ rng.standard_normal((6, 6))
    now["err"] = common[:, :3] + rng.standard_normal((size, 3))
    return now, rng


def gate_by(now: dict[str, Array]) -> Array:
    """Gates and gated rates as a1.basal has them."""
    opened = (now["a1.basal"] > 0).astype(float)
    now["d1"], now["a1"] = now["d1.basal"] * opened, now["a1.basal"] * opened
    return opened


def neglected(now: Mapping[str, Array], opened: Array) -> float:
    """The largest |E[(g u) v^T] - p E[u v^T]| / |E[(g u) v^T]|, p >= 0, of what V and F add and d and W are told."""
    places = [
        (now["d1.lateral"], now["err"]),
        (now["d1.basal"], now["a1"]),
        (now["d1.basal"], now["d1.basal"]),
        (now["a1.apical"], now["a1.apical"]),
    ]
    found = []
    for u, v in places:
        through, taken = ((opened * u).T @ v).ravel(), (u.T @ v).ravel()
        share = np.linalg.lstsq(taken[:, None], through, rcond=None)[0]
        found.append(relative(through - max(share[0], 0) * taken, through))
    return max(found)


def test_gates_that_are_independent_of_what_they_gate() -> None:
    _, at, gate = gated()
    now, _ = signals(at)
    opened = gate_by(now)
    assert residual(gate, at) == pytest.approx(neglected(now, opened), rel=1e-6)
    assert met(gate, at)


def test_gates_that_depend_on_what_they_gate() -> None:
    """Open where the lateral current and another error have the same sign: those seem to belong together then."""
    _, at, gate = gated()
    now, rng = signals(at)
    now["err"] = rng.standard_normal((20000, 3))
    now["d1.lateral"] = 0.5 * now["err"][:, [0, 1, 2, 0, 1, 2]] + rng.standard_normal((20000, 6))
    now["a1.basal"] = now["d1.lateral"] * now["err"][:, [1, 2, 0, 1, 2, 0]]
    opened = gate_by(now)
    assert residual(gate, at) == pytest.approx(neglected(now, opened), rel=1e-6)
    assert met(gate, at) is False


def test_a_gate_that_is_never_open() -> None:
    bench, _, gate = gated()
    bench.data = {"x": np.abs(bench.data["x"]), "y": bench.data["y"]}
    bench.w["W1"][...] = -np.abs(bench.w["W1"])
    assert bench.residual(gate) == np.inf
    assert bench.met(MeanField(Named("nothing"))) is None


# ---------------------------------------------------------------- whole trainings


def test_kolen_pollack_comes_to_what_is_assumed() -> None:
    bench = Bench(kp(rate="basal", slope="", out="basal", loss="mse(out, y)").replace("gamma = 0.02", "gamma = 0.1"))
    wanted = (Attracted("V", "Wo"), AtRest("Wo"), AtRest("V"))
    assert [bench.met(h) for h in wanted] == [False, False, False]
    bench.train(60)
    assert bench.met(Attracted("V", "Wo")) is False
    bench.train(1500)
    assert [bench.met(h) for h in wanted] == [True, True, True]


FOUR_SYNAPSES = """
circuit c {
  param eta = 0.02  param gamma = 0.05
  input x: 8  target y: 4
  neuron a: 16 { dendrite basal, apical rate = basal }
  neuron d: 16 { dendrite basal, lateral rate = basal }
  neuron out: 4 { dendrite basal rate = basal }
  neuron err: 4 { rate = y - out }
  synapse W: x -> a.basal { dw = eta*(post.apical*pre - gamma*w) }
  synapse F: a -> d.lateral { dw = eta*(post*pre - gamma*w) }
  synapse B: d -> a.apical { dw = eta*(post*pre - gamma*w) }
  synapse V: err -> d.basal { dw = eta*(post.lateral*pre - gamma*w) }
  synapse Wo: a -> out { dw = eta*(err*pre - gamma*w) }
  loss = mse(out, y)
}
"""


def four_synapses(updates: int, examples: int = 128) -> tuple[dict[str, Array], dict[str, Array]]:
    """That circuit in plain NumPy: its data, and its weights after so many updates of 0.1."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((examples, 8))
    y = x @ rng.standard_normal((8, 4)) * 1.5 / np.sqrt(8)
    shapes = {"W": (16, 8), "F": (16, 16), "B": (16, 16), "V": (16, 4), "Wo": (4, 16)}
    w = {name: rng.standard_normal(shape) / np.sqrt(shape[1]) for name, shape in shapes.items()}
    for _ in range(updates):
        a = x @ w["W"].T
        err = y - a @ w["Wo"].T
        d = err @ w["V"].T
        sums = {"W": (d @ w["B"].T).T @ x, "F": d.T @ a, "B": a.T @ d, "V": (a @ w["F"].T).T @ err, "Wo": err.T @ a}
        w = {name: w[name] + 0.1 * (sums[name] / examples - 0.05 * w[name]) for name in w}
    return {"x": x, "y": y}, w


def test_four_synapses_rest_where_the_derivation_says() -> None:
    data, start = four_synapses(0)
    bench = Bench(FOUR_SYNAPSES, data)
    at = bench.at()
    assumed = [h for h in at.derivation["W"].assumes if not isinstance(h, OneHot)]
    assert {name_of(h) for h in assumed} >= {"at_rest(V)", "attracted(B, F)", "spectral(Wo)"}

    def answers(weights: Mapping[str, Array]) -> dict[str, bool | None]:
        for name, w in weights.items():
            bench.w[name][...] = w
        found = bench.at()
        return {name_of(h): met(h, found) for h in assumed}

    early, rest = answers(start), four_synapses(3000)[1]
    assert not any(early[name] for name in ("at_rest(V)", "attracted(B, F)", "spectral(Wo)"))
    assert set(answers(rest).values()) == {True}
    assert answers({**rest, "B": 1.2 * rest["B"]})["attracted(B, F)"] is False
    assert answers({**rest, "V": 1.2 * rest["V"]})["at_rest(V)"] is False
    assert answers({**rest, "Wo": 1.2 * rest["Wo"]})["spectral(Wo)"] is False
    assert answers({**rest, "F": 0 * rest["F"]})["nontrivial(F)"] is False


@pytest.mark.parametrize("name", [
    "heterosynaptic/self_assembly", "heterosynaptic/two_signal", "optimizers/adam", "optimizers/momentum",
    "counterexamples/descending_gain", "recurrent/lif_stdp",
])  # fmt: skip
def test_every_hypothesis_of_the_library_can_be_told(name: str) -> None:
    bench = Bench(find_circuit(name).read_text())
    bench.order = bench.order[:8]
    at = bench.at()
    assumed = {h for finding in at.derivation.findings.values() for h in finding.assumes}
    assert len(assumed) > 1
    assert [h for h in assumed if met(h, at) is None] == []
