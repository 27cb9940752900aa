"""What both of Numba's compilers do again at each place of an operator, done once: to decide what it makes of given
types. They are the one for processors (compile.py) and the one for GPUs (ltoir_passes.py).

It is mixed into their classes, which are alike and not the same.
"""

from __future__ import annotations

from functools import cache
from types import BuiltinFunctionType
from typing import Any

from numba import types


class Remembering:
    """A pass that infers types, with that memory."""

    def run_pass(self, state: Any) -> bool:
        plain = state.typingctx
        state.typingctx = remembering(plain)
        try:
            done: bool = super().run_pass(state)  # type: ignore[misc]
        finally:
            state.typingctx = plain
        return done


class Operators:
    """A lowering that takes operators as they were typed, of variables only."""

    fndesc: Any
    context: Any
    builder: Any
    loadvar: Any
    typeof: Any

    def lower_binop(self, resty: Any, expr: Any, op: Any) -> Any:
        signature = self.fndesc.calltypes[expr]
        context = self.context
        operands = [
            context.cast(self.builder, self.loadvar(each.name), self.typeof(each.name), wanted)
            for each, wanted in zip((expr.lhs, expr.rhs), signature.args, strict=True)
        ]
        typing = remembering(context.typing_context)
        called = typing.resolve_value_type(op)
        lowered = context.get_function(called, typing.resolve_function_type(called, signature.args, {}))
        return context.cast(self.builder, lowered(self.builder, operands), signature.return_type, resty)


class _Context:
    """Mixed into a typing context."""

    _decided: dict[Any, Any]

    def resolve_value_type(self, val: Any) -> Any:
        decide: Any = super().resolve_value_type  # type: ignore[misc]
        if not isinstance(val, (int, float, BuiltinFunctionType)):
            return decide(val)
        if (type(val), val) not in self._decided:
            self._decided[type(val), val] = decide(val)
        return self._decided[type(val), val]

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        decide: Any = super().resolve_function_type  # type: ignore[misc]
        if isinstance(func, types.Dispatcher):  # one compilation serves for all numbers
            return decide(func, tuple(map(types.unliteral, args)), kws)
        if kws:
            return decide(func, args, kws)
        if (func, args) not in self._decided:
            self._decided[func, args] = decide(func, args, kws)
        return self._decided[func, args]


@cache
def remembering(context: Any) -> Any:
    """A typing context that has what `context` has, and remembers what it decided."""
    found: Any = object.__new__(type("Remembering", (_Context, type(context)), {}))
    vars(found).update(vars(context), _decided={})
    return found
