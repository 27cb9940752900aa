"""Weights from other programs: types, names and shapes that are not ours, and files that are none."""

from __future__ import annotations

import json
import os
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from circuitdsl.api import Outcome, Request, Simulation, load, loads
from circuitdsl.cli.main import run
from circuitdsl.data.raw import SourceError
from circuitdsl.data.weights import Stored, read_safetensors
from circuitdsl.diagnostics import CircuitError

TEXT = """circuit small {
  input x: 4   target y: 3
  neuron h: 5 { dendrite basal   rate = relu(basal) }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  synapse W1: x -> h
  synapse W2: h -> out { dw = 0.1 * err * pre }
  loss = cross_entropy(out, y)
  task t { data = iris   epochs = 1   metric = accuracy(out, y) }
}"""


def write(path: Path, arrays: dict[str, tuple[str, tuple[int, ...], bytes]]) -> None:
    """A safetensors file, by its format's description."""
    head: dict[str, Any] = {}
    end = 0
    for name, (dtype, shape, content) in arrays.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(content)]}
        end += len(content)
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(content for _, _, content in arrays.values()))


def array_of(stored: Stored, name: str) -> np.ndarray:
    found = np.empty(stored.shapes[name])
    stored.read_into(name, found)
    return found


def floats(shape: tuple[int, ...], value: float = 0.5) -> tuple[str, tuple[int, ...], bytes]:
    return "F32", shape, np.full(shape, value, dtype="<f4").tobytes()


def started(path: Path, **names: str) -> Outcome:
    return Simulation(loads(TEXT), target="reference").prepare(Request(weights=path, weight_names=names))


def refused(path: Path, **names: str) -> str:
    with pytest.raises(CircuitError) as caught:
        started(path, **names)
    assert {d.code for d in caught.value.diagnostics} == {"C071"}
    return " | ".join(f"{d.title} {d.hint}" for d in caught.value.diagnostics)


VALUES = np.array([0.0, 0.5, -0.5, 1.0, -1.5, 2.0, 0.25, -3.5, 0.015625, 6.0])


