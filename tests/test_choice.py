"""`--target auto`: what it takes, and why."""

from __future__ import annotations

import pytest
from bench import library

from circuitdsl.cli.main import main
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.runtime import choice
from circuitdsl.runtime.choice import Choice, chosen
from circuitdsl.runtime.errors import UsageError

KP = "heterosynaptic/kolen_pollack.circ"


def of(batch: int) -> Choice:
    circuit = library(KP)
    return chosen(circuit, numbers_of(circuit, {}), batch, "float32")


def test_a_small_network_stays_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "the_gpu", lambda: None)
    for batch in (1, 16):
        assert of(batch).target == "cpu"
        assert "weights is too small for a GPU" in of(batch).why


def test_a_large_one_takes_a_gpu_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "the_gpu", lambda: None)
    assert of(4096).target == "cuda"  # a batch of that size is in no block's shared memory

    def missing() -> None:
        raise UsageError("there is no NVIDIA driver on this machine (none found); use another")

    monkeypatch.setattr(choice, "the_gpu", missing)
    found = of(4096)
    assert found.target == "cpu"
    assert found.why.endswith("but there is no NVIDIA driver on this machine (none found)")


def test_a_run_says_what_it_chose(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["run", KP, "--target", "auto", "--epochs", "0"])
    assert capsys.readouterr().err.startswith("target cpu: one network of 5,376 weights is too small for a GPU")
