"""What others need for the same: online Kolen-Pollack learning on this machine's GPU, in JAX and in PyTorch.

    python benchmarks/gpu_peers.py jax|torch [--on cpu]

prints a JSON object: microseconds a step by case, or `absent`, why there is no figure. JAX scans over the examples in
one compiled call, copies by `vmap`; PyTorch replays the CUDA graph of one step. Each is run in a process of its own by
gpu.py. `--on cpu` tries the script where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

#: Sizes of x, h and out, and how many copies.
CASES = {"8-16-4": (8, 16, 4, 1), "64-64-10": (64, 64, 10, 1), "784-256-10": (784, 256, 10, 1),
         "256 x 8-16-4": (8, 16, 4, 256)}  # fmt: skip
STEPS = 2000
ETA, GAMMA = 0.1, 0.002


def drawn(case: str) -> tuple[list[Any], Any, Any]:
    """Weights W1, W2, V2 of each copy, inputs and one-hot targets."""
    x, h, out, copies = CASES[case]
    draw = np.random.default_rng(0)
    lead = (copies,) if copies > 1 else ()
    shapes = ((h, x), (out, h), (h, out))
    weights = [draw.normal(0, 0.1, (*lead, *shape)).astype(np.float32) for shape in shapes]
    inputs = draw.normal(size=(STEPS, x)).astype(np.float32)
    targets = np.eye(out, dtype=np.float32)[draw.integers(0, out, STEPS)]
    return weights, inputs, targets


def with_jax(case: str, on: str) -> float:
    import jax
    import jax.numpy as jnp

    device = jax.devices(on)[0]

    def step(weights: Any, example: Any) -> Any:
        (w1, w2, v2), (x, y) = weights, example
        basal = w1 @ x
        h = jax.nn.relu(basal)
        err = y - jax.nn.softmax(w2 @ h)
        g = (v2 @ err) * (basal > 0)
        keep = 1 - ETA * GAMMA
        made = (
            keep * w1 + ETA * jnp.outer(g, x),
            keep * w2 + ETA * jnp.outer(err, h),
            keep * v2 + ETA * jnp.outer(h, err),
        )
        return made, None

    def run(weights: Any, xs: Any, ys: Any) -> Any:
        return jax.lax.scan(step, weights, (xs, ys))[0]

    weights, xs, ys = drawn(case)
    given = jax.device_put((tuple(weights), xs, ys), device)
    compiled = jax.jit(jax.vmap(run, in_axes=(0, None, None)) if CASES[case][3] > 1 else run)
    return _least(lambda: jax.block_until_ready(compiled(*given)))


def with_torch(case: str, on: str) -> float:
    import torch

    copies = CASES[case][3]
    weights, xs, ys = drawn(case)
    w1, w2, v2 = (torch.tensor(w, device=on).reshape(copies, *w.shape[-2:]) for w in weights)
    inputs, targets = torch.tensor(xs, device=on), torch.tensor(ys, device=on)
    x, y = inputs[0].clone(), targets[0].clone()

    def step() -> None:
        basal = w1 @ x
        h = torch.relu(basal)
        err = y - torch.softmax((w2 @ h[..., None])[..., 0], -1)
        g = (v2 @ err[..., None])[..., 0] * (basal > 0)
        keep = 1 - ETA * GAMMA
        w1.mul_(keep).add_(g[..., None] * x, alpha=ETA)
        w2.mul_(keep).add_(err[..., None] * h[:, None], alpha=ETA)
        v2.mul_(keep).add_(h[..., None] * err[:, None], alpha=ETA)

    if on == "cpu":
        return _least(lambda: [step() for _ in range(STEPS)])
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replayed() -> None:
        for n in range(STEPS):
            x.copy_(inputs[n])
            y.copy_(targets[n])
            graph.replay()
        torch.cuda.synchronize()

    return _least(replayed)


def _least(once: Any) -> float:
    """Microseconds a step, the least of three runs after one that compiles."""
    once()
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        once()
        times.append(time.perf_counter() - begin)
    return min(times) / STEPS * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("peer", choices=("jax", "torch"))
    parser.add_argument("--on", choices=("gpu", "cpu"), default="gpu")
    options = parser.parse_args()
    found: dict[str, float | str] = {}
    for case in CASES:
        try:
            if options.peer == "jax":
                found[case] = with_jax(case, options.on)
            else:
                found[case] = with_torch(case, "cuda" if options.on == "gpu" else "cpu")
        except Exception as problem:  # no library, no GPU for it, no memory: the next figure may be there
            found["absent"] = f"{type(problem).__name__}: {problem}".split("\n")[0]
            break
    print(json.dumps(found))


if __name__ == "__main__":
    main()
