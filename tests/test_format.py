"""The formatter changes layout only, keeps every comment, and is at rest after one pass."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from grammar_texts import EVERYTHING, FIRST, circuit_files, comments, laid_out, random_words
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitdsl.diagnostics import CircuitError, Source
from circuitdsl.syntax.format import WIDTH, format_text
from circuitdsl.syntax.parse import parse
from circuitdsl.syntax.words import words


def formatted(text: str) -> str:
    return format_text(Source("test.circ", text))


def check_laws(text: str) -> str:
    """What holds for every text; returns the formatted one."""
    once = formatted(text)
    assert formatted(once) == once
    assert parse(Source("once", once)) == parse(Source("text", text))
    assert comments(once) == comments(text)
    kept = [w.text for w in words(Source("text", text))[0] if w.kind not in ("SEMICOLON", "DOCSTRING")]
    assert [w.text for w in words(Source("once", once))[0] if w.kind != "DOCSTRING"] == kept
    assert once == "" or (once.endswith("\n") and not once.endswith("\n\n"))
    assert "\n\n\n" not in once or '"""' in once
    return once


@pytest.mark.parametrize("text", [FIRST, EVERYTHING, "", "\n", "# only a comment", "circuit a {}"])
def test_laws_on_examples(text: str) -> None:
    check_laws(text)


@pytest.mark.parametrize("path", circuit_files(), ids=lambda p: p.stem)
def test_laws_on_the_library(path: Path) -> None:
    check_laws(path.read_text(encoding="utf-8"))


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_laws_on_random_texts(random: Random) -> None:
    check_laws(laid_out(random, random_words(random)))


DIVISIONS = (
    "x/(1 + x)", "x/ (1+x)", "x /(1+x)", "x/-y", "1/[2]", "(x)/(y)", "f(x)/g(y)", "x/y/(z/(w))", "x/(y) / (z)",
    "-x/(-y)", "a[l/(2)]/(b[1]/2)", "a[l-(2)]", "x/.5", "x/loss", "1/(2)^(3)/(4)", "x/\\n(y)", "x/ # why\\n(y)",
)  # fmt: skip


@pytest.mark.parametrize("written", DIVISIONS)
def test_a_division_is_at_rest_after_one_pass(written: str) -> None:
    check_laws("circuit c { neuron h: 1 { rate = " + written.replace("\\n", "\n") + " } }")


@pytest.mark.parametrize("kept", ["x/(1 + x)", "x / (1 + x)", "x/-y", "(x)/(y)", "f(x)/g(y)", "a[l-(2)] / b"])
def test_a_division_stays_as_it_is_written(kept: str) -> None:
    assert f"rate = {kept} " in formatted("circuit c { neuron h: 1 { rate = " + kept + " } }")


def test_style() -> None:
    text = """
circuit  a{
  param a=1;param b   = -2^-x*( c+1 )   # why

  # before x


  input x :[ 64,64 ]
  neuron h:64{dendrite basal ,apical   rate=relu(basal)}
  neuron k: 64 {
    rate = a[ l - 1 ] - b }
  synapse W:x->h.basal { init=normal( 0,1/sqrt(fan_in) )  connect = local(kernel = 3, stride=1)
  }
  for l in 1 .. depth {alias a[l] = b[l]}
  use m as I( below=x )
}"""
    assert (
        formatted(text)
        == """circuit a {
  param a = 1
  param b = -2^-x * (c + 1)  # why

  # before x

  input x: [64, 64]
  neuron h: 64 { dendrite basal, apical   rate = relu(basal) }
  neuron k: 64 {
    rate = a[l-1] - b
  }
  synapse W: x -> h.basal {
    init = normal(0, 1/sqrt(fan_in))
    connect = local(kernel=3, stride=1)
  }
  for l in 1..depth { alias a[l] = b[l] }
  use m as I(below = x)
}
"""
    )


def test_comments_in_the_middle_of_expressions() -> None:
    text = "rule r(a) = a   # first\n * 2 # second\n\n# third\n- a # fourth\n# fifth\n"
    assert check_laws(text) == ("rule r(a) = a  # first\n    * 2  # second\n    # third\n    - a  # fourth\n# fifth\n")


def test_comment_beside_an_opening_brace() -> None:
    text = "circuit a { # the circuit\n\n  # below\n param b = 1 } # end"
    assert check_laws(text) == "circuit a {  # the circuit\n\n  # below\n  param b = 1\n}  # end\n"


def test_long_bodies_are_broken_and_short_ones_kept() -> None:
    short = "circuit a {\n  neuron h: 64 { dendrite basal   rate = relu(basal) }\n}\n"
    assert formatted(short) == short
    long = f"circuit a {{ neuron h: 64 {{ rate = {' + '.join(['basal'] * 11)} }} }}"
    assert all(len(line) <= WIDTH for line in formatted(long).splitlines())
    assert "neuron h: 64 {\n    rate = basal" in formatted(long)


def test_lines_that_do_not_fit_keep_their_line_ends() -> None:
    arguments = ",\n".join(f"argument{n} = population{n}" for n in range(8))
    once = check_laws(f"circuit a {{ use motif_ as I({arguments}) }}")
    assert once.count("\n") == 8 + 2
    joined = check_laws("rule r(a,\n b) =\n a\n * b")
    assert joined == "rule r(a, b) = a * b\n"


def test_docstrings_move_with_their_circuit() -> None:
    text = 'circuit a {\n      """Title.\n\n        More,\n          indented.\n      """\n}'
    assert check_laws(text) == 'circuit a {\n  """Title.\n\n    More,\n      indented.\n  """\n}\n'


def test_ranges_of_odd_numbers_stay_ranges() -> None:
    check_laws("circuit a { for l in 1. .. .5 { } for k in 1 ..3 {} }")


def test_windows_line_ends_and_byte_order_mark() -> None:
    assert formatted("\ufeffcircuit a {\r\n  param b = 1  # c\r\n}\r\n") == "circuit a {\n  param b = 1  # c\n}\n"


def test_a_broken_text_is_not_formatted() -> None:
    with pytest.raises(CircuitError):
        formatted("circuit a {")
