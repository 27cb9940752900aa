"""Reasons are data while a circuit is proved, and words where it is told."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, get_args

import pytest
from derivation_texts import derived, kp

from circuitdsl.derive.algebra import obstacles
from circuitdsl.derive.algebra.notation import Notation
from circuitdsl.derive.algebra.obstacles import Obstacle
from circuitdsl.derive.prove import reasons
from circuitdsl.derive.prove.findings import Finding
from circuitdsl.derive.prove.reasons import Broken, Goal, Lack, NotShown, Reason, StaysFixed
from circuitdsl.derive.prove.verdict import judge
from circuitdsl.derive.tell.reasons import Reasons
from circuitdsl.derive.tell.wording import Wording
from circuitdsl.graph.resolve import load_file
from circuitdsl.shipped import find_circuit


def test_a_proof_has_no_words() -> None:
    """What is missing is told by its parts: which dendrite, driven by what, through which weights."""
    circuit = load_file(find_circuit("heterosynaptic/feedback_alignment.circ")).circuit
    assert circuit is not None
    found = judge(circuit).findings["W2"]
    assert type(found) is Finding
    broken = Broken(
        dendrite="h2.apical", population="h2", source="err", synapse="V3", goal=Goal("W3", transposed=True),
        by=StaysFixed(),
    )  # fmt: skip
    assert found.reasons[0] == NotShown(broken)


def test_names_are_shortened_by_the_notation() -> None:
    broken = Broken(
        dendrite="L[1].h.apical", population="L[1].h", source="L[2].d", synapse="L[1].V",
        goal=Goal("L[2].W", transposed=True), by=StaysFixed(),
    )  # fmt: skip
    constants = derived(kp()).symbols.constants
    short = Notation(rename=lambda name: name.replace("L[1].", ""))
    told = [Reasons(Wording(constants, n)).told(NotShown(broken)) for n in (Notation(), short)]
    assert told == [
        "not shown: the apical dendrite of `L[1].h` is driven by `L[2].d` through L[1].V, which is fixed: nothing "
        "pulls L[1].V toward transpose(L[2].W)",
        "not shown: the apical dendrite of `h` is driven by `L[2].d` through V, which is fixed: nothing pulls "
        "V toward transpose(L[2].W)",
    ]


OBSTACLES = {
    "eta * relu(post.apical * pre) - eta * gamma * w": "Mixing",
    "eta * post.apical * pre + eta * w * relu(w)": "DrivesItself",
    "eta * post.apical - eta * gamma * w": "OtherRate",
    "eta * post.apical * pre + eta * post.basal * square(pre)": "OtherPresynaptic",
    "eta * post.apical * pre * w": "MayBeNegative",
    "eta * post.apical * pre * randn()": "DrawsNoise",
}


@pytest.mark.parametrize("rule", OBSTACLES)
def test_what_stands_in_the_way_of_a_rule(rule: str) -> None:
    found = derived(kp(hidden=rule))["W"]
    reason = found.reasons[0]
    assert isinstance(reason, NotShown)
    assert type(reason.lack).__name__ == OBSTACLES[rule]
    assert found.because[0].startswith("not shown: ")


def members(union: Any) -> set[type]:
    """The classes of a union, unions within it opened."""
    return {each for part in get_args(union) for each in (members(part) if get_args(part) else {part})}


@pytest.mark.parametrize(("union", "module"), [(Obstacle, obstacles), (Reason, reasons), (Lack, reasons)])
def test_unions_are_of_frozen_data(union: Any, module: Any) -> None:
    for each in members(union):
        assert is_dataclass(each)
        assert each.__setattr__ is not object.__setattr__
        sentences = [f.name for f in fields(each) if f.type == "str" and f.name in ("text", "why", "because")]
        assert not sentences, each


def test_every_reason_is_in_a_union() -> None:
    unions = (Obstacle, Reason, Lack, reasons.Difference, reasons.Break)
    listed = set().union(*map(members, unions))
    parts = {reasons.Apart, reasons.Goal, obstacles.Pulling, obstacles.InTicks, obstacles.Gathered,
             obstacles.DecayDiffers, obstacles.Stretch}  # fmt: skip
    for module in (obstacles, reasons):
        own = {c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__}
        assert own <= listed | parts
