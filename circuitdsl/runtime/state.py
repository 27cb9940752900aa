"""Weights and states on disk, and what says to which circuit they belong."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.diagnostics import CircuitError, Diagnostic, Severity
from circuitdsl.graph.canonical import by_name
from circuitdsl.graph.ir import Circuit

if TYPE_CHECKING:
    from circuitdsl.graph.machine import Array, State


def circuit_hash(circuit: Circuit) -> str:
    """A fingerprint of what a circuit computes: its text's layout, the order of its items, comments, tasks, records
    and expects do not change it."""
    core = replace(by_name(circuit), text="", doc=None, tasks={}, records=(), expects=(), aliases={})
    # partners are a set, whose order differs between processes
    partners = sorted(sorted(pair) for pair in circuit.partners)
    content = repr(replace(core, partners=frozenset())) + repr(partners)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def state_arrays(state: State) -> dict[str, Array]:
    """Everything that a run changes, by its name: weights as `W`, the persistent state m of a
    synapse as `W.m`, the `keep` state v of a population as `h.v`."""
    states = {f"{synapse}.{name}": array for (synapse, name), array in state.synapse_states.items()}
    return {**state.weights, **states, **state.kept}


def restore(state: State, arrays: dict[str, Any]) -> None:
    """Copies saved arrays into a state of the same circuit, in place. Absent weights stay 0.

    Raises KeyError if a name is missing, ValueError if a shape differs."""
    for name, array in state_arrays(state).items():
        array[...] = arrays[name]
    for synapse, mask in state.masks.items():
        if mask is not None:
            state.weights[synapse][~mask] = 0


def save_weights(path: Path, circuit: Circuit, state: State) -> None:
    """Writes a safetensors file (weights and persistent states) with the circuit's name and hash in
    its metadata, atomically. Raises OSError."""
    import numpy as np
    from safetensors.numpy import save

    metadata = {"circuit": circuit.name, "hash": circuit_hash(circuit), "format": "circuitdsl"}
    arrays = {name: np.ascontiguousarray(array) for name, array in state_arrays(state).items()}
    write_atomically(path, save(arrays, metadata=metadata))


def load_weights(path: Path, circuit: Circuit, state: State) -> tuple[Diagnostic, ...]:
    """Starts `state` from the weights in a file; persistent states that the file lacks keep their
    initial values. Gives a warning (C072) if the file comes from another circuit that fits.

    Raises CircuitError (C071) if the file cannot be read, lacks a synapse, or has other shapes."""
    saved, metadata = _read_weights(path)
    own = state_arrays(state)
    problems = [_misfit(path, name, own[name].shape, saved.get(name)) for name in state.weights]
    problems += [_misfit(path, name, own[name].shape, saved[name]) for name in own if name in saved]
    found = list({p.title: p for p in problems if p is not None}.values())
    if found:
        raise CircuitError(found)
    restore(state, {name: saved.get(name, array) for name, array in own.items()})
    if metadata.get("hash") in (None, circuit_hash(circuit)):
        return ()
    other = metadata.get("circuit", "?")
    title = f"`{path.name}` holds weights of another circuit, `{other}`, of the same shapes"
    return (Diagnostic(code="C072", title=title, span=None, severity=Severity.WARNING),)


def _read_weights(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as problem:
        title = f"`{path}` cannot be read as safetensors: {problem}"
        raise CircuitError([Diagnostic(code="C071", title=title, span=None)]) from None


def _misfit(path: Path, name: str, shape: tuple[int, ...], saved: Array | None) -> Diagnostic | None:
    if saved is None:
        title = f"`{path.name}` has no weights for `{name}`"
    elif saved.shape != shape:
        title = f"`{path.name}` has `{name}` of shape {_shape(saved.shape)}, the circuit has {_shape(shape)}"
    else:
        return None
    return Diagnostic(code="C071", title=title, span=None, hint="the file was written for another circuit")


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes under a temporary name beside `path` and renames it: no reader sees half a file."""
    import os
    import tempfile

    if path.exists() and not path.is_file():  # a device or a pipe, which is not to be replaced by a file
        path.write_bytes(content)
        return
    path = path.resolve()  # where a link leads: the link stays
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask
