"""A key press is never lost, wherever it comes."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from circuitdsl.api import Request, Simulation, loads
from circuitdsl.runtime import simulate as simulation_module
from circuitdsl.runtime.stopping import noticing, stop_if_told, told_to_stop, unbroken

TINY = """circuit tiny {
  input x: 2   target y: 1
  neuron out: 1 { dendrite basal   rate = sigmoid(basal) }
  neuron err: 1 { rate = y - out }
  synapse W: x -> out.basal { dw = 0.1 * err * pre }
  loss = cross_entropy(out, y)
  task t { data = two_moons   epochs = 5   batch = 8   metric = accuracy(out, y) }
}"""


class Forgotten:
    """Presses Ctrl-C when it is forgotten, where Python loses what is raised."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def press_where_it_is_lost() -> None:
    thing = Forgotten()
    del thing


def test_a_key_press_that_python_loses_is_noted_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with noticing():
        press_where_it_is_lost()
        assert told_to_stop()
        with pytest.raises(KeyboardInterrupt):
            stop_if_told()
    assert not told_to_stop()
    assert capfd.readouterr().err == ""


def test_a_key_press_is_raised_where_it_can_be() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), noticing():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert not told_to_stop()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_other_signals_that_ask_for_the_end_are_key_presses(name: str) -> None:
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip("no such signal here")
    before = signal.signal(number, signal.SIG_DFL)  # the suite may run where it is ignored, under `nohup`
    try:
        with pytest.raises(KeyboardInterrupt), noticing():
            signal.raise_signal(number)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal here")
def test_a_signal_that_the_process_ignores_stays_ignored() -> None:
    """`nohup`: the terminal may be closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with noticing():
            signal.raise_signal(signal.SIGHUP)
            assert not told_to_stop()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_must_not_be_broken_off_is_not() -> None:
    done: list[str] = []

    @unbroken()
    def write() -> None:
        with unbroken():
            signal.raise_signal(signal.SIGINT)
            done.append("inner")
        done.append("outer")

    with noticing():
        with pytest.raises(KeyboardInterrupt):
            write()
        with unbroken():  # what is saved after a key press is saved
            done.append("after")
    assert done == ["inner", "outer", "after"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_other_things_that_python_loses_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError("lost")

    told: list[str] = []
    monkeypatch.setattr("sys.unraisablehook", lambda lost: told.append(str(lost.exc_value)))
    with noticing():
        thing = Broken()
        del thing
    assert told == ["lost"]


def test_a_run_stops_for_a_key_press_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    train = simulation_module._train
    calls = 0

    def press(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            press_where_it_is_lost()
        train(*arguments)

    monkeypatch.setattr(simulation_module, "_train", press)
    with noticing():
        stopped = Simulation(loads(TINY), target="reference").execute(Request()).run
    assert (stopped.interrupted, stopped.epochs_done) == (True, 3)


def test_in_a_thread_signals_are_left_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with noticing():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
