"""Loop programs: what the verifier refuses, what the passes do, what the lowering promises."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import pytest
from agreement import generated
from bench import library

from circuitdsl.graph.ir import Circuit
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.extents import Extents
from circuitdsl.lower.fuse import fuse
from circuitdsl.lower.loop_ir import (
    Assign,
    Branch,
    Buffer,
    Const,
    Control,
    Define,
    Dtype,
    Expr,
    Given,
    Load,
    Loop,
    Op,
    Phase,
    Program,
    Repeat,
    Role,
    Rounds,
    Scalar,
    Statement,
    Store,
    Sum,
    Var,
    When,
    phases,
    statements,
)
from circuitdsl.lower.names import Names
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.rewrite import rename
from circuitdsl.lower.schedule import lower_all, lower_evaluation, lower_training
from circuitdsl.lower.trim import trimmed, uses
from circuitdsl.lower.verify import LoopError, verify

REAL, INT, BOOL = Dtype.REAL, Dtype.INT, Dtype.BOOL
I, J = Var("i", INT), Var("j", INT)  # noqa: E741
ONE = Const(1.0, REAL)


def load(buffer: str, *index: Expr) -> Load:
    return Load(buffer, index)


def store(buffer: str, *index: Expr, value: Expr = ONE, add: bool = False) -> Store:
    return Store(buffer=buffer, index=index, value=value, add=add)


def units(*body: Statement, var: str = "j", extent: str = "n", over: Rounds = "threads") -> Loop:
    return Loop(var=var, extent=extent, body=body, over=over)


def lanes(*body: Statement, var: str = "i", extent: str = "m") -> Loop:
    return Loop(var=var, extent=extent, body=body, over="lanes")


def phase(*body: Statement, name: str = "p") -> Phase:
    return Phase(name=name, title=name, body=body)


def row_sum(name: str, var: str = "i", extent: str = "m") -> Sum:
    """Adds up a row of W."""
    return Sum(name=name, var=var, extent=extent, value=load("W", J, I))


def program(*body: Control) -> Program:
    """Buffers h and g [n], k [m], W [n, m], S [n, n], data x [n], a row r [m], an int q [n]."""
    scalars = [Scalar(name=n, dtype=INT, given=Given.SIZE, key=n) for n in ("n", "m")]
    scalars.append(Scalar(name="eta", dtype=REAL, given=Given.PARAM, key="eta"))

    def buffer(name: str, role: Role, *shape: str, dtype: Dtype = REAL) -> Buffer:
        return Buffer(name=name, role=role, key=name, shape=shape, dtype=dtype)

    buffers = (
        buffer("h", Role.VALUE, "n"), buffer("g", Role.VALUE, "n"), buffer("k", Role.VALUE, "m"),
        buffer("W", Role.WEIGHT, "n", "m"), buffer("x", Role.DATA, "n"), buffer("r", Role.ROW, "m"),
        buffer("S", Role.WEIGHT, "n", "n"),
        buffer("q", Role.ORDER, "n", dtype=INT),
    )  # fmt: skip
    return Program(
        name="test", title="test", scalars=tuple(scalars), buffers=buffers, bounded=(("count", "n"),), body=body
    )


# ---------------------------------------------------------------- the verifier

GOOD: dict[str, tuple[Control, ...]] = {
    "dot products": (
        phase(
            units(
                Define(name="total", value=Const(0.0, REAL)),
                units(
                    Assign(name="total", value=Op("add", (Var("total", REAL), load("W", J, I)))),
                    var="i", extent="m", over="sequence",
                ),
                store("h", J, value=Var("total", REAL)),
            )
        ),
    ),
    "columns, row by row": (
        phase(
            units(store("k", I, value=Const(0.0, REAL)), var="i", extent="m"),
            units(
                Define(name="s", value=load("h", J)),
                units(store("k", I, value=load("W", J, I), add=True), var="i", extent="m"),
                over="sequence",
            ),
        ),
    ),
    "what the barrier separates": (
        phase(units(store("h", J))),
        phase(units(store("g", J, value=load("h", Const(0, INT))))),
    ),
    "a bounded extent": (
        Define(name="count", value=Op("min", (Var("n", INT), Var("m", INT)), INT)),
        phase(units(store("h", J), extent="count")),
    ),
    "a row of one's own": (
        phase(
            units(
                units(store("r", I), var="i", extent="m", over="sequence"),
                units(store("W", J, I, value=load("r", I)), var="i", extent="m", over="sequence"),
            )
        ),
    ),
    "shared by a team": (
        phase(
            units(
                Define(name="total", value=Const(0.0, REAL)),
                row_sum("total"),
                lanes(
                    Define(name="t", value=load("k", I)),
                    Assign(name="t", value=Op("mul", (Var("t", REAL), Var("total", REAL)))),
                    store("W", J, I, value=Var("t", REAL), add=True),
                ),
                lanes(store("W", J, I, value=Op("mul", (load("W", J, I), ONE)))),
            )
        ),
    ),
    "one team alone": (
        phase(
            Define(name="total", value=Const(0.0, REAL)),
            Sum(name="total", var="i", extent="m", value=load("k", I)),
            lanes(store("k", I, value=Op("div", (load("k", I), Var("total", REAL))))),
            store("h", Const(0, INT), value=load("k", Const(0, INT)), add=True),
        ),
    ),
    "uniform control": (
        Repeat(
            var="t", extent="n",
            body=(
                Define(name="chosen", value=Load("q", (Var("t", INT),), INT)),
                Branch(
                    condition=Op("lt", (Var("chosen", INT), Var("m", INT)), BOOL), body=(phase(units(store("h", J))),)
                ),
            ),
        ),
    ),
}  # fmt: skip

BAD: dict[str, tuple[str, tuple[Control, ...]]] = {
    "a thread reads what another one writes": (
        "another thread writes", (phase(units(store("h", J, value=load("h", Const(0, INT))))),)
    ),
    "a thread reads what another one wrote before": (
        "another thread writes",
        (phase(units(store("h", J)), units(units(store("g", J, value=load("h", I)), var="i", over="sequence"))),),
    ),
    "threads over other extents write one buffer": (
        "another thread writes",
        (phase(units(store("W", J, Const(0, INT))), units(store("W", Const(0, INT), I), var="i", extent="m")),),
    ),
    "all threads write one place": ("every thread writes", (phase(units(store("h", Const(0, INT)))),)),
    "threads add to one place": ("every thread writes", (phase(units(store("h", Const(0, INT), add=True))),)),
    "every thread would store beside loops over threads": (
        "outside the loops over threads", (phase(store("h", Const(0, INT), add=True), units(store("g", J))),)
    ),
    "every thread would read what threads wrote": (
        "another thread writes",
        (phase(units(store("h", J)), store("g", Const(0, INT), value=load("h", Const(0, INT)))),),
    ),
    "a softmax whose serial part reads back in a threaded phase": (
        "outside the loops over threads",
        (
            phase(
                Define(name="total", value=Const(0.0, REAL)),
                units(
                    store("h", J, value=Op("exp", (load("g", J),))),
                    Assign(name="total", value=Op("add", (Var("total", REAL), load("h", J)))),
                    over="sequence",
                ),
                units(store("h", J, value=Op("div", (load("h", J), Var("total", REAL)))), over="sequence"),
                units(store("k", I), var="i", extent="m"),
            ),
        ),
    ),
    "a thread reads what its neighbour writes": (
        "another thread writes",
        (phase(units(store("h", J, value=load("h", Op("add", (J, Const(1, INT)), INT))))),),
    ),
    "a condition around threads reads what they write": (
        "another thread writes",
        (
            phase(
                When(
                    condition=Op("lt", (load("h", Const(0, INT)), ONE), BOOL),
                    body=(units(store("h", J)),),
                )
            ),
        ),
    ),
    "threads assign what they share": (
        "which they share",
        (phase(Define(name="total", value=ONE), units(Assign(name="total", value=ONE))),),
    ),
    "loops over threads within each other": (
        "within a loop over threads", (phase(units(units(store("W", J, I), var="i", extent="m"))),)
    ),
    "threads within lanes": (
        "within a loop over lanes", (phase(lanes(units(store("W", J, I)))),)
    ),
    "lanes within lanes": (
        "within a loop over lanes", (phase(units(lanes(lanes(store("W", J, I), var="t")))),)
    ),
    "a sum within lanes": (
        "within a loop over lanes",
        (phase(lanes(Define(name="total", value=ONE), row_sum("total", var="j", extent="n"), store("k", I))),),
    ),
    "a lane reads what another one writes": (
        "another lane writes", (phase(lanes(store("k", I, value=load("k", Const(0, INT))))),)
    ),
    "lanes write one place": ("another lane writes", (phase(units(lanes(store("h", J)))),)),
    "lanes of two axes": (
        "another lane writes",
        (phase(lanes(store("S", J, Const(0, INT)), store("S", Const(0, INT), J), var="j", extent="n")),),
    ),
    "lanes assign what they share": (
        "lanes of a loop assign `total`",
        (phase(units(Define(name="total", value=ONE), lanes(Assign(name="total", value=ONE), store("W", J, I)))),),
    ),
    "threads sum into what they share": (
        "threads of a loop assign `total`",
        (phase(Define(name="total", value=ONE), units(row_sum("total"), store("h", J))),),
    ),
    "a sum into nothing": ("not defined", (phase(units(row_sum("total"))),)),
    "a sum into an argument": ("may not be assigned", (phase(units(row_sum("eta"))),)),
    "a sum of another type": (
        "is real, not int", (phase(units(Define(name="total", value=Const(0, INT)), row_sum("total"))),)
    ),
    "a sum of truth values": (
        "no number",
        (
            phase(
                Define(name="all", value=Op("lt", (ONE, ONE), BOOL)),
                Sum(name="all", var="i", extent="m", value=Op("lt", (load("k", I), ONE), BOOL)),
            ),
        ),
    ),
    "a sum over another extent": (
        "runs over `n`, but indexes `m`",
        (phase(Define(name="total", value=ONE), Sum(name="total", var="i", extent="n", value=load("k", I))),),
    ),
    "the variable of a sum after it": (
        "`i` is not defined", (phase(units(Define(name="total", value=ONE), row_sum("total"), store("W", J, I))),)
    ),
    "a row is read before it is set": (
        "read before it is set", (phase(units(store("h", J, value=load("r", Const(0, INT))))),)
    ),
    "a row is added to before it is set": (
        "read before it is set", (phase(units(store("r", Const(0, INT), add=True))),)
    ),
    "data is written": ("only to be read", (phase(units(store("x", J))),)),
    "an unknown buffer": ("no buffer `z`", (phase(units(store("z", J))),)),
    "an unknown variable": ("`y` is not defined", (phase(units(store("h", J, value=Var("y", REAL)))),)),
    "a variable after its loop": (
        "`t` is not defined",
        (phase(units(Define(name="t", value=ONE)), units(store("h", J, value=Var("t", REAL)))),),
    ),
    "a variable defined twice": (
        "known already", (phase(Define(name="t", value=ONE), Define(name="t", value=ONE)),)
    ),
    "a loop variable that hides another": (
        "known already", (phase(units(units(store("h", J), over="sequence"))),)
    ),
    "a variable with the name of a buffer": ("known already", (phase(Define(name="h", value=ONE)),)),
    "an assignment to nothing": ("not defined", (phase(Assign(name="t", value=ONE)),)),
    "an assignment to a loop variable": (
        "may not be assigned", (phase(units(Assign(name="j", value=Const(1, INT)))),)
    ),
    "an assignment to an argument": ("may not be assigned", (phase(Assign(name="eta", value=ONE)),)),
    "an assignment to control": (
        "may not be assigned", (Define(name="u", value=ONE), phase(Assign(name="u", value=ONE)))
    ),
    "an assignment of another type": (
        "is int, not real", (phase(Define(name="t", value=ONE), Assign(name="t", value=Const(1, INT))),)
    ),
    "too few indices": ("has 2 extents, not 1", (phase(units(store("W", J))),)),
    "an index along another extent": (
        "runs over `n`, but indexes `m`", (phase(units(store("k", J))),)
    ),
    "an index that is no int": ("is real, not int", (phase(units(store("h", ONE))),)),
    "a stored value of another type": ("is int, not real", (phase(units(store("h", J, value=J))),)),
    "a load of another type": (
        "is real, not int", (phase(units(store("h", J, value=Op("real", (Load("g", (J,), INT),))))),)
    ),
    "a function of other types": (
        "does not take", (phase(units(store("h", J, value=Op("add", (ONE, J))))),)
    ),
    "a result of another type": (
        "is bool, not real", (phase(units(store("h", J, value=Op("lt", (ONE, ONE))))),)
    ),
    "a condition that is no truth value": (
        "is real, not bool", (phase(units(When(condition=ONE, body=(store("h", J),)))),)
    ),
    "a branch that is no truth value": ("is int, not bool", (Branch(condition=Const(1, INT), body=()),)),
    "a loop to a real": ("no int", (phase(units(store("h", J), extent="eta")),)),
    "a repetition to nothing": ("no int", (Repeat(var="t", extent="ticks", body=()),)),
    "control that depends on values": (
        "which threads write", (Branch(condition=Op("lt", (load("h", Const(0, INT)), ONE), BOOL), body=()),)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_well_formed(name: str) -> None:
    verify(program(*GOOD[name]))


@pytest.mark.parametrize("name", BAD)
def test_ill_formed(name: str) -> None:
    message, body = BAD[name]
    with pytest.raises(LoopError, match=message):
        verify(program(*body))


def test_two_things_of_one_name_and_unknown_extents() -> None:
    good = program()
    with pytest.raises(LoopError, match="two things"):
        verify(replace(good, buffers=(*good.buffers, good.buffers[0])))
    again = replace(good.buffers[3], name="again")
    with pytest.raises(LoopError, match="two buffers are bound to `W`"):
        verify(replace(good, buffers=(*good.buffers, again)))
    odd = Buffer(name="odd", role=Role.WORK, key="", shape=("eta",))
    with pytest.raises(LoopError, match="no int scalar"):
        verify(replace(good, buffers=(odd,)))


# ---------------------------------------------------------------- passes


def all_phases(p: Program) -> list[Phase]:
    return list(phases(p.body))


def test_neighbours_are_fused() -> None:
    fused = fuse(program(phase(units(store("h", J))), phase(units(store("g", J, value=load("h", J))))))
    verify(fused)
    assert len(all_phases(fused)) == 1
    assert len(all_phases(fused)[0].body) == 1


def test_what_another_thread_writes_is_not_fused() -> None:
    first = phase(units(store("h", J)))
    reads = phase(units(units(store("g", J, value=load("h", I)), var="i", over="sequence")))
    other = phase(units(store("k", I), var="i", extent="m"))
    longer = phase(units(store("k", J), extent="m"))
    for second in (reads, other, longer):
        assert len(all_phases(fuse(program(first, second)))) == 2


def test_rounds_of_a_batch_are_fused_only_if_they_are_apart() -> None:
    """[b, j] loops: what a later round reads of an earlier one keeps them apart."""
    b = Var("b", INT)

    def batch(*body: Statement) -> Phase:
        return phase(units(units(*body), var="b", extent="n", over="sequence"))

    def fits(p: Program) -> Program:
        w = replace(p.buffers[3], shape=("n", "n"))
        return replace(p, buffers=(*p.buffers[:3], w, *p.buffers[4:]))

    same = fits(program(batch(store("W", b, J)), batch(store("W", b, J, value=load("h", J), add=True))))
    verify(same)
    assert len(all_phases(fuse(same))) == 1
    shared = fits(program(batch(store("h", J, add=True)), batch(store("W", b, J, value=load("h", J)))))
    verify(shared)
    assert len(all_phases(fuse(shared))) == 2


def test_fused_numbers_keep_apart() -> None:
    one = phase(units(Define(name="t", value=ONE), store("h", J, value=Var("t", REAL))))
    fused = fuse(program(one, phase(*rename(one.body, {"h": "g"}))))
    verify(fused)
    defined = [s.name for s in statements(all_phases(fused)[0].body) if isinstance(s, Define)]
    assert sorted(defined) == ["t", "t2"]


def test_trimming_drops_what_nothing_uses() -> None:
    p = program(
        Define(name="a", value=Const(1, INT)),
        Define(name="never", value=Var("a", INT)),
        phase(units(store("h", J))),
    )
    assert [type(part) for part in trimmed(p).body] == [Phase]
    assert [b.name for b in trimmed(p).buffers] == ["h"]
    assert uses(p.body) == {"a", "n", "h", "j"}


# ---------------------------------------------------------------- lowering


def programs(circuit: Circuit, *, without: Collection[str] = ()) -> Iterator[Program]:
    yield from (passed(p, without=without) for p in lower_all(circuit))


@pytest.mark.parametrize("seed", range(0, 120, 4))
def test_generated_circuits_are_well_formed_with_and_without_fusion(seed: int) -> None:
    circuit = generated(seed)
    for fused, plain in zip(programs(circuit), programs(circuit, without=["fuse"]), strict=True):
        verify(fused)
        verify(plain)
        assert len(all_phases(fused)) <= len(all_phases(plain))


def nest(circuit: Circuit, name: str, *, online: bool) -> list[tuple[str, Statement]]:
    """The statements that touch a buffer's phase of that name, with the loops around them as `j.b.i`."""
    found: list[tuple[str, Statement]] = []

    def visit(body: tuple[Statement, ...], around: tuple[str, ...]) -> None:
        for s in body:
            found.append((".".join(around), s))
            if isinstance(s, Loop):
                visit(s.body, (*around, s.var))

    lowered = lower_training(circuit, online=online)
    visit(next(p for p in all_phases(lowered) if p.name == name).body, ())
    return found


