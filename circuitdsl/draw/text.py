"""How wide a text is, without a font: the widths of DejaVu Sans, which hardly any font of screens exceeds."""

from __future__ import annotations

#: Advance widths in hundredths of the font size, from the space to the tilde.
_PLAIN = (
    "32 40 46 84 64 95 78 27 39 39 50 84 32 36 32 34 64 64 64 64 64 64 64 64 64 64 34 34 84 84 84 53 100 68 69 70 77 63"
    " 58 77 75 29 29 66 56 86 75 79 60 79 69 63 61 73 68 99 69 61 69 39 34 39 84 50 50 61 63 55 63 62 35 63 63 28 28 58"
    " 28 97 63 61 63 63 41 52 39 63 59 82 59 59 52 64 34 64 84"
)
_WIDTHS = {chr(32 + i): int(width) for i, width in enumerate(_PLAIN.split())}
_OTHER = 84  # arrows and signs
_BOLD = 1.13  # of no letter is the bold form wider than that, on the average of a word


def width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of a line of text, in the unit of the font size."""
    plain = sum(_WIDTHS.get(c, _OTHER) for c in text) * size / 100
    return plain * _BOLD if bold else plain
