"""From lark's parse tree to the frozen, spanned syntax tree.

Lark keeps every token, so that a node's span runs from its first child to its last. Each method is
named after the grammar rule whose children it receives; children that are optional and absent come
as None.
"""

from __future__ import annotations

from dataclasses import replace
from inspect import cleandoc
from typing import Any

from lark import Token
from lark.visitors import Transformer_NonRecursive

from circuitdsl.diagnostics import Diagnostic, Report, Source, Span
from circuitdsl.syntax import ast

Child = Token | ast.Node | None
Children = list[Child]


def _exprs(children: Children) -> list[ast.Expr]:
    return [c for c in children if isinstance(c, ast.Expr)]


def _names(children: Children) -> list[ast.Name]:
    return [c for c in children if isinstance(c, ast.Name)]


def _refs(children: Children) -> list[ast.Ref]:
    return [c for c in children if isinstance(c, ast.Ref)]


def _assigns(children: Children) -> tuple[ast.Assign, ...]:
    return tuple(c for c in children if isinstance(c, ast.Assign))


def _items(children: Children) -> tuple[ast.Item, ...]:
    return tuple(c for c in children if isinstance(c, ast.Item))


def _arguments(children: Children) -> tuple[ast.Argument, ...]:
    return tuple(c for c in children if isinstance(c, ast.Argument))


def _tokens(children: Children) -> list[str]:
    """The names of the terminals among the children."""
    return [c.type for c in children if isinstance(c, Token)]


def _doc(children: Children) -> str | None:
    texts = [str(c) for c in children if isinstance(c, Token) and c.type == "DOCSTRING"]
    return cleandoc(texts[0][3:-3]) if texts else None


