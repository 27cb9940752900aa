"""What only a derivation can find."""

from __future__ import annotations

from circuitdsl.codes.code import Code

DERIVING = {
    "C080": Code(
        title="Decays that leave stacked four-synapse pairs no rest",
        explanation="Found by `derive`. In stacked pairs of an ascending and a descending neuron, V and F of one layer "
        "and W and B of the next are all driven by the same signals. At rest the product of the decays of V and F "
        "(each by the rate of its drive) and that of W and B are squares of the same singular values: if they differ, "
        "the laterals of the two layers run apart exponentially, at a loss that looks fine, and no credit is left "
        "below. A warning; a note where bounds may stand in for a rest; nothing where laterals are one to one, as "
        "then the products only set how many columns live.",
        wrong="""\
circuit example {
  param eta   = 0.05
  param gamma = 0.01
  input x: 5
  target y: 3
  neuron a1: 6 { dendrite basal, apical    rate = basal }
  neuron d1: 6 { dendrite basal, lateral   rate = basal }
  neuron a2: 6 { dendrite basal, apical    rate = basal }
  neuron d2: 6 { dendrite basal, lateral   rate = basal }
  neuron out: 3 { dendrite basal   rate = basal }
  neuron err: 3 { rate = y - out }
  synapse W1: x -> a1.basal    { dw = eta * (post.apical * pre - gamma * w) }
  synapse B1: d1 -> a1.apical  { dw = eta * (post * pre - gamma * w) }
  synapse V1: d2 -> d1.basal   { dw = eta * (post.lateral * pre - 0.02 * w) }
  synapse F1: a1 -> d1.lateral { dw = eta * (post * pre - gamma * w) }
  synapse W2: a1 -> a2.basal   { dw = eta * (post.apical * pre - gamma * w) }
  synapse B2: d2 -> a2.apical  { dw = eta * (post * pre - gamma * w) }
  synapse V2: err -> d2.basal  { dw = eta * (post.lateral * pre - gamma * w) }
  synapse F2: a2 -> d2.lateral { dw = eta * (post * pre - gamma * w) }
  synapse Wo: a2 -> out        { dw = eta * (err * pre - gamma * w) }
  loss = mse(out, y)
}
""",
        right="""\
circuit example {
  param eta   = 0.05
  param gamma = 0.01
  input x: 5
  target y: 3
  neuron a1: 6 { dendrite basal, apical    rate = basal }
  neuron d1: 6 { dendrite basal, lateral   rate = basal }
  neuron a2: 6 { dendrite basal, apical    rate = basal }
  neuron d2: 6 { dendrite basal, lateral   rate = basal }
  neuron out: 3 { dendrite basal   rate = basal }
  neuron err: 3 { rate = y - out }
  synapse W1: x -> a1.basal    { dw = eta * (post.apical * pre - gamma * w) }
  synapse B1: d1 -> a1.apical  { dw = eta * (post * pre - gamma * w) }
  synapse V1: d2 -> d1.basal   { dw = eta * (post.lateral * pre - gamma * w) }
  synapse F1: a1 -> d1.lateral { dw = eta * (post * pre - gamma * w) }
  synapse W2: a1 -> a2.basal   { dw = eta * (post.apical * pre - gamma * w) }
  synapse B2: d2 -> a2.apical  { dw = eta * (post * pre - gamma * w) }
  synapse V2: err -> d2.basal  { dw = eta * (post.lateral * pre - gamma * w) }
  synapse F2: a2 -> d2.lateral { dw = eta * (post * pre - gamma * w) }
  synapse Wo: a2 -> out        { dw = eta * (err * pre - gamma * w) }
  loss = mse(out, y)
}
""",
    ),
}
