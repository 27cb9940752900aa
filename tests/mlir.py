"""Kernels compiled by numba-cuda-mlir, which is to take numba-cuda's place: `make verify-mlir`.

    python tests/mlir.py [--circuit classic/oja.circ ...]

compiles the phases of training (online and in batches) and evaluation of circuits of the library, in all shapes, from
the texts that numba-cuda compiles, with nothing changed but where the names come from. Prints what does not compile,
and how many do; exit 1 if any does not. A text that several kernels share is compiled once. Needs `numba-cuda-mlir`
and NVIDIA's compilers, and no GPU.
"""

from __future__ import annotations

import linecache
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from agreement import CIRCUITS
from cubins import kernels

from circuitdsl.emit.cuda import Function, Kernel

#: What a text begins with, and what takes its place.
NAMES = "from numba import cuda, float32, float64, int32, int64, types, uint32"
THEIRS = (
    "from numba_cuda_mlir import cuda, types; from numba_cuda_mlir.types import float32, float64, int32, int64, uint32"
)


def module_of(kernel: Kernel, number: int) -> dict[str, Any]:
    """The names of a kernel's text."""
    assert NAMES in kernel.text
    text, file = kernel.text.replace(NAMES, THEIRS), f"<kernel {number}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # compilers read the text again
    found: dict[str, Any] = {"__name__": file}
    exec(compile(text, file, "exec"), found)
    return found


def signature_of(function: Function) -> Any:
    from numba_cuda_mlir import types

    kinds = {
        "reals": types.CPointer(types.float32), "ints": types.CPointer(types.int64),
        "shorts": types.CPointer(types.int32), "bytes": types.CPointer(types.uint8),
        "real": types.float32, "int": types.int32, "seed": types.int64, "bool": types.boolean,
    }  # fmt: skip
    return kinds["int"](*[kinds["int"]] * 3, *(kinds[kind] for kind in function.parameters))


def without_a_gpu() -> None:
    """Tells the compiler, which asks a GPU even where it is told what for, that one is of the oldest architecture."""
    from numba_cuda_mlir import tools

    tools._cached_cc = (7, 5)


def phases_of(name: str, seen: set[tuple[Any, ...]]) -> Iterator[tuple[str, str]]:
    """(which, what is wrong or nothing) of the phases of a circuit's kernels that were not compiled before."""
    from numba_cuda_mlir import cuda

    for number, made in enumerate(kernels(name)):
        there: dict[str, Any] | None = None
        for function in made.kernel.functions:
            key = (made.kernel.head, function.text, tuple(function.parameters))
            if key in seen:
                continue
            seen.add(key)
            there = there or module_of(made.kernel, number)
            wrong = ""
            try:
                cuda.compile(
                    there[function.name], signature_of(function), device=True, abi="c", cc=(7, 5), output="ltoir"
                )
            except Exception as problem:
                wrong = f"{type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else ''}"
            yield " ".join([*made.key, function.name]), wrong


def main(line: list[str]) -> int:
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--circuit", action="append", choices=CIRCUITS)
    options = parser.parse_args(line)
    if find_spec("numba_cuda_mlir") is None:
        print("numba-cuda-mlir is not there: `make verify-mlir` installs it", file=sys.stderr)
        return 2
    without_a_gpu()
    seen: set[tuple[Any, ...]] = set()
    count = failed = 0
    for name in options.circuit or CIRCUITS:
        for which, wrong in phases_of(name, seen):
            count += 1
            failed += bool(wrong)
            if wrong:
                print(f"{which}: {wrong}", flush=True)
    print(f"{count} phases; {failed} do not compile")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
