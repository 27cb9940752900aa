"""Hand-written C (kernels.c), compiled on this machine."""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from cases import ETA, GAMMA, Case, Model

from circuitdsl.graph.machine import State
from circuitdsl.graph.projections import Sparse
from peers import Run, Way, matrices

NAME = "C"
FLAGS = ("-O3", "-march=native", "-ffast-math")
#: What a compiler prefers for this processor is not always the fastest.
LONG = ("-mprefer-vector-width=512",)
SOURCE = Path(__file__).with_name("kernels.c")
BUILT = Path(__file__).resolve().parents[2] / "build" / "bench"


def version() -> str:
    compiler = _compiler()
    said = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    return f"{said}, {' '.join(FLAGS)}, with {' '.join(LONG)} and without"


def _compiler() -> str:
    found = shutil.which("gcc") or shutil.which("cc")
    if found is None:
        raise ImportError("there is no C compiler")
    return found


@cache
def library(*more: str) -> ctypes.CDLL:
    """The kernels, compiled, with more flags. Raises ImportError if there is no compiler."""
    BUILT.mkdir(parents=True, exist_ok=True)
    built = BUILT / f"kernels{len(more)}.so"
    code = built.with_suffix(".o")
    subprocess.run([_compiler(), *FLAGS, *more, "-fPIC", "-c", str(SOURCE), "-o", str(code)], check=True)
    # linked without the flags, which would make the whole process flush small numbers to zero
    subprocess.run([_compiler(), "-shared", str(code), "-o", str(built), "-lm"], check=True)
    return ctypes.CDLL(str(built))


def at(array: Any) -> ctypes.c_void_p:
    """The address of an array, which has to be in C order."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


def _table(arrays: list[Any]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*(None if a is None else a.ctypes.data for a in arrays))


def layers(case: Case, states: list[State], more: Sequence[str] = ()) -> Run:
    code = library(*more)
    depth, x, y = len(case.sizes) - 1, case.data["x"], case.data["y"]
    rows = [np.zeros((case.batch, n), np.float32) for n in case.sizes]
    credit = [np.zeros((case.batch, n), np.float32) for n in case.sizes]
    sizes = np.array(case.sizes, np.int32)
    weights = [{name: w.copy() for name, w in state.weights.items()} for state in states]
    tables = [tuple(map(_table, matrices(each, depth))) for each in weights]
    row, eta, gamma = np.zeros(max(case.sizes), np.float32), ctypes.c_float(ETA), ctypes.c_float(GAMMA)

    def train() -> None:
        h, g = _table(rows), _table(credit)
        for forward, back in tables:
            common = (depth, at(sizes), forward, back, at(x), at(y), case.examples)
            if case.batch == 1:
                code.online(*common, eta, gamma, h, g)
            else:
                code.batches(*common, case.batch, eta, gamma, h, g, at(row))

    def found() -> dict[str, Any]:
        if len(weights) == 1:
            return weights[0]
        return {name: np.stack([each[name] for each in weights]) for name in weights[0]}

    return Run(train, found)


def one_layer(case: Case, states: list[State], more: Sequence[str] = ()) -> Run:
    code = library(*more)
    (state,), (m, n) = states, case.sizes
    w, x, y, projection = state.weights["W"].copy(), case.data["x"], case.data["y"], state.projections["W"]
    rates = ctypes.c_float(ETA / 10), ctypes.c_float(GAMMA)

    def train() -> None:
        if isinstance(projection, Sparse):
            places = at(projection.starts), at(projection.columns)
            code.few(n, m, *places, at(w), at(x), at(y), case.examples, *rates)
        else:
            code.wide(n, m, at(w), at(x), at(y), case.examples, *rates)

    return Run(train, lambda: {"W": w})


MODELS: tuple[tuple[Model, Callable[..., Run]], ...] = (("layers", layers), ("few", one_layer), ("wide", one_layer))
WAYS = [Way("", model, lambda case: True, make) for model, make in MODELS]
if platform.machine() in ("x86_64", "AMD64"):
    WAYS += [Way("512 bits", model, lambda case: True, partial(make, more=LONG)) for model, make in MODELS]
