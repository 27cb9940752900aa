"""What is in `editors/`: the extension of VS Code, its grammar under VS Code's own machinery, and Neovim."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from grammar_texts import REPOSITORY, circuit_files

from circuitdsl.diagnostics import Source
from circuitdsl.highlight.textmate import SCOPE
from circuitdsl.lsp.columns import position_of
from circuitdsl.syntax.grammar import keywords
from circuitdsl.syntax.words import words

VSCODE = REPOSITORY / "editors" / "vscode"
NODE, NVIM = shutil.which("node"), shutil.which("nvim")
MODULES = VSCODE / "node_modules"

needs_modules = pytest.mark.skipif(
    NODE is None or not (MODULES / "vscode-textmate").is_dir(),
    reason="node or its packages are missing: npm install --no-package-lock in editors/vscode",
)


def manifest() -> dict[str, object]:
    found: dict[str, object] = json.loads((VSCODE / "package.json").read_text())
    return found


def test_the_extension_fits_the_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extension = json.loads((VSCODE / "package.json").read_text())
    assert extension["version"] == project["version"]
    contributed = extension["contributes"]
    (language,), (grammar,) = contributed["languages"], contributed["grammars"]
    assert language["extensions"] == [".circ"]
    assert (grammar["language"], grammar["scopeName"]) == (language["id"], SCOPE)
    for place in (grammar["path"], language["configuration"], "src/extension.js"):
        assert (VSCODE / place).is_file()
    json.loads((VSCODE / language["configuration"]).read_text())


#: The scope of a word by the terminal of the grammar; all keywords and signs by their own.
SCOPES = {
    "COMMENT": "comment.",
    "DOCSTRING": "string.quoted.docstring",
    "STRING": "string.quoted.double",
    "NUMBER": "constant.numeric",
}


@needs_modules
def test_vs_code_colours_every_circuit_of_the_library() -> None:
    files = [*map(str, circuit_files())]
    command = [str(NODE), str(REPOSITORY / "tests" / "textmate.js"), str(VSCODE / "syntaxes" / "circ.tmLanguage.json")]
    done = subprocess.run([*command, *files], capture_output=True, text=True, timeout=120, check=True)
    coloured = json.loads(done.stdout)
    for file in files:
        source = Source(file, Path(file).read_text())
        for word in words(source, layout=True)[0]:
            if word.kind == "SPACE":
                continue
            place = position_of(source, word.start)
            scope = next(s for start, end, s in coloured[file][place.line] if start <= place.column < end)
            if word.text in keywords():
                assert scope.startswith(("storage.type", "keyword.other")), (file, word, scope)
            elif word.kind in SCOPES:
                assert scope.startswith(SCOPES[word.kind]), (file, word, scope)
            elif word.kind == "NAME":
                assert scope.startswith(("variable.", "entity.name.", "support.function")), (file, word, scope)
            else:
                assert scope.startswith(("keyword.operator", "punctuation")), (file, word, scope)


@pytest.mark.skipif(
    NODE is None or not (MODULES / ".bin" / "vsce").exists(),
    reason="node or vsce is missing: npm install --no-package-lock in editors/vscode",
)
def test_the_extension_is_packed(tmp_path: Path) -> None:
    file = tmp_path / "circuitdsl.vsix"
    command = ["npm", "run", "--silent", "pack", "--", "--out", str(file)]
    subprocess.run(command, cwd=VSCODE, capture_output=True, text=True, timeout=200, check=True)
    with zipfile.ZipFile(file) as packed:
        names = set(packed.namelist())
        code = packed.read("extension/dist/extension.js").decode()
    assert {"extension/syntaxes/circ.tmLanguage.json", "extension/language-configuration.json"} <= names
    assert not [name for name in names if "node_modules" in name or "/src/" in name]
    assert "textDocument/inlayHint" in code  # the language client is in it
    checked = [str(NODE), "--check", "-"]
    subprocess.run(checked, input=code, text=True, timeout=600, check=True, capture_output=True)


RECIPE = """
vim.opt.runtimepath:prepend("{vim}")
vim.cmd("filetype plugin on")
require("circuitdsl").setup({{ cmd = {{ "{python}", "-m", "circuitdsl", "lsp" }} }})
vim.cmd("edit {file}")
local function problems() return vim.diagnostic.get(0) end
vim.wait(60000, function() return #problems() > 0 end, 50)
local told = {{}}
for _, problem in ipairs(problems()) do
  table.insert(told, string.format("%d:%d %s %s", problem.lnum, problem.col, problem.code or "", problem.message))
end
vim.fn.writefile(vim.split(table.concat(told, "\\n"), "\\n"), "{out}")
vim.cmd("qall!")
"""


@pytest.mark.skipif(NVIM is None, reason="nvim is not installed")
def test_neovim_shows_what_is_wrong(tmp_path: Path) -> None:
    file, out, recipe = tmp_path / "mine.circ", tmp_path / "told", tmp_path / "recipe.lua"
    line = '  task t { data = "🧠🧠.npz"   metric = men(h) }'
    file.write_text(f"circuit c {{\n  input x: 4   neuron h: 4 {{ rate = x }}\n{line}\n}}\n", encoding="utf-8")
    settings = {"vim": REPOSITORY / "editors" / "vim", "python": sys.executable, "file": file, "out": out}
    recipe.write_text(RECIPE.format(**settings))
    command = [str(NVIM), "--headless", "-u", "NONE", "-i", "NONE", "-n", "-c", f"luafile {recipe}"]
    subprocess.run(command, cwd=tmp_path, timeout=120, check=False, capture_output=True, stdin=subprocess.DEVNULL)
    column = len(line[: line.index("men")].encode())  # Neovim counts bytes
    assert f"2:{column} C010 unknown function or rule `men`" in out.read_text()
