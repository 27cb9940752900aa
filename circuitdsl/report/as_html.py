"""A document as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from circuitdsl.draw.colours import THEMES, Ink, Theme
from circuitdsl.markup.html import Content, Html, joined, tag
from circuitdsl.markup.mathml import mathml
from circuitdsl.report.document import (
    SIGNS,
    Beside,
    Code,
    Document,
    Equations,
    Line,
    Listing,
    Math,
    Paragraph,
    Part,
    Picture,
    Piece,
    Section,
    Table,
    pieces,
)


def _colours(theme: Theme, line: str, yes: str, no: str) -> str:
    """The colours of drawings, and three more."""
    inks: tuple[Ink, ...] = ("ground", "text", "faint", "body", "learning")
    shown = [f"--{ink}: {THEMES[theme][ink]}" for ink in inks]
    return "; ".join([*shown, f"--line: {line}", f"--yes: {yes}", f"--no: {no}"])


_LIGHT, _DARK = _colours("light", "#d5d9de", "#1a7f4b", "#b3261e"), _colours("dark", "#3a4048", "#4cc38a", "#ff8f85")
STYLE = f"""
:root {{ {_LIGHT}; color-scheme: light dark }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
* {{ box-sizing: border-box }}
html {{ -webkit-text-size-adjust: 100% }}
body {{ margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 4rem; background: var(--ground); color: var(--text);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }}
h1 {{ font-size: 1.8rem; line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere }}
h2 {{ font-size: 1.25rem; margin: 2.6rem 0 .8rem; padding-top: .7rem; border-top: 1px solid var(--line) }}
nav {{ display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: 1.2rem 0 0; font-size: .9rem }}
a {{ color: var(--learning); text-decoration: none }} a:hover {{ text-decoration: underline }}
p {{ margin: .5rem 0; max-width: 46rem }}
.faint, footer, caption, figcaption {{ color: var(--faint) }} .faint, footer {{ font-size: .875rem }}
.head {{ margin-top: 1.5rem }} .answer {{ font-weight: 600 }}
code {{ font: .92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere }}
.mark {{ display: inline-block; width: 1.3rem; font-weight: 700 }}
.yes {{ color: var(--yes) }} .no {{ color: var(--no) }} .open {{ color: var(--faint) }}
.wide {{ overflow-x: auto; margin: .6rem 0 1.2rem }}
table {{ border-collapse: collapse; font-size: .9rem }}
caption {{ text-align: left; padding: 0 0 .35rem; font-size: .875rem }}
th, td {{ text-align: left; vertical-align: top; padding: .32rem 1.1rem .32rem 0 }}
thead th {{ border-bottom: 1px solid var(--text); font-weight: 600; white-space: nowrap }}
tbody tr + tr > * {{ border-top: 1px solid var(--line) }}
tbody th, .short {{ white-space: nowrap }} tbody th {{ font-weight: 600 }} .long {{ min-width: 14rem }}
.rows tbody th {{ color: var(--faint); font-weight: 400; min-width: 5.5rem }} .rows tr + tr > * {{ border-top: 0 }}
.rows {{ width: 100% }} .rows .place {{ text-align: right; white-space: nowrap; color: var(--faint); padding-right: 0 }}
.equations {{ width: 100%; font-size: 1rem }} .equations td:last-child {{ color: var(--faint); text-align: right;
  font-size: .8rem; padding-right: 0; white-space: nowrap }} .equations td {{ padding-block: .42rem }}
math {{ font-family: "Latin Modern Math", "STIX Two Math", "Cambria Math", math; font-size: 1.05em }}
figure {{ margin: 1rem 0 }} figure svg {{ max-width: 100%; height: auto; display: block }}
figcaption {{ font-size: .875rem; margin-top: .35rem }}
.pictures {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 0 1.5rem }}
.beside {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0 2rem }}
.beside > * {{ min-width: 0 }}
details {{ margin: .6rem 0 }} summary {{ cursor: pointer; color: var(--learning) }}
pre {{ background: var(--body); padding: .8rem 1rem; border-radius: 6px; overflow-x: auto; line-height: 1.45;
  font: .8rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }}
