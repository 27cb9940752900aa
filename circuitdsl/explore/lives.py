"""One run of a sweep: what it needs, what comes of it, and how that is kept on disk.

All of it can be sent to another process: the checked circuit itself goes along, with its data, so that a worker needs
this package and nothing of the file system (but the files that the circuit's own `file(...)` name).
"""

from __future__ import annotations

import io
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from circuitdsl.frozen import frozen
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.machine import Numbers
from circuitdsl.runtime.data import Dataset
from circuitdsl.runtime.records import Plan
from circuitdsl.runtime.simulate import Loop, Run, simulate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from circuitdsl.graph.machine import Engine

    Array = NDArray[np.floating[Any]]
    Whole = NDArray[np.int64]

DType = Literal["float32", "float64"]

#: How many compiled circuits a thread keeps: values of structural params take turns.
KEPT_ENGINES = 4


@frozen(kw_only=True, eq=False)
class Setup:
    """What all runs of one compiled circuit share. `without`: the names of passes that are left out; `key` names the
    compiled circuit."""

    graph: Circuit
    plan: Plan
    dataset: Dataset
    target: str
    dtype: DType
    without: frozenset[str]
    folder: Path | None
    key: str


@frozen(kw_only=True)
class Life:
    """One run of it."""

    numbers: Numbers
    seed: int
    epochs: int
    batch: int


@frozen(kw_only=True)
class Recorded:
    """A record of a run: its readings [time, ...], and the epochs or updates (`every`) done at each."""

    name: str
    every: int | None
    dims: tuple[str, ...]
    at: Whole
    values: Array


@frozen(kw_only=True)
class Part:
    """What came of a run. `metric` and `loss` have a value for each epoch, the first before training; NaN where there
    is none. `validation` [epochs, 2]: metric and loss on the validation set, no rows without one. `why`: how it
    diverged, else empty."""

    metric: Array
    loss: Array
    validation: Array
    records: tuple[Recorded, ...]
    epochs_done: int
    why: str


def live(setup: Setup, life: Life) -> Part:
    """Runs one life from its start to its end. Raises ValueError and OSError as `initial_state` does, and
    KeyboardInterrupt."""
    loop, run = _begun(setup, life)
    simulate(loop, run)
    return _part(run)


def live_abreast(setup: Setup, lives: Sequence[Life]) -> list[Part]:
    """Runs lives with batches of one size side by side on a device; each gives what `live` gives. Raises the same, and
    UsageError."""
    from circuitdsl.graph.functions import quiet
    from circuitdsl.runtime.abreast import simulate_abreast
    from circuitdsl.runtime.where import one_thread

    with quiet(), one_thread():
        begun = [_begun(setup, life) for life in lives]
        simulate_abreast(begun)
    return [_part(run) for _, run in begun]


def abreast(setup: Setup, life: Life) -> int:
    """How many lives like this one may run side by side, by themselves; 1 on a processor."""
    from circuitdsl.runtime.abreast import room_for
    from circuitdsl.runtime.backends import back_end

    return 1 if back_end(setup.target).device is None else room_for(*_begun(setup, life))


def _begun(setup: Setup, life: Life) -> tuple[Loop, Run]:
    from circuitdsl.graph.initial import initial_state
    from circuitdsl.runtime.records import new_series

    loop = Loop(
        engine=_engine(setup),
        dataset=setup.dataset,
        plan=setup.plan,
        numbers=life.numbers,
        epochs=life.epochs,
        batch=life.batch,
        seed=life.seed,
    )
    state = initial_state(setup.graph, life.numbers, life.seed, dtype=setup.dtype, folder=setup.folder)
    return loop, Run(setup.graph, state, new_series(setup.graph, setup.plan, life.numbers))


class _Engines(threading.local):
    """Every thread has compiled circuits of its own: they hold work space."""

    def __init__(self) -> None:
        self.held: OrderedDict[str, Engine] = OrderedDict()


_ENGINES = _Engines()


def _engine(setup: Setup) -> Engine:
    from circuitdsl.runtime.backends import make_engine

    held = _ENGINES.held
    if setup.key not in held:
        held[setup.key] = make_engine(setup.target, setup.graph, setup.plan.probes, setup.dtype, setup.without)
        if len(held) > KEPT_ENGINES:
            held.popitem(last=False)
    held.move_to_end(setup.key)
    return held[setup.key]


def _part(run: Run) -> Part:
    """What came of a run. Raises KeyboardInterrupt if it was interrupted."""
    import numpy as np

    if run.interrupted:
        raise KeyboardInterrupt
    records = tuple(
        Recorded(
            name=series.name,
            every=series.every,
            dims=series.dims,
            at=np.array(series.at, dtype=np.int64),
            values=np.stack(series.values) if series.values else np.zeros((0, *[0] * len(series.dims))),
        )
        for series in run.series
    )
    return Part(
        metric=np.array(run.metric),
        loss=np.array(run.loss),
        validation=np.array(run.validation).reshape(-1, 2),
        records=records,
        epochs_done=run.epochs_done,
        why=run.diverged.title if run.diverged else "",
    )


# ---------------------------------------------------------------- on disk


def to_bytes(part: Part) -> bytes:
    """As an `.npz` file."""
    import numpy as np

    told = [{"name": r.name, "every": r.every, "dims": r.dims} for r in part.records]
    head = {"epochs_done": part.epochs_done, "why": part.why, "records": told}
    arrays: dict[str, Any] = {"head": np.array(json.dumps(head)), "metric": part.metric, "loss": part.loss}
    arrays["validation"] = part.validation
    for i, record in enumerate(part.records):
        arrays |= {f"at{i}": record.at, f"values{i}": record.values}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def from_bytes(content: bytes) -> Part:
    """The opposite of `to_bytes`. Raises ValueError for anything else."""
    import zipfile

    import numpy as np

    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays: Mapping[str, Any] = {key: archive[key] for key in archive.files}
        head = json.loads(str(arrays["head"]))
        records = tuple(
            Recorded(
                name=told["name"],
                every=told["every"],
                dims=tuple(told["dims"]),
                at=arrays[f"at{i}"],
                values=arrays[f"values{i}"],
            )
            for i, told in enumerate(head["records"])
        )
        return Part(
            metric=arrays["metric"],
            loss=arrays["loss"],
            validation=arrays.get("validation", np.zeros((0, 2))),
            records=records,
            epochs_done=head["epochs_done"],
            why=head["why"],
        )
    except (KeyError, OSError, EOFError, zipfile.BadZipFile) as problem:
        raise ValueError(f"not a part of a sweep: {problem}") from None
