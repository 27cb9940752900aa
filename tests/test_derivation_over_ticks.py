"""Relations between weights in circuits of many ticks: ties, pairs and weight mirrors, and that they are so.

Numbers come from the reference interpreter and from NumPy written out here.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from bench import Bench
from derivation_texts import EXACT, OPEN, derived, reason, relations, shipped, verdicts

from circuitdsl.derive.tell.expects import judge

# ---------------------------------------------------------------- ties and pairs


def tie(w: str = "", v: str = "init = transpose(W2)", *, up: str = "0.01 * err * pre", down: str = "0.01 * post * pre",
        source: str = "err", schedule: str = "phase run: 10") -> str:  # fmt: skip
    return f"""circuit c {{
  input x: 5   target y: 3
  neuron h: 4 {{ dendrite mu, td   state v = 0   rate = tanh(v)   dv = 0.2 * (mu - v) }}
  neuron o: 3 {{ dendrite mu   state u = 0   rate = u   du = 0.2 * (mu - u) }}
  neuron err: 3 {{ rate = y - o }}
  synapse W1: x -> h.mu {{ dw = 0.001 * post.td * pre }}
  synapse W2: h -> o.mu {{ {w}   dw = {up} }}
  synapse V: {source} -> h.td {{ {v}   dw = {down} }}
  schedule {{ {schedule} }}
  loss = mse(o, y)
  expect attractor V ~ 1 * transpose(W2)
}}"""


DECAYING = {"v": "", "up": "0.01 * (err * pre - 0.5 * w)", "down": "0.01 * (post * pre - 0.5 * w)"}


def drift_of_pair(text: str, batches: int = 3) -> list[float]:
    """|V - W2^T| after each batch."""
    bench = Bench(text)
    found = []
    for epoch in range(batches + 1):
        found.append(float(np.linalg.norm(bench.state.weights["V"] - bench.state.weights["W2"].T)))
        bench.train(batch=6, epoch=epoch)
    return found


@pytest.mark.parametrize("schedule", ["phase run: 10", "phase run: 10   update = example"])
def test_a_tie_through_all_ticks(schedule: str) -> None:
    found = derived(tie(schedule=schedule))
    assert relations(found) == [("V", "W2", "tied", 1)]
    assert [j.ok for j in judge(found)] == [True]
    assert "the gradient runs through all" in reason(found, "W2")
    np.testing.assert_allclose(drift_of_pair(tie(schedule=schedule)), 0, atol=1e-14)


def test_pairs_by_phase() -> None:
    """In two ticks of different phases, with different signs: the sums are transposes too."""
    schedule = "phase free: 4   phase run: 4 train   update = example"
    text = tie(up="(last(run) - last(free)) * 0.1 * post * pre", down="(last(run) - last(free)) * 0.1 * post * pre",
               source="o", schedule=schedule)  # fmt: skip
    assert relations(derived(text)) == [("V", "W2", "tied", 1)]
    np.testing.assert_allclose(drift_of_pair(text), 0, atol=1e-14)
    other = tie(up="(last(run) - last(free)) * 0.1 * post * pre", source="o", schedule=schedule,
                down="(last(run) - first(run)) * 0.1 * post * pre")  # fmt: skip
    assert relations(derived(other)) == []
    assert drift_of_pair(other)[-1] > 1e-3


@pytest.mark.parametrize(("schedule", "rate"), [("phase run: 10", 0.005), ("phase run: 10   update = example", 0.05)])
def test_a_pair_shrinks_by_its_rate(schedule: str, rate: float) -> None:
    text = tie(schedule=schedule, **DECAYING)
    found = derived(text)
    assert relations(found) == [("V", "W2", "exact", 1)]
    (relation,) = found.relations
    shrinks = relation.rate
    assert shrinks is not None
    assert found.symbols.constants.value(shrinks) == pytest.approx(rate)
    distances = drift_of_pair(text)
    each = (1 - rate) ** (10 if "example" not in schedule else 1)
    np.testing.assert_allclose(np.array(distances[1:]) / distances[:-1], each, rtol=1e-10)


@pytest.mark.parametrize(
    "text",
    [
        tie(v=""),  # they start apart, and nothing decays
        tie(v="init = 2 * transpose(W2)"),
        tie(source="prev(err)"),  # another tick
        tie(down="last(run) * 0.01 * post * pre"),  # in one tick only
        tie(down="0.01 * post.v * pre"),  # a state that another tick has made
        tie(down="0.02 * post * pre"),
        tie(v="init = transpose(W2)   bounds = [-1, 1]"),
        tie(v="", up="0.01 * (err * pre - 0.5 * w)", down="0.01 * (post * pre - last(run) * 0.5 * w)"),
        tie(v="", up="0.01 * (err * pre - 0.5 * w)", down="0.01 * (post * pre - last(run) * 5 * w)"),
        tie(up="0.01 * err * pre - first(run) * 0.1 * w^3", down="0.01 * post * pre - 0.1 * w^3",
            schedule="phase run: 10   update = example"),
    ],
)  # fmt: skip
def test_near_misses_of_a_tie(text: str) -> None:
    found = derived(text)
    assert relations(found) == []
    assert [j.ok for j in judge(found)] == [None]


def test_near_misses_drift_apart() -> None:
    for text in (tie(source="prev(err)"), tie(down="last(run) * 0.01 * post * pre"), tie(down="0.01 * post.v * pre")):
        distances = drift_of_pair(text)
        assert distances[0] == 0
        assert distances[-1] > 1e-4


def test_a_decay_that_its_drive_gathers_is_that_of_all_ticks() -> None:
    """`dw` that reads a drive is evaluated once, the decay within the drive in each tick."""
    schedule = "phase run: 10   update = example"
    once = "drive g = {} * pre   dw = 0.01 * g - 0.01 * w"
    within = "drive g = {} * pre - w   dw = 0.01 * g"
    texts = {}
    for name, rules in {"same": (once, once), "mixed": (once, within)}.items():
        text = tie(v="", schedule=schedule)
        text = text.replace("dw = 0.01 * err * pre", rules[0].format("err"))
        texts[name] = text.replace("dw = 0.01 * post * pre", rules[1].format("post"))
    assert relations(derived(texts["same"])) == [("V", "W2", "exact", 1)]
    distances = drift_of_pair(texts["same"])
    np.testing.assert_allclose(np.array(distances[1:]) / distances[:-1], 0.99, rtol=1e-10)
    assert relations(derived(texts["mixed"])) == []


def test_two_learning_weights_that_stay_tied() -> None:
    found = shipped("classic/contrastive_hebbian.circ")
    assert {found[s].role for s in ("V2", "W2")} == {"learning"}
    assert relations(found) == [("V2", "W2", "tied", 1)]


# ---------------------------------------------------------------- weight mirrors


def mirror(
    *, h: str = "engaged * relu(basal) + m2 * randn()", d: str = "engaged * h2.apical * step(h2.basal) + m2 * h2.basal",
    b: str = "init = normal(0, 0.1)", rule: str = "m2 * (em * post * pre - gm * em * w)",
    schedule: str = "phase engaged: 1   phase m2: 1 train",
) -> str:  # fmt: skip
    return f"""circuit c {{
  param eta = 0.05   param em = 0.01   param gm = 0.1
  input x: 5   target y: 3
  schedule {{ {schedule} }}
  neuron h1: 6 {{ dendrite basal, apical   rate = {h} }}
  neuron h2: 4 {{ dendrite basal, apical   rate = engaged * relu(basal) }}
  neuron d2: 4 {{ rate = {d} }}
  neuron out: 3 {{ dendrite basal   rate = softmax(basal) }}
  neuron err: 3 {{ rate = engaged * (y - out) }}
  synapse W1: x -> h1.basal {{ dw = engaged * eta * post.apical * step(post.basal) * pre }}
  synapse W2: h1 -> h2.basal {{ dw = engaged * eta * post.apical * step(post.basal) * pre }}
  synapse W3: h2 -> out.basal {{ dw = engaged * eta * err * pre }}
  synapse B2: d2 -> h1.apical {{ {b}   dw = {rule} }}
  synapse B3: err -> h2.apical {{ init = transpose(W3)   dw = engaged * eta * post * pre }}
  loss = cross_entropy(out, y)
}}"""


MIRRORED = ("B2", "B2", "rest")


def test_a_weight_mirror() -> None:
    found = derived(mirror())
    assert relations(found) == [("B3", "W3", "tied", 1), (*MIRRORED, pytest.approx(10))]
    assert verdicts(found) == {"W1": ("gradient", "derived"), "W2": EXACT, "W3": EXACT}
    assert "B2 → gm⁻¹ W2ᵀ at rest" in reason(found, "B2")
    assert verdicts(shipped("heterosynaptic/weight_mirror.circ")) == {
        "W1": ("gradient", "derived"), "W2": ("gradient", "derived"), "W3": EXACT
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({}, 10),
        ({"h": "engaged * relu(basal) + m2 * 0.5 * randn()"}, 2.5),
        ({"h": "where(engaged, relu(basal), noise)"}, 10),
        ({"schedule": "phase engaged: 1   phase m2: 3 train"}, 10),
        ({"schedule": "phase engaged: 1   phase m2: 3 train   update = example"}, 10),
        ({"rule": "-(em * g) - gm * em * w", "b": "drive g = -(m2 * post * pre)",
          "schedule": "phase engaged: 1   phase m2: 3 train   update = example"}, 30),
        ({"d": "engaged * h2.apical * step(h2.basal) - m2 * 2 * h2.basal"}, -20),
    ],
)  # fmt: skip
def test_what_a_mirror_comes_to(changes: dict[str, str], factor: float) -> None:
    """The factor that is derived is the one that the reference finds, with W2 held."""
    text = mirror(**changes).replace("apical   rate = where", "apical   let noise = randn()   rate = where")
    found = [r for r in relations(derived(text)) if r[0] == "B2"]
    assert found == [(*MIRRORED, pytest.approx(factor))]
    still = re.sub(r"engaged \* eta", "0 * engaged * eta", text).replace("param em = 0.01", "param em = 0.5")
    bench = Bench(still, examples=128)
    mean = np.zeros_like(bench.state.weights["B2"])
    for epoch in range(300):
        bench.train(batch=128, epoch=epoch)
        mean += bench.state.weights["B2"] * (epoch >= 120) / 180
    w2 = bench.state.weights["W2"]
    assert float((mean * w2.T).sum() / (w2**2).sum()) == pytest.approx(factor, rel=0.06)
    assert abs(np.corrcoef(mean.ravel(), w2.T.ravel())[0, 1]) > 0.99


def test_a_mirror_by_hand() -> None:
    """Akrout et al. 2019 in NumPy, while W2 moves slowly: cos(B2, W2^T) goes to 1, and the size to 1/gm."""
    rng = np.random.default_rng(0)
    w, b = rng.normal(0, 0.3, (4, 6)), rng.normal(0, 0.1, (6, 4))
    em, gm = 0.01, 0.1
    start = np.corrcoef(b.ravel(), w.T.ravel())[0, 1]
    for _ in range(10_000):
        w += 1e-4 * rng.normal(0, 0.3, w.shape)
        noise = rng.normal(size=(16, 6))
        b += em * (noise.T @ (noise @ w.T) / 16 - gm * b)
    assert abs(start) < 0.5
    assert np.corrcoef(b.ravel(), w.T.ravel())[0, 1] > 0.99
    assert np.linalg.norm(b) / np.linalg.norm(w) == pytest.approx(1 / gm, rel=0.05)


@pytest.mark.parametrize(
    "changes",
    [
        {"h": "engaged * relu(basal) + m2 * relu(randn())"},  # its mean is not 0
        {"h": "engaged * relu(basal) + m2 * rand()"},
        {"h": "engaged * relu(basal) + m2 * (basal + randn())"},  # E has a part of the data
        {"d": "engaged * h2.apical * step(h2.basal) + m2 * randn()"},  # independent noise: W2 is not in it
        {"d": "engaged * h2.apical * step(h2.basal) + m2 * relu(h2.basal)"},
        {"b": "sign = excitatory"},
        {"b": "bounds = [-1, 1]"},
        {"b": "connect = sparse(0.5)"},
        {"rule": "m2 * em * post * pre"},  # nothing decays
        {"rule": "m2 * (em * post * pre + gm * em * w)"},
        {"rule": "m2 * (em * post * pre - 300 * w)"},
        {"rule": "m2 * em * post * pre - gm * em * w"},  # it decays in other ticks too
        {"rule": "em * post * pre - gm * em * w"},  # and is driven there
        {"rule": "m2 * (em * post * pre - gm * em * w^3)"},
    ],
)
def test_near_misses_of_a_mirror(changes: dict[str, str]) -> None:
    found = derived(mirror(**changes))
    assert [r for r in relations(found) if r[0] == "B2"] == []
    assert verdicts(found)["W1"] == OPEN


def test_one_noise_for_both_sides() -> None:
    """Two draws that are written apart are independent; one that is written once is one."""
    text = mirror(h="where(engaged, relu(basal), noise)", d="where(engaged, h2.apical * step(h2.basal), h2.basal)")
    text = text.replace("apical   rate = where", "apical   let noise = m2 * (randn() + randn())   rate = where")
    assert [r for r in relations(derived(text)) if r[0] == "B2"] == [(*MIRRORED, pytest.approx(20))]


def test_nothing_to_judge() -> None:
    """Without a loss there are relations only."""
    found = derived(tie().replace("loss = mse(o, y)", ""))
    assert [j.ok for j in judge(found)] == [True]
    assert {f.role for f in found.findings.values()} == {"auxiliary"}
