"""Where many independent pieces of work run: here, on several cores, or on a cluster.

A piece of work is a function of something shared (a compiled circuit's description, its data) and of something of its
own (params, a seed), and gives the same bits wherever it runs: nothing is passed on from one to the next, and linear
algebra has one thread. Results come as they are ready, in any order, to the process that asked, which alone writes
files.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from functools import cache
from logging import CRITICAL, getLogger
from threading import Event, Thread
from time import sleep
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar

from circuitdsl.extras import how_to_get
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph.functions import quiet
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.scheduler import Scheduler, scheduler_of
from circuitdsl.runtime.stopping import told_by

Shared = TypeVar("Shared")
Own = TypeVar("Own")
Result = TypeVar("Result")

#: Seconds that a cluster's scheduler has to answer.
PATIENCE = 15


class Unfinished(Exception):
    """Work that could not be done where it was sent; the text says why. What was done so far is kept."""


class Where(Protocol):
    """A place. A context manager: what it opened is closed at the end. `workers`: how many pieces run at once, as
    far as is known now; 1 or more. `near`: whether the work shares the memory of this process."""

    @property
    def workers(self) -> int: ...

    @property
    def near(self) -> bool: ...

    def map(
        self, function: Callable[[Shared, Own], Result], work: Sequence[tuple[Shared, Own]]
    ) -> Iterator[tuple[int, Result]]:
        """(index, function(shared, own)) for every piece of work, as they are ready. Shared things are told apart by
        identity and sent once. Raises what a piece raises, and Unfinished."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def place(jobs: int, cluster: str | Scheduler | None, *, kind: Literal["threads", "processes"] = "threads") -> Where:
    """The place that options ask for: a cluster's scheduler if there is one, else `jobs` of this machine's cores.

    Compiled code lets go of the GIL, so that threads share this process's compiled circuit and data; an interpreter
    needs processes. Raises UsageError if the cluster does not answer or its library is missing."""
    if cluster is not None:
        return Cluster(cluster)
    return Here() if jobs <= 1 else Cores(jobs, kind)


class _Open:
    """A place with nothing to open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@frozen
class Here(_Open):
    """One after the other, in this thread."""

    workers: int = 1
    near: bool = True

    def map(
        self, function: Callable[[Shared, Own], Result], work: Sequence[tuple[Shared, Own]]
    ) -> Iterator[tuple[int, Result]]:
        for index, (shared, own) in enumerate(work):
            with quiet(), one_thread():
                result = function(shared, own)
            yield index, result


@frozen
class Cores(_Open):
    """On this machine, by joblib."""

    workers: int
    kind: Literal["threads", "processes"]

    @property
    def near(self) -> bool:
        return self.kind == "threads"

    def map(
        self, function: Callable[[Shared, Own], Result], work: Sequence[tuple[Shared, Own]]
    ) -> Iterator[tuple[int, Result]]:
        from joblib import Parallel, delayed

        stop = Event() if self.near else None  # an event cannot be sent; a process is told by its signals
        pool = Parallel(
            n_jobs=self.workers, backend="threading" if self.near else "loky", return_as="generator_unordered"
        )
        work_of_all = (delayed(_numbered)(function, i, shared, own, stop) for i, (shared, own) in enumerate(work))
        with one_thread():  # around all of them: threads in turns would undo what each other set
            results = pool(work_of_all)
            try:
                # `yield from` would close the results before the threads are told to stop
                for result in results:  # noqa: UP028
                    yield result
            finally:
                if stop is not None:
                    stop.set()
                with warnings.catch_warnings(action="ignore"):  # that there was more to do is known
                    results.close()


def _numbered(
    function: Callable[[Shared, Own], Result], index: int, shared: Shared, own: Own, stop: Event | None
) -> tuple[int, Result]:
    if stop is None:
        _end_with_parent()
        with quiet(), one_thread():
            return index, function(shared, own)
    with quiet(), told_by(stop):
        return index, function(shared, own)


@cache
def _end_with_parent() -> None:
    """From now on this process ends when the one that asked for work has: after a kill of that one it would wait for
    more work for ever."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            sleep(1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