def encoded(dtype: str) -> bytes:
    """VALUES, which all types have, in one of them."""
    single = VALUES.astype("<f4").view("<u4")
    match dtype:
        case "BF16":
            return (single >> 16).astype("<u2").tobytes()
        case "F8_E5M2":
            return (VALUES.astype("<f2").view("<u2") >> 8).astype("u1").tobytes()
        case "F8_E4M3":
            exponent = (single >> 23 & 255).astype(int) - 127 + 7
            found = np.where(VALUES == 0, 0, exponent << 3 | (single >> 20 & 7)) | (single >> 31 << 7)
            return found.astype("u1").tobytes()
        case _:
            return VALUES.astype({"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype]).tobytes()


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16", "F8_E5M2", "F8_E4M3"])
def test_floats_of_every_length(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write(path, {"a": (dtype, (2, 5), encoded(dtype)), "b": floats((1,))})
    stored = read_safetensors(path, ["a", "c"])
    np.testing.assert_array_equal(array_of(stored, "a"), VALUES.reshape(2, 5))
    assert stored.shapes == {"a": (2, 5), "b": (1,)}


def test_all_bytes_of_eight_bit_floats(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    numbers = bytes(b for b in range(256) if b & 127 != 127)  # 127 is no number
    write(path, {"a": ("F8_E4M3", (254,), numbers)})
    found = array_of(read_safetensors(path, ["a"]), "a")
    assert (found[1], found[7], found[8], found[126], found[253]) == (2**-9, 7 * 2**-9, 2**-6, 448, -448)
    assert (np.diff(found[:127]) > 0).all()
    np.testing.assert_array_equal(found[127:], -found[:127])
    write(path, {"a": ("F8_E4M3", (1,), b"\x7f")})
    with pytest.raises(SourceError, match="1 value that is not finite"):
        read_safetensors(path, ["a"])


def test_types_that_are_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    for dtype, size in (("F8_E8M0", 1), ("C64", 8)):
        write(path, {"W1": (dtype, (5, 4), bytes(20 * size)), "W2": floats((3, 5))})
        assert f"`W1` in `{path}` is of type {dtype}, which is not read" in refused(path)
        write(path, {"W1": floats((5, 4)), "W2": floats((3, 5)), "other": (dtype, (5, 4), bytes(20 * size))})
        started(path)  # what is not asked for may be of any type
    for value, said in ((np.nan, "20 values that are not finite"), (np.inf, "not finite")):
        write(path, {"W1": floats((5, 4), value), "W2": floats((3, 5))})
        assert said in refused(path)
    large = ("F64", (5, 4), np.full((5, 4), 1e300).tobytes())
    write(path, {"W1": large, "W2": floats((3, 5))})
    assert "`W1` in `w.safetensors` has values that are too large for float32" in refused(path)
    whole = ("I64", (5, 4), np.full((5, 4), 2).tobytes())
    write(path, {"W1": whole, "W2": floats((3, 5))})
    assert (started(path).run.state.weights["W1"] == 2).all()


def test_keys_are_listed_when_none_fits(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write(path, {"fc1.weight": floats((5, 4)), "fc1.bias": floats((5,)), "fc2.weight": floats((5, 3))})
    said = refused(path)
    assert "has no weights for `W1`; it holds `fc1.weight` (5 x 4), `fc1.bias` (5), `fc2.weight` (5 x 3)" in said
    assert "`--map fc1.weight=W1`" in said
    assert "`--map THEIRS=W2`" in said
    names = {"fc1.weight": "W1", "fc2.weight": "W2"}
    assert "save its transpose" in refused(path, **names)
    write(path, {"fc1.weight": floats((5, 4), 0.25), "fc2.weight": floats((3, 5), 0.75)})
    state = started(path, **names).run.state
    assert (state.weights["W1"] == 0.25).all()
    assert (state.weights["W2"] == 0.75).all()
    assert "the circuit has no `W3`" in refused(path, **{"fc1.weight": "W3", "fc2.weight": "W2"})
    assert "has no `fc3.weight`" in refused(path, **{"fc3.weight": "W1", "fc2.weight": "W2"})
    write(path, {f"layer{i}": floats((1,)) for i in range(40)})
    assert "and 28 more" in refused(path)


def test_initial_weights_that_are_no_float32(tmp_path: Path) -> None:
    from circuitdsl.runtime.errors import UsageError

    np.save(tmp_path / "w.npy", np.full((5, 4), 1e300))
    (tmp_path / "c.circ").write_text(TEXT.replace("x -> h", 'x -> h { init = file("w.npy") }'))
    circuit = load(tmp_path / "c.circ")
    Simulation(circuit, target="reference", dtype="float64").prepare(Request())
    with pytest.raises(UsageError, match="an initial value of `W1` is too large for float32"):
        Simulation(circuit, target="reference").prepare(Request())
    (tmp_path / "w.npy").unlink()
    os.mkfifo(tmp_path / "w.npy")
    with pytest.raises(UsageError, match="is a pipe"):
        Simulation(circuit, target="reference").prepare(Request())


def test_map_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.circ").write_text(TEXT)
    path = tmp_path / "w.safetensors"
    write(path, {"fc=1": floats((5, 4)), "fc2": floats((3, 5))})
    line = ["run", str(tmp_path / "c.circ"), "--target", "reference", "--epochs", "0", "--weights", str(path)]
    assert run([*line, "--map", "fc=1=W1", "--map", "fc2=W2"]) == 0
    assert run([*line, "--map", "fc2=W2"]) == 1
    assert run([*line, "--map", "fc2"]) == 2
    assert run([*line[:-1], str(tmp_path / "none.safetensors"), "--map", "a=nothing"]) == 2
    assert "written as THEIRS=OURS" in capsys.readouterr().err


def test_names_on_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "c.circ").write_text(TEXT)
    path, again = tmp_path / "w.safetensors", tmp_path / "again.safetensors"
    line = ["run", str(tmp_path / "c.circ"), "--target", "reference", "--epochs", "0", "--weights", str(path)]
    assert run([*line, "--map", "fc1.weight=W1", "--map", "b=W1"]) == 2
    assert run([*line, "--map", "W2=W1"]) == 2
    assert run([*line, "--map", "fc1.weight=W1"]) == 0
    circuit = load(tmp_path / "c.circ")
    begun = circuit.compile("reference").run(epochs=0)
    circuit.save_weights(begun, again, {"fc1.weight": "W1"})
    for theirs, ours in {"fc1.weight": "W1", "W2": "W2"}.items():
        first, second = (load_file(file)[theirs] for file in (path, again))
        assert (first == second).all()
        assert (first == begun[f"{ours}.final"].values.reshape(first.shape)).all()
    assert set(begun.curves.to_dataframe().columns) >= {"metric", "loss"}


def test_spoilt_weights_are_refused_or_fit(tmp_path: Path) -> None:
    from test_damaged import spoilt

    path = tmp_path / "w.safetensors"
    write(path, {"W1": floats((5, 4)), "W2": floats((3, 5))})
    content, rng = path.read_bytes(), random.Random(0)
    for _ in range(100):
        path.write_bytes(spoilt(content, rng))
        try:
            stored = read_safetensors(path, ["W1", "W2"])
        except SourceError as problem:
            assert str(path) in str(problem)  # noqa: PT017 - what is read is as good
        else:
            assert all(np.isfinite(array).all() for array in (array_of(stored, name) for name in stored.largest))
    huge = b'{"W1":{"dtype":"F32","shape":[4294967295,4294967295,4294967295],"data_offsets":[0,8]}}'
    for whole in (b"", b"\0" * 8, b"\xff" * 8, struct.pack("<Q", len(huge)) + huge + bytes(8), b"\x80\x04K"):
        path.write_bytes(whole)
        refused(path)
    path.unlink()
    os.mkfifo(path)
    assert "is a pipe" in refused(path)
