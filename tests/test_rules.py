"""Rules as sums of products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitdsl.diagnostics import Source, Span
from circuitdsl.graph.ir import Apply, Axis, Coef, Expr, Num, ParamRef, Read, SynapseState, Weight
from circuitdsl.graph.plasticity import split

SPAN = Span(Source("<test>", "w"), 0, 1)
LEAVES: dict[str, Expr] = {
    "pre": Read(span=SPAN, value="x", axis=Axis.PRE), "post": Read(span=SPAN, value="h", axis=Axis.POST),
    "m": Read(span=SPAN, value="m", axis=Axis.SCALAR), "w": Weight(span=SPAN), "e": SynapseState(span=SPAN, name="e"),
    "eta": ParamRef(span=SPAN, name="eta"), "c": Coef(span=SPAN, name="c", axis=None),
}  # fmt: skip


def value_of(expr: Expr, env: dict[str, float]) -> float:
    match expr:
        case Num(value=value):
            return value
        case Apply(function=f, arguments=arguments):
            a, *rest = [value_of(x, env) for x in arguments]
            return {
                "add": lambda: a + rest[0], "sub": lambda: a - rest[0], "mul": lambda: a * rest[0],
                "div": lambda: a / rest[0], "neg": lambda: -a, "square": lambda: a * a, "pow": lambda: a ** rest[0],
                "tanh": lambda: float(np.tanh(a)), "where": lambda: rest[0] if a != 0 else rest[1],
                "ne": lambda: float(a != rest[0]), "eq": lambda: float(a == rest[0]),
            }[f]()  # fmt: skip
        case _:
            return next(env[name] for name, leaf in LEAVES.items() if leaf == expr)


def applied(function: str, *arguments: Expr) -> Expr:
    return Apply(span=SPAN, function=function, arguments=arguments)


EXPRS: st.SearchStrategy[Expr] = st.recursive(
    st.one_of(
        st.sampled_from(list(LEAVES.values())),
        st.sampled_from([-2.0, -0.5, 0.1, 0.25, 1.0, 3.0]).map(lambda v: Num(span=SPAN, value=v)),
    ),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["add", "sub", "mul"]), inner, inner).map(lambda t: applied(*t)),
        st.tuples(st.sampled_from(["neg", "square", "tanh"]), inner).map(lambda t: applied(*t)),
        st.tuples(inner, inner, inner).map(lambda t: applied("where", *t)),
        st.tuples(inner, st.sampled_from(list(LEAVES.values()))).map(lambda t: applied("div", *t)),
        st.tuples(inner, st.integers(2, 3)).map(lambda t: applied("pow", t[0], Num(span=SPAN, value=t[1]))),
    ),
    max_leaves=7,
)


@settings(max_examples=300, deadline=None)
@given(expr=EXPRS, values=st.lists(st.floats(0.3, 2.0), min_size=7, max_size=7), expand=st.booleans())
def test_split_is_the_rule(expr: Expr, values: list[float], expand: bool) -> None:
    env = dict(zip(LEAVES, values, strict=True))
    terms = split(expr, expand=expand)
    total = sum(value_of(t.expr(), env) for t in terms)
    scale = 1 + sum(abs(value_of(t.expr(), env)) for t in terms)
    assert total == pytest.approx(value_of(expr, env), rel=1e-9, abs=1e-9 * scale)


def test_split_of_a_rule() -> None:
    eta, post, pre, w, c = (LEAVES[k] for k in ("eta", "post", "pre", "w", "c"))
    rule = applied("sub", applied("mul", applied("mul", eta, post), pre), applied("mul", applied("mul", eta, c), w))
    drive, decay = split(rule)
    assert (drive.numeric, drive.signals, drive.pre, drive.power) == ((eta,), (post,), (pre,), 0)
    assert (decay.number, decay.numeric, decay.power, decay.signals) == (-1, (eta, c), 1, ())
    poster = applied("mul", applied("mul", c, applied("sub", Num(span=SPAN, value=1), w)), applied("mul", post, pre))
    assert [t.power for t in split(poster)] == [None]
    assert [t.power for t in split(poster, expand=True)] == [0, 1]
