"""Messages that several places of this room give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from circuitdsl.diagnostics import Diagnostic, Label, Severity, Span, did_you_mean
from circuitdsl.graph.functions import FUNCTIONS
from circuitdsl.syntax import ast

#: Names that mean something everywhere and cannot be declared, and what they mean.
BUILTIN_NAMES = {
    "w": "the weight, in the equations of a synapse",
    "pre": "the presynaptic rate, in the equations of a synapse",
    "post": "the postsynaptic rate, in the equations of a synapse",
    "prev": "`prev(h)` is the rate of `h` at the tick before",
    "bias": "a population of one unit with rate 1",
    "fan_in": "the number of weights per postsynaptic unit",
    "fan_out": "the number of weights per presynaptic unit",
    "dt": "the length of a tick",
    "tick": "the number of the tick within the example",
    "first": "`first(P)` is 1 in the first tick of phase P",
    "last": "`last(P)` is 1 in the last tick of phase P",
    "metric": "the task's metric, in `expect metric`",
    "backprop": "the metric of the gradient twin, in `expect metric`",
    "index": "a unit's own number",
    "epoch": "the number of finished epochs",
    "length": "`length(x)` is the number of ticks of a time series",
    "sum_in": "`sum_in(w)` is a sum over the weights onto a neuron",
    "sum_out": "`sum_out(w)` is a sum over the weights from a neuron",
}

#: Values that are only reserved.
FURTHER_NAMES = ("index", "epoch")

#: What can be written today in place of a construct that is only reserved.
INSTEAD = {
    "input … each tick": "an input is constant over an example; let it act at some ticks only: `x * first(P)`",
    "spike when": "write the reset into the increment: `dv = … - v * step(v - 1)`, with `rate = step(v - 1)`",
    "spike()": "`step(v - 1)` is a spike without a surrogate gradient",
    "tie": "`init = transpose(W)` starts from the same weights; equal rules then keep them equal",
    "share": "every connection has a weight of its own; `connect` says which ones there are",
    "connect = local(…)": '`connect = file("mask.npy")` takes any mask',
    "delay": "a synapse from `prev(h)` is one tick late; lets carry a rate further",
    "efficacy": "let a neuron's `let` scale what it sends, and start the synapse there: `synapse W: h.sent -> g`",
    "bernoulli()": "`rand() < p` is 1 with probability p",
    "sum_in()": "a dendrite is the sum over its synapses of weight times rate",
    "index": 'a ramp over the units is an input, or initial values from a file: `state place = file("place.npy")`',
    "epoch": "a value that changes slowly is a state: `state age = 0 keep` with `dage = 1`",
    "let in a synapse": "write the value where it is read, or let one of the neurons compute it (`pre.a`, `post.a`)",
    "a coefficient in a modulator": "let its owner use it, `let weighted = c * …`, and read that: `sum(h.weighted)`",
    "length()": "pass the number as a param",
    "stage": "a `schedule` has phases within an example, and there may be several tasks",
}


def duplicate(name: str, span: Span, first: Span, what: str) -> Diagnostic:
    """C011. `what` is what it is called a second time: a declaration, a setting, an equation, ..."""
    if span == first:
        whole = what in ("loss", "schedule", "task", "rate", "phase")
        return Diagnostic(
            code="C011",
            title=f"`{name}` is declared again at every turn of the loop",
            span=span,
            label="the same name each time",
            hint="move it out of the loop" if whole else f"give it the loop variable as an index, such as `{name}[l]`",
        )
    given = what in ("rate", "loss", "schedule", "setting", "equation")
    settings = {"connect": "combine them: `connect = … & …`", "init": None, "sign": None, "bounds": None}
    keep = {
        "loss": "add them up: `loss = … + …`",
        "equation": settings.get(name, "add their terms up in one equation") or "keep one of them",
        "schedule": "write all into one `schedule`",
    }
    return Diagnostic(
        code="C011",
        title=f"`{name}` is {'given' if given else 'declared'} twice",
        span=span,
        label=f"the second {what}" + ("" if given else " of this name"),
        labels=(Label(first, "the first one"),),
        hint=keep.get(what, "keep one of them" if given else "give one of them another name"),
    )


def builtin_declared(name: ast.Name) -> Diagnostic:
    return Diagnostic(
        code="C015",
        title=f"`{name.name}` is built in and cannot be declared",
        span=name.span,
        label=BUILTIN_NAMES.get(name.name, "a function of the language"),
        hint=f"choose another name, such as `{name.name}_`",
    )


#: Keywords that the grammar lets stand as values, and so before the `=` of an alias too.
WORDS_AS_VALUES = ("loss", "rate", "train")


def keyword_declared(name: ast.Name) -> Diagnostic:
    return Diagnostic(
        code="C003",
        title=f"`{name.name}` is a keyword and cannot be a name",
        span=name.span,
        label="a word of the language",
        hint=f"choose another name, such as `{name.name}_`",
    )


def further(what: str, span: Span) -> Diagnostic:
    """C004. `what` is a reserved construct, in the words of the language."""
    return Diagnostic(
        code="C004",
        title=f"`{what}` is not yet available",
        span=span,
        label="reserved for a later version",
        hint=INSTEAD.get(what),
    )


def unused(what: str, span: Span) -> Diagnostic:
    """C013. `what` is "the param `eta`"."""
    return Diagnostic(
        code="C013", title=f"{what} is never used", span=span, label="nothing reads it",
        hint="use it, or leave it out", severity=Severity.WARNING,
    )  # fmt: skip


def shadowed(what: str, span: Span, hidden: str, hidden_span: Span) -> Diagnostic:
    """C012. `what` stands at `span` and hides `hidden`, both in words with their names."""
    return Diagnostic(
        code="C012",
        title=f"{what} hides {hidden}",
        span=span,
        label="from here on this one is meant",
        labels=(Label(hidden_span, "hidden there"),),
        hint="give one of them another name",
        severity=Severity.WARNING,
    )


def index_out_of_range(path: str, key: int, length: int, span: Span) -> Diagnostic:
    return Diagnostic(
        code="C023",
        title=f"`{path}[{key}]` is out of range: `{path}` has {length} element{'' if length == 1 else 's'}",
        span=span,
        label="no such element",
        hint=f"indices go from 0 to {length - 1}" if length else "the list is empty",
    )


def first_line(span: Span) -> Span:
    """The part of a span on its first line."""
    return Span(span.source, span.start, span.start + len(span.text.split("\n")[0].rstrip()))


def last_word(span: Span) -> Span:
    """The last word of a span, such as `keep` in `state v = 0 keep`."""
    return Span(span.source, span.end - len(span.text.split()[-1]), span.end)


def arguments(count: int) -> str:
    """ "no arguments", "1 argument", "2 arguments" """
    return "no arguments" if count == 0 else f"{count} argument{'' if count == 1 else 's'}"


def wrong_count(name: str, wanted: int, given: int, span: Span) -> Diagnostic:
    """C017: a form that takes another number of arguments."""
    forms = {
        "normal": "normal(m, s)", "uniform": "uniform(a, b)", "constant": "constant(c)", "sparse": "sparse(0.1)",
        "fan_in": "fan_in(10)", "file": 'file("w.npy")', "transpose": "transpose(W)", "copy": "copy(W)",
        "cos": "cos(V, W)",
    }  # fmt: skip
    forms = {f.name: f.call for f in FUNCTIONS.values()} | forms
    example = forms.get(name, name if wanted == 0 else f"{name}({', '.join('abc'[:wanted])})")
    return Diagnostic(
        code="C017",
        title=f"`{name}` takes {arguments(wanted)}, not {given}",
        span=span,
        label=f"{arguments(given)} here",
        hint=f"write `{example}`",
    )


def alternatives(words: Sequence[str]) -> str:
    """ "`a`, `b` or `c`" """
    quoted = [f"`{word}`" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def units(size: int) -> str:
    """ "1 unit", "4 units" """
    return f"{size:,} unit{'' if size == 1 else 's'}"


def listed(names: Iterable[str], most: int = 8) -> str:
    """The names in backticks, the first few of them."""
    quoted = [f"`{name}`" for name in names]
    return ", ".join(quoted[:most]) + (", …" if len(quoted) > most else "")


def nearest(name: str, known: Sequence[str], otherwise: str) -> str | None:
    """ "did you mean `basal`?", else `otherwise` with the list of what there is, if there is anything."""
    return did_you_mean(name, known) or (f"{otherwise} {listed(known)}" if known else None)
