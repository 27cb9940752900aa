"""What the page asks of a text, answered as JSON: what an editor asks, the derivation, the drawing, and the programs to
train it by.

Runs in Pyodide with lark and circuitdsl alone; what the first verdict does not need is imported where it is used. Each
function takes its arguments as JSON too. Places are offsets in UTF-16, as the editor counts them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from circuitdsl.derive.tell.brief import attracted, brief, in_short
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.derive.tell.layers import layers
from circuitdsl.derive.tell.outline import headline, together
from circuitdsl.diagnostics import Source, Span
from circuitdsl.draw.drawing import drawing
from circuitdsl.draw.told import Told
from circuitdsl.graph import ir
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.lsp.analysis import Analysis, analyse
from circuitdsl.lsp.problems import Problem, checked, derived
from circuitdsl.lsp.verdicts import Inlay, inlays
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.request import Request, Settings, settle

#: What the text is called in messages.
NAME = "circuit.circ"


@lru_cache(maxsize=2)
def analysed(text: str) -> Analysis:
    return analyse(text, NAME)


# ---------------------------------------------------------------- the text


def answer(given: str) -> str:
    """The problems of a `text` and, if it is right and holds a circuit, what is derived about that."""
    analysis = analysed(json.loads(given)["text"])
    circuit, derivation = analysis.circuit, analysis.derivation
    told = None if circuit is None or derivation is None else circuit_of(analysis, circuit, derivation)
    return json.dumps({"problems": [problem(p) for p in problems(analysis)], "circuit": told})


def problems(analysis: Analysis) -> list[Problem]:
    return [*checked(analysis), *derived(analysis)]


def problem(found: Problem) -> dict[str, Any]:
    start, end = place(found.span)
    title, _, rest = found.message.partition("\n")
    told = found.finding
    return {
        "from": start,
        "to": end,
        "line": found.span.line,
        "severity": found.severity.value,
        "code": found.code,
        "message": found.message,
        "title": title if told is None else told.title,
        "label": rest if told is None else told.label,
        "hint": None if told is None else told.hint,
    }


def fixes(given: str) -> str:
    """For each error of a `text` the ways out that can be taken at once: the title, and what to put where."""
    from circuitdsl.lsp.fixes import fixes as ways

    analysis = analysed(json.loads(given)["text"])
    found = [[] if p.finding is None else ways(analysis, p.finding) for p in problems(analysis)]
    return json.dumps([[{"title": f.title, "insert": f.edit.text, **at(f.edit.span)} for f in each] for each in found])


def hover(given: str) -> str:
    """What the word at a place `at` of a `text` means, as Markdown; None where there is nothing to say."""
    from circuitdsl.lsp.hover import hover as meaning

    asked = json.loads(given)
    analysis = analysed(asked["text"])
    found = meaning(analysis, characters(asked["text"], asked["at"]))
    return json.dumps(None if found is None else {"text": found.text, **at(found.span)})


def complete(given: str) -> str:
    """What may be written at a place `at` of a `text`."""
    from circuitdsl.lsp.completion import completions

    asked = json.loads(given)
    found = completions(analysed(asked["text"]), characters(asked["text"], asked["at"]))
    words = [{"label": word.label, "type": word.kind, "detail": word.detail} for word in found.words]
    return json.dumps({"words": words, **at(found.span)})


def at(span: Span) -> dict[str, int]:
    start, end = place(span)
    return {"from": start, "to": end}


def place(span: Span) -> tuple[int, int]:
    return units(span.source, span.start), units(span.source, span.end)


def units(source: Source, offset: int) -> int:
    """An offset in characters as one in UTF-16."""
    return offset + sum(ord(c) > 0xFFFF for c in source.text[:offset])


def characters(text: str, offset: int) -> int:
    """An offset in UTF-16 as one in characters."""
    return len(text.encode("utf-16-le")[: 2 * offset].decode("utf-16-le", "ignore"))


# ---------------------------------------------------------------- what is derived


def circuit_of(analysis: Analysis, circuit: ir.Circuit, derivation: Derivation) -> dict[str, Any]:
    name, about = headline(circuit)
    colours = {block.name: block.colour for block in analysis.blocks}
    return {
        "name": name,
        "about": about,
        "loss": circuit.loss is not None,
        "verdicts": [{"synapse": f.synapse, "text": in_short(f)} for f in learning(derivation)],
        "inlays": [inlay(each, analysis.source, colours) for each in inlays(analysis)],
        "blocks": [
            {
                "name": block.name,
                "route": block.route,
                "kind": block.kind,
                "layers": layers(block.indices) if block.indices else "",
                "rows": [{"label": row.label, "text": row.text, "place": row.place} for row in block.rows],
                "verdict": block.verdict,
                "colour": block.colour,
            }
            for block in analysis.blocks
        ],
        "together": [{"label": row.label.strip(), "text": row.text} for row in together(derivation)],
        "expects": [j.as_json() for j in analysis.judgements],
        "settings": settings_of(circuit, None, None).attributes(),
        "drawing": drawing(circuit, drawn(derivation)).svg(),
    }


def learning(derivation: Derivation) -> Iterator[Any]:
    return (found for found in derivation.findings.values() if found.role == "learning")


def inlay(found: Inlay, source: Source, colours: dict[str, str]) -> dict[str, Any]:
    colour = next((colours[name] for name in found.synapses if name in colours), "")
    colour = {"✓": "green", "✗": "red"}.get(found.label, colour)
    return {"at": units(source, found.offset), "label": found.label, "colour": colour}


def drawn(derivation: Derivation) -> dict[str, Told]:
    """What the drawing says of each synapse."""
    comes_to = attracted(derivation)
    return {
        name: Told(role=found.role, note=brief(found) or comes_to.get(name))
        for name, found in derivation.findings.items()
    }


# ---------------------------------------------------------------- what is trained


def settings_of(circuit: ir.Circuit, epochs: int | None, seed: int | None) -> Settings:
    """What a run in the page has, which trains on digits if the circuit does not say on what. Raises UsageError."""
    request = Request(epochs=epochs, seed=seed, data=None if circuit.tasks else "digits")
    return settle(circuit, request, numbers_of(circuit, {}))


def programs(given: str) -> str:
    """The module that trains the circuit of a `text` for some `epochs` from a `seed`, and that of its gradient twin, if
    it has a loss; with the task's settings where these are None. Or what is in the way."""
    from circuitdsl.runtime.javascript import run_module
    from circuitdsl.runtime.records import plan
    from circuitdsl.twin.gradient import twin

    asked = json.loads(given)
    graph = analysed(asked["text"]).circuit
    if graph is None:
        return json.dumps({"problem": "There is no circuit to run."})
    try:
        numbers = numbers_of(graph, {})
        settings = settings_of(graph, asked["epochs"], asked["seed"])
        metric = settings.task.metric if settings.task is not None else None
        probes = plan(graph, metric).probes[: 0 if metric is None else 1]
        made = {"circuit": run_module(graph, numbers, probes, settings=settings)}
        if graph.loss is not None:
            made["twin"] = run_module(twin(graph), numbers, probes, settings=settings)
    except (UsageError, ValueError) as error:
        return json.dumps({"problem": str(error)})
    told = {"metric": None if metric is None else metric.span.text, "settings": settings.attributes()}
    return json.dumps({"programs": made, **told})
