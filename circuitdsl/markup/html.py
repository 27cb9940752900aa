"""HTML, built so that no text of a circuit can be taken for a mark: what is not `Html` yet is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from circuitdsl.frozen import frozen

#: How cells of text stand: a notebook sets its own to the right.
AT_LEFT = "text-align: left; vertical-align: top"

#: Elements that have no end.
VOID = frozenset({"br", "hr", "img", "meta", "link", "col"})


@frozen
class Html:
    """Text that is HTML already."""

    text: str

    def __str__(self) -> str:
        return self.text


Content = Html | str


def joined(parts: Iterable[Content]) -> Html:
    """Parts one after the other."""
    return Html("".join(p.text if isinstance(p, Html) else escape(p) for p in parts))


def tag(name: str, /, *content: Content, **attributes: str | None) -> Html:
    """An element. An attribute that is None is left out; `class_` is class, `data_x` data-x."""
    given = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    opening = "".join([f"<{name}", *(f' {key}="{escape(value)}"' for key, value in given), ">"])
    return Html(opening) if name in VOID else Html(f"{opening}{joined(content)}</{name}>")


def coded(text: str) -> Html:
    """A text in which what stands in backticks is code."""
    return joined(tag("code", part) if n % 2 else part for n, part in enumerate(text.split("`")))


def table(
    head: Sequence[Content], rows: Iterable[Sequence[Content]], *, class_: str | None = None, style: str | None = None
) -> Html:
    """A table; without a head if that is empty. `style` is that of every cell."""
    top = [tag("thead", tag("tr", *(tag("th", cell, scope="col", style=style) for cell in head)))] if head else []
    body = tag("tbody", *(tag("tr", *(tag("td", cell, style=style) for cell in row)) for row in rows))
    return tag("table", *top, body, class_=class_)
