"""What a number costs that goes through exp, expm1 or tanh: as circuitdsl prints them, beside the C library's.

python benchmarks/functions.py
"""

from __future__ import annotations

import statistics
import time
from typing import Any, get_args

import numpy as np
from numba import njit

from circuitdsl.emit.swift import quick_forms
from circuitdsl.emit.target import DType
from circuitdsl.graph.resolve import load_text
from circuitdsl.lower.loop_ir import Aim
from circuitdsl.lower.pipeline import passed
from circuitdsl.lower.schedule import lower_training
from circuitdsl.lower.swift import SWIFT

COUNT, CALLS, ROUNDS = 4096, 50, 9
ALL = " + ".join(f"{name}(basal)" for name in SWIFT)
CIRCUIT = f"""circuit all {{
  input x: 2   target y: 2
  neuron h: 2 {{ dendrite basal   rate = {ALL} }}
  synapse W: x -> h {{ dw = 0.1 * post * pre }}
  loss = mse(h, y)
}}"""
LOOP = """
@njit(error_model="numpy", fastmath={{"reassoc", "contract", "arcp", "nsz"}})
def {name}(x, out):
    for i in range(len(x)):
        out[i] = {call}(x[i])
"""


def space(dtype: DType) -> dict[str, Any]:
    """Functions of arrays: `by_exp` calls the library, `by_swift_exp` what is printed."""
    circuit = load_text(CIRCUIT).circuit
    assert circuit is not None
    program = passed(lower_training(circuit, online=True), Aim(dtype=dtype, vectors=True))
    names: dict[str, Any] = {"np": np, "njit": njit, "real": getattr(np, dtype)}
    loops = [LOOP.format(name=f"by_{name}", call=f"np.{name}") for name in SWIFT]
    loops += [LOOP.format(name=f"by_{swift}", call=swift) for swift in SWIFT.values()]
    exec("\n".join([*quick_forms(program, dtype, "cache=False"), *loops]), names)
    return names


def main() -> None:
    for dtype in get_args(DType):
        made = space(dtype)
        x = np.linspace(-4, 4, COUNT).astype(dtype)
        out = np.empty_like(x)
        for name, swift in SWIFT.items():
            times: dict[str, list[float]] = {name: [], swift: []}
            for turn in range(ROUNDS + 1):
                for each, found in times.items():
                    start = time.process_time()
                    for _ in range(CALLS):
                        made[f"by_{each}"](x, out)
                    if turn:  # the first one compiles
                        found.append((time.process_time() - start) / CALLS / COUNT * 1e9)
            library, ours = (statistics.median(found) for found in times.values())
            print(f"{dtype} {name:5} library {library:5.2f} ns, printed {ours:5.2f} ns: {ours / library:.2f}")


if __name__ == "__main__":
    main()
