"""Circuits wired at random, from layers to an amorphous graph, for the study of flexibility.

One circuit, written here as text, has every ascending and every descending synapse that four hidden populations can
have without a loop; a topology is a choice among them, made by params that leave the others at 0. Plasticity is
Kolen-Pollack's. For the reasons of `derive` a topology is written out, with nothing else in it.
"""

from __future__ import annotations

from collections.abc import Mapping

from circuitdsl.frozen import frozen
from circuitdsl.studies.trials import Text

HIDDEN, SIZE = ("h1", "h2", "h3", "h4"), 24
#: Those of a quick run: the time to compile grows with them.
QUICK_HIDDEN = HIDDEN[:3]
#: The population that a lesion silences.
LESIONED = "h2"

Hidden = tuple[str, ...]
Edge = tuple[str, str]
Topology = Mapping[Edge, bool]


@frozen(kw_only=True)
class Harm:
    """What is wrong with a circuit from the start. `present`: the part of its synapses that are there, of the ascending
    and the descending ones apart, or, if `paired`, of both together; `rates`: each synapse's learning rate is drawn
    from 1 - rates to 1 + rates, `drives`: that of its drive alone, not of its decay."""

    present: float = 1.0
    paired: bool = False
    rates: float = 0.0
    drives: float = 0.0

    @property
    def params(self) -> dict[str, float]:
        return {"present": self.present, "rates": self.rates, "drives": self.drives}


WHOLE = Harm()


# ---------------------------------------------------------------- the circuit as text


def forward_edges(hidden: Hidden = HIDDEN) -> list[Edge]:
    """Every ascending synapse that makes no loop."""
    order = ("x", *hidden, "out")
    return [(a, b) for i, a in enumerate(order) for b in order[i + 1 :] if (a, b) != ("x", "out")]


def backward_edges(hidden: Hidden = HIDDEN) -> list[Edge]:
    """Every descending one: from the credit of a later population, or the error, to an earlier population."""
    return [(b, a) for a, b in forward_edges(hidden) if a != "x"]


def edge_param(edge: Edge) -> str:
    return f"{edge[0]}_{edge[1]}"


def synapse_name(edge: Edge) -> str:
    """W ascends, V descends."""
    return f"{'W' if edge in forward_edges() else 'V'}_{edge_param(edge)}"


def whole_circuit(hidden: Hidden = HIDDEN) -> Text:
    """Every synapse that a topology may choose, with params that choose and harm."""
    edges = (*forward_edges(hidden), *backward_edges(hidden))
    params = ["lesion = 0", "present = 1", "rates = 0", "drives = 0", *(f"{edge_param(e)} = 1" for e in edges)]
    neurons = [_neuron(name, " * (1 - lesion)" if name == LESIONED else "") for name in hidden]
    return Text(name="flexible", text=_circuit(params, neurons, [_chosen_by_params(e) for e in edges]))


def written_out(chosen: Topology, harm: Harm = WHOLE) -> str:
    """One topology, with its harm, as a circuit of its own."""
    edges = [e for e, there in chosen.items() if there]
    hidden = [name for name in HIDDEN if any(name in e for e in edges)]
    return _circuit([], [_neuron(name, "") for name in hidden], [_written_out(e, harm) for e in edges])


def _circuit(params: list[str], neurons: list[str], synapses: list[str]) -> str:
    lines = [
        "circuit flexible {",
        '  """Kolen-Pollack plasticity in a wiring chosen at random.',
        "",
        "  Source: circuitdsl's study of flexibility,",
        "  after Ziyin, Chuang & Poggio 2025, arXiv:2505.02248.",
        '  """',
        "",
        "  param eta = 0.05",
        "  param gamma = 0.002",
        "  param bound = 1",
        *(f"  param {p}" for p in params),
        "  input x: 64",
        "  target y: 10",
        *neurons,
        "  neuron out: 10 { dendrite basal   rate = softmax(basal) }",
        "  neuron err: 10 { rate = y - out }",
        *synapses,
        "  loss = cross_entropy(out, y)",
        "  task digits { data = digits   epochs = 60   batch = 16   metric = accuracy(out, y) }",
        "}",
        "",
    ]
    return "\n".join(lines)


def _neuron(name: str, cut: str) -> str:
    return (
        f"  neuron {name}: {SIZE} {{ dendrite basal, apical   rate = relu(basal){cut} }}\n"
        f"  neuron d_{name}: {SIZE} {{ rate = {name}.apical * step({name}.basal){cut} }}"
    )


def _ends(edge: Edge) -> str:
    pre, post = edge
    if edge in forward_edges():
        return f"{pre} -> {post}.basal"
    return f"{'err' if pre == 'out' else f'd_{pre}'} -> {post}.apical"


def _signal(edge: Edge) -> str:
    """The postsynaptic factor: an ascending synapse is told the credit, a descending one hears the rate."""
    post = edge[1]
    if edge not in forward_edges():
        return "post"
    return "err" if post == "out" else f"d_{post}"


def _chosen_by_params(edge: Edge) -> str:
    name, there = synapse_name(edge), edge_param(edge)
    gain = f"rate_{name} * eta * (drive_{name} * {_signal(edge)} * pre - gamma * w)"
    return (
        f"  param rate_{name} per {name} = uniform(1 - rates, 1 + rates)\n"
        f"  param drive_{name} per {name} = uniform(1 - drives, 1 + drives)\n"
        f"  synapse {name}: {_ends(edge)} {{ connect = sparse(present)   bounds = [-bound, bound]   "
        f"init = {there} * normal(0, 1/sqrt(fan_in))   dw = {there} * {gain} }}"
    )


def _written_out(edge: Edge, harm: Harm) -> str:
    name, lines, rule = synapse_name(edge), [], f"eta * {_signal(edge)} * pre"
    if harm.drives:
        lines.append(f"  param drive_{name} per {name} = uniform({1 - harm.drives:g}, {1 + harm.drives:g})")
        rule = f"drive_{name} * {rule}"
    rule = f"{rule} - eta * gamma * w"
    if harm.rates:
        lines.append(f"  param rate_{name} per {name} = uniform({1 - harm.rates:g}, {1 + harm.rates:g})")
        rule = f"rate_{name} * ({rule})"
    connect = f"connect = sparse({harm.present:g})   " if harm.present < 1 else ""
    lines.append(f"  synapse {name}: {_ends(edge)} {{ {connect}bounds = [-bound, bound]   dw = {rule} }}")
    return "\n".join(lines)


# ---------------------------------------------------------------- topologies


def topology(shape: float, reciprocal: float, seed: int, hidden: Hidden = HIDDEN) -> Topology:
    """Which synapses are there. Every hidden population gets an input, sends on, and hears one later population or
    the error for each population that it sends to. `shape`: from layers (0) to an amorphous graph (1); `reciprocal`:
    the part of the ascending synapses that have their descending partner, the others get one from elsewhere."""
    import numpy as np

    generator = np.random.default_rng([seed, int(100 * shape)])
    order = ("x", *hidden, "out")
    there = dict.fromkeys((*forward_edges(hidden), *backward_edges(hidden)), False)
    for place, post in enumerate(order[1:], start=1):
        near, others = order[place - 1], [p for p in order[:place] if (p, post) in there]
        source = near if generator.random() >= shape else str(generator.choice(others))
        there[source, post] = True
        for pre in others:
            there[pre, post] |= bool(generator.random() < 0.4 * shape)
    for place, pre in enumerate(hidden, start=1):
        if not any(there[pre, post] for post in order[place + 1 :]):
            there[pre, "out"] = True
    chooser = np.random.default_rng([seed, int(100 * shape), int(100 * reciprocal)])
    for pre, post in [e for e in forward_edges(hidden) if there[e] and e[0] != "x"]:
        later = order[order.index(pre) + 1 :]
        strangers = [p for p in later if not there[pre, p]]
        mutual = chooser.random() < reciprocal or not strangers
        there[post if mutual else str(chooser.choice(strangers)), pre] = True
    return there


def params_of(chosen: Topology) -> dict[str, float]:
    return {edge_param(e): float(there) for e, there in chosen.items()}
