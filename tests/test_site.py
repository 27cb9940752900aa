"""The site is built, strictly: every page is in its navigation, every link and heading is there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import circuitdsl as cd

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    environment = os.environ | {"COLUMNS": "100", "NO_MKDOCS_2_WARNING": "1"}
    build = ["build", "-f", str(ROOT / "website/mkdocs.yml"), "-d", str(place)]
    command = [sys.executable, "-m", "mkdocs", *build]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def page(site: Path, name: str) -> str:
    return (site / f"{name}.html").read_text(encoding="utf-8")


def test_every_circuit_has_a_page_with_its_drawing_and_what_is_derived(site: Path) -> None:
    for path in sorted((ROOT / "circuits").glob("*/*.circ")):
        if path.parent.name not in ("rules", "motifs"):
            text = page(site, f"gallery/{path.parent.name}/{path.stem}")
            assert "<svg" in text, path
            assert f"$ circuitdsl derive {path.parent.name}/{path.name}" in re.sub(r"<[^>]+>", "", text), path


def test_every_circuit_with_a_task_has_its_curves() -> None:
    """`python website/curves.py FOLDER/NAME.circ` makes one."""
    found = json.loads((ROOT / "website" / "curves.json").read_text(encoding="utf-8"))
    root = ROOT / "circuits"
    paths = [p for p in sorted(root.glob("*/*.circ")) if p.parent.name not in ("rules", "motifs")]
    assert list(found) == [p.relative_to(root).as_posix() for p in paths if cd.load(p).ir.tasks]


def test_the_gallery_says_what_is_derived_and_how_it_learns(site: Path) -> None:
    row = r'<a href="heterosynaptic/kolen_pollack.html">kolen_pollack</a></td>.*?</tr>'
    line = re.search(row, page(site, "gallery/index"), re.DOTALL)
    assert line is not None
    told = " ".join(re.sub(r"<[^>]+>", " ", line[0]).split())
    assert "W1 : gradient, proved" in told
    assert re.search(r"accuracy\(out, y\) 0\.9\d+ beside 0\.9", told)
    assert 'class="curve"' in page(site, "gallery/heterosynaptic/kolen_pollack")


def test_the_reference_has_every_command_and_every_name(site: Path) -> None:
    import circuitdsl as cd
    from circuitdsl.cli.main import COMMANDS

    commands, names = page(site, "commands"), page(site, "api")
    assert all(f'id="{name}"' in commands for name in COMMANDS)
    assert all(f".{name}" in names for name in cd.__all__)


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for name in ("index", "tutorial", "gallery/heterosynaptic/self_assembly"):
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page(site, name))
