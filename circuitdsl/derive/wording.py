"""Derivations in words: signals, relations and what is missing, for a reader who knows the circuit."""

from __future__ import annotations

from collections.abc import Sequence

from circuitdsl.derive.relations import Relation
from circuitdsl.derive.rewriting import Step, rewrite
from circuitdsl.derive.symbols import Symbols
from circuitdsl.derive.words import DIAGONAL, LetterKind, Scalar, Signal, Term, Word
from circuitdsl.graph import ir


def scalar_text(scalar: Scalar) -> str:
    """`η·γ·` style prefix: empty for 1, `−` for -1."""
    number = float(scalar.number)
    top = [n if p == 1 else f"{n}^{p}" for n, p in scalar.powers if p > 0]
    bottom = [n if p == -1 else f"{n}^{-p}" for n, p in scalar.powers if p < 0]
    digits = "" if abs(number) == 1 else f"{abs(number):g}"
    parts = [*([digits] if digits else []), *top]
    shown = "·".join(parts) or ("1" if bottom else "")
    if bottom:
        shown += "/" + "/".join(bottom)
    return ("−" if number < 0 else "") + (shown + "·" if shown else "")


def number_text(scalar: Scalar) -> str:
    return scalar_text(scalar).rstrip("·") or "1"


def matrix_word(word: Word) -> str:
    return " ".join(x.name + ("ᵀ" if x.transposed else "") if x.kind is LetterKind.MATRIX else f"diag({x.name})"
                    for x in word)  # fmt: skip


def show(found: Signal) -> str:
    """A signal as `1[h.basal > 0] ∘ V2 err − 0.5·x`."""
    if not found.terms:
        return "0"
    shown = [_term(t) for t in found.terms]
    text = shown[0]
    for part in shown[1:]:
        text += f" − {part[1:]}" if part.startswith("−") else f" + {part}"
    return text


def _term(term: Term) -> str:
    text = scalar_text(term.coefficient)
    last_diagonal = False
    for letter in term.word:
        if letter.kind in DIAGONAL:
            text += f"{letter.name} ∘ "
        else:
            text += f"{letter.name}{'ᵀ' if letter.transposed else ''} "
        last_diagonal = letter.kind in DIAGONAL
    del last_diagonal
    return text + term.atom


def relation_text(symbols: Symbols, relation: Relation) -> str:
    """One relation, with what it needs and how fast it comes about."""
    left, right = matrix_word(relation.left), scalar_text(relation.factor) + matrix_word(relation.right)
    if relation.tied:
        return f"{left} = {right} from the start, and both change alike"
    if relation.exact and relation.rate is not None:
        rate = relation.rate.value(symbols.numbers)
        half = f", half in {_updates(rate)} updates" if 0 < rate < 1 else ""
        return f"{left} − {right} shrinks by (1 − {number_text(relation.rate)}) per update{half}: exact"
    gates = ", gates dropped (mean-field)" if relation.mean_field else ""
    return f"{left} → {right} at rest{gates}"


def _updates(rate: float) -> str:
    import math

    return f"{math.log(0.5) / math.log1p(-rate):,.0f}"


def missing_transport(
    symbols: Symbols, circuit: ir.Circuit, credit: Signal, delta: Signal, steps: Sequence[Step]
) -> str:
    """What keeps the credit from being the gradient, in the user's terms."""
    rewritten, _ = rewrite(credit, steps)
    target, _ = rewrite(delta, steps)
    wanted = [x.name for t in target.terms for x in t.word if x.kind is LetterKind.MATRIX and x.transposed]
    stuck = [x for t in rewritten.terms for x in t.word if x.kind is LetterKind.MATRIX and x.name not in wanted]
    for letter in stuck:
        synapse = circuit.synapses[letter.name]
        goal = f"transpose({wanted[0]})" if wanted else "the transposed forward weights"
        why = "which is fixed" if synapse.dw is None else "whose rule does not follow it"
        return (
            f"not shown: the dendrite `{synapse.dendrite}` is driven through {letter.name}, {why}: "
            f"nothing pulls {letter.name} toward {goal}"
        )
    return f"not shown: the credit {show(rewritten)} is not a positive matrix times the gradient {show(target)}"
