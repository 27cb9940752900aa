"""Errors and warnings as a product: a code, a title, the place, and the way out.

Every other room reports through this one; it imports nothing of ours. The layout follows Gleam's
compiler: title, primary label, other labels, notes, hint.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Self

from circuitdsl.frozen import frozen, mutable


@dataclass(frozen=True, eq=False)
class Source:
    """One text, and where it came from. Two sources are equal only if they are the same object."""

    name: str
    text: str

    @cached_property
    def line_starts(self) -> list[int]:
        return [0] + [i + 1 for i, c in enumerate(self.text) if c == "\n"]

    def position(self, offset: int) -> tuple[int, int]:
        """The 1-based line and column of a character offset."""
        from bisect import bisect_right

        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line_text(self, line: int) -> str:
        start = self.line_starts[line - 1]
        stop = self.line_starts[line] - 1 if line < len(self.line_starts) else len(self.text)
        return self.text[start:stop].rstrip("\r")


@frozen
class Span:
    """A stretch of a source text: character offsets, end exclusive."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.position(self.start)[1]

    @property
    def end_line(self) -> int:
        return self.source.position(self.end)[0]

    @property
    def end_column(self) -> int:
        return self.source.position(self.end)[1]

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    @property
    def shown(self) -> str:
        """The text as a title quotes it: on one line, cut in the middle if it is long."""
        line = " ".join(self.text.split())
        return line if len(line) <= 48 else f"{line[:30]} … {line[-14:]}"

    def to(self, other: Span) -> Span:
        """From the start of this span to the end of `other`."""
        return Span(self.source, self.start, max(self.end, other.end))

    def contains(self, other: Span) -> bool:
        return self.source is other.source and self.start <= other.start and other.end <= self.end


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@frozen
class Label:
    """What another place has to do with it."""

    span: Span
    text: str


@frozen(kw_only=True)
class Diagnostic:
    """One finding.

    `title` is one line and quotes the offending name. `label` stands under the underlined span.
    `labels` are the other places involved, `notes` the reason, `hint` the way out.
    """

    code: str
    title: str
    span: Span | None
    label: str = ""
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    hint: str | None = None
    severity: Severity = Severity.ERROR

    def as_json(self) -> dict[str, object]:
        """The object that `--json` prints: 1-based positions, end exclusive."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "title": self.title,
            "file": self.span.source.name if self.span else None,
            **position_json(self.span),
            "label": self.label,
            "labels": [
                {"text": label.text, "file": label.span.source.name, **position_json(label.span)}
                for label in self.labels
            ],
            "notes": [" ".join(note.split()) for note in self.notes],
            "hint": self.hint,
        }


def position_json(span: Span | None) -> dict[str, object]:
    if span is None:
        return {"line": None, "column": None, "end_line": None, "end_column": None}
    return {
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }


class CircuitError(Exception):
    """A circuit that is wrong. `diagnostics` holds every finding of the stage that failed; as text it shows the first
    of them."""

    def __init__(self, diagnostics: Iterable[Diagnostic]):
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        shown, rest = first_of(self.diagnostics)
        return "\n\n".join([*(render(d) for d in shown), *([rest] if rest else [])])

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback: the diagnostics."""
        shown, rest = first_of(self.diagnostics)
        return [*(render(d, color=not os.environ.get("NO_COLOR")) for d in shown), *([rest] if rest else [])]

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[Diagnostic, ...]]]:
        """It comes whole from another process."""
        return type(self), (self.diagnostics,)


#: So many findings of a severity are shown at once: who has mended these knows what the others are.
MOST_SHOWN = 20


def first_of(diagnostics: Sequence[Diagnostic]) -> tuple[list[Diagnostic], str]:
    """The findings to show, in their order, and what is said of the others: "and 1,980 more errors", or nothing."""
    shown: list[Diagnostic] = []
    counts = dict.fromkeys(Severity, 0)
    for diagnostic in diagnostics:
        counts[diagnostic.severity] += 1
        if counts[diagnostic.severity] <= MOST_SHOWN:
            shown.append(diagnostic)
    over = {severity: count - MOST_SHOWN for severity, count in counts.items() if count > MOST_SHOWN}
    told = " and ".join(f"{n:,} more {severity.value}{'s' if n > 1 else ''}" for severity, n in over.items())
    return shown, f"and {told}" if told else ""


