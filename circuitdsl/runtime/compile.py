"""From an emitted module to object code: Numba types the functions, LLVM makes one piece of them.

Numba types the functions and links them into the entry point, but makes nothing ready to be called: that is what takes
objects.py, in the process that compiles as in those that find the code on disk. Nothing but the entry point can be
called from outside. What Numba does for objects, exceptions and debuggers is left out, and each function is optimized
once. Only who has to compile imports this module (and Numba by it).
"""

from __future__ import annotations

import threading
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from numba import types
from numba.core.cgutils import alloca_once
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler import CompilerBase, _LowerResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import (
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
)
from numba.core.untyped_passes import FixupArgs, IRProcessing, TranslateByteCode

from circuitdsl.emit.marks import FILLS
from circuitdsl.lower.copies import LANES
from circuitdsl.lower.wide import ABREAST, SHORT
from circuitdsl.runtime.objects import SYMBOL, packed
from circuitdsl.runtime.processor import longest_vectors
from circuitdsl.runtime.remembering import Operators, Remembering

_COMPILING = threading.Lock()


def compiled(module: ModuleType, name: str, dtype: str) -> bytes:
    """The object code of the entry point `name` of an emitted module, packed (objects.py)."""
    with _COMPILING:
        for each in vars(module).values():
            if hasattr(each, "targetoptions"):
                each._compiler.pipeline_class = _Lean
        linked = _linked(getattr(module, name), dtype)
        _without_unused(linked)
        needs = [f.name for f in linked.functions if f.is_declaration and not f.name.startswith("llvm.")]
        return packed(_emitted(linked), needs)


class Vectors(NamedTuple):
    """What a function's loops become: vectors of so many bytes, and whether several are done side by side."""

    width: int
    abreast: bool


#: Where nobody knows how long rows are.
UNTOLD = Vectors(SHORT, True)


def vectors_for(fills: int, longest: int) -> Vectors:
    """The vectors for rows that fill so many bytes of them (lower/wide.py; 0: nobody knows), on a processor whose
    longest have so many. What fills the shorter ones only is done in those; several are done side by side where
    they are filled."""
    if fills == 0:
        return UNTOLD
    width = SHORT if fills == SHORT else longest
    return Vectors(width, fills >= ABREAST * width)


def machine_made_for(width: int = SHORT) -> tuple[str, str]:
    """Name and features of the processor that code is made for, with vectors of so many bytes: this one."""
    prefers = [f"{'+' if width == SHORT else '-'}prefer-256-bit"] if _is_x86() else []
    return llvm.get_host_cpu_name(), ",".join([llvm.get_host_cpu_features().flatten(), *prefers])


def _is_x86() -> bool:
    return str(llvm.get_process_triple()).startswith("x86")


@cache
def _machine(width: int = SHORT) -> llvm.TargetMachine:
    name, features = machine_made_for(width)
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=name, features=features, opt=3, jit=True, codemodel="jitdefault",
        reloc="static" if _is_x86() else "default",
    )  # fmt: skip


def _linked(function: Any, dtype: str) -> Any:
    """An LLVM module with the entry point and all that it calls, optimized."""
    real = {"float32": types.float32, "float64": types.float64}[dtype]
    numbers = (types.CPointer(types.int64), types.CPointer(real))
    arrays = (types.CPointer(types.CPointer(element)) for element in (real, types.int64, types.int32, types.uint8))
    function.compile((types.int64, types.int64, *numbers, *arrays))
    (result,) = function.overloads.values()
    library = result.library
    with global_compiler_lock:
        for phase in dict.fromkeys(library._linking_libraries):
            _optimize(phase)
        library.finalize()
        _optimize(library, loops=False)
    made = library._final_module
    for each in made.functions:
        if each.name == result.fndesc.llvm_func_name:
            each.name = SYMBOL
        elif not each.is_declaration:
            each.linkage = "internal"
    return made


def _emitted(linked: Any) -> bytes:
    code: bytes = _machine(longest_vectors()).emit_object(linked)
    return code


def _optimize(library: CPUCodeLibrary, *, loops: bool = True) -> None:
    """Optimizes a function with all that it calls. `loops`: whether they are worth it, as those of phases are; the
    entry point has but the one over the examples."""
    vectors, copies = (library.vectors, library.copies) if isinstance(library, _Plain) else (UNTOLD, False)
    options = llvm.create_pipeline_tuning_options(speed_level=3 if loops else 1)
    options.loop_interleaving, options.loop_unrolling = vectors.abreast, loops and not copies
    if not loops:
        options.loop_vectorization = options.slp_vectorization = False
    builder = llvm.create_pass_builder(_machine(vectors.width), options)
    builder.getModulePassManager().run(library._final_module, builder)
    if copies:
        _unroll(library._final_module, builder)


def _unroll(module: Any, builder: Any) -> None:
    """Writes out the few rounds that are left of loops over copies, once they are vectors, and not before: what they
    keep in memory between rounds goes into registers."""
    passes = llvm.create_new_function_pass_manager()
    passes.add_loop_unroll_pass()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    for each in module.functions:
        if not each.is_declaration:
            passes.run(each, builder)


def _without_unused(module: Any) -> None:
    """Leaves out the functions that have become part of those that call them."""
    builder = llvm.create_pass_builder(_machine(), llvm.create_pipeline_tuning_options(speed_level=0))
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, builder)


class _Plain(CPUCodeLibrary):
    """Functions as they are, to be linked into those that call them."""

    vectors, copies = UNTOLD, False

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None: ...

    def _finalize_final_module(self) -> None:
        self._finalized = True


class _Lower(Operators, Lower):
    """Numba's, but that variables are numbers and addresses: none holds a reference that ends with it, and none is told
    to a debugger."""

    def incref(self, typ: Any, val: Any) -> None: ...

    def decref(self, typ: Any, val: Any) -> None: ...

    def storevar(self, value: Any, name: str, argidx: int | None = None) -> None:
        self._alloca_var(name, self.typeof(name))
        if name in self._singly_assigned_vars and not self._disable_sroa_like_opt:
            self._blk_local_varmap[name] = value
        else:
            self.builder.store(value, self.getvar(name))

    def alloca_lltype(self, name: str, lltype: Any, datamodel: Any = None) -> Any:
        return alloca_once(self.builder, lltype, name=name)


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):
    """Numba's, but that the function is only told to those that call it."""

    _name = "circuitdsl_lowering"
    lowering_class = _Lower

    def run_pass(self, state: Any) -> bool:
        state.flags.no_compile = True
        state.library = _Plain(state.targetctx.codegen(), state.func_id.func_qualname)
        function = state.func_id.func
        state.library.vectors = vectors_for(getattr(function, FILLS, 0), longest_vectors())
        state.library.copies = LANES in function.__globals__
        super().run_pass(state)
        lowered = state["cr"]
        name: Any = [].append  # any builtin that is no other one
        state.targetctx.insert_user_function(name, lowered.fndesc, [state.library])
        state["cr"] = _LowerResult(lowered.fndesc, lowered.call_helper, cfunc=name, env=lowered.env)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _Typing(Remembering, NopythonTypeInference):
    _name = "circuitdsl_typing"


class _Lean(CompilerBase):
    """The passes of Numba that plain loops over numbers need."""

    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager("circuitdsl")
        for each in (
            TranslateByteCode, FixupArgs, IRProcessing, _Typing, _Lowering, NoPythonBackend,
        ):  # fmt: skip
            passes.add_pass(each, each.__name__)
        passes.finalize()
        return [passes]
