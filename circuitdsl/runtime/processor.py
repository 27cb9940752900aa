"""What programs are made for on this machine."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from circuitdsl.lower.aims import aimed
from circuitdsl.lower.wide import LONG, SHORT
from circuitdsl.runtime.objects import host

if TYPE_CHECKING:
    from circuitdsl.emit.target import Target
    from circuitdsl.graph.ir import Circuit
    from circuitdsl.lower.loop_ir import Aim


def aimed_at(target: Target, aim: Aim, circuit: Circuit) -> Aim:
    """The aim with what a back end's programs of a circuit can be, on this machine's processor."""
    return aimed(aim, circuit, teams=target.teams, vectors=target.vectors, registers=vector_registers)


def vector_registers() -> int:
    """How many vectors this processor holds."""
    return 32 if _has_avx512() or _triple().startswith(("aarch64", "arm64")) else 16


def longest_vectors() -> int:
    """Bytes of this processor's longest vectors, as far as code is made for them: LONG or SHORT."""
    return LONG if _has_avx512() else SHORT


def _has_avx512() -> bool:
    return {"+avx512f", "+avx512vl"} <= set(_features().split(","))


def _triple() -> str:
    return _host()[0]


def _features() -> str:
    return _host()[2]


@cache
def _host() -> tuple[str, str, str]:
    """As `host`; nothing is known where nothing can be compiled."""
    with suppress(ModuleNotFoundError, RuntimeError):
        return host()
    return "", "", ""
