"""Score functions (REINFORCE): what a rule does on average over the draws of the neuron that it teaches.

`onehot_max(d - log(-log(rand())))` is a draw of softmax(d) (Gumbel), and the gradient of log p(draw) with respect to d
is `draw - p`. So for a reward R that depends on d through the draw alone, E[R (draw - p)] = dE[R]/dd, whatever is
subtracted from R without looking at the draw. `R draw` alone has E[R] p more. That is the gradient of the expected
reward; of the loss only if this is its negative, as `-sum(out * y)` is for the reward `sum(draw * y)`.
"""

from __future__ import annotations

from collections.abc import Set
from fractions import Fraction

from circuitdsl.derive.algebra.arithmetic import NotLinear
from circuitdsl.derive.algebra.comparison import ratio
from circuitdsl.derive.algebra.letters import Identity, Named
from circuitdsl.derive.algebra.polynomials import lone_signal, signals_of
from circuitdsl.derive.algebra.words import Coefficient, Scalar, Signal, Sum, diagonal, scaled, zero
from circuitdsl.derive.prove.hypotheses import ManyDraws
from circuitdsl.derive.read.drives import Drive
from circuitdsl.derive.read.symbols import Symbols, unlike_training
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir
from circuitdsl.graph.flow import all_sources, reached_from

#: What keeps log(0) away may be added to the noise: it makes the draw as much another one.
SMALL = 1e-3


@frozen(kw_only=True)
class Score:
    """What a rule follows on average over draws. `draw`, `probability`, `reward`: the values of the circuit.

    `scored`: the rule subtracts the probability from the draw, so that it follows the gradient of E[reward]. `factor`:
    the number between that and the negative gradient of the loss, None where the loss is another function."""

    draw: str
    probability: Identity
    reward: str
    scored: bool
    factor: Coefficient | None
    assumes: ManyDraws


def score_of(symbols: Symbols, synapse: ir.Synapse, drive: Drive) -> Score | None:
    """The score function that a rule's credit is, or would be; None if it is none."""
    circuit = symbols.circuit
    if not symbols.opened.one_tick or not drive.passage.is_open:
        return None
    own = (circuit.values[name] for name in (synapse.post, *circuit.populations[synapse.post].lets))
    draws = [value for value in own if _is_draw(value, synapse.dendrite)]
    if not draws or unlike_training(circuit):
        return None
    for draw in draws:
        dendrite = circuit.values[synapse.dendrite]
        read = ir.Read(span=dendrite.span, value=dendrite.name, axis=ir.Axis.OWN)
        try:
            p = symbols.opened.arithmetic.function("softmax", symbols.opened.read(read, dendrite.size))
        except NotLinear:
            return None
        probability = lone_signal(p)
        found = None if probability is None else _by_reward(drive.signal, Named(draw.name), probability.of)
        if found is None or probability is None:
            continue
        reward, scored, number = found
        if not _sees_draw_only(circuit, reward, draw.name, synapse.dendrite):
            continue
        return Score(
            draw=draw.name, probability=probability.of, reward=reward, scored=scored,
            factor=_by_loss(symbols, reward, draw.name, probability, number), assumes=ManyDraws(synapse.post),
        )  # fmt: skip
    return None


# ---------------------------------------------------------------- the draw


def _is_draw(value: ir.Value, dendrite: str) -> bool:
    """`onehot_max(d - log(-log(rand())))`, or with the noise added."""
    if not isinstance(value.expr, ir.Over) or value.expr.function != "onehot_max":
        return False
    match value.expr.argument:
        case ir.Apply(function="sub", arguments=(d, noise)):
            return _is_now(d, dendrite) and _is_log_of_minus_log(noise)
        case ir.Apply(function="add", arguments=(a, b)):
            negated = [(d, n) for d, n in ((a, b), (b, a)) if isinstance(n, ir.Apply) and n.function == "neg"]
            return any(_is_now(d, dendrite) and _is_log_of_minus_log(n.arguments[0]) for d, n in negated)
        case _:
            return False


def _is_now(expr: ir.Expr, dendrite: str) -> bool:
    return isinstance(expr, ir.Read) and expr.value == dendrite and expr.when is ir.When.NOW


def _is_log_of_minus_log(expr: ir.Expr) -> bool:
    match expr:
        case ir.Apply(
            function="log",
            arguments=(ir.Apply(function="neg", arguments=(ir.Apply(function="log", arguments=(noise,)),)),),
        ):
            return _is_uniform(noise)
        case _:
            return False


