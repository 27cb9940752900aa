"""Sums of squares as people write them."""

from __future__ import annotations

from circuitdsl.derive.algebra.letters import Drawn, Identity
from circuitdsl.derive.algebra.notation import Notation, signal
from circuitdsl.derive.algebra.words import Coefficient, Column, Diagonal, Expect, Letter, Row, Signal, identity, shape
from circuitdsl.derive.prove.squares import Square, Squares


def squares_text(found: Squares, notation: Notation | None = None) -> str:
    """`Fᵀ F + 2 · (F + G)ᵀ (F + G)`."""
    notation = notation or Notation()
    return " + ".join(_square_text(s, notation) for s in found.squares) or "0"


def _square_text(square: Square, notation: Notation) -> str:
    drawn = [x for x in square.middle if _drawn_by(x) is not None]
    if len(square.half.terms) == 1 and not drawn:
        return notation.of(square.value)
    inner = notation.sign("(") + notation.of(square.half) + notation.sign(")")
    parts = [inner + notation.sign("ᵀ"), *(_middle_text(x, notation) for x in square.middle), inner]
    if square.half == identity(square.half.cols):
        parts = parts[1:-1]
    factor = "" if square.factor == Coefficient() else notation.coefficient(square.factor)
    numbers = list(map(notation.number, square.numbers))
    return notation.sign(" · ").join([x for x in (factor, *numbers, notation.sign(" ").join(parts)) if x])


def _middle_text(letter: Letter, notation: Notation) -> str:
    by = _drawn_by(letter)
    if by is None:
        return notation.plain((letter,))
    p = signal(by, shape(letter)[0])
    shown = [notation.plain((Diagonal(p),)), notation.sign("−"), notation.word((Column(p), Row(p)))]
    return notation.sign("(") + notation.sign(" ").join(shown) + notation.sign(")")


def _drawn_by(letter: Letter) -> Identity | None:
    match letter:
        case Expect(word=(Column(Signal(of=Drawn(by))), Row())):
            return by
        case _:
            return None
