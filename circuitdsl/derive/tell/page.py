"""The derivation as a page of text: the answer of each synapse, and why, each line checkable by hand."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.derive.tell.expects import Judgement
from circuitdsl.derive.tell.layers import layers
from circuitdsl.derive.tell.outline import Block, Row, blocks, headline, together

INDENT = 5
LABEL = 10
CODES = {"green": "32", "cyan": "36", "red": "31", "yellow": "33"}


def page(derivation: Derivation, judgements: Sequence[Judgement], *, width: int = 100, color: bool = False) -> str:
    """The whole derivation as text, no line longer than `width` where words allow."""
    width = max(60, width)
    name, about = headline(derivation.circuit)
    lines = [*_wrapped(f"{_bold(name, color)}      {about}", width, ""), ""]
    told = blocks(derivation)
    for block in told:
        lines += block_lines(block, width, color=color)
        if block.rows:
            lines.append("")
    if told and not told[-1].rows:
        lines.append("")
    for row in together(derivation):
        lines += _wrapped(row.text, width, row.label.ljust(INDENT + LABEL - 3))
    lines += _expectations(judgements, color)
    return "\n".join(lines)


def block_lines(block: Block, width: int, *, color: bool = False) -> Iterator[str]:
    """What is told of one synapse, or of several alike."""
    where = f"      for {layers(block.indices)}" if block.indices else ""
    head = list(_wrapped(f"{block.name}   {block.route}      {block.kind}{where}", width, "", hanging=INDENT))
    yield _bold(block.name, color) + head[0].removeprefix(block.name)
    yield from head[1:]
    for row in block.rows:
        yield from _row(row, width)
    if block.verdict is not None:
        verdict = list(_wrapped(f"⇒ {block.verdict}", width, " " * INDENT, hanging=2))
        code = CODES.get(block.colour, "1")
        yield from (f"\x1b[{code}m{line}\x1b[0m" if color else line for line in verdict)


def _row(row: Row, width: int) -> Iterator[str]:
    """A labelled line; the place in the `.circ` stands at its right end."""
    lines = list(_wrapped(row.text, width - (len(row.place) + 3 if row.place else 0), _head(row.label)))
    if row.place:
        lines[0] = f"{lines[0].ljust(width - len(row.place))}{row.place}"
    yield from lines


def _head(label: str) -> str:
    return " " * INDENT + label.ljust(LABEL)


def _wrapped(text: str, width: int, first: str, *, hanging: int = 0) -> Iterator[str]:
    yield from textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=" " * (len(first) + hanging), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _bold(text: str, color: bool) -> str:
    return f"\x1b[1m{text}\x1b[0m" if color else text


def _expectations(judgements: Sequence[Judgement], color: bool) -> Iterator[str]:
    if not judgements:
        return
    marks = {True: "✓", False: "✗", None: "·"}
    for j in judgements:
        if j.ok is not True:
            mark = f"\x1b[31m{marks[j.ok]}\x1b[0m" if color and j.ok is False else marks[j.ok]
            found = f"   found: {j.value}" if j.value is not None else "   not known"
            yield f"{mark} {j.text}   (line {j.line}){found}"
    held = sum(j.ok is True for j in judgements)
    unknown = sum(j.ok is None for j in judgements)
    yield f"{held} of {len(judgements)} expectations hold{f', {unknown} not judged' if unknown else ''}."
