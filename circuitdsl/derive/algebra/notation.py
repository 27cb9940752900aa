"""Sums of words as people write them: `η · V2 err ∘ 1[h.basal > 0] ⊗ x`, and in LaTeX (amsmath, amssymb).

A column is written as a vector: matrices in front, diagonals behind it with ∘; u vᵀ is u ⊗ v. A diagonal with
no vector behind it is diag(...). Coefficients come first, then numbers such as uᵀ v.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import assert_never

from circuitdsl.derive.algebra import expressions
from circuitdsl.derive.algebra.letters import (
    Adjoint,
    Before,
    Delta,
    Drawn,
    Identity,
    Made,
    Named,
    Ones,
    Part,
    Slope,
    Stated,
    Whole,
)
from circuitdsl.derive.algebra.words import (
    UNIT,
    Coefficient,
    Column,
    Diagonal,
    Expect,
    Letter,
    Matrix,
    Nature,
    Row,
    Scalar,
    Signal,
    Sum,
    Term,
    Word,
    blocks,
    end_of_run,
    mirrored,
    pieces,
    shape,
)
from circuitdsl.frozen import frozen
from circuitdsl.twin.adjoints import adjoint_name

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η", "theta": "θ", "kappa": "κ",
    "lambda": "λ", "mu": "μ", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "omega": "ω",
}  # fmt: skip
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


LATEX_SIGNS = {
    "ᵀ": r"^{\top}", " ∘ ": r" \circ ", " ⊗ ": r" \otimes ", " · ": r"\,", "−": "-", " ": r"\,",
    "E[": r"\mathbb{E}\left[", "]": r"\right]", "(": r"\left(", ")": r"\right)",
    "diag(": r"\operatorname{diag}\left(", "→": r"\to", "Δ": r"\Delta ", "⊗": r"\otimes", "∘": r"\circ",
    "⁻¹": "^{-1}", "½": r"\tfrac{1}{2} ", "²": "^2",
}  # fmt: skip


def _same(name: str) -> str:
    return name


#: The adjoint of the loss, 1 (or one over their number) at the ticks where it is read, else 0; and how it is shown.
LOSS_SEED, READ_AT = adjoint_name("loss"), "1[loss is read]"


#: A sum of more terms is broken off in JSON and messages too.
MAX_WRITTEN = 48


@frozen
class Notation:
    """How formulas are written: as text with Unicode signs, or for LaTeX's math mode (amsmath, amssymb). `rename`
    may shorten the circuit's names. A sum of more than `most` terms is broken off, and says how many are left."""

    latex: bool = False
    rename: Callable[[str], str] = _same
    most: int = MAX_WRITTEN

    def of(self, a: Sum | Term) -> str:
        """An empty word is `I`, but a plain number where the axis is UNIT; of a term alone the axis is not known."""
        if isinstance(a, Term):
            return self.sum((a,), unit="")
        return self.sum(a.terms, unit="I" if a.rows else "")

    def number_of(self, c: Coefficient, *, sign: bool = True) -> str:
        """A number with its params: `−0.1·ηγ`, `1`."""
        shown = self.coefficient(c) or "1"
        return f"{self.sign('−')}{shown}" if sign and c.number < 0 else shown

    # ------------------------------------------------------------ signs of the two languages

    def sign(self, unicode: str) -> str:
        if not self.latex:
            return unicode
        return LATEX_SIGNS[unicode]

    def name(self, name: str) -> str:
        """A name of the circuit; `W2` gets an index in LaTeX, other long names stand upright."""
        name = READ_AT if name == LOSS_SEED else self.rename(name)
        if not self.latex:
            return name
        indexed = re.fullmatch(r"([A-Za-z])(\d*)", name)
        if indexed:
            return indexed[1] + (f"_{{{indexed[2]}}}" if indexed[2] else "")
        return upright(name)

    def signal(self, signal: Signal) -> str:
        """A gate `1[h.basal > 0]` has its condition set as one."""
        match signal.of:
            case Made(function="step" | "ne") as gate if self.latex and signal.nature is Nature.GATE:
                return rf"\mathbf{{1}}\left[{self.name(_condition(gate))}\right]"
            case Ones() if self.latex:
                return r"\mathbf{1}"
            case Delta(shown=shown) if self.latex:
                return rf"\delta_{{{self.name(shown)}}}"
            case _:
                return self.name(signal.name)

    def param(self, name: str, power: int) -> str:
        symbol = GREEK.get(name)
        shown = self.name(name) if symbol is None else (rf"\{name}" if self.latex else symbol)
        if power == 1:
            return shown
        return f"{shown}^{{{power}}}" if self.latex else shown + str(power).translate(SUPERSCRIPTS)

    # ------------------------------------------------------------ sums and terms

    def sum(self, terms: tuple[Term, ...], unit: str) -> str:
        """Positive terms first; `unit` stands for an empty word."""
        ordered = sorted(terms, key=lambda t: t.coefficient.number < 0)
        shown = ""
        for term in ordered[: self.most]:
            minus = term.coefficient.number < 0
            if not shown:
                shown = self.sign("−") if minus else ""
            else:
                shown += f" {self.sign('−')} " if minus else " + "
            shown += self.term(term, unit)
        if len(ordered) > self.most:
            left = f"{len(ordered) - self.most:,} more"
            shown += rf" + \dots\text{{ ({left})}}" if self.latex else f" + … ({left})"
        return shown or "0"

    def term(self, term: Term, unit: str = "") -> str:
        """A term without its sign."""
        word = self.word(term.word) if term.word else unit
        parts = [self.coefficient(term.coefficient), *map(self.number, term.scalars), word]
        return self.sign(" · ").join(p for p in parts if p) or "1"

    def coefficient(self, c: Coefficient) -> str:
        number = abs(c.number)
        params = [self.param(name, power) for name, power in c.params]
        if number != 1:
            params.insert(0, self.fraction(number.numerator, number.denominator))
        if self.latex:
            return r"\,".join(params)
        shown, letters = "", False
        for param in params:
            is_letter = len(param) == 1 and not param.isascii()
            shown += param if not shown or (is_letter and (letters or shown[-1].isdigit())) else f"·{param}"
            letters = is_letter
        return shown

    def fraction(self, top: int, bottom: int) -> str:
        if bottom == 1:
            return str(top)
        if set(_factors(bottom)) <= {2, 5}:
            return f"{top / bottom:.12g}"
        return rf"\tfrac{{{top}}}{{{bottom}}}" if self.latex else f"{top}/{bottom}"

    def number(self, word: Word) -> str:
        """A scalar word: a name, a mean, the rates of single neurons, or uᵀ A v."""
        if len(word) == 1 and isinstance(word[0], Scalar | Expect):
            return self.letter(word[0])
        signals = [x.signal for x in word if isinstance(x, Row | Column | Diagonal)]
        if len(signals) == len(word) and all(s.size == 1 for s in signals):
            return self.sign(" · ").join(self.signal(s) for s in signals if not isinstance(s.of, Ones))
        return self.sign("(") + self.plain(word) + self.sign(")")

    # ------------------------------------------------------------ words

    def word(self, word: Word) -> str:
        found = list(pieces(word))
        if len(found) == 2:
            column, row = found
            return self.vector(column) + self.sign(" ⊗ ") + self.vector(mirrored(row))
        (piece,) = found
        if shape(piece[-1])[1] == UNIT:
            return self.vector(piece)
        if shape(piece[0])[0] == UNIT:
            return self.sign("(") + self.vector(mirrored(piece)) + self.sign(")") + self.sign("ᵀ")
        return self.plain(piece)

    def vector(self, word: Word) -> str:
        """A word that is a column. Diagonals at its front are written behind it with ∘."""
        first, *others = blocks(word)
        rest = tuple(x for block in others for x in block)
        if end_of_run(first[-1]) == "column":
            return self.units((first[-1], *first[:-1]))
        if end_of_run(first[0]) == "diagonal":
            front = self.vector(rest)
            if isinstance(rest[0], Matrix):
                front = self.sign("(") + front + self.sign(")")
            return self.sign(" ∘ ").join([front, self.units(first)])
        if not rest:
            return self.letter(first[0])
        inner = self.vector(rest)
        if end_of_run(rest[0]) == "diagonal":
            inner = self.sign("(") + inner + self.sign(")")
        return self.letter(first[0]) + self.sign(" ") + inner

    def units(self, run: Word) -> str:
        """Signals multiplied unit by unit, the last of a mean first."""
        return self.sign(" ∘ ").join(self.mean_of_units(x) if isinstance(x, Expect) else self.letter(x) for x in run)

    def mean_of_units(self, mean: Expect) -> str:
        inner = self.units((mean.word[-1], *mean.word[:-1]))
        parts = [*map(self.number, mean.scalars), inner]
        return self.sign("E[") + self.sign(" · ").join(parts) + self.sign("]")

    def plain(self, word: Word) -> str:
        """A word as a product of matrices."""
        return self.sign(" ").join(
            self.sign("diag(") + self.letter(x) + self.sign(")") if isinstance(x, Diagonal) else self.letter(x)
            for x in word
        )

    def letter(self, letter: Letter) -> str:
        match letter:
            case Matrix():
                return self.name(letter.name) + (self.sign("ᵀ") if letter.transposed else "")
            case Column(signal) | Diagonal(signal):
                return self.signal(signal)
            case Row(signal):
                return self.signal(signal) + self.sign("ᵀ")
            case Scalar():
                return self.name(letter.name)
            case Expect(scalars, word):
                inner = self.term(Term(Coefficient(), scalars, word))
                return self.sign("E[") + inner + self.sign("]")
            case _:
                assert_never(letter)


