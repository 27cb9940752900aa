"""The picture of the demonstration: the circuit, its alignment rising from zero, its accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from circuitdsl.draw.colours import THEMES
from circuitdsl.draw.drawing import Drawing
from circuitdsl.runtime.state import write_atomically

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = THEMES["light"]
#: The curves of the middle panel: variable, label, colour.
CURVES = (
    ("cos_B_F", "feedback B and transposed F", COLOURS["auxiliary"]),
    ("cos_s_FFdelta_active", r"credit $s$ and $F^\mathsf{T}F\,\delta$, active neurons", "#2a7f4f"),
    ("cos_s_delta", r"credit $s$ and gradient $\delta$", "#7d5ba6"),
)


def assembly_picture(circuit: Drawing, results: xr.Dataset) -> Figure:
    """Three panels: the circuit; the alignments over training, mean and range over seeds and layers;
    accuracy beside the gradient twin's. `results` is the data set of `studies.self_assembly`."""
    from matplotlib.figure import Figure

    from circuitdsl.draw.paint import paint

    figure = Figure(figsize=(13.5, 5.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.05, 1, 1])
    room = 72 * min(4.3 / circuit.picture.width, 4.7 / circuit.picture.height)
    paint(circuit.picture, left, point=room)
    left.set_title("a circuit of local rules", fontsize=11)
    _alignment(middle, results)
    _accuracy(right, results)
    return figure


def save_picture(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Writes the picture as PNG and SVG; says where. Raises OSError."""
    from io import BytesIO

    import matplotlib

    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    # The same picture gives the same file: no date, no random ids.
    with matplotlib.rc_context({"svg.hashsalt": name}):
        for path, metadata in zip(paths, (None, {"Date": None}), strict=True):
            figure.savefig(drawn := BytesIO(), format=path.suffix[1:], dpi=120, metadata=metadata)
            write_atomically(path, drawn.getvalue())
    return paths


def _alignment(axes: Axes, results: xr.Dataset) -> None:
    checkpoint = results["checkpoint"].values
    for name, label, colour in CURVES:
        per_layer = results[name].mean("layer")
        axes.plot(checkpoint, per_layer.mean("seed"), color=colour, label=label, marker="o", ms=3)
        axes.fill_between(checkpoint, per_layer.min("seed"), per_layer.max("seed"), color=colour, alpha=0.18, lw=0)
    axes.axhline(0, color="#999999", lw=0.8)
    axes.set(xlabel="epochs", ylabel="cosine", ylim=(-0.15, 1.05))
    axes.set_title("it assembles itself", fontsize=11)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    _plain(axes)


def _accuracy(axes: Axes, results: xr.Dataset) -> None:
    epoch = results["epoch"].values
    for name, label, colour in (
        ("metric_backprop", "backpropagation, same network", "#555555"),
        ("metric", "the circuit", COLOURS["learning"]),
    ):
        curve = results[name]
        last = float(curve.mean("seed")[-1])
        axes.plot(epoch, curve.mean("seed"), color=colour, label=f"{label}: {last:.3f}")
        axes.fill_between(epoch, curve.min("seed"), curve.max("seed"), color=colour, alpha=0.18, lw=0)
    axes.set(xlabel="epochs", ylabel="accuracy on unseen digits", ylim=(0, 1.02))
    axes.set_title(f"and it learns ({results.sizes['seed']} seeds, mean and range)", fontsize=11)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
