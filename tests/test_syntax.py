"""The parser: trees with spans, and syntax errors that name the mistake once and in the language's words."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import lark
import pytest
from broken_texts import MISTAKES, changed
from grammar_texts import EVERYTHING, FIRST, circuit_files, laid_out, random_words
from hypothesis import given, settings
from hypothesis import strategies as st
from lark.grammar import Rule

from circuitdsl.diagnostics import CircuitError, Diagnostic, Source, render
from circuitdsl.shipped import grammar_path, library_path
from circuitdsl.syntax import ast
from circuitdsl.syntax.build import Builder
from circuitdsl.syntax.grammar import keywords, parser
from circuitdsl.syntax.parse import parse, parse_expression, read_source
from circuitdsl.syntax.words import words


def tree(text: str) -> ast.File:
    return parse(Source("test.circ", text))


def expression(text: str) -> ast.Expr:
    return parse_expression(Source("--set", text))


def only_circuit(text: str) -> ast.Circuit:
    (circuit,) = tree(text).items
    assert isinstance(circuit, ast.Circuit)
    return circuit


def errors(text: str) -> tuple[Diagnostic, ...]:
    try:
        tree(text)
    except CircuitError as error:
        return error.diagnostics
    return ()


def name(text: str) -> ast.Name:
    found = expression(text)
    assert isinstance(found, ast.Name)
    return found


# ---------------------------------------------------------------- trees


def test_first_circuit() -> None:
    circuit = only_circuit(FIRST)
    assert circuit.name == name("kolen_pollack")
    assert circuit.doc == "Feedback weights that learn to carry the gradient (Kolen & Pollack 1994)."
    kinds = [type(item).__name__ for item in circuit.items]
    assert kinds == (
        ["Param"] * 2 + ["Input", "Target"] + ["Neuron"] * 3 + ["Rule"] + ["Synapse"] * 3 + ["Loss"]
        + ["ExpectVerdict"] * 2 + ["ExpectAttractor", "Task"]
    )  # fmt: skip
    hidden = circuit.items[4]
    assert isinstance(hidden, ast.Neuron)
    assert hidden.span.text.startswith("neuron h: 64 {")
    assert hidden.span.text.endswith("}")
    assert [type(m).__name__ for m in hidden.members] == ["Dendrites", "Rate"]
    synapse = circuit.items[8]
    assert isinstance(synapse, ast.Synapse)
    assert synapse.target == expression("h.basal")
    assert [m.name.name for m in synapse.members if isinstance(m, ast.Assign)] == ["init", "dw"]


def test_everything() -> None:
    tree(EVERYTHING)


@pytest.mark.parametrize("path", circuit_files(), ids=lambda p: p.stem)
def test_library_parses(path: Path) -> None:
    parse(read_source(path))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("-x^2", "-(x^2)"),
        ("2^3^4", "2^(3^4)"),
        ("2^-x", "2^(-x)"),
        ("a - b - c", "(a - b) - c"),
        ("a / b * c", "(a / b) * c"),
        ("a + b * c", "a + (b * c)"),
        ("a < b + c", "a < (b + c)"),
        ("-a * b", "(-a) * b"),
        ("a & b + c", "a & (b + c)"),
        ("+a", "a"),
        ("((a))", "a"),
    ],
)
def test_precedence(text: str, same: str) -> None:
    assert expression(text) == expression(same)


def test_spans_are_of_the_text() -> None:
    text = "(eta + w) * pre[1].x"
    product = expression(text)
    assert isinstance(product, ast.Binary)
    assert product.span.text == text
    assert product.left.span.text == "(eta + w)"
    member = product.right
    assert isinstance(member, ast.Member)
    assert (member.span.text, member.name_span.text, member.base.span.text) == ("pre[1].x", "x", "pre[1]")
    call = expression("  f(a, k = 3) ")
    assert isinstance(call, ast.Call)
    assert call.span.text == "f(a, k = 3)"
    assert call.function_span.text == "f"
    assert [(a.name, a.span.text) for a in call.arguments] == [(None, "a"), ("k", "k = 3")]


def test_trees_are_equal_whatever_their_layout() -> None:
    assert tree("circuit a { param b = 1 ; param c = 2 }") == tree("circuit a {\nparam b = 1.0 # x\n\nparam c=2}")


def test_ranges_and_decimal_points() -> None:
    (loop,) = only_circuit("circuit a { for l in 1..3 {} }").items
    assert isinstance(loop, ast.For)
    assert (loop.first, loop.last) == (expression("1"), expression("3"))
    assert expression("1.") == expression("1.0") == expression("1")


def test_words_of_one_place_are_names_elsewhere() -> None:
    only_circuit("circuit free { param at = 1   param zeros = digits   neuron over: 1 { rate = at } }")
    only_circuit("circuit a { param ratex = 1   param in_ = 2 }")


def test_loss_rate_and_train_are_values() -> None:
    for word in ("loss", "rate", "train"):
        assert expression(f"0.1 * {word}") == ast.Binary(
            span=expression("a").span, operator="*", left=expression("0.1"), right=name(word)
        )


def test_reserved_constructs_parse() -> None:
    """[further] parts: the next stage says that they are not available yet."""
    circuit = tree(EVERYTHING).items[-1]
    assert isinstance(circuit, ast.Circuit)
    items = circuit.items
    inputs = [i for i in items if isinstance(i, ast.Input)]
    assert [i.each_tick for i in inputs] == [True]
    assert [i.what for i in items if isinstance(i, ast.Further)] == ["stage"]
    neuron = next(i for i in items if isinstance(i, ast.Neuron))
    assert [m.what for m in neuron.members if isinstance(m, ast.Further)] == ["spike when"]
    assert isinstance(neuron.size, ast.ListOf)
    synapse = next(i for i in items if isinstance(i, ast.Synapse))
    assert "tie" in [m.name.name for m in synapse.members if isinstance(m, ast.Assign)]
    assert isinstance(expression("spike(x)"), ast.Call)


@pytest.mark.parametrize("text", ["", "  \n# nothing\n", "\ufeff", ";;"])
def test_an_empty_file_has_no_items(text: str) -> None:
    assert tree(text).items == ()


# ---------------------------------------------------------------- the grammar


def test_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    """Lark settles shift/reduce conflicts silently, but tells its logger."""
    level = lark.logger.level
    lark.logger.setLevel(logging.DEBUG)
    lark.logger.addHandler(caplog.handler)
    try:
        lark.Lark(grammar_path().read_text(), parser="lalr", lexer="basic", start=["start", "expression"], debug=True)
    finally:
        lark.logger.removeHandler(caplog.handler)
        lark.logger.setLevel(level)
    assert "onflict" not in caplog.text


def test_each_grammar_rule_has_its_builder() -> None:
    rules: list[Rule] = parser().rules
    named = {rule.alias or rule.origin.name for rule in rules if not rule.origin.name.startswith("_")}
    inlined = {"expr", "intersection", "sum", "product", "power", "postfix"}
    missing = {n for n in named if n not in inlined and n not in vars(Builder)}
    assert missing == set()


def test_all_keywords_of_the_page_are_reserved() -> None:
    page = """circuit motif rule param per input target neuron dendrite state keep fresh rate let drive synapse
        modulator use as for in alias pair loss expect attractor task stage record every schedule phase train
        import each when refractory spike tie share delay efficacy"""
    assert set(page.split()) == set(keywords())


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_mistake_gives_one_message(mistake: str) -> None:
    text, code, title, line = MISTAKES[mistake]
    found = errors(text)
    shown = "\n".join(render(d) for d in found)
    assert len(found) == 1, shown
    assert found[0].code == code, shown
    assert title in found[0].title, shown
    assert found[0].span is not None
    assert found[0].span.line == line, shown


def test_several_mistakes_are_reported_together() -> None:
    text = changed("param eta", "param rate").replace("relu(basal)", "relu(basal").replace("x   ->", "x ")
    text = text.replace("softmax(basal) }", "softmax(basal)").replace("loss = ", "loss = 2 ")
    assert [d.code for d in errors(text)] == ["C003", "C001", "C002", "C001", "C001"]
    lines = [d.span.line for d in errors(text) if d.span]
    assert lines == sorted(lines)


def test_hints_show_the_way_out() -> None:
    hints = {mistake: errors(MISTAKES[mistake][0])[0].hint for mistake in MISTAKES}
    assert hints["misspelt-item"] == "did you mean `neuron`?"
    assert hints["misspelt-member"] == "did you mean `dendrite`?"
    assert hints["no-brace-neuron"] == "close neuron `h` with `}`"
    assert hints["chained"] is not None
    assert "`(0 < basal) * (basal < …)`" in hints["chained"]
    assert hints["number-name"] == "write `2 * eta`"
    assert hints["greek"] == "write `eta`"
    assert hints["minus-sign"] == "write `-`"
    assert hints["decimal-comma"] == "a decimal point is written `.`: `0.002`"
    assert hints["no-param"] == "a parameter is declared by `param eta = …`"


def test_a_missing_brace_points_at_the_opening_one() -> None:
    (found,) = errors(MISTAKES["no-brace-neuron"][0])
    assert [(lb.span.line, lb.span.text, lb.text) for lb in found.labels] == [(10, "{", "opened here")]


def test_errors_in_expressions() -> None:
    for text in ("", "1 +", "a b", "neuron", "1 < 2 < 3", "f(", "}"):
        with pytest.raises(CircuitError):
            expression(text)


# ---------------------------------------------------------------- depth


@pytest.mark.parametrize("rate", ["+".join(["a"] * 2000), "-" * 3000 + "a", "f(" * 2000 + "a" + ")" * 2000])
def test_too_deep_expressions_are_refused(rate: str) -> None:
    (found,) = errors(f"circuit c {{ neuron h: 1 {{ rate = {rate} }} }}")
    assert found.code == "C001"
    assert "is nested more than 200 deep" in found.title


def test_too_deep_loops_are_refused() -> None:
    (found,) = errors("circuit c {" + "for l in 1..2 {" * 500 + "}" * 501)
    assert "is nested more than 200 deep" in found.title


def test_parentheses_may_nest() -> None:
    assert expression("(" * 500 + "a" + ")" * 500) == expression("a")


@pytest.mark.parametrize("text", ["(" * 5000, "circuit c {" + "for l in 1..3 {" * 3000, "[" * 5000, "}" * 3000])
def test_unclosed_brackets_without_end(text: str) -> None:
    assert errors(text)


# ---------------------------------------------------------------- any text at all


def check_diagnostics(text: str) -> None:
    try:
        tree(text)
    except CircuitError as caught:
        error = caught
    else:
        return
    assert error.diagnostics
    for found in error.diagnostics:
        assert found.code in ("C001", "C002", "C003", "C005")
        assert found.span is not None
        assert 0 <= found.span.start <= found.span.end <= len(text)
        assert "`" in found.title or "the end of the text" in found.title
        assert "\n" not in found.title
    assert str(error)


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_any_text_gives_a_tree_or_diagnostics(text: str) -> None:
    check_diagnostics(text)


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_mutated_circuits_give_a_tree_or_diagnostics(random: Random) -> None:
    found = [w.text for w in words(Source("", random.choice([FIRST, EVERYTHING])))[0]]
    for _ in range(random.randint(1, 5)):
        at = random.randrange(len(found))
        found[at : at + random.randint(0, 2)] = random.choice([[], [random.choice(found)], ["@"], ['"']])
    check_diagnostics(laid_out(random, found))


@settings(max_examples=50, deadline=None)
@given(st.randoms(use_true_random=False))
def test_random_sentences_of_the_grammar_parse(random: Random) -> None:
    assert isinstance(tree(laid_out(random, random_words(random))), ast.File)


# ---------------------------------------------------------------- files


def test_read_source(tmp_path: Path) -> None:
    path = tmp_path / "a.circ"
    path.write_text("circuit a {}", encoding="utf-8")
    assert read_source(path).name == str(path)
    assert read_source(path).text == "circuit a {}"
    with pytest.raises(FileNotFoundError):
        read_source(tmp_path / "none.circ")
    with pytest.raises(IsADirectoryError):
        read_source(tmp_path)


def test_a_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.circ"
    path.write_bytes("# é\ncircuit caf".encode() + b"\xe9 {}")
    with pytest.raises(CircuitError) as caught:
        read_source(path)
    (found,) = caught.value.diagnostics
    assert found.code == "C005"
    assert "latin.circ` is not a text in UTF-8" in found.title
    assert found.span is not None
    assert (found.span.line, found.span.column) == (2, 12)
    assert "0xe9" in found.label


def test_shipped_folders() -> None:
    assert grammar_path().is_file()
    assert library_path().is_dir()


PARSE_ONE = "from circuitdsl.syntax.grammar import parser; parser().parse('circuit a {}', start='start')"


def parse_in_a_process(cache: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "CIRCUITDSL_CACHE": "", "XDG_CACHE_HOME": str(cache)}
    return subprocess.Popen([sys.executable, "-c", PARSE_ONE], env=environment)


def test_tables_are_cached_once_by_two_processes(tmp_path: Path) -> None:
    both = [parse_in_a_process(tmp_path), parse_in_a_process(tmp_path)]
    assert [process.wait(timeout=600) for process in both] == [0, 0]
    assert [p.is_file() for p in (tmp_path / "circuitdsl" / "grammar").iterdir()] == [True]


def test_a_damaged_or_unwritable_cache_does_not_matter(tmp_path: Path) -> None:
    assert parse_in_a_process(tmp_path).wait(timeout=600) == 0
    (table,) = (tmp_path / "circuitdsl" / "grammar").iterdir()
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    assert parse_in_a_process(tmp_path).wait(timeout=600) == 0
    assert table.stat().st_size > 0.9 * len(whole)
    not_a_folder = tmp_path / "file"
    not_a_folder.write_text("")
    assert parse_in_a_process(not_a_folder).wait(timeout=600) == 0
