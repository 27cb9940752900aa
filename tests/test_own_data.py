"""Data of one's own: arrays by every way, labels of every kind, splits, and what is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_data import fails, load, reader

from circuitdsl.api import Request, Simulation, loads
from circuitdsl.diagnostics import CircuitError, Severity
from circuitdsl.graph.resolve import load_text
from circuitdsl.runtime.data import Dataset, load_data
from circuitdsl.runtime.doubts import doubts_of
from circuitdsl.runtime.errors import UsageError

RANDOM = np.random.default_rng(0)
X = RANDOM.random((40, 4))
Y = np.arange(40) % 3
NAMES = np.array(["red", "green", "blue"])[Y]
FRAME = pd.DataFrame(X, columns=list("abcd")).assign(kind=NAMES)


def told(dataset: Dataset, severity: Severity = Severity.WARNING) -> str:
    return " | ".join(d.title for d in doubts_of(dataset) if d.severity is severity)


# ---------------------------------------------------------------- every way in


def saved(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "d.npz", **arrays)
    return str(folder / "d.npz")


def test_every_format_gives_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", NAMES)
    FRAME.to_parquet(tmp_path / "d.parquet")
    FRAME.to_csv(tmp_path / "d.csv", index=False)
    FRAME.to_csv(tmp_path / "indexed.csv")
    ways: dict[str, Any] = {
        "pair": (X, NAMES),
        "lists": (X.tolist(), NAMES.tolist()),
        "objects": (X, NAMES.astype(object)),
        "bytes": (X, NAMES.astype("S5")),
        "frame": FRAME,
        "frame and series": (FRAME[list("abcd")], FRAME["kind"]),
        "category": FRAME.assign(kind=FRAME["kind"].astype("category")),
        "mapping": {"X": X, "y": NAMES},
        "by population": {"x": X, "y": NAMES},
        "sklearn": {"data": X, "target": NAMES},
        "npz": saved(tmp_path, X=X, y=NAMES),
        "path": tmp_path / "d.npz",
        "npy": str(tmp_path / "X.npy"),
        "parquet": str(tmp_path / "d.parquet"),
        "csv": str(tmp_path / "d.csv"),
        "csv with an index": str(tmp_path / "indexed.csv"),
    }
    first = load(ways["pair"], 4, 3)
    assert first.arrays["y"].argmax(axis=1).tolist() == [{"red": 2, "green": 1, "blue": 0}[n] for n in NAMES]
    for name, data in ways.items():
        other = load(data, 4, 3)
        for key, array in first.arrays.items():
            np.testing.assert_allclose(other.arrays[key], array, err_msg=name)
        assert "0 = blue, 1 = green, 2 = red" in told(other, Severity.NOTE), name


def test_several_inputs_from_python_by_name() -> None:
    circuit = load_text(
        """circuit c { input a: 2 input b: 3 target y: 1
          neuron out: 1 { dendrite basal rate = basal }
          synapse A: a -> out synapse B: b -> out
          loss = mse(out, y) task t { data = digits } }"""
    ).circuit
    assert circuit is not None
    arrays = {"a": np.ones((5, 2)), "b": np.zeros((5, 3)), "y": np.linspace(0, 1, 5), "c": np.ones(5)}
    data = load_data(arrays, (), circuit, scale="none")
    assert {k: v.shape for k, v in data.arrays.items()} == {"a": (5, 2), "b": (5, 3), "y": (5, 1)}
    assert "not used of the mapping: `c`" in told(data, Severity.NOTE)
    frames = {"a": pd.DataFrame(arrays["a"]), "b": pd.DataFrame(arrays["b"]), "y": pd.Series(arrays["y"])}
    again = load_data(frames, (), circuit, scale="none")
    assert all(np.array_equal(again.arrays[k], v) for k, v in data.arrays.items())
    split = {"a_train": arrays["a"][:4], "a_test": arrays["a"][4:], "b": arrays["b"], "y": arrays["y"]}
    with pytest.raises(CircuitError, match="has `a_test`, but no `b_test`"):
        load_data(split, (), circuit)
    with pytest.raises(CircuitError, match="no array for the input `a`"):
        load_data((np.ones((5, 2)), np.zeros(5)), (), circuit)


def test_what_python_may_not_give() -> None:
    from scipy.sparse import csr_matrix

    refused: dict[str, Any] = {
        "makes no array": ([[1, 2], [3]], [0, 1]),
        "not as a int": 3,
        "not as a ndarray": X,
        "is sparse": (csr_matrix(X), Y),
        "masked": (np.ma.masked_greater(X, 0.5), Y),
        "complex numbers": (X + 1j, Y),
        "complex labels": (X, Y + 1j),
        "holds dates": (np.zeros((40, 4), dtype="M8[s]"), Y),
        "dates or times as labels": (X, np.zeros(40, dtype="M8[s]")),
        "holds texts": (X.astype(str), Y),
        "type set": (X, [{1}] * 40),
        "column `a` holds dates": FRAME.assign(a=pd.Timestamp("2020-01-01")),
        "row 3, column 1 (`a`): the value is missing": FRAME.assign(a=[*X[:3, 0], None, *X[4:, 0]]),
        "row 3, column 5 (`kind`): the label is missing": FRAME.assign(kind=[*NAMES[:3], None, *NAMES[4:]]),
        "holds no rows": FRAME[:0],
    }
    for said, data in refused.items():
        assert said in fails("C063", data, 4, 3), said


def test_arrays_are_known_by_themselves_not_by_their_tuple() -> None:
    simulation = Simulation(loads(TEXT, "small"))
    with_frame = Request(data=FRAME, epochs=0)
    assert simulation.prepare(with_frame).loop.dataset is simulation.prepare(with_frame).loop.dataset
    one = simulation.prepare(Request(data=(X, Y), epochs=0)).loop.dataset
    assert simulation.prepare(Request(data=(X, Y), epochs=0)).loop.dataset is one
    assert simulation.prepare(Request(data=(X, Y + 0), epochs=0)).loop.dataset is not one


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    "labels",
    [
        np.where(Y == 1, np.nan, Y),
        np.array(["a", "", "b"])[Y],
        np.array(["a", "nan", "b"])[Y],
        np.array(["a", None, "b"], dtype=object)[Y],
        np.array([0.0, None, 2.0], dtype=object)[Y],
        pd.Series(Y).astype("Int64").where(Y != 1),
        pd.Series(NAMES).where(Y != 1),
    ],
    ids=range(7),
)
def test_a_missing_label_is_no_class(labels: Any, tmp_path: Path) -> None:
    for size in (2, 3):
        assert "the label of example 1 is missing, and those of 12 others" in fails("C063", (X, labels), 4, size)
    if isinstance(labels, np.ndarray) and labels.dtype.kind != "O":
        assert "example 1 is missing" in fails("C063", saved(tmp_path, X=X, y=labels), 4, 3)


def test_numbers_as_texts_are_numbers(tmp_path: Path) -> None:
    data = load(saved(tmp_path, X=X, y=np.array(["1", "2", "10"])[Y]), 4, 3)
    assert data.arrays["y"].argmax(axis=1).tolist() == Y.tolist()  # 10 comes after 2
    assert load((X, np.array(["0.5", "1.5"])[Y % 2]), 4, 1).arrays["y"].ravel().tolist() == (Y % 2 + 0.5).tolist()


def test_as_many_classes_as_units(tmp_path: Path) -> None:
    assert "3 classes, but target `y` has 2 | write `target y: 3`; the classes are blue, green, red" in fails(
        "C061", (X, NAMES), 4, 2
    )
    assert "3 classes, but target `y` has 5" in fails("C061", (X, NAMES), 4, 5)
    assert "3 classes, but target `y` has 1" in fails("C061", (X, NAMES), 4, 1)
    assert "the classes are 0, 10, 20" in fails("C061", (X, Y * 10), 4, 5)
    assert "classes 3, 4 of `y` have no example" in told(load((X, Y), 4, 5))
    assert "-1 of `y` is taken for a class" in told(load((X, Y - 1), 4, 3))
    assert "-1" not in told(load((X, Y % 2 * 2 - 1), 4, 2))


def test_one_class_is_told_and_stays_what_it_is() -> None:
    for label in (0, 1):
        data = load((X, Y * 0 + label), 4, 1)
        assert set(data.arrays["y"].ravel().tolist()) == {label}
        assert f"of one class of `y`, {label}" in told(data)
    assert "of one class of `y`, red" in told(load((X, ["red"] * 40), 4, 1))


def test_imbalance_is_told() -> None:
    rare = (np.arange(200) % 20 == 3).astype(int)
    many = np.arange(800.0).reshape(200, 4)
    said = told(load((many, rare), 4, 2))
    assert "190 of 200 examples are of class 0 of `y`, 10 of class 1: to answer 0 always is right in 95.0%" in said
    assert "always" not in told(load((many, np.arange(200) % 3), 4, 3))
    sorted_by_class = {"X": many, "y": np.sort(np.arange(200) % 3), "train": np.arange(100)}
    said = told(load(sorted_by_class, 4, 3))
    assert "class 2 of `y` has no training example" in said
    assert "class 0 of `y` has no test example" in said


# ---------------------------------------------------------------- shapes and time


def test_no_hint_flattens_time() -> None:
    series = RANDOM.random((40, 20, 4))
    for x in (series, series.transpose(0, 2, 1), series[:, :10]):
        message = fails("C061", (x, Y), 4, 3)
        assert "not yet available" in message
        assert "write `input" not in message
    message = fails("C061", (RANDOM.random((40, 5, 7)), Y), 4, 3)
    assert "5 x 7 values" in message
    assert "if no axis is time" in message
    images = RANDOM.integers(0, 255, (40, 8, 8)).astype("uint8")
    assert "write `input x: 64`, which takes all of an image" in fails("C061", (images, Y), 4, 3)
    assert not told(load((images, Y), 64, 3), Severity.NOTE)
    assert "if one axis is time" in told(load((series, Y), 80, 3), Severity.NOTE)
    assert "`X.T`" in fails("C061", (X.T, Y), 4, 3)
    assert "not yet available" in fails("C061", (X, RANDOM.random((40, 6, 3))), 4, 3)


def test_bytes_of_any_population_are_images() -> None:
    images = RANDOM.integers(0, 256, (40, 4)).astype("uint8")
    by_name = load({"x": images, "y": Y}, 4, 3, scale="none")
    np.testing.assert_allclose(by_name.arrays["x"], images / 255)


# ---------------------------------------------------------------- splits


def test_splits_as_they_come(tmp_path: Path) -> None:
    parts = {"x_train": X[:20], "y_train": Y[:20], "x_test": X[30:], "y_test": Y[30:]}
    data = load(saved(tmp_path, **parts), 4, 3)  # as mnist.npz comes
    assert (len(data.train), len(data.test), len(data.validation)) == (20, 10, 0)
    data = load(saved(tmp_path, **parts, x_val=X[20:30], y_val=Y[20:30]), 4, 3)
    assert (data.train.tolist(), data.validation.tolist()) == (list(range(20)), list(range(20, 30)))
    np.testing.assert_allclose(data.arrays["y"].argmax(axis=1), Y)
    data = load(((X[:30], Y[:30]), (X[30:], Y[30:])), 4, 3)
    assert data.test.tolist() == list(range(30, 40))
    data = load(saved(tmp_path, X=X, y=Y, test=np.arange(40) < 8), 4, 3)
    assert data.test.tolist() == list(range(8))
    data = load(saved(tmp_path, X=X, y=Y, test=[1, 2], validation=[3]), 4, 3)
    assert 3 not in data.train
    assert len(data.train) == 37


SPLITS_REFUSED: dict[str, dict[str, Any]] = {
    "is one number": {"train": 30, "test": 10},
    "a mask is of type bool": {"test": (np.arange(40) < 8).astype(int)},
    "is a mask of 39 examples": {"test": np.arange(39) < 8},
    "from 0 to 39": {"test": np.arange(1, 41)},
    "list each example once": {"train": [1, 2, 2]},
    "no examples to train on": {"test": np.arange(40)},
    "holds no example": {"test": np.zeros(0, dtype=int)},
    "neither indices of examples nor a mask": {"test": [0.5, 0.25]},
    "brings its split twice": {"X_test": X, "y_test": Y, "test": [1]},
    "has `X_test`, but no `y_test`": {"X_test": X},
    "both `X` and `X_train`": {"X_train": X},
    "examples of different shapes": {"X_test": X[:, :3], "y_test": Y},
    "9 examples in `y_test` and 10 in `X_test`": {"X_test": X[:10], "y_test": Y[:9]},
    "different numbers of examples": {"y": Y[:5]},
    "holds one number": {"X": 3.0},
    "holds no examples": {"X": X[:0], "y": Y[:0]},
}


@pytest.mark.parametrize("said", SPLITS_REFUSED)
def test_splits_that_cannot_be_meant(said: str, tmp_path: Path) -> None:
    arrays = {"X": X, "y": Y, **{key: np.asarray(value) for key, value in SPLITS_REFUSED[said].items()}}
    assert said in fails("C063", saved(tmp_path, **arrays), 4, 3)
    assert said in fails("C063", arrays, 4, 3)


@pytest.mark.parametrize(
    ("part", "hint"),
    [
        (30, "for the first 30 of them: `train = numpy.arange(30)`"),
        (0.8, "for the first 32 of them: `train = numpy.arange(32)`"),
        (np.arange(1, 41), "they are numbered from 0: subtract 1"),
    ],
)
def test_a_split_that_is_a_count_a_part_or_from_one(part: Any, hint: str) -> None:
    with pytest.raises(CircuitError) as caught:
        load({"X": X, "y": Y, "train": np.asarray(part)}, 4, 3)
    assert [d.hint for d in caught.value.diagnostics] == [hint]


def test_examples_in_both_train_and_test_are_told() -> None:
    assert "5 of 10 test examples are among the training" in told(
        load({"X": X, "y": Y, "train": np.arange(35), "test": np.arange(30, 40)}, 4, 3)
    )
    assert "the test set is the training set" in told(load(((X, Y), (X, Y)), 4, 3))
    assert "the test set is the training set" in told(load(((X, Y), (X[::-1], Y[::-1])), 4, 3))
    twice = np.concatenate([X, X])
    assert "test examples are among the training" in told(load((twice, np.concatenate([Y, Y])), 4, 3))
    assert "its one example is for training and for testing" in told(load((X[:1], Y[:1]), 4, 3))
    assert not told(load((X, Y), 4, 3))
    assert not told(load("iris", 4, 3))  # two flowers of it are alike, as everyone knows


# ---------------------------------------------------------------- validation

TEXT = """circuit small {
  param eta = 0.1
  input x: 4   target y: 3
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  synapse W: x -> out { init = zeros   dw = eta * err * pre }
  loss = cross_entropy(out, y)
  task flowers { data = iris   epochs = 1   batch = 8   validation = 0.25   metric = accuracy(out, y) }
}"""


def test_validation_comes_out_of_the_training_examples() -> None:
    plain, held = load("iris", 4, 3), load("iris", 4, 3, validation=0.25)
    assert held.test.tolist() == plain.test.tolist()
    assert sorted([*held.train, *held.validation]) == plain.train.tolist()
    assert len(held.validation) == 30
    assert load("iris", 4, 3, validation=0.25).validation.tolist() == held.validation.tolist()
    np.testing.assert_allclose(held.arrays["x"][held.train].mean(axis=0), 0, atol=1e-9)  # nothing of it in the scale
    assert len(load((X[:5], Y[:5]), 4, 3, validation=0.01).validation) == 1
    assert len(load((X[:5], Y[:5]), 4, 3, validation=0.99).train) == 1
    assert "none can be held out" in fails("C063", (X[:2], Y[:2]), 4, 3, validation=0.5)


@pytest.mark.parametrize("value", ["0", "1", "-0.1", "2", "10"])
def test_a_part_of_them(value: str) -> None:
    with pytest.raises(CircuitError) as caught:
        loads(TEXT.replace("0.25", value))
    assert caught.value.diagnostics[0].code == "C027"
    given = TEXT.replace("0.25", "held").replace("param eta", "param held = 0.5 param eta")
    with pytest.raises(UsageError, match="`validation` is"):
        Simulation(loads(given), target="reference").prepare(Request(params={"held": float(value)}))


def test_a_sweep_chooses_by_the_validation_set() -> None:
    from circuitdsl.explore.gather import best, rows
    from circuitdsl.explore.sweep import sweep

    found = sweep(loads(TEXT), {"eta": [0.001, 0.3, 3.0]}, target="reference", jobs=1)
    dataset = load_data("iris", (), reader(4, 3), validation=0.25)
    assert found["validation_metric"].dims == ("eta", "seed", "epoch")
    assert found.attrs["validation"] == 0.25
    listed = rows(found)
    chosen = best(listed, on="metric", larger=True)
    assert chosen is not None
    top = max(row.validation["metric"][0] for row in listed)
    assert chosen.validation["metric"][0] == top
    # the examples are those held out: accuracies are thirtieths there, and on the test set too
    assert round(top * len(dataset.validation), 4) % 1 == 0
    run = loads(TEXT).run(target="reference", params={"eta": 0.3})
    assert run["validation_metric"].values[-1] == found["validation_metric"].sel(eta=0.3).values[0, -1]
    assert run["metric"].values[-1] == found["metric"].sel(eta=0.3).values[0, -1]
    without = loads(TEXT.replace("validation = 0.25", "")).run(target="reference")
    assert "validation_metric" not in without
