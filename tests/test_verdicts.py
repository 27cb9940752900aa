"""What is derived of the library: every verdict that must, and must not, be given (theory.md, sections 3 and 4)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from circuitdsl.derive.tell.derivation import Derivation, derive
from circuitdsl.derive.tell.expects import judge, satisfies
from circuitdsl.derive.tell.latex import latex_page
from circuitdsl.derive.tell.page import page
from circuitdsl.graph.ir import ExpectVerdict
from circuitdsl.graph.resolve import load_file
from circuitdsl.report.verdicts import library

LIBRARY = Path(__file__).resolve().parents[1] / "circuits"
CIRCUITS = sorted(p for p in LIBRARY.rglob("*.circ") if load_file(p).circuit is not None)


def derived(path: str, **params: float) -> Derivation:
    circuit = load_file(LIBRARY / path, overrides=params).circuit
    assert circuit is not None
    return derive(circuit)


@pytest.mark.parametrize("path", CIRCUITS, ids=lambda p: p.stem)
def test_nothing_that_is_derived_breaks_an_expectation(path: Path) -> None:
    derivation = derived(str(path.relative_to(LIBRARY)))
    judgements = judge(derivation)
    assert [j.text for j in judgements if j.ok is False] == []
    assert page(derivation, judgements)
    decided = {f.synapse for f in derivation.findings.values() if f.role == "learning" and f.verdict}
    expected = {s for e in derivation.circuit.expects if isinstance(e, ExpectVerdict) for s in e.synapses}
    assert not decided or expected & decided, "the circuit expects nothing of what it learns"


@pytest.mark.parametrize(
    ("path", "synapse", "verdict", "evidence"),
    [
        ("classic/delta_rule.circ", "W", "exact", "proved"),
        ("heterosynaptic/tied_feedback.circ", "W1", "exact", "proved"),
        ("heterosynaptic/kolen_pollack.circ", "W1", "gradient", "proved"),
        ("heterosynaptic/self_assembly.circ", "L[1].W", "gradient", "derived"),
        ("heterosynaptic/feedback_alignment.circ", "W1", "descent", "derived"),
        ("heterosynaptic/direct_feedback_alignment.circ", "W1", "descent", "derived"),
        ("classic/hebb.circ", "W", "none", "proved"),
        ("classic/oja.circ", "W", "none", "proved"),
        ("classic/bcm.circ", "W", "none", "proved"),
        ("classic/anti_hebb.circ", "W", "none", "proved"),
        ("optimizers/momentum.circ", "W1", "gradient", "derived"),
        ("optimizers/rmsprop.circ", "W1", "gradient", "derived"),
        ("optimizers/adam.circ", "W1", "gradient", "derived"),
        ("counterexamples/flipped_output.circ", "W1", "ascent", "proved"),
        ("counterexamples/flipped_feedback.circ", "W1", "inconsistent", "proved"),
        ("counterexamples/descending_gain.circ", "W2", "gradient", "proved"),
        ("counterexamples/descending_gain.circ", "W1", "descent", "derived"),
        ("counterexamples/tanh_without_derivative.circ", "W1", "aligned", "proved"),
        ("counterexamples/ungated_relu.circ", "W1", "aligned", "proved"),
    ],
)
def test_verdicts(path: str, synapse: str, verdict: str | None, evidence: str | None) -> None:
    found = derived(path)[synapse]
    assert (found.verdict, found.evidence) == (verdict, evidence)


def test_five_layers_of_kolen_pollack_are_proved_with_the_identity() -> None:
    derivation = derived("heterosynaptic/kolen_pollack_deep.circ")
    learning = [f for f in derivation.findings.values() if f.role == "learning"]
    assert len(learning) >= 6
    assert {f.H for f in learning} == {"I"}
    assert {f.evidence for f in learning} == {"proved"}
    assert derivation.dc is True


@pytest.mark.parametrize("depth", [2, 3, 5, 20])
def test_self_assembly_at_every_depth(depth: int) -> None:
    derivation = derived("heterosynaptic/self_assembly.circ", depth=depth)
    for layer in range(1, depth + 1):
        found = derivation[f"L[{layer}].W"]
        assert found.verdict == "gradient", found.because
        assert found.H is not None
        assert f"L[{layer}].F" in found.H


def test_one_flipped_gain_is_inconsistent() -> None:
    derivation = derived("counterexamples/flipped_feedback.circ")
    assert derivation.dc is False
    assert derivation["W2"].verdict == "descent"
    assert derivation["W3"].verdict == "exact"


def test_the_page_of_verdicts_is_up_to_date() -> None:
    """Everything on docs/verdicts.md that algebra decides is what it decides now, and nothing contradicts it."""
    text = (LIBRARY.parent / "docs" / "verdicts.md").read_text(encoding="utf-8")
    assert "Contradicted: none." in text
    assert "✗ |" not in text
    told: dict[str, set[tuple[str, ...]]] = {}
    for line in text.splitlines():
        if line.startswith("### "):
            rows = told.setdefault(line.removeprefix("### "), set())
        elif line.startswith("| `"):
            synapse, verdict, evidence = (cell.strip("`* ") for cell in line.split(" | ")[:3])
            if evidence in ("proved", "derived"):
                rows.add((synapse.removeprefix("| `"), verdict, evidence))
    circuits = dict(library())
    assert told.keys() == circuits.keys(), "run `make verdicts`"
    learning = 0
    for path, circuit in circuits.items():
        findings = circuit.derive(measure=False).findings.values()
        learning += sum(f.role == "learning" for f in findings)
        assert told[path] == {
            (f.synapse, str(f.verdict), str(f.evidence)) for f in findings if f.evidence in ("proved", "derived")
        }, f"{path}: run `make verdicts`"
    assert f"\n{len(circuits)} circuits, {learning} learning synapses; " in text


@pytest.mark.parametrize(
    ("verdict", "wanted", "ok"),
    [
        ("exact", "descent", True),
        ("gradient", "aligned", True),
        ("exact", "aligned", True),
        ("aligned", "descent", False),
        ("descent", "aligned", False),
        ("descent", "gradient", False),
        ("none", "none", True),
        ("ascent", "descent", False),
    ],
)
def test_stronger_satisfies_weaker(verdict: str, wanted: str, ok: bool) -> None:
    assert satisfies(verdict, wanted) is ok


@pytest.mark.parametrize("path", CIRCUITS, ids=lambda p: p.stem)
def test_latex_is_balanced(path: Path) -> None:
    derivation = derived(str(path.relative_to(LIBRARY)))
    text = latex_page(derivation, judge(derivation))
    assert text.startswith(r"\documentclass")
    assert text.isascii(), {c for c in text if not c.isascii()}
    plain = text.replace(r"\$", "").replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")
    assert text.count(r"\begin{") == text.count(r"\end{")
    assert text.count(r"\left") == text.count(r"\right") + text.count(r"\leftarrow")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.parametrize("path", CIRCUITS, ids=lambda p: p.stem)
def test_latex_compiles(path: Path, tmp_path: Path) -> None:
    derivation = derived(str(path.relative_to(LIBRARY)))
    (tmp_path / "page.tex").write_text(latex_page(derivation, judge(derivation)))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout
