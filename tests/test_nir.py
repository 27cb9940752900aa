"""What NIR can say of a circuit it says with the same numbers; what it cannot is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import circuitdsl as cd
from circuitdsl.cli.main import run as command_line

nir = pytest.importorskip("nir", reason="no nir: the extra `dev` brings it")

LINEAR = """circuit lines {
  input x: 4
  target y: 3
  neuron h: 5 { dendrite basal, apical   rate = 2 * basal - apical + 0.5 }
  neuron out: 3 { dendrite basal   rate = step(basal - 0.25) }
  neuron err: 3 { rate = y - out }
  synapse A: x -> h.basal { init = normal(0, 1) }
  synapse B: x -> h.apical { init = normal(0, 1) }
  synapse C: h -> out.basal { init = normal(0, 1)   dw = 0.1 * err * pre }
  synapse b: bias -> out.basal { init = constant(0.125) }
  loss = mean(square(out - y))
  task iris { data = iris   epochs = 1   batch = 8 }
}"""
SPIKING = """circuit spikes {
  param tau = 4
  input x: 4
  neuron h: 3 {
    dendrite basal, lateral
    state v = 0
    rate = step(v - 1)
    dv = (1 - rate) * (2 * basal + lateral - v) / tau + rate * (0.25 - v)
  }
  neuron slow: 3 { dendrite basal   state v = 0   rate = v   dv = basal - v / tau }
  neuron soft: 3 { dendrite basal   state v = 0   rate = step(v - 1)   dv = basal - 0.1 * v - rate }
  synapse W: x -> h.basal
  synapse L: h -> h.lateral { connect = no_self }
  synapse S: h -> slow.basal
  synapse T: x -> soft.basal
  loss = mean(square(slow))
  schedule { phase show: 5   dt = 0.5 }
  task iris { data = iris   epochs = 1   batch = 8 }
}"""


def through(graph: Any, given: np.ndarray) -> np.ndarray:
    """What the output gets of one input, in a graph without cycles."""

    def of(name: str) -> np.ndarray:
        node = graph.nodes[name]
        if isinstance(node, nir.Input):
            return given
        total = sum(of(source) for source, target in graph.edges if target == name)
        match node:
            case nir.Linear():
                return np.asarray(node.weight @ total)
            case nir.Affine():
                return np.asarray(node.weight @ total + node.bias)
            case nir.Scale():
                return np.asarray(node.scale * total)
            case nir.Threshold():
                return np.asarray(total > node.threshold, dtype=float)
            case _:
                return np.asarray(total)

    return of("output")


def test_sums_and_thresholds_have_the_same_numbers(tmp_path: Path) -> None:
    circuit = cd.loads(LINEAR)
    run = circuit.compile("reference").run(epochs=1)
    nir.write(tmp_path / "lines.nir", circuit.to_nir(run, outputs=["out"]))
    graph = nir.read(tmp_path / "lines.nir")
    weights = {name: run[f"{name}.final"].values for name in "ABCb"}
    for given in np.random.default_rng(0).normal(size=(20, 4)):
        h = 2 * weights["A"] @ given - weights["B"] @ given + 0.5
        out = weights["C"] @ h + weights["b"].ravel() - 0.25 > 0
        assert through(graph, given).tolist() == out.tolist()
    assert "err" not in graph.nodes, "what the output does not depend on"


def test_leaky_neurons_with_and_without_a_reset() -> None:
    circuit = cd.loads(SPIKING)
    graph = circuit.to_nir(outputs=["slow", "soft"])
    assert {type(graph.nodes[n]).__name__ for n in ("h", "slow_v", "soft_v", "soft")} == {"LIF", "LI", "Threshold"}
    fires, leaks, soft = graph.nodes["h"], graph.nodes["slow_v"], graph.nodes["soft_v"]
    assert (fires.tau == 2).all(), "a quarter leaks in a tick of 0.5"
    assert (fires.r == 4).all(), "currents are led in with their share of a tick"
    assert (fires.v_threshold == 1).all()
    assert (fires.v_reset == 0.25).all()
    assert (leaks.tau == 2).all()
    assert (leaks.r == 4).all()
    assert np.allclose(soft.tau, 5)
    back = [source for source, target in graph.edges if target == "soft_v"]
    assert sorted(back) == ["T", "soft_to_soft_v"], "what a spike takes is led back"
    assert ("h", "L") in graph.edges
    assert ("L", "h") in graph.edges
    weights = circuit.compile("reference").run(epochs=0)
    assert np.allclose(graph.nodes["W"].weight, weights["W.final"].values * 2 / 4)


@pytest.mark.parametrize(
    ("outputs", "what"),
    [((), "`out` of `kolen_pollack`: it has `softmax`"), (("out.basal",), "`h` of `kolen_pollack`: it has `relu`")],
)
def test_what_cannot_be_said_is_named(outputs: tuple[str, ...], what: str) -> None:
    with pytest.raises(cd.UsageError, match=what):
        cd.load("heterosynaptic/kolen_pollack.circ").to_nir(outputs=outputs)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lines.circ").write_text(LINEAR)
    assert command_line(["export", "lines.circ", "--to", "h", "-o", "lines.nir"]) == 0
    assert capsys.readouterr().out == "not carried: the plasticity of C, which NIR cannot say\nwritten: lines.nir\n"
    assert set(nir.read("lines.nir").nodes) == {"x", "A", "B", "h", "output"}
    assert command_line(["export", "lines.circ", "--to", "hh", "-o", "lines.nir"]) == 2
    assert "did you mean `h`?" in capsys.readouterr().err
