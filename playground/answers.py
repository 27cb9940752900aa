"""What the page asks of a text, answered as JSON: problems, verdicts, derivation, and the program to train it by.

Runs in Pyodide with lark and circuitdsl alone. Places are offsets in UTF-16, as the editor counts them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from circuitdsl.derive.tell.brief import attracted, brief
from circuitdsl.derive.tell.derivation import Derivation, derive
from circuitdsl.derive.tell.expects import judge
from circuitdsl.derive.tell.layers import layers
from circuitdsl.derive.tell.outline import blocks, headline, together
from circuitdsl.diagnostics import CircuitError, Diagnostic, Source, Span
from circuitdsl.draw.drawing import drawing
from circuitdsl.draw.told import Told
from circuitdsl.graph import ir
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.graph.resolve import load_source
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.request import Request, Settings, settle

#: What the text is called in messages.
NAME = "circuit.circ"


def answer(given: str) -> str:
    """The problems of a `text` and, if it is right and holds a circuit, what is derived about that."""
    source = Source(NAME, json.loads(given)["text"])
    try:
        loaded = load_source(source, None)
    except CircuitError as error:
        return json.dumps({"problems": [problem(d, source) for d in error.diagnostics], "circuit": None})
    found, told = list(loaded.warnings), None
    if loaded.circuit is not None:
        derivation = derive(loaded.circuit)
        found += derivation.warnings
        told = circuit_of(loaded.circuit, derivation, source)
    return json.dumps({"problems": [problem(d, source) for d in found], "circuit": told})


def problem(found: Diagnostic, source: Source) -> dict[str, Any]:
    start, end = place(found.span, source)
    labels = [{"text": label.text, "line": label.span.line} for label in found.labels if label.span.source is source]
    return {
        "from": start,
        "to": end,
        "line": found.span.line if found.span is not None and found.span.source is source else None,
        "severity": found.severity.value,
        "code": found.code,
        "title": found.title,
        "label": found.label,
        "labels": labels,
        "notes": [" ".join(note.split()) for note in found.notes],
        "hint": found.hint,
    }


def place(span: Span | None, source: Source) -> tuple[int, int]:
    """Where a span stands; the start of the text for one that stands elsewhere."""
    if span is None or span.source is not source:
        return 0, 0
    return units(source.text[: span.start]), units(source.text[: span.end])


def units(text: str) -> int:
    return len(text) + sum(ord(c) > 0xFFFF for c in text)


# ---------------------------------------------------------------- what is derived


def circuit_of(circuit: ir.Circuit, derivation: Derivation, source: Source) -> dict[str, Any]:
    name, about = headline(circuit)
    return {
        "name": name,
        "about": about,
        "verdicts": list(verdicts(circuit, derivation, source)),
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
            for block in blocks(derivation)
        ],
        "together": [{"label": row.label.strip(), "text": row.text} for row in together(derivation)],
        "expects": [j.as_json() for j in judge(derivation)],
        "loss": circuit.loss is not None,
        "settings": settings_of(circuit, None, None).attributes(),
        "drawing": drawing(circuit, drawn(derivation)).svg(),
    }


def drawn(derivation: Derivation) -> dict[str, Told]:
    """What the drawing says of each synapse."""
    comes_to = attracted(derivation)
    return {
        name: Told(role=found.role, note=brief(found) or comes_to.get(name))
        for name, found in derivation.findings.items()
    }


def verdicts(circuit: ir.Circuit, derivation: Derivation, source: Source) -> Iterator[dict[str, Any]]:
    """The verdict on each learning synapse that is written in the text: where its line begins, and in short."""
    found: dict[tuple[int, str], list[str]] = {}
    for finding in derivation.findings.values():
        span = circuit.synapses[finding.synapse].span
        short = brief(finding)
        if short is None or span.source is not source:
            continue
        start = units(source.text[: source.line_starts[span.line - 1]])
        found.setdefault((start, short), []).append(finding.synapse)
    for (start, short), synapses in found.items():
        yield {"at": start, "text": short, "synapses": synapses}


# ---------------------------------------------------------------- what is trained


def settings_of(circuit: ir.Circuit, epochs: int | None, seed: int | None) -> Settings:
    """What a run in the page has, which trains on digits if the circuit does not say on what. Raises UsageError."""
    request = Request(epochs=epochs, seed=seed, data=None if circuit.tasks else "digits")
    return settle(circuit, request, numbers_of(circuit, {}))


def programs(given: str) -> str:
    """The module that trains the circuit of a `text` for some `epochs` from a `seed`, and that of its gradient twin, if
    it has a loss; with the task's settings where these are None. Or what is in the way."""
    from circuitdsl.api import loads  # here, so that the first verdict does not wait for it
    from circuitdsl.runtime.javascript import run_module
    from circuitdsl.runtime.records import plan
    from circuitdsl.twin.gradient import twin

    asked = json.loads(given)
    try:
        graph, numbers = loads(asked["text"], NAME).with_params({})
        settings = settings_of(graph, asked["epochs"], asked["seed"])
        metric = settings.task.metric if settings.task is not None else None
        probes = plan(graph, metric).probes[: 0 if metric is None else 1]
        made = {"circuit": run_module(graph, numbers, probes, settings=settings)}
        if graph.loss is not None:
            made["twin"] = run_module(twin(graph), numbers, probes, settings=settings)
    except (CircuitError, UsageError, ValueError) as error:
        return json.dumps({"problem": str(error)})
    told = {"metric": None if metric is None else metric.span.text, "settings": settings.attributes()}
    return json.dumps({"programs": made, **told})
