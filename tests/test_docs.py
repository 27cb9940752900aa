"""The README's examples run, and print what the README says.

```circ``` blocks are written to the file named in the comment above them (`<!-- motif.circ -->`).
```console``` blocks hold commands after `$ ` and what they print; ```python``` blocks run one after the other
in one namespace. All share one folder. Printed numbers may differ (they depend on the machine), the words
may not. How long something took is no part of a page: `…` stands for it. `python tests/test_docs.py` puts what the
commands print now into the README.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


#: How long something took, and how fast it was.
TIME = re.compile(r"(?<=in )\d[\d.,]* s\b|(?<=\()\d[\d.,]*/s(?=\))")


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    name: str | None  # the file that a comment above it names
    line: int


def blocks(text: str) -> list[Block]:
    pattern = r"(?:<!-- (\S+) -->\n)?^```([\w-]+)\n(.*?)^```$"
    return [
        Block(m[2], m[3], m[1], text.count("\n", 0, m.start(2)) + 1)
        for m in re.finditer(pattern, text, re.MULTILINE | re.DOTALL)
    ]


def commands(block: Block) -> list[tuple[str, str]]:
    """Each command of a console block with what it prints."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not parts[0].strip(), f"line {block.line}: output without a command"
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts[1:]]


def words(text: str) -> str:
    """The text with every number replaced, lengths of bars and gaps ignored."""
    text = re.sub(r"\d[\d.,]*", "#", text)
    return re.sub(r"[\s━─]+", " ", text).strip()


def prepare(place: Path) -> None:
    """Puts the files that the README writes into a folder, and the library beside them."""
    for block in blocks(README):
        if block.name is not None:
            (place / block.name).write_text(block.text)
    shutil.copytree(ROOT / "circuits", place / "circuits")


def test_no_page_tells_how_long_something_took() -> None:
    told = "  50 examples in 0.0138 s (3,616/s), compiled in 0.27 s"
    assert timeless(told) == "  50 examples in … s (…/s), compiled in … s"
    for page in (ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/howto/*.md")):
        for block in blocks(page.read_text(encoding="utf-8")):
            if block.language == "console":
                assert block.text == timeless(block.text), f"{page.name}:{block.line}"


def test_there_are_examples() -> None:
    found = [b.language for b in blocks(README)]
    assert {"circ", "console", "python"} <= set(found)


def output(command: str, folder: Path) -> str:
    """What a command prints, stderr included, without the times that it tells."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
    )
    assert done.returncode in (0, 1), done.stdout
    return timeless(done.stdout)


def timeless(text: str) -> str:
    return TIME.sub(lambda found: "…/s" if found[0].endswith("/s") else "… s", text)


def test_the_readme_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Circuits are sound, commands print what it says, Python runs: each after what stands before it."""
    import circuitdsl as cd

    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in blocks(README):
        match block.language:
            case "circ":
                assert block.name is not None, f"line {block.line}: a circuit without a file name"
                cd.load(tmp_path / block.name)
            case "console":
                for command, printed in commands(block):
                    assert words(output(command, tmp_path)) == words(printed), command
            case "python":
                exec(compile(block.text, f"README.md:{block.line}", "exec"), namespace)
            case _:
                pass


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", README) + re.findall(r'src="([^"]+)"', README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def update() -> None:
    """Puts what the commands print now into the README."""
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        text = README
        for block in blocks(README):
            if block.language == "console":
                new = "".join(f"$ {command}\n{output(command, Path(name))}" for command, _ in commands(block))
                text = text.replace(f"```console\n{block.text}```", f"```console\n{new.rstrip()}\n```")
    (ROOT / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    update()
