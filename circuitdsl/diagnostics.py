"""Errors and warnings as a product: a code, a title, the place, and the way out.

Every other room reports through this one; it imports nothing of ours. The layout follows Gleam's
compiler: title, primary label, other labels, notes, hint.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property


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


@dataclass(frozen=True, slots=True)
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

    def to(self, other: Span) -> Span:
        """From the start of this span to the end of `other`."""
        return Span(self.source, self.start, max(self.end, other.end))


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Label:
    """What another place has to do with it."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
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
            "labels": [
                {"text": label.text, "file": label.span.source.name, **position_json(label.span)}
                for label in self.labels
            ],
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
    """A circuit that is wrong. `diagnostics` holds every finding of the stage that failed."""

    def __init__(self, diagnostics: Iterable[Diagnostic]):
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(render(d) for d in self.diagnostics))


@dataclass(slots=True)
class Report:
    """Collects the findings of one stage, so that all of them are shown together."""

    found: list[Diagnostic] = field(default_factory=list)

    def add(self, diagnostic: Diagnostic) -> None:
        if diagnostic not in self.found:
            self.found.append(diagnostic)

    @property
    def failed(self) -> bool:
        return any(d.severity is Severity.ERROR for d in self.found)

    def stop_if_failed(self) -> None:
        """Raises CircuitError with everything found so far, if any of it is an error."""
        if self.failed:
            raise CircuitError(self.found)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint with the nearest known name, or None."""
    from difflib import get_close_matches

    near = get_close_matches(name, sorted(set(known)), n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else None


_STYLE = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m", Severity.NOTE: "\x1b[1;36m"}
_BLUE, _BOLD, _RESET = "\x1b[34m", "\x1b[1m", "\x1b[0m"


def render(diagnostic: Diagnostic, *, color: bool = False) -> str:
    """The diagnostic as text for a terminal: title, source lines with the spans underlined, hint."""

    def paint(style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if color else text

    style = _STYLE[diagnostic.severity]
    head = paint(style, f"{diagnostic.severity.value}[{diagnostic.code}]")
    lines = [f"{head}: {paint(_BOLD, diagnostic.title)}"]
    if diagnostic.span is not None:
        lines += _excerpts(diagnostic, diagnostic.span, paint, style)
    gutter = " " * _gutter_width(diagnostic)
    if diagnostic.notes or diagnostic.hint:
        if diagnostic.span is not None:
            lines.append(f"{gutter} {paint(_BLUE, '│')}")
        mark = paint(_BLUE, "=")
        texts = [*diagnostic.notes] + ([f"hint: {diagnostic.hint}"] if diagnostic.hint else [])
        for text in texts:
            first, *rest = text.split("\n")
            lines.append(f"{gutter} {mark} {first}")
            lines += [f"{gutter}   {line}" for line in rest]
    return "\n".join(lines)


def _gutter_width(diagnostic: Diagnostic) -> int:
    spans = [s for s in [diagnostic.span, *(lb.span for lb in diagnostic.labels)] if s is not None]
    return max((len(str(s.line)) for s in spans), default=1)


def _excerpts(diagnostic: Diagnostic, primary: Span, paint, style) -> list[str]:  # type: ignore[no-untyped-def]
    """Every source involved, the primary one first, its marked lines in order."""
    marks: list[tuple[Span, str, bool]] = [(primary, diagnostic.label, True)]
    marks += [(lb.span, lb.text, False) for lb in diagnostic.labels]
    sources = list(dict.fromkeys(span.source for span, _, _ in marks))
    width = _gutter_width(diagnostic)
    bar = paint(_BLUE, "│")
    lines: list[str] = []
    for source in sources:
        here = [m for m in marks if m[0].source is source]
        place = primary if source is primary.source else here[0][0]
        corner = paint(_BLUE, "┌─")
        lines.append(f"{' ' * width} {corner} {source.name}:{place.line}:{place.column}")
        lines.append(f"{' ' * width} {bar}")
        for number in sorted({span.line for span, _, _ in here}):
            text = source.line_text(number).expandtabs(1)
            lines.append(f"{paint(_BLUE, str(number).rjust(width))} {bar} {text}")
            for span, note, is_primary in here:
                if span.line != number:
                    continue
                stop = span.end_column if span.end_line == number else len(text) + 1
                sign = "^" if is_primary else "─"
                underline = sign * max(1, stop - span.column)
                painted = paint(style if is_primary else _BLUE, f"{underline} {note}".rstrip())
                lines.append(f"{' ' * width} {bar} {' ' * (span.column - 1)}{painted}")
    return lines
