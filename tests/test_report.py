"""`report` and `compare`: what the pages say is what the circuit says, whatever its text holds, and they are whole."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import circuitdsl as cd
from circuitdsl.cli.main import run
from circuitdsl.graph import ir
from circuitdsl.markup.mathml import mathml
from circuitdsl.report.formulas import Writer, initial, number, symbol
from circuitdsl.report.methods import equations, methods
from circuitdsl.shipped import library_path

HOSTILE = r"</style><script>alert(1)</script> $ \input{x} & % #1 ~ ^ _ {} ü η 中 <b>"
TEXT = f'''circuit spiky {{
  """{HOSTILE}"""
  param eta = 0.05  # the rate of learning
  param slow = eta / 4
  input x: 4
  target y: 3
  neuron h: 5 {{
    dendrite basal
    state v = 0.5
    rate = step(v - 1)
    dv = basal - 0.1 * v - rate * v
  }}
  neuron out: 3 {{ dendrite basal   state n = 0   rate = softmax(basal)   dn = rate }}
  neuron err: 3 {{ rate = y - out }}
  synapse W: x -> h.basal {{ init = uniform(0, 1)   connect = sparse(0.8)   sign = excitatory   bounds = [0, 2] }}
  synapse Wo: h -> out.basal {{ dw = eta * err * pre - slow * w }}
  synapse b: bias -> out.basal {{ dw = -(eta * 2 * err * pre) }}
  schedule {{ phase show: 6 }}
  loss = cross_entropy(out, y)
  record norm(Wo), mean(Wo), h
  expect metric >= 0.1
  task iris {{ data = iris   epochs = 1   batch = 4   metric = accuracy(out, y) }}
}}'''


@pytest.fixture(scope="module")
def spiky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "spiky.circ"
    file.write_text(TEXT, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def page(spiky: Path) -> str:
    """The whole page, from two seeds of the reference interpreter."""
    out = spiky.with_suffix(".html")
    assert run(["report", str(spiky), "-o", str(out), "--no-measure", "--seeds", "2", "--target", "reference"]) == 0
    return out.read_text(encoding="utf-8")


class Seen(HTMLParser):
    """The elements of a page, those that do not end, and every attribute that could fetch something."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.wrong: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "data", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_a_page_is_whole_and_needs_nothing_else(page: str) -> None:
    seen = Seen(page)
    assert seen.wrong == []
    assert seen.open == []
    assert {"math", "svg", "table", "details", "nav"} <= set(seen.tags)
    assert not {"script", "link", "iframe", "object", "embed", "b"} & set(seen.tags)
    assert all(f.startswith(("#", "data:")) for f in seen.fetched)
    assert not re.search(r"url\((?!#)|@import", page)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert "width=device-width" in page


def test_a_page_says_what_the_circuit_says(page: str) -> None:
    words = "".join(Seen(page).words)
    for said in ("alert(1)", "spiking neurons", "excitatory", "each with probability", "the rate of learning",
                 "expect metric >= 0.1", "backpropagation", "120 to train, 30 to test", "iris"):  # fmt: skip
        assert said in words, said
    for title in ("Drawing", "Equations", "Methods", "Derivation", "Training", "Text"):
        assert f">{title}</h2>" in page
    assert "Spikes in one test example" in words
    assert "norm(Wo)" in words


