"""Whether what is derived of a motif depends on how its text is written: the order of its items, the names of its
synapses."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from motif_nets import Net, text

import circuitdsl as cd
from circuitdsl.derive.algebra import expressions
from circuitdsl.derive.algebra.letters import Coefficient, Identity
from circuitdsl.derive.algebra.notation import signal_text
from circuitdsl.derive.tell.as_json import as_json
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.derive.tell.expects import judge

#: An answer that takes longer is none (seconds of processor time).
GUARD = 10.0


@dataclass(frozen=True)
class Hypothesis:
    """What a claim assumes: its kind, the names that it is about, its number if it has one."""

    kind: str
    names: tuple[str, ...]
    value: float | None = None


@dataclass(frozen=True)
class Claim:
    """What is said of one learning synapse."""

    verdict: str | None
    evidence: str | None
    phi_sign: int | None
    assumes: frozenset[Hypothesis]


@dataclass(frozen=True)
class Derived:
    """The claims of one text, its attractors as in JSON, and how long it took (processor time)."""

    claims: dict[str, Claim]
    attractors: tuple[dict[str, Any], ...]
    seconds: float
    reasons: dict[str, tuple[str, ...]]
    loose: frozenset[str]


class TooLong(Exception):
    """The derivation did not end in time."""


@contextmanager
def _guarded(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def derived(written: str, guard: float = GUARD) -> Derived:
    """What is derived of a text. Raises TooLong."""
    with _guarded(guard):
        start = time.process_time()
        found = cd.loads(written).derive(measure=False)
        seconds = time.process_time() - start
        shown = as_json(found, judge(found))
    value = found.symbols.constants.value
    claims = {
        name: Claim(f.verdict, f.evidence, f.phi_sign, frozenset(_hypothesis(h, value) for h in f.assumes))
        for name, f in found.findings.items()
        if f.role == "learning"
    }
    reasons = {n: tuple(map(str, found.findings[n].because)) for n in claims}
    return Derived(claims, tuple(shown["attractors"]), seconds, reasons, _loose(found))


def _hypothesis(h: Any, value: Any) -> Hypothesis:
    fields = [_as_text(getattr(h, k)) for k in h.__slots__]
    names = tuple(v for v in fields if isinstance(v, str))
    others = [v for v in fields if not isinstance(v, str)]
    numbers = [float(v if isinstance(v, float | int) else value(v)) for v in others]
    if type(h).__name__ == "Attracted":  # either may be written first
        names = tuple(sorted(names))
    return Hypothesis(type(h).__name__, names, numbers[0] if numbers else None)


def _as_text(field: Any) -> Any:
    """Signals and factors as they are written; names and numbers as they are."""
    if isinstance(field, str | int | float | Coefficient):
        return field
    return signal_text(field) if isinstance(field, Identity) else expressions.text(field)


def _loose(found: Derivation) -> frozenset[str]:
    """The synapses of relations that hold only where gates are independent of what they gate."""
    return frozenset(n for r in found.relations if r.mean_field for n in r.synapses)


# ---------------------------------------------------------------- orders


@dataclass(frozen=True)
class Orders:
    """What came of one circuit: the first answer (None: none ended), the longest time and the text that took it, and
    what is wrong."""

    first: Derived | None
    seconds: float
    slow: str | None
    wrong: tuple[tuple[str, str], ...]


def judged(net: Net, seed: int, orders: int, guard: float = GUARD) -> Orders:
    """The circuit in several orders of its items, the last also with other names for its synapses. Of two sets of
    hypotheses that suffice names may choose one; the order of items may not."""
    random = Random(seed)
    first: Derived | None = None
    wrong: list[tuple[str, str]] = []
    longest, slow = 0.0, None
    for turn in range(orders):
        names = {s.name: s.name for s in net.synapses}
        if turn == orders - 1 > 0:
            names = {s.name: f"{random.choice('abcdefgxyz')}{random.randint(0, 99)}{s.name}" for s in net.synapses}
        written = text(net.renamed(names), random if turn else None)
        try:
            found = derived(written, guard)
        except TooLong:
            wrong.append((f"no answer in {guard:g} s", written))
            continue
        if found.seconds > longest:
            longest, slow = found.seconds, written
        back = _named_back(found, names)
        if first is None:
            first = back
        elif _differ(first, back, renamed=turn == orders - 1):
            kind = "names" if turn == orders - 1 else "order"
            wrong.append((f"{kind}: {_difference(first, back)}", written))
    return Orders(first, longest, slow, tuple(wrong))


def _differ(one: Derived, two: Derived, *, renamed: bool) -> bool:
    if not renamed:
        return one.claims != two.claims
    said = [{n: (c.verdict, c.evidence, c.phi_sign) for n, c in d.claims.items()} for d in (one, two)]
    return said[0] != said[1]


def _named_back(found: Derived, names: dict[str, str]) -> Derived:
    old = {new: name for name, new in names.items()}

    def one(h: Hypothesis) -> Hypothesis:
        names = tuple(old.get(n, n) for n in h.names)
        return Hypothesis(h.kind, tuple(sorted(names)) if h.kind == "Attracted" else names, h.value)

    claims = {
        old[name]: Claim(c.verdict, c.evidence, c.phi_sign, frozenset(map(one, c.assumes)))
        for name, c in found.claims.items()
    }
    return Derived(claims, found.attractors, found.seconds, found.reasons, found.loose)


def _difference(one: Derived, two: Derived) -> str:
    name = next(n for n in one.claims if one.claims[n] != two.claims[n])
    a, b = one.claims[name], two.claims[name]
    if (a.verdict, a.evidence, a.phi_sign) != (b.verdict, b.evidence, b.phi_sign):
        return f"{name} is {a.verdict}, {a.evidence}, {a.phi_sign} or {b.verdict}, {b.evidence}, {b.phi_sign}"
    differing = ", ".join(sorted(f"{h.kind}({', '.join(h.names)})" for h in a.assumes ^ b.assumes))
    return f"{name}: hypotheses {differing}"
