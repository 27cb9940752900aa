"""Every shipped circuit says what it is, where it comes from, and keeps what it expects."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import circuitdsl as cd
from circuitdsl.api import Request, judge_outcomes
from circuitdsl.graph import ir
from circuitdsl.graph.resolve import load_file
from circuitdsl.runtime.expects import metric_expects, needs_twin
from circuitdsl.shipped import library_path

LIBRARY = library_path()
FILES = sorted(LIBRARY.rglob("*.circ"))
NAMES = [p.relative_to(LIBRARY).as_posix() for p in FILES]
CIRCUITS = [name for name in NAMES if not name.startswith(("rules/", "motifs/"))]

#: Circuits of which the library promises a file.
PROMISED = {
    "heterosynaptic": "kolen_pollack kolen_pollack_deep feedback_alignment direct_feedback_alignment weight_mirror "
    "two_signal tied_feedback self_assembly self_assembly_linear",
    "classic": "delta_rule hebb oja bcm anti_hebb contrastive_hebbian three_factor node_perturbation cerebellum "
    "mushroom_body",
    "optimizers": "sgd momentum rmsprop adam weight_decay",
    "recurrent": "leaky_rate lif_stdp balanced",
    "metalearning": "local_rule",
}


def test_the_library_is_complete() -> None:
    promised = {f"{folder}/{name}.circ" for folder, names in PROMISED.items() for name in names.split()}
    assert promised <= set(CIRCUITS)


@pytest.mark.parametrize("name", NAMES)
def test_file_is_clean(name: str) -> None:
    """It loads without a warning; a note is allowed."""
    loaded = load_file(LIBRARY / name)
    assert [d.title for d in loaded.warnings if d.severity != "note"] == []


@pytest.mark.parametrize("name", NAMES)
def test_file_is_formatted(name: str) -> None:
    from circuitdsl.syntax.format import format_text
    from circuitdsl.syntax.parse import read_source

    source = read_source(LIBRARY / name)
    assert format_text(source) == source.text


@pytest.mark.parametrize("name", CIRCUITS)
def test_circuit_is_documented(name: str) -> None:
    """A first line that fits `circuitdsl list`, an explanation, and the source of its equations."""
    graph = cd.load(LIBRARY / name).ir
    assert graph.doc is not None
    first = graph.doc.strip().splitlines()[0]
    assert len(first) <= 110
    assert not first.startswith("Source")
    assert re.search(r"Source: \S[^.]*\w", graph.doc.replace("\n", " ")), "no source"
    assert graph.loss is not None
    assert graph.tasks


@pytest.mark.parametrize("name", CIRCUITS)
def test_circuit_says_what_it_expects(name: str) -> None:
    """Of its metric, and of synapses that there are."""
    graph = cd.load(LIBRARY / name).ir
    assert metric_expects(graph)
    judged = {s for e in graph.expects if isinstance(e, ir.ExpectVerdict) for s in e.synapses}
    assert judged <= set(graph.synapses)


@pytest.mark.parametrize("name", CIRCUITS)
def test_metric_expectations_hold(name: str) -> None:
    circuit = cd.load(LIBRARY / name)
    simulation = circuit.compile()
    outcome = simulation.execute(Request())
    assert outcome.run.diverged is None, outcome.run.diverged
    if needs_twin(circuit.ir):
        outcome = simulation.with_twin(outcome, Request())
    judged = judge_outcomes(circuit, [outcome], own_settings=True)
    assert [(j.text, j.value) for j in judged if not j.ok] == []


def test_a_broken_promise_is_noticed(tmp_path: Path) -> None:
    text = (LIBRARY / "classic/delta_rule.circ").read_text()
    (tmp_path / "broken.circ").write_text(re.sub(r"expect metric >= .*", "expect metric <= 0.5", text))
    circuit = cd.load(tmp_path / "broken.circ")
    outcome = circuit.compile().execute(Request())
    assert [j.ok for j in judge_outcomes(circuit, [outcome], own_settings=True)] == [False]
