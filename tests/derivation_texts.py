"""Circuits for the tests of the derivation: two texts with parts that may be different, and their verdicts."""

from __future__ import annotations

from circuitdsl.derive.tell.derivation import Derivation, derive
from circuitdsl.graph.resolve import load_file, load_text
from circuitdsl.shipped import find_circuit


def derived(text: str, **params: float) -> Derivation:
    circuit = load_text(text, overrides=params or None).circuit
    assert circuit is not None
    return derive(circuit)


def shipped(name: str, **params: float) -> Derivation:
    circuit = load_file(find_circuit(name), overrides=params or None).circuit
    assert circuit is not None
    return derive(circuit)


def verdicts(found: Derivation) -> dict[str, tuple[str | None, str | None]]:
    """What relations decide of each learning synapse; what balance at rest adds to that (test_flow.py) is left out."""
    return {n: (None, None) if found[n].balance is not None else v for n, v in all_verdicts(found).items()}


def all_verdicts(found: Derivation) -> dict[str, tuple[str | None, str | None]]:
    return {f.synapse: (f.verdict, f.evidence) for f in found.findings.values() if f.role == "learning"}


def reason(found: Derivation, synapse: str) -> str:
    return " ".join(found[synapse].because)


def relations(found: Derivation) -> list[tuple[str, str, str, float]]:
    """The synapses, how it holds and the factor of every relation between two letters."""
    value = found.symbols.constants.value
    return [(*r.synapses, r.holds, value(r.factor)) for r in found.relations if r.kind != "quadratic"]


def kp(
    *, rate: str = "relu(basal)", slope: str = " * step(post.basal)", w: str = "", v: str = "", wo: str = "",
    feedback: str = "eta * post * pre - eta * gamma * w", output: str = "eta * err * pre - eta * gamma * w",
    hidden: str = "", extra: str = "", out: str = "softmax(basal)", loss: str = "cross_entropy(out, y)",
    err: str = "y - out",
) -> str:  # fmt: skip
    """A Kolen-Pollack circuit with one hidden layer, and what is to be different in it."""
    hidden = hidden or f"eta * post.apical{slope} * pre - eta * gamma * w"
    return f"""
circuit c {{
  param eta = 0.1   param gamma = 0.02
  input x: 5   target y: 3
  neuron h: 6 {{ dendrite basal, apical   rate = {rate} }}
  neuron out: 3 {{ dendrite basal   rate = {out} }}
  neuron err: 3 {{ rate = {err} }}
  synapse W: x -> h.basal {{ {w}   dw = {hidden} }}
  synapse Wo: h -> out.basal {{ {wo}   dw = {output} }}
  synapse V: err -> h.apical {{ {v}   dw = {feedback} }}
  {extra}
  loss = {loss}
}}"""


GRADIENT, EXACT, OPEN = ("gradient", "proved"), ("exact", "proved"), (None, None)


def sal(
    depth: int, *, rate: str = "relu(basal)", gate: str = " * step({a}.basal)", settings: str = "", **rules: str
) -> str:
    """The four-synapse circuit; `rules`: what the drives of W, B, V, F are to be instead, or whole rules."""
    pull = " - eta * gamma * w"
    lines = []
    for i in range(1, depth + 1):
        below, above = ("x" if i == 1 else f"a{i - 1}"), ("err" if i == depth else f"d{i + 1}")
        at, own = gate.format(a=f"a{i}"), gate.format(a="post")
        rule = {
            "W": f"eta * post.apical{own} * pre{pull}", "B": f"eta * post * pre{pull}",
            "V": f"eta * post.lateral{at} * pre{pull}", "F": f"eta * post * pre{pull}", **rules,
        }  # fmt: skip
        lines += [
            f"neuron a{i}: 6 {{ dendrite basal, apical   rate = {rate} }}",
            f"neuron d{i}: {6 if at else 5} {{ dendrite basal, lateral   rate = basal{at} }}",
            f"synapse W{i}: {below} -> a{i}.basal {{ {settings}   dw = {rule['W']} }}",
            f"synapse B{i}: d{i} -> a{i}.apical {{ {settings}   dw = {rule['B']} }}",
            f"synapse V{i}: {above} -> d{i}.basal {{ {settings}   dw = {rule['V']} }}",
            f"synapse F{i}: a{i} -> d{i}.lateral {{ {settings}   dw = {rule['F']} }}",
        ]
    body = "\n  ".join(lines)
    return f"""
circuit c {{
  param eta = 0.05   param gamma = 0.01
  input x: 5   target y: 3
  {body}
  neuron out: 3 {{ dendrite basal   rate = softmax(basal) }}
  neuron err: 3 {{ rate = y - out }}
  synapse Wo: a{depth} -> out.basal {{ {settings}   dw = eta * err * pre{pull} }}
  loss = cross_entropy(out, y)
}}"""


LINEAR: dict[str, str] = {"rate": "basal", "gate": ""}
