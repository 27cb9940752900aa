"""The playground end to end: built, served, and used in a browser as a reader would (playground/e2e.mjs)."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agreement import CIRCUITS
from bench import LIBRARY

PLAYGROUND = LIBRARY.parent / "playground"
PATIENCE = 600

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FOUND = {"node": shutil.which("node"), "npm": shutil.which("npm"), "Chromium": CHROMIUM}
MISSING = [name for name, place in FOUND.items() if place is None]


def built(folder: Path) -> Path:
    """The page. Skips the test if npm's registry cannot be reached."""
    if not (PLAYGROUND / "node_modules").exists():
        command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=PLAYGROUND, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            pytest.skip(f"the registry of npm does not give what the page is made of: {done.stderr[-200:]}")
    environment = os.environ | {"PYTHONPATH": str(LIBRARY.parent)}
    command = [sys.executable, str(PLAYGROUND / "build.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def used(page: Path) -> dict[str, Any]:
    """What a reader sees of it."""
    command = ["node", str(PLAYGROUND / "e2e.mjs"), str(page), str(CHROMIUM)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"there is no {' and no '.join(MISSING)} for the page")
def test_the_page_as_a_reader_uses_it(tmp_path: Path) -> None:
    """One test, because what it stands on is made once."""
    seen = used(built(tmp_path / "playground"))
    a_rule_that_is_typed_is_judged(seen)
    broken_locality_is_told_at_its_place(seen)
    a_run_learns_beside_backpropagation(seen)
    it_can_be_used_without_a_pointer_and_without_eyes(seen)
    assert "param eta = 0.01 + 0.1" in seen["linked"]
    assert seen["overflow"] <= 0, "wider than a phone"
    assert seen["requests"] == [], "something comes from elsewhere"
    assert seen["complaints"] == []


def a_rule_that_is_typed_is_judged(seen: dict[str, Any]) -> None:
    assert seen["inlay"] == ["⇒ gradient, proved", "⇒ exact, proved", "✓", "✓", "✓"]
    assert seen["blocks"] == ["W2", "V2", "W1"]
    assert seen["drawing"] == "kolen_pollack"
    assert "W1: none, proved" in seen["withoutCredit"]
    assert "W1: gradient, proved" in seen["typed"]
    assert "Assumes" in seen["hover"]
    assert "gamma" in seen["completed"]


def broken_locality_is_told_at_its_place(seen: dict[str, Any]) -> None:
    lines = (LIBRARY / "heterosynaptic" / "kolen_pollack.circ").read_text().splitlines()
    line = 1 + next(i for i, text in enumerate(lines) if "err * pre" in text)
    assert seen["broken"].startswith(f"Line {line}: W2 reads h by its name")
    assert seen["squiggles"] == ["h"]
    assert seen["cursorLine"].strip().startswith("dw = eta * h * pre")
    assert seen["inlayBroken"] == [], "verdicts of a text that is gone"
    assert "reads" not in seen["mended"], "the way out was not taken"
    assert "expect attractor V2 ~ transpose(W2) does not hold" in seen["mended"]


def a_run_learns_beside_backpropagation(seen: dict[str, Any]) -> None:
    assert seen["metric"] > 0.95
    assert seen["run"].startswith("Done: epoch 15 of 15 on digits · accuracy(out, y) 0.9")
    assert "backpropagation 0.9" in seen["run"]
    assert len(seen["curves"]) == 2
    assert seen["stopped"].startswith("Stopped. epoch ")
    assert seen["refused"].startswith("`W1` starts from `orthogonal`")


def it_can_be_used_without_a_pointer_and_without_eyes(seen: dict[str, Any]) -> None:
    """Every control has a name, the order of the keys reaches all of them, and what changes is announced."""
    assert seen["unnamed"] == []
    assert {"example", "share", "editor", "run", "epochs", "seed"} <= set(seen["tabbed"])
    assert seen["live"] >= 2


def test_answers_of_the_whole_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each circuit that is right is derived, drawn, and made into programs, or refused with a reason."""
    monkeypatch.syspath_prepend(str(PLAYGROUND))
    answers = importlib.import_module("answers")
    for name in CIRCUITS[::4]:
        text = (LIBRARY / name).read_text()
        found = json.loads(answers.answer(json.dumps({"text": text})))
        assert found["circuit"] is not None, name
        assert found["circuit"]["drawing"].startswith("<svg"), name
        made = json.loads(answers.programs(json.dumps({"text": text, "epochs": 1, "seed": 2})))
        assert "export const train = " in made["programs"]["circuit"], name
        assert (made["settings"]["epochs"], made["settings"]["seed"]) == (1, 2)


def test_places_are_counted_in_utf_16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLAYGROUND))
    answers = importlib.import_module("answers")
    found = json.loads(answers.answer(json.dumps({"text": "# 🧠\nnonsense"})))
    assert [(p["from"], p["line"]) for p in found["problems"]] == [(5, 2)]
    assert found["circuit"] is None
    text = "# 🧠\n" + (LIBRARY / "heterosynaptic" / "kolen_pollack.circ").read_text()
    place = text.index("W1:") + 1  # in UTF-16 the brain counts two
    told = json.loads(answers.hover(json.dumps({"text": text, "at": place})))
    assert (told["from"], told["to"]) == (place, place + 2)
    assert "gradient, proved" in told["text"]
    asked = {"text": text[: text.index("gamma * w")] + "gam", "at": text.index("gamma * w") + 4}
    offered = json.loads(answers.complete(json.dumps(asked)))
    assert "gamma" in [word["label"] for word in offered["words"]]
