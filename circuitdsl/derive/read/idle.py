"""Why weights stay 0 and rules are never driven, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from circuitdsl.derive.algebra.expressions import text
from circuitdsl.graph.idle import EmptyMask, FadesWith, HeldAtZero, NeverOpen, OnlyDecays, Why, ZeroStart


def told(why: Why, synapse: str) -> str:
    """The reason as a sentence about a synapse."""
    match why:
        case EmptyMask():
            return "it has no connection"
        case HeldAtZero():
            return "its weights are 0 and stay 0"
        case ZeroStart(together=(only,)) if only == synapse:
            return "it starts at 0, where its rule is 0: it stays 0"
        case ZeroStart(together=together):
            return f"{_list(together)} start at 0 and drive only each other: they stay 0"
        case NeverOpen(factor=factor, synapses=()):
            return f"`{text(factor)}` is 0 in every state reached from the start: nothing drives the weight"
        case NeverOpen(factor=factor, synapses=synapses):
            stay = "stays" if len(synapses) == 1 else "stay"
            return f"`{text(factor)}` is always 0, because {_list(synapses)} {stay} 0: nothing drives the weight"
        case OnlyDecays():
            return "the rule only decays: nothing drives the weight"
        case FadesWith(synapses=synapses):
            goes = "goes" if len(synapses) == 1 else "go"
            return f"nothing drives {_list(synapses)}, so that {goes} to 0, and then nothing drives this weight"
        case _:
            assert_never(why)


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
