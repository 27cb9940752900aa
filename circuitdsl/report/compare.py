"""Two circuits or two runs side by side: what differs in their texts, params and verdicts, and how their metrics
compare."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, nan, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitdsl.api import Circuit, Request, Simulation, load, loads
from circuitdsl.derive.tell.brief import in_short
from circuitdsl.diagnostics import CircuitError
from circuitdsl.frozen import frozen
from circuitdsl.plot.panels import panels_of
from circuitdsl.report.document import Beside, Code, Document, Line, Listing, Paragraph, Part, Section, Table
from circuitdsl.report.trained import read_run, run_of
from circuitdsl.report.whole import drawn, ends, pictured
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.statistics import Mean, over_seeds, student

if TYPE_CHECKING:
    import xarray as xr

    from circuitdsl.derive.tell.derivation import Derivation

#: What of a run's settings is held against one another.
SETTINGS = ("data", "task", "epochs", "batch", "scale", "learn", "dtype", "target", "validation")


@frozen(kw_only=True)
class Side:
    """One of the two. `circuit` None: the text of a saved run cannot be loaded here. `run` None: it was not trained."""

    name: str
    text: str
    circuit: Circuit | None
    params: Mapping[str, float]
    derivation: Derivation | None
    run: xr.Dataset | None

    @property
    def verdicts(self) -> dict[str, str]:
        """What is derived of each learning synapse, in a few words."""
        if self.derivation is None:
            return {}
        return {f.synapse: in_short(f) for f in self.derivation.findings.values() if f.role == "learning"}

    @property
    def settings(self) -> dict[str, str]:
        return {} if self.run is None else {s: str(self.run.attrs[s]) for s in SETTINGS if s in self.run.attrs}


def read_side(file: str, *, request: Request, seeds: int | None, measure: bool, target: str, progress: bool) -> Side:
    """A circuit, or a run with the circuit that it was one of; with `seeds` a circuit is trained. Raises UsageError,
    CircuitError, OSError."""
    if Path(file).suffix.lower() in (".nc", ".h5", ".netcdf"):
        return _of_run(Path(file), measure)
    circuit = load(file)
    graph, numbers = circuit.with_params(request.params)
    derivation = circuit.derive(params=request.params, measure=measure, task=request.task, data=request.data)
    run = None
    if seeds is not None:
        run = run_of(Simulation(circuit, target=target), request, seeds, progress=progress)
    return Side(
        name=graph.name, text=graph.text, circuit=circuit, params=numbers, derivation=derivation, run=run,
    )  # fmt: skip


def _of_run(file: Path, measure: bool) -> Side:
    run = read_run(file)
    numbers: dict[str, float] = json.loads(run.attrs.get("params", "{}"))
    circuit, derivation = None, None
    try:
        circuit = loads(run.attrs["source"], str(file))
        known = {n: v for n, v in numbers.items() if n in circuit.ir.params and not circuit.ir.params[n].structural}
        derivation = circuit.derive(params=known, measure=measure)
    except (CircuitError, UsageError, OSError):
        pass  # it imports what is not here, or its data are not
    return Side(
        name=file.stem, text=run.attrs["source"], circuit=circuit, params=numbers, derivation=derivation, run=run,
    )  # fmt: skip


@frozen(kw_only=True)
class Compared:
    """What differs between two sides. Rows are a name, and what each side has, None for nothing."""

    left: Side
    right: Side

    @property
    def names(self) -> tuple[str, str]:
        """How the sides are called, apart also where they have one name."""
        a, b = self.left.name, self.right.name
        return (a, b) if a != b else (f"{a} (first)", f"{b} (second)")

    @property
    def text(self) -> list[str]:
        """The lines of a unified comparison; empty if the texts are the same."""
        a, b = self.left.text.splitlines(), self.right.text.splitlines()
        return list(difflib.unified_diff(a, b, *self.names, lineterm="", n=2))

    @property
    def params(self) -> list[tuple[str, float | None, float | None]]:
        return _different(self.left.params, self.right.params)

    @property
    def settings(self) -> list[tuple[str, str | None, str | None]]:
        return _different(self.left.settings, self.right.settings) if self.both_ran else []

    @property
    def verdicts(self) -> list[tuple[str, str | None, str | None]]:
        """Those of every learning synapse, also where they are the same."""
        a, b = self.left.verdicts, self.right.verdicts
        return [(name, a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b])]

    @property
    def synapses(self) -> list[tuple[str, str | None, str | None]]:
        return _different(_synapses(self.left), _synapses(self.right))

    @property
    def both_ran(self) -> bool:
        return self.left.run is not None and self.right.run is not None

    def figures(self) -> list[Figure]:
        """Metric, loss and whatever scalars both have recorded each epoch, as they were at the end."""
        a, b = self.left.run, self.right.run
        if a is None or b is None:
            return []
        shared = [str(n) for n in a.data_vars if n in b.data_vars and set(a[n].dims) - {"seed"} == {"epoch"}]
        return [f for f in (figure_of(name, a, b) for name in shared) if f.left.seeds or f.right.seeds]

    def as_json(self) -> dict[str, Any]:
        return {
            "left": self.names[0],
            "right": self.names[1],
            "same_text": not self.text,
            "text": self.text,
            "params": _json(self.params),
            "settings": _json(self.settings),
            "synapses": _json(self.synapses),
            "verdicts": _json(self.verdicts),
            "figures": {f.name: f.as_json() for f in self.figures()},
        }


def _json(rows: Sequence[tuple[str, Any, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {"left": a, "right": b} for name, a, b in rows}


def _different(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(name, a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name)]


def _synapses(side: Side) -> dict[str, str]:
    """Each synapse in a line: from where, onto what, its size, its rule as it is written."""
    if side.circuit is None:
        return {}
    graph = side.circuit.with_params({})[0]
    return {
        s.name: f"{s.source.value} → {s.dendrite}, {s.post_size} × {s.pre_size}, "
        + (" ".join(s.dw_span.text.split()) if s.dw is not None and s.dw_span is not None else "fixed")
        for s in graph.synapses.values()
    }


@frozen(kw_only=True)
class Figure:
    """A number at the end of each run: means over seeds with 95 % intervals (Student's t), and their difference, right
    minus left: `paired` where both have the same seeds, over which it is then taken."""

    name: str
    left: Mean
    right: Mean
    difference: Mean
    paired: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "left": _interval(self.left),
            "right": _interval(self.right),
            "difference": _interval(self.difference),
            "paired": self.paired,
        }


def _interval(mean: Mean) -> dict[str, Any]:
    return {"mean": mean.mean, "low": mean.low, "high": mean.high, "seeds": mean.seeds}


def figure_of(name: str, a: xr.Dataset, b: xr.Dataset) -> Figure:
    """A figure of two runs."""
    left, right = ends(a, name), ends(b, name)
    seeds = [r["seed"].values.tolist() if "seed" in r.dims else [r.attrs.get("seed")] for r in (a, b)]
    paired = seeds[0] == seeds[1]
    between = over_seeds([y - x for x, y in zip(left, right, strict=False)]) if paired else _apart(left, right)
    return Figure(name=name, left=over_seeds(left), right=over_seeds(right), difference=between, paired=paired)


def _apart(a: Sequence[float], b: Sequence[float]) -> Mean:
    """The difference of two means of other seeds, by Welch's standard error with the fewer seeds' degrees of freedom,
    which is on the safe side."""
    x, y = over_seeds(a), over_seeds(b)
    fewest = min(x.seeds, y.seeds)
    if fewest < 2:
        return Mean(y.mean - x.mean, nan, fewest)
    errors = [m.half / student(m.seeds) for m in (x, y)]
    return Mean(y.mean - x.mean, student(fewest) * sqrt(errors[0] ** 2 + errors[1] ** 2), fewest)


def mean_text(found: Mean) -> str:
    """`0.9735 [0.9701, 0.9769]`."""
    if not found.seeds or not isfinite(found.mean):
        return "none"
    return f"{found.mean:.4f}" + (f" [{found.low:.4f}, {found.high:.4f}]" if found.seeds > 1 else "")


# ---------------------------------------------------------------- as a page


def document(compared: Compared, origin: str) -> Document:
    """The whole comparison."""
    a, b = compared.names
    sections = [Section(title="In short", parts=list(_short(compared)))]
    sides = [side for side in (compared.left, compared.right) if side.circuit is not None]
    if sides:
        columns = [_drawn(compared.left, a, "drawing-1"), _drawn(compared.right, b, "drawing-2")]
        sections.append(Section(title="Drawings", parts=[Beside(columns=columns)]))
    if compared.both_ran:
        runs = {
            name: s.run for name, s in zip((a, b), (compared.left, compared.right), strict=True) if s.run is not None
        }
        sections.append(Section(title="Curves", parts=list(pictured(panels_of(runs), "curves"))))
    text = "\n".join(compared.text)
    parts: list[Part] = [Listing(title="What differs in the text", text=text, compared=True)] if text else [
        Paragraph(line="The texts are the same.")
    ]  # fmt: skip
    sections.append(Section(title="Text", parts=parts))
    return Document(title=f"{a} and {b}", about=[], sections=sections, origin=origin)


def _drawn(side: Side, name: str, file: str) -> list[Part]:
    head = Paragraph(line=name, kind="head")
    if side.circuit is None:
        return [head, Paragraph(line="Its text cannot be loaded here.", kind="faint")]
    return [head, drawn(side.circuit.draw(), file)]


def _short(compared: Compared) -> Iterator[Part]:
    a, b = compared.names
    figures = compared.figures()
    if figures:
        rows: list[Sequence[Line]] = [
            [Code(f.name), mean_text(f.left), mean_text(f.right), mean_text(f.difference)] for f in figures
        ]
        yield Table(head=("at the end", a, b, "difference"), rows=rows, caption=_how(figures))
    tables: dict[str, Sequence[tuple[str, Any, Any]]] = {
        "Verdicts": compared.verdicts,
        "Params that differ": compared.params,
        "Settings that differ": compared.settings,
        "Synapses that differ": compared.synapses,
    }
    for caption, found in tables.items():
        if found:
            shown: list[Sequence[Line]] = [[Code(name), _said(x), _said(y)] for name, x, y in found]
            yield Table(head=("", a, b), rows=shown, caption=caption)
    if not (compared.params or compared.text or compared.settings):
        yield Paragraph(line="They are the same in text, params and settings.")


def _how(figures: Sequence[Figure]) -> str:
    pairs = "over the same seeds" if figures[0].paired else "of other seeds"
    return f"Means over seeds with 95 % intervals (Student's t); the difference is taken {pairs}"


def _said(value: object) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
