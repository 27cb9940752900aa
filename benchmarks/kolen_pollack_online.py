"""Online Kolen-Pollack learning, 64-64-10: circuitdsl beside PyTorch eager, in one run.

    python benchmarks/kolen_pollack_online.py --torch-python PATH

Both sides present the same handwritten digits one by one, in the same order, to the same network with
the same update, in float32 on one thread:

    h = relu(W1 x)   e = y - softmax(W2 h)   g = relu'(W1 x) * (V2 e)
    W1 += eta g x' - eta gamma W1    W2 += eta e h' - eta gamma W2    V2 += eta h e' - eta gamma V2

Ours is `circuits/heterosynaptic/kolen_pollack.circ` through the public API. Each round measures one side
after the other, so that a disturbance of the machine hits both; medians of the rounds count. Starting
and compiling are not timed on either side, nor is evaluation.

PyTorch need not be installed where circuitdsl is: `--torch-python` names a Python that has it, and
`--install-torch` makes one in `build/torch` (PyTorch 2.13.0 for CPUs, about 200 MB to fetch).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TORCH_VENV = ROOT / "build" / "torch"
ETA, GAMMA = 0.1, 0.002
SIZES = (64, 64, 10)

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


# ---------------------------------------------------------------- PyTorch, in a process of its own


def torch_worker(folder: Path) -> None:
    """Answers each line on stdin (a number of steps) with the seconds these took, and `accuracy` with
    the accuracy on the test set."""
    import torch

    torch.set_num_threads(1)
    facts = json.loads((folder / "facts.json").read_text())

    def table(name: str) -> Any:
        shape = facts[name]
        return torch.frombuffer(bytearray((folder / name).read_bytes()), dtype=torch.float32).reshape(shape)

    x, y, test_x, test_y = (table(n) for n in ("x", "y", "test_x", "test_y"))
    w1, w2, v2 = (table(n).clone() for n in ("W1", "W2", "V2"))
    print(json.dumps({"torch": torch.__version__}), flush=True)
    with torch.no_grad():
        for line in sys.stdin:
            if line.strip() == "accuracy":
                out = torch.relu(test_x @ w1.T) @ w2.T
                print(float((out.argmax(1) == test_y.argmax(1)).float().mean()), flush=True)
                continue
            start = time.perf_counter()
            for step in range(int(line)):
                torch_step(torch, x[step % len(x)], y[step % len(x)], w1, w2, v2)
            print(time.perf_counter() - start, flush=True)


def torch_step(torch: Any, x: Any, y: Any, w1: Any, w2: Any, v2: Any) -> None:
    """One example, in place, in as few and as cheap eager calls as we found."""
    z = torch.mv(w1, x)
    h = torch.relu(z)
    e = y - torch.softmax(torch.mv(w2, h), 0)
    g = torch.mv(v2, e) * (z > 0)
    decay = 1 - ETA * GAMMA
    torch.addr(w1, g, x, beta=decay, alpha=ETA, out=w1)
    torch.addr(w2, e, h, beta=decay, alpha=ETA, out=w2)
    torch.addr(v2, h, e, beta=decay, alpha=ETA, out=v2)
