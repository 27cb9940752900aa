"""What the circuit expects of its derivation: verdicts and attractors (language.md, `expect`)."""

from __future__ import annotations

from dataclasses import dataclass

from circuitdsl.derive.rewriting import rewritten, steps_of
from circuitdsl.derive.verdict import Derivation, is_single_tick
from circuitdsl.derive.words import Letter
from circuitdsl.graph import ir
from circuitdsl.graph.numbers import evaluate, numbers_of

STRENGTH = ("descent", "gradient", "exact")


@dataclass(frozen=True, slots=True)
class Judgement:
    """`ok` is None where nothing could be said; such an expectation does not fail."""

    text: str
    ok: bool | None
    value: str | None
    line: int


def judge(derivation: Derivation) -> list[Judgement]:
    """Every verdict and attractor that the circuit expects, held against what was derived (and measured)."""
    found: list[Judgement] = []
    for expect in derivation.circuit.expects:
        match expect:
            case ir.ExpectVerdict():
                found.append(_verdict(derivation, expect))
            case ir.ExpectAttractor():
                found.append(_attractor(derivation, expect))
            case ir.ExpectMetric():
                pass  # judged by a run
    return found


def satisfies(verdict: str, wanted: str) -> bool:
    """A stronger verdict satisfies a weaker one: exact > gradient > descent; others exactly."""
    if verdict in STRENGTH and wanted in STRENGTH:
        return STRENGTH.index(verdict) >= STRENGTH.index(wanted)
    return verdict == wanted


def _verdict(derivation: Derivation, expect: ir.ExpectVerdict) -> Judgement:
    verdicts = [derivation.findings[s].verdict for s in expect.synapses]
    known = [v for v in verdicts if v is not None]
    ok: bool | None = all(satisfies(v, expect.verdict) for v in known)
    if ok and len(known) < len(verdicts):
        ok = None
    value = ", ".join(f"{s}: {v}" for s, v in zip(expect.synapses, verdicts, strict=True))
    return Judgement(f"expect {expect.text}", ok, value, expect.span.line)


def _attractor(derivation: Derivation, expect: ir.ExpectAttractor) -> Judgement:
    circuit = derivation.circuit
    steps = steps_of(derivation.relations, frozenset({expect.left.synapse}))
    left, c1, used = rewritten((Letter(expect.left.synapse, transposed=expect.left.transposed),), steps)
    right, c2, used_too = rewritten((Letter(expect.right.synapse, transposed=expect.right.transposed),), steps)
    text, line = f"expect {expect.text}", expect.span.line
    if left != right or not (used or used_too):
        unknown = not is_single_tick(circuit)
        return Judgement(text, None if unknown else False, None, line)
    numbers = numbers_of(circuit, {})
    factor = (c1 * c2.inverse()).value(numbers)
    wanted = None if expect.factor is None else evaluate(expect.factor, numbers)
    ok = factor > 0 if wanted is None else abs(factor - wanted) <= 1e-6 * abs(wanted)
    return Judgement(text, ok, f"factor {factor:g}", line)
