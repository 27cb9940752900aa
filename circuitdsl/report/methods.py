"""What a methods section has to say of a circuit, as papers have it: populations, connectivity, equations, plasticity,
parameters, what happens when, and what it was trained on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from circuitdsl.graph import ir
from circuitdsl.graph.functions import FUNCTIONS
from circuitdsl.report.document import Code, Equations, Line, Math, Paragraph, Part, Piece, Section, Table
from circuitdsl.report.formulas import Writer, initial, number, symbol, value_symbol, weight_symbol


def equations(circuit: ir.Circuit) -> Section:
    """Populations first, then plasticity, then the loss."""
    parts: list[Part] = []
    neurons = [*_of_neurons(circuit), *_of_modulators(circuit)]
    if neurons:
        parts += [Paragraph(line="Populations", kind="head"), Equations(rows=neurons)]
    plastic = list(_of_synapses(circuit))
    if plastic:
        parts += [Paragraph(line="Plasticity", kind="head"), Equations(rows=plastic)]
    if circuit.loss is not None:
        loss = Math(rf"L = {Writer(circuit).of(circuit.loss.expr)}")
        parts += [Paragraph(line="Loss", kind="head"), Equations(rows=[(loss, _when(circuit.loss))])]
    parts.append(Paragraph(line=_how_to_read(circuit), kind="faint"))
    return Section(title="Equations", parts=parts)


def _how_to_read(circuit: ir.Circuit) -> Sequence[Piece]:
    when = "to a state in each tick, and to a weight by each update" if circuit.schedule.phases else "by one example"
    return [
        Math("i"), ": the unit that an equation is written for, of a synapse its postsynaptic one; ", Math("j"),
        ": a presynaptic one; ", Math(r"\Delta"), f": what is added {when}. States begin at 0 where nothing else is ",
        "said; ", Math(r"\mathbf{1}[\cdot]"), " is 1 where the condition holds, else 0.",
    ]  # fmt: skip


def _of_neurons(circuit: ir.Circuit) -> Iterator[tuple[Math, str]]:
    for population in circuit.of_kind(ir.Kind.RATE):
        names = (*population.dendrites, *population.lets, *population.states, population.name)
        for name in names:
            value = circuit.values[name]
            yield from _of_value(circuit, value, _label(circuit, population, value))


def _label(circuit: ir.Circuit, population: ir.Population, value: ir.Value) -> str:
    match value.kind:
        case ir.Kind.DENDRITE:
            return "dendrite"
        case ir.Kind.STATE:
            return "state, kept from example to example" if value.lifetime is ir.Lifetime.KEEP else "state"
        case ir.Kind.RATE:
            return f"rate of {population.name}"
        case _:
            return ""


def _of_value(circuit: ir.Circuit, value: ir.Value, label: str) -> Iterator[tuple[Math, str]]:
    shown = value_symbol(circuit, value.name, "i" if value.population is not None else "")
    writer = Writer(circuit)
    if value.kind is ir.Kind.STATE:
        start = _start(circuit, shown, value.init)
        change = "0" if value.update is None else writer.of(value.update)
        yield Math(rf"\Delta {shown} = {change}{start}"), label
        return
    terms = [_current(circuit, current) for current in value.currents]
    terms += [] if value.expr is None else [writer.of(value.expr)]
    yield Math(f"{shown} = {' + '.join(terms) or '0'}"), label


def _start(circuit: ir.Circuit, shown: str, init: ir.Init | None) -> str:
    """What a state begins with, if that is not 0."""
    first = "0" if init is None else initial(circuit, init)
    return "" if first == "0" else rf",\quad {shown}(0) = {first}"


def _current(circuit: ir.Circuit, current: ir.Current) -> str:
    synapse = circuit.synapses[current.synapse]
    weight = weight_symbol(circuit, synapse)
    if circuit.populations[synapse.pre].kind is ir.Kind.BIAS:
        return weight
    source = value_symbol(circuit, current.source.value, "j")
    before = "(t-1)" if current.source.when is ir.When.PREV else ""
    return rf"\sum_{{j}} {weight}\,{source}{before}"


def _of_modulators(circuit: ir.Circuit) -> Iterator[tuple[Math, str]]:
    for modulator in circuit.modulators():
        states = [
            v for v in circuit.values.values() if v.population is None and v.name.startswith(f"{modulator.name}.")
        ]
        for value in (*states, modulator):
            yield from _of_value(circuit, value, "modulator" if value is modulator else "state of a modulator")


def _of_synapses(circuit: ir.Circuit) -> Iterator[tuple[Math, str]]:
    for synapse in circuit.synapses.values():
        if synapse.dw is None:
            continue
        writer = Writer(circuit, synapse)
        for drive in synapse.drives:
            shown = weight_symbol(circuit, synapse, drive.name)
            yield (
                Math(rf"{shown} = \left\langle {writer.of(drive.expr)} \right\rangle"),
                "drive, averaged over the batch",
            )
        for state in synapse.states:
            shown = weight_symbol(circuit, synapse, state.name)
            change = "0" if state.update is None else writer.of(state.update)
            start = _start(circuit, shown, state.init)
            label = "state, anew with each example" if state.fresh else "state of the synapse"
            yield Math(rf"\Delta {shown} = {change}{start}"), label
        yield Math(rf"\Delta {weight_symbol(circuit, synapse)} = {writer.of(synapse.dw)}"), _place(synapse)


def _place(synapse: ir.Synapse) -> str:
    span = synapse.dw_span or synapse.span
    return f"line {span.line}"


def _when(loss: ir.Loss) -> str:
    match loss.when:
        case "last":
            return ""
        case "at":
            return f"at the last tick of {loss.phase}"
        case "over":
            return f"mean over {loss.phase}"


# ---------------------------------------------------------------- tables


def methods(circuit: ir.Circuit, numbers: Mapping[str, float], data: Sequence[Sequence[Line]] = ()) -> Section:
    """The tables. `numbers`: the params' values; `data`: what is known of the data beyond the text."""
    parts: list[Part] = [_populations(circuit), _connectivity(circuit)]
    parts += [_parameters(circuit, numbers)] if numbers or circuit.coefficients else []
    parts += [_schedule(circuit)] if circuit.schedule.phases else []
    parts += [_task(circuit, task, data) for task in circuit.tasks.values()]
    return Section(title="Methods", parts=parts)