@mutable
class Report:
    """Collects the findings of one stage, so that all of them are shown together.

    One place gives one finding of a kind, however often a motif or a loop repeats it."""

    found: list[Diagnostic] = field(default_factory=list)
    _places: set[tuple[str, Span]] = field(default_factory=set)
    _around: list[Label] = field(default_factory=list)  # outermost first

    def add(self, diagnostic: Diagnostic) -> None:
        if diagnostic.span is not None:
            place = (diagnostic.code, diagnostic.span)
            if place in self._places:
                return
            self._places.add(place)
            self.found.append(self._with_origin(diagnostic, diagnostic.span))
        elif diagnostic not in self.found:
            self.found.append(diagnostic)

    @contextmanager
    def within(self, places: Iterable[Span], text: str) -> Iterator[None]:
        """Findings made inside carry a label at the last of the places (the `use`s of motifs, outermost
        first) that does not contain them."""
        before = len(self._around)
        self._around += [Label(place, text) for place in places]
        try:
            yield
        finally:
            del self._around[before:]

    def _with_origin(self, diagnostic: Diagnostic, span: Span) -> Diagnostic:
        outside = [label for label in self._around if not label.span.contains(span)]
        if not outside or any(outside[-1].span.contains(label.span) for label in diagnostic.labels):
            return diagnostic
        return replace(diagnostic, labels=(*diagnostic.labels, outside[-1]))

    @property
    def crowded(self) -> bool:
        """Whether a further finding will hardly be shown: the way out of it need not be looked for."""
        return len(self.found) > 5 * MOST_SHOWN

    @property
    def failed(self) -> bool:
        return any(d.severity is Severity.ERROR for d in self.found)

    def stop_if_failed(self) -> None:
        """Raises CircuitError with everything found so far, if any of it is an error."""
        if self.failed:
            raise CircuitError(self.found)


