"""What the text of a file shows before anything is elaborated: its rules and motifs, also unused ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from circuitdsl.diagnostics import Diagnostic, Label, Report, Span
from circuitdsl.graph.calls import CALLS, FURTHER_FUNCTIONS, unknown_function
from circuitdsl.graph.files import FileScope, calls_in, deep_items
from circuitdsl.graph.findings import BUILTIN_NAMES, builtin_declared, duplicate, further, shadowed, unused
from circuitdsl.syntax import ast


def check_definitions(file: FileScope, report: Report) -> None:
    """Checks the rules, motifs, loops and imports of a file and of all that it imports: errors only."""
    for scope in file.closure():
        for found in _errors(scope):
            report.add(found)


def check_use(file: FileScope, report: Report) -> None:
    """Warns of what the file hides or does not use; the last check, for what is broken is often unused."""
    for found in (*_hidden(file), *_unused(file)):
        report.add(found)


def _errors(file: FileScope) -> Iterator[Diagnostic]:
    for rule in file.own_rules().values():
        yield from _heads(rule.name, rule.parameters)
        yield from _calls(rule, file)
    for motif in file.own_motifs().values():
        yield from _heads(motif.name, motif.parameters)
        yield from _members_like_arguments(motif)
    for item in deep_items(file.tree.items):
        if isinstance(item, ast.For) and item.variable.name in BUILTIN_NAMES:
            yield builtin_declared(item.variable)
    yield from _rule_cycles(file)
    yield from _clashing_imports(file)


# ---------------------------------------------------------------- heads


def _heads(name: ast.Name, parameters: Sequence[ast.Name]) -> Iterator[Diagnostic]:
    """C015, C011: what cannot be the name of a rule, a motif or an argument, or is one twice."""
    if name.name in BUILTIN_NAMES or name.name in CALLS:
        yield builtin_declared(name)
    seen: dict[str, ast.Name] = {}
    for parameter in parameters:
        if parameter.name in BUILTIN_NAMES:
            yield builtin_declared(parameter)
        elif parameter.name in seen:
            yield duplicate(parameter.name, parameter.span, seen[parameter.name].span, "argument")
        seen.setdefault(parameter.name, parameter)


def _members_like_arguments(motif: ast.Motif) -> Iterator[Diagnostic]:
    """C011: an argument and a member of one name: nobody could tell which is meant."""
    arguments = {p.name: p for p in motif.parameters}
    for item in deep_items(motif.items):
        if isinstance(item, ast.Param | ast.Input | ast.Target | ast.Neuron | ast.Synapse | ast.Modulator):
            name = item.name
        elif isinstance(item, ast.Use):
            name = item.instance
        else:
            continue
        if isinstance(name, ast.Name) and name.name in arguments:
            yield Diagnostic(
                code="C011",
                title=f"`{name.name}` is an argument of the motif `{motif.name.name}` and a member too",
                span=name.span,
                label="the member",
                labels=(Label(arguments[name.name].span, "the argument"),),
                hint="give one of them another name",
            )


def _calls(rule: ast.Rule, file: FileScope) -> Iterator[Diagnostic]:
    """C010: functions that a rule calls and that are not there, be the rule used or not."""
    for call in calls_in(rule.body):
        if call.function in FURTHER_FUNCTIONS:
            yield further(f"{call.function}()", call.function_span)
        elif call.function not in CALLS and call.function not in file.rules:
            yield unknown_function(call, file)


def _rule_cycles(file: FileScope) -> Iterator[Diagnostic]:
    """C016: rules that reach themselves through the rules they call, one finding for each cycle."""
    told: set[frozenset[str]] = set()
    for name, rule in file.own_rules().items():
        cycle = _cycle(name, rule, file)
        if cycle and frozenset(cycle) not in told:
            told.add(frozenset(cycle))
            yield Diagnostic(
                code="C016",
                title=f"the rule `{name}` uses itself",
                span=rule.name.span,
                label=" -> ".join([*cycle, name]),
                notes=("a rule is replaced by its text, which would never end",),
                hint="keep a value from tick to tick in a `state` instead",
            )


def _cycle(name: str, rule: ast.Rule, file: FileScope) -> list[str]:
    """The rules on the way from a rule back to itself, empty if there is none."""
    path: list[str] = []
    seen: set[str] = set()  # what has been visited once leads nowhere new: else each call of each call is followed

    def visit(called: str, body: ast.Expr, scope: FileScope) -> bool:
        if called in seen:
            return called == name
        seen.add(called)
        path.append(called)
        for call in calls_in(body):
            if call.function in scope.rules:
                callee, home = scope.rules[call.function]
                if visit(call.function, callee.body, home):
                    return True
        path.pop()
        return False

    return path if visit(name, rule.body, file) else []


# ---------------------------------------------------------------- imports


def _clashing_imports(file: FileScope) -> Iterator[Diagnostic]:
    """C011: two imports that define one name which the file itself does not."""
    first: dict[tuple[str, str], tuple[FileScope, Span]] = {}
    for item, imported in file.imports:
        own = [("rule", r.name) for r in imported.own_rules().values()]
        own += [("motif", m.name) for m in imported.own_motifs().values()]
        for what, name in own:
            table = file.rules if what == "rule" else file.motifs
            other, place = first.setdefault((what, name.name), (imported, name.span))
            if other is not imported and table[name.name][1] is not file:
                yield Diagnostic(
                    code="C011",
                    title=f"the {what} `{name.name}` comes from two imports",
                    span=item.path.span,
                    label="the second one",
                    labels=(Label(place, "the first one"), Label(name.span, "the second one")),
                    hint="import one of the files only, or rename the rule in one of them",
                )


def _hidden(file: FileScope) -> Iterator[Diagnostic]:
    """C012: a rule or motif of the file itself hides an imported one; a loop variable that of a loop around."""
    for item, imported in file.imports:
        other = f"one that `{item.path.value}` defines"
        for name, rule in imported.own_rules().items():
            if name in file.own_rules():
                yield shadowed(f"the rule `{name}`", file.own_rules()[name].name.span, other, rule.name.span)
        for name, motif in imported.own_motifs().items():
            if name in file.own_motifs():
                yield shadowed(f"the motif `{name}`", file.own_motifs()[name].name.span, other, motif.name.span)
    for inner, outer in _loops(file.tree.items, ()):
        variable = inner.variable
        if variable.name == outer.variable.name:
            title = f"the loop variable `{variable.name}`"
            yield shadowed(title, variable.span, "that of the loop around it", outer.variable.span)


def _loops(items: Iterable[ast.TopItem | ast.Item], around: tuple[ast.For, ...]) -> Iterator[tuple[ast.For, ast.For]]:
    """Every loop with each of the loops around it."""
    for item in items:
        match item:
            case ast.For():
                yield from ((item, outer) for outer in around)
                yield from _loops(item.items, (*around, item))
            case ast.Circuit() | ast.Motif():
                yield from _loops(item.items, ())
            case _:
                pass


# ---------------------------------------------------------------- unused


def _unused(file: FileScope) -> Iterator[Diagnostic]:
    """C013: arguments that their rule or motif does not read; in the file of a circuit also rules, motifs
    and imports that nothing in it uses."""
    for rule in file.own_rules().values():
        yield from _unused_arguments("rule", rule.name, rule.parameters, rule.body)
    for motif in file.own_motifs().values():
        yield from _unused_arguments("motif", motif.name, motif.parameters, *motif.items)
    if not any(isinstance(item, ast.Circuit) for item in file.tree.items):
        return
    called = {n.function for n in _nodes(file.tree) if isinstance(n, ast.Call)}
    used = {n.motif.name for n in _nodes(file.tree) if isinstance(n, ast.Use)}
    for name, rule in file.own_rules().items():
        if name not in called:
            yield unused(f"the rule `{name}`", rule.name.span)
    for name, motif in file.own_motifs().items():
        if name not in used:
            yield unused(f"the motif `{name}`", motif.name.span)
    for item, imported in file.imports:
        if not (called & imported.own_rules().keys() or used & imported.own_motifs().keys()):
            yield unused(f"the import `{item.path.value}`", item.path.span)


def _unused_arguments(
    what: str, name: ast.Name, parameters: Sequence[ast.Name], *body: ast.Node
) -> Iterator[Diagnostic]:
    read = {n.name for part in body for n in _nodes(part) if isinstance(n, ast.Name)}
    for parameter in parameters:
        if parameter.name not in read:
            yield unused(f"the argument `{parameter.name}` of the {what} `{name.name}`", parameter.span)


def _nodes(node: ast.Node) -> Iterator[ast.Node]:
    """The node and every node under it."""
    yield node
    for name in node.__dataclass_fields__:
        value = getattr(node, name)
        for child in value if isinstance(value, tuple) else (value,):
            if isinstance(child, ast.Node):
                yield from _nodes(child)
