"""Formulas as MathML, which browsers set without a script; they are made of LaTeX by latex2mathml."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from importlib.util import find_spec
from xml.etree import ElementTree

from circuitdsl.extras import named
from circuitdsl.markup.html import Content, Html, joined

#: What latex2mathml reads in its own way, and how it gets it right: `\_` in names keeps its stroke, a transposed
#: matrix has a small T.
_INSTEAD = ((r"\_", "_"), ("&#x022A4;", "⊤"), ("<mo>⊤</mo>", '<mi mathvariant="normal">⊤</mi>'))
#: The name of a function is no operator, which would have blanks around it.
_WORD = re.compile(r"<mo>([A-Za-z]{2,})</mo>")


def available() -> bool:
    """Whether formulas can be set: latex2mathml comes with the extra `run`."""
    return find_spec("latex2mathml") is not None


@lru_cache(maxsize=4096)
def mathml(latex: str, *, tall: bool = False) -> Html:
    """A formula of LaTeX's math mode (amsmath, amssymb), `tall` where it has a line of its own. One that cannot be read
    is shown as it is written. Raises Missing without latex2mathml."""
    with named():
        from latex2mathml.converter import convert
    try:
        made: str = convert(latex)
        for old, new in _INSTEAD:
            made = made.replace(old, new)
        made = _WORD.sub(r"<mi>\1</mi>", made)
        if tall:
            made = made.replace('display="inline"', 'display="inline" displaystyle="true"', 1)
        ElementTree.fromstring(made)
    except Exception:  # it has no error of its own for what it cannot read
        return Html(f"<code>{escape(latex)}</code>")
    return Html(made)


def with_formulas(text: str) -> Html:
    """Words with formulas between dollar signs."""
    parts: list[Content] = [mathml(part) if i % 2 else part for i, part in enumerate(text.split("$"))]
    return joined(parts)
