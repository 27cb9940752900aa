"""From a text to a checked circuit: the driver of this room, stage by stage.

Files and rules; structure (loops, motifs, sizes); names (what equations may read); equations; order
within a tick; checks. Each stage reports all its errors before the next would start on a broken one.
"""

from __future__ import annotations

from pathlib import Path

from circuitdsl.diagnostics import CircuitError, Diagnostic, Label, Report, Severity, Source, Span
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.build import Builder
from circuitdsl.graph.cycles import definition_cycles
from circuitdsl.graph.declare import Declarations
from circuitdsl.graph.definitions import check_definitions, check_use
from circuitdsl.graph.files import FileScope, Reader, load_files
from circuitdsl.graph.flow import loops, tick_order, tick_sources
from circuitdsl.graph.numbers import param_of
from circuitdsl.graph.structure import Overrides, elaborate
from circuitdsl.graph.tables import Tables
from circuitdsl.syntax import ast
from circuitdsl.syntax.parse import parse, read_source


@frozen
class Loaded:
    """A checked text, with the files that it imports. `circuit` is None for a file of rules and motifs only."""

    source: Source
    circuit: ir.Circuit | None
    warnings: tuple[Diagnostic, ...]
    files: FileScope


def load_file(path: str | Path, *, overrides: Overrides | None = None) -> Loaded:
    """Reads, elaborates and checks a `.circ` file.

    `overrides` sets params (`--set`): a number, or a list for a list param.
    Raises CircuitError with every finding of the stage that failed, OSError if the file cannot be
    read, ValueError if an override names no param.
    """
    path = Path(path)
    return load_source(read_source(path), path.resolve().parent, overrides=overrides)


def load_text(text: str, name: str = "<text>", *, overrides: Overrides | None = None) -> Loaded:
    """Like `load_file`, for a text; imports are looked for in the shipped library only."""
    return load_source(Source(name, text), None, overrides=overrides)


def load_source(
    source: Source, folder: Path | None, *, overrides: Overrides | None = None, read: Reader = read_source
) -> Loaded:
    """Like `load_file`, for a text that lies, or will lie, in a folder; `read` gives the texts of its imports."""
    try:
        return _load(source, folder, overrides, read)
    except RecursionError:
        raise CircuitError([_too_deep(source)]) from None


def _too_deep(source: Source) -> Diagnostic:
    return Diagnostic(
        code="C026",
        title=f"`{source.name}` goes too deep",
        span=Span(source, 0, 0),
        label="somewhere in this text",
        notes=("of rules, motifs, aliases or params hundreds stand for, or are computed from, one another in a row",),
        hint="shorten the chain: let each one read what stands at its end",
    )


def _load(source: Source, folder: Path | None, overrides: Overrides | None, read: Reader) -> Loaded:
    report = Report()
    tree = parse(source)
    files = load_files(tree, folder, report, read)
    report.stop_if_failed()
    check_definitions(files, report)
    report.stop_if_failed()
    circuit_tree = _only_circuit(tree, report)
    report.stop_if_failed()
    if circuit_tree is None:
        check_use(files, report)
        if not tree.items:
            report.add(_empty(source))
        return Loaded(source, None, tuple(report.found), files)
    structure = elaborate(circuit_tree, files, overrides or {}, report)
    report.stop_if_failed()
    tables = Tables(structure.symbols, structure.numbers)
    Declarations(structure, report, overrides or {}, tables).declare()
    report.stop_if_failed()
    circuit = Builder(structure, report, overrides or {}, tables, source.text).build()
    report.stop_if_failed()
    assert circuit is not None
    for name in overrides or {}:
        param_of(circuit, name)
    for finding in definition_cycles(circuit):
        report.add(finding)
    circuit = in_order(circuit, report)
    report.stop_if_failed()
    from circuitdsl.graph.checks import check

    check(circuit, structure, report)
    check_use(files, report)
    report.stop_if_failed()
    return Loaded(source, circuit, tuple(report.found), files)


