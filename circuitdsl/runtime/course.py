"""What a run asks for on its way. Who drives it answers: an engine (`alone`), or a device that runs many copies of a
circuit side by side (abreast.py)."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, TypeVar

from circuitdsl.frozen import frozen
from circuitdsl.graph.machine import Evaluation

if TYPE_CHECKING:
    from circuitdsl.graph.machine import Indices

Found = TypeVar("Found")


@frozen
class Train:
    """To learn from these examples, in this order. The answer: the seconds that it took, or its share of those that
    several took together, compiling left out."""

    examples: Indices
    epoch: int


@frozen
class Evaluate:
    """To measure these examples. `watch`: the values that are wanted as they stood at the last tick. The answer: an
    Evaluation."""

    examples: Indices
    epoch: int
    watch: Sequence[str] = ()


Ask = Train | Evaluate
Answer = float | Evaluation
#: A run, or part of one, that stops where it asks for something, and gives what it has found at its end.
Course = Generator[Ask, Answer, Found]


def training(examples: Indices, epoch: int) -> Course[float]:
    """Asks to train; the seconds that it took."""
    answer = yield Train(examples, epoch)
    assert isinstance(answer, float)
    return answer


def evaluating(examples: Indices, epoch: int, watch: Sequence[str] = ()) -> Course[Evaluation]:
    """Asks to evaluate; what was measured."""
    answer = yield Evaluate(examples, epoch, watch)
    assert isinstance(answer, Evaluation)
    return answer


def alone(course: Course[None], do: Callable[[Ask], Answer]) -> None:
    """Takes a course to its end. An interrupt, wherever it comes, is told at the place where the course last asked."""
    answer: Answer | None = None
    told: KeyboardInterrupt | None = None
    while True:
        try:
            ask = advanced(course, answer, told)
            if ask is None:
                return
            told = None
            answer = do(ask)
        except KeyboardInterrupt as interrupt:
            if told is not None:  # the course passes it on
                raise
            told = interrupt


def advanced(course: Course[None], answer: Answer | None, told: KeyboardInterrupt | None = None) -> Ask | None:
    """What a course asks next, given an answer (None: it begins) or told of an interrupt; None at its end."""
    try:
        if told is not None:
            return course.throw(told)
        return next(course) if answer is None else course.send(answer)
    except StopIteration:
        return None


def timed(work: Callable[[], None], compile_seconds: Callable[[], float]) -> float:
    """Does work; the seconds that it took without those that were spent compiling."""
    started, compiled = time.perf_counter(), compile_seconds()
    work()
    return time.perf_counter() - started - (compile_seconds() - compiled)
