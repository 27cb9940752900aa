"""Names, their declarations, arguments and settings."""

from __future__ import annotations

from circuitdsl.codes.code import Code

NAMES = {
    "C010": Code(
        title="An unknown name",
        explanation="Nothing of this name can be seen from there. An equation of a neuron sees its own dendrites, "
        "states and lets, other populations, params, modulators and phases; the body of a motif sees its arguments "
        "and its members; a rule sees its arguments, built-ins and phases. A file sees the rules and motifs of the "
        "files that it imports itself, not of those that these import.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 3 { dendrite basal   rate = relu(bassal) }
  synapse W: x -> h
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
    "C011": Code(
        title="One name for two things, or a setting given twice",
        explanation="Names are unique: of populations, synapses, params and modulators in a circuit or motif, of "
        "members in their neuron, of rules and motifs in a file and its imports. A neuron has one rate, a state one "
        "increment, a circuit one loss and one schedule. A loop that declares the same name at each turn needs an "
        "index.",
        wrong="""\
circuit example {
  input x: 4
  for l in 1..2 {
    neuron h: 4 { rate = relu(x) }
  }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  for l in 1..2 {
    neuron h[l]: 4 { rate = relu(x) }
  }
  loss = mean(h[1]) + mean(h[2])
}
""",
    ),
    "C012": Code(
        title="A name hides another one",
        explanation="A warning. A member of a neuron or synapse, or a loop variable, has the name of something "
        "outside; inside, the inner one is meant. Arguments of rules and motifs do not hide anything: their bodies "
        "see nothing of the circuit.",
        wrong="""\
circuit example {
  input x: 4
  neuron v: 4 { rate = relu(x) }
  neuron h: 4 { state v = 0   dv = x - v   rate = v }
  loss = mean(h) + mean(v)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron g: 4 { rate = relu(x) }
  neuron h: 4 { state v = 0   dv = x - v   rate = v }
  loss = mean(h) + mean(g)
}
""",
    ),
    "C013": Code(
        title="Something is never used",
        explanation="A warning. Nothing reads this param, modulator, alias, argument, dendrite, state, let or drive; "
        "nothing uses this rule, motif or import. A state that only its own increment reads counts as unused.",
        wrong="""\
circuit example {
  param gain = 2
  input x: 4
  neuron h: 4 { rate = relu(x) }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  param gain = 2
  input x: 4
  neuron h: 4 { rate = gain * relu(x) }
  loss = mean(h)
}
""",
    ),
    "C014": Code(
        title="An increment without a state",
        explanation="`dv = …` and `dv/dt = …` are the increment per tick of a state `v` of the same neuron, synapse or "
        "modulator; `dw` is that of the weight. A name that begins with d cannot be anything else there.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 4 { state volt = 0   dvolts = x - volt   rate = volt }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 4 { state volt = 0   dvolt = x - volt   rate = volt }
  loss = mean(h)
}
""",
    ),
    "C015": Code(
        title="A built-in name is declared",
        explanation="`w pre post prev bias fan_in fan_out dt tick first last metric backprop` have a meaning of their "
        "own and cannot be declared, nor can a rule have the name of a function.",
        wrong="""\
circuit example {
  param w = 2
  input x: 4
  neuron h: 4 { rate = w * relu(x) }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  param gain = 2
  input x: 4
  neuron h: 4 { rate = gain * relu(x) }
  loss = mean(h)
}
""",
    ),
    "C016": Code(
        title="A definition that needs itself",
        explanation="Rules and motifs are replaced by their text, params by their value, aliases by what they stand "
        "for, copied weights by those they are a copy of: none of these may lead back to itself. A loop of signals "
        "within one tick is C040.",
        wrong="""\
circuit example {
  param eta   = 10 * gamma
  param gamma = eta / 10
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h { dw = eta * post * pre - gamma * w }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  param eta   = 0.1
  param gamma = eta / 10
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h { dw = eta * post * pre - gamma * w }
  loss = mean(h)
}
""",
    ),
    "C017": Code(
        title="Arguments that do not fit",
        explanation="A rule, motif, function, initial value or mask got too many arguments, too few, one that it does "
        "not have, or one twice. Rules and motifs take arguments by position or by name, positions first; functions "
        "by position only.",
        wrong="""\
rule hebb(signal, eta) = eta * signal * pre

circuit example {
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h { dw = hebb(post) }
  loss = mean(h)
}
""",
        right="""\
rule hebb(signal, eta) = eta * signal * pre

circuit example {
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h { dw = hebb(post, eta = 0.1) }
  loss = mean(h)
}
""",
    ),
    "C018": Code(
        title="A setting or word that does not exist there",
        explanation="Synapses, tasks and schedules have fixed settings, and `sign`, `connect`, `scale`, `update` and "
        "verdicts take fixed words; the message lists them.",
        wrong="""\
circuit example {
  input x: 64
  neuron h: 64 { rate = relu(x) }
  loss = mean(h)
  task digits { data = digits   epoch = 40 }
}
""",
        right="""\
circuit example {
  input x: 64
  neuron h: 64 { rate = relu(x) }
  loss = mean(h)
  task digits { data = digits   epochs = 40 }
}
""",
    ),
}
