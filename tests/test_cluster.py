"""A cluster of separate processes gives the bits of a serial run, also when a worker dies in the middle."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from circuitdsl.api import Request, loads
from circuitdsl.certify.certify import certify
from circuitdsl.diagnostics import CircuitError
from circuitdsl.explore.evolve import evolve
from circuitdsl.explore.sweep import sweep
from circuitdsl.runtime.errors import MissingData
from circuitdsl.runtime.where import Cluster, Here, one_thread
from circuitdsl.studies.metaplasticity import STUDY
from circuitdsl.studies.protocol import Plan
from circuitdsl.studies.registry import STUDIES, find_study
from circuitdsl.studies.trials import Text, Trial, run_trials

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

    def start(self, *told: Any) -> None: ...

    def measured(self, *told: Any) -> None: ...

    def advance(self, *told: Any) -> None:
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


def test_the_certificate_of_a_serial_run(cluster: Any) -> None:
    graph = loads(TEXT, "small").ir
    given: dict[str, Any] = {"seeds": 5, "epochs": 20, "moments": 5}
    kill = Kill(cluster)
    far = certify(graph, **given, cluster=cluster.scheduler_address, progress=kill)
    assert kill.killed
    assert kill.steps == 5
    for jobs in (1, 2):
        assert far.as_json() == certify(graph, **given, jobs=jobs).as_json()
    slow = {**given, "seeds": 2, "epochs": 2, "engine": "reference"}
    assert certify(graph, **slow).as_json() == certify(graph, **slow, jobs=2).as_json()  # in processes


def test_the_study_of_a_serial_run(cluster: Any) -> None:
    kill = Kill(cluster)
    with Cluster(cluster.scheduler_address) as place:
        far = STUDY.run(Plan(quick=True, seeds=range(4), where=place, tell=kill.advance))
        assert kill.killed
        assert kill.steps == 4
        tiny = Trial(circuit=Text(name="small", text=TEXT), request=Request(epochs=1), at={})
        [more] = run_trials([tiny], Plan(quick=True, seeds=(), where=place))  # a study may ask several times
        assert more == run_trials([tiny], Plan(quick=True, seeds=()))[0]
        lost = replace(tiny, request=Request(data="nowhere.npz"))
        with pytest.raises(MissingData, match=r"nowhere\.npz"):
            run_trials([lost], Plan(quick=True, seeds=(), where=place))
    assert far.identical(STUDY.run(Plan(quick=True, seeds=range(4))))


class Sent(Exception):
    """What a study would send to a cluster."""


class Sending(Here):
    def map(self, function: Callable[..., Any], work: Sequence[tuple[Any, Any]]) -> Iterator[tuple[int, Any]]:
        raise Sent(pickle.loads(pickle.dumps((function, work))))


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_can_be_sent(name: str) -> None:
    with pytest.raises(Sent) as sent:
        find_study(name).run(Plan(quick=True, seeds=range(2), where=Sending()))
    assert sent.value.args[0][1]


@pytest.mark.parametrize("kind", [CircuitError, MissingData])
def test_what_went_wrong_comes_whole(kind: type[CircuitError]) -> None:
    with pytest.raises(CircuitError) as wrong:
        loads(TEXT.replace("relu", "rellu"))
    there = kind(wrong.value.diagnostics)
    here = pickle.loads(pickle.dumps(there))
    assert type(here) is kind
    assert str(here) == str(there)


def threads_of_algebra(*_: Any) -> list[int]:
    import numpy  # noqa: F401
    from threadpoolctl import threadpool_info

    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_linear_algebra_has_one_thread(cluster: Any) -> None:
    """How a sum is split among threads decides its last bits."""
    with Cluster(cluster.scheduler_address) as place:
        for _, found in place.map(threads_of_algebra, [(0, 0)]):
            assert found == [1] * len(found) != []
    with one_thread():
        found = threads_of_algebra()
        assert found == [1] * len(found)
