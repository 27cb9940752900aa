"""What a printed module tells the compiler beside its functions: that arrays are apart, that a function is compiled on
its own, that memory is wanted early, that threads meet. Each is an intrinsic of Numba's; where the text runs as
plain Python only the last is something.
"""

from __future__ import annotations

import os

from circuitdsl.lower.early import LINE

#: What every function of arrays begins with.
DISTINCT = "    distinct()"


#: What a function says of its rows (lower/wide.py).
FILLS = "rows_fill"


def imports(*, fetches: bool, crew: bool) -> list[str]:
    """What such a module imports; `fetches`: whether memory is asked for early; `crew`: whether threads meet."""
    return [
        *(["from threading import Condition", ""] if crew else []),
        "import numpy as np",
        *(["from llvmlite import ir"] if fetches or crew else []),
        "from numba import config, njit, types",
        *(["from numba.core import cgutils"] if fetches or crew else []),
        "from numba.extending import intrinsic",
    ]


def marks(*, far: bool, fetches: bool, crew: bool, told: bool) -> list[str]:
    """The marks; `far`: whether phases are compiled on their own; `told`: whether any says what its rows fill."""
    more = [text for text, wanted in ((_APART, far), (_FETCH, fetches), (_MEET, crew), (_FILLS, told)) if wanted]
    return "\n".join([_DISTINCT, *more]).split("\n")


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

_FILLS = f'''

def {FILLS}(size):
    """Rows of the function fill vectors of so many bytes in all (circuitdsl.lower.wide)."""

    def marked(function):
        function.{FILLS} = size
        return function

    return marked
'''.rstrip()

#: How often a thread looks whether all have come before it lets others run in between.
LOOKS = 2000
#: The function of the system that does so.
YIELD = "SwitchToThread" if os.name == "nt" else "sched_yield"

_MEET = (
    '''
if config.DISABLE_JIT:

    met = Condition()

    def meet(meeting, workers):
        with met:
            goal = (meeting[0] // workers + 1) * workers
            meeting[0] += 1
            met.notify_all()
            met.wait_for(lambda: meeting[0] >= goal)

else:

    @intrinsic
    def meet(context, meeting, workers):
        """Called by every worker of a crew: goes on when all of them have come."""

        def lower(context, builder, signature, arguments):
            meeting, workers = arguments
            number = workers.type
            one = ir.Constant(number, 1)
            with builder.if_then(builder.icmp_signed(">", workers, one)):
                turn = builder.sdiv(builder.atomic_rmw("add", meeting, one, "acq_rel"), workers)
                goal = builder.mul(builder.add(turn, one), workers)
                before = builder.block
                wait, pause, rest, done = (builder.append_basic_block(n) for n in ("wait", "pause", "rest", "done"))
                builder.branch(wait)
                builder.position_at_end(wait)
                looks = builder.phi(number)
                come = builder.icmp_signed(">=", builder.load_atomic(meeting, "acquire", 8), goal)
                builder.cbranch(come, done, pause)
                builder.position_at_end(pause)
                more = builder.add(looks, one)
                builder.cbranch(builder.icmp_signed(">", more, ir.Constant(number, LOOKS)), rest, wait)
                builder.position_at_end(rest)
                kind = ir.FunctionType(ir.IntType(32), [])
                builder.call(cgutils.get_or_insert_function(builder.module, kind, "YIELD"), [])
                builder.branch(wait)
                for value, block in ((ir.Constant(number, 0), before), (more, pause), (more, rest)):
                    looks.add_incoming(value, block)
                builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(meeting, types.int64), lower
'''.replace("LOOKS", str(LOOKS))
    .replace("YIELD", YIELD)
    .rstrip()
)