#: What LaTeX needs for characters beyond its own, in formulas and (between dollars) in text.
SYMBOLS = {
    "⟨": r"\langle ", "⟩": r"\rangle ", "∇": r"\nabla ",
    "′": "'", "·": r"\cdot ", "−": "-", "≠": r"\neq ", "<": "<", ">": ">", "|": "|", "≤": r"\leq ", "≥": r"\geq ",
    "²": "^2", "→": r"\to ", "←": r"\leftarrow ", "⇒": r"\Rightarrow ", "∘": r"\circ ", "⊗": r"\otimes ",
    "ᵀ": r"^{\top}", "½": r"\tfrac{1}{2}", "Σ": r"\Sigma ", "Δ": r"\Delta ", "∂": r"\partial ", "⁻": "^{-}",
    "¹": "^{1}", "✓": r"\checkmark ", "✗": r"\times ", **{sign: rf"\{name} " for name, sign in GREEK.items()},
}  # fmt: skip
#: What it reads as commands.
COMMANDS = {"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}", "…": r"\ldots{}"}


def escaped(text: str) -> str:
    """Words for LaTeX's text mode."""
    return "".join(f"${SYMBOLS[c].strip()}$" if c in SYMBOLS else _plain(c) for c in text)


def upright(name: str) -> str:
    """A name within a formula, its letters upright."""
    parts = [SYMBOLS[c] if c in SYMBOLS else rf"\text{{{_plain(c)}}}" for c in name]
    return "".join(parts).replace(r"}\text{", "")


