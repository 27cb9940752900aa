"""JavaScript: what is printed, held against the reference by node, and what runs it, held against Python's."""

from __future__ import annotations

import subprocess
from hashlib import sha256

import numpy as np
import pytest
from agreement import check, generated, library_made_small, odd
from bench import library
from node import MISSING, HostError, Node, ask, flat

from circuitdsl import noise
from circuitdsl.api import Emission, Simulation, load, loads
from circuitdsl.emit.js import print_program
from circuitdsl.graph.initial import initial_state
from circuitdsl.graph.numbers import numbers_of
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_all
from circuitdsl.runtime.data import SHUFFLE, load_data, permutation
from circuitdsl.runtime.javascript import run_module
from circuitdsl.runtime.request import Request

needs_node = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

KP = "heterosynaptic/kolen_pollack.circ"

#: Names that mean something to JavaScript or to the printed text.
ODD = """circuit odd {
  param var = 0.1   param power = 2   param Math = 1
  input await: 3
  neuron new: 3 { dendrite at_W   state NaN = 0   dNaN = 0.1 * at_W   rate = relu(at_W * Math) ^ power + randn() }
  neuron relu: 3 { rate = sigmoid(prev(new)) + uniform24 }
  neuron uniform24: 3 { rate = prev(relu) }
  synapse W: await -> new.at_W { dw = var * pre * post }
  schedule { phase yield: 2   update = example }
  loss = mean(square(new))
}"""

#: Every initial value, mask and constraint that is drawn in a page.
DRAWN = """circuit drawn {
  param k = 3
  param c per A = uniform(0.5, 1.5)
  param d per h = abs(normal(0, 1))
  input x: 6
  neuron h: 5 { dendrite a, b   state v = uniform(-1, 1) keep   dv = 0.1 * a   rate = tanh(a + b + d) + 0.1 * v }
  neuron g: 5 { dendrite a   rate = a }
  synapse A: x -> h.a { init = normal(0, 1 / sqrt(fan_in))   connect = sparse(0.5)
                        state m = 2 * uniform(0, 1) + fan_out   dm = 0.1 * pre   dw = 0.1 * pre * c + 0.1 * m }
  synapse B: x -> h.b { init = uniform(-1, 1)   connect = fan_in(k)   bounds = [-1 / fan_in, 1 / fan_in]
                        dw = 0.1 * pre * post }
  synapse C: h -> g.a { init = max(normal(0, 1), 0.1) - identity()   connect = no_self   sign = excitatory }
  synapse D: prev(g) -> h.b { init = transpose(C)   sign = inhibitory }
  synapse E: h -> g.a { init = copy(C)   connect = one_to_one }
  synapse F: h -> g.a { init = sqrt(2) * constant(0.3) + zeros() }
  schedule { phase settle: 2   update = example }
  loss = mean(square(g))
}"""


# ---------------------------------------------------------------- the same numbers


@needs_node
@pytest.mark.parametrize("seed", range(0, 100, 34))
def test_generated_circuits_agree(seed: int) -> None:
    """`make agreement` does so with more."""
    assert [*check(generated(seed), seed, Node)] == []


@needs_node
def test_the_library_agrees() -> None:
    """Every twelfth circuit; `make agreement` takes all."""
    assert library_made_small(Node, every=12) == []


@needs_node
@pytest.mark.parametrize("text", ["numba", "javascript"])
def test_odd_names_are_safe(text: str) -> None:
    circuit = odd() if text == "numba" else loads(ODD, "odd").ir
    assert [*check(circuit, 0, Node), *check(circuit, 3, Node)] == []


@needs_node
def test_a_program_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.run_module", lambda *a, **k: run_module(*a, **k).replace(" - ", " + "))
    assert [*check(library(KP), 1, Node)] != []


# ---------------------------------------------------------------- random numbers


@needs_node
def test_noise_has_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    words = [0, 1, 2, 2**16, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]
    keys = [*([w] * 7 for w in words), *rng.integers(0, 2**32, (2000, 7)).tolist()]
    keys = [[key[0], key[1] >> 1, *key[2:]] for key in keys]
    for which in ("uniform24", "uniform53", "normal28"):
        expected = [getattr(noise, which)(s, high << 32 | low, *rest) for s, high, low, *rest in keys]
        assert ask("noise", which=which, keys=keys) == expected


