"""What a printed module tells the compiler beside its functions: that arrays are apart, that a function is compiled on
its own, that memory is wanted early. Each is an intrinsic of Numba's, and nothing where the text runs as plain Python.
"""

from __future__ import annotations

from circuitdsl.lower.early import LINE

#: What every function of arrays begins with.
DISTINCT = "    distinct()"


def imports(*, fetches: bool) -> list[str]:
    """What such a module imports; `fetches`: whether memory is asked for early."""
    return [
        "import numpy as np",
        *(["from llvmlite import ir"] if fetches else []),
        "from numba import config, njit, types",
        *(["from numba.core import cgutils"] if fetches else []),
        "from numba.extending import intrinsic",
    ]


def marks(*, far: bool, fetches: bool) -> list[str]:
    """The marks; `far`: whether phases are compiled on their own."""
    return "\n".join([_DISTINCT, *([_APART] if far else []), *([_FETCH] if fetches else [])]).split("\n")


_DISTINCT = '''

if config.DISABLE_JIT:

    def distinct():
        pass

else:

    @intrinsic
    def distinct(context):
        """Called in a function none of whose arrays overlap. Else how far apart in memory they happen to be would
        decide which way a loop takes, and so in which order it adds."""

        def lower(context, builder, signature, arguments):
            for argument in builder.function.args:
                if argument.type.is_pointer and argument.name.startswith("arg."):
                    argument.add_attribute("noalias")
            return context.get_dummy_value()

        return types.void(), lower
'''.rstrip()

_APART = '''
if config.DISABLE_JIT:

    def apart():
        pass

else:

    @intrinsic
    def apart(context):
        """Called in a function that is to be compiled on its own."""

        def lower(context, builder, signature, arguments):
            builder.function.attributes.add("noinline")
            return context.get_dummy_value()

        return types.void(), lower
'''.rstrip()

_FETCH = '''
if config.DISABLE_JIT:

    def fetch(array, first, size):
        pass

else:

    @intrinsic
    def fetch(context, array, first, size):
        """Asks for some numbers of an array, line by line of the cache, so that they are near when they are read."""

        def lower(context, builder, signature, arguments):
            array, first, size = arguments
            pointer, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [pointer, flag, flag, flag])
            ask = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
            line = ir.Constant(size.type, LINE // context.get_abi_sizeof(array.type.pointee))
            with cgutils.for_range_slice(builder, ir.Constant(size.type, 0), size, line) as (place, _):
                at = builder.bitcast(builder.gep(array, [builder.add(first, place)]), pointer)
                builder.call(ask, [at, ir.Constant(flag, 0), ir.Constant(flag, 3), ir.Constant(flag, 1)])
            return context.get_dummy_value()

        return types.void(array, types.int64, types.int64), lower
'''.rstrip().replace("LINE", str(LINE))
