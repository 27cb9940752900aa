"""The colours of drawings, on light and on dark ground.

Who cannot tell red from green, or blue from yellow, can tell these apart: `tests/test_colours.py` computes it. What
colour says is also said by the stroke of a line or by a sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Ink = Literal[
    "ground", "text", "faint", "body", "input", "target", "learning", "auxiliary", "fixed", "wire", "modulator"
]
Theme = Literal["light", "dark"]

THEMES: Mapping[Theme, Mapping[Ink, str]] = {
    "light": {
        "ground": "#ffffff",
        "text": "#1b1f24",
        "faint": "#57606a",
        "body": "#f4f5f7",
        "input": "#e8eef7",
        "target": "#faefdc",
        "learning": "#0472e8",
        "auxiliary": "#b3540a",
        "fixed": "#666a70",
        "wire": "#0b0d10",
        "modulator": "#680467",
    },
    "dark": {
        "ground": "#15181c",
        "text": "#e8eaed",
        "faint": "#a3abb5",
        "body": "#23272e",
        "input": "#1f2c3d",
        "target": "#3a2f1c",
        "learning": "#2993fd",
        "auxiliary": "#f25914",
        "fixed": "#7c8188",
        "wire": "#c6cacf",
        "modulator": "#6ffb9f",
    },
}