@needs_node
def test_the_parts_of_a_normal_number_at_their_ends() -> None:
    words = [0, 1, 2, *(2**n + d for n in range(2, 32) for d in (-1, 0, 1)), 2**32 - 2, 2**32 - 1]
    for which, python, limit in (("minusLog31", noise.minus_log31, 32), ("cosine30", noise.cosine30, 31)):
        below = [w for w in words if w < 2**limit]
        assert ask("noise", which=which, keys=[[w] for w in below]) == [python(w) for w in below]
    squares = [*words, *(64 * w for w in words)]
    assert ask("noise", which="sqrt27", keys=[[x] for x in squares]) == [noise.sqrt27(x) for x in squares]


@needs_node
@pytest.mark.parametrize(
    ("seed", "name"), [(0, "W1"), (4294967295, "λ of a long name, with more than 64 bytes in it: " * 2)]
)
def test_streams_are_numpys(seed: int, name: str) -> None:
    words = np.frombuffer(sha256(name.encode()).digest(), dtype="<u4").tolist()

    def generator() -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))

    uniform = ask("draws", seed=seed, name=name, which="uniform", count=1000)
    assert uniform == generator().random(1000).tolist()
    normal = np.array(ask("draws", seed=seed, name=name, which="normal", count=50_000))
    assert np.abs(normal - generator().standard_normal(50_000)).max() < 1e-12
    assert np.abs(normal).max() > 3.7  # beyond the last layer of the ziggurat


# ---------------------------------------------------------------- state and data


@needs_node
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_state_starts_alike(dtype: str) -> None:
    circuit = loads(DRAWN, "drawn").ir
    numbers = numbers_of(circuit, {})
    expected = initial_state(circuit, numbers, 7, dtype=dtype)
    found = ask("start", source=run_module(circuit, numbers, dtype=dtype), seed=7)
    drawn = {name: expected.mask(name) for name in expected.projections}
    masks = {name: None if m is None else m.astype(int).ravel().tolist() for name, m in drawn.items()}
    assert found["masks"] == masks
    states = {".".join(key): array for key, array in expected.synapse_states.items()}
    parts = {
        "weights": expected.weights, "synapseStates": states, "kept": expected.kept,
        "coefficients": expected.coefficients, "resets": expected.resets,
    }  # fmt: skip
    for part, arrays in parts.items():
        assert found[part].keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_allclose(found[part][name], array.ravel(), rtol=1e-6, err_msg=name)
    assert any(arrays for arrays in parts.values())


@needs_node
@pytest.mark.parametrize(("init", "reason"), [("orthogonal()", "not drawn here"), ('file("w.npy")', "has no files")])
def test_what_a_page_cannot_draw_is_refused_with_a_reason(init: str, reason: str) -> None:
    circuit = loads(
        f"circuit c {{ input x: 3 neuron h: 3 {{ dendrite a rate = a }} synapse W: x -> h {{ init = {init} }} }}"
    ).ir
    with pytest.raises(HostError, match=f"`W` starts from .*{reason}"):
        ask("start", source=run_module(circuit, {}), seed=0)


def test_more_than_a_page_holds_is_refused() -> None:
    text = "circuit c { input x: 20000 neuron h: 10000 { dendrite a rate = a } synapse W: x -> h }"
    with pytest.raises(ValueError, match="`W` joins 10000 to 20000 units: too many for a page"):
        run_module(loads(text).ir, {})


@needs_node
@pytest.mark.parametrize("n", [1, 2, 7, 12, 1797])
def test_the_split_and_the_order_are_pythons(n: int) -> None:
    order = permutation(n, purpose=0xFFFF_FFFF)
    held = max(1, round(0.2 * n))
    expected = {"train": sorted(order[held:]), "test": sorted(order[:held])} if n > 1 else {"train": [0], "test": [0]}
    assert ask("split", n=n) == expected
    assert ask("shuffled", n=n, seed=5, epoch=3) == permutation(n, purpose=SHUFFLE, seed=5, epoch=3).tolist()