def _plain(character: str) -> str:
    return "\\" + character if character in "#$%&_{}" else COMMANDS.get(character, character)


def _factors(n: int) -> list[int]:
    """The prime factors 2 and 5 of n, and what is left if it is not 1."""
    found = []
    for p in (2, 5):
        while n % p == 0:
            n //= p
            found.append(p)
    return found + ([n] if n > 1 else [])


def text(a: Sum | Term) -> str:
    """Plain text with Unicode signs."""
    return Notation().of(a)


def latex(a: Sum | Term) -> str:
    """A formula for LaTeX's math mode; needs amsmath and amssymb."""
    return Notation(latex=True).of(a)


def number_text(word: Word) -> str:
    """A scalar word as text."""
    return Notation().number(word)


def coefficient_text(c: Coefficient, *, sign: bool = True) -> str:
    """A number as text: `−0.1·η`, `1`."""
    return Notation().number_of(c, sign=sign)


# ---------------------------------------------------------------- signals


def signal(
    of: Identity, size: int, nature: Nature = Nature.ANY, *, random: bool = True,
    gates: frozenset[Identity] = frozenset(),
) -> Signal:  # fmt: skip
    """A signal, with its name."""
    name = of.name if isinstance(of, Named) else signal_text(of)
    return Signal(of=of, name=name, size=size, nature=nature, random=random, gates=gates)


