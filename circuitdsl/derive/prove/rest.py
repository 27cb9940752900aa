"""Rest, solved: which weights can only be 0 where the circuit rests, and which loops rest at a spectrum only.

theory.md, section 3, step 4. At rest `decay X = rate E[credit pre^T]`. Every plastic synapse gives one equation in
words of weights and of expectations; an expectation that a dense synapse is a multiple of is written as that synapse.
Which weights stand on the right of which gives a graph, and a strongly connected component of it is a **loop**. A
loop is closed to `X = X K` by putting its equations into each other:

- `-K` a sum of squares: `X (1 - K) = 0` has no other solution than X = 0, the loop **collapses**;
- `K = k Z^T Z`: the rows of X lie in the eigenspace of Z^T Z at 1/k, a **spectral** condition;
- else nothing is said.

Two synapses of one neuron that drive each other with opposite signs collapse too, whatever their masks and gates:
their squares are equal and opposite (`quadratic` in relations.py). What collapsed weights bring is 0, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import field

from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.constants import sign
from circuitdsl.derive.algebra.letters import Identity, named
from circuitdsl.derive.algebra.polynomials import signals_of_sum
from circuitdsl.derive.algebra.words import (
    Coefficient,
    Column,
    Diagonal,
    Expect,
    Letter,
    Matrix,
    Signal,
    Sum,
    column,
    depends_on_example,
    expect,
    letter_sum,
    make_sum,
    outer,
    scaled,
    shape,
    times,
    total,
    transpose,
    weight_of,
    weights_in,
)
from circuitdsl.derive.prove.assumptions import at_rest, unique
from circuitdsl.derive.prove.hypotheses import Hypothesis, MeanField, Spectral
from circuitdsl.derive.prove.relations import Relation, gates_in, without_gates
from circuitdsl.derive.prove.squares import semidefinite
from circuitdsl.derive.read.constraints import is_dense
from circuitdsl.derive.read.drives import Drive
from circuitdsl.derive.read.symbols import Expand, Symbols
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.flow import components
from circuitdsl.graph.names import natural


@frozen(kw_only=True)
class Loop:
    """Weights that rest only together: `kept = kept factor`, where all others of the loop are put in."""

    synapses: tuple[str, ...]
    kept: str
    factor: Sum
    assumes: tuple[Hypothesis, ...]


@frozen
class Collapse:
    """Weights that can rest at 0 only, and why: a loop, or a pair that drives each other with opposite signs."""

    synapses: tuple[str, ...]
    assumes: tuple[Hypothesis, ...]


@frozen
class Spectrum:
    """A loop rests only where `square` is the square of every singular value of `letter` on its live directions."""

    loop: Loop
    letter: Sum
    square: Coefficient

    @property
    def hypothesis(self) -> Spectral | None:
        """The condition as one on a synapse, if it is on one."""
        (term,) = self.letter.terms
        name = weight_of(term.word[0]) if len(term.word) == 1 else None
        return None if name is None else Spectral(name, self.square)


@frozen
class Rest:
    """What is known of the states at which all synapses rest. `silent`: drives that are 0 there, each with the
    collapses that make it so."""

    collapses: tuple[Collapse, ...] = ()
    spectra: tuple[Spectrum, ...] = ()
    silent: Mapping[str, tuple[Collapse, ...]] = field(default_factory=dict)

    def spectra_of(self, synapses: Iterable[str]) -> tuple[Spectrum, ...]:
        wanted = set(synapses)
        return tuple(s for s in self.spectra if wanted & set(s.loop.synapses))


def at_all_rests(
    symbols: Symbols, drives: Sequence[Drive], relations: Sequence[Relation], learning: frozenset[str]
) -> Rest:
    """Solves the rest of a circuit as far as loops of it can be classified."""
    loops = list(_loops(symbols, _equations(symbols, drives), learning))
    settled = {d.synapse for d in drives if _settles(symbols, d)}
    collapses = [*_opposed(symbols, relations, settled), *filter(None, (_collapse(symbols, loop) for loop in loops))]
    spectra = tuple(filter(None, map(_spectrum, loops)))
    return Rest(tuple(collapses), spectra, _silenced(symbols, drives, collapses))


# ---------------------------------------------------------------- equations


@frozen(kw_only=True)
class _Equation:
    """synapse = right at rest; `gates` were dropped for it."""

    synapse: str
    right: Sum
    gates: frozenset[Identity]


def _equations(symbols: Symbols, drives: Sequence[Drive]) -> dict[str, _Equation]:
    found: dict[str, _Equation] = {}
    by_source = _by_source(symbols)
    columns: dict[Sum, Sum] = {}

    def column_of(credit: Sum) -> Sum:
        if credit not in columns:
            columns[credit] = symbols.column(credit, by_source)
        return columns[credit]

    for drive in drives if _may_loop(symbols, drives) else ():
        equation = _equation(symbols, drive, column_of)
        if equation is not None:
            found[equation.synapse] = equation
    return found


def _may_loop(symbols: Symbols, drives: Sequence[Drive]) -> bool:
    """Whether any weights may lead back to themselves: those that stand in equations, and in the equations of these."""
    graph = {d.synapse: sorted(_in_equation(symbols, d)) for d in drives}
    return any(len(c) > 1 or c[0] in graph.get(c[0], ()) for c in components(graph))


def _in_equation(symbols: Symbols, drive: Drive) -> set[str]:
    """The weights that may stand in the equation of a drive."""
    found = set(weights_in(drive.shown[1]))
    seen: set[str] = set()
    waiting = signals_of_sum(drive.signal)
    while waiting:
        name = waiting.pop().value
        if name is None or name in seen or not symbols.is_driven(name):
            continue
        seen.add(name)
        value = symbols.circuit.values[name]
        found |= {current.synapse for current in value.currents}
        if value.expr is not None:
            with suppress(NotLinear):  # then there is no equation either
                waiting += signals_of_sum(symbols.opened.of(value.expr, value.size))
    return found


def _equation(symbols: Symbols, drive: Drive, column_of: Callable[[Sum], Sum]) -> _Equation | None:
    """The equation of a dense synapse with a linear decay and nothing else; gates are dropped that are its own."""
    synapse = symbols.circuit.synapses[drive.synapse]
    if not _settles(symbols, drive) or not drive.passage.is_open or not is_dense(synapse):
        return None
    assert drive.decay is not None
    try:
        credit = column_of(drive.signal)
    except NotLinear:
        return None
    gates = gates_in(credit)
    if not gates <= symbols.own_gates(synapse.post):
        return None
    mean = expect(outer(without_gates(credit), drive.shown[1]))
    right = scaled(mean, drive.rate * drive.decay.inverse())
    return None if depends_on_example(right) else _Equation(synapse=drive.synapse, right=right, gates=gates)


def _settles(symbols: Symbols, drive: Drive) -> bool:
    """Whether a linear decay, and nothing else, pulls the weight to a rest."""
    linear = drive.decay is not None and drive.uneven is None
    return linear and drive.decay is not None and 0 < symbols.constants.value(drive.decay) < 2


def _by_source(symbols: Symbols) -> Expand:
    """Carriers opened by one synapse, the sources under the names of their populations."""
    names = {d: p for p in symbols.circuit.populations for d in _repeated(symbols, p)}

    def opened(carrier: Signal) -> Sum:
        name = carrier.value
        if name in names and not symbols.is_hot(name):
            return column(named(names[name], carrier.size))
        if name is None or not symbols.is_driven(name):
            return column(carrier)
        return symbols.driven(name, symbols.named, opened, symbols.opened)

    return opened


def _repeated(symbols: Symbols, population: str) -> Iterator[str]:
    """The dendrite that a rate is, if it is just that."""
    value = symbols.circuit.values.get(population)
    if value is not None and isinstance(value.expr, ir.Read):
        yield value.expr.value


# ---------------------------------------------------------------- loops


@frozen
class _Known:
    """Expectations that are multiples of a synapse at rest (`by`: also their transposes), and which synapses."""

    by: Mapping[Letter, Sum]
    synapses: frozenset[str]


def _loops(symbols: Symbols, equations: Mapping[str, _Equation], learning: frozenset[str]) -> Iterator[Loop]:
    known = _known_means(symbols, equations, learning)
    rights = {n: _replaced(e.right, known.by) for n, e in equations.items() if n not in known.synapses}
    graph = {name: sorted(weights_in(right) & rights.keys()) for name, right in rights.items()}
    for component in components(graph):
        if len(component) == 1 and component[0] not in graph[component[0]]:
            continue
        closed = _closed({name: rights[name] for name in component})
        factor = None if closed is None else _cofactor(*closed)
        if closed is not None and factor is not None:
            used = [*component, *sorted(weights_in(factor) & known.synapses)]
            assumed = [h for name in used for h in at_rest(symbols.circuit.synapses[name])]
            assumed += [MeanField(gate) for name in used for gate in equations[name].gates]
            yield Loop(synapses=tuple(component), kept=closed[0], factor=factor, assumes=unique(assumed))


def _known_means(symbols: Symbols, equations: Mapping[str, _Equation], learning: frozenset[str]) -> _Known:
    """Every mean that a synapse is a multiple of: by a learning one before others."""
    found: dict[Letter, Sum] = {}
    names: set[str] = set()
    for name in sorted(equations, key=lambda n: (n not in learning, n)):
        right = equations[name].right
        if len(right.terms) != 1 or right.terms[0].scalars or len(right.terms[0].word) != 1:
            continue
        (letter,) = right.terms[0].word
        if isinstance(letter, Expect) and letter not in found:
            synapse = symbols.letter(symbols.circuit.synapses[name])
            mean = scaled(synapse, right.terms[0].coefficient.inverse())
            (turned,) = transpose(letter_sum(letter)).terms[0].word
            found |= {turned: transpose(mean), letter: mean}
            names.add(name)
    return _Known(found, frozenset(names))


def _replaced(a: Sum, by: Mapping[Letter, Sum]) -> Sum:
    """The sum with some of its letters replaced."""
    parts: list[Sum] = []
    for term in a.terms:
        whole = make_sum(a.rows, a.rows, [(term.coefficient, term.scalars, ())])
        for letter in term.word:
            whole = times(whole, by.get(letter) or letter_sum(letter))
        parts.append(whole)
    return total(a.rows, a.cols, parts)


def _closed(rights: Mapping[str, Sum]) -> tuple[str, Sum] | None:
    """One synapse of a loop by itself: all others put into its equation, the smallest and last by name kept."""
    left = dict(rights)
    for name in sorted(rights, key=natural)[:-1]:
        right = left.pop(name)
        if name in weights_in(right):
            return None
        by = {letter: new for n, new in ((name, right),) for letter, new in _both(n, new)}
        left = {other: _replaced(whole, by) for other, whole in left.items()}
    ((kept, right),) = left.items()
    return kept, right


def _both(name: str, right: Sum) -> Iterator[tuple[Letter, Sum]]:
    """A synapse's letter, and its transpose, with what they are."""
    yield Matrix(name=name, rows=right.rows, cols=right.cols), right
    yield Matrix(name=name, rows=right.cols, cols=right.rows, transposed=True), transpose(right)


