"""Standard output that cannot command the terminal, whatever is in the names of files and data."""

from __future__ import annotations

import re
from io import TextIOWrapper
from typing import Any

#: Control characters but the line end and the tabulator, and those that turn the direction of writing.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
#: A colour or weight of letters, which this program writes itself, on terminals only.
_STYLE = re.compile("(\x1b\\[[0-9;]*m)")


class Harmless:
    """A text stream before another one. Bytes for its `buffer` pass as they are."""

    def __init__(self, stream: TextIOWrapper):
        self._stream = stream
        self._terminal = stream.isatty()

    def write(self, text: str) -> int:
        if _COMMANDS.search(text):
            parts = _STYLE.split(text) if self._terminal else [text]
            text = "".join(part if n % 2 else _COMMANDS.sub(_picture, part) for n, part in enumerate(parts))
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _picture(found: re.Match[str]) -> str:
    """The sign that Unicode has for a control character, such as `\u241b` for Escape."""
    code = ord(found[0])
    return chr(0x2400 + code) if code < 32 else "\ufffd"
