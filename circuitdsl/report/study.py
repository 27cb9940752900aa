"""What a study leaves: its data set, its figure, the circuits it ran, one HTML page, a section of a document."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from circuitdsl.frozen import frozen
from circuitdsl.report.assembly import save_picture
from circuitdsl.runtime.state import write_atomically

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem; margin-bottom: 0 } .source, footer { color: #666; font-size: 0.85rem }
ul { list-style: none; padding-left: 0 } li { padding-left: 1.6rem; text-indent: -1.6rem; margin: 0.4rem 0 }
.mark { display: inline-block; width: 1.6rem; text-indent: 0; font-weight: bold }
.yes { color: #2a7f4f } .no { color: #b3261e } figure { margin: 1rem 0 } figure svg { width: 100%; height: auto }
pre { background: #f6f6f4; padding: 0.8rem; overflow-x: auto; font-size: 0.8rem; line-height: 1.35 }
"""


@frozen(kw_only=True)
class Page:
    """A study that has been run. `found`: mark (✓, ✗, ·) and text of each sentence."""

    name: str
    claim: str
    source: str
    found: Sequence[tuple[str, str]]
    data: xr.Dataset

    @property
    def circuits(self) -> Mapping[str, str]:
        """The exact texts that ran, by name."""
        texts: Mapping[str, str] = json.loads(self.data.attrs["circuits"])
        return texts


def save_study(page: Page, figure: Figure, folder: Path) -> list[Path]:
    """Writes NAME.nc, NAME.svg, NAME.png, NAME.html and circuits/*.circ; says where. Raises OSError."""
    from circuitdsl.runtime.results import write

    folder.mkdir(parents=True, exist_ok=True)
    write(folder / f"{page.name}.nc", page.data)
    pictures = save_picture(figure, folder, page.name)
    svg = pictures[1].read_text(encoding="utf-8")
    document = folder / f"{page.name}.html"
    write_atomically(document, as_html(page, svg).encode())
    return [folder / f"{page.name}.nc", *pictures, document, *save_circuits(page, folder / "circuits")]


def save_circuits(page: Page, folder: Path) -> list[Path]:
    """The circuits as they ran, one file each."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in page.circuits.items():
        paths.append(folder / f"{name}.circ")
        write_atomically(paths[-1], text.encode())
    return paths


def as_html(page: Page, svg: str) -> str:
    """One page that needs nothing else."""
    classes = {"✓": "yes", "✗": "no", "·": ""}
    items = "\n".join(
        f'<li><span class="mark {classes[mark]}">{mark}</span>{html.escape(text)}</li>' for mark, text in page.found
    )
    circuits = "\n".join(
        f"<details><summary>{html.escape(name)}.circ</summary><pre>{html.escape(text)}</pre></details>"
        for name, text in page.circuits.items()
    )
    drawing = svg[svg.index("<svg") :]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(page.name)}</title>'
        f"<style>{STYLE}</style></head><body>\n<h1>{html.escape(page.claim)}</h1>\n"
        f'<p class="source">{html.escape(page.source)}</p>\n<ul>\n{items}\n</ul>\n<figure>{drawing}</figure>\n'
        f"<h2>The circuits that ran</h2>\n{circuits}\n<footer>{html.escape(origin(page.data))}</footer>\n"
        "</body></html>\n"
    )


def origin(data: xr.Dataset) -> str:
    """How to run it again, with what it was run."""
    versions = ", ".join(f"{k} {v}" for k, v in json.loads(data.attrs["versions"]).items())
    return f"{data.attrs['command']} · {versions}"


# ---------------------------------------------------------------- the document of all studies

HEAD = """# Studies

What the papers claim, put to the test by the circuits of the library. Every section below was written by the command
that stands in it, from seeds; means are over seeds, with Student's 95 % interval. ✓: what was claimed holds here,
✗: it does not, ·: a figure, or something that nobody claimed. Where a bound was claimed, the mean is held against it:
an interval that reaches beyond leaves it open.
"""


def save_section(page: Page, figure: Figure, docs: Path) -> list[Path]:
    """Puts the study's section into DOCS/studies.md, in place of an earlier one, its figure and its circuits into
    DOCS/studies. Raises OSError."""
    folder, document = docs / "studies", docs / "studies.md"
    folder.mkdir(parents=True, exist_ok=True)
    picture = save_picture(figure, folder, page.name)
    picture[0].unlink()
    before = document.read_text(encoding="utf-8") if document.exists() else HEAD
    write_atomically(document, with_section(before, page.name, as_markdown(page)).encode())
    return [document, picture[1]]


def as_markdown(page: Page) -> str:
    lines = [f"## {page.name}", "", f"**{page.claim}**", "", f"*{page.source}*", ""]
    lines += [f"![{page.claim}](studies/{page.name}.svg)", ""]
    lines += [f"- {mark} {text}" for mark, text in page.found]
    lines += ["", f"`{page.data.attrs['command']}`", ""]
    return "\n".join(lines)


def with_section(document: str, name: str, section: str) -> str:
    """The document with this section, where one of that name was or else at the end."""
    start, end = f"<!-- study {name} -->\n", f"<!-- end of {name} -->\n"
    whole = start + section + end
    if start in document:
        head, rest = document.split(start, 1)
        return head + whole + rest.split(end, 1)[1]
    return document.rstrip("\n") + "\n\n" + whole
