r"""The derivation as a LaTeX document: the same rows as on the page of text, with formulas set as formulas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from circuitdsl.derive.expects import Judgement
from circuitdsl.derive.findings import Derivation
from circuitdsl.derive.notation import escaped
from circuitdsl.derive.outline import Block, Row, blocks, headline, layers, together

PREAMBLE = r"""\documentclass{article}
\usepackage{amsmath, amssymb}
\newcommand{\place}[1]{\hfill\textit{\small #1}}
\setlength{\parindent}{0pt}
\setlength{\emergencystretch}{3em}
\raggedbottom
\begin{document}
"""


def document(derivation: Derivation, judgements: Sequence[Judgement]) -> str:
    """A whole document; needs amsmath and amssymb."""
    name, about = headline(derivation.circuit)
    lines = [PREAMBLE + rf"\section*{{{prose(name)}}}", prose(about), ""]
    for block in blocks(derivation, latex=True):
        lines += _block(block)
    lines += _rows(list(together(derivation, latex=True)))
    lines += _expectations(judgements)
    return "\n".join([*lines, r"\end{document}", ""])


def _block(block: Block) -> Iterator[str]:
    where = f" for ${layers(block.indices)}$" if block.indices else ""
    yield rf"\paragraph{{{prose(block.name)}}} {prose(block.route)} \quad {prose(block.kind)}{where}"
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
        place = rf" \place{{{prose(row.place)}}}" if row.place else ""
        yield rf"\item[{prose(row.label)}] {prose(row.text)}{place}"
    yield r"\end{description}"


def _expectations(judgements: Sequence[Judgement]) -> Iterator[str]:
    if not judgements:
        return
    held = sum(j.ok is True for j in judgements)
    for j in judgements:
        if j.ok is not True:
            word = "fails" if j.ok is False else "is open"
            found = f": {j.value}" if j.value is not None else ""
            yield prose(f"{j.text} (line {j.line}) {word}{found}") + r"\\"
    yield f"{held} of {len(judgements)} expectations hold."


def prose(text: str) -> str:
    """Words with formulas between dollar signs: the words escaped, the formulas as they are."""
    parts = text.split("$")
    return "$".join(part if i % 2 else escaped(part) for i, part in enumerate(parts))
