"""Verdicts on circuits of many ticks, phases and spikes, and that they are so.

Numbers come from the reference interpreter, finite differences of the evaluation loss, and NumPy written out here.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from bench import Bench
from derivation_texts import EXACT, GRADIENT, OPEN, derived, kp, reason, relations, shipped, verdicts

from circuitdsl.derive.prove.hypotheses import SmallSteps
from circuitdsl.derive.read.drives import Drive
from circuitdsl.graph.resolve import load_text
from circuitdsl.twin.gradient import graded_synapses, learning_synapses, role, twin

# ---------------------------------------------------------------- is `exact` the gradient?


def descents(bench: Bench, synapse: str, example: int) -> tuple[np.ndarray, np.ndarray]:
    """What one example adds to a weight, and minus the gradient of its evaluation loss by finite differences."""
    step = bench.engine.increments(bench.state, bench.data, np.array([example]), bench.numbers, seed=0, epoch=0)
    weights, gradient = bench.state.weights[synapse], np.zeros_like(bench.state.weights[synapse])
    for at in np.ndindex(weights.shape):
        ends = []
        for h in (1e-5, -1e-5):
            weights[at] += h
            ends.append(bench.evaluate([example]).loss)
            weights[at] -= h
        gradient[at] = (ends[0] - ends[1]) / 2e-5
    return step[synapse], -gradient


def assert_exact(text: str, synapse: str) -> None:
    """The update is one positive multiple, the one that is told, of the descent of each example."""
    bench = Bench(text, examples=3)
    factors = []
    for example in range(3):
        step, descent = descents(bench, synapse, example)
        assert np.abs(descent).max() > 1e-4
        factors.append(float((step * descent).sum() / (descent**2).sum()))
        np.testing.assert_allclose(step, factors[-1] * descent, atol=2e-6 * abs(factors[-1]))
    found = derived(text)
    drive, form = found[synapse].drive, found[synapse].form
    assert isinstance(drive, Drive)
    assert form is not None
    told = found.symbols.constants.value(drive.rate * form.factor)
    assert told > 0
    np.testing.assert_allclose(factors, told, rtol=1e-4)


# ---------------------------------------------------------------- one tick among many


def phased(schedule: str, flag: str = "on", extra: str = "", **changes: str) -> str:
    """Kolen-Pollack with rules that run in one phase."""
    rules = {
        "hidden": f"{flag} * (eta * post.apical * step(post.basal) * pre - eta * gamma * w)",
        "feedback": f"{flag} * (eta * post * pre - eta * gamma * w)",
        "output": f"{flag} * (eta * err * pre - eta * gamma * w)",
    }
    return kp(**(rules | changes), extra=f"schedule {{ {schedule} }} {extra}")


@pytest.mark.parametrize(
    "schedule",
    ["phase on: 1   phase mirror: 2 train", "phase wait: 3   phase on: 1", "phase on: 1   phase off: 1 train",
     "phase before: 4 train   phase on: 1   update = example", "phase wait: 2   phase on: 1   phase late: 3 train"],
)  # fmt: skip
def test_ticks_in_which_a_rule_is_0_drop_out(schedule: str) -> None:
    found = derived(phased(schedule))
    assert verdicts(found) == {"W": GRADIENT, "Wo": EXACT}
    assert found.dc is True
    assert relations(found) == [("V", "Wo", "exact", pytest.approx(1))]
    text = re.sub(r" - eta \* gamma \* w", "", phased(schedule))
    assert verdicts(derived(text))["Wo"] == EXACT
    assert_exact(text, "Wo")


def test_what_is_on_in_other_phases_only_is_not_on_the_way() -> None:
    """Where the loss is read nothing of another phase is left: noise, another rate, another error."""
    found = derived(phased(
        "phase on: 1   phase sleep: 3 train", rate="where(sleep, randn(), relu(basal))",
        err="where(sleep, 0.1 * randn(), y - out)",
    ))  # fmt: skip
    assert verdicts(found) == {"W": GRADIENT, "Wo": EXACT}


STATE = "state v = 0   dv = basal - v   "


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (phased("phase wait: 1   phase on: 1", flag="1"), "other ticks too"),
        (phased("phase on: 1   phase off: 1 train", flag="off"), "its rule is 0"),
        (phased("phase on: 1   phase off: 1 train", flag="(on + off)"), "other ticks too"),
        (phased("phase wait: 1   phase on: 2"), "other ticks too"),
        (phased("phase wait: 2   phase on: 1", rate="relu(v)").replace("apical   rate", f"apical   {STATE}rate"),
         "later ticks too (by `h.v`)"),
        (phased("phase wait: 2   phase on: 1", rate="relu(basal + prev(basal))"),
         "later ticks too (by `prev(h.basal)`)"),
    ],
)  # fmt: skip
def test_what_runs_through_several_ticks_is_open(text: str, why: str) -> None:
    found = derived(text)
    assert verdicts(found)["W"] == OPEN
    assert why in reason(found, "W")


def test_a_state_before_the_error_is_carried_into_the_readout() -> None:
    """W is taught through a state, Wo at the tick at which it is read."""
    text = phased("phase wait: 2   phase on: 1", rate="relu(v)").replace("apical   rate", f"apical   {STATE}rate")
    assert verdicts(derived(text)) == {"W": OPEN, "Wo": EXACT}
    assert_exact(text.replace(" - eta * gamma * w", ""), "Wo")


def test_ticks_of_training_leave_nothing_that_evaluation_has_not() -> None:
    text = phased("phase wait: 2 train   phase on: 1", rate="relu(v)")
    found = derived(text.replace("apical   rate", f"apical   {STATE}rate"))
    assert verdicts(found)["Wo"] == OPEN
    assert "`h.v` comes from the ticks of `wait` too" in reason(found, "Wo")
    flagged = derived(phased("phase wait: 2   phase on: 1", rate="relu(v)").replace(
        "apical   rate", "apical   state v = 0   dv = train * basal - v   rate"
    ))  # fmt: skip
    assert "`h.v` is not the same in training and in evaluation" in reason(flagged, "Wo")
    counting = derived(phased("phase wait: 2 train   phase on: 1", rate="relu(basal + tick)"))
    assert "`tick` counts those of `wait`" in reason(counting, "Wo")


def test_decay_in_all_ticks() -> None:
    """The pair shrinks in every tick; what the readout does besides decaying is its gradient."""
    always = {
        "hidden": "on * eta * post.apical * step(post.basal) * pre - eta * gamma * w",
        "feedback": "on * eta * post * pre - eta * gamma * w", "output": "on * eta * err * pre - eta * gamma * w",
    }  # fmt: skip
    found = derived(phased("phase on: 1   phase off: 4 train", **always))
    assert verdicts(found) == {"W": GRADIENT, "Wo": EXACT}
    uneven = always | {"feedback": "on * eta * post * pre - 2 * eta * gamma * w"}
    assert relations(derived(phased("phase on: 1   phase off: 4 train", **uneven))) == []
    once = always | {"feedback": "on * (eta * post * pre - eta * gamma * w)"}
    assert relations(derived(phased("phase on: 1   phase off: 4 train", **once))) == []
    summed = derived(phased("phase on: 1   phase off: 4 train   update = example",
                            **(once | {"feedback": "on * (eta * post * pre - 5 * eta * gamma * w)"})))  # fmt: skip
    assert relations(summed) == [("V", "Wo", "exact", pytest.approx(1))]


def test_states_of_rules_that_move_in_other_ticks() -> None:
    text = phased("phase on: 1   phase off: 1 train", wo="state m = 0   dm = 0.1 * (on * err * pre - m)", output="m")
    assert verdicts(derived(text))["Wo"] == OPEN
    gated = text.replace("0.1 * (on * err * pre - m)", "on * 0.1 * (err * pre - m)").replace("dw = m", "dw = on * m")
    assert verdicts(derived(gated))["Wo"] == ("gradient", "derived")


def test_a_rule_that_never_runs() -> None:
    found = derived(phased("phase on: 1   phase never: 0 train", output="never * eta * err * pre"))
    assert verdicts(found)["Wo"] == ("none", "proved")


def test_a_kept_state_is_no_constant() -> None:
    """It moves in the ticks after, so that it is not what it starts from when the loss is read."""
    text = phased("phase on: 1   phase off: 1 train", rate="theta * basal", hidden="on * eta * post.apical * pre")
    found = derived(text.replace("apical   rate", "apical   state theta = 1 keep   dtheta = off * 0.1 * basal   rate"))
    assert verdicts(found)["W"] != GRADIENT


# ---------------------------------------------------------------- readouts


def readout(
    *, schedule: str = "phase run: 6", rule: str = "last(run) * 0.1 * err * pre", loss: str = "cross_entropy(out, y)",
    out: str = "dendrite basal   rate = softmax(basal)", drift: str = "", back: str = "",
) -> str:  # fmt: skip
    return f"""circuit c {{
  input x: 3   target y: 3
  neuron h: 4 {{ dendrite basal, rec   state v = 0   rate = tanh(v)   dv = 0.4 * (basal + rec - v) }}
  neuron out: 3 {{ {out} }}
  neuron err: 3 {{ rate = y - out }}
  synapse W: x -> h.basal {{ {drift} }}
  synapse R: {back or "h"} -> h.rec {{ connect = dense }}
  synapse Wo: h -> out.basal {{ dw = {rule} }}
  schedule {{ {schedule} }}
  loss = {loss}
}}"""


@pytest.mark.parametrize(
    "text",
    [
        readout(),
        readout(back="prev(h)"),
        readout(schedule="phase cue: 4   phase run: 2", loss="cross_entropy(out, y) at run"),
        readout(schedule="phase run: 6   update = example", rule="0.1 * err * pre",
                loss="cross_entropy(out, y) over run"),
        readout(schedule="phase cue: 4   phase run: 3   update = example", rule="run * 0.1 * err * pre",
                loss="cross_entropy(out, y) over run"),
        readout(loss="mse(out, y)", out="dendrite basal   rate = basal"),
    ],
)  # fmt: skip
def test_a_readout_taught_where_the_loss_is_read(text: str) -> None:
    assert verdicts(derived(text)) == {"Wo": EXACT}
    assert_exact(text, "Wo")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (readout(rule="0.1 * err * pre"), "other ticks too (other ticks of `run`)"),
        (readout(rule="first(run) * 0.1 * err * pre"), "its rule is 0: it runs in the first tick of `run`"),
        (readout().replace("R: h ->", "R: out ->").replace("dense", "dense   dw = 0"), "later ticks too (by `h.v`)"),
        (readout(out="dendrite basal   state u = 0   rate = softmax(u)   du = 0.5 * (basal - u)"), "(by `out.u`)"),
        (readout(rule="0.1 * err * pre", loss="cross_entropy(out, y) over run"), "`update = tick`"),
        (readout(rule="last(run) * 0.1 * err * pre", loss="cross_entropy(out, y) over run"), "not alike"),
        (readout(loss="cross_entropy(out, y) over run", schedule="phase run: 6   update = example"), "not alike"),
        (readout(loss="cross_entropy(out, y) at cue", schedule="phase cue: 2   phase run: 2"), "its rule is 0"),
        (readout(rule="last(run) * 0.1 * err.before * pre").replace(" rate = y", " let before = prev(err)   rate = y"),
         "the credit prev(err)"),
        (readout(rule="last(run) * 0.1 * err * pre.v"), "takes h.v for its presynaptic rate"),
    ],
)  # fmt: skip
def test_a_readout_that_is_not(text: str, why: str) -> None:
    found = derived(text)
    assert verdicts(found)["Wo"] == OPEN
    assert why in reason(found, "Wo")


def test_a_readout_of_weights_that_learn_meanwhile() -> None:
    """Ticks that a state remembers saw these weights as they were: exact for small steps."""
    found = derived(readout(drift="dw = 0.001 * post * pre"))
    assert verdicts(found)["Wo"] == ("gradient", "derived")
    assert SmallSteps("W") in found["Wo"].assumes
    later = derived(readout(drift="dw = last(run) * 0.001 * post * pre"))
    assert verdicts(later)["Wo"] == EXACT
    summed = derived(readout(drift="dw = 0.001 * post * pre", schedule="phase run: 6   update = example"))
    assert verdicts(summed)["Wo"] == EXACT
    kept = readout(schedule="phase run: 6   update = example").replace("rate = tanh(v)", "rate = tanh(v + k)")
    kept = derived(kept.replace("state v = 0", "state k = 0 keep   dk = 0.01 * rate   state v = 0"))
    assert verdicts(kept)["Wo"] == ("gradient", "derived")
    assert SmallSteps("h.k") in kept["Wo"].assumes


def test_library() -> None:
    assert verdicts(shipped("recurrent/balanced.circ")) == {"WEI": ("none", "proved"), "Wo": EXACT}
    assert verdicts(shipped("recurrent/lif_stdp.circ")) == {"W": ("none", "proved"), "Wo": ("gradient", "derived")}
    assert verdicts(shipped("recurrent/leaky_rate.circ")) == {"Win": OPEN, "Wrec": OPEN, "Wout": EXACT}
    assert set(verdicts(shipped("models/equilibrium_propagation.circ")).values()) == {OPEN}
    assert relations(shipped("models/predictive_coding.circ")) == [("V2", "W2", "tied", 1)]


INFOMAX = """circuit ffnet {
  input x: 5   target y: 3
  neuron wrong: 3 { let noise = rand()   rate = onehot_max(noise * (1 - y)) }
  neuron lab: 3 { rate = positive * y + negative * wrong }
  neuron h: 6 { dendrite d   rate = relu(d) }
  synapse W: x -> h.d { dw = 0.03 * pre * post * (positive * (1 - p) - negative * p) }
  synapse L: lab -> h.d { dw = 0.03 * pre * post * (positive * (1 - p) - negative * p) }
  modulator p = 1 / (1 + exp(-(sum(h * h) - 20)))
  neuron out: 3 { dendrite d   rate = softmax(d) }
  neuron err: 3 { rate = y - out }
  synapse R: h -> out { dw = 0.02 * err * pre * neutral }
  schedule { phase neutral: 1   phase positive: 1 train   phase negative: 1 train }
  loss = cross_entropy(out, y) at neutral
}"""


def test_forward_forward_is_undecided() -> None:
    """Its rules run in phases that evaluation has not; they see the label there, so that they are not `none`."""
    found = derived(INFOMAX)
    assert verdicts(found) == {"W": OPEN, "L": OPEN, "R": EXACT}
    assert "`positive`, `negative`" in reason(found, "W")
    assert_exact(INFOMAX, "R")


# ---------------------------------------------------------------- spikes


def test_weights_behind_a_step_are_learning() -> None:
    found = shipped("models/eprop.circ")
    assert {s: found[s].role for s in ("Win", "Wrec", "Wout", "B")} == {
        "Win": "learning", "Wrec": "learning", "Wout": "learning", "B": "fixed"
    }  # fmt: skip
    for name in ("Win", "Wrec"):
        assert verdicts(found)[name] == OPEN
        assert "runs through a step (`h`)" in reason(found, name)


STEPS = {
    "step": "step(basal)", "sign": "sign(basal)", "comparison": "basal > 0.1", "where": "where(basal > 0, 1, 0.2)",
    "winner": "onehot_max(basal)",
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_behind_a_step(name: str) -> None:
    text = kp(rate=STEPS[name], slope="")
    circuit = load_text(text).circuit
    assert circuit is not None
    assert (role(circuit, "W"), role(circuit, "V")) == ("learning", "auxiliary")
    assert learning_synapses(circuit) == ("W", "Wo")
    assert graded_synapses(circuit) == ("Wo",)
    assert twin(circuit).synapses["W"].dw is None
    found = derived(text)
    assert verdicts(found) == {"W": OPEN, "Wo": EXACT}
    assert "runs through a step (`h`): the gradient is 0 almost everywhere" in reason(found, "W")
    assert found["W"].gradient is None


def test_a_gate_is_a_step() -> None:
    """A dendrite that only opens a gate: the loss depends on it, but its gradient is 0."""
    text = kp(rate="relu(basal) * step(gate)", slope="", extra="synapse G: x -> h.gate { dw = post.apical * pre }")
    found = derived(text.replace("dendrite basal, apical", "dendrite basal, apical, gate"))
    assert found["G"].role == "learning"
    assert verdicts(found)["G"] == OPEN
    assert "`h`" in reason(found, "G")


def test_behind_a_step_but_blind() -> None:
    """Where no path leads from the error to the rule, that comes first."""
    assert verdicts(derived(kp(rate="step(basal)", slope="", hidden="eta * post * pre")))["W"] == ("none", "proved")


def test_a_way_beside_the_step() -> None:
    assert verdicts(derived(kp(rate="relu(basal) + step(basal)")))["W"] == GRADIENT


def test_what_a_step_does_not_reach() -> None:
    text = kp(extra="neuron k: 6 { dendrite d   rate = step(d) }   synapse K: x -> k.d { dw = post * pre }")
    assert derived(text)["K"].role == "auxiliary"
