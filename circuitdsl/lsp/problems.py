"""What is wrong with a text, as an editor shows it: every finding of the check, and expectations that do not hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from circuitdsl.diagnostics import Diagnostic, Label, Severity, Span
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.files import deep_items
from circuitdsl.lsp.analysis import Analysis
from circuitdsl.syntax import ast

#: The codes of what may be left out.
UNUSED = frozenset({"C013"})

#: Of an expectation that does not hold, which has no code of its own.
EXPECT = "expect"


@frozen(kw_only=True)
class Problem:
    """A finding at a place of the text. `related`: the other places involved, also in other files. `unused`: the place
    may be left out. `finding`: as the check has it; None for an expectation."""

    span: Span
    severity: Severity
    code: str
    message: str
    related: tuple[Label, ...] = ()
    unused: bool = False
    finding: Diagnostic | None = field(default=None, repr=False)


def checked(analysis: Analysis) -> Iterator[Problem]:
    """What the check has found."""
    for found in analysis.found:
        span, related = _place(analysis, found)
        yield Problem(
            span=span, severity=found.severity, code=found.code, message=message(found), related=related,
            unused=found.code in UNUSED, finding=found,
        )  # fmt: skip


def derived(analysis: Analysis) -> Iterator[Problem]:
    """What the derivation warns of, and which expectations it does not bear out."""
    derivation = analysis.derivation
    if derivation is None:
        return
    for found in derivation.warnings:
        span, related = _place(analysis, found)
        yield Problem(
            span=span, severity=found.severity, code=found.code, message=message(found), related=related, finding=found
        )
    judged = [e for e in derivation.circuit.expects if not isinstance(e, ir.ExpectMetric)]
    for expect, judgement in zip(judged, analysis.judgements, strict=True):
        if judgement.ok is False and expect.span.source is analysis.source:
            shown = f"`{judgement.text}` does not hold\nfound: {judgement.value}"
            yield Problem(span=expect.span, severity=Severity.ERROR, code=EXPECT, message=shown)


def message(found: Diagnostic) -> str:
    """Title, label, notes and hint, each on a line of its own."""
    head = f"{found.title}: {found.label}" if found.label else found.title
    notes = [" ".join(note.split()) for note in found.notes]
    return "\n".join([head, *notes, *([f"hint: {found.hint}"] if found.hint else [])])


def _place(analysis: Analysis, found: Diagnostic) -> tuple[Span, tuple[Label, ...]]:
    """Where a finding is shown in this text: one in an imported file at what brings it in."""
    labels = tuple(label for label in found.labels if label.text)
    source = analysis.source
    if found.span is not None and found.span.source is source:
        return found.span, labels
    there = () if found.span is None else (Label(found.span, found.label or found.title),)
    for label in found.labels:
        if label.span.source is source:
            return label.span, (*there, *labels)
    return _import_of(analysis, found.span), (*there, *labels)


def _import_of(analysis: Analysis, span: Span | None) -> Span:
    """The import through which a text comes in; the beginning if there is none."""
    if span is not None:
        for item, imported in analysis.files.imports:
            if any(span.source.name == scope.tree.span.source.name for scope in imported.closure()):
                return item.path.span
        for each in deep_items(analysis.files.tree.items):
            if isinstance(each, ast.Import) and span.source.name.endswith(each.path.value):
                return each.path.span
    return Span(analysis.source, 0, 0)
