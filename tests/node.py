"""The JavaScript of a circuit, run by node: an `Engine` (graph/machine.py), and whatever else emit/host/ does."""

from __future__ import annotations

import atexit
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from circuitdsl.emit.js import HOST
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.machine import Evaluation, State
from circuitdsl.runtime.javascript import run_module

#: Why tests that need it are skipped; None: it is there.
MISSING = None if shutil.which("node") else "there is no node to run JavaScript"


class HostError(Exception):
    """What the JavaScript has thrown."""


@cache
def process() -> subprocess.Popen[str]:
    script = Path(__file__).with_suffix(".mjs")
    started = subprocess.Popen(
        ["node", str(script), HOST.as_uri()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(_end, started)
    return started


def _end(started: subprocess.Popen[str]) -> None:
    with started:  # closes its pipes and waits for it
        started.kill()


def ask(call: str, **given: Any) -> Any:
    """The answer of one call of tests/node.mjs. Raises HostError."""
    running = process()
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(json.dumps({"call": call, **given}) + "\n")
    running.stdin.flush()
    answer = json.loads(running.stdout.readline())
    if "problem" in answer:
        raise HostError(answer["problem"])
    return answer["answer"]


def flat(array: Any) -> Any:
    """An array as JSON has it: flat, what is not finite as a word."""
    values = np.asarray(array).ravel().tolist()
    return [v if np.isfinite(v) else str(v).replace("inf", "Infinity").replace("nan", "NaN") for v in values]


def sent(state: State) -> dict[str, Any]:
    named = {".".join(key): array for key, array in state.synapse_states.items()}
    parts = {
        "weights": state.weights, "synapseStates": named, "kept": state.kept, "coefficients": state.coefficients,
        "resets": state.resets,
    }  # fmt: skip
    found = {k: state.mask(k) for k in state.projections}
    masks = {k: None if mask is None else mask.astype(int).ravel().tolist() for k, mask in found.items()}
    return {k: {n: flat(a) for n, a in held.items()} for k, held in parts.items()} | {"masks": masks}


def received(state: State, answer: dict[str, Any]) -> None:
    """Puts what has come back into a state."""
    held = {"weights": state.weights, "kept": state.kept, "resets": state.resets, "coefficients": state.coefficients}
    held["synapseStates"] = {".".join(key): array for key, array in state.synapse_states.items()}
    for part, arrays in held.items():
        for name, array in arrays.items():
            array[...] = np.array(answer[part][name], float).reshape(array.shape)


class Node:
    """A circuit's JavaScript as an `Engine`."""

    def __init__(self, circuit: Circuit, probes=(), dtype="float32", *, without=()):
        assert not without
        self.circuit, self.probes, self.dtype = circuit, probes, dtype

    def _given(self, state, data, order, values):
        source = run_module(self.circuit, values, self.probes, dtype=self.dtype, watched=True)
        tables = {name: flat(array) for name, array in data.items()}
        return {"source": source, "state": sent(state), "data": tables, "order": np.asarray(order).tolist()}

    def train(self, state, data, order, numbers, *, seed, epoch, batch) -> None:
        given = self._given(state, data, order, numbers)
        received(state, ask("train", **given, settings={"seed": seed, "epoch": epoch, "batch": batch}))

    def evaluate(self, state, data, order, numbers, *, seed, epoch, watch=()) -> Evaluation:
        given = self._given(state, data, order, numbers)
        found = ask("evaluate", **given, settings={"seed": seed, "epoch": epoch, "watch": list(watch)})
        watched = {name: np.array(v, float).reshape(len(order), -1) for name, v in found["watched"].items()}
        loss = None if found["loss"] is None else float(found["loss"])
        return Evaluation(loss=loss, probes=[float(p) for p in found["probes"]], watched=watched)
