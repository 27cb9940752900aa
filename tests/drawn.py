"""What lies over what in a drawing, and circuits to draw: drawn by chance, deep, wide, full of loops."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations, pairwise

from circuitdsl.draw.geometry import Geometry
from circuitdsl.draw.picture import Point, Rect

#: A line is that thick at least, and its end touches a box.
TOUCH = 0.6


def faults(places: Geometry) -> Iterator[str]:
    """Everything that lies over something else, in words."""
    things = {f"box {n}": r for n, r in places.boxes.items()} | {f"label {n}": r for n, r in places.labels.items()}
    for (a, first), (b, second) in combinations(things.items(), 2):
        if first.meets(second):
            yield f"{a} lies over {b}"
    for name, dendrite in places.dendrites.items():
        bar = Rect(
            x=dendrite.left[0] - 3,
            y=dendrite.left[1] - 2,
            width=dendrite.right[0] - dendrite.left[0] + 6,
            height=4,
        )
        yield from (f"dendrite {name} lies over {b}" for b, other in things.items() if bar.meets(other))
    for name, line in places.lines.items():
        for a, b in pairwise(line):
            yield from (f"{name} runs through {t}" for t, r in things.items() if r.meets(_inner(a, b)))
    yield from _on_one_another(places)
    for name, rect in things.items():
        if min(rect.x, rect.y) < 0 or rect.x + rect.width > places.width or rect.y + rect.height > places.height:
            yield f"{name} is outside"


def _inner(a: Point, b: Point) -> Rect:
    """A stretch of a line without its ends, which may touch."""
    x, y = min(a[0], b[0]), min(a[1], b[1])
    wide, high = abs(a[0] - b[0]), abs(a[1] - b[1])
    return Rect(
        x=x + (TOUCH if wide > high else -0.3),
        y=y + (TOUCH if high > wide else -0.3),
        width=max(0.6, wide - 2 * TOUCH),
        height=max(0.6, high - 2 * TOUCH),
    )


def _on_one_another(places: Geometry) -> Iterator[str]:
    """Two lines that run along each other, where nobody could tell one from the other."""
    stretches = [(name, a, b) for name, line in places.lines.items() for a, b in pairwise(line)]
    for (one, a, b), (two, c, d) in combinations(stretches, 2):
        if one == two:
            continue
        for axis in (0, 1):
            along = 1 - axis
            if abs(a[axis] - b[axis]) < 0.1 and abs(c[axis] - d[axis]) < 0.1 and abs(a[axis] - c[axis]) < 2:
                start = max(min(a[along], b[along]), min(c[along], d[along]))
                end = min(max(a[along], b[along]), max(c[along], d[along]))
                if end - start > 1:
                    yield f"{one} and {two} run on one another"


# ---------------------------------------------------------------- circuits


def by_chance(seed: int, populations: int) -> str:
    """Populations with up to four dendrites each, joined without any plan: loops, biases, signs, masks, wires, a
    modulator, names of all lengths."""
    chance = random.Random(seed)
    names = [f"{chance.choice(['p', 'layer_', 'a_rather_long_population_name_'])}{i}" for i in range(populations)]
    lines = [f"circuit by_chance_{seed} {{", "  input x: 8", "  target y: 4"]
    synapses: list[str] = []
    for i, name in enumerate(names):
        dendrites = [chance.choice(["d", "dendrite_"]) + str(k) for k in range(chance.choice([1, 1, 2, 2, 3, 4]))]
        wire = f" + {chance.choice(names[:i])}" if i and chance.random() < 0.3 else ""
        drive = " + ".join(dendrites)
        lines.append(
            f"  neuron {name}: 4 {{ dendrite {', '.join(dendrites)}   state v = 0   rate = sigmoid(v)   "
            f"dv = {drive} - v{wire} }}"
        )
        for dendrite in dendrites:
            for _ in range(chance.choice([1, 1, 2, 3])):
                synapses.append(_synapse(chance, f"S{len(synapses)}", names, f"{name}.{dendrite}"))
    end = [f"  modulator m = mean({names[-1]} * y)", "  schedule { phase p: 3 }", f"  loss = mse({names[-1]}, y)", "}"]
    return "\n".join([*lines, *synapses, *end])


def _synapse(chance: random.Random, name: str, names: list[str], dendrite: str) -> str:
    source = chance.choice(["x", "bias", *names])
    what = [f"dw = 0.01 * post * pre{chance.choice(['', '', ' * m'])}"] if chance.random() < 0.5 else []
    if source in names:
        sign = ("free", "excitatory", "inhibitory")[names.index(source) % 3]
        what += [f"sign = {sign}", *(["connect = one_to_one"] if chance.random() < 0.2 else [])]
    return f"  synapse {name}: {source} -> {dendrite} {{ {'   '.join(what)} }}"


def fan_in(sources: int) -> str:
    """One dendrite driven by many populations."""
    inputs = [f"  input x{i}: 4" for i in range(sources)]
    synapses = [f"  synapse W{i}: x{i} -> out.basal {{ dw = 0.1 * teach * pre }}" for i in range(sources)]
    return "\n".join(
        [
            "circuit fan_in {", "  target y: 4", *inputs,
            "  neuron out: 4 { dendrite basal   rate = tanh(basal) }",
            "  neuron teach: 4 { rate = y - out }", *synapses, "  loss = mse(out, y)", "}",
        ]
    )  # fmt: skip


def chain(length: int) -> str:
    """Populations one above the other, with feedback from each to the one below."""
    lines = ["circuit chain {", "  input x: 4", "  target y: 4"]
    for i in range(1, length + 1):
        above, start = (f"h{i + 1}", f"init = transpose(W{i + 1})") if i < length else ("teach", "")
        lines += [
            f"  neuron h{i}: 4 {{ dendrite basal, apical   rate = tanh(basal) }}",
            f"  synapse W{i}: {'x' if i == 1 else f'h{i - 1}'} -> h{i}.basal {{ dw = 0.1 * post.apical * pre }}",
            f"  synapse B{i}: {above} -> h{i}.apical {{ {start} }}",
        ]
    return "\n".join([*lines, f"  neuron teach: 4 {{ rate = y - h{length} }}", f"  loss = mse(h{length}, y)", "}"])


LOOPS = """
circuit loops {
  input x: 4
  target y: 4
  neuron a: 4 {
    dendrite basal, rec, apical, distal
    state v = 0
    dv = basal + rec + apical + distal - v
    rate = sigmoid(v)
  }
  neuron b: 4 { dendrite basal, rec   state v = 0   dv = basal + rec - v   rate = sigmoid(v) }
  neuron teach: 4 { rate = train * y }
  pair a ~ b
  synapse W: x -> a.basal { dw = 0.1 * post * pre }
  synapse R: a -> a.rec { connect = no_self & sparse(0.1)   sign = excitatory   dw = 0.1 * post * pre }
  synapse AB: a -> b.basal { sign = excitatory   dw = 0.1 * post * pre }
  synapse BA: b -> a.apical { init = -transpose(AB)   sign = inhibitory }
  synapse R2: b -> b.rec { sign = inhibitory }
  synapse R3: prev(b) -> b.rec { connect = one_to_one   sign = inhibitory }
  synapse D: teach -> a.distal { connect = one_to_one }
  synapse Bi: bias -> a.basal { dw = 0.1 * post }
  synapse Bi2: bias -> a.distal { dw = 0.1 * post }
  schedule { phase p: 3   phase q: 2 train }
  loss = mean(square(b))
}
"""