def _cofactor(kept: str, right: Sum) -> Sum | None:
    """K of X = X K, or the transpose of K of X = K X; None where X stands elsewhere too."""
    for turned in (False, True):
        whole = transpose(right) if turned else right
        rows, cols = whole.rows, whole.cols
        first = Matrix(name=kept, rows=rows, cols=cols, transposed=turned)
        if all(t.word and t.word[0] == first and not t.scalars for t in whole.terms):
            rest = make_sum(cols, cols, [(t.coefficient, (), t.word[1:]) for t in whole.terms])
            return rest if kept not in weights_in(rest) else None
    return None


def _collapse(symbols: Symbols, loop: Loop) -> Collapse | None:
    """Whether a loop has no rest but 0: its bounds have to admit that."""
    if not semidefinite(-loop.factor) or not all(_admits_zero(symbols, name) for name in loop.synapses):
        return None
    return Collapse(loop.synapses, loop.assumes)


def _admits_zero(symbols: Symbols, synapse: str) -> bool:
    within = symbols.ranges.limits(symbols.circuit.synapses[synapse])
    return within.low <= 0 <= within.high


def _spectrum(loop: Loop) -> Spectrum | None:
    """The condition on Z where the factor is k Z^T Z of one word."""
    if len(loop.factor.terms) != 1 or not semidefinite(loop.factor):
        return None
    (term,) = loop.factor.terms
    half = len(term.word) // 2
    if len(term.word) % 2 or term.scalars:
        return None
    letter = make_sum(shape(term.word[half])[0], loop.factor.cols, [(Coefficient(), (), term.word[half:])])
    return Spectrum(loop, letter, term.coefficient.inverse()) if len(letter.terms) == 1 else None