# ---------------------------------------------------------------- linear algebra


@contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra on one thread, in the whole process. How a sum is split among threads decides its last bits, and
    how many there are differs from machine to machine; for matrices of our sizes more only wait for each other."""
    with _limited():
        yield


def _limited() -> Any:
    import numpy  # noqa: F401 - only what is loaded can be limited
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(limits=1, user_api="blas")


# ---------------------------------------------------------------- a cluster


def _distributed() -> Any:
    """The library. Raises UsageError if it is not installed."""
    from importlib import import_module

    try:
        return import_module("distributed")
    except ImportError:
        raise UsageError(f"`--cluster` needs dask.distributed: {how_to_get('distributed')}") from None


def _itself(thing: Any) -> Any:
    return thing


def _far(function: Callable[[Shared, Own], Result], shared: Shared, own: Own) -> Result:
    """A piece of work in a worker, whose linear algebra stays on one thread: several of its threads may be in here."""
    _limited()
    return function(shared, own)


@mutable
class Cluster:
    """The workers of a dask.distributed scheduler, given itself or by its address.

    Shared things are the results of tasks of their own: when the worker that holds one dies, the scheduler makes it
    again elsewhere, as it does with the pieces of work that ran there."""

    scheduler: str | Scheduler
    client: Any = None
    shared: dict[int, tuple[Any, Any]] = field(default_factory=dict)  # by identity: the thing, its future

    def __post_init__(self) -> None:
        client = _distributed().Client
        asked = scheduler_of(self.scheduler)
        security = asked.security()
        getLogger("distributed.client").setLevel(CRITICAL)  # what its losses mean is said in `_result`
        try:
            self.client = client(asked.address, timeout=PATIENCE, set_as_default=False, security=security)
        except (OSError, ValueError, TimeoutError) as problem:
            why = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
            raise UsageError(f"no dask scheduler answers at `{asked.address}`: {why}; {asked.doubt}") from None

    @property
    def address(self) -> str:
        return scheduler_of(self.scheduler).address

    @property
    def near(self) -> bool:
        return False

    @property
    def workers(self) -> int:
        return max(1, sum(int(n) for n in self.client.nthreads().values()))

    def map(
        self, function: Callable[[Shared, Own], Result], work: Sequence[tuple[Shared, Own]]
    ) -> Iterator[tuple[int, Result]]:
        self._share([shared for shared, _ in work])
        futures = {
            self.client.submit(_far, function, self.shared[id(shared)][1], own, pure=False): index
            for index, (shared, own) in enumerate(work)
        }
        try:
            for future in _distributed().as_completed(list(futures), loop=self.client.loop):
                yield futures[future], self._result(future)
                future.release()
        finally:
            with suppress(Exception):
                self.client.cancel([f for f in futures if not f.done()])

    def _share(self, things: Sequence[Any]) -> None:
        """Sends what was not sent before, and forgets what is no longer used."""
        used = {id(thing): thing for thing in things}
        self.shared = {key: held for key, held in self.shared.items() if key in used}
        with warnings.catch_warnings(action="ignore"):  # data may be large, and are sent once
            for key, thing in used.items():
                if key not in self.shared:
                    self.shared[key] = thing, self.client.submit(_itself, thing, pure=False)

    def _result(self, future: Any) -> Any:
        from concurrent.futures import CancelledError

        try:
            return future.result()
        except _distributed().KilledWorker as problem:
            raise Unfinished(f"every worker that a piece of work was sent to died: {problem}") from None
        except CancelledError:
            raise Unfinished(f"the connection to `{self.address}` was lost") from None
        except ImportError as problem:
            raise Unfinished(f"a worker of `{self.address}` lacks something: {problem}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Exception):
            self.client.close()
