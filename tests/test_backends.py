"""Back ends: one list that everything reads, and how little a new one takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path

import pytest
from bench import LIBRARY, library

from circuitdsl.api import Emission, UsageError, load
from circuitdsl.emit.target import Target
from circuitdsl.runtime.backends import BACK_ENDS, DEFAULT, back_end, is_interpreted, names_of_back_ends, printing
from circuitdsl.runtime.engine import Compiled

ROOT = LIBRARY.parent
KP = "heterosynaptic/kolen_pollack.circ"

#: A whole back end: the text of another one with a remark.
STUB = '''"""Loop programs with a remark."""

from dataclasses import replace

from circuitdsl.emit import cpu


def print_program(program, dtype, *, comments=True):
    return "# a stub\\n" + cpu.print_program(program, dtype, comments=comments)


TARGET = replace(cpu.TARGET, name="stub", doc="a remark", print_program=print_program)
'''


def test_names_and_docs() -> None:
    names = names_of_back_ends()
    assert len(set(names)) == len(names)
    assert DEFAULT in names
    assert all(b.doc and "\n" not in b.doc for b in BACK_ENDS)
    assert back_end(DEFAULT).can("run many copies")
    assert [b.name for b in BACK_ENDS if b.interpreted] == ["reference"]
    assert is_interpreted("reference")
    assert not is_interpreted("cpu")


@pytest.mark.parametrize("module", [p.stem for p in (ROOT / "circuitdsl" / "emit").glob("*.py")])
def test_every_file_with_a_target_is_listed(module: str) -> None:
    target = getattr(import_module(f"circuitdsl.emit.{module}"), "TARGET", None)
    if target is not None:
        assert isinstance(target, Target)
        assert printing(target.name) is target


@pytest.mark.parametrize("command", ["run", "sweep", "certify", "emit"])
def test_every_command_has_the_whole_list(command: str) -> None:
    parser = ArgumentParser()
    import_module(f"circuitdsl.cli.{command}").add_options(parser)
    target = next(a for a in parser._actions if a.dest == "target")
    assert tuple(name for name in target.choices or () if name != "auto") == names_of_back_ends()
    assert target.default == DEFAULT


def test_unknown_ones_and_what_one_cannot_do() -> None:
    with pytest.raises(UsageError, match="did you mean `cpu`"):
        back_end("cpy")
    with pytest.raises(UsageError, match="targets are reference, cpu"):
        back_end("nothing like it")
    with pytest.raises(UsageError, match=r"`reference` .* cannot print; use `cpu`"):
        Emission(circuit=load(KP)).source("reference")
    with pytest.raises(UsageError, match="cannot run many copies"):
        back_end("reference", "run many copies")
    with pytest.raises(UsageError, match="cannot run many copies; use `cpu`"):
        Compiled(library(KP), target="ptx")


# ---------------------------------------------------------------- a new one


def command(tree: Path, *line: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(tree), "NUMBA_DISABLE_JIT": "1", "CIRCUITDSL_CACHE": str(tree / "c")}
    return subprocess.run(
        [sys.executable, "-m", "circuitdsl", *line], capture_output=True, text=True, env=environment, cwd=tree
    )


@pytest.mark.parametrize("runs", [False, True])
def test_a_new_one_is_a_file_and_a_line(tmp_path: Path, runs: bool) -> None:
    shutil.copytree(ROOT / "circuitdsl", tmp_path / "circuitdsl", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "grammars", tmp_path / "grammars")
    shutil.copytree(ROOT / "circuits", tmp_path / "circuits")
    (tmp_path / "circuitdsl" / "emit" / "stub.py").write_text(STUB)
    the_list = tmp_path / "circuitdsl" / "runtime" / "backends.py"
    head = "BACK_ENDS: tuple[BackEnd, ...] = (\n"
    line = f'    emitted("circuitdsl.emit.stub"{", load_code" if runs else ""}),\n'
    the_list.write_text(the_list.read_text().replace(head, head + line))
    small = tmp_path / "small.circ"
    small.write_text("""circuit small {
      input x: 4   target y: 3
      neuron out: 3 { dendrite d   rate = softmax(d) }
      neuron err: 3 { rate = y - out }
      synapse W: x -> out { dw = 0.1 * err * pre }
      loss = cross_entropy(out, y)
      task iris { data = iris   epochs = 1   batch = 50 }
    }""")
    printed = command(tmp_path, "emit", str(small), "--target", "stub")
    assert printed.stdout.startswith("# a stub\n"), printed.stderr
    done = command(tmp_path, "run", str(small), "--target", "stub")
    if runs:
        assert done.returncode == 0, done.stderr
    else:
        assert (done.returncode, "cannot run; use `reference`, `cpu`" in done.stderr) == (2, True)
