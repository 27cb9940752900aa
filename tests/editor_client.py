"""A real language client, which talks to `circuitdsl lsp` over stdin and stdout."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

from circuitdsl.diagnostics import Source
from circuitdsl.lsp.columns import Encoding, Position, offset_of, position_of

PATIENCE = 60


class Editor:
    """One editor with its open texts. Places are told by `line:column` of what stands there, as `at("h: 64")`."""

    def __init__(self, client: LanguageClient, encoding: Encoding):
        self.client = client
        self.encoding = encoding
        self.texts: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.refreshed = 0
        self.published: dict[str, list[lsp.PublishDiagnosticsParams]] = {}
        self.news = asyncio.Event()

        @client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def _published(params: lsp.PublishDiagnosticsParams) -> None:
            self.published.setdefault(params.uri, []).append(params)
            self.news.set()

        @client.feature(lsp.WORKSPACE_INLAY_HINT_REFRESH)
        def _refreshed(_: None) -> None:
            self.refreshed += 1
            self.news.set()

    def open(self, path: Path, text: str) -> str:
        return self.open_uri(path.as_uri(), text)

    def open_uri(self, uri: str, text: str) -> str:
        self.texts[uri], self.versions[uri] = text, 0
        item = lsp.TextDocumentItem(uri, "circ", 0, text)
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
        return uri

    def change(self, uri: str, text: str) -> None:
        self.texts[uri] = text
        self.versions[uri] += 1
        change = lsp.TextDocumentContentChangeWholeDocument(text)
        place = lsp.VersionedTextDocumentIdentifier(self.versions[uri], uri)
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(place, [change]))

    def type(self, uri: str, old: str, new: str, nth: int = 0) -> None:
        """Changes one place of a text, and sends no more than that."""
        start = self.position(uri, old, nth)
        end = self.position(uri, old, nth, inside=len(old))
        offset = offset_of(Source("", self.texts[uri]), Position(start.line, start.character), self.encoding)
        self.texts[uri] = self.texts[uri][:offset] + new + self.texts[uri][offset + len(old) :]
        self.versions[uri] += 1
        change = lsp.TextDocumentContentChangePartial(lsp.Range(start, end), new)
        place = lsp.VersionedTextDocumentIdentifier(self.versions[uri], uri)
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(place, [change]))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.news.clear()
                await self.news.wait()

    async def looked(self, uri: str) -> None:
        """Waits until all is told of a circuit as it stands: what is checked and, if that is right, what is derived."""

        def told() -> bool:
            news = [p for p in self.published.get(uri, ()) if p.version == self.versions[uri]]
            wrong = any(d.severity is lsp.DiagnosticSeverity.Error for p in news for d in p.diagnostics)
            return len(news) > 1 or wrong

        await self.until(told)

    def diagnostics(self, uri: str) -> list[lsp.Diagnostic]:
        return list(self.published[uri][-1].diagnostics)

    def codes(self, uri: str) -> set[object]:
        return {d.code for p in self.published.get(uri, ())[-1:] for d in p.diagnostics}

    def position(self, uri: str, text: str, nth: int = 0, *, inside: int = 0) -> lsp.Position:
        """Where a text stands, the nth time, in the columns of the client."""
        offset = -1
        for _ in range(nth + 1):
            offset = self.texts[uri].index(text, offset + 1)
        found = position_of(Source("", self.texts[uri]), offset + inside, self.encoding)
        return lsp.Position(found.line, found.column)

    def text(self, uri: str, place: lsp.Range) -> str:
        """What stands at a range of an open text."""
        source = Source("", self.texts[uri])
        ends = (offset_of(source, Position(p.line, p.character), self.encoding) for p in (place.start, place.end))
        start, end = ends
        return source.text[start:end]

    def edited(self, uri: str, edits: list[lsp.TextEdit]) -> str:
        """The text after edits that do not overlap."""
        source = Source("", self.texts[uri])
        text = source.text
        for edit in sorted(edits, key=lambda e: (-e.range.start.line, -e.range.start.character)):
            start = offset_of(source, Position(edit.range.start.line, edit.range.start.character), self.encoding)
            end = offset_of(source, Position(edit.range.end.line, edit.range.end.character), self.encoding)
            text = text[:start] + edit.new_text + text[end:]
        return text


@asynccontextmanager
async def editor(folder: Path, encoding: Encoding = "utf-16") -> AsyncIterator[Editor]:
    client = LanguageClient("test", "0")
    found = Editor(client, encoding)
    await client.start_io(sys.executable, "-m", "circuitdsl", "lsp", "--stdio", env=dict(os.environ))
    offered = [lsp.PositionEncodingKind(encoding)]
    hints = lsp.InlayHintWorkspaceClientCapabilities(refresh_support=True)
    capabilities = lsp.ClientCapabilities(
        general=lsp.GeneralClientCapabilities(position_encodings=offered),
        workspace=lsp.WorkspaceClientCapabilities(inlay_hint=hints),
    )
    folders = [lsp.WorkspaceFolder(folder.as_uri(), "test")]
    params = lsp.InitializeParams(capabilities=capabilities, root_uri=folder.as_uri(), workspace_folders=folders)
    async with asyncio.timeout(PATIENCE):
        await client.initialize_async(params)
    client.initialized(lsp.InitializedParams())
    try:
        yield found
    finally:
        async with asyncio.timeout(PATIENCE):
            await client.shutdown_async(None)
            client.exit(None)
            await client.stop()
