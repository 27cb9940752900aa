"""Tables of text, however they are written: read as they are meant, or refused with what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuitdsl.data.files import from_file
from circuitdsl.data.raw import Raw, SourceError, Wanted

ROWS = [(1.5, 2.5, 0), (2.5, 3.5, 1), (0.5, 1.5, 0), (4.5, 5.5, 1), (6.25, 1.0, 0), (3.0, 3.0, 1)]


def written(separator: str, *, comma: bool = False, labels: tuple[Any, Any] = (0, 1), first: bool = False) -> str:
    lines = []
    for a, b, c in ROWS:
        cells = [str(value).replace(".", "," if comma else ".") for value in (a, b)]
        label = str(labels[c])
        lines.append(separator.join([label, *cells] if first else [*cells, label]))
    return "\n".join(lines) + "\n"


def read(folder: Path, name: str, content: str | bytes, inputs: int = 2, target: int = 2) -> Raw:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return from_file(path, Wanted({"x": inputs}, {"y": target} if target else {}))


def fails(folder: Path, name: str, content: str | bytes, inputs: int = 2, target: int = 2) -> str:
    with pytest.raises(SourceError) as caught:
        read(folder, name, content, inputs, target)
    return f"{caught.value.title} | {caught.value.hint}"


QUOTED = "\n".join('"{}","{}","{}"'.format(str(a).replace(".", ","), str(b).replace(".", ","), c) for a, b, c in ROWS)
INDEXED = ",a,b,y\n" + "\n".join(f"{i},{a},{b},{c}" for i, (a, b, c) in enumerate(ROWS))

MEANT = {
    "commas.csv": written(","),
    "spaced.csv": written(", "),
    "semicolons.csv": written(";"),
    "tabs.tsv": written("\t"),
    "bars.csv": written("|"),
    "blanks.txt": written(" "),
    "aligned.data": written("    "),
    "german.csv": written(";", comma=True),
    "german.tsv": written("\t", comma=True),
    "german.txt": written(" ", comma=True),
    "quoted.csv": QUOTED,
    "excel.csv": "sep=;\n" + written(";"),
    "utf16.csv": written(",").encode("utf-16"),
    "marked.csv": written(",").encode("utf-8-sig"),
    "latin.csv": ("Länge,Breite,Klasse\n" + written(",")).encode("latin-1"),
    "mac.csv": written(",").replace("\n", "\r"),
    "windows.csv": written(",").replace("\n", "\r\n"),
    "trailing.csv": written(",").replace("\n", ",\n"),
    "leading.csv": "".join("," + line + "\n" for line in written(",").splitlines()),
    "hollow.csv": "\n".join(f"{a},,{b},{c}" for a, b, c in ROWS),
    "headed_trailing.csv": "a,b,y,\n" + written(","),
    "class_first_headed_trailing.csv": "class,a,b\n" + written(",", first=True).replace("\n", ",\n"),
    "headed.csv": "a,b,y\n" + written(","),
    "class_first.csv": written(",", first=True),
    "class_first_headed.csv": "class,a,b\n" + written(",", first=True),
    "class_between.csv": "a,label,b\n" + "\n".join(f"{a},{c},{b}" for a, b, c in ROWS),
    "own_name.csv": "a,y,b\n" + "\n".join(f"{a},{c},{b}" for a, b, c in ROWS),
    "commented.txt": "# by hand\n# a b class\n" + written(" ") + "\n% end\n",
    "savetxt.txt": "# y a b\n" + written(" ", first=True),
    "index.csv": INDEXED,
    "index_named.csv": "id" + INDEXED,
    "index_unnamed.csv": INDEXED.partition("\n")[2],
    "pandas.csv": ",0,1,2\n" + INDEXED.partition("\n")[2],
    "r.txt": "a b y\n" + "\n".join(f'"{i + 1}" {a} {b} {c}' for i, (a, b, c) in enumerate(ROWS)),
    "blank_lines.csv": written(",").replace("\n", "\n\n"),
}


@pytest.mark.parametrize("name", MEANT)
def test_read_as_it_is_meant(tmp_path: Path, name: str) -> None:
    raw = read(tmp_path, name, MEANT[name])
    assert raw.x is not None
    assert raw.y is not None
    np.testing.assert_array_equal(raw.x, [row[:2] for row in ROWS])
    np.testing.assert_array_equal(raw.y, [row[2] for row in ROWS])
    assert raw.y.dtype.kind == "i"
    plain = name.startswith(("commas", "spaced", "tabs", "utf", "marked", "mac", "windows", "blank_", "headed"))
    assert plain == (not raw.notes), raw.notes


@pytest.mark.parametrize(
    "text",
    [
        written(",", labels=("cat", "dog")),
        written(",", labels=("cat", "dog"), first=True),
        written(" ", labels=("cat", "dog"), first=True),
        written(";", comma=True, labels=("cat", "dog")),
        "a,b,kind\n" + written(",", labels=("cat", "dog")),
        "kind,a,b\n" + written(",", labels=("cat", "dog"), first=True),
        written(",", labels=('"a cat, black"', "dog")),
        written("\t", labels=("two words", "x")),
    ],
)
def test_classes_with_names(tmp_path: Path, text: str) -> None:
    raw = read(tmp_path, "t.csv", text)
    assert raw.x is not None
    assert raw.y is not None
    np.testing.assert_array_equal(raw.x, [row[:2] for row in ROWS])
    assert len(raw.y) == len(ROWS)
    assert np.unique(raw.y, return_inverse=True)[1].tolist() == [row[2] for row in ROWS]


def test_targets_that_are_numbers(tmp_path: Path) -> None:
    raw = read(tmp_path, "r.csv", "1,2,0.5\n3,4,0.25\n", 2, 1)
    assert raw.y is not None
    assert raw.y.tolist() == [0.5, 0.25]
    raw = read(tmp_path, "r.csv", "a,b,u,v\n1,2,0.5,1\n3,4,0.25,2\n", 2, 2)
    assert raw.y is not None
    assert raw.y.tolist() == [[0.5, 1], [0.25, 2]]
    raw = read(tmp_path, "r.csv", "1,2,3\n3,4,5\n", 3, 0)  # nothing to be learnt: all are features
    assert raw.x is not None
    assert raw.x.shape == (2, 3)
    assert raw.y is None
    raw = read(tmp_path, "r.csv", "0,2,0.5\n1,4,0.25\n0,1,0.75\n", 2, 1)
    assert raw.y is not None
    assert raw.y.tolist() == [0.5, 0.25, 0.75]
    assert "if it is the class, move it" in raw.notes[0]


REFUSED = {
    "no label": ("a,b,y\n1,2,cat\n3,4,\n5,6,dog\n", "line 3, column 3 (`y`): the label is missing"),
    "label nan": ("1,2,0\n3,4,nan\n5,6,1\n", "line 2, column 3: the label is missing"),
    "label NA": ("1,2,cat\n3,4,NA\n5,6,dog\n", "line 2, column 3: the label is missing"),
    "value": ("1,2,0\n3,,1\n5,6,0\n7,,1\n", "line 2, column 2: the value is missing, and 1 other"),
    "mark": ("1,2,0\n?,4,1\n5,6,1\n", "line 2, column 1: the value is missing"),
    "first row": ("1,?,0\n3,4,1\n5,6,1\n", "line 1, column 2: the value is missing"),
    "short": ("1,2,0\n3,4\n5,6,1\n", "line 2: it has 2 columns, where most have 3"),
    "long": ("1,2,0\n3,4,5,1\n5,6,1\n", "line 2: it has 4 columns"),
    "word": ("1,2,0\n3,oops,1\n5,6,1\n", "line 2, column 2: `oops` is no number"),
    "slip": ("1.5x,2,0\n3,4,1\n5,6,1\n", "line 1, column 1: `1.5x` is no number"),
    "underscore": ("1_000,2,0\n3,4,1\n5,6,1\n", "`1_000` is no number"),
    "second head": ("a,b,y\n1,2,0\na,b,y\n3,4,1\n", "line 3, column 1 (`a`): `a` is no number"),
    "category": ("M,2,7\nF,3,8\nI,4,9\n", "line 1, column 1: `M` is no number"),
    "thousands": ("1.234,5;2;0\n3;4;1\n", "thousands that are set apart"),
    "english thousands": ("1,234.5;2;0\n3;4;1\n", "thousands that are set apart"),
    "mixed": ("1,5;2.5;0\n3;4;1\n", "decimal commas and points, `1,5` and `2.5`"),
    "sparse": ("1 1:0.5 2:3\n0 1:0.2 2:1\n", "LIBSVM"),
    "weka": ("@relation x\n@data\n1,2,0", "ARFF"),
    "json": ('{"X": [[1, 2]]}', "is no table"),
    "html": ("<html><body>not found</body></html>", "is no table"),
    "nul": ("1,2\0,0\n", "is no text"),
    "open quote": ('1,2,"a\n3,4,b\n', "is damaged"),
    "head alone": ("a,b,y\n", "a head and no rows"),
    "comments": ("# nothing\n", "holds no lines with values"),
    "empty": ("", "is empty"),
    "column": ("1\n2\n3\n", "has one column"),
    "hollow": (",,\n,,\n", "holds no values"),
    "wide field": ("1,2," + "x" * 200_000 + "\n", "field larger than field limit"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_its_place(tmp_path: Path, name: str) -> None:
    text, said = REFUSED[name]
    assert said in fails(tmp_path, "t.csv", text)


OTHERS = {
    "m.mat": (b"MATLAB 5.0 MAT-file", "scipy.io.loadmat"),
    "m.pkl": (b"\x80\x04\x95", "it can run code"),
    "m.h5": (b"\x89HDF\r\n\x1a\n", "h5py"),
    "m.csv": (b"\x89HDF\r\n\x1a\n", "h5py"),
    "m.xlsx": (b"PK\x03\x04", "save the sheet as .csv"),
    "m.json": (b"{}", "numpy.savez"),
    "m.pt": (b"PK\x03\x04", "PyTorch"),
    "m.png": (b"\x89PNG\r\n", "is an image"),
    "m.zip": (b"PK\x03\x04", "unpack it"),
    "m.bz2": (b"BZh91AY", "bunzip2"),
    "m.bin": (b"\x07\x08\x09", "read are .npz, .npy, .csv"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_hint_for_what_is_not_read(tmp_path: Path, name: str) -> None:
    content, hint = OTHERS[name]
    assert hint in fails(tmp_path, name, content)
