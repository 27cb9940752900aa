"""Online Kolen-Pollack learning, 64-64-10: circuitdsl beside PyTorch eager, in one run.

    python benchmarks/kolen_pollack_online.py --torch-python PATH

Both sides present the same handwritten digits one by one, in the same order, from the same weights, to
the same network with the same update, in float32 on one thread:

    h = relu(W1 x)   e = y - softmax(W2 h)   g = relu'(W1 x) * (V2 e)
    W1 += eta g x' - eta gamma W1    W2 += eta e h' - eta gamma W2    V2 += eta h e' - eta gamma V2

Ours is `circuits/heterosynaptic/kolen_pollack.circ` through the public API. Each round measures one side
after the other, so that a disturbance of the machine hits both; the medians of the rounds count. Starting,
compiling, loading and evaluating are not timed on either side. That both compute the same is checked first.

PyTorch need not be installed where circuitdsl is: `--torch-python` names a Python that has it, and
`--install-torch` makes one in `build/torch` (PyTorch 2.13.0).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TORCH = "torch==2.13.0"
TORCH_VENV = ROOT / "build" / "torch"
CIRCUIT = "heterosynaptic/kolen_pollack.circ"
WEIGHTS = ("W1", "W2", "V2")

# One thread on both sides; read when the libraries start.
for variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"


# ---------------------------------------------------------------- PyTorch, in a process of its own


def torch_worker(folder: Path) -> None:
    """Trains on every example in `folder` once for each line on stdin, from the same weights each time,
    and answers with the seconds; leaves the weights in the folder."""
    import torch

    torch.set_num_threads(1)
    facts = json.loads((folder / "facts.json").read_text())

    def table(name: str) -> Any:
        content = bytearray((folder / name).read_bytes())
        return torch.frombuffer(content, dtype=torch.float32).reshape(facts["shapes"][name])

    examples = list(zip(table("x"), table("y"), strict=True))
    print(torch.__version__, flush=True)
    for _ in sys.stdin:
        weights = [table(name).clone() for name in WEIGHTS]
        with torch.no_grad():
            start = time.perf_counter()
            for x, y in examples:
                torch_step(torch, x, y, *weights, facts["eta"], facts["gamma"])
            seconds = time.perf_counter() - start
        for name, weight in zip(WEIGHTS, weights, strict=True):
            (folder / f"{name}.torch").write_bytes(bytes(weight.contiguous().view(torch.uint8).flatten().tolist()))
        print(seconds, flush=True)


def torch_step(torch: Any, x: Any, y: Any, w1: Any, w2: Any, v2: Any, eta: float, gamma: float) -> None:
    """One example, in place, in the fewest and cheapest eager calls that we found."""
    z = w1.mv(x)
    h = z.relu()
    e = y.sub(w2.mv(h).softmax(0))
    g = torch.ops.aten.threshold_backward(v2.mv(e), z, 0)
    kept = 1 - eta * gamma
    w1.addr_(g, x, beta=kept, alpha=eta)
    w2.addr_(e, h, beta=kept, alpha=eta)
    v2.addr_(h, e, beta=kept, alpha=eta)


class Torch:
    """The worker, seen from here."""

    def __init__(self, python: str, folder: Path):
        command = [python, "-W", "ignore", __file__, "--worker", str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._answer()

    def seconds(self) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the PyTorch process ended; its message stands above")
        return line.strip()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


# ---------------------------------------------------------------- circuitdsl


class Ours:
    """The circuit, compiled; `epochs` epochs of one example at a time."""

    def __init__(self, epochs: int):
        import circuitdsl as cd
        from circuitdsl.api import Request

        self.simulation = cd.load(ROOT / "circuits" / CIRCUIT).compile(target="cpu")
        self.request = Request(epochs=epochs, batch=1)

    def seconds(self) -> float:
        """Seconds of training."""
        self.outcome = self.simulation.execute(self.request)
        return self.outcome.run.seconds

    def write_problem(self, folder: Path) -> int:
        """Leaves the initial weights and every example, in the order of the run; says how many."""
        import numpy as np

        start = self.simulation.prepare(self.request)
        loop, state = start.loop, start.run.state
        order = np.concatenate([loop.order(epoch) for epoch in range(loop.epochs)])
        tables = {"x": loop.dataset.arrays["x"][order], "y": loop.dataset.arrays["y"][order]}
        tables |= {name: state.weights[name] for name in WEIGHTS}
        for name, table in tables.items():
            (folder / name).write_bytes(np.ascontiguousarray(table, dtype=np.float32).tobytes())
        facts = {
            "shapes": {name: table.shape for name, table in tables.items()},
            "eta": loop.numbers["eta"],
            "gamma": loop.numbers["gamma"],
        }
        (folder / "facts.json").write_text(json.dumps(facts))
        return len(order)

    def difference(self, folder: Path) -> float:
        """The largest relative difference of a weight matrix from PyTorch's, in norm."""
        import numpy as np

        found = []
        for name, mine in self.outcome.run.state.weights.items():
            theirs = np.frombuffer((folder / f"{name}.torch").read_bytes(), dtype=np.float32).reshape(mine.shape)
            found.append(float(np.linalg.norm(mine - theirs) / np.linalg.norm(theirs)))
        return max(found)


