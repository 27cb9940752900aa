"""What editors ask of a text, without an editor: problems, hover, inlays, completion, fixes, names, columns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from generate import random_circuit
from grammar_texts import FIRST, REPOSITORY

from circuitdsl.diagnostics import Source
from circuitdsl.graph.calls import CALLS
from circuitdsl.graph.settings import VERDICTS
from circuitdsl.lsp import problems, rename, verdicts
from circuitdsl.lsp.analysis import Analysis, analyse
from circuitdsl.lsp.columns import Encoding, Position, offset_of, position_of
from circuitdsl.lsp.completion import completions
from circuitdsl.lsp.fixes import fixes
from circuitdsl.lsp.hover import hover
from circuitdsl.lsp.outline import outline
from circuitdsl.lsp.workspace import Workspace

TEXT = FIRST.replace("hetero(post.apical,", "hetero(post.apical * step(post.basal),")
WRONG = [p for p in sorted((REPOSITORY / "tests" / "circ").glob("*.circ")) if ".valid" not in p.name]


def readable(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8", "utf-32"])
def test_columns_there_and_back(encoding: Encoding) -> None:
    text = "a𝒟b\r\n🧠🧠 é\n\rlast𝒟"
    source = Source("", text)
    for offset in range(len(text) + 1):
        if text[offset - 1 : offset + 1] == "\r\n":
            continue  # within a line end there is no place
        assert offset_of(source, position_of(source, offset, encoding), encoding) == offset
    assert offset_of(source, Position(99, 0), encoding) == len(text)
    assert offset_of(source, Position(0, 99), encoding) == 3


def test_columns_are_those_of_the_encoding() -> None:
    source = Source("", "x\n🧠é h")
    at = source.text.index("h")
    assert position_of(source, at) == Position(1, 4)
    assert position_of(source, at, "utf-8") == Position(1, 7)
    assert position_of(source, at, "utf-32") == Position(1, 3)
    assert offset_of(source, Position(1, 1)) == 2  # within 🧠


# ---------------------------------------------------------------- robustness


@pytest.mark.parametrize("path", WRONG[1::6], ids=lambda p: p.stem)
def test_every_answer_is_given_for_a_wrong_text(path: Path) -> None:
    text = readable(path)
    analysis = analyse(text, path.name, path.parent)
    found = [*problems.checked(analysis), *problems.derived(analysis)]
    assert all(p.span.source is analysis.source for p in found)
    outline(analysis)
    verdicts.inlays(analysis)
    for offset in range(0, len(text), max(1, len(text) // 12)):
        hover(analysis, offset)
        rename.named_at(Workspace(), analysis, offset)
        completions(analysis, offset)


# ---------------------------------------------------------------- problems and fixes


def test_an_expectation_that_does_not_hold_is_a_problem() -> None:
    analysis = analyse(TEXT.replace("expect W1: gradient", "expect W1: ascent"))
    (found,) = problems.derived(analysis)
    assert found.code == problems.EXPECT
    assert found.span.text == "expect W1: ascent"
    assert "W1: gradient" in found.message
    assert [i.label for i in verdicts.inlays(analysis)].count("✗") == 1
    assert list(problems.derived(analyse(TEXT))) == []


def test_what_is_wrong_in_an_import_stands_at_the_import(tmp_path: Path) -> None:
    (tmp_path / "r.circ").write_text("rule r(a) = a * ")
    analysis = analyse('import "r.circ"\ncircuit c { input x: 2 neuron h: 2 { rate = x } record h }', "c", tmp_path)
    (found,) = problems.checked(analysis)
    assert found.span.text == '"r.circ"'
    assert Path(found.related[0].span.source.name).name == "r.circ"


FIXED = [
    ("relu(basal)", "relu(bassal)", "relu(basal)"),
    ("softmax(basal)", "sofmax(basal)", "softmax(basal)"),
    ("err * pre", "err * h", "err * pre"),
    ("h.apical ", "h.apicl ", "h.apical "),
    ("0.002", "0,002", None),
    ("task digits {", "param unused = 3\n  task digits {", ""),
    ("y - out", "y − out", "y - out"),
]


@pytest.mark.parametrize(("old", "wrong", "right"), FIXED)
def test_a_hint_becomes_a_fix(old: str, wrong: str, right: str | None) -> None:
    assert old in TEXT
    analysis = analyse(TEXT.replace(old, wrong, 1))
    made = [fix.edit.applied() for p in problems.checked(analysis) if p.finding for fix in fixes(analysis, p.finding)]
    if right is None:
        assert all(analyse(text).loaded is not None for text in made)
    else:
        assert (TEXT if right else TEXT.replace(old, wrong, 1).replace("param unused = 3\n", "")) in [
            text.replace("  \n  task", "  task") for text in made
        ] or TEXT in made


def test_offered_is_only_what_helps() -> None:
    """Of all wrong texts: a fix takes its finding away and brings no error; and many findings have one."""
    found = offered = 0
    for path in WRONG[::5]:
        if b"\xff" in path.read_bytes():
            continue
        analysis = analyse(readable(path), path.name, path.parent)
        for finding in analysis.found[:1]:
            found += finding.hint is not None
            ways = fixes(analysis, finding)
            offered += bool(ways)
            for fix in ways[:1]:
                after = analyse(fix.edit.applied(), path.name, path.parent)
                assert finding.title not in {d.title for d in after.found if d.span == finding.span}
                errors = [sum(d.severity == "error" for d in a.found) for a in (analysis, after)]
                assert errors[1] <= errors[0]
    assert offered > 0.55 * found


def test_an_import_is_added() -> None:
    analysis = analyse("circuit c {\n  input x: 2\n  neuron h: 2 { dendrite d rate = d }\n"
                       "  synapse W: x -> h { dw = hetero(post, 0.1, 0.1) }\n  record h\n}\n")  # fmt: skip
    (fix,) = fixes(analysis, analysis.found[0])
    assert fix.edit.applied().startswith('import "rules/heterosynaptic.circ"\ncircuit c {')


# ---------------------------------------------------------------- hover and inlays


def at(analysis: Analysis, text: str, nth: int = 0) -> int:
    offset = -1
    for _ in range(nth + 1):
        offset = analysis.source.text.index(text, offset + 1)
    return offset


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("W1: x", ("Δw = η", "gradient  δ_h", "⇒ gradient, proved", "Assumes:", "one_hot(y)")),
        ("W2: h", ("⇒ exact, proved", "one_hot(y)")),
        ("V2: err", ("auxiliary", "V2 − W2ᵀ")),
        ("synapse W1", ("⇒ gradient, proved",)),
        ("dw = hetero", ("⇒ gradient, proved",)),
        ("rate = relu", ("**neuron** `h`",)),
        ("eta   =", ("Value: 0.1", "--set eta", "`W1`, `W2`, `V2`")),
        ("h: 64", ("64 units", "`h.basal`: `W1` from `x`", "`W2` to `out.basal`")),
        ("err: 10", ("wired one-to-one from: `y`, `out`", "one-to-one wiring: the teaching pathway")),
        ("apical\n", ("driven by `V2`",)),
        ("relu(", ("relu(x)", "max(x, 0)")),
        ("pre -", ("presynaptic rate",)),
        ("hetero(signal", ("rule hetero(signal, eta, gamma)",)),
        ("kolen_pollack", ("`W1` gradient, proved", "Kolen & Pollack 1994")),
        ("loss =", ("The loss of this circuit.",)),
        ("fan_in", ("number of weights per postsynaptic unit",)),
    ],
)  # fmt: skip
def test_hover_says_what_a_name_means(place: str, said: tuple[str, ...]) -> None:
    analysis = analyse(TEXT)
    found = hover(analysis, at(analysis, place))
    assert found is not None
    for words in said:
        assert words in found.text


def test_hover_in_a_broken_text_says_what_is_declared() -> None:
    analysis = analyse(TEXT.replace("rate = softmax(basal)", "rate = softmax("))
    found = hover(analysis, at(analysis, "W1: x"))
    assert found is not None
    assert "synapse W1: x" in found.text
    assert "waits" in found.text


def test_an_inlay_stands_at_the_use_of_a_motif() -> None:
    path = REPOSITORY / "circuits" / "heterosynaptic" / "self_assembly.circ"
    analysis = analyse(path.read_text(), str(path), path.parent)
    found = [(analysis.source.line_text(analysis.source.position(i.offset)[0]).split()[0], i.label)
             for i in verdicts.inlays(analysis)]  # fmt: skip
    assert found[0] == ("use", "⇒ W: gradient, derived")
    assert ("synapse", "⇒ exact, proved") in found
    assert ("expect", "✓") in found


# ---------------------------------------------------------------- completion


def labels(text: str) -> set[str]:
    """What may be written at the `|` of a text."""
    offset = text.index("|")
    known = analyse(TEXT).circuit
    return {c.label for c in completions(analyse(text.replace("|", "", 1)), offset, known).words}


@pytest.mark.parametrize(
    ("old", "new", "among", "not_among"),
    [
        ("h.basal ", "h.| ", "apical basal", "eta W1 relu neuron"),
        ("post.apical", "post.ap|", "apical basal", "eta"),
        ("err * pre - eta * gamma * w", "|", "w pre post err eta hetero step", "h out softmax mse W2"),
        ("rate = relu(basal)", "rate = relu(|", "basal apical eta softmax prev", "mse w W1"),
        ("loss = cross_entropy(out, y)", "loss = |", "cross_entropy mse out y eta", "w W1 basal"),
        ("cross_entropy(out, y)", "cross_entropy(out, y) |", "at over expect task", "out"),
        ("expect W1: gradient", "expect |", "W1 W2 metric attractor", "h eta"),
        ("expect W1: gradient", "expect W1: |", " ".join(VERDICTS), "W1"),
        ("err -> h.apical", "|", "err h x prev bias", "W1 eta relu"),
        ("err -> h.apical", "err -> |", "h out", "x y eta"),
        ("  loss =", "  |\n  loss =", "neuron synapse expect task modulator", "dendrite eta stage"),
        ("    rate = relu", "    |\n    rate = relu", "dendrite state let rate", "neuron spike"),
        ("V2: err -> h.apical  {", "V2: err -> h.apical {|", "init dw connect sign bounds state drive", "neuron let"),
        ("init = normal", "init = |", "normal zeros transpose eta fan_in", "h"),
        ("seed = 0", "|", "seed data metric epochs", "eta"),
        ("circuit kolen", 'import "|"\ncircuit kolen', "rules/hebbian.circ motifs/sal.circ", "classic/hebb.circ"),
        ("# one-to-one", "# one|", "", "out eta"),
        ("hetero(post,", "hetero(|,", "post eta signal\xa0=", "h"),
    ],
)  # fmt: skip
def test_completion_knows_the_place(old: str, new: str, among: str, not_among: str) -> None:
    assert old in TEXT
    found = labels(TEXT.replace(old, new, 1))
    assert {word.replace("\xa0", " ") for word in among.split(" ")} - {""} <= found
    assert not set(not_among.split()) & found


def test_what_is_completed_can_stand_there() -> None:
    """In generated circuits: a name that is offered in place of one brings no syntax error and no unknown name."""
    for seed in (1,):
        text = random_circuit(Random(seed))
        analysis = analyse(text)
        spans = [s for s, symbol in analysis.symbols.in_text(analysis.source) if s in symbol.uses]
        spans = [s for s in spans if not text[s.start - 1].isalnum()]  # not the `m` of `dm`
        for span in spans[:: max(1, len(spans) // 5)]:
            offered = completions(analysis, span.start, analysis.circuit).words
            assert span.text in {c.label for c in offered}, (text, span)
            names = [c.label for c in offered if c.kind not in ("keyword", "function", "rule", "argument", "word")]
            for name in names[:: max(1, len(names) // 3)]:
                found = analyse(text[: span.start] + name + text[span.end :]).found
                assert not {d.code for d in found} & {"C001", "C002", "C003", "C005"}, (span.text, name)


# ---------------------------------------------------------------- names


def renamed(text: str, place: str, new: str, nth: int = 0) -> str:
    analysis = analyse(text)
    edits = rename.rename(Workspace(), analysis, at(analysis, place, nth), new)
    return rename.replaced(text, edits[None], new)


def test_a_rename_is_the_same_circuit() -> None:
    found = renamed(TEXT, "apical", "distal")
    assert found == TEXT.replace("apical", "distal")
    assert renamed(found, "distal", "apical", 2) == TEXT
    assert renamed(TEXT, "gamma =", "relu").count("relu") > TEXT.count("relu")  # special before `(` only


@pytest.mark.parametrize(
    ("place", "new", "why"),
    [
        ("eta   =", "gamma", "line 5"),
        ("h: 64", "out", "already has a meaning"),
        ("basal, ", "apical", "already has a meaning"),
        ("hetero(signal", "softmax", "function of the language"),
        ("hetero(signal", "for", "keyword"),
        ("signal,", "eta", "already has a meaning"),
        ("W1: x", "pre", "built in"),
        ("W1: x", "1W", "not a name"),
    ],
)
def test_a_clash_is_refused(place: str, new: str, why: str) -> None:
    with pytest.raises(rename.Refused, match=why):
        renamed(TEXT, place, new)


def test_a_name_that_would_be_captured_is_refused() -> None:
    """`gain` of the circuit is read in the neuron, where `g` is a let already."""
    text = "circuit c {\n  param gain = 2\n  input x: 2\n  neuron h: 2 { let g = x   rate = gain * g }\n  record h\n}\n"
    with pytest.raises(rename.Refused, match="already has a meaning"):
        renamed(text, "gain", "g")


# ---------------------------------------------------------------- what it needs


def test_the_answers_need_lark_alone() -> None:
    program = f"""
import sys
for name in ("numpy", "networkx", "pygls", "lsprotocol", "numba", "rich", "xarray", "sklearn"):
    sys.modules[name] = None
from circuitdsl.lsp import problems, rename, verdicts
from circuitdsl.lsp.analysis import analyse
from circuitdsl.lsp.completion import completions
from circuitdsl.lsp.fixes import fixes
from circuitdsl.lsp.hover import hover
from circuitdsl.lsp.outline import outline
from circuitdsl.lsp.workspace import Workspace
text = {TEXT!r}
a = analyse(text)
print(len([*problems.checked(a), *problems.derived(a)]), [i.label for i in verdicts.inlays(a)][:1], len(outline(a)))
print("proved" in hover(a, text.index("W1")).text, bool(completions(a, text.index("digits  ")).words))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["0 ['⇒ gradient, proved'] 1", "True True"]


def test_every_function_has_a_meaning() -> None:
    for name in CALLS:
        analysis = analyse(f"rule r(x) = {name}(x)")
        found = hover(analysis, at(analysis, f"{name}("))
        assert found is not None
        assert found.text.split("```")[-1].strip(), name
