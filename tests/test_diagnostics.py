"""Messages: every check has a wrong circuit, a right one and its message in tests/circ, and rendering never fails.

`UPDATE_GOLDEN=1 pytest tests/test_diagnostics.py` writes the messages anew: read them before they are kept.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitdsl.codes import CODES
from circuitdsl.derive.tell.derivation import derive
from circuitdsl.diagnostics import (
    CircuitError,
    Diagnostic,
    Label,
    Report,
    Severity,
    Source,
    Span,
    did_you_mean,
    render,
)
from circuitdsl.graph.resolve import load_file

FOLDER = Path(__file__).resolve().parent / "circ"
WRONG = sorted(p.stem for p in FOLDER.glob("*.circ") if not p.stem.endswith(".valid"))
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def findings(name: str) -> tuple[Diagnostic, ...]:
    try:
        loaded = load_file(name)
        derived = derive(loaded.circuit).warnings if name.startswith("C08") and loaded.circuit is not None else ()
        return (*loaded.warnings, *derived)
    except CircuitError as error:
        return error.diagnostics


# ---------------------------------------------------------------- the messages


@pytest.fixture(autouse=True)
def in_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages name files as they were given."""
    monkeypatch.chdir(FOLDER)


@pytest.mark.parametrize("name", WRONG)
def test_message(name: str) -> None:
    found = findings(f"{name}.circ")
    text = "\n\n".join(render(d, width=100) for d in found) + "\n"
    text = re.sub(r"this machine has [\d,]+ GB", "this machine has 16 GB", text)
    golden = FOLDER / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert {d.code for d in found} == {name[:4]}


def test_every_circuit_without_a_mistake_has_one_with_it() -> None:
    assert {p.name.removesuffix(".valid.circ") for p in FOLDER.glob("*.valid.circ")} == set(WRONG)


@pytest.mark.parametrize("name", WRONG)
def test_the_circuit_without_the_mistake(name: str) -> None:
    assert [render(d) for d in findings(f"{name}.valid.circ")] == []


@pytest.mark.parametrize("name", WRONG)
def test_what_a_message_holds(name: str) -> None:
    for found in findings(f"{name}.circ"):
        assert found.span is not None
        assert "\n" not in found.title
        assert "`" in found.title
        assert len(found.title) <= 110
        assert not found.title.endswith(".")
        assert found.label or found.hint or found.notes or found.labels
        assert found.span.start < found.span.end
        json.dumps(found.as_json())


def test_arguments_of_rules_and_motifs_do_not_shadow(tmp_path: Path) -> None:
    path = tmp_path / "same_names.circ"
    path.write_text("""
        rule hebb(h, eta) = eta * h * pre
        motif layer(x, eta) {
          neuron a: 3 { dendrite basal   rate = relu(basal) }
          synapse W: x -> a { dw = hebb(post, eta) }
        }
        circuit c {
          param eta = 0.1
          input x: 4
          use layer as h(x = x, eta = eta)
          loss = mean(h.a)
        }
    """)
    assert findings(str(path)) == ()


def test_every_code_of_the_checks_has_a_circuit() -> None:
    assert {name[:4] for name in WRONG} == {name for name, code in CODES.items() if code.wrong}


def test_no_message_is_left_over() -> None:
    assert sorted(p.stem for p in FOLDER.glob("*.txt")) == WRONG


# ---------------------------------------------------------------- rendering

TEXT = """\
circuit c {
  neuron h: 64 { dendrite basal, apical   rate = relu(basal) }
  synapse W1: x -> h.basal { dw = eta * out * pre }
\tneuron 神経: 3 { rate = x\t+ y }
  schedule {
    phase a: 20 train
    phase b: 20 train
    phase c: 20 train
    phase d: 20 train
    phase e: 20 train
  }
}
"""
SOURCE = Source("motif.circ", TEXT)


def at(piece: str, occurrence: int = 0) -> Span:
    start = -1
    for _ in range(occurrence + 1):
        start = TEXT.index(piece, start + 1)
    return Span(SOURCE, start, start + len(piece))


def rendered(span: Span | None, label: str = "", *labels: Label, width: int = 80, hint: str | None = None) -> str:
    return render(
        Diagnostic(code="C031", title="`W1` reads `out`", span=span, label=label, labels=labels, hint=hint), width=width
    )


