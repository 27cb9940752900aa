"""`python -m circuitdsl.highlight [FOLDER]`: writes what editors colour by, made from the grammar as it stands."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from circuitdsl.highlight.textmate import textmate
from circuitdsl.highlight.vim import vim
from circuitdsl.highlight.vocabulary import vocabulary

EDITORS = Path(__file__).resolve().parents[2] / "editors"


def files() -> dict[str, str]:
    """Each file by its place in `editors/`."""
    words = vocabulary()
    return {
        "vscode/syntaxes/circ.tmLanguage.json": json.dumps(textmate(words), indent=2) + "\n",
        "vim/syntax/circ.vim": vim(words),
    }


def main(folder: Path) -> None:
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else EDITORS)
