"""Object code: put into memory and called without the compiler that made it."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from circuitdsl.runtime.routine import Native

if TYPE_CHECKING:
    from collections.abc import Collection

#: What the entry point is called in all object code.
SYMBOL = "circuitdsl_entry"
#: What packed object code begins with; another number for another way to call it.
MARK = b"object 1\n"
#: What LLVM itself may call where the code applies a function or copies numbers.
_BELOW = frozenset(
    {"memcpy", "memmove", "memset"}
    | {name + kind for kind in ("", "f") for name in ("exp", "floor", "fmod", "log", "pow", "sin", "cos", "sqrt")}
)


def host() -> tuple[str, str, str]:
    """Triple, name and features of this machine's processor: code that is made for another may not run here."""
    llvm = _llvm()
    return llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def packed(code: bytes, needs: Collection[str]) -> bytes:
    """Object code, and before it the names of the functions that it needs of a process."""
    return MARK + ",".join(sorted(needs)).encode() + b"\n" + code


def load_object(content: bytes) -> Native | None:
    """The entry point of what was `packed`; None if it is nothing of that kind, or if this process lacks something that
    it needs."""
    if not content.startswith(MARK):
        return None
    llvm = _llvm()
    needs, _, code = content.removeprefix(MARK).partition(b"\n")
    for name in {*needs.decode().split(","), *_BELOW} - {""}:
        if (address := _address(name)) is None:
            return None
        llvm.add_symbol(name, address)
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(SYMBOL)
    return Native(address, engine) if address else None


def _address(name: str) -> int | None:
    """Where a function is in this process: in its C libraries, or among those that the compiler has made known."""
    for library in _libraries():
        with suppress(AttributeError):
            return ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    found: int | None = _llvm().address_of_symbol(name)
    return found


@cache
def _libraries() -> list[ctypes.CDLL]:
    found = []
    for name in (None, "libm.so.6", "ucrtbase", "kernel32"):  # the process itself holds most of it
        with suppress(OSError, TypeError):
            found.append(ctypes.CDLL(name))
    return found


@cache
def _llvm() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm
