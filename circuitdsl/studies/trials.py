"""Many runs of circuits, side by side, gathered into one labelled data set.

A trial is a circuit's text, a request and a function that runs it and measures; all of it can be sent to another
process. Whatever a study runs, it runs through here, and so over the public API alone.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from circuitdsl.api import Outcome, Request, Simulation, loads
from circuitdsl.api import load as load_circuit
from circuitdsl.explore.bar import Quiet
from circuitdsl.explore.journal import Journal
from circuitdsl.frozen import frozen
from circuitdsl.runtime.stopping import stop_if_told
from circuitdsl.runtime.where import Where
from circuitdsl.studies.protocol import Plan

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

Found = Mapping[str, Any]
Work = Callable[[Simulation, Request], Found]


@frozen(kw_only=True)
class Text:
    """A circuit as text: what it imports is in the library."""

    name: str
    text: str


def shipped_text(name: str) -> Text:
    """The text of a circuit of the library, such as `heterosynaptic/kolen_pollack.circ`."""
    circuit = load_circuit(name)
    assert circuit.path is not None
    return Text(name=circuit.path.stem, text=circuit.path.read_text())


def execute(
    simulation: Simulation, request: Request, *, after_epoch: Callable[[Outcome], None] | None = None
) -> Outcome:
    """`Simulation.execute` that can be stopped: raises KeyboardInterrupt when it is, also in a thread."""
    outcome = simulation.execute(request, after_epoch=after_epoch)
    if outcome.run.interrupted:
        raise KeyboardInterrupt
    return outcome


class Stoppable(Quiet):
    """Ends an evolution that runs in a thread, when the study is interrupted."""

    def advance(self, note: str = "") -> None:
        stop_if_told()


def train(simulation: Simulation, request: Request) -> Found:
    """Trains, and gives `metric` and `loss` at the end and whether it diverged."""
    return ended(execute(simulation, request))


def ended(outcome: Outcome) -> dict[str, Any]:
    return {
        "metric": outcome.metric,
        "loss": outcome.loss,
        "diverged": float(outcome.run.diverged is not None),
    }


@frozen(kw_only=True)
class Trial:
    """One run. `at`: where in the data set its results belong, a value for each of its dimensions."""

    circuit: Text
    request: Request
    at: Mapping[str, Any]
    work: Work = train


#: How many compiled circuits a thread keeps.
KEPT = 6

_HELD = threading.local()
_COMPILING: dict[str, threading.Lock] = {}
_COMPILED: set[str] = set()
_GUARD = threading.Lock()


def simulation_of(circuit: Text) -> Simulation:
    """The circuit, compiled: one for each thread, since a simulation has one work space."""
    held: dict[str, Simulation] = _HELD.__dict__.setdefault("simulations", {})
    if circuit.text not in held:
        if len(held) >= KEPT:  # with each goes the data set that it has loaded
            held.clear()
        held[circuit.text] = loads(circuit.text, circuit.name).compile()
    return held[circuit.text]


def _do(circuit: Text, own: tuple[Work, Request]) -> Found:
    """Does a trial; where nobody has compiled the like of it yet, others that need the same code wait for it."""
    work, request = own
    simulation = simulation_of(circuit)
    code = _code_of(simulation, request)
    if code in _COMPILED:
        return work(simulation, request)
    with _GUARD:
        lock = _COMPILING.setdefault(code, threading.Lock())
    with lock:
        if code not in _COMPILED:
            found = work(simulation, request)
            _COMPILED.add(code)
            return found
    return work(simulation, request)


def _code_of(simulation: Simulation, request: Request) -> str:
    """What decides which code a trial needs: the text, who teaches, the structural params."""
    circuit = simulation.circuit.ir
    chosen = {k: v for k, v in request.params.items() if k in circuit.params and circuit.params[k].structural}
    return f"{circuit.text}\0{request.learn}\0{chosen}"


def run_trials(trials: Sequence[Trial], plan: Plan) -> list[Found]:
    """What each trial found, in their order, as arrays of float64; what the plan's journal holds is not done again.
    Raises what a trial raises, KeyboardInterrupt and Unfinished."""
    found = {} if plan.journal is None else kept(trials, plan.journal)
    if found:
        plan.tell(len(found), len(trials))
    todo = [i for i in range(len(trials)) if i not in found]
    for index, result in _results([trials[i] for i in todo], plan.where):
        trial = trials[todo[index]]
        found[todo[index]] = arrays = _arrays(result)
        if plan.journal is not None:
            plan.journal.keep(entry_name(trial), _to_bytes(arrays))
        plan.tell(len(found), len(trials))
    return [found[i] for i in range(len(trials))]


def _results(trials: Sequence[Trial], where: Where) -> Iterator[tuple[int, Found]]:
    texts = {t.circuit.text: t.circuit for t in trials}  # one object for one text: it is sent once
    yield from where.map(_do, [(texts[t.circuit.text], (t.work, t.request)) for t in trials])


def _arrays(found: Found) -> Found:
    import numpy as np

    return {name: np.asarray(value, dtype=np.float64) for name, value in found.items()}


# ---------------------------------------------------------------- what a journal keeps


def entry_name(trial: Trial) -> str:
    """An entry is named after all that its content depends on: the circuit's text, the request, what is done with it,
    and the code that does it."""
    from joblib import hash as digest

    return f"{digest((trial.circuit.text, trial.request, trial.work, _code()), hash_name='sha1')}.npz"


@cache
def _code() -> str:
    """A fingerprint of the code that a finding depends on: this package, what of the library a circuit may import, and
    the versions of what computes."""
    from hashlib import sha256
    from importlib.metadata import version

    from circuitdsl.shipped import library_path

    package = Path(__file__).resolve().parents[1]
    files = [*sorted(package.rglob("*.py")), *sorted(library_path().rglob("*.circ"))]
    found = sha256(b"".join(sha256(file.read_bytes()).digest() for file in files))
    found.update(" ".join([sys.version, *(version(name) for name in ("numpy", "numba"))]).encode())
    return found.hexdigest()


def kept(trials: Sequence[Trial], journal: Journal) -> dict[int, Found]:
    """What a journal holds of these trials, by their place."""
    found = {}
    for index, trial in enumerate(trials):
        content = journal.entry(entry_name(trial))
        if content is not None:
            with suppress(ValueError, OSError, EOFError, KeyError, BadZipFile):  # a broken one is done again
                found[index] = _from_bytes(content)
    return found


def _to_bytes(found: Found) -> bytes:
    import numpy as np

    buffer = BytesIO()
    np.savez(buffer, **found)
    return buffer.getvalue()


def _from_bytes(content: bytes) -> Found:
    import numpy as np

    with np.load(BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


@frozen(kw_only=True)
class Table:
    """How the findings of trials lie in a data set. `coordinates`: the values along the trials' dimensions, in order;
    `inner`: those along what a finding has of its own; `shapes`: the inner dimensions of each variable that has any;
    `about`: what each variable is."""

    coordinates: Mapping[str, Sequence[Any]]
    inner: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    shapes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)


def gather(trials: Sequence[Trial], found: Sequence[Found], table: Table) -> xr.Dataset:
    """The findings as labelled arrays, NaN where there was no trial; its attributes hold the circuits."""
    import numpy as np
    import xarray as xr

    outer = {name: list(values) for name, values in table.coordinates.items()}
    arrays: dict[str, Array] = {}
    for trial, results in zip(trials, found, strict=True):
        place = tuple(outer[name].index(trial.at[name]) for name in outer)
        for name, value in results.items():
            value = np.asarray(value, dtype=float)
            if name not in arrays:
                arrays[name] = np.full([*(len(v) for v in outer.values()), *value.shape], np.nan)
            arrays[name][place] = value
    variables = {
        name: ((*outer, *table.shapes.get(name, ())), array, {"long_name": table.about.get(name, name), "units": "1"})
        for name, array in arrays.items()
    }
    coordinates = {**outer, **{k: list(v) for k, v in table.inner.items()}}
    return xr.Dataset(variables, coordinates, {"circuits": circuits_of(trials)})


def circuits_of(trials: Sequence[Trial]) -> str:
    """The exact texts that ran, by name, as JSON."""
    return json.dumps({t.circuit.name: t.circuit.text for t in trials}, ensure_ascii=False)
