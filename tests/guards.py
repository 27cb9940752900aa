"""What may be done to a circuit without changing what it learns: laid out anew, its items in another order, a param set
from outside or in the text, stopped and taken up (equal bits); its names changed, a motif written out (equal numbers,
with weights from files and no noise). And runs that are killed at any point. As a module for tests and for trust.py."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from random import Random

import numpy as np
from bench import Bench
from generate import random_circuit
from test_order import bits, lived, load, shuffled

from circuitdsl.diagnostics import Source
from circuitdsl.graph.resolve import load_source, load_text
from circuitdsl.runtime.state import state_arrays
from circuitdsl.syntax.format import format_text

#: Numbers that are equal up to rounding, in single precision.
EQUAL = 1e-5


def text_of(seed: int) -> str:
    return random_circuit(Random(f"guard {seed}"))


# ---------------------------------------------------------------- equal bits


def laid_out_anew(seed: int) -> bool:
    text = text_of(seed)
    return lived(load(text)) == lived(load(format_text(Source("c", text))))


def in_another_order(seed: int) -> bool:
    text = text_of(seed)
    return lived(load(text)) == lived(load(shuffled(text, Random(seed))))


def set_from_outside(seed: int) -> bool:
    """`--set eta=…` and the number in the text."""
    text = text_of(seed)
    written = re.search(r"param eta = ([\d.e-]+)", text)
    if written is None:
        return True
    value = float(written[1]) * 0.75
    edited = load(text[: written.start(1)] + repr(value) + text[written.end(1) :])
    outside = load_text(text, "c", overrides={"eta": value}).circuit
    assert outside is not None
    return trained_with(edited, {}) == trained_with(outside, {"eta": value})


def trained_with(circuit, params: Mapping[str, float]) -> dict[str, bytes]:
    bench = Bench(circuit, examples=5, dtype="float32")
    bench.numbers = {**bench.numbers, **params}
    bench.train([3, 0, 1, 4, 2], batch=2, seed=3, epoch=1)
    return bits(bench.state)


def taken_up(seed: int) -> bool:
    """Two epochs, and one after what another process has saved of the first."""
    straight, first, second = (Bench(load(text_of(seed)), examples=5, dtype="float32") for _ in range(3))
    for epoch in (0, 1):
        straight.train(batch=2, epoch=epoch)
    first.train(batch=2, epoch=0)
    saved = {name: array.copy() for name, array in state_arrays(first.state).items()}
    for name, array in state_arrays(second.state).items():
        array[...] = saved[name]
    second.train(batch=2, epoch=1)
    return _learnt(straight) == _learnt(second)


def _learnt(bench: Bench) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in state_arrays(bench.state).items()}


BITS: dict[str, Callable[[int], bool]] = {
    "laid out by fmt": laid_out_anew,
    "its items in another order": in_another_order,
    "a param from --set, or in the text": set_from_outside,
    "taken up from what was saved, or straight": taken_up,
}


# ---------------------------------------------------------------- equal numbers

MOTIF = """motif layer(below, above, n, eta) {
  neuron a: n { dendrite d, t   rate = tanh(d) }
  synapse W: below -> a.d { init = file("LW.npy")   dw = eta * (post.t * pre - 0.1 * w) }
  synapse B: above -> a.t { init = file("LB.npy")   dw = eta * (post * pre - 0.1 * w) }
}
circuit c {
  param eta = 0.05
  input x: 4   target y: 3
  use layer as L(below = x, above = err, n = 5, eta = eta)
  neuron out: 3 { dendrite d   rate = softmax(d) }
  neuron err: 3 { rate = y - out }
  synapse V: L.a -> out.d { init = file("V.npy")   state m = 0   dm = 0.1 * (err * pre - m)   dw = eta * m }
  loss = cross_entropy(out, y)
}"""
INLINE = (
    MOTIF[MOTIF.index("circuit c {") :]
    .replace(
        "use layer as L(below = x, above = err, n = 5, eta = eta)",
        """neuron La: 5 { dendrite d, t   rate = tanh(d) }
  synapse LW: x -> La.d { init = file("LW.npy")   dw = eta * (post.t * pre - 0.1 * w) }
  synapse LB: err -> La.t { init = file("LB.npy")   dw = eta * (post * pre - 0.1 * w) }""",
    )
    .replace("L.a", "La")
)
NAMES = {"x": "seen", "y": "told", "La": "zeta", "out": "answer", "err": "B2", "LW": "Z", "LB": "A", "V": "M"}


def renamed(text: str) -> str:
    return re.sub(r'(?<!")\b(x|y|La|out|err|LW|LB|V)\b(?!\.npy)', lambda found: NAMES[found[1]], text)


def written_otherwise(seed: int) -> float:
    """The largest relative difference of what is learnt from the same weights: by the motif, written out, renamed."""
    with tempfile.TemporaryDirectory() as name:
        folder, rng = Path(name), np.random.default_rng(seed)
        for file, shape in {"LW": (5, 4), "LB": (5, 3), "V": (3, 5)}.items():
            np.save(folder / f"{file}.npy", rng.normal(size=shape))
        inputs, labels = rng.normal(size=(8, 4)), np.eye(3)[rng.integers(0, 3, 8)]
        motif = _trained(MOTIF, folder, {"x": inputs, "y": labels})
        inline = _trained(INLINE, folder, {"x": inputs, "y": labels})
        other = _trained(renamed(INLINE), folder, {"seen": inputs, "told": labels})
    pairs = [(motif[m], inline[i]) for m, i in (("L.W", "LW"), ("L.B", "LB"), ("V", "V"))]
    pairs += [(other[NAMES[i]], inline[i]) for i in ("LW", "LB", "V")]
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def _trained(text: str, folder: Path, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    from circuitdsl.graph.initial import initial_state

    circuit = load_source(Source("c", text), folder).circuit
    assert circuit is not None
    bench = Bench.__new__(Bench)
    from circuitdsl.graph.numbers import numbers_of
    from circuitdsl.reference import Reference

    numbers = numbers_of(circuit, {})
    bench.numbers, bench.engine = numbers, Reference(circuit, [], "float32")
    bench.state = initial_state(circuit, numbers, 0, dtype="float32", folder=folder)
    bench.data = {**data, "bias": np.ones((8, 1))}
    bench.examples = 8
    for epoch in range(5):
        bench.train(batch=2, epoch=epoch)
    return bench.state.weights


# ---------------------------------------------------------------- kills

KILLED = """circuit c {
  input x: 4   target y: 3
  neuron out: 3 { dendrite d   rate = softmax(d + 0.1 * randn()) }
  neuron err: 3 { rate = y - out }
  synapse W: x -> out { dw = 0.05 * err * pre }
  loss = cross_entropy(out, y)
  task t { data = iris   epochs = 3   batch = 60   seed = 1   metric = accuracy(out, y) }
}"""


#: What every run imports, and its data: read before, and shared by the processes.
SHARED = (
    "circuitdsl.api", "circuitdsl.cli.main", "circuitdsl.cli.run", "circuitdsl.cli.summary", "circuitdsl.reference",
    "circuitdsl.runtime.expects", "circuitdsl.runtime.results", "circuitdsl.runtime.state", "h5netcdf", "h5py",
    "sklearn.datasets", "xarray", "xarray.backends.h5netcdf_",
)  # fmt: skip


def kills(points: int) -> Iterator[str]:
    """What is wrong after a run was killed at so many points, spread evenly over the calls that it makes, and taken up:
    nothing, it is hoped. Every run is a process of its own, which shares what was imported before."""

    for module in SHARED:
        import_module(module)
    from circuitdsl.cli import run as command
    from circuitdsl.runtime.results import read

    command.SAVE_EVERY = 0.0  # after every epoch
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "c.circ").write_text(KILLED)
        _in_a_process(folder, None)
        straight = _result(folder / "r.nc")
        (folder / "r.nc").unlink()
        calls = int((folder / "calls").read_text())
        for point in range(points):
            at = (2 * point + 1) * calls // (2 * points)
            _in_a_process(folder, at)
            if (folder / "r.nc").exists():
                try:
                    read(folder / "r.nc")
                except Exception as error:
                    yield f"killed at call {at}: half a file ({error})"
            _in_a_process(folder, None)
            left = sorted(p.name for p in folder.iterdir())
            if left != ["c.circ", "calls", "r.nc"]:
                yield f"killed at call {at}: left {left}"
            if _result(folder / "r.nc") != straight:
                yield f"killed at call {at}: taken up, it ends with other bits"
            (folder / "r.nc").unlink()


def _in_a_process(folder: Path, kill_at: int | None) -> None:
    """The run, killed at a call, or to its end; then `calls` says how many calls it made."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert (os.WIFSIGNALED(status) and kill_at is not None) or os.waitstatus_to_exitcode(status) == 0, status
        return
    code = 1
    try:
        os.chdir(folder)
        with open(os.devnull, "w") as silence:
            os.dup2(silence.fileno(), 1)
            os.dup2(silence.fileno(), 2)
        count = 0

        def counting(frame: object, event: str, argument: object) -> None:
            nonlocal count
            if event == "call":
                count += 1
                if count == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        from circuitdsl.cli.main import run

        sys.setprofile(counting)
        code = run(["run", "c.circ", "--target", "reference", "--out", "r.nc", "--resume"])
        sys.setprofile(None)
        if kill_at is None and not Path("calls").exists():
            Path("calls").write_text(str(count))
    finally:
        os._exit(code)


def _result(path: Path) -> dict[str, bytes]:
    from circuitdsl.runtime.results import read

    found = read(path)
    return {str(name): np.asarray(found[name]).tobytes() for name in sorted(map(str, found.data_vars))}
