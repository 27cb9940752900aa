"""How the text of a kernel begins: what its words mean on a GPU, on the emulated device and in the simulator.

The words are the same everywhere: `threads`, `turns`, `team_at`, `leads`, `meet`, `barrier` and so on. On a GPU a
thread asks where it is; on the emulated device there is a turn for each team and each lane.
"""

from __future__ import annotations

from typing import Literal

from circuitdsl.emit.target import DType
from circuitdsl.emit.teams import Shape

#: Where the text is to run.
Surface = Literal["cuda", "emulated", "simulator"]


def head(surface: Surface, shape: Shape, dtype: DType, *, threads: int = 32, backwards: bool = False) -> list[str]:
    """The lines before everything else; `threads` and `backwards` are for the emulated device."""
    if surface == "emulated":
        count = 1 if shape == "thread" else threads
        words = _EMULATED.format(threads=count, backwards=backwards, one=_FLAG[shape])
        return [*_EMULATED_IMPORTS.format(dtype=dtype).strip().split("\n"), *words.strip().split("\n"), *_width()]
    place = {"block": _BLOCK, "thread": _THREAD, "grid": _GRID}[shape]
    imports = _CUDA_IMPORTS if surface == "cuda" else _SIMULATOR_IMPORTS
    together = _ALONE if surface == "simulator" or shape == "thread" else _TEAM
    room = _SHARED.format(dtype=dtype) if shape == "block" else ""
    lines = [line for part in (imports, place, together, room) for line in part.strip("\n").split("\n")]
    return [*lines, *(_width() if surface == "cuda" and shape != "thread" else _ONE_WIDE.strip("\n").split("\n"))]


#: What `barrier` takes.
_FLAG = {"block": "", "thread": "", "grid": "flag"}


def _width() -> list[str]:
    return _WIDTH.strip("\n").split("\n")


_EMULATED_IMPORTS = """
import numpy as math
from numba import config, njit
from numpy import float32, float64

if config.DISABLE_JIT:
    int32 = uint32 = int64 = int
else:
    from numpy import int32, int64, uint32

helper = phase = entry = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""

_EMULATED = """
THREADS = {threads}
BACKWARDS = {backwards}


@helper
def first_copy(begin):
    return begin


@helper
def copy_step():
    return 1


@helper
def threads():
    return int32(THREADS)


@helper
def turns(width):
    return int32(THREADS // width)


@helper
def team_at(turn, width):
    return int32(THREADS // width - 1 - turn) if BACKWARDS else int32(turn)


@helper
def lane_turns(width):
    return width


@helper
def lane_at(turn, width):
    return int32(width - 1 - turn) if BACKWARDS else int32(turn)


@helper
def lane_in_turn(turn, width):
    return int32(turn)


@helper
def leads(width):
    return True


@helper
def meet(width):
    pass


@helper
def together(value, width):
    return value


@helper
def barrier({one}):
    pass


@helper
def shared(room):
    return room
"""

_CUDA_IMPORTS = """
import math
from numba import cuda, float32, float64, int32, int64, types, uint32

helper = cuda.jit(device=True, inline="always")


def phase(function):
    return function


entry = phase
"""

_SIMULATOR_IMPORTS = """
import math
from numba import cuda, float32, float64, int32, int64, types, uint32

helper = phase = cuda.jit(device=True)
entry = cuda.jit
"""

_BLOCK = """


@helper
def first_copy(begin):
    return int64(begin + int64(cuda.blockIdx.x))


@helper
def copy_step():
    return int64(cuda.gridDim.x)


@helper
def threads():
    return int32(cuda.blockDim.x)


@helper
def turns(width):
    return int32(1)


@helper
def team_at(turn, width):
    return int32(int32(cuda.threadIdx.x) // width)


@helper
def barrier():
    cuda.syncthreads()
"""

_THREAD = """


@helper
def first_copy(begin):
    return int64(begin + int64(cuda.grid(1)))


@helper
def copy_step():
    return int64(cuda.gridsize(1))


@helper
def threads():
    return int32(1)


@helper
def turns(width):
    return int32(1)


@helper
def team_at(turn, width):
    return int32(0)


@helper
def barrier():
    pass
"""

_GRID = """

grid_barrier = cuda.declare_device("grid_barrier", types.int32(types.CPointer(types.int64), types.int32), abi="c")


@helper
def first_copy(begin):
    return begin


@helper
def copy_step():
    return int64(1)


@helper
def threads():
    return int32(cuda.gridsize(1))


@helper
def turns(width):
    return int32(1)


@helper
def team_at(turn, width):
    return int32(int32(cuda.grid(1)) // width)


@helper
def barrier(flag):
    grid_barrier(flag, int32(cuda.gridDim.x))
"""

_TEAM = """


@helper
def lane_turns(width):
    return int32(1)


@helper
def lane_at(turn, width):
    return int32(int32(cuda.threadIdx.x) & int32(width - int32(1)))


@helper
def lane_in_turn(turn, width):
    return int32(int32(cuda.threadIdx.x) & int32(width - int32(1)))


@helper
def leads(width):
    return int32(int32(cuda.threadIdx.x) & int32(width - int32(1))) == int32(0)


@helper
def team_mask(width):
    first = uint32(uint32(cuda.threadIdx.x) & uint32(int32(32) - width))
    return uint32(uint32(uint32(0xFFFFFFFF) >> uint32(int32(32) - width)) << first)


@helper
def meet(width):
    cuda.syncwarp(team_mask(width))


@helper
def together(value, width):
    mask = team_mask(width)
    step = int32(width >> int32(1))
    while step > int32(0):
        value = value + cuda.shfl_xor_sync(mask, value, step)
        step = int32(step >> int32(1))
    return value
"""

_ALONE = """


@helper
def lane_turns(width):
    return int32(1)


@helper
def lane_at(turn, width):
    return int32(0)


@helper
def lane_in_turn(turn, width):
    return int32(0)


@helper
def leads(width):
    return True


@helper
def meet(width):
    pass


@helper
def together(value, width):
    return value
"""

_SHARED = """


@helper
def shared(room):
    return cuda.shared.array(0, {dtype})
"""

_ONE_WIDE = """


@helper
def team_width(rounds, threads):
    return int32(1)
"""

_WIDTH = """


@helper
def team_width(rounds, threads):
    width = int32(1)
    while width < int32(32) and int64(rounds) * int64(width) * int64(2) <= int64(threads):
        width = int32(width * int32(2))
    return width
"""
