"""The drive of a plasticity rule: what it adds for an example, its decay and drift left out.

The certificate compares this with the gradient (theory.md, section 4). A rule is taken as a sum of terms
(graph/plasticity.py). Terms that read nothing of the example are decay or drift. A drive that is read linearly stands
for its equation. Where the drive passes through persistent states or a nonlinear function on its way to the weight
(momentum, Adam), what is compared is the drive as it enters there, with the sign with which the weight follows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from circuitdsl.frozen import frozen
from circuitdsl.graph.ir import DriveRead, Expr, Num, Random, Read, Synapse, SynapseState, walk
from circuitdsl.graph.plasticity import Term, polarity, split


@frozen(kw_only=True)
class Rule:
    """The drive of one synapse as a sum of terms.

    `rate`: the size of the first term's coefficient, which is not counted as part of the credit. `filtered`: the
    drive is taken before the states or the function it passes through."""

    synapse: Synapse
    terms: tuple[Term, ...]
    rate: Expr
    filtered: bool

    def reads(self) -> Iterator[Read]:
        """What the drive reads of the circuit at the tick that it is added."""
        return (e for t in self.terms for f in t.factors() for e in walk(f) if isinstance(e, Read))

    def remembers(self) -> Iterator[Read]:
        """What the synapse's fresh states (its traces) read."""
        updates = (s.update for s in self.synapse.states if s.fresh and s.update is not None)
        return (e for update in updates for e in walk(update) if isinstance(e, Read))


def rule_of(synapse: Synapse) -> Rule:
    """The drive of a plastic synapse."""
    assert synapse.dw is not None
    told = _told(synapse)
    found: list[Term] = []
    filtered = False
    for term in split(synapse.dw, expand=True):
        opened = _opened(synapse, term, told)
        filtered |= opened is None
        found += opened or ()
    if filtered:
        found = list(_sources(synapse, told))
    return Rule(
        synapse=synapse,
        terms=tuple(found),
        rate=found[0].magnitude() if found else Num(span=synapse.span, value=1.0),
        filtered=filtered,
    )


# ---------------------------------------------------------------- states and drives


def _equations(synapse: Synapse) -> dict[str, Expr]:
    equations = {d.name: d.expr for d in synapse.drives}
    return equations | {s.name: s.update for s in synapse.states if s.update is not None}


def _names(expr: Expr) -> set[str]:
    """The states and drives that an expression reads."""
    return {e.name for e in walk(expr) if isinstance(e, SynapseState | DriveRead)}


def _sees_example(expr: Expr) -> bool:
    return any(isinstance(e, Read | Random) for e in walk(expr))


def _told(synapse: Synapse) -> frozenset[str]:
    """The states and drives that depend on the examples, directly or through each other."""
    equations = _equations(synapse)
    told = {name for name, expr in equations.items() if _sees_example(expr)}
    while more := {n for n, e in equations.items() if n not in told and _names(e) & told}:
        told |= more
    return frozenset(told)


def _is_fresh(synapse: Synapse, name: str) -> bool:
    return any(s.name == name and s.fresh for s in synapse.states)


def _slow(synapse: Synapse, factor: Expr, told: frozenset[str]) -> bool:
    """Whether a factor reads a drive, or a persistent state that depends on the examples."""
    return any(not _is_fresh(synapse, name) for name in _names(factor) & told)


def _opened(synapse: Synapse, term: Term, told: frozenset[str]) -> list[Term] | None:
    """The term with its drive written out; nothing if it is decay or drift; None if it is not linear in a drive."""
    carriers = [f for f in term.states if _slow(synapse, f, told)]
    if not carriers:
        fresh = any(_names(f) & told for f in term.states)
        return [term] if fresh or any(_sees_example(f) for f in term.factors()) else []
    if len(carriers) > 1 or not isinstance(carriers[0], DriveRead):
        return None
    others = tuple(f for f in term.states if f is not carriers[0])
    expr = _equations(synapse)[carriers[0].name]
    parts = [replace(term, states=others) * t for t in split(expr, expand=True)]
    return [t for t in parts if any(_sees_example(f) or _names(f) & told for f in t.factors())]


def _sources(synapse: Synapse, told: frozenset[str]) -> Iterator[Term]:
    """What enters the states and drives that the weight follows, signed as it follows them."""
    for name, sign in _polarities(synapse).items():
        if sign == 0 or name not in told or _is_fresh(synapse, name):
            continue
        for term in split(_equations(synapse)[name], expand=True):
            slow = any(_slow(synapse, f, told) for f in term.states)
            if not slow and any(_sees_example(f) or _names(f) & told for f in term.factors()):
                yield Term(span=term.span, number=Fraction(sign)) * term


def _polarities(synapse: Synapse) -> dict[str, int]:
    """With which sign the weight follows each state and drive that it depends on; 0: with none."""
    assert synapse.dw is not None
    equations = _equations(synapse)
    signs: dict[str, int] = {}
    waiting: list[tuple[Expr, int]] = [(synapse.dw, 1)]
    while waiting:
        expr, sign = waiting.pop(0)
        for part in (e for e in walk(expr) if isinstance(e, SynapseState | DriveRead)):
            if signs.get(part.name):
                continue
            known = part.name in signs
            signs[part.name] = sign * polarity(expr, part)
            if part.name in equations and not (known and signs[part.name] == 0):
                waiting.append((equations[part.name], signs[part.name]))
    return signs
