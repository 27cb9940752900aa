"""What kernels walk begins at a line of the cache."""

from __future__ import annotations

import numpy as np
import pytest
from bench import Bench

from circuitdsl.graph.aligned import LINE, copied, empty, zeros
from circuitdsl.graph.resolve import load_text
from circuitdsl.runtime.data import load_data
from circuitdsl.runtime.population import stack

TEXT = """circuit c {
  input x: 3   target y: 3
  neuron h: 5 { state v = 0 keep   dv = 0.1 * (b - v)   dendrite b   rate = tanh(b + v) }
  neuron out: 3 { dendrite b   rate = softmax(b) }
  neuron err: 3 { rate = y - out }
  param c per A = normal(0, 1)
  synapse A: x -> h.b { init = normal(0, 0.3)   state m = 0   dm = 0.1 * (post * pre - m)   dw = 0.1 * c * m }
  synapse B: h -> out.b { init = normal(0, 0.3)   connect = sparse(0.5)   dw = 0.1 * err * pre }
  loss = cross_entropy(out, y)
  task t { data = iris   epochs = 1 }
}"""


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (0, 4), (100, 33)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
def test_they_are_arrays_like_any_other(shape: tuple[int, ...], dtype: str) -> None:
    expected = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    for made in (empty(shape, dtype), zeros(shape, dtype), copied(expected.T).T, copied(expected)):
        assert made.ctypes.data % LINE == 0 or not made.size
        assert (made.shape, made.dtype) == (expected.shape, expected.dtype)
    assert not zeros(shape, dtype).any()
    found = copied(expected)
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert not np.shares_memory(found, expected)
    np.testing.assert_array_equal(found, expected)


def test_states_are_aligned() -> None:
    state = Bench(TEXT, dtype="float32").state
    for each in (state, state.copy(), stack([state, state])):
        for array in (*each.arrays(), *each.coefficients.values()):
            assert array.ctypes.data % LINE == 0 or array.dtype.kind != "f"  # masks are not walked in vectors


def test_inputs_are_aligned() -> None:
    circuit = load_text(TEXT.replace("x: 3", "x: 4")).circuit
    assert circuit is not None
    assert load_data("iris", (), circuit).arrays["x"].ctypes.data % LINE == 0
