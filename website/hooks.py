"""The pages of the site that are made of the code: the start, the command line, the gallery.

MkDocs calls `on_files` and `on_page_markdown`; every page of docs/ stays as it is, but for links that lead out of it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import circuitdsl as cd
from circuitdsl.cli.list import Entry, entries
from circuitdsl.cli.main import COMMANDS, parser_of
from circuitdsl.derive.tell.brief import in_short
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.plot.figures import svg
from circuitdsl.plot.panels import Curve, Curves

ROOT = Path(__file__).resolve().parents[1]
#: Files beside docs/ that are pages of the site too.
BESIDE = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
#: No cell names more synapses.
SHOWN = 6
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")
IMAGE = re.compile(r'src="docs/([^"]+)"')

API = """# Python

`import circuitdsl as cd`: these names, and nothing else, are the library. Arrays are NumPy's, results are
[xarray](https://docs.xarray.dev) data sets.
"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The gallery's place in the navigation: an index, and a page for each circuit, folder by folder."""
    pages = [{folder: [{_title(e): f"gallery/{_page(e)}"} for e in group]} for folder, group in _folders()]
    for part in config.nav or []:
        if "Gallery" in part:
            part["Gallery"] = ["gallery/index.md", *pages]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The generated pages."""
    for source, target in BESIDE.items():
        files.append(_file(config, target, (ROOT / source).read_text(encoding="utf-8")))
    files.append(_file(config, "commands.md", "\n".join(_commands())))
    files.append(_file(config, "api.md", "\n".join([API, *(f"::: {_home(name)}\n" for name in cd.__all__)])))
    files.append(_file(config, "gallery/index.md", "\n".join(_gallery())))
    for entry in _circuits():
        files.append(_file(config, f"gallery/{_page(entry)}", "\n".join(_circuit_page(entry))))
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Links of the repository, made links of the site; a link to a file that is no page becomes its name."""
    here = Path(page.file.src_uri).parent

    def moved(found: re.Match[str]) -> str:
        path, anchor = found[1], found[2] or ""
        name = path.removeprefix("../").removeprefix("docs/")
        if files.get_file_from_path(os.path.normpath(here / path)) is not None:
            return found[0]
        if name in BESIDE:
            return f"]({_up(here)}{BESIDE[name]}{anchor})"
        if files.get_file_from_path(name) is not None:
            return f"]({_up(here)}{name}{anchor})"
        circuit = name.removeprefix("circuits/")
        if circuit.endswith(".circ") and (ROOT / "circuits" / circuit).is_file():
            return f"]({_up(here)}gallery/{circuit.removesuffix('.circ')}.md)"
        return "]"

    return re.sub(r"\[([^\]]*)\]$", r"\1", IMAGE.sub(r'src="\1"', LINK.sub(moved, markdown)), flags=re.MULTILINE)


def _up(here: Path) -> str:
    return "../" * len(here.parts)


def _file(config: MkDocsConfig, path: str, content: str) -> File:
    return File.generated(config, path, content=content)


def _home(name: str) -> str:
    return f"{getattr(cd, name).__module__}.{name}"


# ---------------------------------------------------------------- the command line


def _commands() -> Iterator[str]:
    yield "# The command line\n"
    yield "Every command takes `--help`; most take `--json`, for programs.\n"
    yield from (f"- [`{name}`](#{name}): {about}" for name, about in COMMANDS.items())
    for name in COMMANDS:
        yield f"\n## {name}\n\n```text\n{parser_of(name).format_help().rstrip()}\n```"


# ---------------------------------------------------------------- the gallery


def _circuits() -> list[Entry]:
    return [e for e in entries() if e.kind == "circuit"]


def _folders() -> Iterator[tuple[str, list[Entry]]]:
    for folder, group in groupby(_circuits(), key=lambda e: e.name.partition("/")[0]):
        yield folder, list(group)


def _page(entry: Entry) -> str:
    return entry.name.removesuffix(".circ") + ".md"


def _title(entry: Entry) -> str:
    return entry.name.rpartition("/")[2].removesuffix(".circ")


def _gallery() -> Iterator[str]:
    yield "# Gallery\n"
    yield (
        "Every circuit that comes along: what it is, what is derived of each synapse that learns, and what it comes to "
        "beside its gradient twin, as its first task trains it. A page for each has its drawing, its curve, its "
        "derivation and its text.\n"
    )
    for folder, group in _folders():
        yield f"\n## {folder}\n"
        yield "| circuit | | verdicts | learns |\n| --- | --- | --- | --- |"
        yield from (f"| [{_title(e)}]({_page(e)}) | {e.doc} | {_verdicts(e)} | {_reached(e)} |" for e in group)


def _verdicts(entry: Entry) -> str:
    """The verdicts of the synapses that learn, those that are alike once."""
    alike: dict[str, list[str]] = {}
    for found in _derivation(entry.path).findings.values():
        if found.role == "learning":
            alike.setdefault(in_short(found), []).append(f"`{found.synapse}`")
    return "<br>".join(f"{_some(names)}: {verdict}" for verdict, names in alike.items())


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if names[SHOWN:] else "")


def _reached(entry: Entry) -> str:
    """What the circuit comes to, and its twin."""
    found = _learning().get(entry.name)
    if found is None:
        return ""
    last = {kind: found[kind][-1] for kind in ("circuit", "twin") if kind in found}
    told = ["diverges" if value is None else f"{value:.3g}" for value in last.values()]
    return f"{found['of']} {' beside '.join(told)}, {found['data']}".replace("|", "\\|")


def _curve(entry: Entry) -> Iterator[str]:
    found = _learning().get(entry.name)
    if found is None:
        return
    names = {"circuit": "this circuit", "twin": "its gradient twin"}
    at = np.array(found["epochs"], dtype=float)
    curves = [
        Curve(label=label, at=at, values=np.array([found[kind]], dtype=float))
        for kind, label in names.items()
        if kind in found
    ]
    panel = Curves(title=f"{found['of']} on {found['data']}", axis="epoch", curves=curves)
    yield f'<div class="curve" style="max-width: 26rem" markdown="0">\n{svg(panel, "curve")}\n</div>\n'


@cache
def _learning() -> dict[str, Any]:
    """What website/curves.py has kept of each circuit."""
    found: dict[str, Any] = json.loads((ROOT / "website" / "curves.json").read_text(encoding="utf-8"))
    return found


@cache
def _circuit(path: Path) -> cd.Circuit:
    return cd.load(path)


@cache
def _derivation(path: Path) -> Derivation:
    return _circuit(path).derive(measure=False)


def _circuit_page(entry: Entry) -> Iterator[str]:
    circuit = _circuit(entry.path)
    yield f"# {_title(entry)}\n"
    yield f"{entry.doc}\n"
    yield f'<div class="drawing" markdown="0">\n{circuit.draw().svg()}\n</div>\n'
    yield from _curve(entry)
    yield f"```console\n$ circuitdsl derive {entry.name} --no-measure\n{str(_derivation(entry.path)).rstrip()}\n```\n"
    yield f"```circ\n{entry.path.read_text(encoding='utf-8').rstrip()}\n```\n"
