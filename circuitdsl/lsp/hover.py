"""What a name means, where an editor's pointer rests on it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from circuitdsl.derive.tell.brief import in_short
from circuitdsl.diagnostics import Source, Span
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.calls import CALLS
from circuitdsl.graph.findings import BUILTIN_NAMES, units
from circuitdsl.graph.functions import FUNCTIONS
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.populations import POPULATION_FUNCTIONS, REDUCTIONS
from circuitdsl.graph.scope import flatten
from circuitdsl.graph.symbols import Symbol
from circuitdsl.graph.written import Kind
from circuitdsl.lsp import verdicts
from circuitdsl.lsp.analysis import Analysis
from circuitdsl.lsp.nodes import around
from circuitdsl.syntax import ast
from circuitdsl.syntax.grammar import keywords
from circuitdsl.syntax.words import Word, words

#: Of an item that is longer only its beginning is shown.
MOST_LINES = 12

#: What the functions are that no record and no built-in name tells.
_DRAWN_AND_TURNED = {
    "rand": "a number between 0 and 1, drawn anew for every unit, example and tick",
    "randn": "a normal number of mean 0 and deviation 1, drawn anew for every unit, example and tick",
    "transpose": "the weights of a synapse, rows for columns",
}

#: So many synapses or populations are named, then only counted.
MOST_NAMED = 6


@frozen
class Hover:
    """What is said of the word at `span`, as Markdown."""

    span: Span
    text: str


def hover(analysis: Analysis, offset: int) -> Hover | None:
    """What the word at an offset means; None where there is nothing to say."""
    found = analysis.symbols.at(analysis.source, offset)
    if found is not None:
        symbol, span = found
        return Hover(span, "\n\n".join(_of_symbol(analysis, symbol)))
    word = word_at(analysis.source, offset)
    if word is None:
        return None
    declared = _declared_by(analysis, word)
    if declared is not None:
        return Hover(Span(analysis.source, word.start, word.end), "\n\n".join(_of_symbol(analysis, declared)))
    text = _of_word(analysis, word)
    return None if text is None else Hover(Span(analysis.source, word.start, word.end), text)


def _declared_by(analysis: Analysis, word: Word) -> Symbol | None:
    """What the item declares that begins with a keyword; `dw` speaks for its synapse, `rate` for its neuron."""
    nodes = around(analysis.files.tree, Span(analysis.source, word.start, word.end))
    for node in nodes[::-1]:
        match node:
            case ast.Synapse() if word.start == node.span.start or word.text == "dw":
                name = node.name
            case ast.Neuron() if word.start == node.span.start or (
                word.text == "rate" and isinstance(nodes[-1], ast.Rate)
            ):
                name = node.name
            case ast.Param() | ast.Input() | ast.Target() | ast.Modulator() if word.start == node.span.start:
                name = node.name
            case ast.Circuit() | ast.Motif() | ast.Rule() | ast.Task() if word.start == node.span.start:
                name = node.name
            case _:
                continue
        base, _ = flatten(name)
        found = analysis.symbols.at(analysis.source, base.span.start)
        return None if found is None else found[0]
    return None


def word_at(source: Source, offset: int) -> Word | None:
    """The name, keyword or text at an offset."""
    found, _ = words(source)
    touching = [
        w for w in found if w.start <= offset <= w.end and (w.kind in ("NAME", "STRING") or w.text.isidentifier())
    ]
    return touching[-1] if touching else None


def _of_word(analysis: Analysis, word: Word) -> str | None:
    """The meaning of a word that nobody declares."""
    if word.text in CALLS:
        return f"```circ\n{CALLS[word.text]}\n```\n\n{_function_doc(word.text)}"
    if word.text in BUILTIN_NAMES:
        return f"`{word.text}`: {BUILTIN_NAMES[word.text]}"
    if word.text == "loss" and analysis.circuit is not None and analysis.circuit.loss is not None:
        return f"```circ\n{analysis.circuit.loss.span.text}\n```\n\nThe loss of this circuit."
    if word.text in keywords() or word.kind != "STRING":
        return None
    for item, imported in analysis.files.imports:
        if item.path.span.start == word.start:
            names = [*imported.own_rules(), *imported.own_motifs()]
            return f"`{imported.tree.span.source.name}`: {_listed(names) or 'no rules and no motifs'}"
    return None


def _function_doc(name: str) -> str:
    if name in FUNCTIONS and FUNCTIONS[name].doc:
        return FUNCTIONS[name].doc
    if name in POPULATION_FUNCTIONS:
        return POPULATION_FUNCTIONS[name][1]
    if name in REDUCTIONS:
        return REDUCTIONS[name].doc
    return BUILTIN_NAMES.get(name) or _DRAWN_AND_TURNED.get(name, "")


# ---------------------------------------------------------------- what is declared


def _of_symbol(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    yield f"**{symbol.kind}** `{symbol.path}`"
    for span, node in list(zip(symbol.declarations, symbol.nodes, strict=True))[:2]:
        yield f"```circ\n{_excerpt(node)}\n```"
        about = _doc(node) or comment_of(span)
        if about:
            yield about
    yield from _facts(analysis, symbol)


def _excerpt(node: ast.Node) -> str:
    """The item or member as it is written, not too long; of what holds items only the head."""
    lines = _without_doc(node).split("\n")
    if isinstance(node, ast.Circuit | ast.Motif | ast.For):
        return f"{lines[0]} … }}"
    margin = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    shown = [lines[0], *(line[margin:] for line in lines[1:])]
    return "\n".join(shown if len(shown) <= MOST_LINES else [*shown[: MOST_LINES - 1], "  …"])


def _without_doc(node: ast.Node) -> str:
    return re.sub(r'[ \t]*"""[\s\S]*?"""[ \t]*\n?', "", node.span.text, count=1)


def _doc(node: ast.Node) -> str | None:
    match node:
        case ast.Circuit() | ast.Motif() | ast.Neuron() | ast.Synapse() | ast.Task():
            return node.doc
        case _:
            return None


def comment_of(span: Span) -> str | None:
    """The comment beside a declaration, or the lines of comment above it."""
    source, line = span.source, span.line
    beside = re.search(r'#\s*((?:[^"\n]|"[^"\n]*")*)$', source.line_text(line)[span.column - 1 :])
    if beside:
        return beside[1].strip()
    above: list[str] = []
    while line > 1 and source.line_text(line - 1).lstrip().startswith("#"):
        line -= 1
        above.append(source.line_text(line).lstrip().lstrip("#").strip())
    if not above and line > 2 and not source.line_text(line - 1).strip() and _heads(source, line - 1):
        above = [source.line_text(n).lstrip("# ") for n in range(line - 2, 0, -1)]
    return " ".join(above[::-1]) or None


def _heads(source: Source, line: int) -> bool:
    """Whether comments above a blank line begin the file, and speak of what comes first in it."""
    return all(source.line_text(n).lstrip().startswith("#") for n in range(1, line))


def _facts(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    """What the checked circuit knows of it."""
    circuit = analysis.circuit
    if circuit is None:
        if symbol.kind is Kind.SYNAPSE and analysis.found and analysis.loaded is None:
            yield "Its verdict waits until the text has no errors."
        return
    match symbol.kind:
        case Kind.SYNAPSE:
            yield from _synapse(analysis, symbol)
        case Kind.PARAM:
            yield from _param(circuit, symbol)
        case Kind.NEURON | Kind.INPUT | Kind.TARGET:
            for population in _elaborated(symbol, circuit.populations)[:MOST_NAMED]:
                yield _population(circuit, population)
        case Kind.DENDRITE:
            values = [v for v in _elaborated(symbol, circuit.values) if v.kind is ir.Kind.DENDRITE]
            for value in values[:MOST_NAMED]:
                drives = _listed([s.name for s in circuit.into(value.name)])
                yield f"`{value.name}`: {f'driven by {drives}' if drives else 'nothing drives it'}"
        case Kind.INSTANCE:
            made = [p.name for p in circuit.populations.values() if _is_of(symbol, p.name)]
            yield f"its populations: {_listed(made)}"
        case Kind.CIRCUIT:
            learning = analysis.derivation.findings.values() if analysis.derivation is not None else ()
            told = [f"- `{f.synapse}` {in_short(f)}" for f in learning if f.role == "learning"]
            if told:
                yield "\n".join(told)
        case _:
            pass


E = TypeVar("E", bound=ir.Entity)


def _elaborated(symbol: Symbol, entities: Mapping[str, E]) -> list[E]:
    """The entities of the circuit that a declaration of the text has become."""
    places = {(span.source, span.start) for span in symbol.declarations}
    return [e for e in entities.values() if (e.span.source, e.span.start) in places]


def _synapse(analysis: Analysis, symbol: Symbol) -> Iterator[str]:
    derivation = analysis.derivation
    assert derivation is not None
    found = [derivation.findings[s.name] for s in _elaborated(symbol, derivation.circuit.synapses)]
    if found:
        yield verdicts.page(analysis, found)


def _param(circuit: ir.Circuit, symbol: Symbol) -> Iterator[str]:
    if symbol.name in circuit.coefficients:
        found = circuit.coefficients[symbol.name]
        yield f"A coefficient: one number for each {found.per} of `{found.owner}`. `evolve` can optimise it."
        return
    param = circuit.params.get(symbol.name)
    if param is None:
        return
    numbers = numbers_of(circuit, {})
    values = [value for name, value in numbers.items() if name == param.name or name.startswith(f"{param.name}[")]
    shown = ", ".join(f"{value:g}" for value in values)
    yield f"Value: {f'[{shown}]' if isinstance(param.value, tuple) else shown}"
    if param.structural:
        yield f"It shapes the circuit: `--set {param.name}=…` builds it anew."
    else:
        yield f"A number of the run: `--set {param.name}=…` sets it, and nothing is compiled again."
    readers = [s.name for s in circuit.synapses.values() if s.dw is not None and _reads(s.dw, param.name)]
    if readers:
        yield f"Read by the rules of {_listed(readers)}."


def _reads(expr: ir.Expr, param: str) -> bool:
    return any(isinstance(e, ir.ParamRef) and e.name.partition("[")[0] == param for e in ir.walk(expr))


def _population(circuit: ir.Circuit, population: ir.Population) -> str:
    """Its size, what reaches it and what it reaches."""
    name = population.name
    lines = [f"`{name}`: {units(population.size)}"]
    for dendrite in population.dendrites:
        driven = [f"`{s.name}` from `{s.source.value}`" for s in circuit.into(dendrite)]
        lines.append(f"- `{dendrite}`: {', '.join(driven) or 'nothing drives it'}")
    onward = [f"`{s.name}` to `{s.dendrite}`" for s in circuit.synapses.values() if s.pre == name]
    if onward:
        lines.append(f"- sends: {', '.join(onward[:MOST_NAMED])}{', …' if len(onward) > MOST_NAMED else ''}")
    members = (name, *population.dendrites, *population.states, *population.lets)
    received = dict.fromkeys(w.value for w in circuit.wires if w.population == name)
    readers = dict.fromkeys(w.population for w in circuit.wires if w.value in members)
    if received:
        lines.append(f"- wired one-to-one from: {_listed(received)}")
    if readers:
        lines.append(f"- wired one-to-one to: {_listed(readers)}")
    return "\n".join(lines)


def _is_of(symbol: Symbol, path: str) -> bool:
    return re.match(rf"{re.escape(symbol.name)}(\[\d+\])*\.", path) is not None


def _listed(names: Iterable[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return ", ".join(quoted[:MOST_NAMED]) + (
        f" and {len(quoted) - MOST_NAMED} more" if len(quoted) > MOST_NAMED else ""
    )