def did_you_mean(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """A hint with the nearest known name, or None if none is as near as `likeness` (0 to 1)."""
    near = _nearest(name, tuple(sorted(set(known) - {name})), likeness)
    return f"did you mean `{near}`?" if near else None


@lru_cache(maxsize=1000)  # of a text with one mistake in a thousand places
def _nearest(name: str, candidates: tuple[str, ...], likeness: float) -> str | None:
    from difflib import get_close_matches

    near = get_close_matches(name, candidates, n=1, cutoff=likeness)
    if not near:  # `Apical` for `apical`: letters that differ in case only
        near = [c for c in candidates if c.lower() == name.lower()]
    return near[0] if near else None


# ---------------------------------------------------------------- rendering

_STYLE = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m", Severity.NOTE: "\x1b[1;36m"}
_BLUE, _BOLD, _RESET = "\x1b[34m", "\x1b[1m", "\x1b[0m"
_TAB = 4

#: A row of the terminal: one entry for each column, with its style. A wide character takes two, the second "".
_Row = list[tuple[str, str]]


@frozen
class _Mark:
    """Columns of one displayed line, end exclusive, and what is said of them."""

    start: int
    end: int
    sign: str
    text: str
    style: str

    def at(self, left: int, right: int) -> _Mark:
        """The part of it within a window of the line, in the window's columns; at least one column."""
        start = min(max(self.start, left), right - 1) - left
        return replace(self, start=start, end=max(min(self.end, right) - left, start + 1))


def render(diagnostic: Diagnostic, *, color: bool = False, width: int | None = None) -> str:
    """The diagnostic as text for a terminal: title, source lines with the spans underlined, notes, hint.

    `width` is that of the terminal in columns (None: that of this terminal, 100 if there is none)."""
    if width is None:
        from shutil import get_terminal_size

        width = min(get_terminal_size((100, 24)).columns, 120)
    return _Page(diagnostic, color, max(width, 40)).text()


class _Page:
    """One diagnostic on its way to the terminal."""

    def __init__(self, diagnostic: Diagnostic, color: bool, width: int):
        self.diagnostic = diagnostic
        self.color = color
        self.style = _STYLE[diagnostic.severity]
        self.places: list[Label] = []
        if diagnostic.span is not None:
            self.places = [_trimmed(p) for p in (Label(diagnostic.span, diagnostic.label), *diagnostic.labels)]
        self.gutter = max((len(str(p.span.end_line)) for p in self.places), default=1)
        self.room = width - self.gutter - 3

    def text(self) -> str:
        found = self.diagnostic
        head = self.paint(self.style, f"{found.severity.value}[{found.code}]")
        lines = [f"{head}: {self.paint(_BOLD, printable(' '.join(found.title.split())))}"]
        for source in dict.fromkeys(p.span.source for p in self.places):
            lines += self.excerpt(source, [p for p in self.places if p.span.source is source])
        texts = [*found.notes, *([f"hint: {found.hint}"] if found.hint else [])]
        if texts and self.places:
            lines.append(self.bar())
        for text in texts:
            first, *rest = _wrapped(printable(text), self.room)
            lines.append(f"{' ' * self.gutter} {self.paint(_BLUE, '=')} {first}")
            lines += [f"{' ' * self.gutter}   {line}" for line in rest]
        return "\n".join(line.rstrip() for line in lines)

    def paint(self, style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if self.color and style and text else text

    def bar(self, number: int | None = None) -> str:
        shown = "" if number is None else str(number)
        return self.paint(_BLUE, f"{shown.rjust(self.gutter)} │")

    def row(self, row: _Row, number: int | None = None) -> str:
        """A row behind the bar, stretches of one style painted together."""
        from itertools import groupby

        parts = (self.paint(style, "".join(c for c, _ in cells)) for style, cells in groupby(row, lambda cell: cell[1]))
        return f"{self.bar(number)} {''.join(parts)}"

    # ------------------------------------------------------------ source lines

    def excerpt(self, source: Source, places: Sequence[Label]) -> list[str]:
        """The marked lines of one source, in order, with what is said about them.

        One span of several lines is bracketed in the margin; others are shown by their first line."""
        corner = self.paint(_BLUE, f"{' ' * self.gutter} ┌─")
        start = places[0].span
        lines = [f"{corner} {printable(source.name)}:{start.line}:{start.column}", self.bar()]
        block = next((p for p in places if p.span.line != p.span.end_line), None)
        numbers = {p.span.line for p in places}
        if block is not None:
            numbers |= _block_lines(block.span)
        before = 0
        for number in sorted(numbers):
            if block is not None and block.span.line <= before < number - 1 and number <= block.span.end_line:
                lines.append(self.row([("⋮", self.style_of(block))]))
            lines += self.line(source, number, [p for p in places if p.span.line == number], block)
            before = number
        return lines

    def style_of(self, place: Label) -> str:
        return self.style if place is self.places[0] else _BLUE

    def sign_of(self, place: Label) -> str:
        return "^" if place is self.places[0] else "─"

    def line(self, source: Source, number: int, places: Sequence[Label], block: Label | None) -> list[str]:
        """A source line and the rows under it."""
        text = source.line_text(number)
        cells, column = _displayed(text)
        marks = [self.mark(p, text, column) for p in places if p is not block]
        ends_here = block is not None and block.span.end_line == number
        if block is not None and block.span.line == number and text[: block.span.column - 1].strip():
            marks.append(self.mark(Label(block.span, ""), text, column, self.sign_of(block), self.style_of(block)))
        last = column[min(block.span.end_column - 1, len(text))] if block is not None and ends_here else 0
        seen = [(m.start, m.end, len(m.text)) for m in marks] + ([(last - 1, last, 0)] if ends_here else [])
        room = self.room - (2 if block is not None else 0)
        left, right = _window(seen, len(cells), room)
        here, below = self.margins(number, block)
        rows = [self.row(here + [(c, "") for c in _cut(cells, left, right)], number)]
        for row in _underlined([m.at(left, right) for m in marks], room):
            rows.append(self.row(below + row))
        if block is not None and ends_here:
            style, dashes = self.style_of(block), "─" * max(last - left, 0)
            mark = "^" if self.sign_of(block) == "^" else "╯"
            text = printable(block.text)
            rows.append(self.row([(c, style) for c in f"╰{dashes}{mark} {text}"]))
        return rows

    def mark(self, place: Label, text: str, column: list[int], sign: str = "", style: str = "") -> _Mark:
        """The columns of a span on the line where it begins."""
        start = min(place.span.column - 1, len(text))
        end = place.span.end_column - 1 if place.span.end_line == place.span.line else len(text)
        return _Mark(
            start=column[start],
            end=max(column[min(end, len(text))], column[start] + 1),
            sign=sign or self.sign_of(place),
            text=printable(place.text),
            style=style or self.style_of(place),
        )

    def margins(self, number: int, block: Label | None) -> tuple[_Row, _Row]:
        """What stands left of a line, and left of the rows under it, where a block is bracketed."""
        if block is None:
            return [], []
        first, last, style = block.span.line, block.span.end_line, self.style_of(block)
        here = "╭" if number == first else "│" if first < number <= last else " "
        below = "│" if first <= number <= last else " "
        return [(here, style), (" ", "")], [(below, style), (" ", "")]


def _trimmed(place: Label) -> Label:
    """Without the white space at the end of the span, which nobody sees."""
    span = place.span
    end = span.start + len(span.text.rstrip())
    return Label(Span(span.source, span.start, max(end, min(span.end, span.start + 1))), place.text)


def _block_lines(span: Span) -> set[int]:
    """The lines by which a span of several lines is shown: all, or the first two and the last two."""
    first, last = span.line, span.end_line
    if last - first < 5:
        return set(range(first, last + 1))
    return {first, first + 1, last - 1, last}


def _window(seen: Sequence[tuple[int, int, int]], length: int, room: int) -> tuple[int, int]:
    """The columns of a line to show: all if they fit, else those around what is to be seen, with room for
    the text beside the last mark. `seen` holds starts, ends and lengths of texts."""
    if length <= room or not seen:
        return 0, room
    start, end = min(s for s, _, _ in seen), max(e for _, e, _ in seen)
    if end - start > room - 8:
        start, end = seen[0][:2]
    text = next((t for _, e, t in seen if e == end), 0)
    centred = (start + min(end, start + room) - room) // 2
    left = min(max(centred, end + 1 + text - room), start - 10)
    return max(0, left), max(0, left) + room


def _cut(cells: list[str], left: int, right: int) -> list[str]:
    """The columns of a window, `…` where something is left out."""
    shown = cells[left:right]
    if shown and left > 0:
        shown[0] = "…"
        if len(shown) > 1 and shown[1] == "":
            shown[1] = " "
    if shown and right < len(cells):
        if shown[-1] == "":
            shown[-2] = " "
        shown[-1] = "…"
    return shown


def _underlined(marks: Sequence[_Mark], room: int) -> Iterator[_Row]:
    """The rows under a line: signs under the spans, the last text beside them, the others hanging below."""
    for layer in _layers(marks):
        row: _Row = []
        for mark in layer:
            _put(row, mark.start, mark.sign * (mark.end - mark.start), mark.style)
        last, hanging = layer[-1], [m for m in layer[:-1] if m.text]
        beside = _wrapped(last.text, room - last.end - 1)
        if len(beside) > 1 and room - last.end < 40:
            hanging, beside = [*hanging, last], []
        for text in beside[:1]:
            _put(row, last.end + 1, text, last.style)
        yield row
        for text in beside[1:]:
            row = []
            _put(row, last.end + 1, text, last.style)
            yield row
        yield from _hanging(hanging, room)


def _hanging(marks: list[_Mark], room: int) -> Iterator[_Row]:
    """Texts below their spans, the rightmost first, with a line down to each that is still to come."""
    for count in range(len(marks), 0, -1):
        row: _Row = []
        for mark in marks[:count]:
            _put(row, mark.start, "│", mark.style)
        if count == len(marks):
            yield row
        mark = marks[count - 1]
        start = max(0, min(mark.start, room - 40))
        for text in _wrapped(mark.text, room - start):
            row = []
            for other in marks[: count - 1]:
                _put(row, other.start, "│", other.style)
            _put(row, start, text, mark.style)
            yield row


def _layers(marks: Sequence[_Mark]) -> list[list[_Mark]]:
    """Marks that do not touch share a row; the first mark stands in the first row."""
    layers: list[list[_Mark]] = []
    for mark in marks:
        for layer in layers:
            if all(mark.end < m.start or m.end < mark.start for m in layer):
                layer.append(mark)
                break
        else:
            layers.append([mark])
    return [sorted(layer, key=lambda m: m.start) for layer in layers]


def _put(row: _Row, column: int, text: str, style: str) -> None:
    """Writes a text into a row from a column on."""
    cells, _ = _displayed(text)
    row += [(" ", "")] * (column + len(cells) - len(row))
    row[column : column + len(cells)] = [(c, style) for c in cells]


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of a text no wider than `width`, where spaces outside of backticks allow it."""
    from re import sub
    from textwrap import wrap

    kept = sub(r"`[^`]*`", lambda m: m[0].replace(" ", "\0"), text)
    lines = [
        line
        for part in kept.split("\n")
        for line in wrap(part, max(width, 20), break_long_words=False, break_on_hyphens=False)
    ]
    return [line.replace("\0", " ") for line in lines] or [""]


def printable(text: str) -> str:
    """A text that cannot command the terminal: control characters are shown, not sent, and what is no character (a
    byte of a file's name that is not UTF-8) can be written."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c == "\n" else _shown(c)[0] for c in text)


def _shown(character: str) -> tuple[str, int]:
    """How a character is shown, and how many columns that takes."""
    from unicodedata import category, combining, east_asian_width

    if character.isascii() and character.isprintable():
        return character, 1
    if character == "\ufeff":
        return "", 0
    if ord(character) < 32:
        return chr(0x2400 + ord(character)), 1
    if category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return "\ufffd", 1
    if combining(character) or category(character) in ("Mn", "Me"):
        return character, 0
    return character, 2 if east_asian_width(character) in "WF" else 1


def _displayed(text: str) -> tuple[list[str], list[int]]:
    """A line as columns of the terminal, and the column at which each character (and the end) stands."""
    cells: list[str] = []
    columns: list[int] = []
    for character in text:
        columns.append(len(cells))
        if character == "\t":
            cells += [" "] * (_TAB - len(cells) % _TAB)
            continue
        shown, width = _shown(character)
        if width == 0 and cells:
            cells[-1] += shown
        else:
            cells += [shown, ""][:width]
    return cells, [*columns, len(cells)]
