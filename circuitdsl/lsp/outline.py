"""The items of a text as a tree: what an editor lists beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from circuitdsl.diagnostics import Span
from circuitdsl.frozen import frozen
from circuitdsl.graph.written import Kind
from circuitdsl.lsp.analysis import Analysis
from circuitdsl.syntax import ast


@frozen(kw_only=True)
class Entry:
    """An item or member: `span` is all of it, `name_span` its name."""

    name: str
    detail: str
    kind: Kind
    span: Span
    name_span: Span
    children: tuple[Entry, ...] = ()


def outline(analysis: Analysis) -> list[Entry]:
    """The items of a text, also of a broken one."""
    return list(_entries(analysis.files.tree.items))


def _entries(items: Iterable[ast.TopItem | ast.Item]) -> Iterator[Entry]:
    for item in items:
        match item:
            case ast.Circuit():
                yield _entry(item, item.name, Kind.CIRCUIT, "", _entries(item.items))
            case ast.Motif():
                yield _entry(item, item.name, Kind.MOTIF, _heads(item.parameters), _entries(item.items))
            case ast.Rule():
                yield _entry(item, item.name, Kind.RULE, _heads(item.parameters))
            case ast.For():
                detail = f"{item.first.span.text}..{item.last.span.text}"
                yield _entry(item, item.variable, Kind.LOOP, detail, _entries(item.items))
            case ast.Param():
                yield _entry(item, item.name, Kind.PARAM, item.value.span.shown)
            case ast.Input() | ast.Target():
                kind = Kind.INPUT if isinstance(item, ast.Input) else Kind.TARGET
                yield _entry(item, item.name, kind, item.size.span.shown)
            case ast.Neuron():
                yield _entry(item, item.name, Kind.NEURON, item.size.span.shown, _members(item.members))
            case ast.Synapse():
                detail = f"{item.source.span.shown} -> {item.target.span.shown}"
                yield _entry(item, item.name, Kind.SYNAPSE, detail, _members(item.members))
            case ast.Modulator():
                yield _entry(item, item.name, Kind.MODULATOR, item.value.span.shown, _members(item.members))
            case ast.Use():
                yield _entry(item, item.instance, Kind.INSTANCE, item.motif.name)
            case ast.Alias():
                yield _entry(item, item.name, Kind.ALIAS, item.value.span.shown)
            case ast.Schedule():
                yield from (_entry(p, p.name, Kind.PHASE, p.ticks.span.shown) for p in item.phases)
            case ast.Task():
                yield _entry(item, item.name, Kind.TASK, "")
            case _:
                pass


def _entry(node: ast.Node, name: ast.Ref, kind: Kind, detail: str, children: Iterable[Entry] = ()) -> Entry:
    return Entry(
        name=name.span.text, detail=detail, kind=kind, span=node.span, name_span=name.span, children=tuple(children)
    )


def _members(members: Iterable[ast.NeuronMember | ast.SynapseMember | ast.ModulatorMember]) -> Iterator[Entry]:
    for member in members:
        match member:
            case ast.Dendrites():
                yield from (_entry(name, name, Kind.DENDRITE, "") for name in member.names)
            case ast.State():
                yield _entry(member, member.name, Kind.STATE, member.init.span.shown)
            case ast.Let():
                yield _entry(member, member.name, Kind.LET, member.value.span.shown)
            case ast.Drive():
                yield _entry(member, member.name, Kind.DRIVE, member.value.span.shown)
            case _:
                pass


def _heads(parameters: Iterable[ast.Name]) -> str:
    return f"({', '.join(p.name for p in parameters)})"
