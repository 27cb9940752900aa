"""Drawings: nothing lies over anything else, all that is there is shown and told, the same circuit is drawn alike."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from drawn import LOOPS, by_chance, chain, fan_in, faults

import circuitdsl as cd
from circuitdsl.cli.main import run
from circuitdsl.draw.drawing import Drawing
from circuitdsl.graph.ir import Kind
from circuitdsl.shipped import library_path

LIBRARY = library_path()
CIRCUITS = sorted(
    p.relative_to(LIBRARY).as_posix() for p in LIBRARY.rglob("*.circ") if p.parent.name not in ("rules", "motifs")
)
SVG = "{http://www.w3.org/2000/svg}"
ASSEMBLY = "heterosynaptic/self_assembly.circ"


def words(drawing: Drawing) -> list[str]:
    """The texts of a drawing, as a reader of the SVG finds them."""
    root = ElementTree.fromstring(drawing.svg())
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


# ---------------------------------------------------------------- nothing over anything else


@pytest.mark.parametrize("name", CIRCUITS)
def test_every_circuit_of_the_library_is_drawn_clearly(name: str) -> None:
    circuit = cd.load(LIBRARY / name)
    drawing = circuit.draw()
    assert list(faults(drawing.places)) == []
    written = words(drawing)
    assert {p.name for p in circuit.ir.populations.values() if p.kind is not Kind.BIAS} <= set(written)
    heads = {text.split("  ")[0] for text in written}
    assert circuit.ir.synapses.keys() | {m.name for m in circuit.ir.modulators()} <= heads
    dendrites = [d.rpartition(".")[2] for p in circuit.ir.populations.values() for d in p.dendrites]
    assert all(written.count(name) >= dendrites.count(name) for name in dendrites)


@pytest.mark.parametrize(
    "text",
    [fan_in(12), chain(30), LOOPS, *(by_chance(seed, 2 + seed) for seed in range(5)), by_chance(5, 20)],
    ids=["fan-in", "chain", "loops", *(f"by chance {seed}" for seed in range(6))],
)
def test_invented_circuits_are_drawn_clearly(text: str) -> None:
    circuit = cd.loads(text)
    drawing = circuit.draw(verdicts=len(circuit.ir.populations) < 10)
    assert list(faults(drawing.places)) == []
    assert drawing.places.lines.keys() >= circuit.ir.synapses.keys()


def test_what_lies_over_something_is_noticed() -> None:
    places = cd.load(ASSEMBLY).draw().places
    moved = replace(places, boxes={**places.boxes, "out": places.boxes["err"]})
    assert any(fault.startswith("box") for fault in faults(moved))
    a, b = places.boxes["L[1].a"], places.boxes["out"]
    through = replace(places, lines={**places.lines, "Wo": ((a.x + 9, a.y + 90), (b.x + 9, b.y - 9))})
    assert any("runs through box" in fault for fault in faults(through))
    same = replace(places, lines={**places.lines, "L[1].B": places.lines["L[2].B"]})
    assert any("run on one another" in fault for fault in faults(same))


def test_credit_descends_beside_what_ascends() -> None:
    boxes = cd.load(ASSEMBLY).draw().places.boxes
    heights = [boxes[name].y for name in ("x", "L[1].a", "L[2].a", "out")]
    assert heights == sorted(heights, reverse=True)
    for up, down in (("L[1].a", "L[1].d"), ("L[2].a", "L[2].d"), ("out", "err")):
        middle = [boxes[n].y + boxes[n].height / 2 for n in (up, down)]
        assert abs(middle[0] - middle[1]) < 20
        assert boxes[up].x < boxes[down].x


# ---------------------------------------------------------------- what is told


def test_the_verdict_stands_at_each_learning_synapse() -> None:
    circuit = cd.load("heterosynaptic/kolen_pollack.circ")
    written = words(circuit.draw())
    assert written[written.index("W1") + 1] == "⇒ gradient, proved"
    assert written[written.index("W2") + 1] == "⇒ exact, proved"
    assert written[written.index("V2") + 1] == "→ W2ᵀ"
    assert not any("⇒" in text for text in words(circuit.draw(verdicts=False)))


def test_what_algebra_leaves_open_is_said_to_be_open() -> None:
    assert "⇒ open" in words(cd.load("models/predictive_coding.circ").draw())


def test_signs_masks_starts_and_modulators_are_told() -> None:
    drawing = cd.loads(LOOPS).draw()
    written = words(drawing)
    assert {"R  no self · sparse 0.1", "R3  from prev(b) · 1:1", "D  1:1", "excites", "inhibits", "bias"} <= set(
        written
    )
    assert "V2  starts as W2ᵀ" in words(cd.load("models/predictive_coding.circ").draw())
    told = words(cd.load("models/equilibrium_propagation.circ").draw())
    assert told.count("◇ nudge") == 5
    assert "nudge" in told


def test_readers_of_screens_are_told_what_is_to_be_seen() -> None:
    root = ElementTree.fromstring(cd.load(ASSEMBLY).draw().svg())
    labelled = root.attrib["aria-labelledby"].split()
    ids = {e.attrib["id"]: e for e in root.iter() if "id" in e.attrib}
    assert [ids[name].tag for name in labelled] == [f"{SVG}title", f"{SVG}desc"]
    assert root.attrib["role"] == "img"
    about = ids[labelled[1]].text or ""
    assert "L[1].W: x → L[1].a.basal, plastic; ⇒ gradient, derived" in about
    tips = [e.text for e in root.iter(f"{SVG}title")]
    assert "x, input, 64 units" in tips


# ---------------------------------------------------------------- files


def test_the_same_circuit_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = cd.load("classic/oja.circ").draw(), cd.load("classic/oja.circ").draw()
    for form, start in (("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")):
        assert one.rendered(form) == two.rendered(form)
        assert one.save(tmp_path / f"oja.{form}").read_bytes().startswith(start)
    with pytest.raises(ValueError, match="svg, png, pdf"):
        one.save(tmp_path / "oja.gif")


def test_the_order_of_hashing_changes_nothing() -> None:
    program = f"import circuitdsl as cd; print(cd.load({ASSEMBLY!r}).draw().svg())"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(LIBRARY.parent)},
            capture_output=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(printed) == 1


def test_drawing_needs_no_library_but_lark() -> None:
    program = f"""
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numpy", "networkx", "matplotlib", "xarray", "scipy"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Wall())
from circuitdsl.cli.main import main
main(["draw", {ASSEMBLY!r}])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("<svg")


