"""A wheel, installed away from the checkout, runs circuits and finds its grammar and its library."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: Imports the motif from the installed library, not from beside the file.
CIRCUIT = """
import "motifs/two_signal.circ"

circuit elsewhere {
  input  x: 64
  target y: 10
  use two_signal as N(a = x, b = err, n = 16, eta = 0.05, gamma = 0.002)
  neuron out: 10 { dendrite basal   rate = softmax(basal) }
  neuron err: 10 { rate = y - out }
  synapse Wo: N.h -> out { dw = 0.05 * err * pre - 0.0001 * w }
  loss = cross_entropy(out, y)
  task digits { data = digits   epochs = 3   batch = 1   seed = 0   metric = accuracy(out, y) }
}
"""


def run(*command: str | Path, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh venv with the wheel alone; its dependencies are those of this one, by a path file."""
    place = tmp_path_factory.mktemp("elsewhere")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, ROOT]
    run(*build, cwd=place)
    run(sys.executable, "-m", "venv", place / "venv", cwd=place)
    (wheel,) = place.glob("*.whl")
    run(place / "venv/bin/python", "-m", "pip", "install", "--quiet", "--no-deps", wheel, cwd=place)
    site = run(place / "venv/bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place)
    (Path(site.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(elsewhere: Path) -> None:
    (wheel,) = elsewhere.glob("*.whl")
    contents = set(zipfile.ZipFile(wheel).namelist())
    assert {"circuitdsl/_shipped/grammars/circ.lark", "circuitdsl/_shipped/circuits/motifs/sal.circ"} <= contents
    assert not [n for n in contents if n.startswith(("tests/", "benchmarks/"))]
    about = next(name for name in contents if name.endswith(".dist-info/METADATA"))
    told = zipfile.ZipFile(wheel).read(about).decode()
    assert "# circuitdsl" in told
    assert not re.findall(r"\]\((?!https?:)|src=\"(?!https?:)", told), "links that lead nowhere from an index"

    python, command = elsewhere / "venv/bin/python", elsewhere / "venv/bin/circuitdsl"
    where = run(python, "-c", "import circuitdsl; print(circuitdsl.__file__)", cwd=elsewhere)
    assert Path(where.strip()).is_relative_to(elsewhere)
    (elsewhere / "mine.circ").write_text(CIRCUIT)
    result = json.loads(run(command, "run", "mine.circ", "--json", cwd=elsewhere))
    assert result["diverged"] is False
    assert result["metric"] > 0.8
    listed = json.loads(run(command, "list", "--json", cwd=elsewhere))
    assert "heterosynaptic/self_assembly.circ" in [c["name"] for c in listed["circuits"]]


def test_links_of_the_readme_lead_to_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    absolute = importlib.import_module("hatch_build").absolute
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    address = "https://example.org/circuitdsl"
    shown = absolute(readme, address + "/")
    for path in re.findall(rf"{address}/(?:blob|raw)/HEAD/([^)\"#]+)", shown):
        assert (ROOT / path).is_file(), path
    assert f'src="{address}/raw/HEAD/docs/self_assembly.svg"' in shown
    assert shown.count(f"({address}/blob/HEAD/") == len(re.findall(r"\]\((?!https?:|#)", readme))
    assert "docs/language.md](" not in absolute(readme, None)
