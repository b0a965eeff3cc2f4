"""What Numba has no words for: numbers that several threads write, addresses of machine code and of arrays.

Each is written as LLVM's instruction of the same meaning, and called from loops as any function is.
"""

from __future__ import annotations

import os
import platform
from typing import Any

from . import environment

environment.check()
from llvmlite import ir  # noqa: E402  (after the check, whose errors are one sentence)
from numba import carray, njit  # noqa: E402
from numba.core import cgutils, extending, types  # noqa: E402
from numba.np.arrayobj import make_array  # noqa: E402

intrinsic: Any = extending.intrinsic
INT = ir.IntType(64)
PAUSES = {
    "x86_64": ("llvm.x86.sse2.pause", []),
    "AMD64": ("llvm.x86.sse2.pause", []),
} | dict.fromkeys(("aarch64", "arm64"), ("llvm.aarch64.hint", [ir.Constant(ir.IntType(32), 1)]))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    return builder.gep(make_array(array_type)(context, builder, array).data, [index])


@intrinsic
def look(typing, array, index):  # type: ignore[no-untyped-def]
    """array[index], as another thread wrote it, and all that it wrote before."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        place = _pointer(context, builder, signature.args[0], *arguments)
        return builder.load_atomic(place, "seq_cst", 8)

    return array.dtype(array, types.intp), generate


@intrinsic
def add(typing, array, index, number):  # type: ignore[no-untyped-def]
    """array[index] += number, at once for all threads; returns what it was before."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        place = _pointer(context, builder, signature.args[0], *arguments[:2])
        return builder.atomic_rmw("add", place, arguments[2], "seq_cst")

    return array.dtype(array, types.intp, array.dtype), generate


@intrinsic
def swap(typing, array, index, old, new):  # type: ignore[no-untyped-def]
    """array[index] = new where it is old; returns whether it was."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        place = _pointer(context, builder, signature.args[0], *arguments[:2])
        pair = builder.cmpxchg(place, *arguments[2:], "seq_cst", "seq_cst")
        return builder.extract_value(pair, 1)

    return types.boolean(array, types.intp, array.dtype, array.dtype), generate


@intrinsic
def pause(typing):  # type: ignore[no-untyped-def]
    """Tell the processor that this thread waits for another."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        name, values = PAUSES.get(platform.machine(), (None, []))
        if name:
            kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def let_others_run(typing):  # type: ignore[no-untyped-def]
    """Ask the system to run what waits for a processor, where it can be asked."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        if os.name == "posix":
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def on_stack(typing, arguments):  # type: ignore[no-untyped-def]
    """Return the address of a copy of the arguments, valid as long as the caller runs."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.ptrtoint(cgutils.alloca_once_value(builder, values[0]), INT)

    return types.intp(arguments), generate


@intrinsic
def _pointer_at(typing, place, like):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(types.intp, like), generate


@njit
def matrix_at(place, shape, like):  # type: ignore[no-untyped-def]
    """Return the contiguous matrix of `shape` that lies at an address, in the dtype of `like`."""
    return carray(_pointer_at(place, like), shape)


@intrinsic
def call(typing, task, arguments, first, last, thread):  # type: ignore[no-untyped-def]
    """Call the machine code at `task`; returns 0, or 1 + first where it raised."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        kind = ir.FunctionType(INT, [INT] * 4)
        return builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])

    return types.intp(*[types.intp] * 5), generate


def task_of(function: Any) -> Any:
    """address(arguments): that of machine code for `call`: function(first, last, thread, *arguments)."""

    @intrinsic
    def address(typing, arguments):  # type: ignore[no-untyped-def]
        values = (*[types.intp] * 3, *arguments.types)
        own: Any = types.Dispatcher(function).get_call_type(typing, values, {})

        def generate(context, builder, signature, _):  # type: ignore[no-untyped-def]
            compiled, module = function.get_compile_result(own), builder.module
            context.add_linking_libs([compiled.library])
            task = ir.Function(
                module, ir.FunctionType(INT, [INT] * 4), module.get_unique_name("task")
            )
            task.linkage = "internal"
            task.attributes.add(
                "noinline"
            )  # one machine code, and so one rounding, for all callers
            inside = ir.IRBuilder(task.append_basic_block())
            kind = context.get_value_type(arguments).as_pointer()
            values = inside.load(inside.inttoptr(task.args[0], kind), align=8)
            parts = [inside.extract_value(values, k) for k in range(len(arguments.types))]
            code = context.declare_function(module, compiled.fndesc)
            status, _ = context.call_conv.call_function(
                inside, code, own.return_type, own.args, [*task.args[1:], *parts]
            )
            failed = inside.add(task.args[1], ir.Constant(INT, 1))
            inside.ret(inside.select(status.is_error, failed, ir.Constant(INT, 0)))
            return builder.ptrtoint(task, INT)

        return types.intp(arguments), generate

    return address
