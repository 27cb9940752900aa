"""The report of a circuit: what it looks like, its equations and methods, what it amounts to, and what it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.derive.tell.expects import judge
from circuitdsl.draw.drawing import Drawing
from circuitdsl.graph import ir
from circuitdsl.plot.figures import pdf, svg
from circuitdsl.plot.panels import Panel, panels_of
from circuitdsl.report import told
from circuitdsl.report.document import MARKS, Code, Document, Line, Listing, Paragraph, Part, Picture, Section, Table
from circuitdsl.report.methods import equations, methods
from circuitdsl.report.trained import OWN, TWIN, Trained
from circuitdsl.runtime.statistics import over_seeds

if TYPE_CHECKING:
    import xarray as xr

    from circuitdsl.certify.certificate import Certificate


def report(
    graph: ir.Circuit,
    numbers: Mapping[str, float],
    drawing: Drawing,
    derivation: Derivation,
    *,
    certificate: Certificate | None = None,
    trained: Trained | None = None,
    origin: str,
) -> Document:
    """The whole document; without a certificate or runs it does without their sections."""
    sections = [
        Section(title="Drawing", parts=[drawn(drawing)]),
        equations(graph),
        methods(graph, numbers, _data(trained)),
        told.derivation(derivation, judge(derivation)),
    ]
    sections += [told.certificate(certificate)] if certificate is not None else []
    sections += [training(graph, numbers, trained)] if trained is not None and trained.runs else []
    sections += [Section(title="Text", parts=[Listing(title=f"{graph.name}.circ", text=graph.text)])]
    return Document(title=graph.name, about=about(graph), sections=sections, origin=origin)


def about(graph: ir.Circuit) -> list[Paragraph]:
    """What the circuit says of itself."""
    doc = [" ".join(part.split()) for part in (graph.doc or "").split("\n\n")]
    return [Paragraph(line=part) for part in doc if part]


def drawn(drawing: Drawing, name: str = "drawing") -> Picture:
    return Picture(name=name, caption="", svg=drawing.svg, pdf=partial(drawing.rendered, "pdf"))


def _data(trained: Trained | None) -> list[Sequence[Line]]:
    if trained is None or trained.examples is None:
        return []
    train, test = trained.examples
    return [["examples", f"{train:,} to train, {test:,} to test"]]


# ---------------------------------------------------------------- training


def training(graph: ir.Circuit, numbers: Mapping[str, float], trained: Trained) -> Section:
    """What was reached, what was expected, and how it went."""
    parts: list[Part] = [Table(head=("run", "seeds", "epochs", "metric", "loss"), rows=list(_reached(trained.runs)))]
    parts += _expected(graph, numbers, trained)
    parts += [Paragraph(line=note, kind="faint") for note in trained.notes]
    parts += pictured(panels_of(trained.runs), "curves")
    if trained.rasters:
        parts.append(Paragraph(line="Spikes in one test example, after training", kind="head"))
        parts += pictured(trained.rasters, "spikes")
    return Section(title="Training", parts=parts)


def _reached(runs: Mapping[str, xr.Dataset]) -> Iterator[Sequence[Line]]:
    for called, run in runs.items():
        seeds = run.sizes.get("seed", 1)
        diverged = " (diverged)" if run["diverged"].values.any() else ""
        yield [called + diverged, str(seeds), str(run.sizes["epoch"] - 1), last(run, "metric"), last(run, "loss")]


def last(run: xr.Dataset, name: str) -> str:
    """The mean over the seeds at the end, with its 95 % interval (Student's t)."""
    found = over_seeds(ends(run, name))
    if found.seeds == 0:
        return "none"
    return f"{found.mean:.4f}" if found.seeds < 2 else f"{found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]"


def ends(run: xr.Dataset, name: str) -> list[float]:
    """What each seed ended with: after the last of its epochs."""
    values, done = run[name].values.reshape(-1, run.sizes["epoch"]), run["epochs_done"].values.reshape(-1)
    diverged = run["diverged"].values.reshape(-1)
    return [float("nan") if d else float(row[int(n)]) for row, n, d in zip(values, done, diverged, strict=True)]


def _expected(graph: ir.Circuit, numbers: Mapping[str, float], trained: Trained) -> Iterator[Part]:
    from circuitdsl.runtime.expects import judge as judge_metric

    if OWN not in trained.runs:
        return
    twin = over_seeds(ends(trained.runs[TWIN], "metric")).mean if TWIN in trained.runs else None
    metric = over_seeds(ends(trained.runs[OWN], "metric")).mean
    for judged in judge_metric(graph, metric, twin, numbers, own_settings=trained.own_settings):
        aside = "" if judged.ok is not None else " (not judged: these are not the task's own settings)"
        value = "" if judged.value is None else f": {judged.value:.4f}"
        yield Paragraph(line=["expect ", Code(judged.text), value, aside], mark=MARKS[judged.ok])


def pictured(panels: Sequence[Panel], name: str) -> Iterator[Picture]:
    """Each panel as a picture of its own, so that a narrow page has them below one another."""
    for number, panel in enumerate(panels):
        one = f"{name}{number + 1}"
        yield Picture(name=one, caption="", svg=partial(svg, panel, one), pdf=partial(pdf, [panel], one), small=True)
