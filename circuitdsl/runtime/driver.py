"""Kernels on an NVIDIA GPU, by its driver: room, put, launch, wait, get.

Code is a cubin (cubin.py), so that the driver compiles nothing. What is missing on a machine is said with the way out,
before anything runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING, Any

from circuitdsl.emit.cuda import print_kernel
from circuitdsl.emit.entry import Binding
from circuitdsl.emit.target import Target
from circuitdsl.emit.teams import ROOM, SHARED, THREADS, Form, binding
from circuitdsl.extras import how_to_get
from circuitdsl.frozen import frozen, mutable
from circuitdsl.lower.loop_ir import Program
from circuitdsl.runtime.cubin import ARCHITECTURES, made_for
from circuitdsl.runtime.device import Ready
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.memory import Held
from circuitdsl.runtime.routine import Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    AnyArray = NDArray[Any]

#: The oldest driver that takes what the extra's compilers write: of CUDA 13.0.
OLDEST = 13_000
#: What else can be done where there is no GPU.
WAY_OUT = "`--target cuda-emulated` runs the same kernels on this processor, slowly; `--target cpu` is the fast one"


class GpuError(RuntimeError):
    """The driver has refused something that it should have done."""


@cache
def the_gpu() -> Gpu:
    """This machine's first GPU. Raises UsageError, with the way out, if there is none that kernels can run on."""
    try:
        import numba_cuda  # noqa: F401
        from cuda.bindings import driver, nvjitlink, nvrtc  # noqa: F401
    except ImportError as problem:
        raise UsageError(f"target `cuda` needs `{problem.name}`: {how_to_get('numba_cuda')}; {WAY_OUT}") from None
    return _first(driver)


def _first(driver: Any) -> Gpu:
    try:
        (status,) = driver.cuInit(0)
    except RuntimeError as problem:
        raise UsageError(f"there is no NVIDIA driver on this machine ({_line(problem)}); {WAY_OUT}") from None
    if status.value:
        raise UsageError(f"the NVIDIA driver finds no GPU ({status.name}); {WAY_OUT}")
    _, version = driver.cuDriverGetVersion()
    if version < OLDEST:
        raise UsageError(
            f"the NVIDIA driver is of CUDA {version // 1000}.{version % 1000 // 10}, and kernels need one of "
            f"{OLDEST // 1000}.0 (release 580) or newer: update it; {WAY_OUT}"
        )
    _, device = driver.cuDeviceGet(0)
    kinds = driver.CUdevice_attribute

    def attribute(name: str) -> int:
        _, value = driver.cuDeviceGetAttribute(getattr(kinds, f"CU_DEVICE_ATTRIBUTE_{name}"), device)
        return int(value)

    arch = fitting(attribute("COMPUTE_CAPABILITY_MAJOR"), attribute("COMPUTE_CAPABILITY_MINOR"))
    _, context = driver.cuDevicePrimaryCtxRetain(device)
    return Gpu(driver, context, arch, attribute("MULTIPROCESSOR_COUNT"))


def _line(problem: Exception) -> str:
    return str(problem).split("\n")[0] or type(problem).__name__


def fitting(major: int, minor: int) -> str:
    """The architecture whose code a GPU of this compute capability runs: the newest of its family that is not newer.
    Raises UsageError if there is none."""
    same = [a for a in ARCHITECTURES if a[3:-1] == str(major) and int(a[-1]) <= minor]
    if not same:
        raise UsageError(
            f"the GPU is of compute capability {major}.{minor}, and kernels are made for "
            f"{', '.join(ARCHITECTURES)}; {WAY_OUT}"
        )
    return same[-1]


# ---------------------------------------------------------------- the GPU


