"""Numbers too large for a computer, or none at all, anywhere in a text: a message or a derivation, and no exception."""

from __future__ import annotations

from collections.abc import Sequence

import fuzz
import pytest

from circuitdsl.diagnostics import CircuitError, Diagnostic, Source
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.resolve import load_source

#: (a number as it is written, the value of the param k)
NUMBERS = [
    ("1e999", "1"), ("1/0", "1"), ("-1/0", "1"), ("0/0", "1"), ("log(0)", "1"), ("1e308*10", "1"), ("10^400", "1"),
    ("k", "1/0"), ("k", "0/0"), ("k*k", "1e200"), ("k^3", "1e200"), ("1/(k*k)", "1e-200"), ("k/1e-300", "1e200"),
]  # fmt: skip
RATES = (
    "b^({})", "({})^b", "mod(b, {})", "mod({}, b)", "floor(({}) * b)", "clip(b, 0, {})", "where(b > {0}, b, {0})",
    "max(b, {})", "step(b - ({}))", "tanh(({}) * b)", "relu(({}) * b)",
)  # fmt: skip
RULES = ("eta * pre * err^({})", "eta * pre * err - w^({})", "({}) * pre * err - eta * w", "eta * pre * err - ({}) * w")
CONNECTED = ("connect = fan_in({})", "connect = fan_out({})", "connect = bernoulli({})")


def text(k: str, *, rate: str = "tanh(b)", rule: str = "eta * pre * err", connect: str = "", schedule: str = "") -> str:
    return f"""circuit infinite {{
  param eta = 0.1   param k = {k}
  input x: 4   target y: 3
  neuron h: 5 {{ dendrite b   rate = {rate} }}
  neuron out: 3 {{ dendrite b   rate = softmax(b) }}
  neuron err: 3 {{ rate = y - out }}
  pair out ~ err
  synapse U: x -> h.b {{ init = normal(0, 0.1)   {connect} }}
  synapse W: h -> out.b {{ init = normal(0, 0.1)   dw = {rule} }}
  {schedule}
  loss = cross_entropy(out, y)
}}"""


def texts(number: str, k: str) -> list[str]:
    return [
        *(text(k, rate=rate.format(number)) for rate in RATES),
        *(text(k, rule=rule.format(number)) for rule in RULES),
        *(text(k, connect=connect.format(number)) for connect in CONNECTED),
        text(k, schedule=f"schedule {{ phase settle: {number} }}"),
    ]


@pytest.mark.parametrize(("number", "k"), NUMBERS)
def test_it_is_told_or_derived(number: str, k: str) -> None:
    for each in texts(number, k):
        circuit, told = read(each)
        assert all(d.span is not None for d in told)  # each with its place
        if circuit is not None:
            fuzz._derived(circuit)
            fuzz._run(circuit)
        else:
            assert told


def read(each: str) -> tuple[Circuit | None, Sequence[Diagnostic]]:
    try:
        return load_source(Source("infinite.circ", each), None).circuit, ()
    except CircuitError as error:
        return None, error.diagnostics


@pytest.mark.parametrize("seed", [19883, 30886])
def test_programs_that_brought_forth_an_exception(seed: int) -> None:
    assert fuzz.examined(seed).fault is None
