"""The language server: what an editor asks over stdin, answered over stdout.

All that is done with texts, also to change them, is done by one thread, in the order in which it is asked for, so that
the server hears the editor meanwhile; work that a further key press makes stale is not begun. It needs the extra
`editor`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from circuitdsl.diagnostics import CircuitError, Source, Span
from circuitdsl.graph import ir
from circuitdsl.graph.files import deep_items, find_import
from circuitdsl.lsp import problems, rename, verdicts
from circuitdsl.lsp.analysis import Analysis
from circuitdsl.lsp.completion import completions
from circuitdsl.lsp.fixes import fixes
from circuitdsl.lsp.hover import hover
from circuitdsl.lsp.messages import Messages, path_of
from circuitdsl.lsp.outline import outline
from circuitdsl.lsp.problems import Problem
from circuitdsl.lsp.rename import Named
from circuitdsl.lsp.workspace import Workspace
from circuitdsl.syntax import ast
from circuitdsl.syntax.format import format_text

T = TypeVar("T")

#: How long after a key press the text is looked at, in seconds.
PAUSE = 0.1

_log = logging.getLogger(__name__)


class RequestFailed(JsonRpcException):
    """What was asked for cannot be done; the message says why, and the editor shows it."""

    CODE = -32803


class CircServer(LanguageServer):
    """`checks`: the look at each open text that is under way; `right`: its circuit as it was last right."""

    def __init__(self) -> None:
        super().__init__("circuitdsl", version("circuitdsl"), lsp.TextDocumentSyncKind.Incremental)
        self.texts = Workspace()
        self.uris: dict[Path, str] = {}
        self.versions: dict[Path, int] = {}
        self.checks: dict[Path, asyncio.Task[None]] = {}
        self.right: dict[Path, ir.Circuit] = {}
        self.worker = ThreadPoolExecutor(1)

    @property
    def messages(self) -> Messages:
        encoding = self.workspace.position_encoding
        return Messages(self.uris, "utf-8" if encoding == "utf-8" else "utf-32" if encoding == "utf-32" else "utf-16")

    async def work(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.worker, function)

    async def about(self, uri: str, ask: Callable[[Analysis], T]) -> T:
        """What `ask` finds of a text as it stands now."""
        path = path_of(uri)
        return await self.work(lambda: ask(self.texts.analysis(path)))

    async def at(self, uri: str, position: lsp.Position, ask: Callable[[Analysis, int], T]) -> T:
        """What `ask` finds of a place of a text."""
        return await self.about(uri, lambda a: ask(a, self.messages.offset(a.source, position)))

    # ------------------------------------------------------------ looking at texts

    def look(self, path: Path, pause: float = PAUSE) -> None:
        """Looks at a text soon, unless it changes before."""
        self.give_up(path)
        self.checks[path] = asyncio.ensure_future(self._look(path, pause))

    def give_up(self, path: Path) -> None:
        """What was begun with a text is stale."""
        if (check := self.checks.pop(path, None)) is not None:
            check.cancel()

    def look_at(self, paths: Iterable[Path]) -> None:
        for path in paths:
            self.look(path)

    async def _look(self, path: Path, pause: float) -> None:
        await asyncio.sleep(pause)
        try:
            await self._tell(path)
        except (OSError, CircuitError):
            return  # it is no longer there
        except Exception:
            _log.exception("looking at %s", path)
            return
        if self.can_refresh():
            self.workspace_inlay_hint_refresh(None)

    async def _tell(self, path: Path) -> None:
        """Tells what the check finds, then also what the derivation does."""
        version = self.versions.get(path)
        analysis = await self.work(lambda: self.texts.analysis(path))
        found = await self.work(lambda: list(problems.checked(analysis)))
        self.publish(path, found, version)
        if analysis.circuit is not None:
            self.right[path] = analysis.circuit
            found += await self.work(lambda: list(problems.derived(analysis)))
            self.publish(path, found, version)

    def publish(self, path: Path, found: list[Problem], version: int | None = None) -> None:
        uri = self.uris.get(path)
        if uri is not None:
            shown = [self.messages.diagnostic(p, uri) for p in found]
            self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, shown, version))

    def can_refresh(self) -> bool:
        """Whether the editor can be told that there are new verdicts."""
        workspace = self.client_capabilities.workspace
        hints = workspace.inlay_hint if workspace is not None else None
        return hints is not None and bool(hints.refresh_support)


def serve() -> None:
    """Serves one editor over stdin and stdout until it says that it is done."""
    make_server().start_io()


def make_server() -> CircServer:
    server = CircServer()
    for register in (_texts, _reading, _names, _renaming, _writing):
        register(server)
    return server


# ---------------------------------------------------------------- texts


def _texts(server: CircServer) -> None:
    @server.feature(lsp.INITIALIZED)
    def initialized(_: lsp.InitializedParams) -> None:
        folders = [folder.uri for folder in server.workspace.folders.values()] or [server.workspace.root_uri]
        server.texts.roots = [path for uri in folders if uri and (path := path_of(uri)).is_dir()]

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    async def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        path = path_of(params.text_document.uri)
        server.uris[path], server.versions[path] = params.text_document.uri, params.text_document.version
        importers = await server.work(lambda: server.texts.put(path, params.text_document.text))
        server.look(path, 0)
        server.look_at(importers)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        path = path_of(params.text_document.uri)
        server.versions[path] = params.text_document.version
        server.give_up(path)

        def put() -> list[Path]:
            return server.texts.put(path, _changed(server, server.texts.texts.get(path, ""), params.content_changes))

        server.look_at([path, *await server.work(put)])

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    async def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        path = path_of(params.text_document.uri)
        server.publish(path, [])
        for known in (server.uris, server.versions, server.right):
            known.pop(path, None)
        server.give_up(path)
        server.look_at(await server.work(lambda: server.texts.close(path)))

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    async def saved(params: lsp.DidChangeWatchedFilesParams) -> None:
        for change in params.changes:
            path = path_of(change.uri)
            server.look_at(await server.work(lambda path=path: server.texts.saved(path)))  # type: ignore[misc]


def _changed(server: CircServer, text: str, changes: Sequence[lsp.TextDocumentContentChangeEvent]) -> str:
    """A text after changes, each of what the one before has left."""
    for change in changes:
        if isinstance(change, lsp.TextDocumentContentChangePartial):
            before = Source("", text)
            start, end = (server.messages.offset(before, p) for p in (change.range.start, change.range.end))
            text = text[:start] + change.text + text[end:]
        else:
            text = change.text
    return text


# ---------------------------------------------------------------- reading


def _reading(server: CircServer) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    async def hovered(params: lsp.HoverParams) -> lsp.Hover | None:
        found = await server.at(params.text_document.uri, params.position, hover)
        return None if found is None else server.messages.hover(found)

    @server.feature(lsp.TEXT_DOCUMENT_INLAY_HINT, lsp.InlayHintOptions(resolve_provider=True))
    async def hints(params: lsp.InlayHintParams) -> list[lsp.InlayHint]:
        uri = params.text_document.uri

        def found(analysis: Analysis) -> list[lsp.InlayHint]:
            made = [server.messages.inlay(inlay, analysis.source, uri) for inlay in verdicts.inlays(analysis)]
            return [h for h in made if params.range.start.line <= h.position.line <= params.range.end.line]

        return await server.about(uri, found)

    @server.feature(lsp.INLAY_HINT_RESOLVE)
    async def resolved(hint: lsp.InlayHint) -> lsp.InlayHint:
        uri, offset = hint.data  # type: ignore[misc]

        def found(analysis: Analysis) -> str:
            here = (inlay for inlay in verdicts.inlays(analysis) if inlay.offset == offset)
            return "\n\n".join(verdicts.tooltip(analysis, inlay) for inlay in here)

        text = await server.about(uri, found)
        hint.tooltip = lsp.MarkupContent(lsp.MarkupKind.Markdown, text)
        return hint

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    async def listed(params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
        found = await server.about(params.text_document.uri, outline)
        return [server.messages.entry(entry) for entry in found]


# ---------------------------------------------------------------- names


def _names(server: CircServer) -> None:
    def location(uri: str, named: Named, place: rename.Place) -> lsp.Location:
        span = Span(named.sources[place.path], place.start, place.end)
        return lsp.Location(uri if place.path is None else server.messages.uri(place.path), server.messages.range(span))

    async def named_at(uri: str, position: lsp.Position) -> Named | None:
        found = await server.at(uri, position, lambda a, offset: rename.named_at(server.texts, a, offset))
        return None if found is None else found[0]

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    async def defined(params: lsp.DefinitionParams) -> list[lsp.Location] | None:
        uri = params.text_document.uri
        imported = await server.at(uri, params.position, _imported_at)
        if imported is not None:
            start = lsp.Position(0, 0)
            return [lsp.Location(server.messages.uri(imported), lsp.Range(start, start))]
        named = await named_at(uri, params.position)
        return None if named is None else [location(uri, named, place) for place in named.declarations]

    @server.feature(lsp.TEXT_DOCUMENT_REFERENCES)
    async def referred(params: lsp.ReferenceParams) -> list[lsp.Location] | None:
        uri = params.text_document.uri
        named = await named_at(uri, params.position)
        if named is None:
            return None
        places = named.places if params.context.include_declaration else named.uses
        return [location(uri, named, place) for place in places]

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT)
    async def highlighted(params: lsp.DocumentHighlightParams) -> list[lsp.DocumentHighlight] | None:
        def found(analysis: Analysis, offset: int) -> list[lsp.DocumentHighlight] | None:
            symbol = analysis.symbols.at(analysis.source, offset)
            spans = [] if symbol is None else [s for s in symbol[0].places if s.source is analysis.source]
            return [lsp.DocumentHighlight(server.messages.range(span)) for span in spans] or None

        return await server.at(params.text_document.uri, params.position, found)


def _renaming(server: CircServer) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
    async def prepared(params: lsp.PrepareRenameParams) -> lsp.Range:
        def found(analysis: Analysis, offset: int) -> lsp.Range:
            return server.messages.range(rename.renamable(server.texts, analysis, offset))

        try:
            return await server.at(params.text_document.uri, params.position, found)
        except rename.Refused as why:
            raise RequestFailed(str(why)) from None

    @server.feature(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameOptions(prepare_provider=True))
    async def renamed(params: lsp.RenameParams) -> lsp.WorkspaceEdit:
        uri = params.text_document.uri

        def found(analysis: Analysis, offset: int) -> lsp.WorkspaceEdit:
            changes: dict[str, list[lsp.TextEdit]] = {}
            for path, places in rename.rename(server.texts, analysis, offset, params.new_name).items():
                source = analysis.source if path in (None, path_of(uri)) else server.texts.read(path)
                edits = [lsp.TextEdit(_range(server, source, place), params.new_name) for place in places]
                changes[uri if path is None else server.messages.uri(path)] = edits
            return lsp.WorkspaceEdit(changes=dict(changes))

        try:
            return await server.at(uri, params.position, found)
        except rename.Refused as why:
            raise RequestFailed(str(why)) from None


def _range(server: CircServer, source: Source, place: rename.Place) -> lsp.Range:
    return server.messages.range(Span(source, place.start, place.end))


def _imported_at(analysis: Analysis, offset: int) -> Path | None:
    """The file whose import stands at a place."""
    for item in deep_items(analysis.files.tree.items):
        if isinstance(item, ast.Import) and item.path.span.start <= offset <= item.path.span.end:
            return find_import(item.path.value, analysis.folder)
    return None


# ---------------------------------------------------------------- writing


def _writing(server: CircServer) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=[".", '"']))
    async def completed(params: lsp.CompletionParams) -> lsp.CompletionList:
        known = server.right.get(path_of(params.text_document.uri))
        found = await server.at(params.text_document.uri, params.position, lambda a, o: completions(a, o, known))
        return server.messages.completions(found)

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    async def formatted(params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit] | None:
        def found(analysis: Analysis) -> list[lsp.TextEdit] | None:
            source = analysis.source
            try:
                text = format_text(source)
            except CircuitError:
                return None  # what cannot be read is left as it is
            whole = server.messages.range(Span(source, 0, len(source.text)))
            return [] if text == source.text else [lsp.TextEdit(whole, text)]

        return await server.about(params.text_document.uri, found)

    @server.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION, lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix])
    )
    async def mended(params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        uri = params.text_document.uri

        def found(analysis: Analysis) -> list[lsp.CodeAction]:
            start = server.messages.offset(analysis.source, params.range.start)
            end = server.messages.offset(analysis.source, params.range.end)
            here = [p for p in problems.checked(analysis) if p.span.start <= end and start <= p.span.end]
            return [
                server.messages.action(fix, problem, uri, preferred=number == 0)
                for problem in here
                if problem.finding is not None
                for number, fix in enumerate(fixes(analysis, problem.finding))
            ]

        return await server.about(uri, found)
