"""What a run says while it runs: one line on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from dataclasses import field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from circuitdsl.frozen import mutable

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


def _kernel() -> Cell | None:
    """What shows progress in a notebook, if this is one."""
    if sys.modules.get("IPython") is None:
        return None
    from IPython.core.getipython import get_ipython

    if getattr(get_ipython(), "kernel", None) is None:
        return None
    from IPython.display import HTML, display

    return Cell(display(HTML(""), display_id=True))


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


@mutable
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


#: Seconds between two showings in a notebook.
SHOW_EVERY = 0.1


@mutable
class Cell(Quiet):
    """The same in the output of a notebook's cell."""

    handle: Any
    title: str = ""
    epochs: int = 0
    whole: int = 0
    done: int = 0
    told: str = ""
    last: float = 0.0

    def start(self, title: str, epochs: int, examples: int, done: int) -> None:
        self.title, self.epochs, self.whole, self.done = title, epochs, epochs * examples, done * examples
        self.told = f"epoch {done}/{epochs}"
        self._show()

    def advance(self, examples: int) -> None:
        self.done += examples
        self._show(now=False)

    def measured(self, epoch: int, loss: float | None, metric: float | None) -> None:
        told = [f"epoch {epoch}/{self.epochs}"]
        told += [] if loss is None else [f"loss {loss:.4g}"]
        told += [] if metric is None else [f"metric {metric:.4f}"]
        self.told = ", ".join(told)
        self._show(now=epoch >= self.epochs)

    def _show(self, *, now: bool = True) -> None:
        import time

        if not now and time.monotonic() - self.last < SHOW_EVERY:
            return
        from IPython.display import HTML

        from circuitdsl.markup.html import joined, tag

        self.last = time.monotonic()
        bar = tag("progress", value=str(self.done), max=str(max(1, self.whole)), style="vertical-align: middle")
        self.handle.update(HTML(str(joined([f"{self.title} ", bar, f" {self.told}"]))))


def progress_line() -> Quiet:
    """A progress line if stderr is a terminal, one in the cell of a notebook, else silence."""
    if (shell := _kernel()) is not None:
        return shell
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
