"""Colours that mean something can be told apart, by those too who see fewer of them, on light and on dark ground."""

from __future__ import annotations

from itertools import combinations
from math import atan2, cos, degrees, exp, hypot, radians, sin, sqrt

import pytest

from circuitdsl.draw.colours import THEMES, Ink, Theme

#: What lines are drawn with.
LINES: tuple[Ink, ...] = ("learning", "auxiliary", "fixed", "wire", "modulator")
WORDS: tuple[Ink, ...] = ("text", "faint", *LINES)

Triple = tuple[float, float, float]

#: What is left of red, green and blue where one kind of cone is missing (Machado, Oliveira & Fernandes 2009, IEEE
#: Transactions on Visualization and Computer Graphics 15, 1291; severity 1).
EYES: dict[str, tuple[Triple, Triple, Triple]] = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)
    ),
}  # fmt: skip


def linear(colour: str) -> Triple:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return _linear(red), _linear(green), _linear(blue)


def _linear(c: float) -> float:
    return c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4


def dot(row: Triple, colour: Triple) -> float:
    return sum(a * b for a, b in zip(row, colour, strict=True))


def seen(colour: str, eyes: str) -> Triple:
    red, green, blue = (min(1.0, max(0.0, dot(row, linear(colour)))) for row in EYES[eyes])
    return red, green, blue


def lab(colour: Triple) -> Triple:
    """CIE L*a*b* under D65, of linear sRGB."""
    white = (0.95047, 1.0, 1.08883)
    rows: tuple[Triple, Triple, Triple] = (
        (0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041)
    )  # fmt: skip
    x, y, z = (_cube(dot(row, colour) / w) for row, w in zip(rows, white, strict=True))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _cube(t: float) -> float:
    return t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116


def distance(one: Triple, two: Triple) -> float:
    """CIEDE2000 (Sharma, Wu & Dalal 2005, Color Research and Application 30, 21)."""
    (l1, a1, b1), (l2, a2, b2) = one, two
    mean = (hypot(a1, b1) + hypot(a2, b2)) / 2
    g = 0.5 * (1 - sqrt(mean**7 / (mean**7 + 25**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = hypot(a1, b1), hypot(a2, b2)
    h1, h2 = degrees(atan2(b1, a1)) % 360, degrees(atan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    dl, dc, dh = l2 - l1, c2 - c1, 2 * sqrt(c1 * c2) * sin(radians(turn / 2))
    lm, cm = (l1 + l2) / 2, (c1 + c2) / 2
    hm = (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    t = 1 - 0.17 * cos(radians(hm - 30)) + 0.24 * cos(radians(2 * hm))
    t += 0.32 * cos(radians(3 * hm + 6)) - 0.2 * cos(radians(4 * hm - 63))
    sl = 1 + 0.015 * (lm - 50) ** 2 / sqrt(20 + (lm - 50) ** 2)
    sc, sh = 1 + 0.045 * cm, 1 + 0.015 * cm * t
    rt = -2 * sqrt(cm**7 / (cm**7 + 25**7)) * sin(radians(60 * exp(-(((hm - 275) / 25) ** 2))))
    return sqrt((dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + rt * dc / sc * dh / sh)


def contrast(one: str, two: str) -> float:
    """The ratio of luminances as WCAG 2 defines it."""
    low, high = sorted(dot((0.2126, 0.7152, 0.0722), linear(c)) for c in (one, two))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("one", "two", "far"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
        ((50.0, 2.5, 0.0), (56.0, -27.0, -3.0), 31.9030),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_distance_is_that_of_the_published_examples(one: Triple, two: Triple, far: float) -> None:
    assert distance(one, two) == pytest.approx(far, abs=1e-4)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("eyes", EYES)
def test_lines_are_told_apart(theme: Theme, eyes: str) -> None:
    colours = THEMES[theme]
    for a, b in combinations(LINES, 2):
        far = distance(lab(seen(colours[a], eyes)), lab(seen(colours[b], eyes)))
        assert far >= 18, f"{a} and {b}: {far:.1f}"


def test_blue_and_purple_of_equal_lightness_would_be_noticed() -> None:
    near = distance(lab(seen("#0b5fbd", "deuteranopia")), lab(seen("#8a1f7a", "deuteranopia")))
    assert near < 18


@pytest.mark.parametrize("theme", THEMES)
def test_words_stand_out_from_the_ground(theme: Theme) -> None:
    colours = THEMES[theme]
    for ink in WORDS:
        assert contrast(colours[ink], colours["ground"]) >= 4.5, ink
    for body in ("body", "input", "target"):
        assert contrast(colours["text"], colours[body]) >= 7
        assert contrast(colours["faint"], colours[body]) >= 4.5
