"""From our answers to the messages of the language server protocol."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from lsprotocol import types as lsp

from circuitdsl.diagnostics import Label, Severity, Source, Span
from circuitdsl.frozen import frozen
from circuitdsl.graph.written import Kind
from circuitdsl.lsp.columns import Encoding, Position, offset_of, position_of
from circuitdsl.lsp.completion import Completion, Completions
from circuitdsl.lsp.fixes import Edit, Fix
from circuitdsl.lsp.hover import Hover
from circuitdsl.lsp.outline import Entry
from circuitdsl.lsp.problems import Problem
from circuitdsl.lsp.verdicts import Inlay
from circuitdsl.shipped import shipped

_SEVERITIES = {
    Severity.ERROR: lsp.DiagnosticSeverity.Error,
    Severity.WARNING: lsp.DiagnosticSeverity.Warning,
    Severity.NOTE: lsp.DiagnosticSeverity.Information,
}

_SYMBOLS = {
    Kind.CIRCUIT: lsp.SymbolKind.Module, Kind.MOTIF: lsp.SymbolKind.Class, Kind.RULE: lsp.SymbolKind.Function,
    Kind.ARGUMENT: lsp.SymbolKind.Variable, Kind.PARAM: lsp.SymbolKind.Constant, Kind.INPUT: lsp.SymbolKind.Interface,
    Kind.TARGET: lsp.SymbolKind.Interface, Kind.NEURON: lsp.SymbolKind.Struct, Kind.DENDRITE: lsp.SymbolKind.Field,
    Kind.STATE: lsp.SymbolKind.Property, Kind.LET: lsp.SymbolKind.Variable, Kind.SYNAPSE: lsp.SymbolKind.Method,
    Kind.DRIVE: lsp.SymbolKind.Property, Kind.MODULATOR: lsp.SymbolKind.Event, Kind.INSTANCE: lsp.SymbolKind.Object,
    Kind.ALIAS: lsp.SymbolKind.Variable, Kind.LOOP: lsp.SymbolKind.Array, Kind.PHASE: lsp.SymbolKind.EnumMember,
    Kind.TASK: lsp.SymbolKind.Package,
}  # fmt: skip

_COMPLETIONS = {
    "keyword": lsp.CompletionItemKind.Keyword, "function": lsp.CompletionItemKind.Function,
    "rule": lsp.CompletionItemKind.Function, "motif": lsp.CompletionItemKind.Class,
    "word": lsp.CompletionItemKind.EnumMember, "setting": lsp.CompletionItemKind.Property,
    "file": lsp.CompletionItemKind.File, "data set": lsp.CompletionItemKind.Value,
    "built in": lsp.CompletionItemKind.Constant, "param": lsp.CompletionItemKind.Constant,
    "dendrite": lsp.CompletionItemKind.Field, "state": lsp.CompletionItemKind.Property,
    "neuron": lsp.CompletionItemKind.Struct, "synapse": lsp.CompletionItemKind.Method,
    "modulator": lsp.CompletionItemKind.Event,
}  # fmt: skip


def path_of(uri: str) -> Path:
    """The file of a URI; of a text that lies nowhere, such as `untitled:1`, a path that is not absolute."""
    parsed = urlparse(uri)
    if parsed.scheme != "file":
        return Path(uri.replace("/", "_"))
    return Path(url2pathname(unquote(parsed.path))).resolve()


@frozen
class Messages:
    """Messages about texts, in the columns of a client. `uris`: the URIs of the open texts, as the client has them."""

    uris: dict[Path, str]
    encoding: Encoding

    # ------------------------------------------------------------ places

    def position(self, source: Source, offset: int) -> lsp.Position:
        found = position_of(source, offset, self.encoding)
        return lsp.Position(found.line, found.column)

    def offset(self, source: Source, position: lsp.Position) -> int:
        return offset_of(source, Position(position.line, position.character), self.encoding)

    def range(self, span: Span) -> lsp.Range:
        return lsp.Range(self.position(span.source, span.start), self.position(span.source, span.end))

    def uri(self, path: Path) -> str:
        return self.uris.get(path) or path.as_uri()

    def uri_of(self, source: Source, own: Source, own_uri: str) -> str | None:
        """The URI of a text that a message names; None for one that cannot be opened."""
        if source is own:
            return own_uri
        for path in (Path(source.name), shipped("circuits").parent / source.name):
            if path.is_file():
                return self.uri(path.resolve())
        return None

    # ------------------------------------------------------------ answers

    def diagnostic(self, problem: Problem, uri: str) -> lsp.Diagnostic:
        return lsp.Diagnostic(
            range=self.range(problem.span), severity=_SEVERITIES[problem.severity], code=problem.code,
            source="circuitdsl", message=problem.message,
            tags=[lsp.DiagnosticTag.Unnecessary] if problem.unused else None,
            related_information=[r for each in problem.related if (r := self._related(each, problem, uri)) is not None],
        )  # fmt: skip

    def _related(self, label: Label, problem: Problem, uri: str) -> lsp.DiagnosticRelatedInformation | None:
        place = self.uri_of(label.span.source, problem.span.source, uri)
        if place is None:
            return None
        return lsp.DiagnosticRelatedInformation(lsp.Location(place, self.range(label.span)), label.text)

    def hover(self, found: Hover) -> lsp.Hover:
        return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, found.text), self.range(found.span))

    def inlay(self, found: Inlay, source: Source, uri: str) -> lsp.InlayHint:
        """A hint, whose tooltip is told when it is asked for by its data."""
        position = self.position(source, found.offset)
        return lsp.InlayHint(position=position, label=found.label, padding_left=True, data=[uri, found.offset])

    def completions(self, found: Completions) -> lsp.CompletionList:
        place = self.range(found.span)
        items = [self._completion(c, place, number) for number, c in enumerate(found.words)]
        return lsp.CompletionList(is_incomplete=False, items=items)

    def _completion(self, found: Completion, place: lsp.Range, number: int) -> lsp.CompletionItem:
        return lsp.CompletionItem(
            label=found.label, kind=_COMPLETIONS.get(found.kind, lsp.CompletionItemKind.Variable),
            detail=f"{found.kind}: {found.detail}" if found.detail else found.kind, sort_text=f"{number:04d}",
            text_edit=lsp.TextEdit(place, found.label),
        )  # fmt: skip

    def entry(self, found: Entry) -> lsp.DocumentSymbol:
        return lsp.DocumentSymbol(
            name=found.name, kind=_SYMBOLS[found.kind], range=self.range(found.span), detail=found.detail,
            selection_range=self.range(found.name_span), children=[self.entry(child) for child in found.children],
        )  # fmt: skip

    def edit(self, found: Edit) -> lsp.TextEdit:
        return lsp.TextEdit(self.range(found.span), found.text)

    def action(self, found: Fix, problem: Problem, uri: str, *, preferred: bool) -> lsp.CodeAction:
        return lsp.CodeAction(
            title=found.title, kind=lsp.CodeActionKind.QuickFix, diagnostics=[self.diagnostic(problem, uri)],
            is_preferred=preferred, edit=lsp.WorkspaceEdit(changes={uri: [self.edit(found.edit)]}),
        )  # fmt: skip
