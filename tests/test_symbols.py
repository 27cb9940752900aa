"""The map from names to declarations and uses, held against the compiler: with every name changed it reads the same."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest
from generate import random_circuit
from grammar_texts import REPOSITORY, circuit_files

import circuitdsl as cd
from circuitdsl.diagnostics import Source, Span
from circuitdsl.graph.files import FileScope
from circuitdsl.graph.resolve import Loaded, load_file, load_text
from circuitdsl.graph.symbols import Symbols, symbols_of

VALID = sorted((REPOSITORY / "tests" / "circ").glob("*.valid.circ"))
MARK = "_x"


def renamed(source: Source, symbols: Symbols) -> str:
    """The text with a mark behind every name of it."""
    text = source.text
    for span in sorted({span for span, _ in symbols.in_text(source)}, key=lambda s: -s.start):
        text = text[: span.end] + MARK + text[span.end :]
    return text


def write_renamed(file: FileScope, place: Path, symbols: Symbols) -> None:
    """The file and what it imports, each where its importer looks first."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(renamed(file.tree.span.source, symbols))
    for item, imported in file.imports:
        write_renamed(imported, place.parent / item.path.value, symbols)


def shape(loaded: Loaded) -> list[str]:
    """Everything that is named in a checked circuit, with its equations, without the marks."""
    circuit = loaded.circuit
    if circuit is None:
        return []
    told = [*circuit.values.values(), *circuit.synapses.values(), *circuit.params.values(), *circuit.tasks.values()]
    entities = [re.sub(r"data_span=Span\(.*?\), data_arg", "data_arg", repr(each)) for each in told]
    entities += [repr(circuit.loss), repr(circuit.schedule), repr(circuit.coefficients)]
    shown = "\n".join(entities).replace(MARK, "")
    return sorted(re.sub(r"occurrence=\d+|of=\w+", "", shown).split("\n"))


@pytest.mark.parametrize("path", [*circuit_files(), *VALID[::2]], ids=lambda p: p.stem)
def test_with_every_name_changed_a_circuit_is_the_same(path: Path, tmp_path: Path) -> None:
    loaded = load_file(path)
    write_renamed(loaded.files, tmp_path / path.name, symbols_of(loaded.files))
    again = load_file(tmp_path / path.name)
    assert shape(again) == shape(loaded)
    assert [w.code for w in again.warnings] == [w.code for w in loaded.warnings]


@pytest.mark.parametrize("seed", range(24))
def test_with_every_name_changed_a_generated_circuit_is_the_same(seed: int, tmp_path: Path) -> None:
    loaded = load_text(random_circuit(Random(seed)))
    write_renamed(loaded.files, tmp_path / "mine.circ", symbols_of(loaded.files))
    assert shape(load_file(tmp_path / "mine.circ")) == shape(loaded)


@pytest.mark.parametrize("path", circuit_files(), ids=lambda p: p.stem)
def test_no_name_is_left_over(path: Path) -> None:
    """Every name that is declared anywhere in a text is known wherever else it stands as a word of an equation."""
    loaded = load_file(path)
    symbols = symbols_of(loaded.files)
    for symbol in symbols.all:
        assert {span.text for span in symbol.places} == {symbol.name}
        assert symbol.declarations
        assert not set(symbol.declarations) & set(symbol.uses)
    places = [span for symbol in symbols.all for span in symbol.places]
    assert len(places) == len(set(places))


TEXT = """
rule leaky(signal, rho) = signal * pre.sent - rho * w

motif unit(below, n) {
  neuron a: n { dendrite basal   let sent = 2 * basal   rate = relu(sent) }
  synapse W: below -> a.basal { state m = 0   dm = leaky(post.sent, 0.1) - m   dw = m }
}

circuit mine {
  param eta = 0.1
  param c per V = 0.5
  input x: 4
  target y: 2
  for l in 1..2 { use unit as L[l](below = L[l-1].a, n = 4) }
  neuron z: 4 { dendrite basal   let sent = basal   rate = x + basal }
  alias L[0].a = z
  neuron out: 2 { dendrite basal   rate = basal }
  synapse V: L[2].a -> out { dw = c * eta * post * pre   init = zeros }
  schedule { phase free: 3 }
  loss = mse(out, y) at free
  for l in 1..2 { record norm(L[l].W) }
}
"""


def places(spans: tuple[Span, ...]) -> list[tuple[int, int]]:
    return [(s.line, s.column) for s in spans]


def lines_of(symbols: Symbols, path: str) -> tuple[list[int], list[int]]:
    return [s.line for s in symbols[path].declarations], [s.line for s in symbols[path].uses]


@pytest.mark.parametrize(
    ("path", "declared", "used"),
    [
        ("eta", [10], [18]),
        ("c", [11], [18]),
        ("V", [18], [11]),
        ("unit", [4], [14]),
        ("unit.below", [4], [6, 14]),
        ("unit.a", [5, 16], [6, 14, 18]),  # the alias has the name by which the loop reads it
        ("unit.a.sent", [5, 15], [2, 5, 6]),
        ("unit.W", [6], [21]),
        ("unit.W.m", [6], [6, 6, 6]),
        ("leaky", [2], [6]),
        ("leaky.rho", [2], [2]),
        ("L", [14], [14, 16, 18, 21]),
        ("free", [19], [20]),
        ("mine", [9], []),
    ],
)
def test_places_of_a_name(path: str, declared: list[int], used: list[int]) -> None:
    symbols = cd.loads(TEXT).symbols
    assert lines_of(symbols, path) == (declared, used)


def test_loops_have_variables_of_their_own() -> None:
    symbols = cd.loads(TEXT).symbols
    loops = [s for s in symbols.all if s.name == "l"]
    assert [len(s.uses) for s in loops] == [2, 1]
    assert symbols["l"] is loops[0]


def test_the_symbol_at_a_place() -> None:
    loaded = load_text(TEXT)
    symbols = symbols_of(loaded.files)
    for span, symbol in symbols.in_text(loaded.source):
        assert symbols.at(loaded.source, span.start) == (symbol, span)
        assert symbols.at(loaded.source, span.end) == (symbol, span)
    assert symbols.at(loaded.source, 0) is None
    assert set(symbols) == {s.path for s in symbols.all}


def test_what_is_not_used_has_its_names_too() -> None:
    symbols = symbols_of(load_text("rule r(a) = a * w\nmotif m(n) { neuron h: n { dendrite d rate = d } }").files)
    assert places(symbols["m.h.d"].uses) == [(2, 46)]
    assert places(symbols["r.a"].uses) == [(1, 13)]
