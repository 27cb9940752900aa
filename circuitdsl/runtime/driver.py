"""Kernels on an NVIDIA GPU, by its driver: room, put, launch, wait, get.

Code is a cubin (cubin.py), so that the driver compiles nothing. Data sets stay on the GPU; states are brought there for
a call and back after it. What is missing on a machine is said with the way out, before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from circuitdsl.emit.cuda import Kernel, print_kernel
from circuitdsl.emit.target import Target
from circuitdsl.emit.teams import FLAG, OWN, ROOM, SHARED, Form, binding
from circuitdsl.extras import how_to_get
from circuitdsl.lower.loop_ir import Program, Role
from circuitdsl.runtime.cubin import ARCHITECTURES, made_for
from circuitdsl.runtime.device import OnDevice, SideBySide
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.routine import Frame, Part, Routine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    AnyArray = NDArray[Any]

#: The oldest driver that takes what the extra's compilers write: of CUDA 13.0.
OLDEST = 13_000
#: Threads of a block: with more, barriers cost more than small layers gain.
THREADS = 256
#: What else can be done where there is no GPU.
WAY_OUT = "`--target cuda-emulated` runs the same kernels on this processor, slowly; `--target cpu` is the fast one"


class GpuError(RuntimeError):
    """The driver has refused something that it should have done."""


def load_gpu(name: str, target: Target, program: Program) -> Routine:
    """The code of a program on this machine's first GPU. Raises UsageError, with the way out, if there is none that
    can run it."""
    return OnDevice(name, target, program, the_gpu())


@cache
def the_gpu() -> Gpu:
    """The first GPU. Raises UsageError as `load_gpu`."""
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


@dataclass(slots=True)
class Gpu:
    """A GPU with `processors` (multiprocessors), by its `driver`."""

    driver: Any
    context: Any
    arch: str
    processors: int
    room: int = SHARED
    kept: dict[int, tuple[AnyArray, int]] = field(default_factory=dict)

    def ready(self, name: str, target: Target, program: Program, form: Form) -> Loaded:
        kernel = print_kernel(program, program.aim.dtype, form, "cuda", comments=False)
        made = made_for(self.arch, name, kernel, form.shape)
        self.call("cuCtxSetCurrent", self.context)
        module = self.call("cuModuleLoadData", made.code)
        return Loaded(self, kernel, form, self.call("cuModuleGetFunction", module, made.facts.entry.encode()))

    def call(self, name: str, *arguments: Any) -> Any:
        """What a function of the driver gives. Raises GpuError."""
        status, *found = getattr(self.driver, name)(*arguments)
        if status.value:
            raise GpuError(f"{name}: {status.name}")
        return found[0] if len(found) == 1 else tuple(found)

    def check_room(self, needed: int) -> None:
        """Raises UsageError if so many bytes are not free."""
        free, _ = self.call("cuMemGetInfo")
        if needed > free:
            raise UsageError(
                f"the GPU has {free / 2**20:,.0f} MiB of memory free, and this needs {needed / 2**20:,.0f} MiB: "
                f"use fewer copies, a smaller batch or a smaller circuit; {WAY_OUT}"
            )

    def put(self, array: AnyArray) -> int:
        """The address of a copy of an array in C order."""
        address = int(self.call("cuMemAlloc", max(1, array.nbytes)))
        if array.nbytes:
            self.call("cuMemcpyHtoD", address, array.ctypes.data, array.nbytes)
        return address

    def get(self, address: int, array: AnyArray) -> None:
        """Fills an array in C order with what stands there."""
        if array.nbytes:
            self.call("cuMemcpyDtoH", array.ctypes.data, address, array.nbytes)

    def keep(self, array: AnyArray) -> int:
        """The address of an array that nobody changes, which is put once."""
        if id(array) not in self.kept:
            self.kept[id(array)] = array, self.put(array)
        return self.kept[id(array)][1]

    @contextmanager
    def putting(self) -> Iterator[Putting]:
        """What is put within is freed afterwards."""
        putting = Putting(self)
        try:
            yield putting
        finally:
            for address in putting.addresses:
                self.call("cuMemFree", address)


@dataclass(slots=True)
class Putting:
    gpu: Gpu
    addresses: list[int] = field(default_factory=list)

    def put(self, array: AnyArray) -> int:
        self.addresses.append(self.gpu.put(array))
        return self.addresses[-1]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A kernel that the GPU has."""

    gpu: Gpu
    kernel: Kernel
    form: Form
    function: Any

    def run(self, frame: Frame, worker: int) -> None:
        """Runs all copies of a frame in one launch. Raises UsageError if their arrays find no room, GpuError."""
        import numpy as np

        self.gpu.call("cuCtxSetCurrent", self.gpu.context)
        buffers = binding(self.kernel.program).buffers
        held = [self._memory(b.role, b.name, part, len(frame)) for b, part in zip(buffers, frame.parts, strict=True)]
        fresh = [a for a, b in zip(held, buffers, strict=True) if b.role is not Role.DATA]
        self.gpu.check_room(sum(a.nbytes for a in fresh))
        with self.gpu.putting() as putting:
            places: NDArray[np.int64] = np.empty((len(frame), len(buffers)), dtype=np.int64)
            bases = []
            for i, (buffer, array, part) in enumerate(zip(buffers, held, frame.parts, strict=True)):
                bases.append(self.gpu.keep(array) if buffer.role is Role.DATA else putting.put(array))
                rows = np.arange(len(frame)) if part.rows is None else part.rows
                places[:, i] = bases[i] + rows * part.array.strides[0]
            tables = [putting.put(a) for a in (frame.wholes, frame.numbers, places)]
            self._launch(len(frame), tables)
            for buffer, array, part, base in zip(buffers, held, frame.parts, bases, strict=True):
                if buffer.name not in (ROOM, FLAG) and (buffer.role in OWN or buffer.role is Role.RESULT):
                    self._back(part, array, base)

    def _memory(self, role: Role, name: str, part: Part, copies: int) -> AnyArray:
        """The array that stands in the GPU's memory for a part, in C order; work space has a row for every copy."""
        import numpy as np

        if isinstance(part, SideBySide):
            return part.array.T
        if name == ROOM:
            return part.array[:, :0]  # shared memory is no memory
        if part.rows is None:
            return np.zeros((copies, *part.array.shape[1:]), part.array.dtype)
        return part.array

    def _back(self, part: Part, array: AnyArray, base: int) -> None:
        """What copies have changed; of work space, what a single copy leaves."""
        if part.rows is not None:
            self.gpu.get(base, array)
        elif len(array) == 1:
            self.gpu.get(base, array)
            part.array[0] = array[0]

    def _launch(self, copies: int, tables: list[int]) -> None:
        import ctypes

        blocks, threads = self._extent(copies)
        wholes, numbers, places = tables
        values = (0, copies, wholes, numbers, *[places] * 4)
        arguments = values, (*(ctypes.c_int64,) * 2, *(ctypes.c_void_p,) * 6)
        shape = blocks, 1, 1, threads, 1, 1, self._shared(), 0
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

    def _shared(self) -> int:
        return self.gpu.room if self.form.shared else 0
