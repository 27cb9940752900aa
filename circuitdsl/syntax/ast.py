"""The syntax tree of a `.circ` text: frozen, spanned, and equal to another tree whatever the spans.

Nothing is resolved here: names are names, `init = normal(0, 1)` is an assignment like `dw = ...`.
"""

from __future__ import annotations

from dataclasses import field

from circuitdsl.diagnostics import Span
from circuitdsl.frozen import frozen

# ---------------------------------------------------------------- expressions


@frozen(kw_only=True)
class Node:
    span: Span = field(compare=False, repr=False)


@frozen(kw_only=True)
class Number(Node):
    value: float


@frozen(kw_only=True)
class String(Node):
    value: str


@frozen(kw_only=True)
class Name(Node):
    """A bare name; the keywords `loss`, `rate` and `train` come as names too."""

    name: str


@frozen(kw_only=True)
class Index(Node):
    """`base[index]`"""

    base: Name | Index | Member
    index: Expr


@frozen(kw_only=True)
class Member(Node):
    """`base.name`"""

    base: Name | Index | Member
    name: str
    name_span: Span = field(compare=False, repr=False)


@frozen(kw_only=True)
class ListOf(Node):
    items: tuple[Expr, ...]


@frozen(kw_only=True)
class Argument(Node):
    """An argument of a call or a `use`; `name` is None where it stands by position."""

    name: str | None
    value: Expr


@frozen(kw_only=True)
class Call(Node):
    function: str
    function_span: Span = field(compare=False, repr=False)
    arguments: tuple[Argument, ...]


@frozen(kw_only=True)
class Unary(Node):
    """`-operand`"""

    operator: str
    operand: Expr


@frozen(kw_only=True)
class Binary(Node):
    """`left operator right`; operators are + - * / ^ < <= > >= == != and & (in `connect`)."""

    operator: str
    left: Expr
    right: Expr


Ref = Name | Index | Member
Expr = Number | String | Name | Index | Member | ListOf | Call | Unary | Binary

# ---------------------------------------------------------------- members of neurons, synapses, ...


@frozen(kw_only=True)
class Dendrites(Node):
    names: tuple[Name, ...]


@frozen(kw_only=True)
class State(Node):
    """`state v = 0 keep`; `lifetime` is None, "keep" or "fresh"."""

    name: Name
    init: Expr
    lifetime: str | None


@frozen(kw_only=True)
class Let(Node):
    name: Name
    value: Expr


@frozen(kw_only=True)
class Drive(Node):
    name: Name
    value: Expr


@frozen(kw_only=True)
class Rate(Node):
    value: Expr


@frozen(kw_only=True)
class Assign(Node):
    """`dw = e`, `dv/dt = e`, `init = e`, `epochs = e`: a name set to an expression."""

    name: Name
    per_dt: bool
    value: Expr


@frozen(kw_only=True)
class Phase(Node):
    name: Name
    ticks: Expr
    train: bool


@frozen(kw_only=True)
class Further(Node):
    """A construct whose words are reserved but that is not yet available."""

    what: str


NeuronMember = Dendrites | State | Let | Rate | Assign | Further
SynapseMember = State | Drive | Assign | Further
ModulatorMember = State | Assign

# ---------------------------------------------------------------- items


@frozen(kw_only=True)
class Param(Node):
    """`param eta = 0.1`, `param c per W = init`"""

    name: Ref
    per: Ref | None
    value: Expr


@frozen(kw_only=True)
class Input(Node):
    name: Ref
    size: Expr
    each_tick: bool


@frozen(kw_only=True)
class Target(Node):
    name: Ref
    size: Expr


@frozen(kw_only=True)
class Neuron(Node):
    name: Ref
    size: Expr
    doc: str | None
    members: tuple[NeuronMember, ...]


@frozen(kw_only=True)
class Synapse(Node):
    """`synapse W: source -> target { ... }`; the source may be `prev(h)` or `h.a`."""

    name: Ref
    source: Expr
    target: Ref
    doc: str | None
    members: tuple[SynapseMember, ...]


@frozen(kw_only=True)
class Modulator(Node):
    name: Ref
    value: Expr
    members: tuple[ModulatorMember, ...]


@frozen(kw_only=True)
class Rule(Node):
    name: Name
    parameters: tuple[Name, ...]
    body: Expr


@frozen(kw_only=True)
class Motif(Node):
    name: Name
    parameters: tuple[Name, ...]
    doc: str | None
    items: tuple[Item, ...]


@frozen(kw_only=True)
class Use(Node):
    motif: Name
    instance: Ref
    arguments: tuple[Argument, ...]


@frozen(kw_only=True)
class For(Node):
    variable: Name
    first: Expr
    last: Expr
    items: tuple[Item, ...]


@frozen(kw_only=True)
class Alias(Node):
    name: Ref
    value: Ref


@frozen(kw_only=True)
class Pair(Node):
    left: Ref
    right: Ref


@frozen(kw_only=True)
class Import(Node):
    path: String


@frozen(kw_only=True)
class Loss(Node):
    """`loss = e`, `loss = e at P`, `loss = e over P`; `when` is None, or the word and the phase."""

    value: Expr
    when: Name | None
    phase: Name | None


@frozen(kw_only=True)
class ExpectVerdict(Node):
    synapses: tuple[Ref, ...]
    verdict: Name


@frozen(kw_only=True)
class ExpectAttractor(Node):
    left: Expr
    right: Expr


@frozen(kw_only=True)
class ExpectMetric(Node):
    condition: Expr


@frozen(kw_only=True)
class Record(Node):
    values: tuple[Expr, ...]
    every: Expr | None


@frozen(kw_only=True)
class Schedule(Node):
    phases: tuple[Phase, ...]
    settings: tuple[Assign, ...]


@frozen(kw_only=True)
class Task(Node):
    name: Name
    doc: str | None
    settings: tuple[Assign, ...]


@frozen(kw_only=True)
class Circuit(Node):
    name: Name
    doc: str | None
    items: tuple[Item, ...]


Item = (
    Param | Input | Target | Neuron | Synapse | Modulator | Rule | Motif | Use | For | Alias | Pair
    | Import | Loss | ExpectVerdict | ExpectAttractor | ExpectMetric | Record | Schedule | Task | Further
)  # fmt: skip
TopItem = Import | Rule | Motif | Circuit


@frozen(kw_only=True)
class File(Node):
    items: tuple[TopItem, ...]
