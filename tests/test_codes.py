"""The catalogue of codes is complete, its examples are true, and docs/errors.md is made of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from circuitdsl.codes import CODES
from circuitdsl.codes.page import findings, message, page
from circuitdsl.diagnostics import Severity

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "circuitdsl"
EXAMPLES = [name for name, code in CODES.items() if code.wrong]


def codes_in(*folders: str) -> set[str]:
    """Every code that the source files under these folders of the package use."""
    files = [p for folder in folders for p in (PACKAGE / folder).rglob("*.py") if "codes" not in p.parts]
    return {code for path in files for code in re.findall(r'"(C\d{3})"', path.read_text(encoding="utf-8"))}


def test_the_catalogue_has_every_code_and_no_other() -> None:
    assert codes_in(".") == CODES.keys()


def test_only_codes_of_runs_are_without_an_example() -> None:
    assert CODES.keys() - set(EXAMPLES) == codes_in(".") - codes_in("syntax", "graph", "derive")


def test_the_language_reference_has_every_family_to_its_last_code() -> None:
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (C\d{3})(?: to (C\d{3}))? \|", text, re.MULTILINE)
    families = {name[:3]: [each for each in CODES if each[:3] == name[:3]] for name in CODES}
    assert [(first, last or first) for first, last in told] == [(each[0], each[-1]) for each in families.values()]


def test_the_catalogue_is_in_order() -> None:
    assert list(CODES) == sorted(CODES)


@pytest.mark.parametrize("name", CODES)
def test_an_entry_reads_well(name: str) -> None:
    code = CODES[name]
    assert code.title[0].isupper()
    assert not code.title.endswith(".")
    assert len(code.title) <= 80
    assert "\n" not in code.explanation
    assert code.explanation.endswith(".")
    assert bool(code.wrong) == bool(code.right)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_wrong_example_gives_its_code_and_no_other_error(name: str) -> None:
    found = findings(CODES[name].wrong)
    assert name in {d.code for d in found}
    assert {d.code for d in found if d.severity is Severity.ERROR} <= {name}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_explanation_says_how_grave_it_is(name: str) -> None:
    [found] = {d.severity for d in findings(CODES[name].wrong) if d.code == name}
    told = re.search(r"\bA (warning|note)\b", CODES[name].explanation)
    assert found == (told[1] if told else "error")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_right_example_gives_nothing(name: str) -> None:
    assert [message(d.code, CODES[name].right) for d in findings(CODES[name].right)] == []


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m circuitdsl.codes > docs/errors.md"
