"""What grows with a circuit grows in proportion: nothing is written out twice, and no depth is too much.

Counts, not clocks: `benchmarks/derivation_size.py` has the seconds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from circuitdsl import loads
from circuitdsl.derive.algebra import normal, words
from circuitdsl.derive.algebra.letters import Term
from circuitdsl.derive.tell.as_json import as_json
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.derive.tell.expects import judge
from circuitdsl.derive.tell.page import page

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from derivation_size import CIRCUITS, feedback, layers, rectified, sources, tied


def derived(text: str) -> Derivation:
    return loads(text).derive(measure=False)


def written(found: Derivation) -> str:
    """The JSON, but for what a finding assumes: a list of all that the layers above it assume too."""
    whole = as_json(found, judge(found))
    for each in whole["synapses"].values():
        del each["assumes"]
    return json.dumps(whole)


def letters_made(monkeypatch: pytest.MonkeyPatch, text: str) -> tuple[int, Derivation]:
    """A derivation, and how many letters are brought to normal form for it."""
    count = 0

    def counted(*args: Any) -> Term:
        nonlocal count
        count += len(args[2]) + 1
        return normal.normal(*args)

    circuit = loads(text)
    with monkeypatch.context() as patch:
        patch.setattr(words, "normal", counted)
        found = circuit.derive(measure=False)
    return count, found


def verdicts(found: Derivation) -> set[tuple[str, str | None, str | None]]:
    return {
        (f.synapse.partition("]")[2] or f.synapse.partition("[")[0], f.verdict, f.evidence)
        for f in found.findings.values()
        if f.role == "learning"
    }


DEEP = {
    "Kolen-Pollack": lambda n: layers("kp_layer", n),
    "self-assembly": lambda n: layers("sal_pair", n),
    "tied": tied,
    "Hebb": rectified,
}


@pytest.mark.parametrize("name", DEEP)
def test_twice_the_layers_are_twice_the_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (few, small), (many, large) = (letters_made(monkeypatch, DEEP[name](n)) for n in (40, 80))
    assert many <= 2.2 * few
    assert len(written(large)) <= 2.2 * len(written(small))
    # beyond so many layers signals are no longer followed to the error; what is found stays the same
    assert verdicts(derived(DEEP[name](5))) == verdicts(small) == verdicts(large)


@pytest.mark.parametrize("make", [sources, feedback, CIRCUITS["synapses on one dendrite"][0]])
def test_twice_the_synapses_are_twice_the_work(make: Callable[[int], str], monkeypatch: pytest.MonkeyPatch) -> None:
    (few, small), (many, large) = (letters_made(monkeypatch, make(n)) for n in (60, 120))
    assert many <= 2.2 * few
    assert len(written(large)) <= 2.3 * len(written(small))


def test_a_thousand_layers_are_derived_and_told() -> None:
    found = derived(layers("kp_layer", 1000))
    assert verdicts(found) == {(".W", "gradient", "proved"), ("Wo", "exact", "proved")}
    assert all(j.ok for j in judge(found))
    assert "for l = 1..999" in page(found, [])


def test_a_chain_of_wires_is_no_recursion() -> None:
    chain = " ".join(f"neuron g[{i}]: 8 {{ rate = 0.5 * g[{i - 1}] + 1 }}" for i in range(1, 1000))
    text = f"""
      circuit chain {{
        input x: 8   target y: 8   alias g[0] = x   {chain}
        neuron out: 8 {{ dendrite d   rate = d }}
        synapse W: g[999] -> out {{ dw = 0.1 * (y - post) * pre }}
        neuron e: 8 {{ rate = y - out }}
        loss = mse(out, y)
      }}
    """
    found = derived(text)
    assert found.findings["W"].verdict is not None or found.findings["W"].because


def test_hundreds_of_linear_layers_with_fixed_feedback() -> None:
    """Fixed feedback folds nowhere: what arrives keeps the names of the populations on the way."""
    text = layers("kp_layer", 150).replace("use kp_layer", "use fixed")
    motif = """
    motif fixed(below, above, n, eta, gamma) {
      neuron a: n { dendrite basal, apical   rate = basal }
      neuron d: n { rate = a.apical }
      synapse W: below -> a.basal { dw = hetero(d, eta, gamma) }
      synapse V: above -> a.apical { }
    }
    """
    found = derived(text.replace("circuit deep", motif + "circuit deep"))
    assert found.findings["L[1].W"].verdict == "descent"  # by balance
    assert found.findings["Wo"].verdict == "exact"
    assert len(written(found)) < 300_000


def test_two_thousand_synapses_on_one_dendrite() -> None:
    found = derived(CIRCUITS["synapses on one dendrite"][0](2000))
    assert {f.verdict for f in found.findings.values() if f.role == "learning"} == {"gradient", "exact"}
    assert len(found.findings) == 2002


def test_a_dendrite_of_many_synapses_is_told_by_its_name() -> None:
    text = sources(100).replace(
        "synapse Wo: h -> out", "synapse U: x -> h.apical { dw = 0.1 * post.basal * pre }\n  synapse Wo: h -> out"
    )
    found = derived(text)
    assert found.findings["U"].credit == "h.basal"
    longest = max(len(" ".join(line.split())) for line in page(found, [], width=10_000).splitlines())
    assert longest < 2_000


def test_a_long_sum_is_broken_off() -> None:
    readers = " ".join(
        f"neuron o[{i}]: 4 {{ dendrite d   rate = d }} neuron e[{i}]: 4 {{ rate = y - o[{i}] }} "
        f"synapse U[{i}]: h -> o[{i}] {{ dw = 0.1 * e[{i}] * pre }}"
        for i in range(100)
    )
    loss = " + ".join(f"mse(o[{i}], y)" for i in range(100))
    text = f"""
      circuit wide {{
        input x: 8   target y: 4
        neuron h: 6 {{ dendrite d   rate = d }}
        synapse W: x -> h {{ dw = 0.1 * post * pre }}
        {readers}
        loss = {loss}
      }}
    """
    found = derived(text)
    assert "more)" in page(found, [])
    assert found.findings["W"].gradient is not None
    assert "(52 more)" in found.findings["W"].gradient
