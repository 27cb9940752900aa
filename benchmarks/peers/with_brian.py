"""Brian2, whose standalone mode compiles C++ (where it, and a NumPy that it can be imported with, is there)."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
from cases import ETA, GAMMA, Case

from circuitdsl.graph.machine import State
from circuitdsl.graph.projections import Sparse
from peers import Run, Way

NAME = "Brian2"


def _library() -> Any:
    """Raises ImportError if it is not there, or does not go with this NumPy."""
    try:
        import brian2
    except AttributeError as problem:
        raise ImportError(f"Brian2 and NumPy {np.__version__}: {problem}") from None
    return brian2


def version() -> str:
    return f"{_library().__version__}, C++ standalone"


def few(case: Case, states: list[State]) -> Run:
    """One layer: a step of the clock is an example; a summed variable is the current, and weights learn at the end of
    the step."""
    brian = _library()
    (state,), (pre, post) = states, case.sizes
    projection = state.projections["W"]
    assert isinstance(projection, Sparse)
    brian.start_scope()
    brian.device.reinit()
    brian.device.activate()
    place = tempfile.TemporaryDirectory(prefix="brian")  # goes when nobody has the run any more
    brian.set_device("cpp_standalone", directory=place.name, build_on_run=False)
    brian.prefs.core.default_float_dtype = np.float32
    brian.prefs.codegen.cpp.extra_compile_args_gcc = ["-w", "-O3", "-march=native", "-ffast-math"]
    clock = 1 * brian.ms
    brian.defaultclock.dt = clock
    names = {
        "xs": brian.TimedArray(case.data["x"], dt=clock), "ys": brian.TimedArray(case.data["y"], dt=clock),
        "eta": ETA / 10, "gamma": GAMMA,
    }  # fmt: skip
    x = brian.NeuronGroup(pre, "rate = xs(t, i) : 1", namespace=names)
    out = brian.NeuronGroup(post, "basal : 1\nerr = ys(t, i) - tanh(basal) : 1", namespace=names)
    synapses = brian.Synapses(x, out, "w : 1\nbasal_post = w * rate_pre : 1 (summed)", namespace=names)
    synapses.connect(i=projection.columns, j=projection.posts())
    synapses.w = state.weights["W"]
    synapses.run_regularly("w += eta * err_post * rate_pre - eta * gamma * w", dt=clock, when="end")
    network = brian.Network(x, out, synapses)
    network.run(case.examples * clock)
    brian.device.build(directory=place.name, compile=True, run=False)
    device = brian.device

    def train() -> None:
        device.run(place.name, with_output=False, run_args=[])

    return Run(train, lambda: {"W": np.array(synapses.w[:])}, lambda: float(device._last_run_time))


WAYS = [Way("", "few", lambda case: True, few, slow=True)]
