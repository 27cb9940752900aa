"""Every example of the pages in docs/ is what it says: circuits load, wrong ones are refused with the code that
the page names, commands print what the page shows, Python runs.

As in the README (tests/test_docs.py), whose tools these are, with two more words in the comment above a
```circ``` block: `<!-- fragment -->` for items of a circuit, of which the test supplies the rest, and
`<!-- error:C031 -->` for a fragment that is refused. What a command measured may differ a little from
the page. `python tests/test_docs_pages.py` puts what the commands print now into the pages.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import pytest
from test_docs import ROOT, Block, blocks, commands, output, words

import circuitdsl as cd
from circuitdsl.api import UsageError

#: Written by commands of their own, which have their own tests.
GENERATED = {"errors.md", "json.md", "verdicts.md"}
DOCS = ROOT / "docs"
PAGES = {
    p.relative_to(DOCS).as_posix(): p.read_text(encoding="utf-8")
    for p in sorted((*DOCS.glob("*.md"), *DOCS.glob("howto/*.md")))
    if p.name not in GENERATED
}
BLOCKS = [(page, block) for page, text in PAGES.items() for block in blocks(text)]

#: What a fragment finds around it, unless it declares the name itself.
AROUND = {
    "eta": "param eta = 0.05",
    "gamma": "param gamma = 0.01",
    "x": "input x: 64",
    "y": "target y: 10",
    "h": "neuron h: 64 { dendrite basal, apical   rate = relu(basal) }",
    "out": "neuron out: 10 { dendrite basal   rate = softmax(basal) }",
    "err": "neuron err: 10 { rate = y - out }",
    "W1": "synapse W1: x -> h.basal { dw = eta * post.apical * step(post.basal) * pre - eta * gamma * w }",
    "W2": "synapse W2: h -> out.basal { dw = eta * err * pre }",
    "V2": "synapse V2: err -> h.apical",
}
DECLARATION = re.compile(r"\b(?:param|input|target|neuron|synapse|modulator)\s+(\w+)")

#: What a run measured, and by how much it may differ from the page: the random numbers are the same everywhere, the
#: last bits of exp() are not.
MEASURED = re.compile(r"(?:\w+\([^()]*\)|metric|backprop|loss|ratio|first,|[<>]= [\d.]+)\s+(-?\d\.\d+)")
TOLERANCE = 0.04


def whole(fragment: str) -> str:
    """A circuit around the items of a fragment."""
    declared = set(DECLARATION.findall(fragment))
    rest = [text for name, text in AROUND.items() if name not in declared]
    loss = [] if re.search(r"\bloss\s*=", fragment) else ["loss = cross_entropy(out, y)"]
    return "\n".join(["circuit fragment {", fragment, *rest, *loss, "}"])


def prepare(place: Path, page: str) -> None:
    """The files that a page writes, and the library beside them."""
    for block in blocks(PAGES[page]):
        if block.name is not None and "." in block.name:
            (place / block.name).write_text(block.text, encoding="utf-8")
    shutil.copytree(ROOT / "circuits", place / "circuits")


def test_there_are_pages_and_examples() -> None:
    assert {"language.md", "tutorial.md"} <= set(PAGES)
    assert {"circ", "console", "python"} <= {block.language for _, block in BLOCKS}


@pytest.mark.parametrize(
    ("page", "block"), [pytest.param(p, b, id=f"{p}:{b.line}") for p, b in BLOCKS if b.language == "circ"]
)
def test_circuits_are_what_the_page_says(page: str, block: Block, tmp_path: Path) -> None:
    what, _, code = (block.name or "").partition(":")
    match what:
        case "fragment":
            assert [d.title for d in cd.loads(whole(block.text)).warnings] == []
        case "error":
            with pytest.raises(cd.CircuitError) as refused:
                cd.loads(whole(block.text))
            assert {d.code for d in refused.value.diagnostics} == {code}
        case _:
            assert what.endswith(".circ"), "a circuit is a named file, a fragment or an error"
            prepare(tmp_path, page)
            assert [d.title for d in cd.load(tmp_path / what).warnings] == []


@pytest.mark.parametrize("page", [p for p in PAGES if {"console", "python"} & {b.language for b in blocks(PAGES[p])}])
def test_a_page_from_top_to_bottom(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands print what the page says and Python runs, each after what stands before it."""
    prepare(tmp_path, page)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in blocks(PAGES[page]):
        if block.language == "python":
            exec(compile(block.text, f"{page}:{block.line}", "exec"), namespace)
        for command, printed in commands(block) if block.language == "console" else ():
            now = output(command, tmp_path)
            assert words(now) == words(printed), command
            then = [float(v) for v in MEASURED.findall(printed)]
            assert [float(v) for v in MEASURED.findall(now)] == pytest.approx(then, abs=TOLERANCE), command


# ---------------------------------------------------------------- what language.md says in prose


LISTED = """
param sizes = [64, 32, 10]
neuron g: sizes[1] { dendrite basal   rate = relu(basal) }
synapse G: x -> g { dw = 0.01 * post * pre }
record loss, norm(G)
"""


def test_one_element_of_a_structural_list_can_be_set() -> None:
    graph, numbers = cd.loads(whole(LISTED)).with_params({"sizes[1]": 16})
    assert graph.populations["g"].size == 16
    assert numbers["sizes[1]"] == 16
    with pytest.raises(UsageError, match=r"`sizes\[9\]`"):
        cd.loads(whole(LISTED)).with_params({"sizes[9]": 16})


def test_the_loss_can_be_recorded() -> None:
    run = cd.loads(whole(LISTED)).run(target="reference", data="digits", epochs=1, batch=64)
    assert run["loss"].values == pytest.approx(run["loss_"].values)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    headings = {anchor(h) for h in re.findall(r"^#+ (.*)$", PAGES[page], re.MULTILINE)}
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        place, _, part = target.partition("#")
        if not place:
            assert part in headings, target
        elif not place.startswith("http"):
            assert ((DOCS / page).parent / place).exists(), target


def anchor(heading: str) -> str:
    """A heading as a link names it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def update(page: str) -> None:
    """Puts what the commands print now into a page."""
    text = PAGES[page]
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), page)
        for block in blocks(text):
            if block.language == "console":
                new = "".join(f"$ {command}\n{output(command, Path(name))}" for command, _ in commands(block))
                text = text.replace(f"```console\n{block.text}```", f"```console\n{new.rstrip()}\n```", 1)
    (DOCS / page).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for each in PAGES:
        update(each)