def test_layout() -> None:
    text = render(
        Diagnostic(
            code="C031",
            title="`W1` reads `out`, which is neither its neuron nor a partner of it",
            span=at("out"),
            label="a signal of another population",
            labels=(Label(at("h"), "W1 ends on this population"),),
            notes=("a synapse can use only what is present at it: w, pre, post, modulators, partners",),
            hint="bring it in by a synapse (`synapse V: out -> h.apical`) and then read `post.apical`",
        ),
        width=80,
    )
    assert text == (
        "error[C031]: `W1` reads `out`, which is neither its neuron nor a partner of it\n"
        "  ┌─ motif.circ:3:41\n"
        "  │\n"
        "2 │   neuron h: 64 { dendrite basal, apical   rate = relu(basal) }\n"
        "  │          ─ W1 ends on this population\n"
        "3 │   synapse W1: x -> h.basal { dw = eta * out * pre }\n"
        "  │                                         ^^^ a signal of another population\n"
        "  │\n"
        "  = a synapse can use only what is present at it: w, pre, post, modulators,\n"
        "    partners\n"
        "  = hint: bring it in by a synapse (`synapse V: out -> h.apical`) and then read\n"
        "    `post.apical`"
    )


def test_a_long_label_is_wrapped() -> None:
    lines = rendered(at("dw"), "a label that is much longer than what is left of the line it stands on").splitlines()
    assert lines[4:] == [
        "  │                              ^^ a label that is much longer than what is",
        "  │                                 left of the line it stands on",
    ]
    lines = rendered(at("pre"), "a label for which there is too little left beside it").splitlines()
    assert lines[4:] == [
        "  │                                               ^^^",
        "  │                                               │",
        "  │                                     a label for which there is too little",
        "  │                                     left beside it",
    ]


def test_several_spans_on_a_line() -> None:
    lines = rendered(at("out"), "this", Label(at("W1"), "the synapse"), Label(at("h.basal"), "its end")).splitlines()
    assert lines[4:] == [
        "  │           ──       ───────              ^^^ this",
        "  │           │        │",
        "  │           │        its end",
        "  │           the synapse",
    ]


def test_spans_within_each_other() -> None:
    lines = rendered(at("out"), "this", Label(at("eta * out * pre"), "the whole")).splitlines()
    assert lines[4:] == [
        "  │                                         ^^^ this",
        "  │                                   ─────────────── the whole",
    ]


def test_tabs_and_wide_characters() -> None:
    """The tab counts as four columns, each ideogram as two."""
    lines = rendered(at("y }"), "here", Label(at("神経"), "there")).splitlines()
    assert lines[3] == "4 │     neuron 神経: 3 { rate = x   + y }"
    assert lines[4] == "  │            ────                   ^^^ here"


def test_a_span_of_several_lines() -> None:
    whole = Span(SOURCE, TEXT.index("schedule"), TEXT.index("\n}"))
    assert rendered(whole, "all of it").splitlines()[1:] == [
        "   ┌─ motif.circ:5:3",
        "   │",
        " 5 │ ╭   schedule {",
        " 6 │ │     phase a: 20 train",
        "   │ ⋮",
        "10 │ │     phase e: 20 train",
        "11 │ │   }",
        "   │ ╰───^ all of it",
    ]


def test_a_span_of_several_lines_around_the_place() -> None:
    around = Span(SOURCE, TEXT.index("phase b"), TEXT.index("\n    phase e"))
    assert rendered(at("phase c"), "this", Label(around, "these")).splitlines()[3:] == [
        "7 │ ╭     phase b: 20 train",
        "8 │ │     phase c: 20 train",
        "  │ │     ^^^^^^^ this",
        "9 │ │     phase d: 20 train",
        "  │ ╰─────────────────────╯ these",
    ]


def test_a_long_line_is_cut_around_the_span() -> None:
    source = Source("long.circ", "rate = " + "a + " * 100 + "BAD" + " + b" * 100)
    start = source.text.index("BAD")
    lines = rendered(Span(source, start, start + 3), "this one").splitlines()
    assert lines[1] == f"  ┌─ long.circ:1:{start + 1}"
    assert all(len(line) <= 80 for line in lines)
    assert lines[3].startswith("1 │ …")
    assert lines[3].endswith("…")
    column = lines[3].index("BAD")
    assert lines[4] == "  │".ljust(column) + "^^^ this one"


def test_another_file() -> None:
    other = Source("rules.circ", "rule r(a) = a\n")
    text = rendered(at("out"), "", Label(Span(other, 5, 6), "defined here"))
    assert "  ┌─ rules.circ:1:6\n  │\n1 │ rule r(a) = a\n  │      ─ defined here" in text


def test_the_end_of_a_file_and_an_empty_one() -> None:
    end = Span(SOURCE, len(TEXT), len(TEXT))
    assert rendered(end, "here").splitlines()[3:] == ["13 │", "   │ ^ here"]
    empty = Source("empty.circ", "")
    assert rendered(Span(empty, 0, 0), "here").splitlines()[3:] == ["1 │", "  │ ^ here"]
    assert rendered(None, hint="look").splitlines()[1:] == ["  = hint: look"]


