"""A run's curves: `run.curves` of the Dataset that a run gives shows them, and writes them as a file.

A run is an xarray.Dataset, so that all of xarray works on it. In a notebook it shows its curves above what xarray says
of it; a Dataset of anything else shows itself as ever.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from circuitdsl.markup.html import Html, joined, tag
from circuitdsl.plot.figures import figure, pdf, svg
from circuitdsl.plot.panels import panels_of
from circuitdsl.runtime.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

STYLE = "display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); max-width: 60rem"


def is_run(dataset: xr.Dataset) -> bool:
    """Whether a Dataset is what a run gives."""
    return {"metric", "loss", "epochs_done"} <= set(dataset.variables) and {"circuit", "source"} <= set(dataset.attrs)


@xr.register_dataset_accessor("curves")  # type: ignore[no-untyped-call]
class RunCurves:
    """What a run has recorded, as pictures: the mean over its seeds and how far they reach.

    Raises UsageError for a Dataset that is no run."""

    def __init__(self, run: xr.Dataset):
        if not is_run(run):
            raise UsageError("only a run of a circuit has curves")
        self._run = run

    def __repr__(self) -> str:
        return f"<curves of {headline(self._run)}>"

    def figure(self) -> Figure:
        """All panels as one Matplotlib figure."""
        return figure(panels_of({"": self._run}))

    def save(self, path: str | Path) -> Path:
        """Writes the figure as what the name ends with: .svg, .png, .pdf. Raises ValueError, OSError."""
        path = Path(path)
        if path.suffix.lower() == ".pdf":
            path.write_bytes(pdf(panels_of({"": self._run}), "curves"))
        else:
            self.figure().savefig(path, dpi=150)
        return path

    def to_dataframe(self) -> pd.DataFrame:
        """What is recorded once an epoch as a table of pandas, by seed and epoch."""
        run = self._run
        names = [
            n for n, array in run.data_vars.items() if "epoch" in array.dims and {*array.dims} <= {"seed", "epoch"}
        ]
        return run[names].to_dataframe()

    def _repr_html_(self) -> str:
        return str(curves_html(self._run))


def headline(run: xr.Dataset) -> str:
    """`kolen_pollack on digits: 40 epochs, 5 seeds, metric 0.9735`."""
    import numpy as np

    about = run.attrs
    seeds = run.sizes.get("seed", 1)
    epochs = run.sizes["epoch"] - 1
    told = [
        f"{epochs} epoch{'' if epochs == 1 else 's'}",
        f"{seeds} seeds" if seeds > 1 else f"seed {about.get('seed')}",
    ]
    metric = np.asarray(run["metric"].values, dtype=float)[..., -1]
    if np.isfinite(metric).all():
        spread = f" ± {metric.std(ddof=1):.2g}" if seeds > 1 else ""
        told.append(f"{run['metric'].attrs.get('long_name', 'metric')} {metric.mean():.4f}{spread}")
    told += ["backprop"] if about.get("learn") == "backprop" else []
    told += ["diverged"] if np.any(run["diverged"].values) else []
    told += ["interrupted"] if about.get("interrupted") else []
    return f"{about['circuit']} on {about.get('data', '?')}: {', '.join(told)}"


def curves_html(run: xr.Dataset) -> Html:
    """The headline and every panel."""
    drawn = (tag("div", Html(svg(p, f"curves-{n}"))) for n, p in enumerate(panels_of({"": run})))
    return tag("div", tag("p", headline(run)), tag("div", *drawn, style=STYLE))


def run_html(run: xr.Dataset) -> str:
    """The curves, and what xarray says of the Dataset."""
    return str(joined([curves_html(run), Html(run._repr_html_())]))


def show_in_notebooks() -> None:
    """From now on a run shows its curves, where there is an IPython to show it."""
    if sys.modules.get("IPython") is None:
        return
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None:
        shell.display_formatter.formatters["text/html"].for_type(xr.Dataset, _shown)


def _shown(dataset: xr.Dataset) -> Any:
    return run_html(dataset) if is_run(dataset) else dataset._repr_html_()


def numbers_of_run(run: xr.Dataset) -> dict[str, float]:
    """The params that a run had."""
    found: dict[str, float] = json.loads(run.attrs.get("params", "{}"))
    return found