def _opposed(symbols: Symbols, relations: Sequence[Relation], settled: Set[str]) -> Iterator[Collapse]:
    """Pairs with A A^T + c B B^T = 0 at rest, c > 0."""
    for relation in relations:
        opposed = relation.kind == "quadratic" and sign(relation.factor) < 0 and settled >= set(relation.synapses)
        if opposed and all(_admits_zero(symbols, name) for name in relation.synapses):
            assumed = [h for name in relation.synapses for h in at_rest(symbols.circuit.synapses[name])]
            yield Collapse(relation.synapses, unique(assumed))


# ---------------------------------------------------------------- what collapsed weights bring


def _silenced(
    symbols: Symbols, drives: Sequence[Drive], collapses: Sequence[Collapse]
) -> dict[str, tuple[Collapse, ...]]:
    """The drives that are 0 once these weights are, and with them the weights that these drives hold up."""
    why: dict[str, tuple[Collapse, ...]] = {}
    for collapse in collapses:
        for name in collapse.synapses:
            why.setdefault(name, (collapse,))
    silent: dict[str, tuple[Collapse, ...]] = {}
    grown = bool(why)
    while grown:
        values = _silent_values(symbols, why)
        new = {d.synapse: reasons for d in drives if d.synapse not in silent and (reasons := _silence(d, values))}
        for drive in drives:
            if drive.synapse in new and drive.decay is not None and drive.synapse not in why:
                synapse = symbols.circuit.synapses[drive.synapse]
                own = Collapse((drive.synapse,), tuple(at_rest(synapse)))
                why[drive.synapse] = (*new[drive.synapse], own)
        silent |= new
        grown = bool(new)
    return silent


