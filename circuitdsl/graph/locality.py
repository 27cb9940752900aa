"""Locality: what a neuron, a synapse or a scalar may read of other populations, and how messages say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NoReturn

from circuitdsl.diagnostics import Label
from circuitdsl.graph import ir
from circuitdsl.graph.findings import further, units
from circuitdsl.graph.populations import REDUCTIONS
from circuitdsl.graph.scope import Stop
from circuitdsl.graph.tables import OfNeuron, OfNumber, OfScalar, OfSynapse, PopulationInfo, SynapseInfo
from circuitdsl.syntax import ast

if TYPE_CHECKING:
    from circuitdsl.graph.expressions import Equations


def wiring(equations: Equations, owner: OfNeuron, population: PopulationInfo, value: str, ref: ast.Ref) -> ir.Expr:
    own = owner.population
    if population.path != own.path:
        if population.size not in (1, own.size):
            equations.fail(
                "C020",
                f"`{value}` has {units(population.size)}, `{own.path}` has {own.size}",
                ref.span,
                label="wired one-to-one",
                labels=(
                    Label(population.span, units(population.size)),
                    Label(own.span, units(own.size)),
                ),
                notes=("reading another population by its name is a one-to-one wire: it has as many units, or one",),
                hint=synapse_instead(value, own),
            )
        equations.tables.wires.setdefault(own.path, {}).setdefault(population.path, ref.span)
        equations.tables.meet(own.path, population.path)
        equations.tables.wired.append(ir.Wire(population=own.path, value=value, span=ref.span))
    return ir.Read(value=value, axis=ir.Axis.OWN, span=ref.span)


def synapse_instead(value: str, own: PopulationInfo) -> str:
    dendrite = next((n for n, k in own.members.items() if k is ir.Kind.DENDRITE), None)
    if dendrite is None:
        return (
            f"connect them by a synapse: `dendrite basal` in `{own.path}`, and `synapse W: {value} -> {own.path}.basal`"
        )
    return f"connect them by a synapse: `synapse W: {value} -> {own.path}.{dendrite}`"


# ---------------------------------------------------------------- synapses


def partner(
    equations: Equations, synapse: SynapseInfo, population: PopulationInfo, value: str, ref: ast.Ref
) -> ir.Expr:
    post, name = synapse.post, population.path
    if {post.path, name} & equations.tables.broken:
        raise Stop  # its equations, and so its partners, are not known: that has been reported
    near = {post.path, *equations.tables.partners(post.path)}
    if population.kind is ir.Kind.TARGET and not any(name in equations.tables.wires.get(p, {}) for p in near):
        equations.fail(
            "C032",
            f"`{synapse.path}` reads the target `{name}`, which no neuron at it receives",
            ref.span,
            label="not present at the synapse",
            labels=(
                Label(population.span, "the target"),
                Label(post.span, f"`{synapse.path}` ends here"),
            ),
            notes=("a rule may read a target only if its postsynaptic neuron, or a partner of it, does",),
            hint=f"wire it in, `neuron err: {post.size} {{ rate = {name} - {post.path} }}`, and read `err`",
        )
    if population.kind is not ir.Kind.TARGET and name not in near - {post.path}:
        not_local(equations, synapse, population, value, ref)
    if population.size not in (1, post.size):
        equations.fail(
            "C020",
            f"`{name}` has {units(population.size)}, `{post.path}` has {post.size}",
            ref.span,
            label="read one-to-one",
            labels=(Label(population.span, units(population.size)), Label(post.span, units(post.size))),
            notes=("a partner is read one-to-one, or broadcast if it has size 1",),
        )
    return ir.Read(value=value, axis=ir.Axis.POST, span=ref.span)


def not_local(
    equations: Equations, synapse: SynapseInfo, population: PopulationInfo, value: str, ref: ast.Ref
) -> NoReturn:
    post, signal = synapse.post, ref.span.shown
    if population.path == post.path:
        by_its_role(equations, synapse, "post", value, ref)
    elif population.path == synapse.pre.path:
        by_its_role(equations, synapse, "pre", value, ref)
    hint = (
        f"bring it in by a synapse (`dendrite apical` in `{post.path}`, "
        f"`synapse V: {signal} -> {post.path}.apical`) "
        f"and read `post.apical`, or broadcast it: `modulator m = mean({signal})`"
    )
    if population.size in (1, post.size):
        hint += f"; if each unit of `{post.path}` does meet one of it: `pair {post.path} ~ {population.path}`"
    equations.fail(
        "C031",
        f"`{synapse.path}` reads `{signal}`, which is neither its neuron nor a partner of it",
        ref.span,
        label="a signal of another population",
        labels=(Label(post.span, f"`{synapse.path}` ends on this population"),),
        notes=(
            "a synapse can use only what is present at it: w, pre, post, post's dendrites, modulators, and "
            f"populations wired one-to-one to {post.path}",
        ),
        hint=hint,
    )


def by_its_role(
    equations: Equations, synapse: SynapseInfo, side: Literal["pre", "post"], value: str, ref: ast.Ref
) -> NoReturn:
    """A synapse knows its two neurons by `pre` and `post`, not by their names."""
    neuron = synapse.post if side == "post" else synapse.pre
    word = side + value.removeprefix(neuron.path)
    equations.fail(
        "C031",
        f"`{synapse.path}` reads `{ref.span.shown}` by its name: at the synapse it is `{word}`",
        ref.span,
        label=f"the {side}synaptic population as a whole",
        labels=(Label(neuron.span, f"`{synapse.path}` {'ends' if side == 'post' else 'starts'} here"),),
        notes=("a rule is written for one pair of neurons, `pre` and `post`",),
        hint=f"write `{word}`",
    )


def dendrite_of_pre(
    equations: Equations, synapse: SynapseInfo, pre: PopulationInfo, name: str, ref: ast.Ref
) -> NoReturn:
    equations.fail(
        "C031",
        f"`{synapse.path}` reads `{ref.span.shown}`, a dendrite of its presynaptic neuron",
        ref.span,
        label="not present at the synapse",
        labels=(Label(pre.span, f"`{pre.path}`, where `{synapse.path}` starts"),),
        notes=("of its presynaptic neuron a synapse sees the rate, states and lets, not the dendrites",),
        hint=f"let the neuron send it: `let potential = {name}` in `{pre.path}`, and read `pre.potential`",
    )


def foreign_coefficient(equations: Equations, path: str, ref: ast.Ref) -> NoReturn:
    if isinstance(equations.owner, OfScalar):
        equations.tables.symbols.fail(further("a coefficient in a modulator", ref.span))
    owner, per = equations.tables.coefficients[path].owner, equations.tables.coefficients[path].per
    mine = equations.owner.synapse.path if isinstance(equations.owner, OfSynapse) else None
    bare = path.rpartition(".")[2].partition("[")[0]
    equations.fail(
        "C031",
        f"the coefficient `{path}` belongs to `{owner}`",
        ref.span,
        label=f"not present at `{mine}`" if mine else "not present here",
        labels=(Label(equations.tables.symbols.entities[path].span, f"one for each {per} of `{owner}`"),),
        notes=("a coefficient is read in the equations of its owner only",),
        hint=f"give `{mine}` one of its own: `param {bare}_2 per {mine} = …`" if mine else None,
    )


def coefficient_as_number(equations: Equations, path: str, ref: ast.Ref) -> None:
    """C030 where one number is needed, such as the bound or the initial value of all units."""
    if not isinstance(equations.owner, OfNumber):
        return
    owner, per = equations.tables.coefficients[path].owner, equations.tables.coefficients[path].per
    equations.fail(
        "C030",
        f"the coefficient `{path}` stands where one number is needed",
        ref.span,
        label=f"{equations.owner.what} is known before the run",
        labels=(Label(equations.tables.symbols.entities[path].span, f"one for each {per} of `{owner}`"),),
        notes=("a coefficient is read in the equations of its owner only",),
        hint="make it a number: `param … = …` without `per`",
    )


# ---------------------------------------------------------------- scalars


def in_scalar(equations: Equations, population: PopulationInfo, value: str, ref: ast.Ref) -> ir.Expr:
    if equations.reducing is not None:
        equations.reducing.append((value, population.size, ref.span))
    elif population.size != 1:
        assert isinstance(equations.owner, OfScalar)
        equations.fail(
            "C030",
            f"`{ref.span.shown}` is a population of {population.size}, a {equations.owner.what} is one number",
            ref.span,
            label=f"{population.size} numbers",
            hint=f"reduce it by `mean`, `sum`, `max` or `norm`: `{reduced(equations, ref)}`",
        )
    return ir.Read(value=value, axis=ir.Axis.OWN, span=ref.span)


def reduced(equations: Equations, ref: ast.Ref) -> str:
    """A reduction that would make one number: of the whole equation if nothing in it is reduced yet."""
    shown = ref.span.shown
    if equations.whole is None or equations.expanding or any(f"{f}(" in equations.whole.text for f in REDUCTIONS):
        return f"mean({shown})"
    return f"mean({equations.whole.shown})"
