"""The passes of numba-cuda that plain loops over numbers need, and its helpers inlined without reading each anew.

What comes out is what its own passes would give. Imported where code for GPUs is compiled only: it needs the extra
`cuda`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.cuda import compiler
from numba.cuda.core.compiler_lock import global_compiler_lock
from numba.cuda.core.compiler_machinery import PassManager, register_pass
from numba.cuda.core.typed_passes import IRLegalization, NopythonTypeInference, PreLowerStripPhis
from numba.cuda.core.untyped_passes import (
    FixupArgs,
    InlineInlinables,
    IRProcessing,
    ReconstructSSA,
    TranslateByteCode,
)
from numba.cuda.lowering import CUDALower

from circuitdsl.runtime.remembering import Operators, Remembering


@contextmanager
def lean() -> Iterator[None]:
    """Compiles with these passes meanwhile; other threads of the process wait."""
    with global_compiler_lock:
        usual = compiler.CUDACompiler
        compiler.CUDACompiler = _Lean
        try:
            yield
        finally:
            compiler.CUDACompiler = usual


@register_pass(mutates_CFG=True, analysis_only=False)
class _Inlining(InlineInlinables):
    """Numba's, but that each helper is read once."""

    _name = "circuitdsl_inlining"

    def _do_work(self, state: Any, work_list: Any, block: Any, i: int, expr: Any, worker: Any) -> bool:
        try:
            helper: Any = getattr(state.func_ir.get_definition(expr.func), "value", None)
        except KeyError:
            return False
        if getattr(helper, "targetoptions", {}).get("inline") != "always":
            return False
        *_, made = worker.inline_ir(state.func_ir, block, i, _read(helper.py_func, worker), ())
        work_list.extend(made)
        return True


def _read(function: Any, worker: Any) -> Any:
    """A helper as Numba reads it, kept with it."""
    kept = vars(function)
    if "circuitdsl_read" not in kept:
        worker._compiler_pipeline = lambda state: _passes(TranslateByteCode, FixupArgs, IRProcessing)
        kept["circuitdsl_read"] = worker.run_untyped_passes(function)
    return kept["circuitdsl_read"]


@register_pass(mutates_CFG=True, analysis_only=False)
class _Typing(Remembering, NopythonTypeInference):
    _name = "circuitdsl_typing_for_gpus"


class _Lower(Operators, CUDALower): ...


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(compiler.CUDANativeLowering):
    _name = "circuitdsl_lowering_for_gpus"
    lowering_class = _Lower


class _Passes(PassManager):
    """That does not look after each pass at what it left."""

    _ENFORCING = False


def _passes(*kinds: Any) -> PassManager:
    passes = _Passes("circuitdsl")
    for each in kinds:
        passes.add_pass(each, each.__name__)
    passes.finalize()
    return passes


class _Lean(compiler.CUDACompiler):
    def define_pipelines(self) -> list[PassManager]:
        return [
            _passes(
                compiler.CUDATranslateBytecode, FixupArgs, IRProcessing, _Inlining, ReconstructSSA, _Typing,
                PreLowerStripPhis, IRLegalization, compiler.CreateLibrary, _Lowering, compiler.CUDABackend,
            )
        ]  # fmt: skip
