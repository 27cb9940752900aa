"""The derivation as a LaTeX document that compiles with nothing but amsmath and amssymb."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from circuitdsl.derive.expects import Judgement
from circuitdsl.derive.findings import Derivation
from circuitdsl.derive.outline import Block, Row, blocks, headline, layers, together

PREAMBLE = r"""\documentclass[a4paper,10pt]{article}
\usepackage[margin=2cm]{geometry}
\usepackage{amsmath,amssymb}
\setlength{\parindent}{0pt}
\begin{document}
"""

#: What stands in text beside formulas, in LaTeX's own words.
PLAIN = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "$": r"\$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$", "φ": r"$\varphi$",
    "δ": r"$\delta$", "η": r"$\eta$", "γ": r"$\gamma$", "→": r"$\to$", "←": r"$\leftarrow$", "⇒": r"$\Rightarrow$",
    "·": r"$\cdot$", "−": "$-$", "∂": r"$\partial$", "½": r"$\tfrac12$", "²": "$^2$", "ᵀ": r"$^{\top}$",
    "∘": r"$\circ$",
    "⊗": r"$\otimes$", "≥": r"$\geq$", "≤": r"$\leq$", "≠": r"$\neq$", "Σ": r"$\Sigma$", "…": r"\dots{}", "`": "'",
    "✓": r"$\checkmark$", "✗": r"$\times$", "Δ": r"$\Delta$",
}  # fmt: skip


def latex_page(derivation: Derivation, judgements: Sequence[Judgement]) -> str:
    """The whole derivation as a document; formulas as they stand on the page of text."""
    name, about = headline(derivation.circuit)
    lines = [PREAMBLE + rf"\section*{{{prose(name)}}}", prose(about)]
    for block in blocks(derivation, latex=True):
        lines += _block(block)
    lines += [r"\subsection*{Together}", *_rows(list(together(derivation, latex=True)))]
    lines += list(_expectations(judgements))
    return "\n".join([*lines, r"\end{document}"])


def _block(block: Block) -> Iterator[str]:
    where = f" for {layers(block.indices)}" if block.indices else ""
    yield rf"\subsection*{{{prose(block.name)}: {prose(block.route)}}}"
    yield prose(block.kind + where)
    yield from _rows(block.rows)
    if block.verdict is not None:
        yield rf"\par $\Rightarrow$ \textbf{{{prose(block.verdict)}}}"


def _rows(rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        return
    yield r"\begin{description}"
    for row in rows:
        place = rf" \hfill {{\small {prose(row.place)}}}" if row.place else ""
        yield rf"\item[{{{prose(row.label)}}}] {prose(row.text)}{place}"
    yield r"\end{description}"


def _expectations(judgements: Sequence[Judgement]) -> Iterator[str]:
    marks = {True: "✓", False: "✗", None: "?"}
    for judgement in judgements:
        yield rf"\par {prose(f'{marks[judgement.ok]} {judgement.text}')}"


def prose(text: str) -> str:
    """Text with formulas between dollar signs: what is no formula is escaped."""
    parts = text.split("$")
    balanced = len(parts) % 2 == 1
    if not balanced:
        return "".join(PLAIN.get(c, c) for c in text)
    return "".join(
        f"${part.replace('−', '-')}$" if i % 2 else "".join(PLAIN.get(c, c) for c in part)
        for i, part in enumerate(_joined(parts))
    )


def _joined(parts: Sequence[str]) -> list[str]:
    """Parts between dollars; a dollar inside `\\text{...}` belongs to its formula."""
    joined: list[str] = []
    open_braces = 0
    for part in parts:
        if joined and open_braces > 0:
            joined[-1] += f"${part}"
        else:
            joined.append(part)
        open_braces += part.count("{") - part.count("}") if len(joined) % 2 == 0 or open_braces else 0
    return joined
