"""Hypotheses in words: a name for programs, a sentence for readers, and all of one finding in a line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import assert_never

from circuitdsl.derive.algebra.constants import Constants
from circuitdsl.derive.algebra.expressions import text
from circuitdsl.derive.algebra.notation import signal_text, written
from circuitdsl.derive.prove.hypotheses import (
    AtRest,
    Attracted,
    GentleDecay,
    Homogeneous,
    Hypothesis,
    Lagging,
    Live,
    ManyDraws,
    MeanField,
    Nonempty,
    Nontrivial,
    OffKink,
    OneHot,
    Open,
    Slow,
    SmallSteps,
    Spectral,
    Unbound,
    Within,
)


def name_of(hypothesis: Hypothesis) -> str:
    """`at_rest(V)`: what JSON calls it."""
    match hypothesis:
        case AtRest(synapse=of):
            return f"at_rest({of})"
        case Unbound(synapse=of):
            return f"unbound({of})"
        case Attracted(left=left, right=right):
            return f"attracted({left}, {right})"
        case OneHot(target=of):
            return f"one_hot({of})"
        case Nontrivial(synapse=of):
            return f"nontrivial({of})"
        case Nonempty(synapse=of):
            return f"nonempty({of})"
        case MeanField(gate=gate):
            of = signal_text(gate)
            return f"mean_field({of})"
        case Slow(synapse=of):
            return f"slow({of})"
        case Lagging(synapse=of):
            return f"lagging({of})"
        case SmallSteps(synapse=of):
            return f"small_steps({of})"
        case Spectral(synapse=of):
            return f"spectral({of})"
        case Homogeneous(population=of):
            return f"homogeneous({of})"
        case Within(synapse=of):
            return f"within({of})"
        case GentleDecay(synapse=of):
            return f"gentle_decay({of})"
        case ManyDraws(population=of):
            return f"many_draws({of})"
        case Open(synapse=of):
            return f"open({of})"
        case OffKink(kink=kink):
            of = written(kink.argument)
            return f"off_kink({of})"
        case Live(synapse=of):
            return f"live({of})"
        case _:
            assert_never(hypothesis)


def text_of(hypothesis: Hypothesis, constants: Constants) -> str:
    """What it says, in a sentence."""
    match hypothesis:
        case AtRest(synapse=of):
            return f"{of} is at rest: its mean drive is its decay"
        case Unbound(synapse=of):
            return f"no bound or sign of {of} is at work"
        case Attracted(left=left, right=right):
            return f"the relation of {left} and {right} is reached"
        case OneHot(target=of):
            return f"the targets {of} are one-hot"
        case Nontrivial(synapse=of):
            return f"{of} is not 0"
        case Nonempty(synapse=of):
            return f"the mask of {of} has a connection"
        case MeanField(gate=gate):
            of = signal_text(gate)
            return f"{of} is independent of the signals that it gates, and open as often in all its neurons"
        case Slow(synapse=of):
            return f"the gradient of {of} changes slowly against the traces that its drive passes through"
        case Lagging(synapse=of):
            return f"the positive factors of {of}, made of past drives, are independent of the present one"
        case SmallSteps(synapse=of):
            return f"terms of second order in the learning rate of {of} are small"
        case Spectral(synapse=of, square=square):
            return f"every singular value of {of} is 0 or {math.sqrt(constants.value(square)):.4g}"
        case Homogeneous(population=of):
            return f"the rates of {of} scale with everything that reaches them through weights"
        case Within(synapse=of, limit=limit):
            return f"the weights of {of} lie between −{limit:.4g} and {limit:.4g}, where the pull does not overshoot"
        case GentleDecay(synapse=of):
            return f"the decay by example takes at most the whole of {of} per update, and on average something"
        case ManyDraws(population=of):
            return f"updates are means over many draws of {of}, or learning is slow against these"
        case Open(synapse=of, factor=factor):
            return f"{text(factor)} is not 0 for all weights of {of}"
        case OffKink(kink=kink):
            of = written(kink.argument)
            return f"{of} is never exactly 0 in a unit"
        case Live(synapse=of):
            return f"neither the drive of {of} nor its gradient is 0 for all examples"
        case _:
            assert_never(hypothesis)


def in_a_line(assumed: Iterable[Hypothesis], constants: Constants, short: Callable[[str], str]) -> str:
    """`V2, W2 come together · targets y one-hot`: those of one kind together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for hypothesis in assumed:
        before, of, after = _short(hypothesis, constants)
        groups.setdefault((before, after), []).append(short(of))
    parts = (f"{before}{', '.join(dict.fromkeys(names))}{after}" for (before, after), names in groups.items())
    return " · ".join(parts)


def _short(hypothesis: Hypothesis, constants: Constants) -> tuple[str, str, str]:
    """What stands before and after the name that it is about."""
    match hypothesis:
        case AtRest(synapse=of):
            return "at rest: ", of, ""
        case Unbound(synapse=of):
            return "no bound binds: ", of, ""
        case Attracted(left=left, right=right):
            return "reached: ", f"{left} ~ {right}", ""
        case OneHot(target=of):
            return "targets ", of, " one-hot"
        case Nontrivial(synapse=of):
            return "not 0: ", of, ""
        case Nonempty(synapse=of):
            return "masks not empty: ", of, ""
        case MeanField(gate=gate):
            of = signal_text(gate)
            return "mean-field: ", of, ""
        case Slow(synapse=of):
            return "slow gradients: ", of, ""
        case Lagging(synapse=of):
            return "lagging factors: ", of, ""
        case SmallSteps(synapse=of):
            return "small steps: ", of, ""
        case Spectral(synapse=of, square=square):
            return "singular values of ", of, f" 0 or {math.sqrt(constants.value(square)):.4g}"
        case Homogeneous(population=of):
            return "homogeneous rates: ", of, ""
        case Within(synapse=of, limit=limit):
            return "weights of ", of, f" within ±{limit:.4g}"
        case GentleDecay(synapse=of):
            return "decay by example of ", of, " at most 1"
        case ManyDraws(population=of):
            return "many draws: ", of, ""
        case Open(synapse=of, factor=factor):
            return f"{text(factor)} not 0: ", of, ""
        case OffKink(kink=kink):
            of = written(kink.argument)
            return "never exactly 0: ", of, ""
        case Live(synapse=of):
            return "not 0 for all examples: drive and gradient of ", of, ""
        case _:
            assert_never(hypothesis)
