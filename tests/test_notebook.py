"""A real kernel runs a notebook: things show themselves, mistakes are diagnostics, an interrupt keeps what there is."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

nbformat = pytest.importorskip("nbformat", reason="no nbformat: the extra `dev` brings it")
nbclient = pytest.importorskip("nbclient", reason="no nbclient: the extra `dev` brings it")

CIRCUIT = """%%circ small
circuit tiny {
  input x: 4
  target y: 3
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  synapse W: x -> out.basal { init = normal(0, 1)   dw = 0.1 * err * pre - 0.001 * w }
  loss = cross_entropy(out, y)
  record norm(W), mean(W)
  expect W: exact
  task iris { data = iris   epochs = 2   batch = 8   metric = accuracy(out, y) }
}"""
CELLS = [
    "%load_ext circuitdsl\nimport circuitdsl as cd",
    CIRCUIT,
    "small",
    "small.derive(measure=False)",
    "small.derive(measure=False)['W']",
    "simulation = small.compile('reference'); simulation",
    "run = simulation.run(seeds=2, progress=True)\nrun",
    "print(run.curves.figure().axes[2].get_legend_handles_labels()[1], run['norm(W)'].attrs['long_name'])",
    "cd.loads('circuit c { input x: 4   synapse W: y -> x }')",
    "%%circ\ncircuit wrong {\n  input x: oops\n}",
    "simulation.run(epochs=-1)",
    "import xarray as xr\nxr.Dataset({'a': 1})",
    "print('busy', flush=True)\nlong = simulation.run(epochs=1000000, progress=True)\nprint(long.attrs['interrupted'])",
    "print(int(long['epochs_done']) == len(long['epoch']) - 1)",
]
BUSY = 12


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The cells after they ran; the one that is busy was interrupted."""
    folder = tmp_path_factory.mktemp("notebook")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    client = nbclient.NotebookClient(
        book, timeout=120, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )

    def interrupt(cell: Any, cell_index: int) -> None:
        if cell_index == BUSY:
            threading.Thread(target=_interrupt_when_busy, args=(client, cell), daemon=True).start()

    client.on_cell_execute = interrupt
    client.execute()
    found: list[Any] = book.cells
    return found


def _interrupt_when_busy(client: Any, cell: Any) -> None:
    """As the button of a notebook does, once the run shows how far it is."""
    for _ in range(2000):
        if any("epoch 1/" in str(o) or "epoch 2" in str(o) for o in cell.get("outputs", [])):
            os.kill(client.km.provisioner.pid, signal.SIGINT)
            return
        time.sleep(0.05)


def shown(cell: Any, kind: str = "text/html") -> str:
    """What a cell's last output is, of one kind."""
    return next(str(o["data"][kind]) for o in reversed(cell.outputs) if kind in o.get("data", {}))


def printed(cell: Any) -> str:
    return "".join(o["text"] for o in cell.outputs if o["output_type"] == "stream")


def test_a_cell_is_a_circuit(cells: list[Any]) -> None:
    page = shown(cells[1])
    assert "<svg" in page
    assert "⇒ exact, proved" in page
    assert "color:" in page  # its text, in colours
    assert "small = &lt;circuit tiny" in page


def test_things_show_themselves(cells: list[Any]) -> None:
    ElementTree.fromstring(shown(cells[2], "image/svg+xml"))
    assert "<math" in shown(cells[3])
    assert "exact, proved" in shown(cells[4])
    assert "accuracy(out, y)" in shown(cells[5])


def test_a_run_shows_its_curves_and_its_data(cells: list[Any]) -> None:
    page = shown(cells[6])
    assert page.count("<svg") >= 3
    assert "tiny on iris: 2 epochs, 2 seeds, accuracy(out, y)" in page
    assert "xr-wrap" in page
    assert "epoch 2/2" in str(cells[6].outputs)
    assert "norm(W)" in printed(cells[7])
    assert "xr-wrap" in shown(cells[11])
    assert "<svg xmlns" not in shown(cells[11]).split("xr-wrap")[0]


def test_mistakes_are_diagnostics(cells: list[Any]) -> None:
    error = next(o for o in cells[8].outputs if o["output_type"] == "error")
    text = "\n".join(error["traceback"])
    assert "C010" in text
    assert "`y`" in text
    assert "Traceback" not in text
    assert len(text.splitlines()) < 15
    assert "oops" in printed(cells[9])
    refused = next(o for o in cells[10].outputs if o["output_type"] == "error")
    assert refused["traceback"][0].startswith("error: `epochs`")
    assert len(refused["traceback"]) == 1


def test_an_interrupt_gives_what_there_is(cells: list[Any]) -> None:
    assert "busy" in printed(cells[BUSY])
    assert "\n1\n" in printed(cells[BUSY])
    assert "interrupted after epoch" in printed(cells[BUSY])
    assert printed(cells[BUSY + 1]).strip() == "True"


def test_without_a_notebook_nothing_is_told(tmp_path: Path) -> None:
    import circuitdsl as cd

    run = cd.loads(CIRCUIT.partition("\n")[2]).run(target="reference", epochs=0)
    assert "xr-wrap" in run._repr_html_()
    assert "tiny on iris" in run.curves._repr_html_()
    written = run.curves.save(tmp_path / "curves.svg")
    ElementTree.parse(written)