# ---------------------------------------------------------------- the comparison


def compare(python: str, rounds: int, epochs: int) -> dict[str, Any]:
    same = agreement(python)
    ours = Ours(epochs)
    with tempfile.TemporaryDirectory() as name:
        steps = ours.write_problem(Path(name))
        torch = Torch(python, Path(name))
        ours.seconds(), torch.seconds()  # warm both up
        pairs = [(ours.seconds(), torch.seconds()) for _ in range(rounds)]
        torch.close()
    rates = [(steps / a, steps / b) for a, b in pairs]
    return {
        "machine": processor(),
        "python": platform.python_version(),
        "torch": torch.version,
        "steps_per_round": steps,
        "rounds": [{"circuitdsl": a, "torch": b, "ratio": a / b} for a, b in rates],
        "circuitdsl": statistics.median(a for a, _ in rates),
        "torch_eager": statistics.median(b for _, b in rates),
        "ratio": statistics.median(a / b for a, b in rates),
        "difference_after_one_epoch": same,
    }


def agreement(python: str) -> float:
    """How far the weights of both sides are apart after one epoch."""
    ours = Ours(1)
    with tempfile.TemporaryDirectory() as name:
        ours.write_problem(Path(name))
        torch = Torch(python, Path(name))
        torch.seconds(), ours.seconds()
        torch.close()
        difference = ours.difference(Path(name))
    if not difference < 1e-3:
        raise SystemExit(f"the two sides do not compute the same: weights differ by {difference:.2g}")
    return difference


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def torch_python(given: str | None, install: bool) -> str:
    """A Python that has PyTorch."""
    own = TORCH_VENV / "bin" / "python"
    if given is not None:
        return given
    if install and not own.exists():
        subprocess.run([sys.executable, "-m", "venv", str(TORCH_VENV)], check=True)
        subprocess.run([str(own), "-m", "pip", "install", "--quiet", TORCH], check=True)
    if own.exists():
        return str(own)
    if importlib.util.find_spec("torch") is not None:
        return sys.executable
    raise SystemExit(
        f"PyTorch is not installed here. Make an environment with `pip install {TORCH}` and name its Python "
        "with --torch-python, or let --install-torch make one in build/torch."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Online Kolen-Pollack, 64-64-10: circuitdsl beside PyTorch eager.")
    parser.add_argument("--torch-python", metavar="PATH", help="a Python that has PyTorch")
    parser.add_argument("--install-torch", action="store_true", help=f"make one in build/torch ({TORCH})")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is measured (5)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of 1,438 examples in a round (20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--worker", metavar="DIR", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        torch_worker(Path(options.worker))
        return
    found = compare(torch_python(options.torch_python, options.install_torch), options.rounds, options.epochs)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{found['machine']}, one thread, float32, {found['steps_per_round']:,} steps a round")
    print(f"{'round':<8}{'circuitdsl':>14}{'torch ' + found['torch']:>20}{'ratio':>9}")
    for number, row in enumerate(found["rounds"], 1):
        print(f"{number:<8}{row['circuitdsl']:>12,.0f}/s{row['torch']:>18,.0f}/s{row['ratio']:>9.1f}")
    print(f"{'median':<8}{found['circuitdsl']:>12,.0f}/s{found['torch_eager']:>18,.0f}/s{found['ratio']:>9.1f}")
    print(f"weights after one epoch differ by {found['difference_after_one_epoch']:.1g} (relative, in norm)")


if __name__ == "__main__":
    main()