def _empty(source: Source) -> Diagnostic:
    return Diagnostic(
        code="C008",
        title=f"`{source.name}` holds nothing",
        span=Span(source, 0, min(len(source.text), 1)),
        label="neither a circuit nor a rule nor a motif",
        hint="begin with `circuit mine { … }`",
        severity=Severity.NOTE,
    )


def _only_circuit(tree: ast.File, report: Report) -> ast.Circuit | None:
    circuits = [item for item in tree.items if isinstance(item, ast.Circuit)]
    for extra in circuits[1:]:
        report.add(
            Diagnostic(
                code="C011",
                title=f"`{extra.name.name}` is a second circuit in one file",
                span=extra.name.span,
                label="a file holds one",
                labels=(Label(circuits[0].name.span, "the first"),),
                hint="give each circuit a file of its own, and import what they share",
            )
        )
    return circuits[0] if circuits else None


# ---------------------------------------------------------------- order within a tick


def in_order(circuit: ir.Circuit, report: Report) -> ir.Circuit:
    """The circuit with `order` filled in; reports the loops within a tick (C040)."""
    import dataclasses

    sources = tick_sources(_evaluated(circuit))
    order = tick_order(sources)
    if order is None:
        for cycle in loops(sources):
            report.add(_loop(circuit, cycle))
        return circuit
    return dataclasses.replace(circuit, order=order)


def _evaluated(circuit: ir.Circuit) -> dict[str, ir.Value]:
    """What a tick computes: all values but given and stored ones; the loss only if it is read, be it by a
    metric or a record."""
    given = {ir.Kind.INPUT, ir.Kind.TARGET, ir.Kind.BIAS, ir.Kind.STATE}
    values = {n: v for n, v in circuit.values.items() if v.kind not in given}
    if "loss" in values and values["loss"].kind is ir.Kind.LOSS and not _reads_loss(circuit):
        del values["loss"]
    return values


def _reads_loss(circuit: ir.Circuit) -> bool:
    equations = [e for v in circuit.values.values() for e in (v.expr, v.update)]
    probes = [t.metric for t in circuit.tasks.values()]
    probes += [r.what for r in circuit.records if not isinstance(r.what, str | ir.MatrixRef | ir.MatrixCall)]
    return any(r.value == "loss" for e in (*equations, *probes) if e is not None for r in ir.reads(e))


def _loop(circuit: ir.Circuit, cycle: list[str]) -> Diagnostic:
    first = circuit.values[cycle[0]]
    spans: list[Label] = []
    for name in cycle[1:]:
        span = circuit.values[name].span
        if span != first.span and all(label.span != span for label in spans):
            spans.append(Label(span, f"`{name}`"))
    for name, before in zip(cycle, [cycle[-1], *cycle], strict=False):
        for current in circuit.values[name].currents:
            if current.source.value == before:
                spans.append(Label(circuit.synapses[current.synapse].span, f"carries `{before}` to `{name}`"))
    return Diagnostic(
        code="C040",
        title=f"`{cycle[0]}` depends on itself within one tick",
        span=first.span,
        label=" -> ".join([*cycle, cycle[0]]),
        labels=tuple(spans[:5]),
        notes=("in one tick every value is computed once, after what it reads",),
        hint=_way_out(circuit, cycle),
    )


def _way_out(circuit: ir.Circuit, cycle: list[str]) -> str:
    """Where the loop can read the tick before: in a synapse if there is one, else by `prev`."""
    previous = {name: cycle[i - 1] for i, name in enumerate(cycle)}
    for name in cycle:
        for current in circuit.values[name].currents:
            if current.source.value == previous[name]:
                synapse = circuit.synapses[current.synapse]
                return f"read the tick before: `synapse {synapse.name}: prev({previous[name]}) -> {name}`"
    for name in cycle:
        if circuit.values[previous[name]].kind in (ir.Kind.RATE, ir.Kind.LET, ir.Kind.DENDRITE):
            return f"let `{name}` read the tick before, `prev({previous[name]})`, or a state"
    return "keep one of them in a state, which is read as the tick before left it"