def test_ground_is_dark_where_asked_for() -> None:
    drawing = cd.load("classic/oja.circ").draw()
    assert "prefers-color-scheme" in drawing.svg()
    assert "prefers-color-scheme" not in drawing.svg("dark")
    assert drawing.rendered("png", "dark") != drawing.rendered("png")
    assert drawing._repr_svg_() == drawing.svg()


# ---------------------------------------------------------------- the command


def test_draw_writes_what_the_ending_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["draw", "oja", "-o", str(tmp_path / "oja.svg")]) == 0
    assert run(["draw", "oja"]) == 0
    out = capsys.readouterr().out
    assert out.endswith((tmp_path / "oja.svg").read_text(encoding="utf-8"))
    assert run(["draw", "oja", "--json", "--out", str(tmp_path / "oja.pdf")]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == str(tmp_path / "oja.pdf")


def test_draw_takes_params(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["draw", ASSEMBLY, "--set", "depth=3", "--no-verdicts"]) == 0
    out = capsys.readouterr().out
    assert ">L[3].a</text>" in out
    assert "⇒" not in out


def test_draw_says_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["draw", "oja", "-o", str(tmp_path / "oja.gif")]) == 2
    assert ".svg, .png, .pdf" in capsys.readouterr().err
    assert run(["draw", "nowhere.circ"]) == 2
    (tmp_path / "bad.circ").write_text("circuit a { input x: }")
    assert run(["draw", str(tmp_path / "bad.circ"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