_KINDS: Mapping[ir.Kind, str] = {
    ir.Kind.INPUT: "input", ir.Kind.TARGET: "target", ir.Kind.BIAS: "bias", ir.Kind.RATE: "neurons",
}  # fmt: skip


def _populations(circuit: ir.Circuit) -> Table:
    rows: list[list[Line]] = []
    for population in circuit.populations.values():
        if population.kind is ir.Kind.BIAS:
            continue
        own = [_bare(population, n) for n in population.dendrites]
        states = [_bare(population, n) for n in population.states]
        kind = "spiking neurons" if spikes(circuit, population) else _KINDS[population.kind]
        rows.append(
            [Code(population.name), kind, f"{population.size:,}", _listed(own), _listed(states), _first(population.doc)]
        )
    return _thinned(Table(head=("population", "kind", "units", "dendrites", "states", "what it is"), rows=rows,
                          caption="Populations"))  # fmt: skip


def spikes(circuit: ir.Circuit, population: ir.Population) -> bool:
    """Whether the rate of neurons is 0 or 1 in each of several ticks."""
    if population.kind is not ir.Kind.RATE or not circuit.schedule.phases:
        return False
    rate = circuit.values[population.name].expr
    return isinstance(rate, ir.Apply) and rate.function in FUNCTIONS and FUNCTIONS[rate.function].is_gate


def _bare(population: ir.Population, name: str) -> str:
    return name.removeprefix(f"{population.name}.")


def _listed(names: Sequence[str]) -> Line:
    found: list[Piece] = []
    for name in names:
        found += [", "] if found else []
        found.append(Code(name))
    return found


def _first(doc: str | None) -> str:
    return next((line.strip() for line in (doc or "").splitlines() if line.strip()), "")


def _thinned(table: Table) -> Table:
    """The table without columns in which nothing stands."""
    kept = [i for i in range(len(table.head)) if any(row[i] for row in table.rows)]
    rows = [[row[i] for i in kept] for row in table.rows]
    return Table(head=[table.head[i] for i in kept], rows=rows, caption=table.caption)


