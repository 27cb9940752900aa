"""The tree of a broken text."""

from __future__ import annotations

from pathlib import Path

import pytest
from grammar_texts import EVERYTHING, FIRST, REPOSITORY, circuit_files

from circuitdsl.diagnostics import Report, Source
from circuitdsl.graph.files import load_files
from circuitdsl.graph.symbols import Symbols, symbols_of
from circuitdsl.syntax.errors.salvage import salvage
from circuitdsl.syntax.parse import parse

BROKEN = sorted((REPOSITORY / "tests" / "circ").glob("C00[1-5]*.circ"))


def names(text: str) -> Symbols:
    return symbols_of(load_files(salvage(Source("text", text)), None, Report()))


@pytest.mark.parametrize("text", [EVERYTHING, *(p.read_text() for p in circuit_files())], ids=lambda t: t[:20])
def test_of_a_right_text_it_is_the_whole_tree(text: str) -> None:
    source = Source("text", text)
    assert salvage(source) == parse(source)


@pytest.mark.parametrize("path", BROKEN, ids=lambda p: p.stem)
def test_every_broken_text_has_a_tree(path: Path) -> None:
    assert salvage(Source("text", path.read_text())).items


def test_a_text_that_stops_anywhere_has_a_tree() -> None:
    for end in range(0, len(FIRST), 7):
        found = names(FIRST[:end])
        assert end < 700 or {"eta", "x", "h.basal", "h.apical", "hetero.signal"} <= set(found)


BREAKS = [
    ("rate = relu(basal)", "rate = relu(", "h"),
    ("rate = relu(basal)", "rate = ", "h.apical"),
    ("rate = relu(basal)\n  }", "rate = relu(basal)", "out"),
    ("param gamma = 0.002", "param gamma = ", "W2"),
    ("param gamma = 0.002", "param gam", "eta"),
    ("target y: 10", "target y: 10 }", "x"),
    ("dw = eta * err * pre", "dw = eta * @ err * pre", "V2"),
    ("loss = cross_entropy(out, y)", "loss = cross_entropy(out, ", "digits"),
    ("synapse W1: x   -> h.basal", "synapse W1: x -> h.", "W2"),
    ("rule hetero(signal, eta, gamma) =", "rule hetero(signal, eta, gamma)", "W1"),
    ("neuron h: 64 {", "neuron h: 64 ", "out"),
]


@pytest.mark.parametrize(("old", "new", "known"), BREAKS)
def test_what_stands_around_a_fault_keeps_its_names(old: str, new: str, known: str) -> None:
    assert old in FIRST
    found = names(FIRST.replace(old, new, 1))
    assert {known, "kolen_pollack"} <= set(found)
    assert known == "eta" or found[known].uses or known == "digits" or found[known].declarations


def test_words_stand_where_they_stood() -> None:
    text = FIRST.replace("rate = relu(basal)", "rate = relu(", 1)
    for symbol in names(text).all:
        for span in symbol.places:
            assert text[span.start : span.end] == symbol.name
