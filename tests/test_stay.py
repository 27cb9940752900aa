"""States stay on a device while a run trains: what goes there and comes back is counted, and what is told is right."""

from __future__ import annotations

import warnings

import numba
import numpy as np
import pytest

import circuitdsl as cd
from circuitdsl.explore.evolve import evolve
from circuitdsl.runtime.backends import back_end
from circuitdsl.runtime.emulator import Emulator, the_emulator
from circuitdsl.runtime.finite import Finite

TEXT = """circuit c {
  input x: 4   target y: 3
  neuron h: 5 { state v = 0 keep   dv = 0.1 * (x_ - v)   dendrite x_   rate = tanh(x_ + v) }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  param eta = 0.1
  synapse A: x -> h.x_ { init = normal(0, 0.3)   dw = eta * post * (pre - post * w) }
  synapse B: h -> out.basal { init = normal(0, 0.3)   dw = eta * err * pre }
  loss = cross_entropy(out, y)
  task t { data = iris   epochs = 3   metric = accuracy(out, y) }
  %s
}"""
#: Bytes of A, B and v in float64.
STATE = 8 * (4 * 5 + 3 * 5 + 5)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emitted code as plain Python."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)


def run(records: str = "", **settings: object):
    """What a run leaves on the emulated device and with the reference, and the device's memory."""
    the_emulator.cache_clear()
    circuit, named = cd.loads(TEXT % records), {"epochs": 3, "batch": 1, **settings}
    found = circuit.run(target="cuda-emulated", dtype="float64", **named)
    return found, circuit.run(target="reference", dtype="float64", **named), the_emulator().memory


def test_a_state_goes_there_once_and_comes_back_once() -> None:
    found, expected, memory = run()
    for name in ("metric", "loss", "A.final", "B.final", "h.v.final"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9)
    evaluations = 4
    examples = 30
    answers = evaluations * examples * 8 * 2  # loss and metric of every test example
    asked = 3 * STATE  # is it finite? A sum for each of up to 256 numbers
    assert memory.back == STATE + answers + asked


def test_records_bring_back_what_they_read() -> None:
    _, _, before = run()
    found, expected, memory = run("record A every 40   record cos(A, A)")
    assert found["A"].shape == expected["A"].shape
    np.testing.assert_allclose(found["A"], expected["A"], rtol=1e-9)
    stretches, readings = 9, 8  # the last reading of A is what is there at the end
    assert memory.back == before.back + readings * 8 * 20 + (stretches - 3) * STATE


def test_what_is_no_longer_finite_is_found_there() -> None:
    device = Emulator(threads=8)
    target = back_end("cuda-emulated").target
    assert target is not None
    finite = Finite(device, target, "float32")
    for size in (1, 7, 300, 1000):
        array = np.ones(size, np.float32)
        device.store.take_in(array)
        assert finite(array)
        for at in (0, size // 2, size - 1):
            array[at] = (np.nan, np.inf, -np.inf)[at % 3]
            assert finite(array)  # there it is still 1
            device.store.renew([array])
            assert not finite(array)
            array[at] = 1
            device.store.renew([array])
        device.store.let_go([array])
    assert not device.store.guests


def test_a_run_that_diverges_says_the_same() -> None:
    with pytest.warns(RuntimeWarning, match="diverged"):
        found, expected, _ = run(params={"eta": 1e200})
    assert found.attrs["diverged"] == expected.attrs["diverged"]


def evolved(target: str, epochs: int) -> tuple[float, int, int]:
    """The best fitness of a first brood, and the bytes that went to the emulated device and came back."""
    memory = the_emulator().memory
    there, back = memory.there, memory.back
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how small it is
        found = evolve(
            cd.loads(TEXT % ""), ["eta:0.05"], target=target, dtype="float64", population=4, generations=1,
            epochs=epochs, jobs=1,
        )  # fmt: skip
    return float(found["fitness"].max()), memory.there - there, memory.back - back


def test_copies_of_a_brood_stay_while_they_live() -> None:
    evolved("cuda-emulated", 1)  # data stay from here on
    short, long = evolved("cuda-emulated", 1), evolved("cuda-emulated", 3)
    assert long[0] == pytest.approx(evolved("cpu", 3)[0], rel=1e-9)
    calls = 2 * 2  # two further epochs of the brood, and of the three that are compared at the end
    assert long[1] - short[1] == calls * 8 * (120 + 64)  # the order of the examples, and what a block shares
    assert long[2] == short[2]
