"""Losses, expectations, stability, Dale's law."""

from __future__ import annotations

from circuitdsl.codes.code import Code

JUDGING = {
    "C050": Code(
        title="The label leaks into the answer",
        explanation="In evaluation nothing is trained (`train` is 0, `train` phases are skipped), and a target must "
        "not reach what the metric or the loss reads, other than as their own target argument: the circuit would be "
        "judged by an answer that it was told. Any way counts: lets, states, the tick before, modulators, recurrent "
        "synapses.",
        wrong="""\
circuit example {
  input x: 4
  target y: 2
  neuron out: 2 { dendrite basal   rate = basal + 0.1 * y }
  synapse W: x -> out
  loss = mse(out, y)
}
""",
        right="""\
circuit example {
  input x: 4
  target y: 2
  neuron out: 2 { dendrite basal   rate = basal + 0.1 * train * y }
  synapse W: x -> out
  loss = mse(out, y)
}
""",
    ),
    "C051": Code(
        title="No loss",
        explanation="The loss is what learning should lower; the circuit never differentiates it, but verdicts and the "
        "gradient twin are about it. An error if a verdict or `backprop` is expected or an equation reads `loss`, a "
        "warning if there is a target or a metric, else a note.",
        wrong="""\
circuit example {
  input x: 4
  target y: 2
  neuron out: 2 { dendrite basal   rate = softmax(basal) }
  neuron err: 2 { rate = y - out }
  synapse W: x -> out { dw = 0.1 * err * pre }
  expect W: exact
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
  expect W: exact
}
""",
    ),
    "C052": Code(
        title="The loss is read in a train phase",
        explanation="The loss is read in evaluation, where `train` phases do not exist.",
        wrong="""\
circuit example {
  input x: 2
  target y: 2
  neuron out: 2 { state v = 0   dv = x - v + clamped * y   rate = v }
  loss = mse(out, y) at clamped
  schedule { phase free: 5   phase clamped: 5 train }
}
""",
        right="""\
circuit example {
  input x: 2
  target y: 2
  neuron out: 2 { state v = 0   dv = x - v + clamped * y   rate = v }
  loss = mse(out, y) at free
  schedule { phase free: 5   phase clamped: 5 train }
}
""",
    ),
    "C053": Code(
        title="An expectation that nothing can meet",
        explanation="A warning. Verdicts are about synapses that learn, and a metric has to be declared by a task; "
        "otherwise the expectation is never judged.",
        wrong="""\
circuit example {
  input x: 4
  target y: 2
  neuron out: 2 { dendrite basal   rate = softmax(basal) }
  synapse W: x -> out
  loss = cross_entropy(out, y)
  expect W: gradient
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
  expect W: gradient
}
""",
    ),
    "C054": Code(
        title="A decay that overshoots",
        explanation="A warning where a weight loses 2 or more of itself per update by `eta * decay`: it grows without "
        "end, whatever else its rule does. A note from 1 on, where it changes its sign at every update. A state that "
        "loses 2 or more of itself per tick, as when `dt` is too long for its time constant, is as bad.",
        wrong="""\
circuit example {
  param eta   = 0.1
  param gamma = 30
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h { dw = eta * (post * pre - gamma * w) }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  param eta   = 0.1
  param gamma = 0.01
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h { dw = eta * (post * pre - gamma * w) }
  loss = mean(h)
}
""",
    ),
    "C055": Code(
        title="A conflict with Dale's law",
        explanation="A population either excites or inhibits all its targets. Weights are stored signed: inhibitory "
        "ones are 0 or less, and bounds have to leave room for the sign.",
        wrong="""\
circuit example {
  input x: 4
  neuron s: 4 { rate = relu(x) }
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: s -> h { sign = inhibitory   bounds = [0, 1] }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron s: 4 { rate = relu(x) }
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: s -> h { sign = inhibitory   bounds = [-1, 0] }
  loss = mean(h)
}
""",
    ),
    "C056": Code(
        title="A sign on rates that change theirs",
        explanation="A warning. A negative rate through an excitatory synapse inhibits: the sign of the synapse means "
        "something only if its presynaptic rates are never negative. Inputs are centred by default; `scale = none` "
        "keeps images in [0, 1].",
        wrong="""\
circuit example {
  input x: 4
  neuron s: 4 { rate = tanh(x) }
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: s -> h { sign = excitatory }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron s: 4 { rate = sigmoid(x) }
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: s -> h { sign = excitatory }
  loss = mean(h)
}
""",
    ),
    "C057": Code(
        title="A prediction and a target exchanged",
        explanation="A warning. `cross_entropy(p, y)` and `accuracy(p, y)` take the prediction first. The other way "
        "round they are computed too, of a prediction that is the answer itself, and what is learnt is something else.",
        wrong="""\
circuit example {
  input x: 4
  target y: 2
  neuron out: 2 { dendrite basal   rate = softmax(basal) }
  neuron err: 2 { rate = y - out }
  synapse W: x -> out { dw = 0.1 * err * pre }
  loss = cross_entropy(y, out)
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
    "C058": Code(
        title="The cross-entropy of what is no probability",
        explanation="A warning. The prediction can be negative, where its logarithm is cut off at 1e-7, or more than "
        "1, where the loss is negative: no learning rule will lower it to an end.",
        wrong="""\
circuit example {
  input x: 4
  target y: 2
  neuron out: 2 { dendrite basal   rate = basal }
  neuron err: 2 { rate = y - out }
  synapse W: x -> out { dw = 0.1 * err * pre }
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
}
