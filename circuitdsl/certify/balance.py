"""What balance at rest says of a drive, beside what the drive does: theory.md, section 3, "The stationary flow"."""

from __future__ import annotations

from collections.abc import Mapping

from circuitdsl.certify.measure import Reading
from circuitdsl.derive.prove.flow import Balance
from circuitdsl.derive.tell.derivation import Derivation
from circuitdsl.graph.machine import State


def balance_of(derivation: Derivation, readings: Mapping[str, Reading], state: State) -> dict[str, float]:
    """<D, G> of each synapse that balance decides, D its mean drive by its rate and G minus the gradient, as a multiple
    of what it is at rest: gamma_l gamma_L |W_L|^2 of a chain. 1 at rest; nothing is said of synapses that balance
    takes together or neuron by neuron, or that stand on an H which is not the identity."""
    found = {}
    for name, reading in readings.items():
        finding = derivation.findings[name]
        wanted = None if finding.balance is None else _at_rest(derivation, finding.balance, state)
        drive = derivation.drive_of(name)
        if wanted and drive is not None and reading.ratio > 0:
            product = reading.cos * reading.drive * reading.drive / reading.ratio
            found[name] = product * reading.rate / derivation.symbols.constants.value(drive.rate) / wanted
    return found


def _at_rest(derivation: Derivation, balance: Balance, state: State) -> float | None:
    """gamma times the sum of amount |W|^2 over the synapses that follow their gradient."""
    plain = len(balance.synapses) == 1 and balance.per_neuron is None
    if not plain or any(share.h != "identity" for share in balance.shares):
        return None
    value = derivation.symbols.constants.value
    return value(balance.gamma) * sum(
        value(share.amount) * float((state.weights[share.synapse] ** 2).sum()) for share in balance.shares
    )
