"""Random motifs: no verdict depends on how a text is ordered, none is contradicted by a simulation, and lies are found.

The whole run is `make motifs`; here a part of it, and what the instruments themselves are worth.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from check_motifs import Report, check_claims, check_orders
from generate_motifs import random_net
from motif_claims import State, judge_motif
from motif_nets import Net, Population, Synapse, Term, text
from motif_orders import Claim, Derived, Hypothesis, derived
from simulate_motifs import EXAMPLES, Simulation

from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_text
from circuitdsl.reference import Reference

HERE = Path(__file__).resolve().parent


def test_no_verdict_depends_on_the_order_of_the_items_or_on_names() -> None:
    report = Report()
    check_orders(report, range(1000, 1060), orders=2)
    assert [(seed, what) for seed, what, _ in report.wrong if not what.startswith("slow")] == []
    assert len(report.verdicts) >= 6  # there is something to depend


def test_no_simulation_contradicts_a_claim() -> None:
    report = Report()
    check_claims(report, range(1000, 1015), updates=3000)
    assert [(seed, what) for seed, what, _ in report.wrong] == []
    assert report.complete >= 6
    assert sum(report.met.values()) >= 20


# ---------------------------------------------------------------- what the simulation is worth


def test_the_simulation_knows_nothing_of_the_compiler() -> None:
    for name in ("motif_nets", "motif_reverse", "simulate_motifs", "generate_motifs"):
        written = (HERE / f"{name}.py").read_text()
        imported = set(re.findall(r"^\s*(?:from|import) (\w+)", written, re.MULTILINE))
        assert imported <= {
            "__future__", "collections", "dataclasses", "random", "re", "types", "typing", "numpy",
            "motif_nets", "motif_reverse", "simulate_motifs",
        }, name  # fmt: skip


@pytest.mark.parametrize("seed", range(1100, 1112))
def test_the_gradient_of_the_simulation_is_that_of_finite_differences(seed: int) -> None:
    sim = Simulation(random_net(seed), seed)
    state, step = State(sim, 0, sim.start), 1e-6
    for s in sim.net.synapses:
        for at in list(zip(*np.nonzero(sim.masks[s.name]), strict=True))[:2]:
            sides = []
            for sign in (1, -1):
                moved = sim.start[s.name].copy()
                moved[at] += sign * step
                sides.append(sim.loss({**sim.start, s.name: moved}))
            assert state.descent(s)[at] == pytest.approx((sides[1] - sides[0]) / (2 * step), abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("seed", range(1100, 1130))
def test_text_and_simulation_are_one_circuit(seed: int) -> None:
    """One update of the compiled text, in the reference interpreter, from the weights of the simulation."""
    sim = Simulation(random_net(seed), seed)
    circuit = load_text(text(sim.net)).circuit
    assert circuit is not None
    numbers = numbers_of(circuit, {})
    state = initial_state(circuit, numbers, seed, dtype="float64")
    for s in sim.net.synapses:
        state.weights[s.name][...] = sim.start[s.name]
        if s.mask == "sparse":  # drawn by each for itself
            sim.masks[s.name] = (np.abs(state.masks[s.name]) > 0).astype(float) if s.name in state.masks else 1.0
    for coefficient, values in state.coefficients.items():
        sim.coefficients[coefficient.removeprefix("c_")] = values
    data = {"x": sim.data["x"], "y": sim.data["y"]}
    added = Reference(circuit, [], "float64").increments(state, data, np.arange(EXAMPLES), numbers, seed=1, epoch=0)
    values = sim.values(sim.start)
    for s in sim.net.synapses:
        if s.plastic and s.mask != "sparse":
            w = sim.start[s.name]
            expected = sim.factor(s, w) * (sim.drive(s.name, values, w) - sim.decayed(s, w))
            np.testing.assert_allclose(added[s.name], sim.net.eta * s.rate * expected, atol=1e-12)


# ---------------------------------------------------------------- lies


def layer(*, feedback: str = "kolen", sign: float = 1.0, **changes: object) -> Net:
    """One linear hidden layer with fixed (`random`), Kolen-Pollack or no (`hebb`) feedback; `changes` are V's."""
    post = Term("post" if feedback == "hebb" else "post.apical", coefficient=sign)
    v = Synapse("V", "err", "h", "apical", () if feedback == "random" else (Term("post"),))
    return Net(
        (
            Population("x", 4), Population("y", 3), Population("h", 5, "basal", ("basal", "apical")),
            Population("out", 3, "basal", ("basal",)), Population("err", 3, "y - out"),
        ),
        (
            Synapse("W", "x", "h", "basal", (post,)), Synapse("Wo", "h", "out", "basal", (Term("err"),)),
            replace(v, **changes),  # type: ignore[arg-type]
        ),
        ("mse(out, y)",), "reals", eta=0.05, gamma=0.2,
    )  # fmt: skip


