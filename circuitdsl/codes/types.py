"""What kind of thing may stand where, and what a synapse may read."""

from __future__ import annotations

from circuitdsl.codes.code import Code

TYPES = {
    "C030": Code(
        title="The wrong kind of thing",
        explanation="Equations of neurons speak of every unit of a population, those of synapses of one weight, "
        "modulators, losses, metrics and records of one number. A population becomes one number by `sum mean max "
        "norm`, which stand in the latter only; `softmax kwta onehot_max` stand in `rate` and `let` only; `w pre post` "
        "in synapses only; `rate` in `dv` only; `prev` takes a rate, a dendrite or a let. Masks, texts, lists and "
        "weight matrices are no numbers.",
        wrong="""\
circuit example {
  input x: 4
  target y: 4
  neuron h: 4 { rate = relu(x) }
  loss = (h - y)^2
}
""",
        right="""\
circuit example {
  input x: 4
  target y: 4
  neuron h: 4 { rate = relu(x) }
  loss = mean((h - y)^2)
}
""",
    ),
    "C031": Code(
        title="A signal that is not present where it is read",
        explanation="Plasticity is local. A rule may read `w`, the states, drives and coefficients of its synapse, "
        "`pre` and the states and lets of the presynaptic neuron, `post` and its dendrites, states and lets, params, "
        "modulators, phases, and partners of `post`: populations that one of the two names in its equations, or that "
        "`pair` declares. Partnership goes one hop and never follows from equal sizes. Anything else has to be "
        "brought in: by a synapse onto a dendrite, or, if it is meant to be broadcast, by a modulator.",
        wrong="""\
circuit example {
  input x: 4
  target y: 2
  neuron h: 3 { dendrite basal   rate = relu(basal) }
  neuron out: 2 { dendrite basal   rate = softmax(basal) }
  synapse W1: x -> h { dw = 0.1 * out * pre }
  synapse W2: h -> out
  loss = cross_entropy(out, y)
}
""",
        right="""\
circuit example {
  input x: 4
  target y: 2
  neuron h: 3 { dendrite basal, apical   rate = relu(basal) }
  neuron out: 2 { dendrite basal   rate = softmax(basal) }
  synapse W1: x -> h.basal { dw = 0.1 * post.apical * pre }
  synapse W2: h -> out
  synapse V: out -> h.apical
  loss = cross_entropy(out, y)
}
""",
    ),
    "C032": Code(
        title="A target that no neuron at the synapse receives",
        explanation="A rule may read a target only if its postsynaptic neuron, or a partner of that neuron, reads it: "
        "the teaching signal has to arrive through a neuron.",
        wrong="""\
circuit example {
  input x: 4
  target y: 2
  neuron out: 2 { dendrite basal   rate = softmax(basal) }
  synapse W: x -> out { dw = 0.1 * (y - post) * pre }
  loss = cross_entropy(out, y)
}
""",
        right="""\
circuit example {
  input x: 4
  target y: 2
  neuron out: 2 { dendrite basal   rate = softmax(basal) }
  neuron err: 2 { rate = y - out }
  synapse W: x -> out { dw = 0.1 * err * pre }
  loss = cross_entropy(out, y)
}
""",
    ),
    "C033": Code(
        title="A signal of one example beside an average over the batch",
        explanation="A drive is evaluated for each example and averaged over the batch; an equation that reads it is "
        "evaluated once per update and may otherwise read only `w`, persistent states, drives, params and "
        "coefficients. That is what makes Adam in a batch Adam. Move the signal into the drive.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h {
    drive g = post * pre
    dw = 0.1 * g * post
  }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h {
    drive g = post^2 * pre
    dw = 0.1 * g
  }
  loss = mean(h)
}
""",
    ),
}
