"""Ways out that an editor can take by itself: what the hint of a finding says, tried out before it is offered.

A hint names what to write in backticks. Each such text is put in the place of what is wrong, or beside it as a member,
an item or an import; offered is what makes the finding go and brings no error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher

from circuitdsl.diagnostics import Diagnostic, Severity, Source, Span
from circuitdsl.frozen import frozen
from circuitdsl.graph.files import deep_items
from circuitdsl.lsp.analysis import Analysis
from circuitdsl.lsp.nodes import around
from circuitdsl.syntax import ast
from circuitdsl.syntax.grammar import keywords

#: More ways out of one finding are not tried.
MOST_TRIED = 12

_MEMBERS = frozenset({"dendrite", "let", "rate", "state", "drive", "phase"})
_SYNTAX = frozenset({"C001", "C002", "C003", "C005"})


@frozen
class Edit:
    """`text` in the place of `span`."""

    span: Span
    text: str

    def applied(self) -> str:
        whole = self.span.source.text
        return whole[: self.span.start] + self.text + whole[self.span.end :]


@frozen
class Fix:
    title: str
    edit: Edit


def fixes(analysis: Analysis, finding: Diagnostic) -> list[Fix]:
    """The ways out of a finding of this text, the likeliest first."""
    if finding.hint is None or finding.span is None or finding.span.source is not analysis.source:
        return []
    found: dict[str, Fix] = {}
    for number, fix in enumerate(_candidates(analysis, finding, finding.span, finding.hint)):
        if number >= MOST_TRIED:
            break
        if fix.edit.applied() not in found and _helps(analysis, finding, fix.edit):
            found[fix.edit.applied()] = fix
    return list(found.values())


def _helps(analysis: Analysis, finding: Diagnostic, edit: Edit) -> bool:
    """Whether the finding is gone, no part of the text has become unreadable, and no more is wrong than before."""
    after = Analysis(Source(analysis.source.name, edit.applied()), analysis.folder, analysis.read)
    if after.is_broken and not analysis.is_broken:
        return False
    was, now = (Counter((d.code, d.title) for d in a.found) for a in (analysis, after))
    errors = [sum(d.severity is Severity.ERROR for d in a.found) for a in (analysis, after)]
    key = (finding.code, finding.title)
    return now[key] < was[key] and errors[1] <= errors[0] - (finding.code in _SYNTAX)


def _candidates(analysis: Analysis, finding: Diagnostic, span: Span, hint: str) -> Iterator[Fix]:
    snippets = [s for s in re.findall(r"`([^`]+)`", hint) if "…" not in s]
    if re.search(r"\bleave `[^`]*` out\b", hint):
        yield from (Fix(f"Leave `{s}` out", Edit(part, "")) for s in snippets for part in _in_span(span, s))
    for snippet in snippets:
        first = re.match(r"\w*", snippet)
        word = "" if first is None else first[0]
        if word == "import":
            yield Fix(f"Add `{snippet}`", Edit(Span(span.source, 0, 0), f"{snippet}\n"))
        elif word in _MEMBERS or (re.match(r"\w+ = ", snippet) and word not in keywords()):
            yield from _as_assignment(analysis, span, word, snippet)
            yield from _as_member(analysis, span, hint, snippet)
        elif word in keywords():
            yield from _as_item(analysis, span, snippet)
        yield from _in_place(span, snippet)
    if re.search(r"\bleave (it|`dw`) out\b|\bkeep one\b", hint):
        yield from _left_out(analysis, span)
    if hint == "give one of them another name" and re.search(r"\w$", span.text):
        yield Fix(f"Call it `{span.text}_2`", Edit(Span(span.source, span.end, span.end), "_2"))
    missing = re.search(r"\bclose [^`]*(?:`[^`]*` )?with `([^`]+)`|\badd `([^`]+)`", hint)
    if missing:
        sign = missing[1] or missing[2]
        yield Fix(f"Write `{sign}`", Edit(Span(span.source, span.start, span.start), f"{sign} "))
        yield Fix(f"Write `{sign}`", Edit(Span(span.source, span.end, span.end), f" {sign}"))


# ---------------------------------------------------------------- in the place of what is wrong


def _in_place(span: Span, snippet: str) -> Iterator[Fix]:
    """The text instead of the whole place, and instead of the word in it that is most like it."""
    quote = '"' if span.text.startswith('"') else ""
    yield Fix(f"Write `{snippet}`", Edit(span, f"{quote}{snippet}{quote}"))
    if not re.fullmatch(r"\w+", snippet):
        return
    words = list(re.finditer(r"[A-Za-z_]\w*", span.text))
    if len(words) > 1:
        near = max(words, key=lambda w: SequenceMatcher(None, w[0].lower(), snippet.lower()).ratio())
        part = Span(span.source, span.start + near.start(), span.start + near.end())
        yield Fix(f"Write `{snippet}`", Edit(part, snippet))


def _in_span(span: Span, snippet: str) -> Iterator[Span]:
    """The places of a text within a span, with the white space before it."""
    for found in re.finditer(rf"\s*{re.escape(snippet)}\s*", span.text):
        yield Span(span.source, span.start + found.start(), span.start + found.end())
    before = re.search(rf"\s*{re.escape(snippet)}\s*$", span.source.text[: span.start])
    if before:
        yield Span(span.source, before.start(), span.start)


def _as_assignment(analysis: Analysis, span: Span, word: str, snippet: str) -> Iterator[Fix]:
    """The text instead of the setting of that name around the place."""
    for node in around(analysis.files.tree, span):
        if isinstance(node, ast.Assign) and node.name.name == word:
            yield Fix(f"Write `{snippet}`", Edit(node.span, snippet))


# ---------------------------------------------------------------- beside it


def _as_member(analysis: Analysis, span: Span, hint: str, snippet: str) -> Iterator[Fix]:
    """The text as the last member of the body that the hint names, or of the one around the place."""
    named = re.search(rf"`{re.escape(snippet)}` in `([^`]+)`", hint)
    symbol = None
    if named is not None:
        own = re.sub(r"\[[^\]]*\]", "", named[1]).rpartition(".")[2]
        symbol = next((s for s in analysis.symbols.all if s.name == own and isinstance(s.nodes[0], _BODIES)), None)
    bodies = [n for n in symbol.nodes if isinstance(n, _BODIES)] if symbol is not None else []
    if snippet.startswith("metric = "):
        bodies = [n for n in deep_items(analysis.files.tree.items) if isinstance(n, ast.Task)]
    near = [n for n in around(analysis.files.tree, span) if isinstance(n, _BODIES)][::-1]
    for node in (*bodies, *near):
        if node.span.source is analysis.source:
            yield Fix(f"Add `{snippet}`", _last_in(node, snippet))


_BODIES = (ast.Neuron, ast.Synapse, ast.Modulator, ast.Schedule, ast.Task)


def _as_item(analysis: Analysis, span: Span, snippet: str) -> Iterator[Fix]:
    """The text as an item before the one around the place, or the last of the circuit."""
    nodes = around(analysis.files.tree, span)
    for position, node in enumerate(nodes):
        if isinstance(node, ast.Circuit | ast.Motif):
            if position + 1 < len(nodes) and any(nodes[position + 1] is item for item in node.items):
                yield Fix(f"Add `{snippet}`", _before(nodes[position + 1], snippet))
            yield Fix(f"Add `{snippet}`", _last_in(node, snippet))


def _before(node: ast.Node, snippet: str) -> Edit:
    """On a line of its own before a node, or beside it where it does not begin its line."""
    source, start = node.span.source, node.span.start
    margin = source.text[source.line_starts[node.span.line - 1] : start]
    return Edit(Span(source, start, start), f"{snippet}\n{margin}" if not margin.strip() else f"{snippet}   ")


def _last_in(node: ast.Node, snippet: str) -> Edit:
    """As the last of a body, which is made if there is none."""
    source, end = node.span.source, node.span.end
    if not node.span.text.endswith("}"):
        return Edit(Span(source, end, end), f" {{ {snippet} }}")
    start = source.line_starts[node.span.end_line - 1]
    margin = source.text[start : end - 1]
    if margin.strip():  # the brace does not begin its line
        space = "" if source.text[end - 2].isspace() else " "
        return Edit(Span(source, end - 1, end - 1), f"{space} {snippet} ")
    return Edit(Span(source, start, start), f"{margin}  {snippet}\n")


def _left_out(analysis: Analysis, span: Span) -> Iterator[Fix]:
    """Without the item or member that stands there, and without its line if nothing else is on it."""
    node = next((n for n in around(analysis.files.tree, span)[::-1] if isinstance(n, _MAY_GO)), None)
    if isinstance(node, ast.Dendrites) and len(node.names) > 1:
        yield from (Fix("Leave it out", Edit(_with_comma(n.span), "")) for n in node.names if n.span == span)
    elif node is not None:
        yield Fix("Leave it out", Edit(_with_line(node.span), ""))


_MAY_GO = (
    ast.Assign, ast.Rate, ast.State, ast.Let, ast.Drive, ast.Phase, ast.Dendrites, ast.Param, ast.Input, ast.Target,
    ast.Neuron, ast.Modulator, ast.Rule, ast.Motif, ast.Use, ast.Alias, ast.Import, ast.Loss, ast.ExpectVerdict,
    ast.ExpectAttractor, ast.ExpectMetric, ast.Record,
)  # fmt: skip


def _with_comma(span: Span) -> Span:
    """A name of a list with the comma before it, or after it."""
    text = span.source.text
    before = re.search(r",\s*$", text[: span.start])
    if before:
        return Span(span.source, before.start(), span.end)
    after = re.match(r"\s*,\s*", text[span.end :])
    return Span(span.source, span.start, span.end + (len(after[0]) if after else 0))


def _with_line(span: Span) -> Span:
    text = span.source.text
    start, end = span.start, span.end
    while start > 0 and text[start - 1] in " \t":
        start -= 1
    while end < len(text) and text[end] in " \t":
        end += 1
    alone = (start == 0 or text[start - 1] == "\n") and (end == len(text) or text[end] == "\n")
    return Span(span.source, start, min(end + 1, len(text))) if alone else Span(span.source, span.start, end)
