"""How processor time grows with the size of a circuit: load (with every check), derive, the page and the JSON.

    python benchmarks/derivation_size.py [--largest 1000] [--only deep]

Chains of 125 to 1,000 layers and one dendrite with 250 to 2,000 synapses. Beside the seconds stands the exponent of
growth between the last two sizes: 1 is linear, 2 quadratic. The goal of the largest: every stage under 2 s.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

STAGES = ("load", "derive", "page", "latex", "json")

RULES = 'import "rules/heterosynaptic.circ"\nimport "motifs/kolen_pollack.circ"\nimport "motifs/sal.circ"\n'
TOP = """
  neuron out: 10 { dendrite basal   rate = softmax(basal) }
  neuron err: 10 { rate = y - out }
  loss = cross_entropy(out, y)
"""

LAYERS = """
circuit deep {
  param eta = 0.05
  param gamma = 0.01
  input x: 64
  target y: 10
  for l in 1..DEPTH {
    use MOTIF as L[l](below = L[l-1].a, above = L[l+1].d, n = 40, eta = eta, gamma = gamma)
    expect L[l].W: gradient
  }
  alias L[0].a = x
  alias L[DEPTH+1].d = err
  synapse Wo: L[DEPTH].a -> out { dw = hetero(err, eta, gamma) }
TOP}
"""

TIED = """
motif tied(below, above, n, eta, gamma, mirror) {
  neuron a: n { dendrite basal, apical   rate = relu(basal) }
  neuron d: n { rate = a.apical * step(a.basal) }
  synapse W: below -> a.basal { dw = hetero(d, eta, gamma) }
  synapse V: above -> a.apical { init = transpose(mirror)   dw = hetero(post, eta, gamma) }
}
circuit deep {
  param eta = 0.05
  param gamma = 0.01
  input x: 64
  target y: 10
  for l in 1..DEPTH {
    use tied as L[l](below = L[l-1].a, above = L[l+1].d, n = 40, eta = eta, gamma = gamma, mirror = L[l+1].W)
    expect L[l].W: exact
  }
  alias L[0].a = x
  alias L[DEPTH+1].d = err
  alias L[DEPTH+1].W = Wo
  synapse Wo: L[DEPTH].a -> out { dw = hetero(err, eta, gamma) }
TOP}
"""

RECTIFIED = """
circuit deep {
  param eta = 0.05
  input x: 64
  target y: 10
  for l in 1..DEPTH {
    neuron h[l]: 40 { dendrite basal   rate = relu(basal) }
    synapse W[l]: h[l-1] -> h[l] { dw = eta * post * pre }
  }
  alias h[0] = x
  synapse Wo: h[DEPTH] -> out { dw = eta * err * pre }
TOP}
"""

DENDRITE = """
circuit wide {
  param eta = 0.05
  param gamma = 0.01
  input x: 16
  target y: 10
  neuron h: 20 { dendrite basal, apical   rate = relu(basal) }
  for i in 1..COUNT {
    SOURCE
    synapse W[i]: FROM -> h.basal { dw = hetero(post.apical * step(post.basal), eta, gamma) }
  }
  synapse Wo: h -> out { dw = hetero(err, eta, gamma) }
  synapse V: err -> h.apical { dw = hetero(post, eta, gamma) }
TOP}
"""

FEEDBACK = """
circuit wide {
  param eta = 0.05
  param gamma = 0.01
  input x: 16
  target y: 10
  neuron h: 20 { dendrite basal, apical   rate = relu(basal) }
  synapse W: x -> h.basal { dw = hetero(post.apical * step(post.basal), eta, gamma) }
  for i in 1..COUNT {
    synapse Wo[i]: h -> out { dw = hetero(err, eta, gamma) }
    synapse V[i]: err -> h.apical { dw = hetero(post, eta, gamma) }
  }
TOP}
"""


def _text(template: str, **words: str) -> str:
    for word, by in words.items():
        template = template.replace(word, by)
    return RULES + template.replace("TOP}", TOP + "}")


def layers(motif: str, depth: int) -> str:
    """A chain of layers of a motif of the library."""
    return _text(LAYERS, MOTIF=motif, DEPTH=str(depth))


def tied(depth: int) -> str:
    """Feedback that starts as the transpose and learns as the weights above do: backpropagation by two streams."""
    return _text(TIED, DEPTH=str(depth))


def rectified(depth: int) -> str:
    """A plain deep network of ReLU neurons whose hidden layers learn by Hebb's rule."""
    return _text(RECTIFIED, DEPTH=str(depth))


def dendrite(count: int) -> str:
    """Synapses onto one dendrite, all from one population."""
    return _text(DENDRITE, COUNT=str(count), SOURCE="", FROM="x")


def sources(count: int) -> str:
    """Synapses onto one dendrite, each from a population of its own."""
    return _text(DENDRITE, COUNT=str(count), SOURCE="neuron g[i]: 16 { rate = square(x) }", FROM="g[i]")


def feedback(count: int) -> str:
    """Half of the synapses onto the output's dendrite, half onto one that brings the errors back."""
    return _text(FEEDBACK, COUNT=str(count // 2))


CIRCUITS: dict[str, tuple[Callable[[int], str], tuple[int, ...]]] = {
    "Kolen-Pollack layers": (partial(layers, "kp_layer"), (125, 250, 500, 1000)),
    "tied layers": (tied, (125, 250, 500, 1000)),
    "ReLU layers": (rectified, (125, 250, 500, 1000)),
    "self-assembly layers": (partial(layers, "sal_pair"), (125, 250, 500, 1000)),
    "synapses on one dendrite": (dendrite, (250, 500, 1000, 2000)),
    "each of its own source": (sources, (250, 500, 1000, 2000)),
    "readout and feedback": (feedback, (250, 500, 1000, 2000)),
}


def measured(text: str) -> dict[str, float]:
    """Processor seconds of each stage."""
    from circuitdsl import loads
    from circuitdsl.derive.tell.as_json import as_json
    from circuitdsl.derive.tell.expects import judge
    from circuitdsl.derive.tell.latex import latex_page
    from circuitdsl.derive.tell.page import page

    seconds: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        started = time.process_time()
        found = work()
        seconds[stage] = time.process_time() - started
        return found

    circuit = timed("load", lambda: loads(text))
    found = timed("derive", lambda: circuit.derive(measure=False))
    judged = judge(found)
    timed("page", lambda: page(found, judged))
    timed("latex", lambda: latex_page(found, judged))
    timed("json", lambda: json.dumps(as_json(found, judged)))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=2000, help="leave out what is larger")
    parser.add_argument("--only", default="", help="circuits with this word in their name")
    options = parser.parse_args()
    measured(dendrite(1))  # imports, and the tables of the parser
    for name, (make, sizes) in CIRCUITS.items():
        if options.only not in name:
            continue
        print(f"{name:28}" + "".join(f"{stage:>9}" for stage in STAGES), flush=True)
        before: dict[str, float] = {}
        grown: dict[str, float] = dict.fromkeys(STAGES, math.nan)
        for size in (n for n in sizes if n <= options.largest):
            seconds = measured(make(size))
            print(f"{size:28,}" + "".join(f"{seconds[stage]:9.2f}" for stage in STAGES), flush=True)
            grown = {s: math.log2(seconds[s] / before[s]) if before.get(s) else math.nan for s in STAGES}
            before = seconds
        print(f"{'exponent of growth':>28}" + "".join(f"{grown[stage]:9.1f}" for stage in STAGES), flush=True)


if __name__ == "__main__":
    main()
