"""The derivation as a LaTeX document: the same rows as on the page of text, with formulas set as formulas.

It compiles with nothing but amsmath and amssymb."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from circuitdsl.derive.algebra.notation import escaped
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.derive.tell.expects import Judgement
from circuitdsl.derive.tell.layers import layers
from circuitdsl.derive.tell.outline import Block, Row, blocks, headline, together

PREAMBLE = r"""\documentclass[a4paper,10pt]{article}
\usepackage{amsmath,amssymb}
\setlength{\parindent}{0pt}
\setlength{\emergencystretch}{3em}
\raggedbottom
\begin{document}
"""


def latex_page(derivation: Derivation, judgements: Sequence[Judgement]) -> str:
    """The whole derivation as a document."""
    name, about = headline(derivation.circuit)
    lines = [PREAMBLE + rf"\section*{{{prose(name)}}}", prose(about), ""]
    for block in blocks(derivation, latex=True):
        lines += _block(block)
    lines += _rows(list(together(derivation, latex=True)))
    lines += _expectations(judgements)
    return "\n".join([*lines, r"\end{document}"])


def _block(block: Block) -> Iterator[str]:
    where = f" for {layers(block.indices)}" if block.indices else ""
    yield rf"\paragraph{{{prose(block.name)}}} {prose(block.route)} \quad {prose(block.kind + where)}"
    yield ""
    rows = list(block.rows)
    if block.verdict is not None:
        rows.append(Row("⇒", block.verdict))
    yield from _rows(rows)


def _rows(rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        return
    yield r"\begin{description}"
    for row in rows:
        place = rf" \hfill{{\small\textit{{{prose(row.place)}}}}}" if row.place else ""
        yield rf"\item[{{{prose(row.label)}}}] {prose(row.text)}{place}"
    yield r"\end{description}"


def _expectations(judgements: Sequence[Judgement]) -> Iterator[str]:
    marks = {True: "✓", False: "✗", None: "·"}
    for judgement in judgements:
        yield prose(f"{marks[judgement.ok]} {judgement.text}") + r"\par"


def prose(text: str) -> str:
    """Words with formulas between dollar signs: the words escaped, the formulas as they are."""
    parts = text.split("$")
    return "$".join(part.replace("−", "-") if i % 2 else escaped(part) for i, part in enumerate(parts))
