"""Where a name is declared and read, in all texts, and how it gets another one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from circuitdsl.diagnostics import Severity, Source, Span
from circuitdsl.frozen import frozen
from circuitdsl.graph.calls import CALLS
from circuitdsl.graph.findings import BUILTIN_NAMES
from circuitdsl.graph.symbols import Symbol, Symbols
from circuitdsl.graph.written import Kind
from circuitdsl.lsp.analysis import Analysis
from circuitdsl.lsp.workspace import Workspace, is_shipped
from circuitdsl.syntax.grammar import keywords


class Refused(Exception):
    """A name that cannot be given; the message says why."""


@frozen(order=True)
class Place:
    """A stretch of a file: character offsets, end exclusive. `path` is None for a text that lies nowhere."""

    path: Path | None
    start: int
    end: int


@frozen
class Named:
    """A symbol with its places in all texts that are known. `sources`: the text of each file."""

    symbol: Symbol
    declarations: tuple[Place, ...]
    uses: tuple[Place, ...]
    sources: Mapping[Path | None, Source]

    @property
    def places(self) -> tuple[Place, ...]:
        return tuple(sorted({*self.declarations, *self.uses}, key=lambda p: (str(p.path), p.start)))


def named_at(workspace: Workspace, analysis: Analysis, offset: int) -> tuple[Named, Span] | None:
    """The name at an offset of a text, with its places in all texts that know it."""
    found = analysis.symbols.at(analysis.source, offset)
    if found is None:
        return None
    symbol, span = found
    declared, used = _places(analysis.symbols, symbol.declarations), _places(analysis.symbols, symbol.uses)
    sources = {p: s for s, p in analysis.symbols.paths.items()}
    if _crosses(analysis, symbol):
        for other in workspace.mentioning(symbol.name):
            _gather(other.symbols, declared, used, sources)
    return Named(symbol, tuple(sorted(declared, key=_order)), tuple(sorted(used, key=_order)), sources), span


def _order(place: Place) -> tuple[str, int]:
    return str(place.path), place.start


def _crosses(analysis: Analysis, symbol: Symbol) -> bool:
    """Whether other files may know the name: all that rules and motifs hold can be reached from outside."""
    sources = {span.source for span in symbol.places}
    return symbol.kind in (Kind.RULE, Kind.MOTIF) or "." in symbol.path or sources != {analysis.source}


def _gather(symbols: Symbols, declared: set[Place], used: set[Place], sources: dict[Path | None, Source]) -> None:
    """Adds the places of the same name that another text knows."""
    for symbol in symbols.all:
        theirs = _places(symbols, symbol.declarations)
        if theirs & declared:
            declared |= theirs
            used |= _places(symbols, symbol.uses)
            for source, path in symbols.paths.items():
                sources.setdefault(path, source)


def _places(symbols: Symbols, spans: tuple[Span, ...]) -> set[Place]:
    return {Place(symbols.paths.get(span.source), span.start, span.end) for span in spans}


# ---------------------------------------------------------------- another name


def renamable(workspace: Workspace, analysis: Analysis, offset: int) -> Span:
    """The place of the name at an offset, if it can get another one. Raises Refused."""
    if analysis.is_broken:
        raise Refused("the text has syntax errors, in which the name may stand too: mend them first")
    named, span = _named(workspace, analysis, offset)
    shipped = next((p.path for p in named.places if is_shipped(p.path)), None)
    if shipped is not None:
        raise Refused(f"`{named.symbol.name}` stands in the library, in {shipped.name}: it keeps its name")
    return span


def rename(workspace: Workspace, analysis: Analysis, offset: int, new: str) -> dict[Path | None, list[Place]]:
    """The places to be overwritten with the new name, by file. Raises Refused, for what is no name, and where a place
    would come to mean something else."""
    renamable(workspace, analysis, offset)
    named, _ = _named(workspace, analysis, offset)
    if new == named.symbol.name:
        return {}
    _refuse_words(new, named.symbol)
    edits: dict[Path | None, list[Place]] = {}
    for place in named.places:
        edits.setdefault(place.path, []).append(place)
    _refuse_clashes(workspace, analysis, named, new, edits)
    return edits


def _named(workspace: Workspace, analysis: Analysis, offset: int) -> tuple[Named, Span]:
    found = named_at(workspace, analysis, offset)
    if found is None:
        raise Refused("no name stands here that could be changed")
    return found


def _refuse_words(new: str, symbol: Symbol) -> None:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", new) is None:
        raise Refused(f"`{new}` is not a name: letters, digits and `_`, no digit first")
    if new in keywords():
        raise Refused(f"`{new}` is a keyword of the language")
    if new in BUILTIN_NAMES:
        raise Refused(f"`{new}` is built in: {BUILTIN_NAMES[new]}")
    if symbol.kind in (Kind.RULE, Kind.MOTIF) and new in CALLS:
        raise Refused(f"`{new}` is a function of the language")


def _refuse_clashes(
    workspace: Workspace, analysis: Analysis, named: Named, new: str, edits: Mapping[Path | None, list[Place]]
) -> None:
    """Reads the texts as they would be: the name has to have the same places as before, no more and no fewer, and the
    check to find no error that it did not find before."""
    texts = {path: replaced(named.sources[path].text, places, new) for path, places in edits.items()}

    def read(path: Path) -> Source:
        return Source(str(path), texts[path]) if path in texts else workspace.read(path)

    for path, places in edits.items():
        before = analysis if path == analysis.symbols.paths[analysis.source] else workspace.analysis(_a_path(path))
        after = Analysis(Source(before.source.name, texts[path]), before.folder, read)
        _compare(before, after, named, new, places)


def _a_path(path: Path | None) -> Path:
    assert path is not None, "a text that lies nowhere has no other files"
    return path


def _compare(before: Analysis, after: Analysis, named: Named, new: str, places: list[Place]) -> None:
    moved = _moved(places, len(new))
    start = min(moved)
    old, found = before.symbols.at(before.source, start), after.symbols.at(after.source, moved[start])
    was = {moved[s.start] for s in old[0].places if s.source is before.source} if old is not None else set()
    now = {s.start for s in found[0].places if s.source is after.source} if found is not None else set()
    if now != was:
        raise Refused(_clash(after, now - was, new))
    known = Counter(d.code for d in before.found)
    for error in after.found:
        if error.severity is Severity.ERROR and not known[error.code]:
            raise Refused(f"with the name `{new}`: {error.title}")


def _moved(places: list[Place], length: int) -> dict[int, int]:
    """Where each place begins once every name has the new length."""
    shift, found = 0, {}
    for place in sorted(places, key=_order):
        found[place.start] = place.start + shift
        shift += length - (place.end - place.start)
    return found


def _clash(after: Analysis, others: set[int], new: str) -> str:
    where = f", in line {after.source.position(min(others))[0]}" if others else ""
    return f"`{new}` already has a meaning there{where}: the two could not be told apart"


def replaced(text: str, places: list[Place], new: str) -> str:
    """The text with the new name at all places."""
    for place in sorted(places, key=_order, reverse=True):
        text = text[: place.start] + new + text[place.end :]
    return text
