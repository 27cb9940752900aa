"""What a finding assumes: a closed union of hypotheses, each a fact that a state of the circuit can meet or miss.

theory.md, section 4, "Hypotheses are objects". A finding that is `derived` or `proved` under hypotheses says nothing
where one of them is not met. Words for them are in derive/tell/hypotheses.py, their residuals on a state in
certify/hypotheses.py.
"""

from __future__ import annotations

from circuitdsl.derive.algebra.letters import Identity, Made
from circuitdsl.derive.algebra.words import Coefficient
from circuitdsl.frozen import frozen
from circuitdsl.graph import ir


@frozen(order=True)
class AtRest:
    """The mean increment of a plastic synapse is 0: E[drive] = decay * W."""

    synapse: str


@frozen(order=True)
class Unbound:
    """No bound and no sign of a synapse is at work: all its weights lie inside."""

    synapse: str


@frozen(order=True)
class Attracted:
    """An invariant difference of two synapses has shrunk to 0: it does so by itself, at the rate that is told."""

    left: str
    right: str


@frozen(order=True)
class OneHot:
    """The targets are one-hot: each example's add up to 1."""

    target: str


@frozen(order=True)
class Nontrivial:
    """A synapse's weights, on which H is built, are not all 0."""

    synapse: str


@frozen(order=True)
class Nonempty:
    """A mask that is drawn, or read from a file, has a connection at all."""

    synapse: str


@frozen
class MeanField:
    """A gate (of the postsynaptic neuron itself) is independent of the signals that it gates, and open at times."""

    gate: Identity


@frozen(order=True)
class Slow:
    """The gradient of a synapse changes slowly against the traces that its drive passes through."""

    synapse: str


@frozen(order=True)
class Lagging:
    """The positive factors of a synapse, made of its past drives, are independent of the present one."""

    synapse: str


@frozen(order=True)
class SmallSteps:
    """Terms of second order in the learning rate of a synapse are small."""

    synapse: str


@frozen
class Spectral:
    """The square of each singular value of a synapse is 0 or `square`: the rest of the loop that feeds back to it."""

    synapse: str
    square: Coefficient


@frozen(order=True)
class Homogeneous:
    """The rates of a population scale with everything that reaches it through weights, so that the flow of
    `<W, -grad>` into it equals the flow out (theory.md, "The stationary flow")."""

    population: str


@frozen(order=True)
class Within:
    """All weights of a synapse lie between `-limit` and `limit`: there the step is small enough for its pull, however
    steep that gets further out."""

    synapse: str
    limit: float


@frozen(order=True)
class GentleDecay:
    """What a synapse loses by its decay by example, mean over a batch, is at most 1 of each weight per update, and in
    the mean over updates more than 0."""

    synapse: str


@frozen(order=True)
class ManyDraws:
    """The updates of a synapse are means over many draws of the noise in a population, or learning is slow against
    these draws."""

    population: str


@frozen
class Open:
    """A factor of a rule that depends on its own weight is not 0 for all weights of a synapse."""

    synapse: str
    factor: ir.Expr


@frozen
class OffKink:
    """A polynomial of units is never exactly 0 in a unit, where gates of either side would differ."""

    kink: Made


@frozen(order=True)
class Live:
    """Neither the drive of a synapse nor its gradient is 0 for all examples."""

    synapse: str


Hypothesis = (
    AtRest | Unbound | Attracted | OneHot | Nontrivial | Nonempty | MeanField | Slow | Lagging | SmallSteps | Spectral
    | Homogeneous | Within | GentleDecay | ManyDraws | Open | OffKink | Live
)  # fmt: skip
