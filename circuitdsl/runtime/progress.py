"""What a run says while it runs: one line on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


class Progress(Protocol):
    """Told how a run goes."""

    def start(self, title: str, epochs: int, examples: int, done: int) -> None:
        """A run of `epochs` epochs of `examples` examples begins, `done` epochs of it done before."""

    def advance(self, examples: int) -> None:
        """So many more examples have been presented."""

    def measured(self, epoch: int, loss: float | None, metric: float | None) -> None:
        """The test set was evaluated after `epoch` epochs."""


class Quiet:
    """Says nothing."""

    def start(self, title: str, epochs: int, examples: int, done: int) -> None: ...

    def advance(self, examples: int) -> None: ...

    def measured(self, epoch: int, loss: float | None, metric: float | None) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@dataclass(slots=True)
class Line(Quiet):
    """A bar with epoch, loss, metric, rate and the time left, on stderr."""

    bar: Bar
    task: TaskID | None = None
    epochs: int = 0
    shown: dict[str, Any] = field(default_factory=dict)

    def start(self, title: str, epochs: int, examples: int, done: int) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.epochs, self.shown = epochs, {"epoch": f"{done}/{epochs}", "loss": "", "metric": "", "rate": ""}
        self.task = self.bar.add_task(title, total=epochs * examples, completed=done * examples, **self.shown)

    def advance(self, examples: int) -> None:
        if self.task is None:
            return
        self.bar.advance(self.task, examples)
        speed = self.bar.tasks[0].speed
        self.bar.update(self.task, rate="" if speed is None else f"{speed:,.0f}/s")

    def measured(self, epoch: int, loss: float | None, metric: float | None) -> None:
        if self.task is None:
            return
        self.bar.update(
            self.task,
            epoch=f"{epoch}/{self.epochs}",
            loss="" if loss is None else f"loss {loss:.4g}",
            metric="" if metric is None else f"metric {metric:.4f}",
        )

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()


def progress_line() -> Quiet:
    """A progress line if stderr is a terminal, else silence."""
    if not sys.stderr.isatty():
        return Quiet()
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[epoch]}"),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[metric]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
    ]
    # what is printed meanwhile goes above the line, unless stdout is a file or a pipe of its own
    together = sys.stdout.isatty()
    console = Console(stderr=True)
    return Line(Progress(*columns, console=console, transient=True, redirect_stdout=together))
