"""The names of a text: what each is declared as, where, and where it is read. What editors go by.

    circuit.symbols["h.basal"].uses

Names are those of the text, not of the elaborated circuit: a population `a[l]` of a loop is one symbol, `a`, and the
neuron of a motif is one, `sal_pair.a`, however often the motif is used. Places that can only be renamed together are
one symbol: an alias `L[0].a` has the name by which the loop reads the `a` of its instances.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from circuitdsl.diagnostics import Source, Span
from circuitdsl.frozen import frozen
from circuitdsl.graph.files import FileScope
from circuitdsl.graph.occurrences import occurrences
from circuitdsl.graph.written import Declared, Kind
from circuitdsl.syntax import ast


@frozen(kw_only=True)
class Symbol:
    """A name with its places.

    `name`: as it is written. `path`: with the names around it, `h.basal`, `sal_pair.a.basal`, `hetero.signal`. `kind`:
    what it is declared as, "alias" only where it is nothing else. `declarations`, `uses`: spans of the name itself, in
    the order of the text, the file's own before those of its imports; a symbol has one declaration or more. `nodes`:
    the items or members of the syntax tree that declare it."""

    name: str
    path: str
    kind: Kind
    declarations: tuple[Span, ...]
    uses: tuple[Span, ...] = ()
    nodes: tuple[ast.Node, ...] = field(default=(), repr=False, compare=False)

    @property
    def places(self) -> tuple[Span, ...]:
        """All declarations and uses."""
        return (*self.declarations, *self.uses)


@dataclass(frozen=True)
class Symbols(Mapping[str, Symbol]):
    """Every symbol of a file and of what it imports, by its path. Of several with one path, such as the variables of
    two loops, a look-up gives the first; `all` has them all. `paths` says where the texts lie, None for one without a
    folder."""

    all: tuple[Symbol, ...]
    paths: Mapping[Source, Path | None] = field(repr=False)

    @cached_property
    def _by_path(self) -> dict[str, Symbol]:
        return {symbol.path: symbol for symbol in reversed(self.all)}

    @cached_property
    def _by_place(self) -> dict[Source, list[tuple[Span, Symbol]]]:
        found: dict[Source, list[tuple[Span, Symbol]]] = {}
        for symbol in self.all:
            for span in symbol.places:
                found.setdefault(span.source, []).append((span, symbol))
        return found

    def __getitem__(self, path: str) -> Symbol:
        """The symbol of a path. Raises KeyError."""
        return self._by_path[path]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._by_path))

    def __len__(self) -> int:
        return len(self._by_path)

    def at(self, source: Source, offset: int) -> tuple[Symbol, Span] | None:
        """The symbol whose name stands at an offset of a text (characters from 0), or ends there, and its place."""
        touching = [(s, p) for p, s in self._by_place.get(source, ()) if p.start <= offset <= p.end]
        return max(touching, key=lambda found: found[1].start, default=None)

    def in_text(self, source: Source) -> Iterator[tuple[Span, Symbol]]:
        """Every place in a text with its symbol, in order."""
        yield from sorted(self._by_place.get(source, ()), key=lambda found: found[0].start)


def symbols_of(file: FileScope) -> Symbols:
    """The symbols of a file and of what it imports."""
    found = occurrences(file)
    files = file.closure()
    order = {scope.tree.span.source: number for number, scope in enumerate(files)}
    joined: dict[Span, list[Span]] = {}
    for span in sorted(found.parent, key=lambda s: (order[s.source], s.start)):
        joined.setdefault(found.root(span), []).append(span)
    every = tuple(_symbol(spans, found.declared) for spans in joined.values())
    return Symbols(every, {scope.tree.span.source: scope.path for scope in files})


def _symbol(spans: list[Span], declared: Mapping[Span, Declared]) -> Symbol:
    """One symbol from all its places."""
    first = spans[0]
    known = [(s, declared[s]) for s in spans if s in declared] or [(first, Declared(Kind.ALIAS, first.text, _NOWHERE))]
    named = sorted(known, key=lambda place: place[1].kind is Kind.ALIAS)[0][1]
    places = {span for span, _ in known}
    return Symbol(
        name=first.text, path=named.path, kind=named.kind, declarations=tuple(span for span, _ in known),
        uses=tuple(s for s in spans if s not in places), nodes=tuple(d.node for _, d in known),
    )  # fmt: skip


#: The node of a name that is declared by a part only, as `L` by `alias L[0].a = x` alone.
_NOWHERE = ast.File(span=Span(Source("", ""), 0, 0), items=())
