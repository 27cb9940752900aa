"""What something long says while it runs: a bar on a terminal's stderr, nothing elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from circuitdsl.frozen import mutable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar(Protocol):
    """Told how far a sweep or an evolution is."""

    def start(self, title: str, total: int, done: int) -> None:
        """`total` steps are to be done, `done` of them were before."""

    def advance(self, note: str = "") -> None:
        """One more is; `note` says how it came out."""


class Quiet:
    """Says nothing."""

    def start(self, title: str, total: int, done: int) -> None: ...

    def advance(self, note: str = "") -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@mutable
class Line(Quiet):
    """Steps done, the last note and the time left."""

    bar: Progress
    task: TaskID | None = None

    def start(self, title: str, total: int, done: int) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(title, total=total, completed=done, note="")

    def advance(self, note: str = "") -> None:
        if self.task is not None:
            self.bar.update(self.task, advance=1, note=note)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()


def progress_bar() -> Quiet:
    """A bar if stderr is a terminal, else silence."""
    if not sys.stderr.isatty():
        return Quiet()
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    ]
    return Line(Progress(*columns, console=Console(stderr=True), transient=True))
