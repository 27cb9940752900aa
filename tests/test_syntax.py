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
    items = only_circuit(EVERYTHING).items
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


def changed(old: str, new: str) -> str:
    """The first circuit with one mistake."""
    assert FIRST.count(old) == 1, old
    return FIRST.replace(old, new)


MISTAKES = {
    # text, code, title, line
    "no-brace-neuron": (changed("relu(basal)\n  }", "relu(basal)\n"), "C002", "`}` is missing before `neuron out`", 14),
    "no-brace-one-line": (
        changed("softmax(basal) }", "softmax(basal)"), "C002", "`}` is missing before `neuron err`", 15,
    ),
    "no-brace-synapse": (changed("hetero(post, eta, gamma) }", "hetero(post, eta, gamma)"), "C002", "before `loss`", 23),
    "no-brace-circuit": (FIRST[:-2], "C002", "the `{` of circuit `kolen_pollack` is never closed", 1),
    "no-brace-task": (changed("(out, y)\n  }", "(out, y)\n"), "C002", "the `{` of task `digits` is never closed", 29),
    "no-brace-for": (
        changed("  loss = cross", "  for l in 1..2 {\n    alias a[l] = b[l]\n  loss = cross"),
        "C002", "`}` is missing before `loss`", 25,
    ),
    "one-brace-more": (changed("softmax(basal) }", "softmax(basal) } }"), "C001", "`}` closes circuit `kolen_pol", 14),
    "brace-too-early": (changed("basal, apical", "basal, apical }"), "C001", "`}` closes neuron `h` before `rate`", 11),
    "brace-at-the-end": (FIRST + "}", "C001", "`}` closes nothing", 35),
    "no-opening-brace": (changed("neuron h: 64 {", "neuron h: 64"), "C001", "expected `{` after `64`", 10),
    "no-body": (changed("10 { rate = y - out }", "10"), "C001", "expected `{` after `10`, found `rule`", 15),
    "open-parenthesis": (changed("relu(basal)", "relu(basal"), "C001", "`(` is not closed: `)` is missing before `}`", 12),
    "open-parenthesis-in-line": (
        changed("0, 1/sqrt(fan_in))   dw = eta", "0, 1/sqrt(fan_in)   dw = eta"), "C001", "before `dw`", 20,
    ),
    "parenthesis-too-many": (changed("relu(basal)", "relu(basal))"), "C001", "`)` closes nothing", 12),
    "no-colon": (changed("neuron h: 64", "neuron h 64"), "C001", "expected `:` after `h`, found `64`", 10),
    "equals-for-colon": (changed("neuron h: 64", "neuron h = 64"), "C001", "expected `:` after `h`, found `=`", 10),
    "colon-for-equals": (changed("param eta   =", "param eta:"), "C001", "expected `=` after `eta`, found `:`", 4),
    "no-arrow": (changed("x   ->", "x "), "C001", "expected `->` after `x`, found `h`", 19),
    "greater-for-arrow": (changed("x   ->", "x >"), "C001", "expected `->` after `x`, found `>`", 19),
    "misspelt-item": (changed("neuron h", "neruon h"), "C001", "`neruon` does not begin an item", 10),
    "misspelt-member": (changed("dendrite basal, apical", "dendrit basal"), "C001", "`dendrit` does not begin a member", 11),
    "misspelt-in-line": (changed("64\n  target y", "64 traget y"), "C001", "`traget` does not begin an item", 7),
    "no-item": (changed("synapse W1", "weights W1"), "C001", "`weights` does not begin an item", 19),
    "keyword-neuron": (changed("neuron h:", "neuron rate:"), "C003", "`rate` is a keyword and cannot name a neuron", 10),
    "keyword-after-dot": (changed("post.apical", "post.loss"), "C003", "`loss` is a keyword and cannot stand after `.`", 19),
    "keyword-argument": (changed("relu(basal)", "relu(rule)"), "C003", "`rule` is a keyword and cannot be a name", 12),
    "keyword-setting": (changed("seed = 0", "record = 0"), "C003", "`record` is a keyword", 30),
    "keyword-param": (changed("param eta", "param loss"), "C003", "`loss` is a keyword and cannot name a param", 4),
    "keyword-value": (changed("y - out", "target - out"), "C003", "`target` is a keyword", 15),
    "chained": (changed("relu(basal)", "0 < basal < 1"), "C001", "`<` after `0 < basal`: comparisons do not chain", 12),
    "number-name": (changed("eta * err", "2eta * err"), "C001", "`2eta` is neither a number nor a name", 20),
    "two-operands": (changed("eta * err", "eta err"), "C001", "`err` follows `eta` without an operator", 20),
    "two-arguments": (changed("entropy(out, y)", "entropy(out y)"), "C001", "`y` follows `out` without an operator", 23),
    "version": (changed("0.002", "0.0.2"), "C001", "`0.0.2` is neither a number nor a name", 5),
    "decimal-comma": (changed("0.002", "0,002"), "C001", "after `0`, found `,`", 5),
    "name-with-digit": (changed("neuron h:", "neuron 3h:"), "C001", "`3h` is not a name", 10),
    "python-power": (changed("relu(basal)", "basal**2"), "C001", "`**` is not an operator", 12),
    "python-and": (changed("relu(basal)", "a && b"), "C001", "`&&` is not an operator", 12),
    "python-if": (changed("relu(basal)", "a if b else c"), "C001", "`if` follows `a` without an operator", 12),
    "increment": (changed("dw = eta", "w += eta"), "C001", "there is no `+=`", 20),
    "line-comment": (changed("relu(basal)", "relu(basal) // neuron"), "C001", "`//` does not begin a comment", 12),
    "block-comment": (changed("  loss", "  /* a neuron\n h */\n  loss"), "C001", "`/*` does not begin a comment", 23),
    "comma-between": (changed("basal\n", "basal\n").replace("0, 1/sqrt(fan_in))   dw = eta", "0, 1), dw = eta"),
                      "C001", "`,` does not separate items", 20),
    "rate-in-synapse": (changed("dw = eta", "rate = eta"), "C001", "`rate` cannot stand in synapse `W2`", 20),
    "drive-in-neuron": (changed("rate = relu", "drive g = relu"), "C001", "`drive` cannot stand in neuron `h`", 12),
    "no-param": (changed("param eta  ", "eta"), "C001", "`eta = …` cannot stand directly in circuit", 4),
    "outside": ("param eta = 1\nneuron h: 3 { rate = eta }\n", "C001", "`param` stands outside a circuit", 1),
    "after-circuit": (FIRST + "task t { data = digits }", "C001", "`}` closes circuit `kolen_pollack` before `task`", 34),
    "no-expression": (changed("relu(basal)", ""), "C001", "expected an expression after `=`, found `}`", 12),
    "half-expression": (changed("gamma * w }", "gamma * }"), "C001", "expected an expression after `*`, found `}`", 20),
    "half-text": ("circuit a { param b = 3 *", "C001", "expected an expression after `*`, found the end of the text", 1),
    "no-name": ("circuit { param b = 3 }", "C001", "expected a name after `circuit`, found `{`", 1),
    "range": ("circuit a { for l in 1:3 { } }", "C001", "expected an operator or `..` after `1`, found `:`", 1),
    "trailing-comma": (changed("basal, apical", "basal, apical,"), "C001", "expected a name after `,`, found `rate`", 11),
    "late-docstring": (changed("= relu(basal)", '= 1 """Late."""'), "C001", 'the docstring `"""Late."""` cannot', 12),
    "poor-docstring": (changed('"""Feed', '"Feed').replace('1994)."""', '1994)."'), "C001", "is not a docstring", 2),
    "each": (changed("x: 64", "x: 64 each step"), "C001", "`step` cannot follow `each`", 7),
    "per-dt": (changed("dw = eta", "dw/dx = eta"), "C001", "`dx` cannot follow `dw/`", 20),
    "loss-when": (changed("(out, y)\n\n", "(out, y) on free\n\n"), "C001", "`on` cannot follow the expression of a", 23),
    "two-circuits": ("circuit a {\ncircuit b { }\n", "C002", "`}` is missing before `circuit b`", 2),
    "too-large": (changed("0.002", "1e999"), "C001", "`1e999` is too large a number", 5),
    "prose": ("Dear reader, this is a letter.\nIt is no circuit.", "C001", "`Dear` does not begin an item", 1),
    "json": ('{"a": [1, 2, {"b": null}]}', "C001", "expected `circuit`, `import`, `motif` or `rule`, found `{`", 1),
    "python": ("import numpy as np\n", "C001", "expected a path in double quotes after `import`, found `numpy`", 1),
    "percent": (changed("eta * err", "eta % err"), "C005", "`%` does not belong to the language", 20),
    "greek": (changed("param eta  ", "param η"), "C005", "`η` is not a name", 4),
    "accent": (changed("neuron h:", "neuron caché:"), "C005", "`caché` is not a name", 10),
    "minus-sign": (changed("y - out", "y − out"), "C005", "`−` is not a character of the language", 15),
    "arrow-sign": (changed("x   ->", "x →"), "C005", "`→` is not a character of the language", 19),
    "single-quotes": (changed("data = digits", "data = 'digits'"), "C005", "`'digits'` is not a string", 30),
    "curly-quotes": (changed("data = digits", "data = “digits”"), "C005", "`“digits”` is not a string", 30),
    "open-string": (changed("eta * err * pre", 'file("w.npy)'), "C005", 'the string `"w.npy` is never closed', 20),
    "open-docstring": (changed('1994)."""', "1994)."), "C005", 'the docstring `"""Feedback weights that', 2),
    "control": (changed("0.002", "0.002\0"), "C005", "`\\x00` does not belong to the language", 5),
}  # fmt: skip


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
    except CircuitError as error:
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
    return subprocess.Popen([sys.executable, "-c", PARSE_ONE], env={**os.environ, "XDG_CACHE_HOME": str(cache)})


def test_tables_are_cached_once_by_two_processes(tmp_path: Path) -> None:
    both = [parse_in_a_process(tmp_path), parse_in_a_process(tmp_path)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    (table,) = (tmp_path / "circuitdsl").iterdir()
    assert table.suffix == ".pickle"


def test_a_damaged_or_unwritable_cache_does_not_matter(tmp_path: Path) -> None:
    assert parse_in_a_process(tmp_path).wait(timeout=60) == 0
    (table,) = (tmp_path / "circuitdsl").iterdir()
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    assert parse_in_a_process(tmp_path).wait(timeout=60) == 0
    assert table.stat().st_size == len(whole)
    not_a_folder = tmp_path / "file"
    not_a_folder.write_text("")
    assert parse_in_a_process(not_a_folder).wait(timeout=60) == 0
