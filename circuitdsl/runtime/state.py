"""Weights and states on disk, and what says to which circuit they belong."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, assert_never

from circuitdsl.diagnostics import CircuitError, Diagnostic, Severity, did_you_mean
from circuitdsl.frozen import frozen
from circuitdsl.graph.blocks import rows_of
from circuitdsl.graph.canonical import by_name
from circuitdsl.graph.draws import Matrix
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.projections import Dense, Sparse

if TYPE_CHECKING:
    from circuitdsl.data.weights import Stored
    from circuitdsl.graph.machine import Array, State

#: What is behind the name of a synapse where it is said which of its weights are there.
STARTS, COLUMNS = ".connect.starts", ".connect.columns"
#: So many arrays of a file are named in a message.
LISTED = 12


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


def clear_absent(state: State) -> None:
    """Sets weights that are not there to 0, in place."""
    for synapse, projection in state.projections.items():
        match projection:
            case Dense(mask=mask):
                if mask is not None:
                    state.weights[synapse][~mask] = 0
            case Sparse():
                pass  # has no others
            case _:
                assert_never(projection)


def save_weights(path: Path, circuit: Circuit, state: State, names: Mapping[str, str] = MappingProxyType({})) -> None:
    """Writes a safetensors file (weights and persistent states). `names`: what it is to call some of them, theirs ->
    ours. Raises OSError."""
    arrays = state_arrays(state)
    theirs = {ours: name for name, ours in names.items()}
    for name, projection in state.projections.items():
        if isinstance(projection, Sparse):
            places = {STARTS: projection.starts, COLUMNS: projection.columns}
            arrays |= {name + part: array for part, array in places.items()}
            theirs |= {name + part: theirs[name] + part for part in places if name in theirs}
    write_weights(path, circuit, {theirs.get(name, name): array for name, array in arrays.items()})


def write_weights(path: Path, circuit: Circuit, arrays: Mapping[str, Array]) -> None:
    """Writes arrays as a safetensors file with the circuit's name and hash in its metadata, atomically. Raises
    OSError."""
    import numpy as np
    from safetensors.numpy import save_file

    metadata = {"circuit": circuit.name, "hash": circuit_hash(circuit), "format": "circuitdsl"}
    with written_atomically(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, metadata=metadata)


def load_weights(
    path: Path, circuit: Circuit, state: State, names: Mapping[str, str] = MappingProxyType({})
) -> tuple[Diagnostic, ...]:
    """Starts `state` from the weights in a file; persistent states that the file lacks keep their
    initial values. `names`: what the file calls some of the circuit's weights and states, theirs -> ours. Gives a
    warning (C072) if the file comes from another circuit that fits.

    Raises CircuitError (C071) if the file cannot be read, lacks a synapse, or has other shapes."""
    from circuitdsl.data.raw import SourceError
    from circuitdsl.data.weights import read_safetensors

    own = state_arrays(state)
    theirs = {ours: name for name, ours in names.items()}
    called = {name: theirs.get(name, name) for name in own}
    try:
        stored = read_safetensors(path, called.values())
    except SourceError as problem:
        raise CircuitError([Diagnostic(code="C071", title=problem.title, span=None, hint=problem.hint)]) from None
    taken = _taken(circuit, state, called, stored)
    found = [
        _misfit(path, n, called[n], taken[n], stored) for n in own if n in state.weights or called[n] in stored.shapes
    ]
    found += [_unknown_name(path, name, ours, own, stored) for name, ours in names.items()]
    problems = [problem for problem in found if problem is not None]
    if problems:
        raise CircuitError(problems)
    for name, array in own.items():
        if called[name] in stored.shapes:
            taken[name].read(stored, called[name], array)
    clear_absent(state)
    if stored.metadata.get("hash") in (None, circuit_hash(circuit)):
        return ()
    other = stored.metadata.get("circuit", "?")
    title = f"`{path.name}` holds weights of another circuit, `{other}`, of the same shapes"
    return (Diagnostic(code="C072", title=title, span=None, severity=Severity.WARNING),)


@frozen
class _Taken:
    """How an array of a file becomes one of the state: `shape` is what it has to have there; `ours` and `theirs` are
    the places of its weights, where only those that are there are held."""

    shape: tuple[int, ...]
    dtype: Any
    ours: Sparse | None = None
    theirs: Sparse | None = None

    def read(self, stored: Stored, name: str, array: Array) -> None:
        """Sets an array in place; 0 where the file has no weight."""
        import numpy as np

        if self.ours is None and self.theirs is None:
            stored.read_into(name, array)
        elif self.theirs is not None:
            held = np.empty(self.shape, self.dtype)
            stored.read_into(name, held)
            matrix = Matrix(self.theirs, held)
            if self.ours is not None:
                array[...] = matrix.at(self.ours.posts(), self.ours.columns)
            else:
                for rows in rows_of(array.shape):
                    array[rows] = matrix.rows(rows)
        elif self.ours is not None:
            places = self.ours.posts() * np.int64(self.ours.pre) + self.ours.columns
            start = 0
            for block in stored.blocks(name):
                few = slice(*np.searchsorted(places, (start, start + block.size)))
                array[few] = block[places[few] - start]
                start += block.size


def _taken(circuit: Circuit, state: State, called: Mapping[str, str], stored: Stored) -> dict[str, _Taken]:
    """How each array of the state is read."""
    found = {}
    for name, array in state_arrays(state).items():
        owner = name if name in circuit.synapses else name.rpartition(".")[0]
        if owner not in circuit.synapses:
            found[name] = _Taken(array.shape, array.dtype)
            continue
        synapse, projection = circuit.synapses[owner], state.projections[owner]
        whole = (synapse.post_size, synapse.pre_size)
        ours = projection if isinstance(projection, Sparse) else None
        theirs = _connections(stored, called[owner], whole) if len(stored.shapes.get(called[name], ())) == 1 else None
        shape = whole if theirs is None else theirs.columns.shape
        found[name] = _Taken(shape, array.dtype, ours, theirs)
    return found


def _connections(stored: Stored, name: str, shape: tuple[int, int]) -> Sparse | None:
    """Which weights a file holds of those of a matrix; None if it does not say, or what cannot be."""
    import numpy as np

    if not {name + STARTS, name + COLUMNS} <= stored.shapes.keys():
        return None
    none = np.zeros(0, np.int64)
    starts, columns = (np.concatenate([none, *stored.blocks(name + part)]) for part in (STARTS, COLUMNS))
    if len(starts) != shape[0] + 1 or starts[0] != 0 or starts[-1] != len(columns) or (np.diff(starts) < 0).any():
        return None
    if not ((columns >= 0) & (columns < shape[1])).all():
        return None
    return Sparse(starts.astype(np.int64), columns.astype(np.int32), shape[1])


def _misfit(path: Path, name: str, called: str, own: _Taken, stored: Stored) -> Diagnostic | None:
    """C071 for an array that is not there, has another shape, or numbers too large for this precision."""
    import numpy as np

    shape = stored.shapes.get(called)
    hint: str | None = "the file was written for another circuit"
    if shape is None:
        alike = [key for key, other in stored.shapes.items() if other == own.shape]
        title = f"`{path.name}` has no weights for `{name}`; it holds {_held(stored)}"
        hint = f"what it calls otherwise: `--map {alike[0] if alike else 'THEIRS'}={name}`"
    elif shape != own.shape:
        title = f"`{path.name}` has `{called}` of shape {_shape(shape)}, the circuit has {_shape(own.shape)}"
        if shape == own.shape[::-1]:
            hint = "weights are postsynaptic x presynaptic: save its transpose"
    elif stored.largest[called] > float(np.finfo(own.dtype).max):
        title, hint = f"`{called}` in `{path.name}` has values that are too large for {own.dtype}", None
    else:
        return None
    return Diagnostic(code="C071", title=title, span=None, hint=hint)


def _unknown_name(path: Path, name: str, ours: str, own: Collection[str], stored: Stored) -> Diagnostic | None:
    if ours not in own:
        title, hint = f"`--map {name}={ours}`: the circuit has no `{ours}`", did_you_mean(ours, own)
    elif name not in stored.shapes:
        title, hint = f"`{path.name}` has no `{name}`; it holds {_held(stored)}", did_you_mean(name, stored.shapes)
    else:
        return None
    return Diagnostic(code="C071", title=title, span=None, hint=hint)


def _held(stored: Stored) -> str:
    """What a file holds, as far as a line takes it."""
    listed = [f"`{name}` ({_shape(shape)})" for name, shape in stored.shapes.items()]
    return ", ".join(listed[:LISTED]) + (f" and {len(listed) - LISTED} more" if listed[LISTED:] else "") or "nothing"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape) or "one number"


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that no reader sees half of it."""
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """A temporary name, under which `path` is written and then renamed: no reader sees half a file."""
    import os
    import shutil
    import tempfile

    from circuitdsl.store.temporary import clear_litter, temporary_prefix

    if path.exists() and not path.is_file():  # a device or a pipe, which is not to be replaced by a file
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / "written"
            with (Path(folder) / "written").open("rb") as source, path.open("wb") as sink:
                shutil.copyfileobj(source, sink)
        return
    path = path.resolve()  # where a link leads: the link stays
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_litter(path.parent, path.name)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=temporary_prefix(path.name))
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask
