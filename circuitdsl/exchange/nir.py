"""A circuit as a graph of the Neuromorphic Intermediate Representation (Pedersen et al. 2024, Nature Communications 15,
8122), as far as that can say it.

Rates that are sums of dendrites are linear nodes; `step` is a threshold; a state that leaks into its inputs' sum is a
leaky integrator, with a reset a leaky integrate-and-fire neuron. A tick is one step of Euler's method of `dt`
(`schedule { dt = … }`, else 1). Plasticity is not part of that language: weights are carried as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from circuitdsl.exchange.linear import Linear, Unsayable, linear, words
from circuitdsl.frozen import mutable
from circuitdsl.graph import ir
from circuitdsl.runtime.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

CAN = "NIR has sums, `step`, leaky integrators and leaky integrate-and-fire neurons"


def nir_graph(
    circuit: ir.Circuit, numbers: Mapping[str, float], weights: Mapping[str, Array], outputs: Iterable[str] = ()
) -> Any:
    """The part of a circuit that `outputs` depend on, as a `nir.NIRGraph`; without them, what the loss compares with
    the target. `weights`: matrices [post, pre] by synapse. Raises UsageError for what NIR cannot say."""
    wanted = [_named(circuit, name) for name in outputs] or _judged(circuit)
    made = _Graph(circuit, numbers, weights)
    ends = {f"output_{made.called(name)}" if len(wanted) > 1 else "output": made.signal(name) for name in wanted}
    return made.graph(ends)


def write(path: Path, graph: Any) -> None:
    """Writes a graph as NIR's programs read it, an HDF5 file. Raises OSError."""
    import nir

    from circuitdsl.runtime.state import written_atomically

    with written_atomically(path) as temporary:
        nir.write(temporary, graph)


def not_carried(circuit: ir.Circuit) -> str | None:
    """What is said of the plasticity that is left behind."""
    plastic = [name for name, synapse in circuit.synapses.items() if synapse.dw is not None]
    return f"not carried: the plasticity of {', '.join(plastic)}, which NIR cannot say" if plastic else None


def _named(circuit: ir.Circuit, name: str) -> str:
    from circuitdsl.diagnostics import did_you_mean

    if name not in circuit.values:
        hint = did_you_mean(name, circuit.values)
        raise UsageError(f"there is no `{name}` in `{circuit.name}`{f': {hint}' if hint else ''}")
    return name


def _judged(circuit: ir.Circuit) -> list[str]:
    """The rates that the loss reads."""
    found: list[str] = []

    def look(part: Any) -> None:
        if isinstance(part, ir.Read) and circuit.values[part.value].kind in (ir.Kind.RATE, ir.Kind.DENDRITE):
            found.append(part.value)
        for inner in getattr(part, "arguments", ()):
            look(inner)

    if circuit.loss is not None:
        look(circuit.loss.expr)
    if not found:
        raise UsageError(f"`{circuit.name}` has no loss that reads its output: name one")
    return list(dict.fromkeys(found))


