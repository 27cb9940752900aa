"""The threads that share one run of a large circuit (lower/crew.py).

They are called together for each call of the code and part at its end. How many there are changes no number, only how
long a call takes: so what calls have taken decides it, and a machine that is busy with other things gets fewer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING

from circuitdsl.frozen import mutable

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

#: After so many calls another number of workers is tried again.
AGAIN = 50


@mutable
class Pace:
    """Which number of workers is the fastest, `most` or half of that and so on, by what each took for a unit of work
    when it was last tried."""

    most: int
    taken: dict[int, float] = field(default_factory=dict)
    calls: int = 0

    def workers(self) -> int:
        """How many to call for."""
        numbers = [self.most >> halved for halved in range(self.most.bit_length())]
        for number in numbers:
            if number not in self.taken:
                return number
        self.calls += 1
        turn, rest = divmod(self.calls, AGAIN)
        return numbers[turn % len(numbers)] if rest == 0 else min(numbers, key=self.taken.__getitem__)

    def note(self, workers: int, seconds: float, work: int) -> None:
        """Of a call with so many workers."""
        if work > 0:
            self.taken[workers] = seconds / work


class Crew:
    """At most `most` threads, this one among them, that work on one call at a time."""

    def __init__(self, most: int):
        self.most = max(1, most)
        self._free = Lock()
        self._pool: ThreadPoolExecutor | None = None

    def call(self, pace: Pace, work: int, begin: Callable[[int], None], share: Callable[[int], None]) -> None:
        """Calls begin(workers), and then share(worker) for every worker at the same time: they may wait for each other.
        `work`: how much there is to do, in any unit. A crew that is at work for somebody else lets this thread do it
        alone."""
        if pace.most == 1 or not self._free.acquire(blocking=False):
            begin(1)
            share(0)
            return
        try:
            workers, start = pace.workers(), perf_counter()
            begin(workers)
            self._together(workers, share)
            pace.note(workers, perf_counter() - start, work)
        finally:
            self._free.release()

    def _together(self, workers: int, share: Callable[[int], None]) -> None:
        if workers == 1:
            share(0)
            return
        from concurrent.futures import ThreadPoolExecutor, wait

        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.most, thread_name_prefix="crew")
        done = self._pool.submit(self._led, self._pool, workers, share)
        try:
            done.result()
        finally:
            wait([done])

    @staticmethod
    def _led(pool: ThreadPoolExecutor, workers: int, share: Callable[[int], None]) -> None:
        """By a thread of the pool: a key press is raised in the main one, and if that were before it began with its
        share the others would wait for it for ever."""
        others = [pool.submit(share, worker) for worker in range(1, workers)]
        share(0)
        for other in others:
            other.result()
