"""What people write who come from another language, or who are in a hurry: the message says what to write here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from circuitdsl.diagnostics import CircuitError, Diagnostic, Severity
from circuitdsl.graph.resolve import load_text

CIRCUIT = """circuit c {
  param eta = 0.1
  input x: 4   target y: 3
  neuron h: 5 { dendrite d   rate = relu(d) }
  neuron out: 3 { dendrite d   rate = softmax(d) }
  neuron err: 3 { rate = y - out }
  synapse W: x -> h.d { init = normal(0, 1) }
  synapse V: h -> out.d { dw = eta * err * pre }
  loss = cross_entropy(out, y)
  task t { data = iris   epochs = 2   batch = 4   seed = 0   metric = accuracy(out, y) }
}"""
LIST = Path(__file__).resolve().parent / "beginners.txt"


def findings(text: str) -> tuple[Diagnostic, ...]:
    try:
        return load_text(text).warnings
    except CircuitError as error:
        return error.diagnostics


def mistakes() -> Iterator[tuple[str, str, str, str]]:
    """(the text that is replaced, by what, code, part of the hint)."""
    old = ""
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("==="):
            old = line[4:]
        elif not line.startswith("#"):
            written, code, hint = line.rsplit(" |", 2)
            yield old, written, code.strip(), hint.strip()


def test_the_circuit_itself_is_right() -> None:
    assert findings(CIRCUIT) == ()


@pytest.mark.parametrize(("old", "written", "code", "hint"), list(mistakes()), ids=lambda v: str(v)[:40])
def test_what_the_hint_says(old: str, written: str, code: str, hint: str) -> None:
    assert old in CIRCUIT
    found = findings(CIRCUIT.replace(old, written, 1))
    told = [d for d in found if d.code == code]
    assert told, [(d.code, d.title) for d in found]
    assert any(hint in (d.hint or "") for d in told), [d.hint for d in told]
    assert len({d.title for d in found if d.severity is Severity.ERROR}) <= 2  # one mistake, and no crowd of echoes


REDUCED = [
    ("rate = relu(d)", "rate = d / sum(d)"),
    ("rate = relu(d)", "let a = d rate = a - mean(a)"),
    ("rate = relu(d)", "state v = 0 dv = d - v / max(abs(v)) rate = v"),
    ("dw = eta * err * pre", "dw = eta * err * pre / (1 + sum(pre))"),
    ("dw = eta * err * pre", "dw = eta * err * pre * mean(abs(post.d))"),
    ("dw = eta * err * pre", "dw = eta * err * pre * norm(err)"),
    ("neuron h: 5 {", "modulator m = mean(y) neuron g: 5 { rate = m * sum(x) } neuron h: 5 {"),
]


@pytest.mark.parametrize(("old", "new"), REDUCED)
def test_the_hint_of_a_reduction_can_be_followed(old: str, new: str) -> None:
    """What it says is done: no error is left."""
    text = CIRCUIT.replace(old, new)
    (found,) = [d for d in findings(text) if d.severity is Severity.ERROR]
    declared = re.fullmatch(r"declare `(modulator (\w+) = .*)`, and read `\2`", found.hint or "")
    assert declared, found.hint
    assert found.span is not None
    followed = text[: found.span.start] + declared[2] + text[found.span.end :]
    followed = followed.replace("  loss =", f"  {declared[1]}\n  loss =")
    assert [d for d in findings(followed) if d.severity is Severity.ERROR] == []


def test_all_mistakes_of_a_text_are_told_at_once() -> None:
    found = findings("""circuit c {
      param eta: 0.1
      input x = 4
      target y = 3
      neuron h(3) { dendrite d   rate = relu(d) }
      synapse W: x => h.d { dw += eta * pre * post }
      loss = mean(h)
    }""")
    assert [d.span.line for d in found if d.span] == [2, 3, 4, 5, 6, 6]
    assert all(d.hint for d in found)


def test_an_index_one_too_far_says_which_there_are() -> None:
    text = """circuit c {
      input x: 4
      for l in 0..2 { neuron h[l]: 4 { dendrite d   rate = relu(d) } }
      synapse Q: x -> h[0].d
      for l in 1..3 { synapse W[l]: h[l-1] -> h[l].d { dw = 0.1 * pre * post } }
      loss = mean(h[2])
    }"""
    (found,) = findings(text)
    assert found.hint is not None
    assert found.hint.startswith("`h[0]` to `h[2]` are there, and `l` is 3 here")
    (found,) = findings(text.replace("h[l-1] -> h[l].d", "h[l-1] -> h[0].d").replace("mean(h[2])", "mean(h[5])"))
    assert found.hint is not None
    assert found.hint.startswith("`h[0]` to `h[2]` are there; ")


def test_what_follows_from_a_mistake_is_not_told_as_another() -> None:
    found = findings(CIRCUIT.replace("neuron err: 3", "neuron err: 4"))
    assert {d.code for d in found} == {"C020"}


def test_a_coefficient_in_a_modulator_waits() -> None:
    text = "param special per h = uniform(0, 1)   modulator r = sum(special * h)   loss ="
    (found,) = [d for d in findings(CIRCUIT.replace("loss =", text)) if d.severity is Severity.ERROR]
    assert found.code == "C004"


def test_a_text_that_holds_nothing_says_so() -> None:
    for text in ("", "\n", "# only a comment\n"):
        (found,) = findings(text)
        assert (found.code, found.severity) == ("C008", Severity.NOTE)
    assert findings("rule r(a) = a") == ()


# ---------------------------------------------------------------- warnings that are right


QUIET = {
    "toggles": "neuron g: 3 { state k = 0   dk = 1 - 2 * k   rate = k }   record g   ",
    "a rate that is 0 or 1": "neuron g: 4 { dendrite d   state old = 0   rate = step(d)   dold = rate - old }"
    " synapse G: x -> g.d   synapse E: g.old -> g.d { init = uniform(0, 0.1)   sign = excitatory }   record g   ",
    "a clipped rate": "neuron g: 4 { state v = 0   dv = 0.1 * (x - v)   rate = clip(v, 0, 1) }"
    " synapse E: g -> h.d { init = uniform(0, 0.1)   sign = excitatory }   ",
    "a drive that is summed": "schedule { phase run: 10   update = example }"
    " synapse E: x -> h.d { drive g = 0.01 * post * pre   dw = g - 0.3 * w }   ",
    "probabilities by hand": "neuron g: 3 { dendrite d   rate = exp(d) / (1 + exp(d)) } synapse G: x -> g.d"
    "   modulator m = cross_entropy(clip(g, 0, 1), y)   record m   ",
    "a weight that grows from itself": "synapse E: x -> h.d { dw = 0.1 * w * post * pre }   ",
}


@pytest.mark.parametrize("items", QUIET.values(), ids=QUIET)
def test_no_false_alarm(items: str) -> None:
    assert [d.title for d in findings(CIRCUIT.replace("loss =", f"{items}loss ="))] == []


LOUD = {
    "C054": "synapse E: x -> h.d { dw = 0.1 * (pre * post - 30 * w) }   ",
    "C056": "neuron g: 4 { rate = x } synapse E: g -> h.d { init = uniform(0, 0.1)   sign = excitatory }   ",
    "C048": "synapse E: x -> h.d { dw = -0.1 * w * abs(post) }   ",
    "C058": "neuron g: 3 { dendrite d   rate = exp(d) } synapse G: x -> g.d   record cross_entropy(g, y) "
    "  modulator m = cross_entropy(g, y)   record m   ",
}


@pytest.mark.parametrize(("code", "items"), LOUD.items())
def test_alarms(code: str, items: str) -> None:
    assert code in [d.code for d in findings(CIRCUIT.replace("loss =", f"{items}loss ="))]
