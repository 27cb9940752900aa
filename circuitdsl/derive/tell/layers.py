"""Names that differ by the numbers of their layers only, told once: `L[l].W (l = 1..4)`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_INDEX = re.compile(r"(?<=[A-Za-z_])\[(\d+)\]")


def index_of(name: str) -> int | None:
    """The layer of `L[2].W`."""
    found = _INDEX.search(name)
    return None if found is None else int(found[1])


def relative(text: str, index: int) -> str:
    """Layers relative to one: `L[2].a` is `L[l−1].a`, seen from layer 3."""

    def distance(match: re.Match[str]) -> str:
        away = int(match[1]) - index
        return f"[l{'' if away == 0 else f'{away:+d}'.replace('-', '−')}]"

    return _INDEX.sub(distance, text)


def absolute(text: str, index: int) -> str:
    """The inverse of `_relative`."""

    def layer(match: re.Match[str]) -> str:
        return f"[{index + int((match[1] or '0').replace('−', '-'))}]"

    return re.sub(r"\[l([+−]\d+)?\]", layer, text)


def layers(indices: Sequence[int]) -> str:
    """`l = 1..4`."""
    if list(indices) == list(range(indices[0], indices[-1] + 1)) and len(indices) > 2:
        return f"l = {indices[0]}..{indices[-1]}"
    return f"l = {', '.join(map(str, indices))}"


#: A sum over layers, as text and in LaTeX.
SUM = {False: "Σ({}) {{{}}}", True: r"\sum_{{{}}} \left\{{{}\right\}}"}


def alike(texts: Iterable[str], *, sum_over: bool = False, latex: bool = False) -> list[str]:
    """Texts that differ by the numbers of layers only as one, with `(l = 1..4)` behind it, or as a sum over l."""
    groups: dict[str, list[int | None]] = {}
    for text in texts:
        index = index_of(text)
        general = text if index is None else relative(text, index)
        groups.setdefault(general, []).append(index)
    found = []
    for general, indices in groups.items():
        known = sorted(i for i in indices if i is not None)
        if len(known) < 2:
            found.append(absolute(general, known[0]) if known else general)
        elif sum_over:
            found.append(SUM[latex].format(layers(known), general))
        else:
            found.append(f"{general} ({layers(known)})")
    return found
