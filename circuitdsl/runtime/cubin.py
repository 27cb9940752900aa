"""From the text of a kernel to code for a GPU, without a GPU: numba-cuda compiles, nvJitLink links.

The function of each phase is compiled alone, to LTO-IR, and so is the entry point: compile time grows with how many
phases differ, not with how often they are called. The linker then makes one piece of them. The barrier of the whole
grid is four lines of C++, for Numba has none that needs no driver.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from circuitdsl.emit.teams import Shape
from circuitdsl.extras import named
from circuitdsl.runtime.cache import module_of
from circuitdsl.runtime.errors import UsageError

if TYPE_CHECKING:
    from circuitdsl.emit.cuda import Kernel

#: The GPUs that kernels are made for: Turing, Ampere, its small ones, Hopper, Blackwell and its small ones.
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")

_COMPILING = threading.Lock()

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cubin:
    """Code for one architecture. `entry`: the name of its kernel; `registers` of a thread; bytes of `spills`, of static
    `shared` memory and of the `stack`; `doubles`: whether it computes in 64 bits anywhere."""

    arch: str
    entry: str
    code: bytes
    ptx: str
    registers: int
    spills: int
    shared: int
    stack: int

    @property
    def doubles(self) -> bool:
        return ".f64" in self.ptx


def check_arch(arch: str) -> tuple[int, int]:
    """The compute capability of an architecture. Raises UsageError for one that nothing is made for."""
    if arch not in ARCHITECTURES:
        raise UsageError(f"there is no architecture `{arch}`; kernels are made for {', '.join(ARCHITECTURES)}")
    number = arch.removeprefix("sm_")
    return int(number[:-1]), int(number[-1])


def made_for(arch: str, name: str, kernel: Kernel, shape: Shape) -> Cubin:
    """The kernel as code for that architecture. Raises Missing without the extra `cuda`, UsageError for another
    architecture."""
    capability = check_arch(arch)
    with named(), _COMPILING, _quiet():
        pieces = [*_compiled(name, kernel, capability), *([_barrier(arch)] if shape == "grid" else [])]
        code, log = _linked(arch, pieces)
        ptx, _ = _linked(arch, pieces, "-ptx")
    return _facts(arch, code, ptx.rstrip(b"\0").decode(), log)


@contextmanager
def _quiet() -> Iterator[None]:
    """Numba warns of launches that would fill no GPU, and of its own age."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# ---------------------------------------------------------------- compiling


def _compiled(name: str, kernel: Kernel, capability: tuple[int, int]) -> Iterator[bytes]:
    """The LTO-IR of every function of a kernel, and of its entry point."""
    import_module("numba_cuda")  # else Numba's own, which is older, would do
    cuda: Any = import_module("numba.cuda")
    how = {"cc": capability, "output": "ltoir"}
    module = module_of(name, kernel.text, f"{kernel.text}\n{capability}")
    for function in kernel.functions:
        kinds = _types(kernel.program.aim.dtype)
        signature = kinds["int"](*[kinds["int"]] * 3, *(kinds[kind] for kind in function.parameters))
        yield cuda.compile(getattr(module, function.name), signature, device=True, abi="c", **how)[0]
        setattr(module, function.name, cuda.declare_device(function.name, signature, abi="c"))
    yield cuda.compile(_entry(module, kernel), _signature(kernel), device=False, abi="numba", **how)[0]


def _entry(module: ModuleType, kernel: Kernel) -> Any:
    return getattr(module, kernel.program.name)


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


def _signature(kernel: Kernel) -> Any:
    """What the entry point takes (emit/entry.py)."""
    from numba import types

    kinds = _types(kernel.program.aim.dtype)
    tables = (types.CPointer(kinds[kind]) for kind in ("reals", "ints", "shorts", "bytes"))
    return types.void(types.int64, types.int64, kinds["ints"], kinds["reals"], *tables)


def _barrier(arch: str) -> bytes:
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


# ---------------------------------------------------------------- linking


def _linked(arch: str, pieces: list[bytes], *more: str) -> tuple[bytes, str]:
    """What the linker makes of pieces of LTO-IR, and what it says of it."""
    from cuda.bindings import nvjitlink

    options = [f"-arch={arch}", "-lto", "-verbose", "-O3", *more]
    handle = nvjitlink.create(len(options), options)
    try:
        for number, piece in enumerate(pieces):
            nvjitlink.add_data(handle, nvjitlink.InputType.LTOIR, piece, len(piece), f"piece{number}")
        nvjitlink.complete(handle)
        if more:
            made = bytearray(nvjitlink.get_linked_ptx_size(handle))
            nvjitlink.get_linked_ptx(handle, made)
        else:
            made = bytearray(nvjitlink.get_linked_cubin_size(handle))
            nvjitlink.get_linked_cubin(handle, made)
        log = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, log)
    except nvjitlink.nvJitLinkError as problem:
        log = bytearray(nvjitlink.get_error_log_size(handle))
        nvjitlink.get_error_log(handle, log)
        raise RuntimeError(f"a kernel for {arch} does not link: {log.decode(errors='replace')}") from problem
    finally:
        nvjitlink.destroy(handle)
    return bytes(made), log.decode(errors="replace")


def _facts(arch: str, code: bytes, ptx: str, log: str) -> Cubin:
    def number(pattern: str) -> int:
        return max((int(found) for found in re.findall(pattern, log)), default=0)

    entry = re.search(r"Compiling entry function '(\w+)'", log)
    assert entry is not None
    return Cubin(
        arch=arch,
        entry=entry[1],
        code=code,
        ptx=ptx,
        registers=number(r"Used (\d+) registers"),
        spills=number(r"(\d+) bytes spill stores"),
        shared=number(r"(\d+) bytes smem"),
        stack=number(r"(\d+) bytes stack frame"),
    )
