"""What a package index shows of the README: its links lead to the repository, whose address is `Repository` in
pyproject.toml's `[project.urls]`, and nowhere else. Without an address there are no links and no picture, since what a
link is relative to is not there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: Where the host of the repository shows a file, and gives it.
PAGE, FILE = "{address}/blob/HEAD/{path}", "{address}/raw/HEAD/{path}"
LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#|mailto:)([^)\s]+)\)")
PICTURE = re.compile(r'<p align="center"><img src="([^":]+)"(.*?)></p>\n*', re.DOTALL)


class CustomMetadataHook(MetadataHookInterface):
    """Hatchling calls it, as pyproject.toml says."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        address = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute(text, address)}


def absolute(text: str, address: str | None) -> str:
    """The text with links and pictures of the repository as they are found from elsewhere."""
    if not address:
        return PICTURE.sub("", LINK.sub(r"\1", text))
    address = address.rstrip("/")
    text = LINK.sub(lambda m: f"[{m[1]}]({PAGE.format(address=address, path=m[2])})", text)
    return PICTURE.sub(
        lambda m: f'<p align="center"><img src="{FILE.format(address=address, path=m[1])}"{m[2]}></p>\n\n', text
    )
