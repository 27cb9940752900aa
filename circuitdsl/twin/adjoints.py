"""Reverse accumulation over the checked graph, as a circuit transformation: graph in, graph out.

To every value `v` with a differentiable path to the loss comes an **adjoint** `d(v)`, a value of the same
population: d loss / d v for one example, at one tick of the *evaluation* pass (theory.md, section 2). The
adjoints stand in `Circuit.reverse` in the order in which to evaluate them, tick by tick backwards, after
the evaluation pass. They read forward values of their tick (`When.NOW`) and of the tick before
(`When.PREV`), and adjoints of their tick and of the tick after (`When.NEXT`, 0 beyond the last).

- `prev(v)` has an adjoint of its own, `d(prev(v))`, at the tick that reads it; `d(v)` takes it from NEXT.
- A state advances by `v(t+1) = v(t) + dv(t)`: its adjoint at NEXT goes to what `dv` reads, and to itself.
- `keep` states, data, noise and the flags of phases are constants. `train` is 0.
- Sums over units (softmax, broadcast, reductions) become scalar values of their own, so that a
  population's equation stays elementwise.

`onehot_max` and `accuracy` have derivative 0; `kwta` passes through to its winners. `cross_entropy` is differentiated
without its max(p, 1e-7) and, where p is a softmax, through it at once: d/dz = p sum(y) - y.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import assert_never

from circuitdsl.diagnostics import CircuitError, Diagnostic, Span
from circuitdsl.frozen import frozen, mutable
from circuitdsl.graph.folding import apply, mul, num, sub, total
from circuitdsl.graph.ir import (
    Apply,
    Axis,
    Circuit,
    Current,
    Expr,
    Kind,
    Num,
    Over,
    ParamRef,
    Read,
    Reduce,
    Value,
    When,
    reads,
)
from circuitdsl.graph.populations import REDUCTIONS, Join, Reduction
from circuitdsl.twin.paths import Settled, alive_values, differentiable_reads, loss_weight, settle
from circuitdsl.twin.slopes import local_adjoints, written


def adjoints(circuit: Circuit) -> Circuit:
    """The circuit with d loss / d v for every value v that has a differentiable path to the loss.

    New values are of Kind.ADJOINT; `reverse` lists them in evaluation order. No adjoint is made for data,
    `keep` states and whatever has no path; nor for the softmax that cross_entropy reads (see the module's
    text): its argument gets the whole. Raises CircuitError (C051) if the circuit declares no loss.
    """
    if circuit.loss is None:
        raise CircuitError([_no_loss(circuit)])
    made = _Tape(settle(circuit)).run()
    return replace(circuit, values=circuit.values | made, reverse=tuple(made))


def adjoint_name(value: str) -> str:
    return f"d({value})"


def _no_loss(circuit: Circuit) -> Diagnostic:
    return Diagnostic(
        code="C051",
        title=f"no loss in `{circuit.name}`: there is nothing to take the gradient of",
        span=circuit.span,
        label="declares no loss",
        hint="declare one, for instance `loss = cross_entropy(out, y)`",
    )


# ---------------------------------------------------------------- accumulation


@frozen
class _Frame:
    """What an expression is evaluated over: the units of a population; one scalar; or, inside a
    reduction, the units of the populations that it reduces (`population` is then None). `name` is the
    value whose equation it is."""

    name: str
    population: str | None
    size: int
    units: bool
    span: Span


@mutable
class _Sums:
    """The contributions to one adjoint."""

    terms: list[Expr] = field(default_factory=list)
    currents: list[Current] = field(default_factory=list)


@mutable
class _Tape:
    """One run of reverse accumulation."""

    settled: Settled
    made: dict[str, Value] = field(default_factory=dict)
    sums: dict[str, _Sums] = field(default_factory=dict)  # by the name of the adjoint
    logits: dict[str, list[Expr]] = field(default_factory=dict)  # softmax value -> d loss / d its argument

    def run(self) -> dict[str, Value]:
        """The adjoints, in evaluation order.

        States first, as their increments hand on what they get from the tick after; then all values
        against the order of evaluation; last the adjoints of states and of `prev`, which nothing at
        this tick reads. Among these the order is that of names: the text's decides no order of a sum."""
        circuit, alive = self.settled.circuit, alive_values(self.settled)
        for name in sorted(alive.prev):
            self._term(name, self._read(f"prev({name})", name, When.NEXT))
        for name, update in sorted(self.settled.updates.items(), key=lambda found: found[0]):
            if name in alive.now:
                following = self._read(name, name, When.NEXT)
                self._term(name, following)
                self._pull(update, following, self._frame(name), None)
        order = [n for n in reversed(circuit.order) if n in alive.now]
        for name in order if "loss" in order else ["loss", *order]:
            self._value(name)
        for name in sorted(alive.now & self.settled.updates.keys()):
            self._finish(name, name)
        for name in sorted(alive.prev):
            self._finish(f"prev({name})", name)
        return self.made

    # ------------------------------------------------------------ values

    def _value(self, name: str) -> None:
        """Closes the adjoint of a value and hands it to what the value reads."""
        frame = self._frame(name)
        value = self.settled.circuit.values.get(name)
        if name == "loss":
            self.sums.setdefault("loss", _Sums()).terms.append(loss_weight(self.settled))
        if name in self.logits:
            self._softmax(name, frame)
            return
        cotangent = self._finish(name, name)
        if cotangent is None:
            return
        expr = self.settled.exprs.get(name)
        if value is not None:
            for current in value.currents:
                self._current(current, name)
        if expr is not None:
            summed = value is not None and value.currents
            self._pull(expr, cotangent, frame, None if summed else self._forward(name, expr.span))

    def _softmax(self, name: str, frame: _Frame) -> None:
        """A softmax that cross_entropy reads: what comes through the loss goes to its argument at once."""
        over = self.settled.exprs[name]
        assert isinstance(over, Over)
        beside = self._finish(f"{name} beside the loss", name, name)
        terms = self.logits[name]
        if beside is not None:
            terms = [*terms, self._softmax_product(self._forward(name, over.span), beside, frame)]
        argument = over.argument
        cotangent = total(terms, span=over.span)
        if not isinstance(argument, Read):
            cotangent = self._keep(f"d(argument of {name})", cotangent, frame)
        self._pull(argument, cotangent, frame, None)

    def _finish(self, target: str, value: str, sums: str | None = None) -> Expr | None:
        """Makes d(target) out of its contributions; None if there are none."""
        found = self.sums.get(sums or target)
        if found is None:
            return None
        frame = self._frame(value)
        expr = total(found.terms, span=frame.span)
        if target == "loss" and isinstance(expr, Num):
            return expr
        of = target if target == value else None
        self._make(adjoint_name(target), frame, expr if found.terms else None, tuple(found.currents), of)
        return self._read(target, value, When.NOW)

    def _current(self, current: Current, dendrite: str) -> None:
        source = current.source
        if self.settled.silent(source) or not self.settled.movable(source.value):
            return
        span = self._frame(dendrite).span
        delta = Read(span=span, value=adjoint_name(dendrite), axis=Axis.POST)
        back = Current(synapse=current.synapse, source=delta, transposed=True)
        self.sums.setdefault(_target(source), _Sums()).currents.append(back)

    # ------------------------------------------------------------ making values

    def _frame(self, name: str) -> _Frame:
        value = self.settled.circuit.values.get(name)
        if value is None:
            return _Frame("loss", None, 1, False, self.settled.loss.span)
        return _Frame(name, value.population, value.size, value.population is not None, value.span)

    def _read(self, target: str, value: str, when: When) -> Read:
        frame = self._frame(value)
        axis = Axis.OWN if frame.units else Axis.SCALAR
        return Read(span=frame.span, value=adjoint_name(target), axis=axis, when=when)

    def _forward(self, name: str, span: Span) -> Read | None:
        """The value itself, where it is one that each tick has (the loss only if something reads it): reading it is
        cheaper than computing it again."""
        circuit = self.settled.circuit
        if name not in circuit.values or (name == "loss" and name not in circuit.order):
            return None
        return Read(span=span, value=name, axis=Axis.OWN if self._frame(name).units else Axis.SCALAR)

    def _make(
        self, name: str, frame: _Frame, expr: Expr | None, currents: tuple[Current, ...] = (), of: str | None = None
    ) -> None:
        self.made[name] = Value(
            name=name,
            span=frame.span,
            kind=Kind.ADJOINT,
            population=frame.population,
            size=frame.size,
            expr=expr,
            currents=currents,
            of=of,
        )

    def _keep(self, name: str, expr: Expr, frame: _Frame) -> Expr:
        """A value of the reverse pass that holds `expr`, to be read instead of computing it again."""
        if isinstance(expr, Num | Read | ParamRef):
            return expr
        fresh, count = name, 1
        while fresh in self.made:
            count += 1
            fresh = f"{name} #{count}"
        self._make(fresh, frame, expr)
        return Read(span=expr.span, value=fresh, axis=Axis.OWN if frame.units else Axis.SCALAR)

    def _keep_scalar(self, name: str, expr: Expr) -> Expr:
        return self._keep(name, expr, _Frame(name, None, 1, False, expr.span))

    # ------------------------------------------------------------ contributions

    def _term(self, target: str, term: Expr) -> None:
        self.sums.setdefault(target, _Sums()).terms.append(term)

    def _contribute(self, read: Read, term: Expr, frame: _Frame) -> None:
        """Adds to the adjoint of what is read; a value of size 1 read by many units gets their sum."""
        into = self._frame(read.value)
        if frame.units and into.size == 1 and (frame.size > 1 or not into.units):
            term = Reduce(span=read.span, function="sum", arguments=(term,), size=frame.size)
            frame = replace(frame, units=False)
        if into.units and not frame.units:
            term = self._keep_scalar(f"sum for {adjoint_name(_target(read))}", term)
        self._term(_target(read), term)

    def _pull(self, expr: Expr, cotangent: Expr, frame: _Frame, out: Expr | None) -> None:
        """Hands `cotangent`, d loss / d expr, to everything the expression reads.

        `out` is a value that already holds the expression, if there is one."""
        if isinstance(cotangent, Num) and cotangent.value == 0:
            return
        if not self._depends(expr):
            return
        match expr:
            case Read():
                self._contribute(expr, cotangent, frame)
            case Apply():
                result = out if out is not None else expr
                for argument, partial in local_adjoints(expr, cotangent, result, self._depends):
                    self._pull(argument, partial, frame, None)
            case Over():
                self._over(expr, cotangent, frame, out)
            case Reduce():
                self._reduce(expr, cotangent, frame)
            case _:
                raise AssertionError("everything else reads no value")

    def _depends(self, expr: Expr) -> bool:
        return any(self.settled.movable(r.value) for r in differentiable_reads(expr))

    def _over(self, expr: Over, cotangent: Expr, frame: _Frame, out: Expr | None) -> None:
        span = expr.span
        result = out if out is not None else self._keep(f"{expr.function} in {frame.name}", expr, frame)
        match expr.function:
            case "softmax":
                partial = self._softmax_product(result, cotangent, frame)
            case "kwta":
                partial = mul(cotangent, apply("ne", result, num(0, span), span=span), span=span)
            case "onehot_max":
                return
            case _:
                assert_never(expr.function)
        if not isinstance(expr.argument, Read):
            partial = self._keep(f"d(argument of {expr.function} in {frame.name})", partial, frame)
        self._pull(expr.argument, partial, frame, None)

    def _softmax_product(self, p: Expr | None, cotangent: Expr, frame: _Frame) -> Expr:
        """J^T g of p = softmax(z): p (g - sum(g p))."""
        assert p is not None
        span = p.span
        inner = Reduce(span=span, function="sum", arguments=(mul(cotangent, p, span=span),), size=frame.size)
        dot = self._keep_scalar(f"sum for softmax in {frame.name}", inner)
        return mul(p, sub(cotangent, dot, span=span), span=span)

    # ------------------------------------------------------------ reductions

    def _reduce(self, expr: Reduce, cotangent: Expr, frame: _Frame) -> None:
        """Scalars are kept before they meet units: they are then computed (and, if random, drawn) once."""
        span, size = expr.span, expr.size
        inside = _Frame(frame.name, None, size, True, span)
        if frame.units:
            cotangent = Reduce(span=span, function="sum", arguments=(cotangent,), size=frame.size)
        g = self._keep_scalar(f"d({expr.function} in {frame.name})", cotangent)
        reduction = REDUCTIONS[expr.function]
        match reduction.join:
            case Join.SUM | Join.MEAN if reduction.slopes:
                self._by_slopes(expr, reduction, g, inside)
            case Join.SUM | Join.MEAN:
                assert reduction.result == "joined", f"the slopes of {reduction.name}"
                g = g if reduction.join is Join.SUM else mul(num(1 / size, span), g, span=span)
                self._pull(written(reduction.term, self._named(reduction, expr), span), g, inside, None)
            case Join.LARGEST:
                self._maximum(expr, g, inside)
            case Join.SAME_WINNER:
                return
            case _:
                assert_never(reduction.join)

    def _by_slopes(self, expr: Reduce, reduction: Reduction, g: Expr, inside: _Frame) -> None:
        span = expr.span
        names = {**self._named(reduction, expr), "g": g, "out": expr, "part": num(1 / expr.size, span)}
        names["scale"] = written(reduction.scale, names, span)
        if reduction.scale != "g":
            names["scale"] = self._keep_scalar(f"d({expr.function}) scaled", names["scale"])
        moved = list(zip(expr.arguments, reduction.slopes, strict=True))
        p = expr.arguments[0]
        if expr.function == "cross_entropy" and isinstance(p, Read) and self._is_softmax(p):
            self._logits(expr, p, g, inside)
            moved = moved[1:]
        for argument, slope in moved:
            self._pull(argument, written(slope, names, span), inside, None)

    def _named(self, reduction: Reduction, expr: Reduce) -> dict[str, Expr]:
        return dict(zip(reduction.parameters, expr.arguments, strict=True))

    def _maximum(self, expr: Reduce, g: Expr, inside: _Frame) -> None:
        """To the unit that has it; ties to the lower index."""
        span, x = expr.span, expr.arguments[0]
        owner = next(r.value for r in reads(x) if self._frame(r.value).size == expr.size)
        frame = replace(self._frame(owner), span=span)
        winner = self._keep(
            f"winner of max in {inside.name}", Over(span=span, function="onehot_max", argument=x), frame
        )
        self._pull(x, mul(g, winner, span=span), inside, None)

    def _logits(self, expr: Reduce, p: Read, g: Expr, inside: _Frame) -> None:
        """The cross entropy of a softmax: p - y, of what it is a softmax of."""
        span, y = expr.span, expr.arguments[1]
        mass = Reduce(span=span, function="sum", arguments=(y,), size=inside.size)
        y_sum = self._keep_scalar("sum of the target", mass)
        logit = mul(g, sub(mul(p, y_sum, span=span), y, span=span), span=span)
        self.logits.setdefault(p.value, []).append(logit)

    def _is_softmax(self, read: Read) -> bool:
        """Whether it reads, of this tick, a value whose whole equation is a softmax."""
        value = self.settled.circuit.values[read.value]
        softmax = isinstance(over := self.settled.exprs.get(read.value), Over) and over.function == "softmax"
        return softmax and read.when is When.NOW and not value.currents


def _target(read: Read) -> str:
    return f"prev({read.value})" if read.when is When.PREV else read.value
