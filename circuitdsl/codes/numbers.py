"""Sizes, shapes, indices, and numbers out of their range."""

from __future__ import annotations

from circuitdsl.codes.code import Code

NUMBERS = {
    "C020": Code(
        title="Sizes that do not fit",
        explanation="A neuron that names another population in its equations is wired to it one-to-one: that one has "
        "as many units, or one, which is broadcast. The same holds for partners that a rule reads, for `pair`, for "
        "`connect = one_to_one` and `no_self`, and for what a loss or metric compares. Populations of other sizes "
        "are connected by synapses.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 3 { rate = relu(x) }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 3 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h
  loss = mean(h)
}
""",
    ),
    "C021": Code(
        title="A number that has to be whole",
        explanation="Sizes, ranges, indices, ticks, epochs, batches and seeds are counted.",
        wrong="""\
circuit example {
  param width = 5
  input x: width
  neuron h: width / 2 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h
  loss = mean(h)
}
""",
        right="""\
circuit example {
  param width = 6
  input x: width
  neuron h: width / 2 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h
  loss = mean(h)
}
""",
    ),
    "C022": Code(
        title="A population without units",
        explanation="A population has at least one unit. To leave one out, put it into a loop over an empty range: "
        "`for l in 1..depth` makes nothing if `depth` is 0.",
        wrong="""\
circuit example {
  param n = 0
  input x: 4
  neuron h: n { dendrite basal   rate = relu(basal) }
  synapse W: x -> h
  loss = mean(h)
}
""",
        right="""\
circuit example {
  param n = 1
  input x: 4
  neuron h: n { dendrite basal   rate = relu(basal) }
  synapse W: x -> h
  loss = mean(h)
}
""",
    ),
    "C023": Code(
        title="An index out of range",
        explanation="Lists index from 0: a list of three has the elements 0, 1 and 2.",
        wrong="""\
circuit example {
  param sizes = [4, 3]
  input x: sizes[1]
  neuron h: sizes[2] { dendrite basal   rate = relu(basal) }
  synapse W: x -> h
  loss = mean(h)
}
""",
        right="""\
circuit example {
  param sizes = [4, 3]
  input x: sizes[0]
  neuron h: sizes[1] { dendrite basal   rate = relu(basal) }
  synapse W: x -> h
  loss = mean(h)
}
""",
    ),
    "C024": Code(
        title="A number that is not known before the run",
        explanation="Sizes, ranges, indices, params, bounds, initial values and settings are computed before the first "
        "tick, from numbers, params and loop variables. What changes while the circuit runs belongs into an equation, "
        "a `let` or a modulator.",
        wrong="""\
circuit example {
  param gain = mean(x)
  input x: 4
  neuron h: 4 { rate = gain * x }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  modulator gain = mean(x)
  input x: 4
  neuron h: 4 { rate = gain * x }
  loss = mean(h)
}
""",
    ),
    "C025": Code(
        title="Matrices of different shapes",
        explanation="The weights of a synapse are a matrix of as many rows as postsynaptic units and as many columns "
        "as presynaptic ones. `copy`, `transpose`, `cos` and `expect attractor` need shapes that agree.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 3 { dendrite basal   rate = relu(basal) }
  neuron g: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h
  synapse V: h -> g { init = copy(W) }
  loss = mean(g)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 3 { dendrite basal   rate = relu(basal) }
  neuron g: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h
  synapse V: h -> g { init = transpose(W) }
  loss = mean(g)
}
""",
    ),
    "C026": Code(
        title="Too large",
        explanation="The weights do not fit into this machine's memory, a loop makes more declarations than anyone "
        "would draw, rules within rules grow an equation beyond all measure, or definitions stand for one another "
        "hundreds deep.",
        wrong="""\
circuit example {
  input x: 4
  for l in 1..1e9 { neuron h[l]: 4 { rate = relu(x) } }
  loss = mean(h[1])
}
""",
        right="""\
circuit example {
  input x: 4
  for l in 1..2 { neuron h[l]: 4 { rate = relu(x) } }
  loss = mean(h[1]) + mean(h[2])
}
""",
    ),
    "C027": Code(
        title="A number out of its range",
        explanation="A probability above 1, a fan-in larger than the population, a batch of 0, bounds the wrong way "
        "round, a param that is infinite: the message says what was expected.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h { connect = sparse(10) }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h { connect = sparse(0.1) }
  loss = mean(h)
}
""",
    ),
}
