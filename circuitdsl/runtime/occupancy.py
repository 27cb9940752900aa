"""How many blocks of threads a multiprocessor of a GPU holds at the same time, by what each takes of it."""

from __future__ import annotations

from circuitdsl.emit.teams import THREADS
from circuitdsl.frozen import frozen

#: Threads of a warp, registers of a multiprocessor, and how many of them are given to a warp at a time.
WARP, REGISTERS, REGISTER_STEP = 32, 65_536, 256


@frozen(kw_only=True)
class Multiprocessor:
    """The most warps and blocks at the same time, and the bytes of shared memory: of all, taken by every block beside
    its own, and given at a time."""

    warps: int
    blocks: int
    shared: int
    taken: int = 1024
    step: int = 128


#: By architecture: the technical specifications of the CUDA programming guide.
MULTIPROCESSORS = {
    "sm_75": Multiprocessor(warps=32, blocks=16, shared=64 * 1024, taken=0, step=256),
    "sm_80": Multiprocessor(warps=64, blocks=32, shared=164 * 1024),
    "sm_86": Multiprocessor(warps=48, blocks=16, shared=100 * 1024),
    "sm_90": Multiprocessor(warps=64, blocks=32, shared=228 * 1024),
    "sm_100": Multiprocessor(warps=64, blocks=32, shared=228 * 1024),
    "sm_120": Multiprocessor(warps=48, blocks=24, shared=100 * 1024),
}


@frozen
class Occupancy:
    """Blocks of a kernel on one multiprocessor, and the part of its threads that they are."""

    blocks: int
    part: float

    def __str__(self) -> str:
        return f"{self.blocks} blocks of {THREADS} threads to a multiprocessor, {self.part:.0%} of its threads"


def occupancy(arch: str, registers: int, shared: int) -> Occupancy:
    """Of blocks whose threads take so many registers each, and which take so many bytes of shared memory."""
    has, warps = MULTIPROCESSORS[arch], THREADS // WARP
    each = _up(registers * WARP, REGISTER_STEP)
    limits = [
        has.blocks,
        has.warps // warps,
        REGISTERS // (each * warps) if each else has.blocks,
        has.shared // (_up(shared, has.step) + has.taken) if shared + has.taken else has.blocks,
    ]
    blocks = min(limits)
    return Occupancy(blocks, blocks * warps / has.warps)


def _up(number: int, step: int) -> int:
    return -(-number // step) * step
