"""What is long goes on where it stopped: studies keep what each trial found until they are written."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from interrupt import Interrupt

from circuitdsl.api import Request, Simulation, loads
from circuitdsl.cli.main import run as command_line
from circuitdsl.explore.evolve import evolve
from circuitdsl.explore.journal import Journal
from circuitdsl.studies import trials as module
from circuitdsl.studies.protocol import Plan
from circuitdsl.studies.trials import Found, Text, Trial, ended, entry_name, execute, run_trials

TINY = """circuit tiny {
  param eta = 0.1
  input x: 2   target y: 1
  neuron out: 1 { dendrite basal   rate = sigmoid(basal) }
  neuron err: 1 { rate = y - out }
  synapse W: x -> out.basal { dw = eta * err * pre }
  loss = cross_entropy(out, y)
  task t { data = two_moons   epochs = 2   batch = 8   metric = accuracy(out, y) }
}"""

DONE: list[int | None] = []


def counted(simulation: Simulation, request: Request) -> Found:
    """Trains; a finding of each kind that a study makes."""
    outcome = execute(simulation, request)
    DONE.append(request.seed)
    return ended(outcome) | {"W": outcome.run.state.weights["W"], "course": outcome.run.loss}


def tiny(seed: int, **more: Any) -> Trial:
    return Trial(circuit=Text(name="tiny", text=TINY), request=Request(seed=seed, **more), at={}, work=counted)


def interrupted_after(count: int) -> Any:
    def tell(done: int, total: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    return tell


def test_nothing_is_done_twice(tmp_path: Path) -> None:
    trials = [tiny(seed) for seed in range(5)]
    journal = Journal(tmp_path / "study.nc", "study", {})
    DONE.clear()
    with pytest.raises(KeyboardInterrupt):
        run_trials(trials, Plan(quick=True, seeds=(), journal=journal, tell=interrupted_after(3)))
    assert DONE == [0, 1, 2]
    broken = journal.folder / entry_name(trials[1])
    broken.write_bytes(broken.read_bytes()[:100])
    told: list[tuple[int, int]] = []
    plan = Plan(quick=True, seeds=(), journal=journal, tell=lambda done, total: told.append((done, total)))
    found = run_trials(trials, plan)
    assert DONE == [0, 1, 2, 1, 3, 4]
    assert told == [(2, 5), (3, 5), (4, 5), (5, 5)]
    for one, other in zip(found, run_trials(trials, Plan(quick=True, seeds=())), strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], strict=True)
    journal.clear()
    assert not journal.folder.exists()


def test_another_trial_is_another_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = tiny(0)
    others = [
        tiny(1),
        tiny(0, epochs=1),
        tiny(0, params={"eta": 0.2}),
        replace(trial, work=module.train),
        replace(trial, circuit=Text(name="tiny", text=TINY.replace("eta = 0.1", "eta = 0.3"))),
    ]
    assert len({entry_name(t) for t in (trial, *others)}) == 6
    assert entry_name(trial) == entry_name(replace(tiny(0), at={"shown": "elsewhere"}))
    before = entry_name(trial)
    monkeypatch.setattr(module, "_code", lambda: "of another version")
    assert entry_name(trial) != before


def test_a_journal_that_two_have_written(tmp_path: Path) -> None:
    """Every generation counts once, and what is no record, and all after it, is done again."""
    circuit = loads(TINY)
    kind: dict[str, Any] = {"population": 4, "generations": 4, "jobs": 1, "seed": 1}
    whole = evolve(circuit, ["eta"], **kind)
    out = tmp_path / "evolve.nc"
    with pytest.raises(KeyboardInterrupt):
        evolve(circuit, ["eta"], **kind, out=out, progress=Interrupt(3))
    journal = tmp_path / "evolve.nc.parts" / "1.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([lines[0], lines[0], lines[1], lines[0], lines[1], "\0\0\n", lines[2]]))
    bar = Interrupt(100)
    found = evolve(circuit, ["eta"], **kind, out=out, progress=bar)
    assert bar.done == 2
    assert found.drop_attrs().identical(whole.drop_attrs())


def names_in_another_process() -> str:
    program = "import test_resume as t; print(t.entry_name(t.tiny(3, params={'eta': 0.2})))"
    here = Path(__file__).parent
    return subprocess.run([sys.executable, "-c", program], cwd=here, capture_output=True, text=True, check=True).stdout


def test_the_name_of_an_entry_is_the_same_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import test_resume

    assert names_in_another_process().strip() == entry_name(test_resume.tiny(3, params={"eta": 0.2}))


def test_a_killed_study_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["study", "metaplasticity", "--quick", "--seeds", "4", "--jobs", "1", "--out"]
    first = ["-c", "import sys; from circuitdsl.cli.main import main; main(sys.argv[1:])", *arguments]
    process = subprocess.Popen([sys.executable, *first, str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
    parts = tmp_path / "killed" / "metaplasticity.nc.parts"
    waited = time.monotonic()
    while len(list(parts.glob("*.npz"))) < 2 and time.monotonic() - waited < 60:
        time.sleep(0.01)
    process.kill()
    process.wait()
    kept = len(list(parts.glob("*.npz")))
    assert 2 <= kept < 4
    done: list[Any] = []
    real = module._do
    monkeypatch.setattr(module, "_do", lambda circuit, own: done.append(own) or real(circuit, own))
    code = command_line([*arguments, str(tmp_path / "killed")])  # whether the claim holds with so few seeds
    assert len(done) == 4 - kept
    assert not parts.exists()
    assert command_line([*arguments, str(tmp_path / "whole")]) == code
    one, other = (xr.load_dataset(tmp_path / d / "metaplasticity.nc", engine="h5netcdf") for d in ("killed", "whole"))
    assert one.identical(other)
