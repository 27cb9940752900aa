"""What there is to draw of a circuit: its populations and modulators, and what runs between them.

Synapses from `bias` start at no population: each has a small source of its own. Wires to the same population from the
same one are one wire.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from circuitdsl.draw.told import Told
from circuitdsl.frozen import frozen
from circuitdsl.graph.ir import (
    Circuit,
    Connect,
    Expr,
    InitCall,
    Kind,
    Num,
    Population,
    Sign,
    Synapse,
    Value,
    When,
    reads,
)

NodeKind = Literal["input", "target", "neuron", "modulator"]
#: How a synapse stands to learning; `wire`: one-to-one wiring, `pair`: partners by a `pair` alone.
LinkKind = Literal["learning", "auxiliary", "fixed", "wire", "pair"]


@frozen(kw_only=True)
class Node:
    """A population, or a modulator. `dendrites`: value name and what is written for it."""

    name: str
    kind: NodeKind
    size: int
    dendrites: tuple[tuple[str, str], ...] = ()
    doc: str | None = None


@frozen(kw_only=True)
class Link:
    """A synapse, wire or pair. `source` None: from `bias`. `dendrite`: where a synapse ends, None for others.
    `lines`: what is written at it; `about`: all that is known of it, in a sentence."""

    name: str
    kind: LinkKind
    source: str | None
    target: str
    dendrite: str | None = None
    sign: Sign = Sign.FREE
    lines: tuple[str, ...] = ()
    modulators: tuple[str, ...] = ()
    about: str = ""


@frozen(kw_only=True)
class Network:
    nodes: Mapping[str, Node]
    links: tuple[Link, ...]


def network(circuit: Circuit, told: Mapping[str, Told]) -> Network:
    """The circuit as nodes and links; `told`: what is derived of its synapses, where that is to be shown."""
    shown = [p for p in circuit.populations.values() if p.kind is not Kind.BIAS]
    nodes = {p.name: _population(p) for p in shown}
    for value in circuit.modulators():
        nodes[value.name] = Node(name=value.name, kind="modulator", size=1, doc=value.doc)
    links = [_synapse(circuit, s, told.get(s.name)) for s in circuit.synapses.values()]
    wires = list(_wires(circuit, nodes))
    wired = {frozenset((wire.source, wire.target)) for wire in wires}
    return Network(nodes=nodes, links=(*links, *wires, *_pairs(circuit, wired)))


def _population(population: Population) -> Node:
    kinds: dict[Kind, NodeKind] = {Kind.INPUT: "input", Kind.TARGET: "target"}
    return Node(
        name=population.name,
        kind=kinds.get(population.kind, "neuron"),
        size=population.size,
        dendrites=tuple((d, d.removeprefix(population.name + ".")) for d in population.dendrites),
        doc=population.doc,
    )


# ---------------------------------------------------------------- synapses


def _synapse(circuit: Circuit, synapse: Synapse, told: Told | None) -> Link:
    kind: LinkKind = "fixed" if synapse.dw is None else "learning"
    if told is not None:
        kind = told.role
    marks = " · ".join(_marks(synapse))
    lines = [f"{synapse.name}  {marks}" if marks else synapse.name]
    lines += [told.note] if told is not None and told.note else []
    words = {"learning": "plastic", "auxiliary": "plastic, carries credit", "fixed": "fixed"}
    sign = "" if synapse.sign is Sign.FREE else f", {synapse.sign.value}"
    source = _source_text(synapse)
    note = f"; {told.note}" if told is not None and told.note else ""
    return Link(
        name=synapse.name,
        kind=kind,
        source=None if circuit.populations[synapse.pre].kind is Kind.BIAS else synapse.pre,
        target=synapse.post,
        dendrite=synapse.dendrite,
        sign=synapse.sign,
        lines=tuple(lines),
        modulators=tuple(_modulators_of(circuit, synapse)),
        about=f"{synapse.name}: {source} → {synapse.dendrite}, {words[kind]}{sign}{note}",
    )


def _source_text(synapse: Synapse) -> str:
    name = synapse.source.value
    return f"prev({name})" if synapse.source.when is When.PREV else name


def _marks(synapse: Synapse) -> Iterator[str]:
    """What is not as usual about a synapse, in a word or two each."""
    if synapse.source.value != synapse.pre or synapse.source.when is When.PREV:
        yield f"from {_source_text(synapse)}"
    yield from (_connection(c) for c in synapse.connect if c.which != "dense")
    match synapse.init:
        case InitCall(which="transpose", other=str() as other):
            yield f"starts as {other}ᵀ"
        case InitCall(which="copy", other=str() as other):
            yield f"starts as {other}"
        case _:
            pass


def _connection(connect: Connect) -> str:
    number = f" {connect.argument.value:g}" if isinstance(connect.argument, Num) else ""
    match connect.which:
        case "one_to_one":
            return "1:1"
        case "fan_in":
            return f"fan-in{number}"
        case "no_self":
            return "no self"
        case "file":
            return "masked"
        case "sparse" | "dense":
            return f"{connect.which}{number}"


def _modulators_of(circuit: Circuit, synapse: Synapse) -> Iterator[str]:
    """The modulators that the plasticity of a synapse reads."""
    exprs = [synapse.dw, *(d.expr for d in synapse.drives), *(s.update for s in synapse.states)]
    found = dict.fromkeys(name for e in exprs if e is not None for name in _scalars(circuit, e))
    yield from found


def _scalars(circuit: Circuit, expr: Expr) -> Iterator[str]:
    """The modulators that an expression reads, also by their states."""
    for read in reads(expr):
        for name in (read.value, read.value.rpartition(".")[0]):
            if name in circuit.values and circuit.values[name].kind is Kind.MODULATOR:
                yield name


# ---------------------------------------------------------------- wires


def _wires(circuit: Circuit, nodes: Mapping[str, Node]) -> Iterator[Link]:
    found = dict.fromkeys(pair for pair in _wirings(circuit) if pair[0] != pair[1])
    for source, target in found:
        if source in nodes and target in nodes:
            what = "broadcast" if "modulator" in (nodes[source].kind, nodes[target].kind) else "one-to-one"
            yield Link(
                name=f"{source}→{target}",
                kind="wire",
                source=source,
                target=target,
                about=f"{source} → {target}, {what}",
            )


def _wirings(circuit: Circuit) -> Iterator[tuple[str, str]]:
    """Who is read by whom, without a synapse: source and reader."""
    for wire in circuit.wires:
        source = circuit.values[wire.value].population
        if source is not None:
            yield source, wire.population
    for value in circuit.values.values():
        home = value.population or _modulator_of(circuit, value)
        if home is None:
            continue
        for expr in (value.expr, value.update):
            if expr is None:
                continue
            yield from ((name, home) for name in _scalars(circuit, expr))
            if value.population is None:
                yield from ((name, home) for name in _read_populations(circuit, expr))


def _modulator_of(circuit: Circuit, value: Value) -> str | None:
    """The modulator whose value or state this is."""
    if value.kind is Kind.MODULATOR:
        return value.name
    name = value.name.rpartition(".")[0]
    return name if name in circuit.values and circuit.values[name].kind is Kind.MODULATOR else None


def _read_populations(circuit: Circuit, expr: Expr) -> Iterator[str]:
    """The populations that a modulator reads; if it reads the loss, those that the loss does."""
    for read in reads(expr):
        if read.value == "loss" and circuit.loss is not None:
            yield from _read_populations(circuit, circuit.loss.expr)
        elif (population := circuit.values[read.value].population) is not None:
            yield population


def _pairs(circuit: Circuit, wired: set[frozenset[str | None]]) -> Iterator[Link]:
    for pair in sorted(sorted(p) for p in circuit.partners if len(p) == 2 and p not in wired):
        a, b = pair
        yield Link(name=f"{a} ~ {b}", kind="pair", source=a, target=b, about=f"{a} ~ {b}, partners")