def test_online_learning_is_one_pass_over_the_weights() -> None:
    kp = library("heterosynaptic/kolen_pollack.circ")
    around = {loops for loops, s in nest(kp, "learn_W1", online=True) if isinstance(s, Store)}
    assert around == {"j.i"}
    assert not [b for b in passed(lower_training(kp, online=True)).buffers if b.role is Role.ROW]


def test_a_batch_is_summed_row_by_row_and_decay_is_computed_once() -> None:
    found = nest(library("heterosynaptic/kolen_pollack.circ"), "learn_W1", online=False)
    stores = [(loops, s) for loops, s in found if isinstance(s, Store)]
    assert [loops for loops, _ in stores] == ["j.i", "j.b.i", "j.i"]
    text = repr(stores[1][1].value)
    assert "gamma" not in text
    assert "W1" not in text


def test_what_a_row_has_in_common_is_computed_before_it() -> None:
    for online, around in ((True, "j"), (False, "j.b")):
        found = nest(library("heterosynaptic/kolen_pollack.circ"), "learn_W1", online=online)
        hoisted = [s.value for loops, s in found if isinstance(s, Define) and loops == around]
        assert any("h_apical" in repr(value) and "'gt'" in repr(value) for value in hoisted)


def test_transposed_currents_run_along_rows() -> None:
    from circuitdsl.twin.gradient import twin

    lowered = lower_training(twin(library("heterosynaptic/tied_feedback.circ")), online=True)
    back = next(p for p in all_phases(lowered) if any("W2" in repr(s) for s in p.body) and "adjoint" in p.title)
    outer = next(s for s in back.body if isinstance(s, Loop) and s.over == "sequence")
    inner = next(s for s in outer.body if isinstance(s, Loop))
    assert inner.over == "threads"
    add = next(s for s in inner.body if isinstance(s, Store))
    assert add.add
    assert next(e for e in add.value.arguments if isinstance(e, Load) and e.buffer == "W2").index == (I, J)


