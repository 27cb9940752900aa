"""What code and pages cite exists: documents, their sections and headings, files; and the tables of docs/theory.md and
docs/architecture.md say what the code says."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from importlib import import_module
from inspect import getsource
from itertools import takewhile
from pathlib import Path
from typing import get_args

import pytest
from test_layers import DERIVE, FLOORS

from circuitdsl.certify.hypotheses import THRESHOLD
from circuitdsl.derive.prove.findings import Evidence, Role, Verdict
from circuitdsl.derive.prove.hypotheses import Hypothesis
from circuitdsl.derive.tell.hypotheses import name_of

ROOT = Path(__file__).resolve().parents[1]
THEORY = "docs/theory.md"

#: Where citations stand. docs/errors.md is made of the code.
CITING = (
    *("circuitdsl/**/*.py", "tests/**/*.py", "benchmarks/*.py", "circuits/**/*.circ", "grammars/*.lark"),
    *("*.md", "docs/*.md", "benchmarks/*.md", "Makefile"),
)
#: A document, and what is said of it until the sentence or the bracket ends.
CITATION = re.compile(r"(?<![\w/.*-])((?:[\w-]+/)*[\w-]+\.md)\b((?:[^.):`]|\.(?=\w))*)")
SECTIONS = re.compile(r"\bsections? (\d+)(?: and (\d+))?")
ITEM = re.compile(r"\bstep (\d+)|\", (\d+)$")


def citing() -> list[Path]:
    return sorted({p for pattern in CITING for p in ROOT.glob(pattern) if "_shipped" not in p.parts})


def citations(text: str) -> Iterator[tuple[str, str]]:
    """Every (document, what is cited of it): of prose, not of paths within programs."""
    for paragraph in re.split(r"\n\s*\n", re.sub(r"^ *#:? ?", "", text, flags=re.MULTILINE)):
        for document, about in CITATION.findall(" ".join(paragraph.split())):
            if not document.partition("/")[0].isupper():  # DIR/studies.md: one that is written there
                yield document, about if re.match(r",? \"?\w", about) else ""


def found(document: str, beside: Path) -> Path | None:
    places = (ROOT / document, ROOT / "docs" / document, beside.parent / document)
    return next((p for p in places if p.is_file()), None)


@cache
def headings(document: Path) -> dict[str, str]:
    """The text of each part by its heading, parts below it included."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    heads = list(re.finditer(r"^(#+) (.*)$", text, re.MULTILINE))
    ends = [next((o.start() for o in heads[i + 1 :] if len(o[1]) <= len(h[1])), len(text)) for i, h in enumerate(heads)]
    return {h[2]: text[h.end() : end] for h, end in zip(heads, ends, strict=True)}


def missing(document: Path, about: str) -> Iterator[str]:
    """What a citation names that the document does not have."""
    parts = headings(document)
    plain = {re.sub(r"^\d+\. ", "", name): name for name in parts}
    cited: list[str] = []
    for match in SECTIONS.finditer(about):
        for number in filter(None, match.groups()):
            named = [name for name in parts if name.startswith(f"{number}. ")]
            if not named:
                yield f"section {number}"
            cited += named
    for heading in re.findall(r'"([^"]+)"', about):
        if heading not in plain:
            yield f'"{heading}"'
        elif cited and not any(f"# {plain[heading]}\n" in parts[section] for section in cited):
            yield f'"{heading}" in {cited[-1]}'
        else:
            cited = [plain[heading]]
    for number in (n for match in ITEM.finditer(about.strip()) for n in match.groups() if n):
        if not any(re.search(rf"^{number}\. ", parts[section], re.MULTILINE) for section in cited):
            yield f"item {number}"


def wrong(path: Path, text: str) -> list[str]:
    lost = []
    for document, about in citations(text):
        place = found(document, path)
        what = ["which is not there"] if place is None else list(missing(place, about))
        lost += [f"{path.name}: {document} {each}" for each in what]
    return lost


def test_what_is_cited_exists() -> None:
    paths = [p for p in citing() if p != Path(__file__).resolve()]
    assert [line for p in paths for line in wrong(p, p.read_text(encoding="utf-8"))] == []


def test_the_theory_is_cited() -> None:
    """So that the test above looks at something."""
    texts = [p.read_text(encoding="utf-8") for p in citing() if p.suffix == ".py"]
    cited = [about for text in texts for document, about in citations(text) if document == "theory.md"]
    assert len([about for about in cited if SECTIONS.search(about)]) > 10
    assert len([about for about in cited if '"' in about]) > 5


@pytest.mark.parametrize(
    "text",
    [
        "see nowhere.md",
        "theory.md, section 12.",
        'theory.md, section 3, "No such heading".',
        'theory.md, section 2, "The stationary flow".',
        'theory.md, "How to derive it", 99.',
        "theory.md, section 3, step 99.",
    ],
)
def test_a_wrong_citation_is_noticed(text: str) -> None:
    assert len(wrong(Path(__file__), text)) == 1


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md", "docs/theory.md"])
def test_files_that_are_named_exist(page: str) -> None:
    """Also what is named of one, in brackets behind it. Words in capitals stand for names of the reader's own."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    named = re.findall(r"`(\w[\w.-]*(?:/[\w.-]+)+/?|\w+/)`", text)
    real = [n for n in named if not any(len(w) > 2 and w.isupper() for w in re.split(r"[/._]", n))]
    assert [n for n in real if not any((place / n).exists() for place in (ROOT, ROOT / "circuitdsl"))] == []
    for path, names in re.findall(r"`([\w/]+\.py)`\s\(((?:`\w+`(?:,\s)?)+)\)", text):
        source = (ROOT / path).read_text(encoding="utf-8")
        assert [n for n in re.findall(r"\w+", names) if not re.search(rf"\b{n}\b", source)] == [], path
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("http") or ((ROOT / page).parent / target).exists(), target


# ---------------------------------------------------------------- tables


def rows(page: str, first: str) -> list[list[str]]:
    """The cells of the table whose first column has that head, code marks left out."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |"))
    body = takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    return [[cell.strip().replace("`", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in body]


def test_hypotheses_and_their_thresholds() -> None:
    """In the order of the union, each with the name that JSON has."""
    kinds = get_args(Hypothesis)
    names = [re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower() for kind in kinds]
    written = getsource(name_of)
    assert [name for name in names if f'"{name}(' not in written] == []
    assert [(row[0], float(row[3])) for row in rows(THEORY, "name")] == [
        (name, THRESHOLD[kind]) for name, kind in zip(names, kinds, strict=True)
    ]


@pytest.mark.parametrize("row", rows(THEORY, "number of the code"), ids=lambda row: row[0])
def test_numbers_of_the_certificate(row: list[str]) -> None:
    module, _, name = row[0].rpartition(".")
    assert float(Fraction(row[1])) == pytest.approx(getattr(import_module(module), name), rel=1e-12)


def test_verdicts_roles_and_evidence() -> None:
    table = rows(THEORY, "verdict")
    assert tuple(row[0] for row in table) == get_args(Verdict)
    assert {e for e in get_args(Evidence) for row in table if e in row[2]} == set(get_args(Evidence))
    assert tuple(row[0] for row in rows(THEORY, "role")) == get_args(Role)


def test_references_are_those_of_circuits_and_code() -> None:
    """An arXiv number of the page stands elsewhere too; who is cited with a year is among its references."""
    text = (ROOT / THEORY).read_text(encoding="utf-8")
    elsewhere = "".join(p.read_text(encoding="utf-8") for p in citing() if p.name != "theory.md")
    assert [n for n in re.findall(r"arXiv:\d{4}\.\d{5}", text) if n not in elsewhere] == []
    body, _, references = text.partition("## 7. References")
    entries = re.findall(r"^- (.*)$", references.replace("\n  ", " "), re.MULTILINE)
    cited = set(re.findall(r"([A-Z]\w+)(?: et al\.|(?:, \w+)* & \w+)? (\d{4})\b", body))
    assert len(cited) > 5
    assert [(n, y) for n, y in sorted(cited) if not any(n in e and y in e for e in entries)] == []


# ---------------------------------------------------------------- the house


def test_the_floors_of_the_page_are_those_of_the_code() -> None:
    told = [frozenset(re.split(r", ", row[1])) for row in rows("docs/architecture.md", "floor")]
    assert tuple(told) == FLOORS


def test_the_rooms_of_derive() -> None:
    assert tuple(row[0] for row in rows("docs/architecture.md", "room of derive")) == DERIVE


# ---------------------------------------------------------------- versions


def test_version_and_licence_are_cited_as_they_are() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = dict(re.findall(r"^([\w-]+): (\S.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE))
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert {"cff-version", "message", "title"} <= cited.keys()


def test_the_changelog_has_the_version() -> None:
    """Under a head of its own, or, before it is released, under the first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts = headings(ROOT / "CHANGELOG.md")
    versions = [name for name in parts if name.startswith("[")]
    assert versions[0] == "[Unreleased]"
    assert project["version"] in parts["[Unreleased]"] or any(f"[{project['version']}]" in v for v in versions)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert {name for name in parts if name not in versions} - {"Changelog"} <= kinds
