"""C016: params that are computed from each other, initial weights that are copied from each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from circuitdsl.diagnostics import Diagnostic
from circuitdsl.graph import ir


def definition_cycles(circuit: ir.Circuit) -> Iterator[Diagnostic]:
    """One finding for each cycle; nothing may evaluate the params before."""
    definitions = dict(_definitions(circuit))
    for cycle in _cycles({name: _params_in(expr) for name, expr in definitions.items()}):
        yield Diagnostic(
            code="C016",
            title=f"the param `{cycle[0]}` depends on itself",
            span=definitions[cycle[0]].span,
            label=" -> ".join([*cycle, cycle[0]]),
            hint="give one of them a number",
        )
    for cycle in _cycles({name: _copied_in(synapse.init) for name, synapse in circuit.synapses.items()}):
        yield Diagnostic(
            code="C016",
            title=f"`{cycle[0]}` starts as a copy of itself",
            span=circuit.synapses[cycle[0]].init.span,
            label=" -> ".join([*cycle, cycle[0]]),
            hint="draw the weights of one of them: `init = normal(0, 1/sqrt(fan_in))`",
        )


def _definitions(circuit: ir.Circuit) -> Iterator[tuple[str, ir.Expr]]:
    """Every number param, and every element of a list as `sizes[2]`."""
    for param in circuit.params.values():
        if isinstance(param.value, tuple):
            yield from ((f"{param.name}[{i}]", value) for i, value in enumerate(param.value))
        else:
            yield param.name, param.value


def _params_in(expr: ir.Expr) -> set[str]:
    return {part.name for part in ir.walk(expr) if isinstance(part, ir.ParamRef)}


def _copied_in(init: ir.Init) -> set[str]:
    match init:
        case ir.InitCall(other=str() as other):
            return {other}
        case ir.InitApply(arguments=arguments):
            return {name for argument in arguments for name in _copied_in(argument)}
        case _:
            return set()


def _cycles(reads: Mapping[str, set[str]]) -> Iterator[list[str]]:
    """Every cycle once, from its first name on."""
    done: set[str] = set()
    for start in reads:
        path = [start]
        while path[-1] not in done:
            ahead = [name for name in sorted(reads.get(path[-1], ())) if name not in done]
            if not ahead:
                done.add(path.pop())
                if not path:
                    break
                continue
            if ahead[0] in path:
                yield path[path.index(ahead[0]) :]
                done.update(path)
                break
            path.append(ahead[0])
