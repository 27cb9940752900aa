"""Data sets and how they are fitted to a circuit."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitdsl.data import named as sources
from circuitdsl.diagnostics import CircuitError
from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.resolve import load_text
from circuitdsl.runtime.data import SHUFFLE, Dataset, load_data, permutation
from circuitdsl.runtime.errors import MissingData


def reader(inputs: int, targets: int) -> Circuit:
    """A linear readout with these sizes."""
    circuit = load_text(
        f"""circuit c {{
          input x: {inputs}   target y: {targets}
          neuron out: {targets} {{ dendrite basal   rate = basal }}
          neuron err: {targets} {{ rate = y - out }}
          synapse W: x -> out {{ dw = 0.1 * err * pre }}
          loss = mse(out, y)
          task t {{ data = digits }}
        }}"""
    ).circuit
    assert circuit is not None
    return circuit


def load(data: Any, inputs: int, targets: int, **options: Any) -> Dataset:
    return load_data(data, (), reader(inputs, targets), dtype="float64", **options)


def fails(code: str, data: Any, inputs: int, targets: int, **options: Any) -> str:
    with pytest.raises(CircuitError) as caught:
        load(data, inputs, targets, **options)
    (found,) = caught.value.diagnostics
    assert found.code == code
    return f"{found.title} | {found.hint}"


# ---------------------------------------------------------------- what comes with other packages


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    theirs = load_digits()
    ours = load("digits", 64, 10, scale="none")
    np.testing.assert_allclose(ours.arrays["x"], theirs.data / 16)
    np.testing.assert_array_equal(ours.arrays["y"].argmax(axis=1), theirs.target)
    assert (len(ours.train), len(ours.test)) == (1438, 359)


def test_sources_are_read_without_importing_their_packages(tmp_path: Path) -> None:
    import subprocess

    script = (
        "import sys; from circuitdsl.data import named as s;"
        "z = s.Sizes(64, 10); [n.make(n.defaults, z) for k, n in s.NAMED.items() if k != 'fashion'];"
        "print([m for m in ('sklearn', 'mlxtend', 'pandas', 'xarray') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "examples", "features", "classes"),
    [("mnist5k", 5000, 784, 10), ("iris", 150, 4, 3), ("wine", 178, 13, 3), ("breast_cancer", 569, 30, 2)],
)
def test_known_sets(name: str, examples: int, features: int, classes: int) -> None:
    data = load(name, features, classes)
    assert data.arrays["x"].shape == (examples, features)
    assert data.arrays["y"].shape == (examples, classes)
    np.testing.assert_array_equal(data.arrays["y"].sum(axis=1), 1)
    assert (data.arrays["y"].sum(axis=0) > 0).all()


def test_fashion_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "FASHION_FOLDER", tmp_path)
    assert "apt-get install dataset-fashion-mnist" in fails("C062", "fashion", 784, 10)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingData) as caught:
        load("digits", 64, 10)
    assert "scikit-learn" in caught.value.diagnostics[0].title


# ---------------------------------------------------------------- generated


@pytest.mark.parametrize("name", ["two_moons", "circles", "spirals", "xor"])
def test_points_in_the_plane(name: str) -> None:
    one = load(f"{name}(n=200, seed=3)", 2, 2)
    again = load(f"{name}(n=200, seed=3)", 2, 2)
    other = load(f"{name}(n=200, seed=4)", 2, 2)
    assert one.arrays["x"].shape == (200, 2)
    np.testing.assert_array_equal(one.arrays["x"], again.arrays["x"])
    assert not np.array_equal(one.arrays["x"], other.arrays["x"])
    assert load(f"{name}(n=200)", 2, 1).arrays["y"].mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("argument", ["n=nan", "n=1", "n=2.5", "seed=-1", "seed=4294967296", "hidden=inf", "hidden=-1"])
def test_arguments_are_in_their_range(argument: str) -> None:
    assert f"`{argument.partition('=')[0]}` is " in fails("C063", f"teacher({argument})", 4, 3)


def test_parity_is_parity() -> None:
    data = load("parity(n=300)", 7, 1, scale="none")
    np.testing.assert_array_equal(data.arrays["x"].sum(axis=1) % 2, data.arrays["y"][:, 0])


def test_a_linear_teacher_can_be_found_by_least_squares() -> None:
    data = load("teacher(n=100, hidden=0)", 5, 3, scale="none")
    _, residuals, _, _ = np.linalg.lstsq(data.arrays["x"], data.arrays["y"])
    assert residuals.max() < 1e-20
    classes = load("teacher(n=100, classify=1)", 5, 3).arrays["y"]
    np.testing.assert_array_equal(classes.sum(axis=1), 1)


def test_patches_fit_the_input() -> None:
    assert load("patches(n=50)", 36, 36).arrays["x"].shape == (50, 36)
    assert "square" in fails("C063", "patches", 35, 35)


# ---------------------------------------------------------------- files and arrays


def test_npz_with_x_and_y(tmp_path: Path) -> None:
    x, y = np.random.rand(20, 3), np.arange(20) % 2
    np.savez(tmp_path / "d.npz", X=x, y=y)
    data = load("d.npz", 3, 2, scale="none", folder=tmp_path)
    np.testing.assert_array_equal(data.arrays["x"], x)
    np.testing.assert_array_equal(data.arrays["y"].argmax(axis=1), y)


def test_npz_with_its_own_split(tmp_path: Path) -> None:
    x, y = np.random.rand(20, 3), np.arange(20) % 2
    np.savez(tmp_path / "d.npz", X_train=x[:15], y_train=y[:15], X_test=x[15:], y_test=y[15:])
    data = load("d.npz", 3, 2, folder=tmp_path, scale="none")
    assert data.train.tolist() == list(range(15))
    assert data.test.tolist() == list(range(15, 20))
    np.testing.assert_array_equal(data.arrays["x"], x)
    np.savez(tmp_path / "e.npz", X=x, y=y, test=np.array([3, 4]))
    data = load("e.npz", 3, 2, folder=tmp_path)
    assert data.test.tolist() == [3, 4]
    assert len(data.train) == 18


def test_npz_by_population(tmp_path: Path) -> None:
    circuit = load_text(
        """circuit c {
          input a: 2   input b: 3   target y: 1
          neuron out: 1 { dendrite basal   rate = basal }
          synapse A: a -> out   synapse B: b -> out
          loss = mse(out, y)
          task t { data = digits }
        }"""
    ).circuit
    assert circuit is not None
    np.savez(tmp_path / "d.npz", a=np.ones((5, 2)), b=np.zeros((5, 3)), y=np.linspace(0, 1, 5))
    data = load_data("d.npz", (), circuit, folder=tmp_path, scale="none")
    assert {k: v.shape for k, v in data.arrays.items()} == {"a": (5, 2), "b": (5, 3), "y": (5, 1)}
    np.savez(tmp_path / "d.npz", X=np.ones((5, 2)), y=np.zeros(5))
    with pytest.raises(CircuitError, match="no array for the input `a`"):
        load_data("d.npz", (), circuit, folder=tmp_path)


def test_csv(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("a,b,kind\n1,2,cat\n3,4,dog\n5,6,cat\n7,8,dog\n9,1,cat\n")
    data = load("c.csv", 2, 1, folder=tmp_path, scale="none")
    np.testing.assert_array_equal(data.arrays["x"], [[1, 2], [3, 4], [5, 6], [7, 8], [9, 1]])
    assert data.arrays["y"].ravel().tolist() == [0, 1, 0, 1, 0]
    (tmp_path / "r.csv").write_text("1;2;0.5\n3;4;0.7\n")
    np.testing.assert_array_equal(load("r.csv", 2, 1, folder=tmp_path).arrays["y"], [[0.5], [0.7]])
    (tmp_path / "bad.csv").write_text("1,2,0\n3,oops,1\n")
    assert "line 2, column 2: `oops` is no number" in fails("C063", "bad.csv", 2, 1, folder=tmp_path)


def write_idx(path: Path, array: np.ndarray[Any, Any]) -> None:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.astype("uint8").tobytes()))


def test_idx(tmp_path: Path) -> None:
    images, labels = np.random.randint(0, 256, (7, 2, 3)), np.arange(7) % 3
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", labels)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", images[:2])
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", labels[:2])
    for where in (str(tmp_path), str(tmp_path / "train-images-idx3-ubyte.gz")):
        data = load(where, 6, 3, scale="none")
        np.testing.assert_allclose(data.arrays["x"][:7], images.reshape(7, 6) / 255)
        assert (len(data.train), len(data.test)) == (7, 2)
    cut = tmp_path / "cut-idx1-ubyte"
    cut.write_bytes(b"\0\0\x08\x01\0\0\0\x09abc")
    assert "cut short" in fails("C063", str(cut), 6, 3)


@given(content=st.binary(max_size=60), suffix=st.sampled_from([".npz", ".csv", "-idx3-ubyte", ".csv.gz"]))
@settings(max_examples=60, deadline=None)
def test_no_file_makes_a_traceback(content: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("data") / f"file{suffix}"
    path.write_bytes(content)
    with pytest.raises(CircuitError):
        load(str(path), 64, 10)


def test_files_without_examples(tmp_path: Path) -> None:
    for x, y, said in ((np.zeros((0, 4)), np.zeros(0), "no examples"), (3.0, 1, "one number")):
        np.savez(tmp_path / "few.npz", X=x, y=y)
        assert said in fails("C063", str(tmp_path / "few.npz"), 4, 3)
    (tmp_path / "other.npz").write_bytes(bytes(range(256)))
    assert "no .npz archive" in fails("C063", str(tmp_path / "other.npz"), 4, 3)
    assert "a pair" in fails("C063", 3, 4, 3)


def test_arrays() -> None:
    x, y = np.random.rand(30, 4), np.arange(30) % 3
    data = load((x, y), 4, 3)
    assert data.arrays["y"].argmax(axis=1).tolist() == y.tolist()
    assert load((x, y + 1), 4, 3).arrays["y"].argmax(axis=1).tolist() == y.tolist()
    assert load((x, x[:, :2]), 4, 2).arrays["y"].shape == (30, 2)
    assert load((x, y % 2), 4, 1).arrays["y"].ravel().tolist() == (y % 2).tolist()
    assert "different numbers" in fails("C063", (x, y[:5]), 4, 3)
    x[3, 2] = np.nan
    assert "has 1 value for `x` that is not finite" in fails("C063", (x, y), 4, 3)
    x[3, 2] = 1e300  # too large for its deviation, with which it would be divided away
    assert "too large" in fails("C063", (x, y), 4, 3)


# ---------------------------------------------------------------- sizes


def test_sizes_that_do_not_fit() -> None:
    message = fails("C061", "digits", 32, 10)
    assert "data set `digits` has 64 features, but input `x` has 32 | write `input x: 64`" in message
    assert "has 10 classes, but target `y` has 7" in fails("C061", "digits", 64, 7)
    assert "10 classes, but target `y` has 1" in fails("C061", "digits", 64, 1)
    assert "did you mean `digits`?" in fails("C060", "digit", 64, 10)
    assert "has no argument `noize`" in fails("C060", "two_moons(noize=1)", 2, 1)
    assert "there is no file" in fails("C062", "nowhere/mine.npz", 2, 1)


def test_the_task_is_underlined() -> None:
    circuit = reader(32, 10)
    with pytest.raises(CircuitError) as caught:
        load_data("digits", (), circuit, span=circuit.tasks["t"].span)
    (found,) = caught.value.diagnostics
    assert found.span == circuit.tasks["t"].span
    assert found.labels[0].span == circuit.populations["x"].span


# ---------------------------------------------------------------- scaling, splitting, shuffling


def test_scaling_uses_training_statistics_only() -> None:
    x = np.random.RandomState(0).rand(50, 3) * 7 + 2
    x[:, 1] = 4.0
    data = load((x, np.arange(50) % 2), 3, 2)
    ours, train = data.arrays["x"], data.train
    expected = (x - x[train].mean(axis=0)) / np.where(x[train].std(axis=0) > 1e-12, x[train].std(axis=0), 1)
    np.testing.assert_allclose(ours, expected)
    centred = load("digits", 64, 10)
    np.testing.assert_allclose(centred.arrays["x"][centred.train].mean(axis=0), 0, atol=1e-12)
    assert np.ptp(centred.arrays["x"]) <= 2
    np.testing.assert_allclose(load((x, np.arange(50) % 2), 3, 2, scale="none").arrays["x"], x)
    assert load("digits", 64, 10, scale="zscore").arrays["x"].std() == pytest.approx(0.975, abs=0.03)


def test_the_split_is_the_same_for_everyone() -> None:
    """These numbers may never change: results are compared across versions."""
    data = load("iris", 4, 3)
    assert sorted([*data.train, *data.test]) == list(range(150))
    assert data.test[:6].tolist() == SPLIT_OF_IRIS
    assert permutation(6, purpose=SHUFFLE, seed=1, epoch=2).tolist() == ORDER


SPLIT_OF_IRIS = [5, 8, 11, 12, 14, 21]
ORDER = [0, 2, 4, 5, 3, 1]


@given(n=st.integers(0, 200), seed=st.integers(0, 2**32 - 1), epoch=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_a_permutation_is_one(n: int, seed: int, epoch: int) -> None:
    order = permutation(n, purpose=SHUFFLE, seed=seed, epoch=epoch)
    assert sorted(order.tolist()) == list(range(n))
    if n > 30:
        assert order.tolist() != permutation(n, purpose=SHUFFLE, seed=seed, epoch=epoch + 1).tolist()
