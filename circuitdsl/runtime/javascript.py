"""A whole run as the text of one JavaScript module: the programs, and `circuit`, which says what they are bound to and
how the state starts. emit/host/ trains it, in a page or in node."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import assert_never

from circuitdsl.emit import js
from circuitdsl.emit.target import DType
from circuitdsl.frozen import frozen
from circuitdsl.graph.connections import large
from circuitdsl.graph.ir import (
    Apply,
    Circuit,
    Connect,
    Expr,
    Fan,
    Init,
    InitApply,
    InitCall,
    Kind,
    Lifetime,
    Num,
    ParamRef,
    Synapse,
    Value,
)
from circuitdsl.graph.machine import Numbers
from circuitdsl.graph.numbers import evaluate, whole
from circuitdsl.lower import loop_ir
from circuitdsl.lower.functions import elementwise
from circuitdsl.lower.loop_ir import Aim, Dtype
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_evaluation, lower_training
from circuitdsl.runtime.request import Settings


def run_module(
    circuit: Circuit,
    numbers: Numbers,
    probes: Sequence[Expr] = (),
    *,
    dtype: DType = "float32",
    settings: Settings | None = None,
    watched: bool = False,
) -> str:
    """The module of a circuit with these numbers. `settings` go into its `circuit.task`; `watched`: with a program
    after which all values stand in their buffers. What a page cannot draw throws, with a reason, when the state is
    drawn.

    Raises ValueError for ticks, or a `fan_in(k)`, that are no whole number, and for more weights than a page holds."""
    for synapse in circuit.synapses.values():
        if large((synapse.post_size, synapse.pre_size)):
            raise ValueError(
                f"`{synapse.name}` joins {synapse.post_size} to {synapse.pre_size} units: too many for a page"
            )
    aim = Aim(dtype=dtype, sparse=False)  # a page draws whole matrices
    programs = [lower_training(circuit, online=online, aim=aim) for online in (True, False)]
    programs.append(lower_evaluation(circuit, probes, watched=False, aim=aim))
    if watched:
        programs.append(replace(lower_evaluation(circuit, probes, aim=aim), name="watch"))
    texts = [js.print_program(passed(p), dtype, comments=False) for p in programs]
    told = _Told(circuit, numbers)
    entries = told.entries(dtype, len(probes), settings)
    body = "\n".join(f"  {name}: {text}," for name, text in entries.items())
    helpers = "\n".join(js.definitions(told.used))
    return "\n".join([*texts, helpers, "export const circuit = {", body, "};", ""])


@frozen
class _Told:
    """The circuit as JavaScript. `used`: the functions that its initial values apply."""

    circuit: Circuit
    numbers: Numbers
    used: set[str] = field(default_factory=set)

    def entries(self, dtype: DType, probes: int, settings: Settings | None) -> dict[str, str]:
        """The entries of `circuit`, each as text."""
        circuit = self.circuit
        loss = circuit.loss
        phases = [
            {"name": p.name, "ticks": whole(p.ticks, self.numbers, f"the number of ticks of phase `{p.name}`"),
             "train": p.train}
            for p in circuit.schedule.phases
        ]  # fmt: skip
        plain: dict[str, object] = {
            "name": circuit.name,
            "dtype": dtype,
            "probes": probes,
            "numbers": dict(self.numbers),
            "values": {name: self.value(value) for name, value in circuit.values.items()},
            "phases": phases,
            "loss": None if loss is None else {"when": loss.when, "phase": loss.phase},
            "task": None if settings is None else settings.attributes(),
        }
        drawn = {
            "synapses": _object({s.name: self.synapse(s) for s in circuit.synapses.values()}),
            "states": _object(self.states()),
            "coefficients": _object(self.coefficients()),
        }
        return {name: json.dumps(value) for name, value in plain.items()} | drawn

    def value(self, value: Value) -> dict[str, object]:
        """Its size and where it stands after an evaluation."""
        match value.kind:
            case Kind.INPUT | Kind.TARGET:
                return {"size": value.size, "kind": "given", "role": value.kind.value}
            case Kind.BIAS:
                kind = "one"
            case Kind.STATE if value.lifetime is Lifetime.KEEP:
                kind = "kept"
            case Kind.STATE if not self.circuit.schedule.phases:
                kind = "reset"
            case _:
                kind = "computed"
        return {"size": value.size, "kind": kind}

    def synapse(self, synapse: Synapse) -> str:
        states = {
            f"{synapse.name}.{s.name}": _object({"fresh": json.dumps(s.fresh), "init": self.init(s.init)})
            for s in synapse.states
        }
        bounds = "undefined"
        if synapse.bounds is not None:
            low, high = (self.number(bound) for bound in synapse.bounds)
            bounds = f"(fan_in, fan_out) => [{low}, {high}]"
        connect = sorted(synapse.connect, key=lambda c: c.which == "fan_in")
        return _object({
            "post": str(synapse.post_size),
            "pre": str(synapse.pre_size),
            "sign": json.dumps(synapse.sign),
            "connect": json.dumps([self.mask(c, synapse) for c in connect]),
            "bounds": bounds,
            "init": self.init(synapse.init),
            "states": _object(states),
        })  # fmt: skip

    def mask(self, connect: Connect, synapse: Synapse) -> tuple[str, float | str | None]:
        match connect.which:
            case "dense" | "one_to_one" | "no_self":
                return connect.which, None
            case "sparse":
                assert connect.argument is not None
                return connect.which, evaluate(connect.argument, self.numbers)
            case "fan_in":
                assert connect.argument is not None
                k = whole(connect.argument, self.numbers, f"the k of `fan_in` in `{synapse.name}`")
                if k > synapse.pre_size:
                    units = f"`{synapse.pre}` has {synapse.pre_size} units"
                    raise ValueError(f"`{synapse.name}` cannot have a fan_in of {k}: {units}")
                return connect.which, k
            case "file":
                return connect.which, f"a page has no files, and so no `{connect.path}`"
            case _:
                assert_never(connect.which)

    def states(self) -> dict[str, str]:
        """Of neurons and modulators."""
        return {
            v.name: _object({
                "size": str(v.size),
                "keep": json.dumps(v.lifetime is Lifetime.KEEP),
                "init": self.init(v.init),
            })
            for v in self.circuit.values.values()
            if v.kind is Kind.STATE and v.init is not None
        }  # fmt: skip

    def coefficients(self) -> dict[str, str]:
        found = {}
        for c in self.circuit.coefficients.values():
            per_weight = c.per == "weight"
            size = 0 if per_weight else self.circuit.populations[c.owner].size
            owner = json.dumps(c.owner if per_weight else None)
            found[c.name] = _object({"owner": owner, "size": str(size), "init": self.init(c.init)})
        return found

    # ------------------------------------------------------------ initial values

    def init(self, init: Init) -> str:
        return f"(draw, fan_in, fan_out) => {self.drawn(init)}"

    def drawn(self, init: Init) -> str:
        match init:
            case InitApply():
                parameters = [f"x{i}" for i in range(len(init.arguments))]
                value = elementwise(init.function, [loop_ir.Var(p, Dtype.REAL) for p in parameters])
                parts = ", ".join(map(self.drawn, init.arguments))
                return f"draw.apply(({', '.join(parameters)}) => {self.text(value)}, {parts})"
            case InitCall():
                return self.call(init)
            case Num() | ParamRef() | Fan():
                return self.number(init)
            case _:
                assert_never(init)

    def call(self, init: InitCall) -> str:
        arguments = ", ".join(map(self.number, init.arguments))
        match init.which:
            case "zeros":
                return "0"
            case "constant":
                return arguments
            case "normal" | "uniform" | "identity":
                return f"draw.{init.which}({arguments})"
            case "transpose" | "copy":
                return f"draw.{init.which}({json.dumps(init.other)})"
            case "orthogonal":
                reason = "starts from `orthogonal`, which is not drawn here: `normal(0, 1 / sqrt(fan_in))` is"
                return f"draw.refuse({json.dumps(reason)})"
            case "file":
                return f"draw.refuse({json.dumps(f'starts from the file `{init.path}`, and a page has no files')})"
            case _:
                assert_never(init.which)

    def number(self, expr: Expr) -> str:
        """A number before the run as JavaScript, of `fan_in` and `fan_out`."""
        return self.text(self.loop(expr))

    def loop(self, expr: Expr) -> loop_ir.Expr:
        match expr:
            case Fan():
                return loop_ir.Var(f"fan_{expr.which}", Dtype.REAL)
            case Apply():
                return elementwise(expr.function, [self.loop(a) for a in expr.arguments])
            case _:
                return loop_ir.Const(evaluate(expr, self.numbers), Dtype.REAL)

    def text(self, expr: loop_ir.Expr) -> str:
        self.used.update(op.function for op in loop_ir.walk(expr) if isinstance(op, loop_ir.Op))
        return js.print_expression(expr)


def _object(entries: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in entries.items()) + "}"
