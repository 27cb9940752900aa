"""Broken files give coded messages with a place and the name at fault, whatever is wrong, and never a traceback.

Written by hand: texts that people might write. Made by mutation: every shipped circuit with one word taken out,
doubled, exchanged, renamed, with another size, or cut off, from a fixed seed.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import pytest

from circuitdsl.codes import CODES
from circuitdsl.diagnostics import CircuitError, Diagnostic, Severity, Source, render
from circuitdsl.graph.resolve import load_text
from circuitdsl.syntax.words import Word, words

LIBRARY = Path(__file__).resolve().parents[1] / "circuits"
MUTATIONS = 400
BY_HAND = Path(__file__).resolve().parent / "broken.txt"


def findings(text: str) -> tuple[Diagnostic, ...]:
    """What is found in a text. Anything but a CircuitError comes through and fails the test."""
    try:
        return load_text(text, "broken.circ").warnings
    except CircuitError as error:
        return error.diagnostics


def errors(found: tuple[Diagnostic, ...]) -> list[Diagnostic]:
    return [d for d in found if d.severity is Severity.ERROR]


def assert_good(found: tuple[Diagnostic, ...]) -> None:
    """Every message is complete, and can be shown anywhere."""
    for diagnostic in found:
        assert diagnostic.code in CODES
        assert diagnostic.span is not None, diagnostic.title
        source = diagnostic.span.source
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(source.text)
        assert "`" in diagnostic.title, diagnostic.title
        assert "\n" not in diagnostic.title
        assert json.loads(json.dumps(diagnostic.as_json()))["line"] >= 1
        for width in (40, 100):
            text = render(diagnostic, width=width)
            assert "Traceback" not in text
            assert f"[{diagnostic.code}]: " in text
            assert f"{source.name}:{diagnostic.span.line}:{diagnostic.span.column}" in text


# ---------------------------------------------------------------- written by hand


def by_hand() -> list[tuple[str, str, str]]:
    """(code, what a title quotes, text) of each entry of broken.txt."""
    entries = re.split(r"^=== (C\d{3}) (.*)\n", BY_HAND.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return [(code, quoted, text) for code, quoted, text in zip(entries[::3], entries[1::3], entries[2::3], strict=True)]


SMALL = """circuit c { input x: 4 neuron h: 4 { dendrite d rate = d ADD } loss = mean(h)
synapse W: x -> h { BODY } synapse V[1]: x -> h { dw = a * pre } param a per W = 1 MORE }"""


@pytest.mark.parametrize(
    ("place", "written", "hint"),
    [
        ("BODY", "dw = a * pre connect = no_self connect = dense", "combine them: `connect = … & …`"),
        ("BODY", "dw = a * pre init = zeros init = zeros", "keep one of them"),
        ("MORE", "alias g = h.d synapse U: x -> h { dw = g * pre }", "write `post.d`"),
        ("BODY", "dw = a * pre", "give `V[1]` one of its own: `param a_2 per V[1] = …`"),
        ("ADD", "drate = x", "let a state have the increment"),
        ("MORE", "record transpose(W)", "`record W`"),
    ],
)
def test_hints_that_can_be_followed(place: str, written: str, hint: str) -> None:
    text = SMALL.replace(place, written)
    for other in ("ADD", "BODY", "MORE"):
        text = text.replace(other, "")
    assert any(hint in (d.hint or "") for d in findings(text))


def chained(link: str, n: int) -> str:
    return " ".join(link.replace("<i>", str(i)).replace("<j>", str(i + 1)) for i in range(n))


TOO_DEEP = {
    "aliases": f"circuit c {{ input x: 4 {chained('alias a<i> = a<j>', 2000)} alias a2000 = x loss = mean(a0) }}",
    "params": f"circuit c {{ input x: p0 {chained('param p<i> = p<j> + 1', 2000)} param p2000 = 1 loss = mean(x) }}",
    "rules": f"{chained('rule r<i>(a) = r<j>(a)', 2000)} "
    "rule r2000(a) = a circuit c { input x: 4 loss = r0(mean(x)) }",
    "motifs": f"{chained('motif m<i>(a) { use m<j> as A(a = a) use m<j> as B(a = a) }', 30)} "
    "motif m30(a) { neuron b: 4 { rate = a } } circuit c { input x: 4 use m0 as L(a = x) loss = mean(x) }",
}


@pytest.mark.parametrize("text", TOO_DEEP.values(), ids=TOO_DEEP)
def test_what_goes_too_deep(text: str) -> None:
    found = findings(text)
    assert_good(found)
    assert [d.code for d in errors(found)] == ["C026"]


def test_each_param_of_a_chain_is_computed_once() -> None:
    fibonacci = "param p[0] = 1 param p[1] = 1 for l in 2..60 { param p[l] = p[l-1] + p[l-2] - (p[l-1] > 9) * p[l-1] }"
    assert not errors(findings(f"circuit c {{ {fibonacci} input x: 4 * p[60] / p[60] loss = mean(x) }}"))


@pytest.mark.parametrize(("code", "quoted", "text"), by_hand())
def test_written_by_hand(code: str, quoted: str, text: str) -> None:
    found = findings(text)
    wrong = errors(found)
    assert wrong, "nothing was found"
    assert_good(found)
    assert [d for d in wrong if d.code == code and f"`{quoted}`" in d.title], [f"{d.code} {d.title}" for d in wrong]


# ---------------------------------------------------------------- mutations


@dataclass(frozen=True)
class Mutant:
    file: str
    kind: str
    names: tuple[str, ...]  # a name before and after it was misspelt: messages quote one of them
    text: str


KINDS = ("left out", "doubled", "exchanged", "misspelt", "another number", "cut off", "swapped", "a stray sign")


@cache
def library() -> list[tuple[str, str, tuple[Word, ...]]]:
    """Name, text and words of every shipped circuit."""
    texts = [
        (p.relative_to(LIBRARY).as_posix(), p.read_text(encoding="utf-8")) for p in sorted(LIBRARY.rglob("*.circ"))
    ]
    return [(name, text, tuple(words(Source(name, text))[0])) for name, text in texts if "\ncircuit " in f"\n{text}"]


def mutant(seed: int) -> Mutant:
    random = Random(seed)
    name, text, found = random.choice(library())
    kind = KINDS[seed % len(KINDS)]
    found_here = [w for w in found if w.kind != "DOCSTRING"]
    word, other = random.choice(found_here), random.choice(found_here)
    new = text
    names: tuple[str, ...] = ()
    match kind:
        case "left out":
            new = text[: word.start] + text[word.end :]
        case "doubled":
            new = f"{text[: word.end]} {word.text}{text[word.end :]}"
        case "exchanged":
            new = text[: word.start] + other.text + text[word.end :]
        case "misspelt":
            word = random.choice([w for w in found_here if w.kind == "NAME"])
            names = (word.text, word.text + word.text[-1])
            new = text[: word.start] + names[1] + text[word.end :]
        case "another number":
            word = random.choice([w for w in found_here if w.kind == "NUMBER"])
            number = random.choice(["0", "2.5", "7", "-3", "1e12", "eta", '"4"', "[1, 2]"])
            new = text[: word.start] + number + text[word.end :]
        case "cut off":
            new = text[: word.start]
        case "swapped":
            at = random.randrange(len(found_here) - 1)
            a, b = found_here[at], found_here[at + 1]
            new = text[: a.start] + b.text + text[a.end : b.start] + a.text + text[b.end :]
        case _:
            sign = random.choice(
                ["%", "$", "!", "}", "{", ")", "(", "]", "=", "..", '"', "−", "'", "\\", "&&", "@", "0x1"]
            )
            new = text[: word.start] + sign + text[word.start :]
    return Mutant(name, kind, names, new)


def mutants() -> Iterator[Mutant]:
    return (mutant(seed) for seed in range(MUTATIONS))


def test_mutants() -> None:
    valid: Counter[str] = Counter()
    for seed, each in enumerate(mutants()):
        found = findings(each.text)
        wrong = errors(found)
        try:
            assert_good(found)
            if each.names and wrong:
                assert any(name in d.title for d in wrong for name in each.names)
        except AssertionError as problem:
            shown = "\n".join(render(d) for d in found)
            raise AssertionError(f"mutant {seed}, {each.file}, {each.kind} {each.names}:\n{problem}\n{shown}") from None
        valid[each.kind] += not wrong
    # what happens to be right proves nothing: most must be wrong, and some of every kind
    assert MUTATIONS - valid.total() >= 300, valid
    assert all(valid[kind] <= 0.7 * MUTATIONS / len(KINDS) for kind in KINDS), valid
