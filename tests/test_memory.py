"""A run holds its weights once, and little beside them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from circuitdsl.api import Outcome, Request, Simulation, loads
from circuitdsl.graph import blocks
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower import crew, wide
from circuitdsl.runtime import aside, results
from circuitdsl.runtime.aside import InFile, InMemory, put_aside
from circuitdsl.runtime.health import warnings_of
from circuitdsl.runtime.state import load_weights, save_weights, state_arrays

UNITS = 2000

WIDE = """circuit wide {
  param eta = 0.001   param n = 8
  input x: n
  target y: n
  neuron out: n { dendrite basal   rate = tanh(basal) }
  neuron err: n { rate = y - out }
  synapse W: x -> out.basal { dw = eta * err * pre   bounds = [-1, 1] }
  record norm(W), max(W)   loss = mse(out, y)
}"""


def request(units: int) -> Request:
    rng = np.random.default_rng(0)
    data = tuple(rng.standard_normal((5, units)).astype(np.float32) for _ in range(2))
    return Request(data=data, epochs=2, seed=0, scale="none", params={"n": units})  # type: ignore[arg-type]


def whole_life(simulation: Simulation, units: int, folder: Path) -> Outcome:
    """A run with everything that `run` does about it."""
    outcome = simulation.execute(request(units))
    results.write(folder / "run.nc", simulation.dataset_of(outcome))
    save_weights(folder / "w.safetensors", outcome.run.circuit, outcome.run.state)
    load_weights(folder / "w.safetensors", outcome.run.circuit, outcome.run.state)
    with results.opened(folder / "run.nc") as saved:
        results.continue_from(outcome.run, saved, outcome.loop.updates_per_epoch)
    assert outcome.run.state.weights["W"].shape == (units, units)
    warnings_of(outcome.loop, outcome.run)
    return outcome


def test_a_run_takes_little_more_than_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "WEIGHTS", 0)  # one code for few units and many
    monkeypatch.setattr(wide, "OF_MOST", 0)
    simulation = Simulation(loads(WIDE), target="cpu")
    whole_life(simulation, 8, tmp_path)  # imports and compiles
    monkeypatch.setattr(blocks, "BLOCK", 1 << 16)
    monkeypatch.setattr(aside, "LARGE", 1 << 20)
    tracemalloc.start()
    try:
        outcome = whole_life(simulation, UNITS, tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcome.run.epochs_done == 2
    assert peak < 1.2 * outcome.run.state.weights["W"].nbytes


def test_values_made_in_pieces_are_those_of_whole_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = load_text("""circuit c {
      input x: 30   neuron h: 20 { dendrite d rate = d   state v = uniform(0, 1) keep  dv = 0 * d }
      synapse A: x -> h { init = normal(0, 1) + abs(uniform(-1, 1)) * normal(2, 3)  bounds = [-4, 4] }
      synapse B: x -> h { connect = sparse(0.4) & fan_in(5)  sign = excitatory  init = uniform(-1, 1)
                          state m = 0.5 * uniform(0, 1)  dm = 0 * m   dw = m }
      synapse C: prev(h) -> h { connect = no_self  init = orthogonal + 0.1 * normal(0, 1) + identity }
      synapse D: prev(h) -> h { init = transpose(C) }
    }""").circuit
    assert circuit is not None
    whole = initial_state(circuit, numbers_of(circuit, {}), 1, dtype="float32")
    monkeypatch.setattr(blocks, "BLOCK", 64)
    pieces = initial_state(circuit, numbers_of(circuit, {}), 1, dtype="float32")
    for name, array in state_arrays(whole).items():
        assert np.array_equal(array, state_arrays(pieces)[name]), name
    for name in whole.projections:
        mask = whole.mask(name)
        assert mask is None or np.array_equal(mask, pieces.mask(name)), name
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([1, *_words("A")])))
    first, second = rng.standard_normal((20, 30)), rng.random((20, 30))
    by_hand = first + np.abs(-1 + 2 * second) * (2 + 3 * rng.standard_normal((20, 30)))
    assert np.allclose(whole.weights["A"], np.clip(by_hand, -4, 4))


def _words(key: str) -> list[int]:
    from hashlib import sha256

    return np.frombuffer(sha256(key.encode()).digest(), dtype="<u4").tolist()


@pytest.mark.parametrize(("large", "kind"), [(0, InFile), (1 << 30, InMemory)])
def test_what_is_put_aside_comes_back(large: int, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = load_text(WIDE).circuit
    assert circuit is not None
    state = initial_state(circuit, numbers_of(circuit, {}), 1, dtype="float32")
    before = state.copy()
    monkeypatch.setattr(aside, "LARGE", large)
    held = put_aside(state)
    assert isinstance(held, kind)
    state.weights["W"] += 1
    taken = aside.taken_out(held, state)
    assert np.array_equal(taken.weights["W"], before.weights["W"])
    assert not np.array_equal(state.weights["W"], before.weights["W"])
    held.restore(state)
    assert np.array_equal(state.weights["W"], before.weights["W"])


def test_a_full_disk_puts_a_state_aside_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = load_text(WIDE).circuit
    assert circuit is not None
    state = initial_state(circuit, numbers_of(circuit, {}), 1, dtype="float32")

    class Full:
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr(aside, "LARGE", 0)
    monkeypatch.setattr(aside, "TemporaryFile", Full)
    assert isinstance(put_aside(state), InMemory)
