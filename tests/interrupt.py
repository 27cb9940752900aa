"""A key press after some steps of a long work, for the tests of going on."""

from __future__ import annotations


class Interrupt:
    """A progress bar that interrupts. `done`: what was done before, as it was told."""

    def __init__(self, after: int):
        self.left, self.done = after, -1

    def start(self, title: str, total: int, done: int) -> None:
        self.done = done

    def advance(self, note: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
