"""The formatter: one style for all `.circ` texts, at the level of words, so that comments survive.

Two spaces of indentation, one item or member to a line, at most one blank line. A body that was written
on one line stays there if it fits into 100 columns; an item that fits is joined on one line, a longer
one keeps the line ends of its author. The parse tree says where items begin; the words are never changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc

from circuitdsl.diagnostics import Source
from circuitdsl.frozen import frozen
from circuitdsl.syntax.parse import first_token, parse, parts_of
from circuitdsl.syntax.spacing import gaps
from circuitdsl.syntax.words import Word, words

WIDTH = 100
INDENT = "  "
CONTINUATION = "    "
BETWEEN_MEMBERS = "   "

# The rules of the grammar that stand on a line of their own.
_ELEMENTS = frozenset(
    "circuit motif rule import_ param input target neuron synapse modulator use for_ alias pair loss"
    " expect_verdict expect_attractor expect_metric record schedule task stage dendrites state let drive"
    " rate assign phase spike_when reserved_assign".split()
)


def format_text(source: Source) -> str:
    """The text in the one style: the same words and comments, so that it parses to an equal tree.

    Raises CircuitError if the text does not parse.
    """
    parse(source)
    pieces = _pieces(source)
    file = _Reader(pieces, _starts(source)).elements()
    printer = _Printer()
    printer.elements(file, "")
    return printer.text()


@frozen(kw_only=True)
class Piece:
    """A word or a comment, the space before it if it does not begin a line, and the line ends before it."""

    word: Word
    gap: str
    breaks: int

    @property
    def is_comment(self) -> bool:
        return self.word.kind == "COMMENT"


@frozen(kw_only=True)
class Block:
    """What stands between two braces."""

    elements: list[Element]
    one_line: bool


@frozen(kw_only=True)
class Element:
    """An item, a member, a docstring, or a comment on its own line."""

    parts: list[Piece | Block]

    @property
    def first(self) -> Piece:
        piece = self.parts[0]
        assert isinstance(piece, Piece)
        return piece


# ---------------------------------------------------------------- reading


def _starts(source: Source) -> set[int]:
    """The character offsets at which items and members begin."""
    parts = parts_of(source).iter_subtrees()
    return {first_token(part).start_pos or 0 for part in parts if part.data in _ELEMENTS}


def _pieces(source: Source) -> list[Piece]:
    """The words and comments of a text without its spaces and its `;`."""
    everything, _ = words(source, layout=True)
    kept = [w for w in everything if w.kind not in ("SPACE", "SEMICOLON")]
    found: list[Piece] = []
    for word, gap in zip(kept, gaps(kept), strict=True):
        end = found[-1].word.end if found else word.start
        found.append(Piece(word=word, gap=gap, breaks=source.text.count("\n", end, word.start)))
    return found


class _Reader:
    """Groups the pieces into elements and blocks."""

    def __init__(self, pieces: list[Piece], starts: set[int]):
        self.pieces = pieces
        self.starts = starts
        self.at = 0

    def elements(self) -> list[Element]:
        """The elements up to the closing brace, or to the end of the text."""
        found: list[Element] = []
        while self.at < len(self.pieces) and self.pieces[self.at].word.kind != "RBRACE":
            piece = self.pieces[self.at]
            if piece.is_comment:
                self.at += 1
                found.append(Element(parts=[piece]))
            else:
                found.append(self._element())
        return found

    def _element(self) -> Element:
        parts: list[Piece | Block] = []
        last_word = self.at
        while self.at < len(self.pieces):
            piece = self.pieces[self.at]
            if parts and self._ends_before(piece):
                break
            if not piece.is_comment:
                last_word = len(parts)
            parts.append(self._block() if piece.word.kind == "LBRACE" else piece)
            self.at += 1
        # A comment on the line of the last word belongs to it, later ones stand by themselves.
        keep = last_word + 1
        if keep < len(parts) and isinstance(comment := parts[keep], Piece) and comment.breaks == 0:
            keep += 1
        self.at -= len(parts) - keep
        return Element(parts=parts[:keep])

    def _ends_before(self, piece: Piece) -> bool:
        word = piece.word
        after_docstring = self.pieces[self.at - 1].word.kind == "DOCSTRING" and not piece.is_comment
        return word.kind == "RBRACE" or word.start in self.starts or after_docstring

    def _block(self) -> Block:
        """The block whose opening brace is next; stops at its closing brace."""
        first = self.at
        self.at += 1
        elements = self.elements()
        inside = self.pieces[first + 1 : self.at + 1]
        return Block(elements=elements, one_line=all(p.breaks == 0 for p in inside))


# ---------------------------------------------------------------- printing


def _flat(element: Element) -> str | None:
    """The element on one line, without its last comment; None if it cannot stand on one."""
    if element.first.word.kind == "DOCSTRING":
        return None
    text = ""
    for n, part in enumerate(element.parts):
        if isinstance(part, Block):
            inside = _flat_block(part, element.first.word.kind)
            if inside is None:
                return None
            text += f" {inside}"
        elif not part.is_comment:
            text += part.gap + part.word.text if text else part.word.text
        elif n == 0 or n < len(element.parts) - 1 or part.breaks:
            return None
    return text


def _flat_block(block: Block, keyword: str) -> str | None:
    if not block.elements:
        return "{}"
    most = {"CIRCUIT": 0, "MOTIF": 0, "FOR": 1}.get(keyword, len(block.elements))
    if not block.one_line or len(block.elements) > most:
        return None
    texts = [_flat(element) for element in block.elements]
    known = [text for text in texts if text is not None]
    return f"{{ {BETWEEN_MEMBERS.join(known)} }}" if len(known) == len(texts) else None


def _last_comment(element: Element) -> str:
    last = element.parts[-1]
    return f"  {_stripped(last)}" if isinstance(last, Piece) and last.is_comment else ""


def _stripped(comment: Piece) -> str:
    return comment.word.text.rstrip()


class _Printer:
    """Writes elements line by line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def text(self) -> str:
        return "".join(f"{line.rstrip()}\n" for line in self.lines)

    def elements(self, elements: list[Element], indent: str) -> None:
        """Each element on lines of its own; a comment beside the opening brace stays beside it."""
        for n, element in enumerate(elements):
            first = element.first
            if n == 0 and first.is_comment and first.breaks == 0 and self.lines:
                self.lines[-1] += f"  {_stripped(first)}"
                continue
            if n > 0 and first.breaks > 1:
                self.lines.append("")
            self._element(element, indent)

    def _element(self, element: Element, indent: str) -> None:
        flat = _flat(element)
        if element.first.is_comment:
            self.lines.append(indent + _stripped(element.first))
        elif element.first.word.kind == "DOCSTRING":
            self.lines += _docstring(element.first.word.text, indent)
            self.lines[-1] += _last_comment(element)
        elif flat is not None and len(indent) + len(flat) <= WIDTH:
            self.lines.append(indent + flat + _last_comment(element))
        else:
            self._broken(element, indent)

    def _broken(self, element: Element, indent: str) -> None:
        """An element with a body, comments or too many words for one line."""
        keeps_breaks = not _head_fits(element, indent)
        fresh = True
        self.lines.append(indent)
        for part in element.parts:
            if isinstance(part, Block):
                self._block(part, indent, fresh)
                fresh = False
                continue
            if not fresh and part.breaks and (keeps_breaks or part.is_comment):
                self.lines.append(indent + CONTINUATION)
                fresh = True
            if part.is_comment:
                self.lines[-1] += ("" if fresh else "  ") + _stripped(part)
                self.lines.append(indent + CONTINUATION)
                fresh = True
            else:
                self.lines[-1] += ("" if fresh else part.gap) + part.word.text
                fresh = False
        if fresh:
            self.lines.pop()

    def _block(self, block: Block, indent: str, fresh: bool) -> None:
        self.lines[-1] += ("" if fresh else " ") + "{"
        if not block.elements:
            self.lines[-1] += "}"
            return
        self.elements(block.elements, indent + INDENT)
        self.lines.append(indent + "}")


def _head_fits(element: Element, indent: str) -> bool:
    """Whether what stands before the body, or the whole element, has no comment and fits on one line."""
    pieces = list(_head(element))
    if any(p.is_comment for p in pieces):
        return False
    width = sum(len(p.gap) + len(p.word.text) for p in pieces)
    return len(indent) + width + len(" {") <= WIDTH


def _head(element: Element) -> Iterator[Piece]:
    for part in element.parts:
        if isinstance(part, Block):
            return
        yield part


def _docstring(text: str, indent: str) -> list[str]:
    """The docstring with its further lines indented like the first, if that leaves its content as it is."""
    first, *rest = text.expandtabs().split("\n")
    if not rest:
        return [indent + text]
    margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    moved = [first.rstrip(), *(indent + line[margin:].rstrip() if line.strip() else "" for line in rest)]
    if cleandoc("\n".join(moved)[3:-3]) != cleandoc(text[3:-3]):
        return [indent + text]
    return [indent + moved[0], *moved[1:]]