def test_color_only_if_asked() -> None:
    found = Diagnostic(code="C012", title="`v`", span=at("out"), label="x", severity=Severity.WARNING)
    assert "\x1b" not in render(found)
    painted = render(found, color=True)
    assert painted.startswith("\x1b[1;33mwarning[C012]\x1b[0m: ")
    assert re.sub(r"\x1b\[[\d;]*m", "", painted) == render(found)


def test_a_text_cannot_command_the_terminal() -> None:
    source = Source("\x1b[2J.circ", "rate = \x1b[31m \x9b \u202e x\x00")
    found = Diagnostic(
        code="C005", title="`\x1b[31m`\nx", span=Span(source, 7, 9), label="\x07", hint="\x1b]0;title\x07",
    )  # fmt: skip
    text = render(found)
    assert not CONTROL.search(text)
    assert "\x9b" not in text
    assert "\u202e" not in text
    assert text.startswith("error[C005]: `␛[31m` x\n")


def test_the_terminal_width_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Diagnostic(code="C031", title="`out`", span=at("out"), label="x", notes=("word " * 60,))
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, render(found).splitlines())) <= 60
    monkeypatch.setenv("COLUMNS", "90")
    assert 60 < max(map(len, render(found).splitlines())) <= 90


@st.composite
def marked(draw: st.DrawFn) -> Diagnostic:
    """Any text with any spans."""
    letters = st.sampled_from(list("ab {}=\t\n\r\x00\x1b日é\u0301\u202e\ufeff😀\u2028"))
    source = Source("any.circ", draw(st.text(letters, max_size=200)))
    places = st.integers(0, len(source.text))
    words = st.text(letters, max_size=60)

    def span() -> Span:
        start, end = sorted((draw(places), draw(places)))
        return Span(source, start, end)

    labels = tuple(Label(span(), draw(words)) for _ in range(draw(st.integers(0, 3))))
    return Diagnostic(
        code="C001", title=draw(words), span=span(), label=draw(words), labels=labels, notes=(draw(words),),
        hint=draw(words),
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(found=marked(), width=st.integers(0, 200), color=st.booleans())
def test_anything_can_be_rendered(found: Diagnostic, width: int, color: bool) -> None:
    text = render(found, color=color, width=width)
    lines = re.sub(r"\x1b\[[\d;]*m", "", text).split("\n")
    assert not any(CONTROL.search(line) for line in lines)
    assert found.span is not None
    assert f"any.circ:{found.span.line}:{found.span.column}" in text
    assert "^" in text
    json.dumps(found.as_json())


# ---------------------------------------------------------------- spans and reports


def test_positions() -> None:
    span = at("h.basal")
    assert (span.line, span.column, span.end_line, span.end_column) == (3, 20, 3, 27)
    assert span.shown == "h.basal"
    assert Span(SOURCE, 0, len(TEXT)).shown == "circuit c { neuron h: 64 { den … : 20 train } }"


def test_json() -> None:
    found = Diagnostic(
        code="C031", title="`out`", span=at("out"), label="here", labels=(Label(at("W1"), "there"),), notes=("so",)
    )
    assert found.as_json() == {
        "code": "C031", "severity": "error", "title": "`out`", "file": "motif.circ",
        "line": 3, "column": 41, "end_line": 3, "end_column": 44, "label": "here",
        "labels": [
            {"text": "there", "file": "motif.circ", "line": 3, "column": 11, "end_line": 3, "end_column": 13}
        ],
        "notes": ["so"], "hint": None,
    }  # fmt: skip


def test_a_report_gives_one_finding_for_each_place_and_code() -> None:
    report = Report()
    for title, span in (("first", at("out")), ("again", at("out")), ("elsewhere", at("W1"))):
        report.add(Diagnostic(code="C031", title=title, span=span))
    report.add(Diagnostic(code="C032", title="another", span=at("out")))
    assert [d.title for d in report.found] == ["first", "elsewhere", "another"]
    with pytest.raises(CircuitError) as error:
        report.stop_if_failed()
    assert len(error.value.diagnostics) == 3


def test_a_finding_inside_a_motif_shows_where_the_motif_is_used() -> None:
    report = Report()
    whole = Span(SOURCE, 0, len(TEXT))
    with report.within([at("W1"), whole], "used here"):
        report.add(Diagnostic(code="C031", title="inside", span=at("out")))
    report.add(Diagnostic(code="C031", title="outside", span=at("pre")))
    assert [d.labels for d in report.found] == [(Label(at("W1"), "used here"),), ()]


def test_did_you_mean() -> None:
    assert did_you_mean("apicl", ["basal", "apical"]) == "did you mean `apical`?"
    assert did_you_mean("BASAL", ["basal", "apical"]) == "did you mean `basal`?"
    assert did_you_mean("x", ["basal", "apical"]) is None
    assert did_you_mean("sin", ["sign"], likeness=0.9) is None
