"""docs/json.md tells the fields that commands print with `--json`."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

from circuitdsl.cli.main import COMMANDS, parser_of, run

ROOT = Path(__file__).resolve().parents[1]
#: What takes no time; the others are made by the same code.
QUICK = ("check", "derive", "draw", "emit", "fmt", "explain", "show", "new", "--version")


def test_fields_are_those_of_the_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "website"))
    json_page = importlib.import_module("json_page")
    told = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    json_page.write_circuits(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in QUICK:
        command = json_page.EXAMPLES[name]
        run([*command.split(), "--json"])
        section = told.partition(f"$ circuitdsl {command} --json\n")[2].partition("$ circuitdsl")[0]
        listed = set(re.findall(r"^\| `([^`]+)`", section, re.MULTILINE))
        printed = json.loads(capsys.readouterr().out)
        assert listed == set(json_page.rows(printed)), f"{name}: python website/json_page.py"


def test_every_command_is_on_the_page() -> None:
    told = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert (f"\n## {name}\n" in told) == ("--json" in parser_of(name).format_help()), name