def test_equations_are_those_of_the_text() -> None:
    circuit = cd.loads(TEXT).ir
    shown = {math.latex for part in equations(circuit).parts for math, _ in getattr(part, "rows", ())}
    assert {
        r"h^{\text{basal}}_{i} = \sum_{j} W_{ij}\,x_{j}",
        r"\Delta v^{\text{h}}_{i} = h^{\text{basal}}_{i} - 0.1\,v^{\text{h}}_{i} - h_{i}\,v^{\text{h}}_{i}"
        r",\quad v^{\text{h}}_{i}(0) = 0.5",
        r"h_{i} = \mathbf{1}[v^{\text{h}}_{i} - 1 > 0]",
        r"\text{out}^{\text{basal}}_{i} = \sum_{j} \text{Wo}_{ij}\,h_{j} + b_{i}",
        r"\text{out}_{i} = \operatorname{softmax}(\text{out}^{\text{basal}})_{i}",
        r"\Delta \text{Wo}_{ij} = \eta\,\text{err}_{i}\,h_{j} - \text{slow}\,\text{Wo}_{ij}",
        r"\Delta b_{i} = -\eta \cdot 2\,\text{err}_{i}",
        r"L = \text{cross\_entropy}(\text{out}, y)",
    } <= shown


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("a - (b - c)", "a - (b - c)"),
        ("a - (b + c)", "a - (b + c)"),
        ("a + (b - c)", "a + b - c"),
        ("a * (b + c)", r"a\,(b + c)"),
        ("(a * b) * c", r"a\,b\,c"),
        ("a / (b * c)", r"\frac{a}{b\,c}"),
        ("(a + b)^2", "(a + b)^{2}"),
        ("a^b^c", "a^{b^{c}}"),
        ("(a^b)^c", "(a^{b})^{c}"),
        ("-(a + b)", "-(a + b)"),
        ("-a * b", r"-a\,b"),
        ("(-a - b) * c", r"(-a - b)\,c"),
        ("-(a - b) * c", r"-(a - b)\,c"),
        ("2 * 3 * a", r"2 \cdot 3\,a"),
        ("(a < b) * c", r"\mathbf{1}[a < b]\,c"),
        ("where(a > b, a, c)", r"\begin{cases} a & \text{if } a > b \\ c & \text{else} \end{cases}"),
        ("sqrt(a) * (a / b + c)", r"\sqrt{a}\,\left( \frac{a}{b} + c \right)"),
        ("max(a, b) - exp(-c)", r"\max(a, b) - \exp(-c)"),
    ],
)
def test_formulas_are_held_together_as_the_text_holds_them(text: str, latex: str) -> None:
    params = "param a = 1   param b = 2   param c = 3"
    circuit = cd.loads(f"circuit f {{ {params}   input x: 2   neuron n: 2 {{ rate = x + ({text}) }} }}").ir
    rate = circuit.values["n"].expr
    assert isinstance(rate, ir.Apply)
    assert Writer(circuit).of(rate.arguments[1]) == latex


def test_symbols_and_numbers() -> None:
    assert symbol("W1", index="ij") == "W_{1,ij}"
    assert symbol("L[1].F", index="ij") == r"F^{\text{L[1]}}_{ij}"
    assert symbol("eta") == r"\eta"
    assert symbol("g_ex", index="i") == r"\text{g\_ex}_{i}"
    assert number(1e-5) == "10^{-5}"
    assert number(2.5e-7) == r"2.5 \times 10^{-7}"
    assert number(-0.5) == "-0.5"


@pytest.mark.parametrize("folder", ["heterosynaptic", "models", "optimizers", "recurrent", "metalearning"])
def test_formulas_of_the_library_can_be_set(folder: str) -> None:
    for path in sorted((library_path() / folder).glob("*.circ")):
        graph, numbers = cd.load(path).with_params({})
        tables = methods(graph, numbers)
        assert len(tables.parts) >= 2
        rows = [row for part in equations(graph).parts for row in getattr(part, "rows", ())]
        found = [math.latex for math, _ in rows] + [initial(graph, s.init) for s in graph.synapses.values()]
        for latex in found:
            shown = mathml(latex).text
            assert shown.startswith("<math"), (path.name, latex)
            ElementTree.fromstring(shown)
            assert latex.count("{") == latex.count("}")


def test_a_formula_that_cannot_be_read_is_shown_as_it_is() -> None:
    assert mathml(r"\frac{a} < \b").text.startswith(("<code>", "<math"))
    assert "<script>" not in mathml(r"\text{<script>}").text


