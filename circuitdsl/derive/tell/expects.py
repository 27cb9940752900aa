"""What the circuit expects of its derivation: verdicts and attractors (language.md, `expect`)."""

from __future__ import annotations

from circuitdsl.derive.algebra.comparison import ratio
from circuitdsl.derive.algebra.words import Coefficient, Sum, transpose
from circuitdsl.derive.prove.findings import Finding
from circuitdsl.derive.prove.rewriting import rewritten, steps_of
from circuitdsl.derive.read.ticks import one_tick
from circuitdsl.derive.tell.brief import OPEN
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir

#: From weaker to stronger, in two orders: a stronger verdict satisfies a weaker one, others only themselves.
STRENGTH = (("descent", "gradient", "exact"), ("aligned", "gradient", "exact"))


@frozen
class Judgement:
    """One expectation. `ok` is None where nothing could be said; such an expectation does not fail. `value` is what
    was found instead of, or as, what is expected."""

    text: str
    ok: bool | None
    value: str | None
    line: int

    def as_json(self) -> dict[str, object]:
        return {"text": self.text, "ok": self.ok, "value": self.value, "line": self.line}


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
    for order in STRENGTH:
        if verdict in order and wanted in order:
            return order.index(verdict) >= order.index(wanted)
    return verdict == wanted


def _verdict(derivation: Derivation, expect: ir.ExpectVerdict) -> Judgement:
    verdicts = [_judged(derivation.findings[s], expect.verdict) for s in expect.synapses]
    known = [v for v in verdicts if v is not None]
    ok: bool | None = all(satisfies(v, expect.verdict) for v in known)
    if ok and len(known) < len(verdicts):
        ok = None
    value = ", ".join(
        f"{s}: {v or derivation.findings[s].verdict or OPEN}" for s, v in zip(expect.synapses, verdicts, strict=True)
    )
    return Judgement(f"expect {expect.text}", ok, value, expect.span.line)


def _judged(found: Finding, wanted: str) -> str | None:
    """The verdict that an expectation is held against: an aligned synapse, and one whose verdict was not tested,
    descends on average only if that was measured."""
    on_average = wanted not in ("aligned", "gradient", "exact")
    if found.verdict is None or (found.verdict == "aligned" and on_average):
        return found.measured.verdict if found.measured is not None and on_average else None
    return found.verdict


def _attractor(derivation: Derivation, expect: ir.ExpectAttractor) -> Judgement:
    """Left and right are rewritten until they are multiples of one letter."""
    text, line = f"expect {expect.text}", expect.span.line
    steps = steps_of(derivation.relations, frozenset({expect.left.synapse}))
    left, used = rewritten(_letter(derivation, expect.left), steps)
    right, used_too = rewritten(_letter(derivation, expect.right), steps)
    factor = ratio(left, right)
    if factor is None or not (used or used_too):
        open_ = not one_tick(derivation.circuit)
        return Judgement(text, None if open_ else False, None if open_ else "nothing brings it about", line)
    constants = derivation.symbols.constants
    value = constants.value(factor)
    wanted: Coefficient | None = None if expect.factor is None else constants.of(expect.factor)
    ok = value > 0 if wanted is None else constants.equal(factor, wanted)
    return Judgement(text, ok, f"factor {value:g}".replace("-", "−"), line)


def _letter(derivation: Derivation, ref: ir.MatrixRef) -> Sum:
    synapse = derivation.circuit.synapses[ref.synapse]
    found = derivation.symbols.letter(synapse)
    return transpose(found) if ref.transposed else found
