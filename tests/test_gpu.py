"""The driver's side of kernels, without a GPU: what is missing is said, and what a launch is given is right."""

from __future__ import annotations

import ctypes
import re
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from agreement import TOLERANCE, difference, parts, small
from bench import Bench, library

from circuitdsl.api import Emission, UsageError, load
from circuitdsl.emit.cuda import print_kernel
from circuitdsl.emit.teams import Form, Shape, binding
from circuitdsl.lower.loop_ir import Program
from circuitdsl.runtime import driver
from circuitdsl.runtime.backends import back_end
from circuitdsl.runtime.cache import load_code
from circuitdsl.runtime.cubin import ARCHITECTURES, check_arch
from circuitdsl.runtime.device import Given, OnDevice, Ready
from circuitdsl.runtime.driver import Gpu, Loaded, fitting
from circuitdsl.runtime.emulator import Emulator
from circuitdsl.runtime.engine import Compiled
from circuitdsl.runtime.occupancy import MULTIPROCESSORS, occupancy
from circuitdsl.runtime.population import Copies, Population, stack
from circuitdsl.runtime.routine import Frame, Part

KP = "heterosynaptic/kolen_pollack.circ"
OK = SimpleNamespace(value=0, name="CUDA_SUCCESS")


@dataclass
class StandIn:
    """The functions of CUDA's driver over this machine's memory; a kernel is object code for this processor."""

    free: int = 1 << 30
    memory: dict[int, Any] = field(default_factory=dict)
    launches: list[tuple[int, ...]] = field(default_factory=list)

    def cuCtxSetCurrent(self, context):
        return (OK,)

    def cuMemGetInfo(self):
        return OK, self.free, 1 << 33

    def cuMemAlloc(self, size):
        memory = ctypes.create_string_buffer(size)
        self.memory[ctypes.addressof(memory)] = memory
        return OK, ctypes.addressof(memory)

    def cuMemsetD8(self, address, value, size):
        ctypes.memset(address, value, size)
        return (OK,)

    def cuMemFree(self, address):
        del self.memory[address]
        return (OK,)

    def cuMemcpyHtoD(self, to, what, size):
        ctypes.memmove(to, what, size)
        return (OK,)

    def cuMemcpyDtoH(self, to, what, size):
        ctypes.memmove(to, what, size)
        return (OK,)

    def cuOccupancyMaxActiveBlocksPerMultiprocessor(self, function, threads, shared):
        return OK, 2

    def cuLaunchKernel(self, function, *rest):
        *shape, arguments, _ = rest
        return self._launch(function, shape, arguments)

    def cuLaunchCooperativeKernel(self, function, *rest):
        *shape, arguments = rest
        return self._launch(function, shape, arguments)

    def _launch(self, function, shape, arguments):
        self.launches.append(tuple(shape[:7]))
        values, types = arguments
        assert len(values) == len(types) == 8
        none = ctypes.c_int64()
        function._function(ctypes.addressof(none), ctypes.addressof(none), *values)
        return (OK,)

    def cuCtxSynchronize(self):
        return (OK,)


class OnStandIn(Gpu):
    """Kernels whose code is that of the emulated device."""

    def ready(self, name: str, target, program: Program, form: Form) -> Ready:
        def text(program, dtype, *, comments=True):
            return print_kernel(program, dtype, form, "emulated", comments=comments).text

        native = load_code(name, replace(target, print_program=text), program)
        kernel = print_kernel(program, program.aim.dtype, form, "emulated")
        return Ready(self.store, kernel, Loaded(self, form, binding(kernel.program), native))


def on_stand_in(gpu: Gpu, shape: Shape | None):
    def load(name, target, program):
        return OnDevice(name, target, program, gpu, shape)

    return replace(back_end("cuda"), load=load, device=lambda: gpu)


@pytest.mark.parametrize("shape", ["block", "thread", "grid"])
def test_a_launch_is_given_what_it_needs(shape: Shape) -> None:
    """Places, tables, room for each copy's work, and states back: a run, its evaluation, and nothing left behind."""
    bench = Bench(small(KP), examples=4, dtype="float32")
    gpu = OnStandIn(StandIn(), None, "none", 4)
    engine = Compiled(bench.circuit, bench.engine.probes, target="cuda")
    engine.population.code.back_end = on_stand_in(gpu, shape)
    state = bench.state.copy()
    named = {"data": bench.data, "order": bench.order, "numbers": bench.numbers, "seed": 3, "epoch": 1}
    engine.train(state, batch=1, **named)
    bench.train(seed=3, epoch=1)
    for name, expected in parts(bench.state):
        assert difference(dict(parts(state))[name], expected) < TOLERANCE["float32"], name
    assert len(gpu.driver.memory) == len(gpu.store.data) == 2  # the data set stays
    blocks = {"block": 1, "thread": 1, "grid": 8}[shape]
    ((*extent, shared),) = gpu.driver.launches
    assert extent == [blocks, 1, 1, 256, 1, 1]
    assert (0 < shared <= 48 * 1024) == (shape == "block")


