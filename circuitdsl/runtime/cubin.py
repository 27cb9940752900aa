"""From the text of a kernel to code for a GPU, without a GPU: its functions (ltoir.py), linked by nvJitLink.

What is made is kept on disk (store/entries.py), under the text of the kernel, its architecture and the compilers.
"""

from __future__ import annotations

import json
import re
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from time import process_time
from typing import TYPE_CHECKING

from circuitdsl.emit.teams import Shape
from circuitdsl.extras import named
from circuitdsl.frozen import frozen
from circuitdsl.runtime.errors import UsageError
from circuitdsl.runtime.ltoir import barrier, pieces, versions
from circuitdsl.store.entries import Entry

if TYPE_CHECKING:
    from circuitdsl.emit.cuda import Kernel

#: The GPUs that kernels are made for: Turing, Ampere, its small ones, Hopper, Blackwell and its small ones.
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
#: Registers of a thread beyond which fewer threads find room; with so many, 512 of a block do.
MOST_REGISTERS = 128

_COMPILING = threading.Lock()


@frozen(kw_only=True)
class Facts:
    """What code takes of a GPU. `entry`: the name of its kernel; `registers` of a thread; bytes of `spills`, of static
    `shared` memory and of the `stack`; `doubles`: whether it computes in 64 bits anywhere; `seconds` of processor time
    that it took to make, with all its functions."""

    entry: str
    registers: int
    spills: int
    shared: int
    stack: int
    doubles: bool
    seconds: float


@frozen(kw_only=True)
class Cubin:
    """Code for one architecture, the assembly that it was made of, and what it takes."""

    arch: str
    code: bytes
    ptx: str
    facts: Facts

    def packed(self) -> bytes:
        parts = json.dumps(asdict(self.facts)).encode(), self.ptx.encode(), self.code
        return zlib.compress(b"".join(len(part).to_bytes(8, "little") + part for part in parts))

    @staticmethod
    def unpacked(arch: str, kept: bytes) -> Cubin:
        parts, whole = [], zlib.decompress(kept)
        while whole:
            size = int.from_bytes(whole[:8], "little")
            parts.append(whole[8 : 8 + size])
            whole = whole[8 + size :]
        facts, ptx, code = parts
        return Cubin(arch=arch, code=code, ptx=ptx.decode(), facts=Facts(**json.loads(facts)))


def check_arch(arch: str) -> tuple[int, int]:
    """The compute capability of an architecture. Raises UsageError for one that nothing is made for."""
    if arch not in ARCHITECTURES:
        raise UsageError(f"there is no architecture `{arch}`; kernels are made for {', '.join(ARCHITECTURES)}")
    number = arch.removeprefix("sm_")
    return int(number[:-1]), int(number[-1])


def made_for(arch: str, name: str, kernel: Kernel, shape: Shape) -> Cubin:
    """The kernel as code for that architecture. Raises Missing without the extra `cuda`, UsageError for another
    architecture."""
    check_arch(arch)
    with named(), _COMPILING, _quiet():
        entry = Entry("code", f"{name}_{arch}", "\n".join([versions(), arch, kernel.text]))
        kept = entry.read()
        if kept is not None:
            return Cubin.unpacked(arch, kept)
        made = _made(arch, name, kernel, shape)
        entry.write(made.packed())
        return made


def _made(arch: str, name: str, kernel: Kernel, shape: Shape) -> Cubin:
    parts = pieces(name, kernel)
    begin = process_time()
    linked = [*(part.code for part in parts), *([barrier(arch)] if shape == "grid" else [])]
    code, log = _linked(arch, linked)
    if _number(_REGISTERS, log) > MOST_REGISTERS:
        with_fewer = _linked(arch, linked, f"-maxrregcount={MOST_REGISTERS}")
        if not _number(_SPILLS, with_fewer[1]):
            code, log = with_fewer
    seconds = process_time() - begin + sum(part.seconds for part in parts)
    ptx = _linked(arch, linked, "-ptx")[0].rstrip(b"\0").decode()
    return Cubin(arch=arch, code=code, ptx=ptx, facts=_facts(log, ptx, seconds))


@contextmanager
def _quiet() -> Iterator[None]:
    """Numba warns of launches that would fill no GPU, and of its own age."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# ---------------------------------------------------------------- linking


def _linked(arch: str, parts: list[bytes], *more: str) -> tuple[bytes, str]:
    """What the linker makes of pieces of LTO-IR, and what it says of it."""
    from cuda.bindings import nvjitlink

    options = [f"-arch={arch}", "-lto", "-verbose", "-O3", *more]
    handle = nvjitlink.create(len(options), options)
    try:
        for number, part in enumerate(parts):
            nvjitlink.add_data(handle, nvjitlink.InputType.LTOIR, part, len(part), f"piece{number}")
        nvjitlink.complete(handle)
        if "-ptx" in more:
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


_REGISTERS, _SPILLS = r"Used (\d+) registers", r"(\d+) bytes spill stores"


def _number(pattern: str, log: str) -> int:
    """The largest number that the linker says so of."""
    return max((int(found) for found in re.findall(pattern, log)), default=0)


def _facts(log: str, ptx: str, seconds: float) -> Facts:
    entry = re.search(r"Compiling entry function '(\w+)'", log)
    assert entry is not None
    return Facts(
        entry=entry[1],
        registers=_number(_REGISTERS, log),
        spills=_number(_SPILLS, log),
        shared=_number(r"(\d+) bytes smem", log),
        stack=_number(r"(\d+) bytes stack frame", log),
        doubles=".f64" in ptx,
        seconds=seconds,
    )