def _silence(drive: Drive, values: Mapping[str, tuple[Collapse, ...]]) -> tuple[Collapse, ...]:
    """The collapses that make a drive 0: each of its terms has a signal that is; none if it is not."""
    return _of_terms(drive.signal, values) or _of_terms(drive.shown[1], values)


def _of_terms(poly: Sum, values: Mapping[str, tuple[Collapse, ...]]) -> tuple[Collapse, ...]:
    found: list[Collapse] = []
    for term in poly.terms:
        names = [x.signal.value for x in term.word if isinstance(x, Diagonal | Column)]
        first = next((name for name in names if name is not None and name in values), None)
        if first is None:
            return ()
        found += values[first]
    return tuple(dict.fromkeys(found))


def _silent_values(symbols: Symbols, weights: Mapping[str, tuple[Collapse, ...]]) -> dict[str, tuple[Collapse, ...]]:
    """The dendrites that only weights which are 0 drive, or sources that are 0, and the rates that are 0 with them."""
    found: dict[str, tuple[Collapse, ...]] = {}
    for name in symbols.circuit.order:
        value = symbols.circuit.values[name]
        if value.kind is ir.Kind.DENDRITE and value.expr is None and value.currents:
            each = [weights.get(c.synapse) or found.get(c.source.value, ()) for c in value.currents]
            if all(each):
                found[name] = tuple(dict.fromkeys(c for reasons in each for c in reasons))
        elif value.kind in (ir.Kind.RATE, ir.Kind.LET) and value.expr is not None:
            try:
                poly = symbols.opened.read(ir.Read(span=value.span, value=name, axis=ir.Axis.OWN), value.size)
            except NotLinear:
                continue
            reasons = _of_terms(poly, found)
            if reasons:
                found[name] = reasons
    return found