@pytest.mark.parametrize("shape", ["block", "thread"])
def test_copies_go_in_one_launch(shape: Shape) -> None:
    bench = Bench(small(KP), examples=4, dtype="float32")
    gpu = OnStandIn(StandIn(), None, "none", 4)
    population = Population(bench.circuit, (), target="cuda")
    population.code.back_end = on_stand_in(gpu, shape)
    states = stack([bench.state.copy() for _ in range(3)])
    orders = [bench.order, bench.order[::-1].copy(), bench.order]
    copies = Copies(data=[bench.data] * 3, orders=orders, numbers=[bench.numbers] * 3, seeds=[3, 4, 3])
    population.train(states, copies, epoch=1, batch=1)
    assert len(gpu.driver.launches) == 1
    bench.train(seed=3, epoch=1)
    first, second, third = states.weights["W1"]
    assert difference(first, bench.state.weights["W1"]) < TOLERANCE["float32"]
    assert first.tobytes() == third.tobytes()
    assert first.tobytes() != second.tobytes()


# ---------------------------------------------------------------- what is missing


def test_memory_that_is_not_there() -> None:
    gpu = Gpu(StandIn(free=3 << 20), None, "sm_90", 4)
    gpu.check_room(3 << 20)
    with pytest.raises(UsageError, match="3 MiB of memory free, and this needs 5 MiB"):
        gpu.check_room(5 << 20)


def test_which_code_a_gpu_runs() -> None:
    assert [fitting(*each) for each in ((7, 5), (8, 0), (8, 9), (9, 0), (10, 3), (12, 1))] == [
        "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120",
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"compute capability 7\.0, and kernels are made for sm_75"):
        fitting(7, 0)
    with pytest.raises(UsageError, match="no architecture `sm_91`; kernels are made for sm_75"):
        check_arch("sm_91")


def started(version: int = 13000, status: str = "") -> Any:
    """A driver that says this when it starts."""
    code = SimpleNamespace(value=1, name=status) if status else OK
    return SimpleNamespace(cuInit=lambda flags: (code,), cuDriverGetVersion=lambda: (OK, version))


def test_a_driver_that_will_not_do() -> None:
    with pytest.raises(UsageError, match=r"of CUDA 12\.8, and kernels need one of 13\.0 .* update it; .*cuda-emulated"):
        driver._first(started(12080))
    with pytest.raises(UsageError, match=r"finds no GPU .CUDA_ERROR_NO_DEVICE.; .*--target cpu"):
        driver._first(started(status="CUDA_ERROR_NO_DEVICE"))


def test_no_extra_is_said_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "numba_cuda", None)
    driver.the_gpu.cache_clear()
    with pytest.raises(UsageError, match=r"pip install 'circuitdsl\[cuda\]'; .*cuda-emulated"):
        driver.the_gpu()


def test_more_elements_than_32_bits_can_tell_apart() -> None:
    program = OnDevice("", back_end("cuda").target, small_program(), Emulator()).program
    array = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (1, 2**31), (0, 0))
    frame = Frame.__new__(Frame)
    held = [Part(array, np.zeros(1, np.int64)) for _ in range(len(back_end("cuda").target.binding(program).buffers))]
    object.__setattr__(frame, "parts", held)
    with pytest.raises(UsageError, match=r"2,147,483,648 elements, .* use `cpu`"):
        Given(program, frame, 0, 1).check(Form(shape="grid"))


def small_program() -> Program:
    from circuitdsl.lower.loop_ir import for_teams
    from circuitdsl.lower.pipeline import passed
    from circuitdsl.lower.schedule import lower_training

    return passed(lower_training(library(KP), online=True, aim=for_teams("float32")))


def test_how_many_blocks_a_multiprocessor_holds() -> None:
    """By threads, registers or shared memory, whichever is first used up: by hand from each architecture's limits."""
    assert occupancy("sm_90", 32, 0).blocks == 8
    assert occupancy("sm_90", 32, 0).part == 1
    assert occupancy("sm_90", 70, 0).blocks == 3
    assert occupancy("sm_90", 32, 48 * 1024).blocks == 4
    assert occupancy("sm_75", 64, 22_392).blocks == 2
    assert occupancy("sm_86", 40, 1).blocks == 6
    assert MULTIPROCESSORS.keys() == set(ARCHITECTURES)


# ---------------------------------------------------------------- code, offline


def test_emit_says_the_shape_and_why() -> None:
    text = Emission(circuit=load(KP)).source("cuda")
    assert "# block: 1 copy, a block each: 22,392 of 22,392 bytes in shared memory" in text


@pytest.mark.skipif(find_spec("numba_cuda") is None, reason="needs the extra cuda: pip install 'circuitdsl[cuda]'")
@pytest.mark.parametrize("arch", ["sm_75", "sm_90"])
def test_kernels_take_what_they_may(arch: str) -> None:
    """No spills and no 64-bit arithmetic, in at most 128 registers; and what the table says."""
    from cubins import FEW, kernels, known, told, wrong

    for name in FEW:
        for made in kernels(name, ("block",), programs=1):
            facts = made.facts(arch)
            assert wrong(facts) == "", made.key
            assert known()[made.key][arch] == told(facts), made.key


@pytest.mark.skipif(find_spec("numba_cuda") is None, reason="needs the extra cuda: pip install 'circuitdsl[cuda]'")
def test_fewer_passes_give_the_code_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instruction for instruction, of a kernel with helpers within helpers; names are made of counters."""
    from cubins import kernels

    from circuitdsl.runtime import ltoir_passes
    from circuitdsl.runtime.cubin import made_for

    (made,) = kernels("classic/oja.circ", ("block",), programs=1)
    texts = []
    for passes in (ltoir_passes.lean, nullcontext):
        monkeypatch.setattr(ltoir_passes, "lean", passes)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / passes.__name__))
        ptx = made_for("sm_90", made.key[1], made.kernel, made.shape).ptx
        texts.append(re.sub(r"_(ZN|cudapy)\w+", "name", ptx))
    assert texts[0] == texts[1]
