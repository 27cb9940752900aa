"""What colours a text: the Pygments lexer and the files in `editors/`, all made from the grammar."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from grammar_texts import EVERYTHING, REPOSITORY, circuit_files
from pygments.lexer import Lexer
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, Punctuation, String

from circuitdsl.diagnostics import Source
from circuitdsl.graph.calls import CALLS
from circuitdsl.graph.findings import BUILTIN_NAMES
from circuitdsl.highlight.__main__ import EDITORS, files
from circuitdsl.highlight.lexer import CircLexer
from circuitdsl.highlight.vocabulary import vocabulary
from circuitdsl.syntax.grammar import keywords
from circuitdsl.syntax.words import words

#: What a terminal of the grammar looks like; all others that are no keywords are signs.
LOOKS = {"COMMENT": Comment, "DOCSTRING": String.Doc, "STRING": String, "NUMBER": Number, "NAME": Name}


def lexer() -> CircLexer:
    return CircLexer(stripnl=False, ensurenl=False)


@pytest.mark.parametrize("text", [EVERYTHING, *(p.read_text() for p in circuit_files())], ids=lambda t: t[:20])
def test_the_lexer_sees_the_words_that_the_grammar_sees(text: str) -> None:
    found = {at: (kind, value) for at, kind, value in lexer().get_tokens_unprocessed(text)}
    assert "".join(value for _, value in found.values()) == text
    assert not [value for kind, value in found.values() if kind is Error]
    for word in words(Source("text", text), layout=True)[0]:
        if word.kind == "SPACE":
            continue
        kind, value = found[word.start]
        assert value == word.text
        if word.text in keywords():
            assert kind in Keyword, word
        elif word.kind in LOOKS:
            assert kind in LOOKS[word.kind], word
        else:
            assert kind in Operator or kind in Punctuation, word


def test_functions_and_built_in_names_are_told_from_others() -> None:
    found = [(value, kind) for kind, value in lexer().get_tokens("neuron relu: 3 { rate = relu(w) + hetero(relu) }")]
    assert ("relu", Name.Variable) in found
    assert ("relu", Name.Builtin) in found
    assert ("w", Name.Builtin.Pseudo) in found
    assert ("hetero", Name.Function) in found
    assert ("relu", Name) in found


def test_the_lexer_is_registered() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"]["pygments.lexers"]["circ"].partition(":")
    found = getattr(importlib.import_module(module), name)
    assert issubclass(found, Lexer)
    assert "circ" in found.aliases
    assert "*.circ" in found.filenames


def test_every_word_has_one_part() -> None:
    found = vocabulary()
    assert found.keywords == tuple(sorted(keywords()))
    assert {"neuron", "circuit", "import", "task"} <= set(found.items)
    assert {"dendrite", "drive", "phase", "rate"} <= set(found.members)
    assert {"per", "train", "keep"} <= set(found.others)
    assert {"neuron", "dendrite", "use"} & set(found.declaring) == {"neuron", "dendrite", "use"}
    assert "loss" not in found.declaring
    assert set(found.functions) == CALLS.keys()
    assert set(found.functions) | set(found.builtins) >= BUILTIN_NAMES.keys()
    assert {"->", "<=", "!=", "+", "..", "&"} <= set(found.operators)


@pytest.mark.parametrize("name", files())
def test_what_editors_colour_by_is_up_to_date(name: str) -> None:
    made = (EDITORS / name).read_text(encoding="utf-8")
    assert made == files()[name], "run `python -m circuitdsl.highlight`"


def test_a_new_keyword_appears_everywhere(tmp_path: Path) -> None:
    """A scratch copy whose grammar has one item more; the one command is all that it takes."""
    ours = (
        "highlight",
        "graph",
        "syntax",
        "store",
        "__init__.py",
        "diagnostics.py",
        "extras.py",
        "frozen.py",
        "noise.py",
        "shipped.py",
    )
    for name in ours:
        place = REPOSITORY / "circuitdsl" / name
        copy = shutil.copytree if place.is_dir() else shutil.copy
        (tmp_path / "circuitdsl").mkdir(exist_ok=True)
        copy(place, tmp_path / "circuitdsl" / name)
    shutil.copytree(REPOSITORY / "grammars", tmp_path / "grammars")
    (tmp_path / "circuits").mkdir()
    grammar = tmp_path / "grammars" / "circ.lark"
    text = grammar.read_text().replace("_item: param |", "_item: param | glia |", 1)
    grammar.write_text(text + '\nglia: "glia" decl ":" expr\n')
    program = (
        "import json; from circuitdsl.highlight.__main__ import main; from pathlib import Path; main(Path('editors'));"
        "from circuitdsl.highlight.lexer import CircLexer;"
        "print(json.dumps([(str(k), v) for k, v in CircLexer().get_tokens('glia g: 3')]))"
    )
    environment = {"PYTHONPATH": str(tmp_path), "CIRCUITDSL_CACHE": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1])[0] == ["Token.Keyword.Declaration", "glia"]
    assert json.loads(done.stdout.splitlines()[-1])[2] == ["Token.Name.Variable", "g"]
    for name in files():
        made, today = (tmp_path / "editors" / name).read_text(), (EDITORS / name).read_text()
        assert "glia" in made
        assert "glia" not in today


VIM = shutil.which("vim") or shutil.which("nvim")

#: What stands where (line, column, both from 1), and the group that colours it.
COLOURED = {
    (1, 1): "circComment", (2, 1): "circItem", (2, 9): "circName", (3, 3): "circDocstring", (4, 3): "circDocstring",
    (5, 3): "circItem", (5, 12): "circNumber", (5, 13): "circOperator", (5, 15): "circNumber", (6, 5): "circMember",
    (6, 12): "circFunction", (6, 17): "circNumber", (6, 22): "circOperator", (6, 24): "circBuiltin",
    (6, 29): "circRule", (6, 36): "circName", (7, 10): "circString", (7, 16): "circOperator",
}  # fmt: skip


@pytest.mark.skipif(VIM is None, reason="neither vim nor nvim is installed")
def test_vim_colours_by_the_syntax_file(tmp_path: Path) -> None:
    text = (
        '# neuron "a\ncircuit name {\n  """Two\n  lines."""\n  for l in 1..3 {\n    rate = relu(1e-3 * w) - hetero(x)\n'
        '  import "a#b" >= 2\n}}\n'
    )
    (tmp_path / "mine.circ").write_text(text)
    asked = "\n".join(f"call add(g:found, synIDattr(synID({line}, {column}, 1), 'name'))" for line, column in COLOURED)
    script = f"let g:found = []\n{asked}\ncall writefile(g:found, 'found')\nqall!\n"
    (tmp_path / "ask.vim").write_text(script)
    runtime = f"set runtimepath^={EDITORS / 'vim'}"
    line = [str(VIM), "-u", "NONE", "-i", "NONE", "-n", "-es", "-c", runtime, "-c", "filetype plugin on"]
    line += ["-c", "syntax on", "-c", "edit mine.circ", "-c", "source ask.vim"]
    subprocess.run(line, cwd=tmp_path, timeout=600, check=False, stdin=subprocess.DEVNULL)
    found = (tmp_path / "found").read_text().splitlines()
    assert dict(zip(COLOURED, found, strict=True)) == COLOURED
