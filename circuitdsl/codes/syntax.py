"""The text itself, and the files it imports."""

from __future__ import annotations

from circuitdsl.codes.code import Code

SYNTAX = {
    "C001": Code(
        title="The text does not follow the grammar",
        explanation="Something is missing, is too much, or stands where it cannot stand. The message says what was "
        "expected after what. Line ends mean nothing: the cause may stand at the end of the line before. Comparisons "
        "do not chain, and an equation nests at most 200 deep.",
        wrong="""\
circuit example {
  param eta =
  input x: 4
  neuron h: 4 { rate = relu(x) }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  param eta = 0.1
  input x: 4
  neuron h: 4 { rate = eta * relu(x) }
  loss = mean(h)
}
""",
    ),
    "C002": Code(
        title="A brace or bracket is not closed",
        explanation="An opening `{`, `(` or `[` has no partner, or a closing one has none. Where the layout shows "
        "which body was left open, the message points at it.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 4 {
    rate = relu(x)

  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 4 {
    rate = relu(x)
  }
  loss = mean(h)
}
""",
    ),
    "C003": Code(
        title="A keyword stands where a name is needed",
        explanation="Keywords are never names, not even after a dot, as an argument or as the key of a task: circuit "
        "motif rule param per input target neuron dendrite state keep fresh rate let drive synapse modulator use as "
        "for in alias pair loss expect attractor task stage record every schedule phase train import, and, reserved "
        "for later, each when refractory spike tie share delay efficacy.",
        wrong="""\
circuit example {
  input x: 4
  neuron state: 4 { rate = relu(x) }
  loss = mean(state)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron hidden: 4 { rate = relu(x) }
  loss = mean(hidden)
}
""",
    ),
    "C004": Code(
        title="A construct is not yet available",
        explanation="Its words are reserved so that circuits written today keep their meaning. The hint says what can "
        "be written in its place.",
        wrong="""\
circuit example {
  input x: [6, 6, 16]
  neuron h: 576 { rate = relu(x) }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 6 * 6 * 16
  neuron h: 576 { rate = relu(x) }
  loss = mean(h)
}
""",
    ),
    "C005": Code(
        title="A character does not belong to the language",
        explanation="Names are made of the letters A-Z and a-z, digits and `_`; texts stand in double quotes on one "
        "line; files are UTF-8. Characters that a word processor or a formula editor leaves behind are named with "
        "what was probably meant.",
        wrong="""\
circuit example {
  input x: 4
  neuron h: 4 { rate = 0.5 × x }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 4 { rate = 0.5 * x }
  loss = mean(h)
}
""",
    ),
    "C006": Code(
        title="A file cannot be found or read",
        explanation="An import is looked for beside the file that names it, then in the shipped library, which "
        "`circuitdsl list` shows.",
        wrong="""\
import "rules/heterosinaptic.circ"

circuit example {
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h { dw = hetero(post, 0.1, 0.01) }
  loss = mean(h)
}
""",
        right="""\
import "rules/heterosynaptic.circ"

circuit example {
  input x: 4
  neuron h: 4 { dendrite basal   rate = relu(basal) }
  synapse W: x -> h { dw = hetero(post, 0.1, 0.01) }
  loss = mean(h)
}
""",
    ),
    "C007": Code(
        title="Files import each other in a circle",
        explanation="A file that is needed to read itself cannot be read. What both files use belongs into a third.",
        wrong="""\
import "example.circ"

circuit example {
  input x: 4
  neuron h: 4 { rate = relu(x) }
  loss = mean(h)
}
""",
        right="""\
circuit example {
  input x: 4
  neuron h: 4 { rate = relu(x) }
  loss = mean(h)
}
""",
    ),
    "C008": Code(
        title="A text that holds nothing",
        explanation="A note. There is neither a circuit nor a rule nor a motif in the file.",
        wrong="# nothing yet\n",
        right="""\
circuit example {
  input x: 4
  neuron h: 4 { rate = relu(x) }
  loss = mean(h)
}
""",
    ),
}
