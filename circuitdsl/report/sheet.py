"""`docs/library.svg`: the drawings of all circuits of the library on one sheet.

python -m circuitdsl.report.sheet     derives and draws (a minute), writes docs/library.svg
"""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from circuitdsl.api import load
from circuitdsl.draw.colours import THEMES
from circuitdsl.draw.drawing import Drawing
from circuitdsl.draw.svg import FONTS
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.state import write_atomically
from circuitdsl.shipped import library_path

#: Columns of drawings, how wide each is, and what is left between them. None is drawn larger than it is.
COLUMNS, WIDTH, GAP, TITLE = 6, 300.0, 24.0, 18.0


def library() -> Iterator[tuple[str, Drawing]]:
    """Every shipped circuit by its path in the library, with what algebra says of it."""
    root = library_path()
    for path in sorted(root.rglob("*.circ")):
        try:
            circuit = load(path)
        except UsageError:  # rules and motifs only
            continue
        yield path.relative_to(root).as_posix(), circuit.draw()


def sheet(drawings: Sequence[tuple[str, Drawing]]) -> str:
    """The drawings as one SVG, in columns, each below the shortest so far."""
    heights = [GAP] * COLUMNS
    placed = []
    for path, drawing in drawings:
        column = heights.index(min(heights))
        x, y = GAP + column * (WIDTH + GAP), heights[column]
        scale = min(1.0, WIDTH / drawing.picture.width)
        wide, high = drawing.picture.width * scale, drawing.picture.height * scale
        placed.append(_placed(path, drawing, x, y, wide, high))
        heights[column] += TITLE + high + GAP
    wide, high = COLUMNS * (WIDTH + GAP) + GAP, max(heights)
    ground = THEMES["light"]["ground"]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" '
            f'height="{high:.0f}" font-family="{FONTS}" role="img"><title>The circuits of the library</title>',
            f'<rect width="{wide:.0f}" height="{high:.0f}" fill="{ground}"/>',
            *placed,
            "</svg>",
            "",
        ]
    )


def _placed(path: str, drawing: Drawing, x: float, y: float, wide: float, high: float) -> str:
    faint = THEMES["light"]["faint"]
    title = f'<text x="{x:.0f}" y="{y + 12:.0f}" font-size="11" fill="{faint}">{escape(path)}</text>'
    inner = drawing.svg("light").replace("\n</svg>", "</svg>")
    inner = re.sub(r' class="[^"]*"', "", inner)  # for readers' screens that are dark, which a sheet is not made for
    place = f'x="{x:.0f}" y="{y + TITLE:.0f}" width="{wide:.0f}" height="{high:.0f}"'
    return title + re.sub(r' width="[\d.]+" height="[\d.]+"', f" {place}", inner, count=1).strip()


def main() -> None:
    parser = ArgumentParser(prog="python -m circuitdsl.report.sheet", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/library.svg"), help="where to write it")
    options = parser.parse_args()
    write_atomically(options.out, sheet(list(library())).encode())


if __name__ == "__main__":
    main()