def _connectivity(circuit: ir.Circuit) -> Table:
    rows: list[list[Line]] = []
    for synapse in circuit.synapses.values():
        bias = circuit.populations[synapse.pre].kind is ir.Kind.BIAS
        source: Line = "bias" if bias else Code(synapse.source.value)
        bounds = synapse.bounds and rf"[{', '.join(map(Writer(circuit).of, synapse.bounds))}]"
        rows.append(
            [
                Code(synapse.name),
                source,
                Code(synapse.dendrite),
                f"{synapse.post_size:,} × {synapse.pre_size:,}",
                "plastic" if synapse.dw is not None else "fixed",
                _masks(circuit, synapse.connect),
                "" if synapse.sign is ir.Sign.FREE else synapse.sign.value,
                Math(bounds) if bounds else "",
                Math(initial(circuit, synapse.init)),
            ]
        )
    head = ("synapse", "from", "onto", "weights", "plasticity", "connection", "sign", "bounds", "initial weights")
    return _thinned(Table(head=head, rows=rows, caption="Connectivity"))


def _masks(circuit: ir.Circuit, masks: Sequence[ir.Connect]) -> Line:
    found: list[Piece] = []
    for mask in masks:
        found += [" and "] if found else []
        match mask.which:
            case "dense":
                found.append("all to all")
            case "one_to_one":
                found.append("one to one")
            case "no_self":
                found.append("none onto itself")
            case "file":
                found += ["mask of ", Code(mask.path or "")]
            case "sparse" if mask.argument is not None:
                found += ["each with probability ", Math(Writer(circuit).of(mask.argument))]
            case "fan_in" if mask.argument is not None:
                found += [Math(Writer(circuit).of(mask.argument)), " inputs each"]
            case _:
                raise AssertionError(mask)
    return found or "all to all"


def _parameters(circuit: ir.Circuit, numbers: Mapping[str, float]) -> Table:
    rows: list[list[Line]] = []
    for param in circuit.params.values():
        items = (
            [param.name]
            if not isinstance(param.value, tuple)
            else [n for n in numbers if n.startswith(f"{param.name}[")]
        )
        values = ", ".join(number(numbers[n]) for n in items if n in numbers)
        rows.append([Code(param.name), Math(symbol(param.name)), Math(values), _written(param), _comment(param)])
    for each in circuit.coefficients.values():
        index = "ij" if each.per == "weight" else "i"
        about = f"one per {each.per} of {each.owner}"
        rows.append(
            [Code(each.name), Math(symbol(each.name, index=index)), Math(initial(circuit, each.init)), "", about]
        )
    return _thinned(
        Table(head=("parameter", "symbol", "value", "made of", "what it is"), rows=rows, caption="Parameters")
    )


def _written(param: ir.Param) -> Line:
    """How a param is computed from others."""
    if isinstance(param.value, tuple | ir.Num):
        return ""
    return Code(" ".join(param.value.span.text.split()))


def _comment(param: ir.Param) -> str:
    """What stands behind it in the text, if it is a comment."""
    rest = param.span.source.text[param.span.end :].partition("\n")[0]
    found = re.fullmatch(r"[^#\"]*#\s*(.*?)\s*", rest)
    return found[1] if found else _first(param.doc)


def _schedule(circuit: ir.Circuit) -> Table:
    writer = Writer(circuit)
    rows: list[list[Line]] = [
        [Code(phase.name), Math(writer.of(phase.ticks)), "training only" if phase.train else ""]
        for phase in circuit.schedule.phases
    ]
    when = "after each example" if circuit.schedule.update == "example" else "after each tick"
    step: list[list[Line]] = [["time step", Math(writer.of(circuit.schedule.dt)), ""]] if circuit.schedule.dt else []
    rows += [*step, ["weights change", when, ""]]
    return _thinned(Table(head=("phase", "ticks", "when"), rows=rows, caption="What happens in an example"))


def _task(circuit: ir.Circuit, task: ir.Task, data: Sequence[Sequence[Line]]) -> Table:
    writer = Writer(circuit)
    arguments = ", ".join(f"{k}={v:g}" for k, v in task.data_arguments)
    rows: list[Sequence[Line]] = [["data", Code(f"{task.data}({arguments})" if arguments else task.data)], *data]
    settings = (("epochs", task.epochs), ("examples per update", task.batch), ("first seed", task.seed),
                ("held out to validate", task.validation), ("metric", task.metric))  # fmt: skip
    rows += [[name, Math(writer.of(expr))] for name, expr in settings if expr is not None]
    rows += [["inputs are scaled", Code(task.scale)]] if task.scale is not None else []
    return Table(rows=rows, head=("setting", "value"), caption=f"Task {task.name}")
