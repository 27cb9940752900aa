"""The generator of circuits uses the whole language, and what it makes is alive."""

from __future__ import annotations

import re
from random import Random

import numpy as np
import pytest
from agreement import generated, parts
from bench import Bench
from generate import random_circuit

TEXTS = [random_circuit(Random(seed)) for seed in range(300)]

CONSTRUCTS = (
    r"\bparam \w+ per W", r"\bparam \w+ per h", r"= \[", r"rates\[1\]", r"\binput context", r"\btarget\b",
    r"\bbias ->", r"\bdendrite \w+, \w+", r"\bstate \w+ = \S+ +d", r"\bkeep\b", r"\bfresh\b", r"d\w+/dt =",
    r"\blet\b", r"-> \w+\.rec", r": prev\(h", r"\bprev\(h\d+\.basal\)", r"synapse \w+: h\d+\.a\d+ ->", r"\bmotif\b",
    r"\buse\b", r"\balias\b", r"\bfor l in\b", r"\brule\b", r"\bpair\b", r"\bdrive\b", r"\bdw = local\(",
    r"\bpost\.", r"\bpre\.", r"\bschedule\b", r"phase \w+: \S+ train", r"update = example", r"\bdt =", r"\btick\b",
    r"\btrain \*", r"first\(\w+\)", r"\bimport\b", r"hetero\(", r"last\(\w+\)", r"\bloss = .* at ",
    r"\bloss = .* over ", r"tanh\(loss\)", r"\bmodulator\b", r"reward\d+\.base", r"pool\d+\.trace", r"randn\(\)",
    r"(?<!n)rand\(\)", r"softmax\(", r"kwta\(", r"onehot_max\(", r"sum\(", r"mean\(", r"max\(h", r"norm\(",
    r"cross_entropy\(", r"mse\(", r"accuracy\(", r"relu\(", r"step\(", r"sigmoid\(", r"tanh\(", r"softplus\(",
    r"exp\(", r"log\(", r"sqrt\(", r"abs\(", r"sign\(", r"square\(", r"min\(", r"max\(", r"clip\(", r"where\(",
    r"\^ 2", r" <= ", r" >= ", r" < ", r" > ", r" == ", r" != ", r"constant\(", r"normal\(", r"uniform\(",
    r"orthogonal\(\)", r"identity\(\)", r"transpose\(W", r"copy\(W", r"fan_in\)", r"fan_out\)", r"connect = dense",
    r"sparse\(", r"fan_in\(\d", r"no_self", r"one_to_one", r"& ", r"sign = free", r"sign = excitatory",
    r"sign = inhibitory", r"bounds = \[",
)  # fmt: skip


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_construct_is_used(construct: str) -> None:
    assert sum(bool(re.search(construct, text)) for text in TEXTS) >= 3


@pytest.mark.parametrize("seed", range(12))
def test_circuits_learn_and_stay_finite(seed: int) -> None:
    bench = Bench(generated(seed), examples=12)
    before = {name: array.copy() for name, array in parts(bench.state)}
    bench.train(batch=2)
    after = dict(parts(bench.state))
    assert all(np.isfinite(array).all() for array in after.values())
    assert any((after[name] != before[name]).any() for name in after)