def _is_uniform(expr: ir.Expr) -> bool:
    match expr:
        case ir.Random(which="rand"):
            return True
        case ir.Apply(function="add", arguments=(ir.Random(which="rand"), ir.Num(value=small))):
            return 0 <= small <= SMALL
        case ir.Apply(function="max", arguments=(ir.Random(which="rand"), ir.Num(value=small))):
            return 0 <= small <= SMALL
        case _:
            return False


# ---------------------------------------------------------------- the rule


def _by_reward(signal: Sum, draw: Identity, probability: Identity) -> tuple[str, bool, Coefficient] | None:
    """(R, whether p is subtracted, c) of the credits `c R (draw - p)` and `c R draw`."""
    numbers: dict[Identity, Coefficient] = {}
    rewards = set()
    for term in signal.terms:
        found = signals_of(term)
        if len(found) != 1 or len(term.scalars) != 1 or found[0].of in numbers:
            return None
        numbers[found[0].of] = term.coefficient
        rewards.add(term.scalars[0])
    if len(rewards) != 1 or not numbers.keys() <= {draw, probability} or draw not in numbers:
        return None
    (word,) = rewards
    if len(word) != 1 or not isinstance(word[0], Scalar):
        return None
    other = numbers.get(probability)
    if other is not None and other != Coefficient(-numbers[draw].number, numbers[draw].params):
        return None
    return word[0].name, other is not None, numbers[draw]


def _sees_draw_only(circuit: ir.Circuit, reward: str, draw: str, dendrite: str) -> bool:
    """Whether the reward depends on the dendrite through the draw and in no other way."""
    value = circuit.values.get(reward)
    if value is None or value.population is not None:
        return False
    sources = {name: (set() if name == draw else set(read)) for name, read in all_sources(circuit).items()}
    return reward in reached_from(sources, {draw}) and reward not in reached_from(sources, {dendrite})


# ---------------------------------------------------------------- the loss


def _by_loss(symbols: Symbols, reward: str, draw: str, probability: Signal, number: Coefficient) -> Coefficient | None:
    """c with `number E[R] = -c loss + a constant`; None where that is not seen."""
    value, loss = symbols.circuit.values[reward], symbols.circuit.loss
    if loss is None or value.expr is None:
        return None
    drawn = reached_from(all_sources(symbols.circuit), {draw})
    rewarded = _summed(symbols, value.expr, probability.size, symbols.circuit.values.keys() - drawn)
    lost = _summed(symbols, loss.expr, probability.size, set())
    if rewarded is None or lost is None:
        return None
    if any([s.of for s in signals_of(t)].count(Named(draw)) > 1 for t in rewarded.terms):
        return None  # the mean of a product of draws is no product of probabilities

    def mean(signal: Signal) -> Sum | None:
        return diagonal(probability) if signal.of == Named(draw) else None

    return ratio(scaled(symbols.opened.arithmetic.substituted(rewarded, mean), number), -lost)


def _summed(symbols: Symbols, expr: ir.Expr, size: int, still: Set[str]) -> Sum | None:
    """The polynomial whose sum over units an equation is, but for a constant (and `still` values, which no draw
    changes: a baseline); None where it is no such sum."""

    def of(e: ir.Expr) -> Sum | None:
        number = symbols.constants.of(e)
        if number is not None:
            return zero(size, size)
        match e:
            case ir.Read(value=name, axis=ir.Axis.SCALAR) if name in still:
                return zero(size, size)
            case ir.Apply(function="neg", arguments=(a,)):
                inner = of(a)
                return None if inner is None else -inner
            case ir.Apply(function="add" | "sub" as function, arguments=(a, b)):
                one, two = of(a), of(b)
                return None if one is None or two is None else one + two if function == "add" else one - two
            case ir.Apply(function="mul", arguments=(a, b)):
                for scale, other in ((symbols.constants.of(a), b), (symbols.constants.of(b), a)):
                    inner = None if scale is None else of(other)
                    if scale is not None and inner is not None:
                        return scaled(inner, scale)
                return None
            case ir.Reduce(function="sum" | "mean" as function, arguments=(summed,), size=units) if units == size:
                try:
                    found = symbols.opened.of(summed, size)
                except NotLinear:
                    return None
                return found if function == "sum" else scaled(found, Fraction(1, size))
            case _:
                return None

    return of(expr)
