"""How long work is told to stop: by a key press, by a signal that asks the process to end, or by whoever asked for it.

Work asks now and then, by `stop_if_told`: a thread cannot be interrupted, and a KeyboardInterrupt that comes while
Python forgets an object (in a `__del__`, in the callback of a weak reference) is printed and lost.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, local
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

#: The signals that ask a process to end, which is taken as a key press is: what was done is saved. Schedulers of
#: clusters send SIGTERM when the time is up, a closed terminal SIGHUP.
ENDING = tuple(signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__)

#: A key was pressed since `noticing` began.
_PRESSED = Event()
#: What runs must not be broken off; a key press is raised at its end.
_HELD = Event()


class _Thread(local):
    """What the piece of work of a thread is told by."""

    stop: Event | None = None


_THREAD = _Thread()


def told_to_stop() -> bool:
    """Whether a key was pressed, or whoever asked for the work that this thread does has ended."""
    return _PRESSED.is_set() or (_THREAD.stop is not None and _THREAD.stop.is_set())


def stop_if_told() -> None:
    """Raises KeyboardInterrupt if the work that this thread does is no longer wanted."""
    if told_to_stop():
        raise KeyboardInterrupt


@contextmanager
def told_by(stop: Event) -> Iterator[None]:
    """Inside, the work of this thread is told by `stop`."""
    before, _THREAD.stop = _THREAD.stop, stop
    try:
        yield
    finally:
        _THREAD.stop = before


@contextmanager
def noticing() -> Iterator[None]:
    """Inside, Ctrl-C raises KeyboardInterrupt as ever, and is noted besides, for where that is lost; other signals that
    ask for the end do the same, unless the process ignores them (`nohup`). Does nothing outside the main thread, which
    alone is told of signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _PRESSED.clear()
    noticed = [s for s in ENDING if s is signal.SIGINT or signal.getsignal(s) is not signal.SIG_IGN]
    handlers = {s: signal.signal(s, _note) for s in noticed}
    hook = sys.unraisablehook

    def silent(lost: UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            hook(lost)

    sys.unraisablehook = silent
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in handlers.items():
            signal.signal(number, handler)
        _PRESSED.clear()


def _note(number: int, frame: FrameType | None) -> None:
    _PRESSED.set()
    if not _HELD.is_set():
        signal.default_int_handler(number, frame)


@contextmanager
def unbroken() -> Iterator[None]:
    """Inside, which is short, a key press waits: libraries that are broken off in the middle of a file may say
    anything. Raises KeyboardInterrupt at the end if there was one meanwhile."""
    if threading.current_thread() is not threading.main_thread() or _HELD.is_set():
        yield
        return
    before = _PRESSED.is_set()
    _HELD.set()
    try:
        yield
    finally:
        _HELD.clear()
    if _PRESSED.is_set() and not before:
        raise KeyboardInterrupt