class Builder(Transformer_NonRecursive[Token, ast.Node]):
    """Builds the tree of one source; what is grammatical and still wrong goes to `report`."""

    def __init__(self, source: Source):
        super().__init__()
        self.source = source
        self.report = Report()

    # ------------------------------------------------------------ places

    def _bounds(self, child: Token | ast.Node) -> tuple[int, int]:
        if isinstance(child, ast.Node):
            return child.span.start, child.span.end
        return child.start_pos or 0, child.end_pos or 0

    def _span(self, children: Children) -> Span:
        present = [c for c in children if c is not None]
        if not present:
            return Span(self.source, 0, 0)
        return Span(self.source, self._bounds(present[0])[0], self._bounds(present[-1])[1])

    def _error(self, span: Span, title: str, label: str, hint: str | None = None) -> None:
        self.report.add(Diagnostic(code="C001", title=title, span=span, label=label, hint=hint))

    def _expect_word(self, name: ast.Name, words: tuple[str, ...], after: str) -> None:
        if name.name not in words:
            wanted = " or ".join(f"`{word}`" for word in words)
            self._error(name.span, f"`{name.name}` cannot follow {after}", f"expected {wanted}")

    # ------------------------------------------------------------ the file and its blocks

    def start(self, children: Children) -> ast.File:
        items = tuple(c for c in children if isinstance(c, ast.TopItem))
        return ast.File(span=Span(self.source, 0, len(self.source.text)), items=items)

    def expression(self, children: Children) -> ast.Expr:
        return _exprs(children)[0]

    def circuit(self, children: Children) -> ast.Circuit:
        name = _names(children)[0]
        return ast.Circuit(span=self._span(children), name=name, doc=_doc(children), items=_items(children))

    def motif(self, children: Children) -> ast.Motif:
        name, *parameters = _names(children)
        return ast.Motif(
            span=self._span(children), name=name, parameters=tuple(parameters), doc=_doc(children),
            items=_items(children),
        )  # fmt: skip

    def rule(self, children: Children) -> ast.Rule:
        name, *rest = _exprs(children)
        *parameters, body = rest
        assert isinstance(name, ast.Name)
        names = tuple(p for p in parameters if isinstance(p, ast.Name))
        return ast.Rule(span=self._span(children), name=name, parameters=names, body=body)

    def import_(self, children: Children) -> ast.Import:
        path = next(c for c in children if isinstance(c, ast.String))
        return ast.Import(span=self._span(children), path=path)

    # ------------------------------------------------------------ items

    def param(self, children: Children) -> ast.Param:
        *names, value = _exprs(children)
        name, *per = _refs([*names])
        return ast.Param(span=self._span(children), name=name, per=per[0] if per else None, value=value)

    def input(self, children: Children) -> ast.Input:
        name, size, *each = _exprs(children)
        assert isinstance(name, ast.Ref)
        for word in _names([*each]):
            self._expect_word(word, ("tick",), "`each`")
        return ast.Input(span=self._span(children), name=name, size=size, each_tick=bool(each))

    def target(self, children: Children) -> ast.Target:
        name, size = _exprs(children)
        assert isinstance(name, ast.Ref)
        return ast.Target(span=self._span(children), name=name, size=size)

    def neuron(self, children: Children) -> ast.Neuron:
        name, size = _exprs(children)
        assert isinstance(name, ast.Ref)
        members = tuple(c for c in children if isinstance(c, ast.NeuronMember))
        return ast.Neuron(span=self._span(children), name=name, size=size, doc=_doc(children), members=members)

    def synapse(self, children: Children) -> ast.Synapse:
        name, source, target = _exprs(children)
        assert isinstance(name, ast.Ref)
        assert isinstance(target, ast.Ref)
        members = tuple(c for c in children if isinstance(c, ast.SynapseMember))
        return ast.Synapse(
            span=self._span(children), name=name, source=source, target=target, doc=_doc(children),
            members=members,
        )  # fmt: skip

    def modulator(self, children: Children) -> ast.Modulator:
        name, value = _exprs(children)
        assert isinstance(name, ast.Ref)
        members = tuple(c for c in children if isinstance(c, ast.ModulatorMember))
        return ast.Modulator(span=self._span(children), name=name, value=value, members=members)

    def use(self, children: Children) -> ast.Use:
        motif, instance = _refs(children)
        assert isinstance(motif, ast.Name)
        return ast.Use(span=self._span(children), motif=motif, instance=instance, arguments=_arguments(children))

    def for_(self, children: Children) -> ast.For:
        variable, first, last = _exprs(children)
        assert isinstance(variable, ast.Name)
        return ast.For(span=self._span(children), variable=variable, first=first, last=last, items=_items(children))

    def alias(self, children: Children) -> ast.Alias:
        name, value = _refs(children)
        return ast.Alias(span=self._span(children), name=name, value=value)

    def pair(self, children: Children) -> ast.Pair:
        left, right = _refs(children)
        return ast.Pair(span=self._span(children), left=left, right=right)

    def loss(self, children: Children) -> ast.Loss:
        value, *rest = _exprs(children)
        span = self._span(children)
        if not rest:
            return ast.Loss(span=span, value=value, when=None, phase=None)
        when, phase = _names([*rest])
        self._expect_word(when, ("at", "over"), "the expression of a loss")
        return ast.Loss(span=span, value=value, when=when, phase=phase)

    def expect_verdict(self, children: Children) -> ast.ExpectVerdict:
        *synapses, verdict = _refs(children)
        assert isinstance(verdict, ast.Name)
        return ast.ExpectVerdict(span=self._span(children), synapses=tuple(synapses), verdict=verdict)

    def expect_attractor(self, children: Children) -> ast.ExpectAttractor:
        left, right = _exprs(children)
        return ast.ExpectAttractor(span=self._span(children), left=left, right=right)

    def expect_metric(self, children: Children) -> ast.ExpectMetric:
        (condition,) = _exprs(children)
        return ast.ExpectMetric(span=self._span(children), condition=condition)

    def record(self, children: Children) -> ast.Record:
        values = _exprs(children)
        every = values.pop() if "EVERY" in _tokens(children) else None
        return ast.Record(span=self._span(children), values=tuple(values), every=every)

    def schedule(self, children: Children) -> ast.Schedule:
        phases = tuple(c for c in children if isinstance(c, ast.Phase))
        return ast.Schedule(span=self._span(children), phases=phases, settings=_assigns(children))

    def task(self, children: Children) -> ast.Task:
        name = _names(children)[0]
        return ast.Task(span=self._span(children), name=name, doc=_doc(children), settings=_assigns(children))

    def stage(self, children: Children) -> ast.Further:
        return ast.Further(span=self._span(children), what="stage")

    # ------------------------------------------------------------ members

    def dendrites(self, children: Children) -> ast.Dendrites:
        return ast.Dendrites(span=self._span(children), names=tuple(_names(children)))

    def state(self, children: Children) -> ast.State:
        name, init = _exprs(children)
        assert isinstance(name, ast.Name)
        words = [t.lower() for t in _tokens(children) if t in ("KEEP", "FRESH")]
        lifetime = words[0] if words else None
        return ast.State(span=self._span(children), name=name, init=init, lifetime=lifetime)

    def let(self, children: Children) -> ast.Let:
        name, value = _exprs(children)
        assert isinstance(name, ast.Name)
        return ast.Let(span=self._span(children), name=name, value=value)

    def drive(self, children: Children) -> ast.Drive:
        name, value = _exprs(children)
        assert isinstance(name, ast.Name)
        return ast.Drive(span=self._span(children), name=name, value=value)

    def rate(self, children: Children) -> ast.Rate:
        (value,) = _exprs(children)
        return ast.Rate(span=self._span(children), value=value)

    def assign(self, children: Children) -> ast.Assign:
        *names, value = _exprs(children)
        name, *per_dt = _names([*names])
        for word in per_dt:
            self._expect_word(word, ("dt",), f"`{name.name}/`")
        return ast.Assign(span=self._span(children), name=name, per_dt=bool(per_dt), value=value)

    def phase(self, children: Children) -> ast.Phase:
        name, ticks = _exprs(children)
        assert isinstance(name, ast.Name)
        train = "TRAIN" in _tokens(children)
        return ast.Phase(span=self._span(children), name=name, ticks=ticks, train=train)

    def spike_when(self, children: Children) -> ast.Further:
        return ast.Further(span=self._span(children), what="spike when")

    def reserved_assign(self, children: Children) -> ast.Assign:
        (value,) = _exprs(children)
        name = self.name(children[:1])
        return ast.Assign(span=self._span(children), name=name, per_dt=False, value=value)

    # ------------------------------------------------------------ names

    def plain_name(self, children: Children) -> ast.Name:
        return self.name(children)

    def decl(self, children: Children) -> ast.Ref:
        """`a`, `a[l]`, `a[i][j]`"""
        name: ast.Ref = self.name(children[:1])
        closing = [c for c in children if isinstance(c, Token) and c.type == "RSQB"]
        for index, bracket in zip(_exprs(children), closing, strict=True):
            name = ast.Index(span=self._span([name, bracket]), base=name, index=index)
        return name

    def name(self, children: Children) -> ast.Name:
        return ast.Name(span=self._span(children), name=str(children[0]))

    def index(self, children: Children) -> ast.Index:
        base, index = _exprs(children)
        assert isinstance(base, ast.Ref)
        return ast.Index(span=self._span(children), base=base, index=index)

    def member(self, children: Children) -> ast.Member:
        base, word = children[0], children[-1]
        assert isinstance(base, ast.Ref)
        return ast.Member(span=self._span(children), base=base, name=str(word), name_span=self._span([word]))

    # ------------------------------------------------------------ expressions

    def number(self, children: Children) -> ast.Number:
        value = float(str(children[0]))
        if value == float("inf"):
            self._error(self._span(children), f"`{children[0]}` is too large a number", "above 1.7e308")
        return ast.Number(span=self._span(children), value=value)

    def string(self, children: Children) -> ast.String:
        return ast.String(span=self._span(children), value=str(children[0])[1:-1])

    def list(self, children: Children) -> ast.ListOf:
        return ast.ListOf(span=self._span(children), items=tuple(_exprs(children)))

    def call(self, children: Children) -> ast.Call:
        return ast.Call(
            span=self._span(children), function=str(children[0]), function_span=self._span(children[:1]),
            arguments=_arguments(children),
        )  # fmt: skip

    def spike_call(self, children: Children) -> ast.Call:
        return self.call(children)

    def argument(self, children: Children) -> ast.Argument:
        (value,) = _exprs(children)
        name = str(children[0]) if isinstance(children[0], Token) else None
        return ast.Argument(span=self._span(children), name=name, value=value)

    def group(self, children: Children) -> ast.Expr:
        """Parentheses leave no node; what they hold is widened, so that it is underlined with them."""
        (value,) = _exprs(children)
        return replace(value, span=self._span(children))

    def unary(self, children: Children) -> ast.Expr:
        (operand,) = _exprs(children)
        span = self._span(children)
        if str(children[0]) == "+":
            return replace(operand, span=span)
        return ast.Unary(span=span, operator="-", operand=operand)

    def binary(self, children: Children) -> ast.Binary:
        left, right = _exprs(children)
        return ast.Binary(span=self._span(children), operator=str(children[1]), left=left, right=right)

    def __default__(self, data: Any, children: Any, meta: Any) -> Any:
        raise AssertionError(f"the grammar rule `{data}` has no method here")