def test_training_computes_only_what_learning_needs() -> None:
    circuit = load_text("""circuit c {
      input x: 3  target y: 2
      neuron h: 4 { dendrite d  rate = tanh(d) }
      neuron out: 2 { dendrite d  rate = softmax(d) }
      modulator seen = sum(out)
      synapse W: x -> h { dw = 0.1 * pre * post }
      synapse U: h -> out {}
      loss = cross_entropy(out, y)
      record seen
    }""").circuit
    assert circuit is not None
    online, _, evaluation = programs(circuit)
    assert {b.key for b in online.buffers if b.role is Role.VALUE} == {"h.d", "h"}
    assert {"out", "seen"} <= {b.key for b in evaluation.buffers if b.role is Role.VALUE}
    lean = passed(lower_evaluation(circuit, watched=False))
    assert "seen" not in {b.key for b in lean.buffers}


def test_extents_follow_wiring_not_sizes() -> None:
    circuit = load_text("""circuit c {
      input x: 3  target y: 3
      neuron a: 3 { dendrite d  rate = d }
      neuron b: 3 { rate = a + train * y }
      neuron s: 1 { dendrite d  rate = d }
      synapse W: x -> a { dw = 0.1 * pre * post }
      synapse S: b -> s {}
      loss = mse(b, y)
      record s
    }""").circuit
    assert circuit is not None
    extents = Extents(circuit)
    assert extents.of("a") == extents.of("b") == extents.of("y") == extents.of("a.d")
    assert extents.of("x") == "x" != extents.of("a")
    assert extents.of("s") == "1"


def test_names_are_safe_and_stable() -> None:
    names = Names()
    assert names.of("L[1].a.basal") == "L_1_a_basal" == names.of("L[1].a.basal")
    assert names.of("L_1_a_basal") == "L_1_a_basal_2"
    assert names.of("lambda") == "lambda"  # a back end renames what its language has taken
    assert names.of("total2") == "total2_"
    assert names.of("h", "prev") == "prev_h"