REST = tuple(Hypothesis("AtRest", (n,)) for n in ("W", "Wo", "V"))
PAIR = {"left": "V", "right": "transpose(Wo)", "factor": 1.0, "rate": 0.01, "kind": "pair"}


def said(verdict: str, assumes: tuple[Hypothesis, ...] = (), attractor: dict[str, object] | None = None) -> Derived:
    claims = {"W": Claim(verdict, "proved", 1, frozenset(assumes))}
    return Derived(claims, () if attractor is None else (attractor,), 0.0, {}, frozenset())


@pytest.mark.parametrize(
    ("net", "verdict", "assumes", "noticed"),
    [
        (layer(), "gradient", REST, None),
        (layer(), "exact", (), "exact, but cos"),
        (layer(), "ascent", REST, "ascent, but cos"),
        (layer(), "none", (), "other errors change it"),
        (layer(), "none", REST, "other errors change it"),
        (layer(sign=-1.0), "ascent", REST, None),
        (layer(sign=-1.0), "gradient", REST, "gradient, but cos"),
        (layer(sign=-1.0), "aligned", REST, "aligned, but in one example"),
        (layer(sign=-1.0), "descent", REST, "descent, but cos"),
        (layer(feedback="random"), "gradient", (), "gradient, but"),
        (layer(feedback="random"), "aligned", (), "aligned, but in one example"),
        (layer(feedback="hebb"), "none", (), None),
        (layer(feedback="hebb"), "gradient", (), "gradient, but"),
        (layer(start="zeros", mask="sparse", density=0.0), "gradient", REST[:2], "the drive is 0"),
    ],
)
def test_a_planted_verdict_is_contradicted(
    net: Net, verdict: str, assumes: tuple[Hypothesis, ...], noticed: str | None
) -> None:
    found = judge_motif(said(verdict, assumes), Simulation(net, 2), 3000)
    assert found.complete
    assert len(found.wrong) == (noticed is not None)
    assert noticed is None or noticed in found.wrong[0]


@pytest.mark.parametrize(
    ("changed", "noticed"),
    [
        ({}, False),
        ({"factor": 0.9}, True),
        ({"rate": 0.011}, True),
        ({"factor": -1.0}, True),
        ({"kind": "tied"}, True),
        ({"kind": "pair at rest"}, False),
        ({"kind": "pair at rest", "factor": 1.2}, True),
        ({"kind": "intertwiner at rest", "left": "Wo W", "right": "transpose(V) W"}, False),
        ({"kind": "intertwiner at rest", "left": "Wo W", "right": "Wo V Wo W"}, True),
    ],
)
def test_a_planted_attractor_is_contradicted(changed: dict[str, object], noticed: bool) -> None:
    found = judge_motif(said("gradient", REST, {**PAIR, **changed}), Simulation(layer(), 2), 3000)
    assert found.complete
    assert bool(found.wrong) == noticed


def test_a_claim_whose_hypotheses_are_not_met_is_not_judged() -> None:
    missed = (Hypothesis("OneHot", ("y",)), Hypothesis("Spectral", ("Wo",), 9.0), Hypothesis("Nonempty", ("V",)))
    empty = layer(mask="sparse", density=0.0)
    for hypothesis in missed:
        found = judge_motif(said("ascent", (hypothesis,)), Simulation(empty, 2), 300)
        assert (found.met, found.wrong) == ({}, [])
        assert found.short == {hypothesis.kind: 1}


def test_the_claims_of_a_circuit_are_read_with_their_attractors() -> None:
    found = derived(text(layer()))
    assert found.claims["W"].verdict == "gradient"
    assert found.claims["Wo"] == Claim("exact", "proved", 1, frozenset())
    assert [a["kind"] for a in found.attractors if a["left"] == "V"] == ["pair"]
