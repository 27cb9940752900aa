"""The stationary flow in words: what balance forces at rest, or why it forces nothing."""

from __future__ import annotations

from typing import assert_never

from circuitdsl.derive.algebra.expressions import text
from circuitdsl.derive.algebra.words import Coefficient
from circuitdsl.derive.prove.flow import (
    Balance,
    ManyTicks,
    NoRest,
    NoTop,
    Opposed,
    Parted,
    Passed,
    Share,
    Still,
    TooMany,
    Unreadable,
    Unscaled,
    Why,
)
from circuitdsl.derive.tell.obstacles import obstacle
from circuitdsl.derive.tell.wording import Wording


def told(balance: Balance, words: Wording) -> str:
    """`E⟨drive, −∇⟩ = γ² |W3|² > 0 at rest, whatever the rule: by balance`."""
    left = words.math(f"{words.sign('E⟨drive, −∇⟩')} = {_value(balance, words)} > 0")
    if len(balance.synapses) == 1:
        return f"{left} at rest, whatever the rule: by balance"
    return f"{', '.join(map(words.short, balance.synapses))} together: {left} at rest, whatever their rules: by balance"


def _value(balance: Balance, words: Wording) -> str:
    gamma = balance.gamma
    if balance.per_neuron is not None:
        own = words.notation.name(text(balance.per_neuron))
        parts = [_norm(s, words, f"{words.multiple(gamma * s.amount, own)} |", "ᵢ|²") for s in balance.shares]
        return f"Σᵢ {' + '.join(parts)}"
    return " + ".join(words.multiple(gamma * s.amount, _norm(s, words, "|", "|²")) for s in balance.shares)


def _norm(share: Share, words: Wording, before: str, after: str) -> str:
    name = words.notation.name(share.synapse)
    if share.h == "identity":
        return f"{before}{name}{after}"
    return f"tr({name}ᵀ H⁻¹ {name})"


def why_not(why: Why, words: Wording) -> str:
    """What keeps balance from deciding."""
    match why:
        case ManyTicks():
            return "balance is not asked: an example takes several ticks"
        case Unreadable(why=of):
            return f"balance says nothing: {obstacle(of, words.short)}"
        case Passed():
            return "balance says nothing: its drive reaches the weight through a trace or a factor of each synapse"
        case NoRest():
            return "balance says nothing: the synapse has no linear decay, the same for all its weights"
        case NoTop():
            return "balance says nothing: no other synapse that follows its gradient decays"
        case Unscaled(value=value, read=read):
            return f"balance says nothing: {value} does not scale with {read}"
        case Parted(others=others):
            return f"balance leaves it open: the flow parts with that of {', '.join(others)}"
        case Opposed(tops=tops):
            return f"balance leaves it open: the flow of {', '.join(tops)} counts against it"
        case Still():
            return "by balance its flow is 0"
        case TooMany():
            return "balance is not solved: there are too many flows"
        case _:
            assert_never(why)


def factor(balance: Balance, share: Share) -> Coefficient:
    """What stands before the square of a top's weights."""
    return balance.gamma * share.amount
