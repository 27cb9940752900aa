"""The functions of a kernel as LTO-IR, which the linker (cubin.py) makes one piece of: numba-cuda compiles them.

Each is compiled alone, for the oldest architecture: what is newer takes it, and gives the same code as from its own. So
a function is compiled once for all architectures and for all programs that have it, and is kept on disk
(store/entries.py) under its text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

from circuitdsl.frozen import frozen, mutable
from circuitdsl.runtime.cache import module_of
from circuitdsl.store.entries import Entry

if TYPE_CHECKING:
    from types import ModuleType

    from circuitdsl.emit.cuda import Function, Kernel

#: The compute capability of the oldest architecture.
OLDEST = (7, 5)
#: What decides what the compilers make of a text.
COMPILERS = ("numba-cuda", "numba", "nvidia-nvvm", "nvidia-nvjitlink", "nvidia-cuda-nvrtc", "cuda-bindings")

_BARRIER = b"""
extern "C" __device__ int grid_barrier(long long* flag, int blocks) {
  __syncthreads();
  if (threadIdx.x == 0) {
    int ticket, seen;
    asm volatile("fence.acq_rel.gpu;" ::: "memory");
    asm volatile("atom.add.acq_rel.gpu.global.s32 %0, [%1], 1;" : "=r"(ticket) : "l"(flag) : "memory");
    int goal = (ticket / blocks + 1) * blocks;
    do { asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory"); }
    while (seen - goal < 0);
    asm volatile("fence.acq_rel.gpu;" ::: "memory");
  }
  __syncthreads();
  return 0;
}
"""


@frozen
class Piece:
    """LTO-IR, and the seconds of processor time that it took to make."""

    code: bytes
    seconds: float

    def packed(self) -> bytes:
        return struct.pack("<d", self.seconds) + self.code

    @staticmethod
    def unpacked(kept: bytes) -> Piece:
        (seconds,) = struct.unpack("<d", kept[:8])
        return Piece(kept[8:], seconds)


@cache
def versions() -> str:
    """What makes the code, for keys. Raises ModuleNotFoundError without the extra `cuda`."""
    ways = (Path(__file__).with_name(f"{name}.py").read_text() for name in ("ltoir", "ltoir_passes", "remembering"))
    return "\n".join([*(f"{name} {version(name)}" for name in COMPILERS), *ways])


def pieces(name: str, kernel: Kernel) -> list[Piece]:
    """The functions of a kernel, and its entry point. `name` is for who looks into the cache."""
    front = _Front(name, kernel)
    return [*(front.phase(function) for function in kernel.functions), front.entry()]


@mutable
class _Front:
    """A kernel before its compiler, which starts when it is needed: what is kept needs none."""

    name: str
    kernel: Kernel
    module: ModuleType | None = None

    def phase(self, function: Function) -> Piece:
        kinds = ",".join(function.parameters)
        key = "\n".join([self.kernel.program.aim.dtype, kinds, self.kernel.head, function.text])
        return self._kept(function.name, key, lambda: self._compiled(function))

    def entry(self) -> Piece:
        key = f"{self.kernel.program.aim.dtype}\n{self.kernel.text}"
        return self._kept("entry", key, self._compiled_entry)

    def _kept(self, what: str, key: str, compiled: Callable[[], bytes]) -> Piece:
        entry = Entry("code", f"{self.name}_{what}", "\n".join([versions(), "lto-ir", key]))
        kept = entry.read()
        if kept is not None:
            return Piece.unpacked(kept)
        self._start()
        begin = process_time()
        code = compiled()
        piece = Piece(code, process_time() - begin)
        entry.write(piece.packed())
        return piece

    # ------------------------------------------------------------ compiling

    def _start(self) -> None:
        """The module with its phases declared, so that its entry point can call them wherever they are."""
        if self.module is None:
            import_module("numba_cuda")  # else Numba's own, which is older, would do
            self.module = module_of(self.name, self.kernel.text, f"{self.kernel.text}\nlto-ir")

    def _compiled(self, function: Function) -> bytes:
        return _lto_ir(getattr(self.module, function.name), self._signature(function), device=True, abi="c")

    def _compiled_entry(self) -> bytes:
        for function in self.kernel.functions:
            declared = _cuda().declare_device(function.name, self._signature(function), abi="c")
            setattr(self.module, function.name, declared)
        entry = getattr(self.module, self.kernel.program.name)
        return _lto_ir(entry, self._entry_signature(), device=False, abi="numba")

    def _signature(self, function: Function) -> Any:
        kinds = _types(self.kernel.program.aim.dtype)
        return kinds["int"](*[kinds["int"]] * 3, *(kinds[kind] for kind in function.parameters))

    def _entry_signature(self) -> Any:
        """What the entry point takes (emit/entry.py)."""
        from numba import types

        kinds = _types(self.kernel.program.aim.dtype)
        tables = (types.CPointer(kinds[kind]) for kind in ("reals", "ints", "shorts", "bytes"))
        return types.void(types.int64, types.int64, kinds["ints"], kinds["reals"], *tables)


def _cuda() -> Any:
    return import_module("numba.cuda")


def _lto_ir(function: Any, signature: Any, *, device: bool, abi: str) -> bytes:
    from circuitdsl.runtime.ltoir_passes import lean

    with lean():
        code, _ = _cuda().compile(function, signature, device=device, abi=abi, cc=OLDEST, output="ltoir")
    return bytes(code)


def _types(dtype: str) -> dict[str, Any]:
    from numba import types

    real = {"float32": types.float32, "float64": types.float64}[dtype]
    return {
        "reals": types.CPointer(real),
        "ints": types.CPointer(types.int64),
        "shorts": types.CPointer(types.int32),
        "bytes": types.CPointer(types.uint8),
        "real": real,
        "int": types.int32,
        "seed": types.int64,
        "bool": types.boolean,
    }


@cache
def barrier(arch: str) -> bytes:
    """The barrier of the whole grid: a few lines of C++, for Numba has none that needs no driver."""
    from cuda.bindings import nvrtc

    _, program = nvrtc.nvrtcCreateProgram(_BARRIER, b"barrier.cu", 0, [], [])
    options = [b"--gpu-architecture=compute_" + arch.removeprefix("sm_").encode(), b"-dlto", b"-rdc=true"]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if status.value:
        raise RuntimeError(f"the grid's barrier does not compile for {arch}: {status}")
    _, size = nvrtc.nvrtcGetLTOIRSize(program)
    made: bytes = b" " * size
    nvrtc.nvrtcGetLTOIR(program, made)
    return made