def test_latex_compiles(spiky: Path) -> None:
    out = spiky.with_name("paper.tex")
    given = ["--no-measure", "--seeds", "1", "--target", "reference", "--epochs", "1"]
    assert run(["report", str(spiky), "-o", str(out), *given]) == 0
    text = out.read_text(encoding="utf-8")
    assert text.startswith(r"\documentclass")
    assert r"\textbackslash{}input\{x\}" in text
    assert "[U+4E2D]" in text
    pictures = re.findall(r"\\includegraphics\[[^]]*\]\{([^}]*)\}", text)
    assert "paper-drawing.pdf" in pictures
    assert all((out.parent / name).read_bytes().startswith(b"%PDF") for name in pictures)
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex: the LaTeX report is not compiled")
    line = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", out.name]
    done = subprocess.run(line, cwd=out.parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


def test_ways_to_ask(spiky: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    quick = ["--no-run", "--no-measure"]
    assert run(["report", str(spiky), *quick]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")
    assert run(["report", str(spiky), *quick, "--format", "latex"]) == 0
    assert capsys.readouterr().out.startswith(r"\documentclass")
    assert run(["report", str(spiky), *quick, "-o", str(tmp_path / "a.html"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == [str(tmp_path / "a.html")]
    assert run(["report", str(spiky), *quick, "-o", str(tmp_path / "a.doc")]) == 2
    assert run(["report", str(spiky), *quick, "-o", str(tmp_path / "a.tex"), "--format", "html"]) == 2
    assert run(["report", str(spiky), "--run", str(tmp_path / "none.nc")]) == 2
    assert run(["report", str(spiky), "--run", str(spiky)]) == 2
    assert "is not a saved run" in capsys.readouterr().err


def test_saved_runs_are_shown(spiky: Path, tmp_path: Path) -> None:
    simulation = cd.load(spiky).compile("reference")
    simulation.run(seeds=2, out=tmp_path / "own.nc")
    simulation.run(learn="backprop", out=tmp_path / "twin.nc")
    out = tmp_path / "page.html"
    given = [str(x) for f in ("own.nc", "twin.nc") for x in ("--run", tmp_path / f)]
    assert run(["report", str(spiky), "--no-measure", "-o", str(out), *given]) == 0
    page = out.read_text(encoding="utf-8")
    assert "the circuit" in page
    assert "backpropagation" in page
    assert "not judged" in page


# ---------------------------------------------------------------- compare


def test_two_circuits(capsys: pytest.CaptureFixture[str], spiky: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.circ"
    other.write_text(TEXT.replace("eta = 0.05", "eta = 0.01").replace("spiky", "calm"), encoding="utf-8")
    assert run(["compare", str(spiky), str(other), "--json", "-o", str(tmp_path / "both.html")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["params"]["eta"] == {"left": 0.05, "right": 0.01}
    assert told["params"]["slow"]["right"] == pytest.approx(0.0025)
    assert not told["same_text"]
    assert "+  param eta = 0.01  # the rate of learning" in told["text"]
    assert set(told["verdicts"]) == {"Wo", "b"}
    seen = Seen((tmp_path / "both.html").read_text(encoding="utf-8"))
    assert seen.wrong == []
    assert seen.open == []
    assert seen.tags.count("svg") == 2
    assert run(["compare", str(spiky), str(spiky)]) == 0
    assert "the texts are the same" in capsys.readouterr().out


def test_two_runs(capsys: pytest.CaptureFixture[str], spiky: Path, tmp_path: Path) -> None:
    """Differences over the same seeds are those of the pairs, by SciPy's interval."""
    from scipy import stats

    simulation = cd.load(spiky).compile("reference")
    left = simulation.run(seeds=3, out=tmp_path / "a.nc")
    right = simulation.run(seeds=3, epochs=2, params={"eta": 0.2}, out=tmp_path / "b.nc")
    assert run(["compare", str(tmp_path / "a.nc"), str(tmp_path / "b.nc"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["settings"]["epochs"] == {"left": "1", "right": "2"}
    assert told["params"]["eta"] == {"left": 0.05, "right": 0.2}
    for name in ("metric", "loss", "norm(Wo)"):
        a, b = left[name].values[:, -1], right[name].values[:, -1]
        found = told["figures"][name]
        assert found["paired"]
        assert found["left"]["mean"] == pytest.approx(a.mean())
        difference = b - a
        half = stats.t.ppf(0.975, 2) * stats.sem(difference)
        low, high = difference.mean() - half, difference.mean() + half
        assert [found["difference"][k] for k in ("mean", "low", "high")] == pytest.approx(
            [difference.mean(), low, high], abs=1e-6
        )
    one = simulation.run(seed=7, seeds=2, out=tmp_path / "c.nc")
    assert run(["compare", str(tmp_path / "a.nc"), str(tmp_path / "c.nc")]) == 0
    assert np.isfinite(one["loss"].values).all()
    assert "difference" in capsys.readouterr().out


def test_a_run_whose_text_is_not_to_be_had_is_compared(spiky: Path, tmp_path: Path) -> None:
    from circuitdsl.report.compare import Compared, read_side
    from circuitdsl.runtime.request import Request
    from circuitdsl.runtime.results import write

    made = cd.load(spiky).run(target="reference", epochs=0)
    write(tmp_path / "a.nc", made.assign_attrs(source='import "gone.circ"\ncircuit c { input x: 1 }'))
    asked = {"request": Request(), "seeds": None, "measure": False, "target": "reference", "progress": False}
    side = read_side(str(tmp_path / "a.nc"), **asked)  # type: ignore[arg-type]
    assert side.circuit is None
    assert side.verdicts == {}
    both = Compared(left=side, right=read_side(str(spiky), **asked))  # type: ignore[arg-type]
    assert both.figures() == []
    assert both.text


def test_a_sheet_has_every_circuit() -> None:
    """docs/library.svg, which `python -m circuitdsl.report.sheet` writes."""
    from circuitdsl.report.sheet import sheet

    root = Path(__file__).resolve().parents[1]
    shown = (root / "docs" / "library.svg").read_text(encoding="utf-8")
    for path in library_path().rglob("*.circ"):
        if re.search(r"^circuit ", path.read_text(encoding="utf-8"), re.M):
            assert f">{path.relative_to(library_path()).as_posix()}<" in shown, path.name
    small = sheet([("a <b>.circ", cd.loads(TEXT).draw(verdicts=False))])
    ElementTree.fromstring(small)
