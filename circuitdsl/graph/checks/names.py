"""Names: what is declared and never read, and what hides something else (C012, C013)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from circuitdsl.diagnostics import Span
from circuitdsl.graph import ir
from circuitdsl.graph.checks.common import Findings, judged, plasticity, recorded, undriven
from circuitdsl.graph.findings import shadowed, unused
from circuitdsl.graph.scope import Declared
from circuitdsl.graph.structure import Structure
from circuitdsl.syntax import ast

Thing = TypeVar("Thing")


def unused_names(circuit: ir.Circuit, structure: Structure) -> Findings:
    """C013: declared, read by nothing."""
    symbols = structure.symbols
    used = symbols.used | symbols.structural
    for span, group in _by_place((d.span, d) for d in symbols.entities.values()):
        item = group[0].item
        if isinstance(item, ast.Param | ast.Modulator) and not any(d.path in used for d in group):
            what = "param" if isinstance(item, ast.Param) else "modulator"
            yield unused(f"the {what} `{group[0].path}`", span)
    for span, paths in _by_place((alias.span, path) for path, alias in symbols.aliases.items()):
        if not used & set(paths):
            yield unused(f"the alias `{paths[0]}`", span)
    yield from _unused_members(circuit, structure)


def _by_place(things: Iterable[tuple[Span, Thing]]) -> list[tuple[Span, list[Thing]]]:
    """Things by the place of the text that declares them: what a motif or a loop repeats belongs together."""
    groups: dict[Span, list[Thing]] = {}
    for place, thing in things:
        groups.setdefault(place, []).append(thing)
    return list(groups.items())


# ---------------------------------------------------------------- members


def _unused_members(circuit: ir.Circuit, structure: Structure) -> Findings:
    read = _read_by_others(circuit)
    silent = undriven(circuit)  # reported already
    members = ((name.span, (what, path, path in read or path in silent)) for what, name, path in _members(structure))
    for span, group in _by_place(members):
        if not any(is_read for _, _, is_read in group):
            what, path, _ = group[0]
            yield unused(f"the {what} `{path}`", span)


def _members(structure: Structure) -> Iterator[tuple[str, ast.Name, str]]:
    """Every member: what it is, its name in the text, its path (`h.v`, `W.m`)."""
    for declared in structure.symbols.entities.values():
        for what, name in member_names(declared):
            yield what, name, f"{declared.path}.{name.name}"


def member_names(declared: Declared) -> Iterator[tuple[str, ast.Name]]:
    """The dendrites, states, lets and drives that a neuron, synapse or modulator declares."""
    if not isinstance(declared.item, ast.Neuron | ast.Synapse | ast.Modulator):
        return
    for member in declared.item.members:
        match member:
            case ast.Dendrites():
                yield from (("dendrite", name) for name in member.names)
            case ast.State():
                yield "state", member.name
            case ast.Let():
                yield "let", member.name
            case ast.Drive():
                yield "drive", member.name
            case _:
                pass


def _read_by_others(circuit: ir.Circuit) -> set[str]:
    """The values, states and drives of synapses (`W.m`) that something else than their own increment reads."""
    read = recorded(circuit) | {s.source.value for s in circuit.synapses.values()}
    read |= {r.value for _, expr in judged(circuit) for r in ir.reads(expr)}
    for value in circuit.values.values():
        read |= {r.value for r in ir.reads(value.expr)} if value.expr is not None else set()
        read |= {r.value for r in ir.reads(value.update)} - {value.name} if value.update is not None else set()
    for synapse in circuit.synapses.values():
        read |= {r.value for expr in plasticity(synapse) for r in ir.reads(expr)}
        read |= {f"{synapse.name}.{name}" for name in _read_in(synapse)}
    return read


def _read_in(synapse: ir.Synapse) -> set[str]:
    """The states and drives that the equations of their synapse read, but for a state in its own increment."""
    read: set[str] = set()
    owned = [("", d.expr) for d in synapse.drives] + [(s.name, s.update) for s in synapse.states] + [("", synapse.dw)]
    for owner, expr in owned:
        for part in ir.walk(expr) if expr is not None else ():
            if isinstance(part, ir.SynapseState | ir.DriveRead) and part.name != owner:
                read.add(part.name)
    return read


# ---------------------------------------------------------------- shadowing


def shadowed_names(structure: Structure) -> Findings:
    """C012: a member of a neuron or synapse, or a loop variable, hides an entity of the same name."""
    entities = structure.symbols.entities
    for declared in entities.values():
        for what, name in member_names(declared):
            hidden = entities.get(declared.scope.prefix + name.name)
            if hidden is not None:
                title = f"the {what} `{name.name}` of `{declared.path}`"
                yield shadowed(title, name.span, f"the {kind_of(hidden)} `{name.name}`", hidden.span)
    for item in loops(structure.circuit.items):
        hidden = entities.get(item.variable.name)
        if hidden is not None:
            title = f"the loop variable `{item.variable.name}`"
            yield shadowed(title, item.variable.span, f"the {kind_of(hidden)} `{item.variable.name}`", hidden.span)


def kind_of(declared: Declared) -> str:
    return type(declared.item).__name__.lower()


def loops(items: Iterable[ast.Item]) -> Iterator[ast.For]:
    for item in items:
        if isinstance(item, ast.For):
            yield item
            yield from loops(item.items)