@mutable
class Gpu:
    """A GPU with `processors` (multiprocessors), by its `driver`: a device, and its memory."""

    driver: Any
    context: Any
    arch: str
    processors: int
    room: int = SHARED
    store: Held = field(init=False)

    def __post_init__(self) -> None:
        self.store = Held(self)

    def ready(self, name: str, target: Target, program: Program, form: Form) -> Ready:
        kernel = print_kernel(program, program.aim.dtype, form, "cuda", comments=False)
        made = made_for(self.arch, name, kernel, form.shape)
        self.call("cuCtxSetCurrent", self.context)
        module = self.call("cuModuleLoadData", made.code)
        function = self.call("cuModuleGetFunction", module, made.facts.entry.encode())
        return Ready(self.store, kernel, Loaded(self, form, binding(kernel.program), function))

    def call(self, name: str, *arguments: Any) -> Any:
        """What a function of the driver gives. Raises GpuError."""
        status, *found = getattr(self.driver, name)(*arguments)
        if status.value:
            raise GpuError(f"{name}: {status.name}")
        return found[0] if len(found) == 1 else tuple(found)

    # ------------------------------------------------------------ memory

    def check_room(self, needed: int) -> None:
        self._enter()
        free, _ = self.call("cuMemGetInfo")
        if needed > free:
            raise UsageError(
                f"the GPU has {free / 2**20:,.0f} MiB of memory free, and this needs {needed / 2**20:,.0f} MiB: "
                f"use fewer copies, a smaller batch or a smaller circuit; {WAY_OUT}"
            )

    def make_room(self, size: int) -> int:
        self._enter()
        address = int(self.call("cuMemAlloc", max(1, size)))
        self.call("cuMemsetD8", address, 0, max(1, size))
        return address

    def set(self, address: int, array: AnyArray) -> None:
        self._enter()
        self.call("cuMemcpyHtoD", address, array.ctypes.data, array.nbytes)

    def get(self, address: int, array: AnyArray) -> None:
        self._enter()
        if array.nbytes:
            self.call("cuMemcpyDtoH", array.ctypes.data, address, array.nbytes)

    def copy(self, address: int, size: int) -> int:
        self._enter()
        twin = int(self.call("cuMemAlloc", max(1, size)))
        self.call("cuMemcpyDtoD", twin, address, size)
        return twin

    def free(self, address: int) -> None:
        self._enter()
        self.call("cuMemFree", address)

    def _enter(self) -> None:
        """Every thread of the host says anew which GPU it means."""
        self.call("cuCtxSetCurrent", self.context)


@frozen
class Loaded:
    """A kernel that the GPU has (`Launch`). Raises GpuError."""

    gpu: Gpu
    form: Form
    takes: Binding
    function: Any

    def __call__(self, frame: Frame, bases: Sequence[int]) -> None:
        import numpy as np

        self.gpu.call("cuCtxSetCurrent", self.gpu.context)
        places: NDArray[np.int64] = np.empty((len(frame), len(frame.parts)), dtype=np.int64)
        for i, (part, base) in enumerate(zip(frame.parts, bases, strict=True)):
            rows, step = (part.rows, part.array.strides[0]) if part.rows is not None else (
                np.arange(len(frame)), part.array[0].nbytes)  # fmt: skip
            places[:, i] = base + rows * step
        with self.gpu.store.putting() as put:
            put += [self.gpu.store.put(table) for table in (frame.wholes, frame.numbers, places)]
            self._launch(frame, put)

    def _launch(self, frame: Frame, tables: list[int]) -> None:
        import ctypes

        copies = len(frame)
        blocks, threads = self._extent(copies)
        wholes, numbers, places = tables
        values = (0, copies, wholes, numbers, *[places] * 4)
        arguments = values, (*(ctypes.c_int64,) * 2, *(ctypes.c_void_p,) * 6)
        shape = blocks, 1, 1, threads, 1, 1, self._shared(frame), 0
        if self.form.shape == "grid":
            self.gpu.call("cuLaunchCooperativeKernel", self.function, *shape, arguments)
        else:
            self.gpu.call("cuLaunchKernel", self.function, *shape, arguments, 0)
        self.gpu.call("cuCtxSynchronize")

    def _extent(self, copies: int) -> tuple[int, int]:
        """Blocks and their threads."""
        match self.form.shape:
            case "block":
                return copies, THREADS
            case "thread":
                return -(-copies // THREADS), THREADS
            case "grid":  # as many as are there at the same time: they wait for each other
                each = self.gpu.call("cuOccupancyMaxActiveBlocksPerMultiprocessor", self.function, THREADS, 0)
                return max(1, int(each)) * self.gpu.processors, THREADS

    def _shared(self, frame: Frame) -> int:
        """The bytes of shared memory that a block asks for: what it holds there, so that more blocks find room."""
        sizes = (part.array.nbytes for b, part in zip(self.takes.buffers, frame.parts, strict=True) if b.name == ROOM)
        return sum(sizes)
