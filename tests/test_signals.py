"""Signals are known by what they are, and written in one place."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest
from derivation_texts import derived, kp

from circuitdsl.derive.algebra.letters import (
    ONES,
    Adjoint,
    Before,
    Delta,
    Drawn,
    Identity,
    Made,
    Named,
    Part,
    Slope,
    Whole,
    named,
)
from circuitdsl.derive.algebra.notation import signal, signal_text
from circuitdsl.derive.algebra.polynomials import signals_of
from circuitdsl.derive.algebra.words import Column, Matrix, Nature, Sum, diagonal, identity, scaled
from circuitdsl.derive.read.drives import Drive

Z = diagonal(named("h.basal", 4))
POSITIVE = diagonal(named("h.basal", 4, Nature.POSITIVE))
W = Matrix(name="W", rows=4, cols=4)

WRITTEN: list[tuple[Identity, str]] = [
    (Named("h"), "h"),
    (Adjoint("h"), "d(h)"),
    (Before("h"), "prev(h)"),
    (Delta("h.basal", "h"), "δ_h"),
    (ONES, "1"),
    (Slope(Made("tanh", Z)), "tanh(h.basal)′"),
    (Drawn(Named("p")), "a unit drawn by p"),
    (Whole((W, Column(named("h", 4))), turned=True), "|W h|"),
    (Made("step", Z), "1[h.basal > 0]"),
    (Made("step", scaled(identity(4), 2) - Z), "1[h.basal < 2]"),
    (Made("step", Z + diagonal(named("h.v", 4))), "1[h.basal + h.v > 0]"),
    (Made("ne", Z), "1[h.basal ≠ 0]"),
    (Made("", identity(4) + Z), "(1 + h.basal)"),
    (Made("inverse", Z), "1/(h.basal)"),
    (Made("pow", Z, (scaled(identity(4), "1/2"),)), "(h.basal)^(0.5)"),
    (Made("tanh", Z, part=Part.RATIO), "tanh(h.basal)/(h.basal)"),
]


@pytest.mark.parametrize(("of", "text"), WRITTEN, ids=[text for _, text in WRITTEN])
def test_written(of: Identity, text: str) -> None:
    assert signal_text(of) == text
    assert signal(of, 4).name == text


def test_no_two_kinds_are_equal() -> None:
    kinds = {of for of, _ in WRITTEN}
    assert len(kinds) == len(WRITTEN)
    assert Named("1[h.basal > 0]") != Made("step", Z)
    assert len({Named("h"), Adjoint("h"), Before("h"), Delta("h", "h"), Drawn(Named("h")), Slope(Named("h"))}) == 6


def test_what_is_known_of_a_signal_makes_no_other_function_of_it() -> None:
    assert Z != POSITIVE
    assert Made("tanh", Z) == Made("tanh", POSITIVE)
    assert hash(Made("tanh", Z)) == hash(Made("tanh", POSITIVE))
    assert Made("tanh", Z) != Made("tanh", Z, part=Part.SLOPE)
    assert Made("clip", Z, (identity(4),)) != Made("clip", identity(4), (Z,))


def test_a_name_that_looks_like_a_gate_is_none() -> None:
    """`value` is the circuit's own name; what is made of values has none."""
    assert named("1[h.basal > 0]", 4).value == "1[h.basal > 0]"
    assert signal(Made("step", Z), 4).value is None
    assert signal(Adjoint("h"), 4).value == "d(h)"


def test_gates_are_of_signals() -> None:
    drive = derived(kp()).findings["W"].drive
    assert isinstance(drive, Drive)
    gates = {s.of for t in drive.signal.terms for s in signals_of(t) if s.nature is Nature.GATE}
    assert gates == {Made("step", diagonal(named("h.basal", 6)))}


def test_another_process() -> None:
    """Text has another hash there; what is sent is as good as what is made there."""
    given: Sum = diagonal(signal(Made("tanh", Z), 4))
    script = (
        "import pickle, sys\n"
        "from test_signals import Made, Z\n"
        "(term,) = pickle.load(sys.stdin.buffer).terms\n"
        "assert {term.word[0].signal.of} == {Made('tanh', Z)}\n"
    )
    env = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], input=pickle.dumps(given), env=env, check=True)
