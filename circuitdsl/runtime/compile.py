"""From an emitted module to object code: Numba types the functions, LLVM makes one piece of them.

Numba types and optimizes the functions and links them into the entry point, but makes nothing ready to be called: that
is what takes objects.py, in the process that compiles as in those that find the code on disk. Nothing but the entry
point can be called from outside. Only who has to compile imports this module (and Numba by it).
"""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Any

import llvmlite.binding as llvm
from numba import types
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler import CompilerBase, _LowerResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import (
    AnnotateTypes,
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import FixupArgs, IRProcessing, TranslateByteCode

from circuitdsl.runtime.objects import SYMBOL, packed

_COMPILING = threading.Lock()


def compiled(module: ModuleType, name: str, dtype: str) -> bytes:
    """The object code of the entry point `name` of an emitted module, packed (objects.py)."""
    with _COMPILING:
        for each in vars(module).values():
            if hasattr(each, "targetoptions"):
                each._compiler.pipeline_class = _Lean
        linked, target = _linked(getattr(module, name), dtype)
        _without_unused(linked, target)
        needs = [f.name for f in linked.functions if f.is_declaration and not f.name.startswith("llvm.")]
        return packed(target.emit_object(linked), needs)


def _linked(function: Any, dtype: str) -> tuple[Any, Any]:
    """An LLVM module with the entry point and all that it calls, optimized, and the machine that it is for."""
    real = {"float32": types.float32, "float64": types.float64}[dtype]
    numbers = (types.CPointer(types.int64), types.CPointer(real))
    arrays = (types.CPointer(types.CPointer(element)) for element in (real, types.int64, types.int32, types.uint8))
    function.compile((types.int64, types.int64, *numbers, *arrays))
    (result,) = function.overloads.values()
    with global_compiler_lock:
        result.library.finalize()
    made = result.library._final_module
    for each in made.functions:
        if each.name == result.fndesc.llvm_func_name:
            each.name = SYMBOL
        elif not each.is_declaration:
            each.linkage = "internal"
    return made, result.library.codegen._tm


def _without_unused(module: Any, target: Any) -> None:
    """Leaves out the functions that have become part of those that call them."""
    builder = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=0))
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, builder)


class _Plain(CPUCodeLibrary):
    """Functions that are only to be linked into others."""

    def _finalize_final_module(self) -> None:
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):
    """Numba's, but that the function is only told to those that call it."""

    _name = "circuitdsl_lowering"

    def run_pass(self, state: Any) -> bool:
        state.flags.no_compile = True
        state.library = _Plain(state.targetctx.codegen(), state.func_id.func_qualname)
        super().run_pass(state)
        lowered = state["cr"]
        name: Any = [].append  # any builtin that is no other one
        state.targetctx.insert_user_function(name, lowered.fndesc, [state.library])
        state["cr"] = _LowerResult(lowered.fndesc, lowered.call_helper, cfunc=name, env=lowered.env)
        return True


class _Lean(CompilerBase):
    """The passes of Numba that plain loops over numbers need."""

    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager("circuitdsl")
        for each in (
            TranslateByteCode, FixupArgs, IRProcessing, NopythonTypeInference, PreLowerStripPhis, IRLegalization,
            AnnotateTypes, _Lowering, NoPythonBackend,
        ):  # fmt: skip
            passes.add_pass(each, each.__name__)
        passes.finalize()
        return [passes]