def signal_text(of: Identity) -> str:
    """A signal as text."""
    match of:
        case Named(name):
            return name
        case Adjoint(value):
            return adjoint_name(value)
        case Before(value):
            return f"prev({value})"
        case Delta(shown=shown):
            return f"δ_{shown}"
        case Ones():
            return "1"
        case Stated(expr):
            return expressions.text(expr)
        case Slope(function):
            return f"{signal_text(function)}′"
        case Drawn(probabilities):
            return f"a unit drawn by {signal_text(probabilities)}"
        case Whole(word=word, turned=turned):
            shown = Notation().plain(word)
            return f"|{shown}|" if turned else shown
        case Made():
            return _made(of)
        case _:
            assert_never(of)


def _made(of: Made) -> str:
    """`relu(h.basal)`, `1[h.basal > 0]`, `(0.2 + 0.8·1[h.basal > 0])`."""
    if of.function in ("step", "ne"):
        return f"1[{_condition(of)}]"
    first, *others = map(written, of.arguments)
    match of.function:
        case "":
            return f"({first})"
        case "inverse":
            return f"1/({first})"
        case "pow":
            return f"({first})^({others[0]})"
        case function:
            shown = f"{function}({', '.join([first, *others])})"
    match of.part:
        case Part.VALUE:
            return shown
        case Part.SLOPE:
            return f"{shown}′"
        case Part.RATIO:
            return f"{shown}/({first})"
        case _:
            assert_never(of.part)


def _condition(gate: Made) -> str:
    """When a gate is 1; `z > t` and `z < t` of one signal."""
    if gate.function == "ne":
        return f"{written(gate.argument)} ≠ 0"
    flat = [t.coefficient for t in gate.argument.terms if not t.word]
    match [(t.coefficient, t.word) for t in gate.argument.terms if t.word]:
        case [(c, (Diagonal(z),))] if len(flat) < 2 and not any(t.scalars for t in gate.argument.terms):
            at = coefficient_text(Coefficient(-flat[0].number, flat[0].params) * c.inverse()) if flat else "0"
            return f"{z.name} {'<' if c.number < 0 else '>'} {at}"
        case _:
            return f"{written(gate.argument)} > 0"


def written(a: Sum) -> str:
    """A polynomial of the signals of one unit as text: `0.2 + 0.8·1[h.basal > 0]`."""
    shown = ""
    for term in sorted(a.terms, key=lambda t: (t.coefficient.number < 0, bool(t.word))):
        minus = term.coefficient.number < 0
        shown += (" − " if minus else " + ") if shown else ("−" if minus else "")
        parts = [*map(number_text, term.scalars), *(x.signal.name for x in term.word if isinstance(x, Diagonal))]
        number = coefficient_text(term.coefficient, sign=False)
        shown += "·".join([number, *parts] if number != "1" or not parts else parts)
    return shown or "0"
