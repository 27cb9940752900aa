"""A cluster of separate processes gives the bits of a serial run, also when a worker dies in the middle."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from circuitdsl.api import loads
from circuitdsl.explore.evolve import evolve
from circuitdsl.explore.sweep import sweep
from circuitdsl.explore.where import Cluster

distributed = pytest.importorskip("distributed")

TEXT = """circuit small {
  param eta = 0.1   param n = 4
  input x: 4   target y: 3
  neuron h: n { dendrite basal   rate = relu(basal) }
  neuron out: 3 { dendrite basal   rate = softmax(basal) }
  neuron err: 3 { rate = y - out }
  param c per W2 = constant(1)
  synapse W1: x -> h
  synapse W2: h -> out { dw = eta * c * err * pre }
  loss = cross_entropy(out, y)
  record norm(W2)
  task flowers { data = iris   epochs = 2   batch = 8   metric = accuracy(out, y) }
}"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=":0"
    ) as started:
        yield started


class Kill:
    """Kills a worker process at the first result."""

    def __init__(self, cluster: Any):
        self.cluster, self.killed, self.steps = cluster, 0, 0

    def start(self, title: str, total: int, done: int) -> None: ...

    def advance(self, note: str = "") -> None:
        self.steps += 1
        if not self.killed:
            workers = [nanny.process.pid for nanny in self.cluster.workers.values() if nanny.process is not None]
            self.killed = workers[0]
            os.kill(self.killed, signal.SIGKILL)


def test_the_bits_of_a_serial_run(cluster: Any) -> None:
    circuit = loads(TEXT, "small")
    address = cluster.scheduler_address
    grid = {"eta": [0.05, 0.1, 0.2], "n": [3, 4]}
    kill = Kill(cluster)
    far = sweep(circuit, grid, seeds=2, cluster=address, target="reference", progress=kill)
    assert kill.killed
    assert kill.steps == 12
    assert far.identical(sweep(circuit, grid, seeds=2, jobs=1, target="reference"))

    kind: dict[str, Any] = {"population": 6, "generations": 3, "tasks": 2, "held_out": 1}
    kill = Kill(cluster)
    far = evolve(circuit, ["eta", "c"], **kind, cluster=address, progress=kill)
    assert kill.killed
    assert far.identical(evolve(circuit, ["eta", "c"], **kind, jobs=2))

    with Cluster(address) as place:
        assert sorted(place.map(divmod, [(7, 2), (7, 3)])) == [(0, (3, 1)), (1, (2, 1))]
        with pytest.raises(ZeroDivisionError):
            list(place.map(divmod, [(7, 0)]))
