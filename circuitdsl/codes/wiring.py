"""Time, wiring, and rules that cannot do anything."""

from __future__ import annotations

from circuitdsl.codes.code import Code

WIRING = {
    "C040": Code(
        title="A loop within one tick",
        explanation="In a tick every dendrite, let, rate and modulator is computed once, after what it reads. A loop "
        "among them has no order. Read the tick before somewhere on the way (`prev(h)`, also as the source of a "
        "synapse), or let a rate read a state: states are read as the tick before left them.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 4 { dendrite basal, recurrent   rate = relu(basal + recurrent) }
  synapse W: x -> h.basal
  synapse R: h -> h.recurrent
  loss = mean(h)
  schedule { phase run: 5 }
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 4 { dendrite basal, recurrent   rate = relu(basal + recurrent) }
  synapse W: x -> h.basal
  synapse R: prev(h) -> h.recurrent
  loss = mean(h)
  schedule { phase run: 5 }
}
""",
    ),
    "C041": Code(
        title="A dendrite that nothing drives",
        explanation="A warning. No synapse ends on it: its current is always 0.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 3 { dendrite basal, apical   rate = relu(basal + apical) }
  synapse W: x -> h.basal
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 3 { dendrite basal, apical   rate = relu(basal + apical) }
  synapse W: x -> h.basal
  synapse V: x -> h.apical
  loss = mean(h)
}
""",
    ),
    "C042": Code(
        title="A population that reaches nothing",
        explanation="A warning. However many steps one follows its connections, no plasticity rule, loss, metric or "
        "record depends on it.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 4 { rate = relu(x) }
  neuron g: 4 { rate = tanh(x) }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 4 { rate = relu(x) }
  neuron g: 4 { rate = tanh(x) }
  loss = mean(h)
  record g
}
""",
    ),
    "C043": Code(
        title="A phase that is never reached, or an evaluation without ticks",
        explanation="A phase of 0 ticks is a warning. If all phases are `train` phases it is an error: evaluation "
        "skips them, and nothing would be left to read the answer from.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 4 { state v = 0   dv = clamped * x   rate = v }
  loss = mean(h)
  schedule { phase clamped: 5 train }
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 4 { state v = 0   dv = x + clamped   rate = v }
  loss = mean(h)
  schedule { phase free: 5   phase clamped: 5 train }
}
""",
    ),
    "C044": Code(
        title="A heterosynaptic rule whose other dendrite is silent",
        explanation="A warning. The rule learns from another dendrite of its neuron, but no synapse ends there: the "
        "signal that should teach it is always 0.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 3 { dendrite basal, apical   rate = relu(basal) }
  synapse W: x -> h.basal { dw = 0.1 * post.apical * pre - 0.01 * w }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 3 { dendrite basal, apical   rate = relu(basal) }
  synapse W: x -> h.basal { dw = 0.1 * post.apical * pre - 0.01 * w }
  synapse V: x -> h.apical
  loss = mean(h)
}
""",
    ),
    "C045": Code(
        title="A rule that can never change its weight",
        explanation="A warning. Whatever happens, its increment is 0, or its bounds leave a single value.",
        wrong="""\
circuit example {
  param eta = 0
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h { dw = eta * post * pre }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  param eta = 0.1
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h { dw = eta * post * pre }
  loss = mean(h)
}
""",
    ),
    "C046": Code(
        title="Which dendrite?",
        explanation="`-> h` is short for the dendrite of `h` if it has one. With several, say which; without one, "
        "declare one.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 3 { dendrite basal, apical   rate = relu(basal + apical) }
  synapse W: x -> h
  synapse V: x -> h.apical
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 3 { dendrite basal, apical   rate = relu(basal + apical) }
  synapse W: x -> h.basal
  synapse V: x -> h.apical
  loss = mean(h)
}
""",
    ),
    "C047": Code(
        title="A neuron without a rate",
        explanation="The rate is what a neuron sends. A neuron that only keeps a state sends that: `rate = v`.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 3 { dendrite basal }
  synapse W: x -> h
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 3 { dendrite basal   rate = basal }
  synapse W: x -> h
  loss = mean(h)
}
""",
    ),
    "C048": Code(
        title="A rule that only decays",
        explanation="A warning. Every term of the rule takes away from the weight, whatever the signals are: it ends "
        "at 0, and nothing is learnt.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h { dw = -0.01 * w * post^2 }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h { dw = 0.01 * (post * pre - w * post^2) }
  loss = mean(h)
}
""",
    ),
}