def tables(x: np.ndarray, y: np.ndarray) -> dict[str, object]:
    return {name: {"values": flat(a), "size": a.shape[1]} for name, a in {"x": x, "y": y}.items()}


@needs_node
@pytest.mark.parametrize(
    ("scale", "top"), [(None, None), (None, 255), ("none", 255), ("zscore", 255), ("center", None)]
)
def test_data_are_scaled_alike(scale: str | None, top: int | None) -> None:
    circuit = loads(
        "circuit c { input x: 3 target y: 2 neuron h: 2 { dendrite a rate = a } synapse W: x -> h loss = mse(h, y) }"
    ).ir
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (50, 3)).astype(np.uint8 if top else float)
    x[:, 2] = 4  # has no deviation
    y = rng.normal(size=(50, 2))
    expected = load_data((x, y), (), circuit, scale=scale)
    found = ask("fit", source=run_module(circuit, {}), tables=tables(x, y), how={"scale": scale, "top": top})
    for name, array in expected.arrays.items():
        assert found["arrays"][name] == array.ravel().tolist()
    assert (found["train"], found["test"]) == (expected.train.tolist(), expected.test.tolist())


@needs_node
@pytest.mark.parametrize("learn", ["circuit", "backprop"])
def test_a_run_is_pythons(learn: str) -> None:
    simulation = Simulation(load(KP), target="reference", dtype="float64")
    expected = simulation.execute(Request(epochs=2, batch=32, seed=1, learn=learn))
    loop = expected.loop
    source = run_module(loop.engine.circuit, loop.numbers, loop.engine.probes, dtype="float64")
    x, y = loop.dataset.arrays["x"], loop.dataset.arrays["y"]
    how = {"scale": "none", "train": loop.dataset.train.tolist(), "test": loop.dataset.test.tolist()}
    rows = ask("run", source=source, tables=tables(x, y), how=how, settings={"epochs": 2, "batch": 32, "seed": 1})
    assert [row["loss"] for row in rows] == pytest.approx(expected.run.loss, rel=1e-9)
    assert [row["probes"][0] for row in rows] == pytest.approx(expected.run.metric, abs=1e-12)
    assert [row["examples"] for row in rows] == [0, 1438, 2876]


@needs_node
def test_a_run_that_diverges_ends() -> None:
    circuit = load(KP)
    graph, numbers = circuit.with_params({"eta": 1e9})
    rng = np.random.default_rng(0)
    data = tables(rng.normal(size=(20, 64)), np.eye(10)[rng.integers(0, 10, 20)])
    rows = ask(
        "run", source=run_module(graph, numbers), tables=data, how={}, settings={"epochs": 9, "batch": 1, "seed": 0}
    )
    assert [row["diverged"] for row in rows] == [False] * (len(rows) - 1) + [True]
    assert len(rows) < 10


# ---------------------------------------------------------------- the text


@needs_node
def test_what_emit_prints_is_a_module() -> None:
    source = Emission(circuit=load(KP)).source("js")
    assert "// W2.dw (kolen_pollack.circ:" in source
    command = ["node", "--input-type=module", "--check", "-"]
    assert subprocess.run(command, input=source, text=True, capture_output=True).returncode == 0
    for name in ("train_online", "train", "evaluate"):
        assert f"export const {name} = " in source


def test_layout_and_sizes_do_not_change_the_code() -> None:
    def texts(text: str) -> list[str]:
        return [print_program(passed(p), "float32", comments=False) for p in lower_all(loads(text, KP).ir)]

    source = load(KP).ir.text
    assert texts(source) == texts("\n\n# moved\n" + source.replace("h: 64", "h: 48"))
    assert "64" not in "".join(texts(source))


def test_the_row_of_an_element_is_computed_outside_the_loop_over_it() -> None:
    online = print_program(passed(lower_all(library(KP))[0], without=["defer"]), "float32")
    assert "const at_W1 = (j * n_x) | 0;" in online
    assert "total += W1[at_W1 + i] * data_x[at_data_x + i];" in online