@mutable
class _Graph:
    """The graph as it grows from its outputs to its inputs."""

    circuit: ir.Circuit
    numbers: Mapping[str, float]
    weights: Mapping[str, Array]
    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)

    def graph(self, ends: Mapping[str, str]) -> Any:
        import nir

        for end, source in ends.items():
            shape = self.nodes[source].output_type["output"]
            self.nodes[end] = nir.Output(output_type={"output": shape})
            self.edges.append((source, end))
        metadata = {"circuit": self.circuit.name, "written_by": "circuitdsl"}
        return nir.NIRGraph(nodes=self.nodes, edges=self.edges, metadata=metadata)

    def called(self, name: str) -> str:
        return re.sub(r"\W+", "_", name).strip("_")

    def add(self, name: str, node: Any) -> str:
        """Adds a node under a name of its own, and gives that."""
        own = self.called(name)
        while own in self.nodes:
            own += "_"
        self.nodes[own] = node
        return own

    # ---------------------------------------------------------------- signals

    def signal(self, name: str) -> str:
        """The node that gives a value."""
        if name not in self.made:
            value = self.circuit.values[name]
            match value.kind:
                case ir.Kind.INPUT:
                    self.made[name] = self.add(name, _input(value.size))
                case ir.Kind.RATE:
                    self.rate(value)
                case ir.Kind.DENDRITE:
                    self.junction(name, Linear({name: 1.0}), value.size)
                case ir.Kind.STATE if value.population is not None:
                    self.leaky(value)
                case _:
                    raise self.refusal(name, f"reads `{name}`, which is no signal of neurons or inputs")
        return self.made[name]

    def rate(self, value: ir.Value) -> None:
        name, expr = value.name, value.expr
        if expr is None:
            self.junction(name, Linear(dict.fromkeys([name], 1.0)), value.size)
            return
        if isinstance(expr, ir.Apply) and expr.function == "step":
            inside = self.linear(name, expr.arguments[0])
            states = [n for n in inside.factors if self.circuit.values[n].kind is ir.Kind.STATE]
            if states:
                self.spiking(value, inside, states)
                return
            self.threshold(name, inside, value.size)
            return
        found = self.linear(name, expr)
        if list(found.factors.values()) == [1.0] and found.constant == 0.0:
            self.made[name] = self.signal(next(iter(found.factors)))
        else:
            self.junction(name, found, value.size)

    def spiking(self, value: ir.Value, inside: Linear, states: list[str]) -> None:
        """A threshold over a state: a node for both where a spike sets the state, else one for each, so that what a
        spike takes from the state is led back."""
        state = self.circuit.values[states[0]]
        assert state.update is not None
        with suppress(Unsayable):
            linear(state.update, self.circuit, self.numbers, {})
            self.threshold(value.name, inside, value.size)
            return
        if list(inside.factors) != states or len(states) != 1 or inside.factors[state.name] <= 0:
            raise self.refusal(value.name, f"spikes by more than one state: {', '.join(inside.factors)}")
        self.fire(value, state, -inside.constant / inside.factors[state.name])

    def fire(self, value: ir.Value, state: ir.Value, threshold: float) -> None:
        """v' = v + (dt/tau) (v_leak - v + r I), and v_reset after a spike."""
        import nir
        import numpy as np

        change = self.linear(state.name, state.update, {value.name: 0.0})
        reset = self.linear(state.name, state.update, {value.name: 1.0}).plus(Linear({state.name: 1.0}))
        if reset.factors:
            raise self.refusal(
                state.name, "is not set to a number by a spike, as `dv = (1 - rate) * … - rate * v` does"
            )
        whole = np.ones(state.size)
        leaky = self.leaks(state, change)
        node = nir.LIF(**leaky, v_threshold=threshold * whole, v_reset=reset.constant * whole)
        self.made[value.name] = self.add(value.name, node)
        self.drive(self.made[value.name], state, change)

    def leaky(self, state: ir.Value) -> None:
        """v' = v + (dt/tau) (v_leak - v + r I)."""
        import nir

        change = self.linear(state.name, state.update)
        self.made[state.name] = self.add(state.name, nir.LI(**self.leaks(state, change)))
        self.drive(self.made[state.name], state, change)

    def leaks(self, state: ir.Value, change: Linear) -> dict[str, Array]:
        import numpy as np

        leak = -change.factors.get(state.name, 0.0)
        if leak <= 0:
            raise self.refusal(state.name, "does not leak")
        whole = np.ones(state.size)
        return {"tau": self.dt / leak * whole, "r": whole / leak, "v_leak": change.constant / leak * whole}

    def drive(self, node: str, state: ir.Value, change: Linear) -> None:
        """Leads into a leaky node what drives it."""
        inputs = Linear({name: factor for name, factor in change.factors.items() if name != state.name})
        constant = self.feed(node, inputs, state.size)
        self.nodes[node].v_leak = self.nodes[node].v_leak + constant * self.nodes[node].r

    def threshold(self, name: str, inside: Linear, size: int) -> None:
        import nir
        import numpy as np

        node = nir.Threshold(threshold=np.full(size, -inside.constant))
        self.made[name] = self.add(name, node)
        node.threshold = node.threshold - self.feed(self.made[name], inside, size)

    def junction(self, name: str, found: Linear, size: int) -> None:
        """A node in which signals meet."""
        import nir
        import numpy as np

        own = self.made[name] = self.add(name, nir.Scale(np.ones(size)))
        constant = self.feed(own, found, size) + found.constant
        if np.any(constant != 0):
            self.nodes[own] = nir.Affine(np.eye(size), constant)

    def feed(self, node: str, sums: Linear, size: int) -> Array:
        """Leads a weighted sum into a node; gives what in it is constant, from biases."""
        import nir
        import numpy as np

        constant = np.zeros(size)
        for name, factor in sums.factors.items():
            value = self.circuit.values[name]
            if value.kind is not ir.Kind.DENDRITE:
                source = self.signal(name)
                if factor != 1.0:
                    scale = self.add(f"{name}_to_{node}", nir.Scale(np.full(size, factor)))
                    self.edges.append((source, scale))
                    source = scale
                self.edges.append((source, node))
                continue
            for current in value.currents:
                weights = factor * self.matrix(current)
                if self.circuit.values[current.source.value].kind is ir.Kind.BIAS:
                    constant += weights.sum(axis=1)
                    continue
                linear_ = self.add(current.synapse, nir.Linear(weights))
                self.edges += [(self.signal(current.source.value), linear_), (linear_, node)]
        return constant

    def matrix(self, current: ir.Current) -> Array:
        import numpy as np

        if current.source.when is not ir.When.NOW:
            raise self.refusal(current.synapse, f"carries {words(current.source)}")
        return np.asarray(self.weights[current.synapse], dtype=float)

    # ---------------------------------------------------------------- what it reads

    @property
    def dt(self) -> float:
        schedule = self.circuit.schedule
        if schedule is None or schedule.dt is None:
            return 1.0
        return linear(schedule.dt, self.circuit, self.numbers, {}).constant

    def linear(self, name: str, expr: ir.Expr | None, known: Mapping[str, float] = MappingProxyType({})) -> Linear:
        if expr is None:
            raise self.refusal(name, "never changes")
        try:
            return linear(expr, self.circuit, self.numbers, known)
        except Unsayable as problem:
            raise self.refusal(name, f"has {problem}") from None

    def refusal(self, name: str, why: str) -> UsageError:
        return UsageError(
            f"NIR cannot say `{name}` of `{self.circuit.name}`: it {why}. {CAN}; name an output before it"
        )


def _input(size: int) -> Any:
    import nir
    import numpy as np

    return nir.Input(input_type={"input": np.array([size])})