pre .added {{ color: var(--yes) }} pre .gone {{ color: var(--no) }} pre .place {{ color: var(--faint) }}
footer {{ margin-top: 3rem; border-top: 1px solid var(--line); padding-top: .8rem; overflow-wrap: anywhere }}
@media (max-width: 40rem) {{ body {{ padding: 1.2rem .9rem 3rem }} th, td {{ padding-right: .8rem }} }}
@media print {{
  :root {{ {_LIGHT}; color-scheme: light }}
  body {{ max-width: none; padding: 0; font-size: 10pt }} nav {{ display: none }}
  h2 {{ break-after: avoid }} figure, tr, .equations td {{ break-inside: avoid }} .wide, pre {{ overflow: visible }}
  pre {{ white-space: pre-wrap }}
}}
"""


def page(document: Document) -> str:
    """The whole page."""
    links = (tag("a", s.title, href=f"#{anchor(s.title)}") for s in document.sections)
    head = joined(
        [
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", document.title),
            tag("style", Html(STYLE)),
        ]
    )
    body = joined(
        [
            tag("h1", document.title),
            *map(part, document.about),
            tag("nav", *links),
            *map(_section, document.sections),
            tag("footer", document.origin),
        ]
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def anchor(title: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in title.lower())


def _section(section: Section) -> Html:
    return tag("section", tag("h2", section.title), *_parts(section.parts), id=anchor(section.title))


def _parts(parts: Sequence[Part]) -> Iterator[Html]:
    """The parts, small pictures that follow one another in a grid."""
    row: list[Html] = []
    for each in parts:
        if isinstance(each, Picture) and each.small:
            row.append(part(each))
            continue
        if row:
            yield tag("div", *row, class_="pictures")
            row = []
        yield part(each)
    if row:
        yield tag("div", *row, class_="pictures")


def part(made: Part) -> Html:
    """One part of a page."""
    match made:
        case Paragraph():
            sign = [tag("span", SIGNS[made.mark], class_=f"mark {made.mark}")] if made.mark else []
            return tag("p", *sign, *line(made.line), class_=None if made.kind == "plain" else made.kind)
        case Table():
            return tag("div", _table(made), class_="wide", tabindex="0")
        case Equations():
            rows = (tag("tr", tag("td", mathml(math.latex, tall=True)), tag("td", said)) for math, said in made.rows)
            return tag("div", tag("table", tag("tbody", *rows), class_="equations"), class_="wide", tabindex="0")
        case Picture():
            below = [tag("figcaption", made.caption)] if made.caption else []
            return tag("figure", Html(made.svg()), *below)
        case Listing():
            return _listing(made)
        case Beside():
            return tag("div", *(tag("div", *_parts(column)) for column in made.columns), class_="beside")
        case _:
            assert_never(made)


def _table(made: Table) -> Html:
    """A table of labelled lines has no head; its last column, if it has three, says where a line comes from."""
    plain = not made.head
    top = [tag("caption", made.caption)] if made.caption else []
    top += [tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in made.head)))] if made.head else []
    rows = []
    for cells in made.rows:
        shown = [joined(line(cell)) for cell in cells]
        first = tag("th", shown[0], scope="row") if made.labels else tag("td", shown[0])
        last: dict[str, str | None] = {"class_": "place"} if plain and len(cells) > 2 else {}
        middle = [tag("td", cell, class_=_width(of)) for cell, of in zip(shown[1:-1], cells[1:-1], strict=True)]
        last = last or {"class_": _width(cells[-1])}
        rows.append(tag("tr", first, *middle, *(tag("td", cell, **last) for cell in shown[1:][-1:])))
    return tag("table", *top, tag("tbody", *rows), class_="rows" if plain else None)


def _width(cell: Line) -> str | None:
    """A short cell stays on one line; a long one is not squeezed."""
    length = sum(
        len(p.latex) // 3 if isinstance(p, Math) else len(p if isinstance(p, str) else p.text) for p in pieces(cell)
    )
    return "short" if length <= 28 else "long"


def line(made: Line) -> Iterator[Content]:
    yield from map(_piece, pieces(made))


def _piece(piece: Piece) -> Content:
    match piece:
        case str():
            return piece
        case Math(latex):
            return mathml(latex)
        case Code(text):
            return tag("code", text)
        case _:
            assert_never(piece)


def _listing(made: Listing) -> Html:
    if not made.compared:
        return tag("details", tag("summary", made.title), tag("pre", made.text))
    classes = {"+": "added", "-": "gone", "@": "place"}
    lines = (tag("span", f"{text}\n", class_=classes.get(text[:1])) for text in made.text.splitlines())
    return tag("pre", *lines)
