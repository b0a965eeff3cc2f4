"""Vectors inside Numba loops: LANES neighbouring numbers of an array, on which one operation is one
instruction.

    v = load(a, i)              a[i : i + LANES], a being flat and contiguous
    store(a, i, v)              a[i : i + LANES] = v
    prefetch(a, i)              has the cache fetch a[i], without waiting; i may lie outside
    splat(a, s)                 the number s in every lane, in the dtype of a
    v + w, v - w, v * w, 4 * v  lane by lane; a product and a sum are rounded once where the processor can
    bounded(v, low, high)       low where v <= low, high where v > high, else v: a NaN stays NaN
    larger(v, p, w, n)          (v, p), but (w, n) in the lanes where w wins: w > v, or only w is NaN
    where(a, i, n, v)           v in the lanes where a[i + lane] is the whole number n, 0 in the others
    store_whole(a, i, v)        a[i : i + LANES] = v, which holds whole numbers, in a's dtype of such
    copies(v, 8)                (v, v, v, v, v, v, v, v); the number is a constant
    numbers(a, i, 8)            (a[i], ..., a[i + 7])
    repeated(a, i, 2, 8)        8 times the 2 vectors that lie side by side from a[i] on
    clear(a)                    a[:] = 0
    store_rows(a, i, n, s, 2)   the vectors of s, 2 side by side from a[i] on, 2 from a[i + n] on, ...
    add_rows(a, i, n, s, 2)     the same, added to what is there
    accumulate(...)             a micro-kernel of products: sums that stay in registers
    accumulate_ahead(...)       the same, of vectors that come from memory
    accumulate_at(...)          the same, of numbers that lie anywhere, for several vectors at once

LLVM vectorises a simple loop by itself; it gives up where values live in registers over several
loops (the tiles of Winograd, the accumulators of a product), and there these vectors say what is
meant.  The length is that of AVX-512 in float32; on narrower machines, and in float64, LLVM uses
several registers for one vector, and fewer sums fit into registers (`by_registers`): the bits are the same.
"""

import operator

import numba
from llvmlite import ir
from numba.core import cgutils, codegen, config, types
from numba.core.datamodel import models
from numba.core.extending import intrinsic, overload, register_model
from numba.np.arrayobj import make_array

from ...machine.numba_cache import uncounted

LANES = 16
# for which Numba compiles: "" with NUMBA_CPU_NAME=generic, whose machine code other processors take from the cache
FEATURES = vars(config)["CPU_FEATURES"]
if FEATURES is None:
    FEATURES = codegen.get_host_cpu_features()
# bytes; half as many of them where they are shorter
REGISTER = 64 if "+avx512f" in FEATURES.split(",") else 32


def by_registers(wide, narrow):
    """How many sums a loop keeps in registers, of LANES numbers in float32: in those of AVX-512, or in shorter ones."""
    return wide if REGISTER == 64 else narrow


class Vector(types.Type):
    """Numba's type of LANES numbers of one dtype."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(f"Vector({dtype}x{LANES})")


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        scalar = manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(scalar, LANES))


def _pointer(context, builder, kind, array, index):
    """To LANES numbers from array[index] on, an array of the Numba type `kind`; they may start
    anywhere, so the alignment is that of one number.
    """
    data = make_array(kind)(context, builder, array).data
    vector = context.get_value_type(Vector(kind.dtype))
    return builder.bitcast(
        builder.gep(data, [index]), vector.as_pointer()
    ), kind.dtype.bitwidth // 8


@intrinsic
def load(typing, array, index):
    def generate(context, builder, signature, arguments):
        pointer, alignment = _pointer(context, builder, signature.args[0], *arguments)
        return builder.load(pointer, align=alignment)

    return Vector(array.dtype)(array, types.intp), generate


@intrinsic
def store(typing, array, index, vector):
    def generate(context, builder, signature, arguments):
        pointer, alignment = _pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], pointer, align=alignment)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def prefetch(typing, array, index):
    def generate(context, builder, signature, arguments):
        data = make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        # to be read; into every cache; data
        builder.call(function, [place, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def splat(typing, array, number):
    def generate(context, builder, signature, arguments):
        return _in_every_lane(builder, arguments[1], context.get_value_type(signature.return_type))

    return Vector(array.dtype)(array, array.dtype), generate


def _in_every_lane(builder, number, kind):
    lanes = ir.VectorType(ir.IntType(32), LANES)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(one, one, ir.Constant(lanes, [0] * LANES))


def _lane_by_lane(function, instruction):
    @intrinsic
    def operation(typing, a, b):
        def generate(context, builder, signature, arguments):
            return getattr(builder, instruction)(*arguments, flags=("contract",))

        return a(a, a), generate

    @overload(function)
    def overloaded(a, b):
        if isinstance(a, Vector) and a == b:
            return lambda a, b: operation(a, b)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
):
    _lane_by_lane(_function, _instruction)


@intrinsic
def bounded(typing, vector, low, high):
    def generate(context, builder, signature, arguments):
        value, *bounds = arguments
        for sign, number in zip(("<=", ">"), bounds, strict=True):
            bound = _in_every_lane(builder, number, value.type)
            value = builder.select(builder.fcmp_ordered(sign, value, bound), bound, value)
        return value

    return vector(vector, vector.dtype, vector.dtype), generate


@intrinsic
def larger(typing, best, winners, value, place):
    kind = types.Tuple((best, winners))

    def generate(context, builder, signature, arguments):
        best, winners, value, place = arguments
        wins = builder.and_(
            builder.fcmp_unordered(">", value, best), builder.fcmp_ordered("ord", best, best)
        )
        places = _in_every_lane(builder, place, winners.type)
        taken = builder.select(wins, value, best), builder.select(wins, places, winners)
        return context.make_tuple(builder, kind, taken)

    return kind(best, winners, best, winners.dtype), generate


@intrinsic
def where(typing, array, index, number, vector):
    def generate(context, builder, signature, arguments):
        given, index, number, value = arguments
        pointer, alignment = _pointer(context, builder, signature.args[0], given, index)
        found = builder.load(pointer, align=alignment)
        wanted = _in_every_lane(builder, number, found.type)
        zero = ir.Constant(value.type, [0.0] * LANES)
        return builder.select(builder.icmp_unsigned("==", found, wanted), value, zero)

    return vector(array, types.intp, array.dtype, vector), generate


@intrinsic
def store_whole(typing, array, index, vector):
    def generate(context, builder, signature, arguments):
        given, index, value = arguments
        pointer, alignment = _pointer(context, builder, signature.args[0], given, index)
        whole = builder.fptosi(value, ir.VectorType(ir.IntType(32), LANES))
        builder.store(builder.trunc(whole, pointer.type.pointee), pointer, align=alignment)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic(prefer_literal=True)
def copies(typing, vector, count):
    kind = types.UniTuple(vector, count.literal_value)

    def generate(context, builder, signature, arguments):
        return context.make_tuple(builder, kind, [arguments[0]] * kind.count)

    return kind(vector, count), generate


@uncounted
def clear(a):
    """a[:] = 0, which as an assignment takes Numba longer to compile."""
    for i in range(len(a)):
        a[i] = 0


@uncounted
def accumulate(sums, a, i, step, along, b, j, down, count):
    """sums[n] += the sum over k < count of a[i + n * step + k * along] * the vector at b[j + k * down].

    A number is multiplied by a vector, for as many sums as there are registers; only those two are
    read, and nothing is written.  Returns the sums, a tuple.
    """
    for k in range(count):
        sums = _add_products(sums, a, i + k * along, step, load(b, j + k * down))
    return sums


@uncounted
def accumulate_ahead(sums, a, i, step, b, j, down, count, ahead):
    """accumulate, along 1; and what lies `ahead` numbers after the vectors begins to come from memory, for
    the next sums.
    """
    for k in range(count):
        prefetch(b, j + k * down + ahead)
        sums = _add_products(sums, a, i + k, step, load(b, j + k * down))
    return sums


@numba.njit(inline="always")
def accumulate_at(sums, a, places, runs, b, j, down):
    """sums[p * V + v] += the sum over n of a[places[p] + step n] * vector v of the V that lie side by side
    from b[j + n * down] on.

    A number is read once for V vectors, and a vector once for all places.  runs: (starts,
    from which to which of them, length, along); the steps are start, start + along, ..., `length` of
    them for every start.  Returns the sums.
    """
    starts, first, last, length, along = runs
    for run in range(first, last):
        start, row = starts[run], j + (run - first) * length * down
        for k in range(length):
            sums = _add_outer(sums, a, places, start + k * along, b, row + k * down)
    return sums


@intrinsic(prefer_literal=True)
def numbers(typing, array, index, count):
    kind = types.UniTuple(array.dtype, count.literal_value)

    def generate(context, builder, signature, arguments):
        data = make_array(array)(context, builder, arguments[0]).data
        places = [
            builder.add(arguments[1], ir.Constant(arguments[1].type, n)) for n in range(kind.count)
        ]
        found = [builder.load(builder.gep(data, [place])) for place in places]
        return context.make_tuple(builder, kind, found)

    return kind(array, types.intp, count), generate


@intrinsic(prefer_literal=True)
def repeated(typing, array, index, vectors, count):
    kind = types.UniTuple(Vector(array.dtype), vectors.literal_value * count.literal_value)

    def generate(context, builder, signature, arguments):
        found = []
        for v in range(vectors.literal_value):
            place = builder.add(arguments[1], ir.Constant(arguments[1].type, v * LANES))
            pointer, alignment = _pointer(context, builder, array, arguments[0], place)
            found.append(builder.load(pointer, align=alignment))
        return context.make_tuple(builder, kind, found * count.literal_value)

    return kind(array, types.intp, vectors, count), generate


def _write(added):
    @intrinsic(prefer_literal=True)
    def write(typing, array, index, step, sums, vectors):
        wide = vectors.literal_value

        def generate(context, builder, signature, arguments):
            given, row, step, sums, _ = arguments
            for n in range(sums.type.count):
                place = builder.add(row, ir.Constant(row.type, n % wide * LANES))
                pointer, alignment = _pointer(context, builder, array, given, place)
                value = builder.extract_value(sums, n)
                if added:
                    value = builder.fadd(builder.load(pointer, align=alignment), value)
                builder.store(value, pointer, align=alignment)
                if n % wide == wide - 1:
                    row = builder.add(row, step)
            return context.get_dummy_value()

        return types.void(array, types.intp, types.intp, sums, vectors), generate

    return write


store_rows, add_rows = _write(added=False), _write(added=True)


@intrinsic
def _add_outer(typing, sums, a, places, i, b, j):
    """(sums[0] + a[places[0] + i] * the first vector from b[j] on, ...), see accumulate_at."""
    wide = sums.count // places.count

    def generate(context, builder, signature, arguments):
        sums, given, places, i, vectors, j = arguments
        data = make_array(a)(context, builder, given).data
        found = []
        for v in range(wide):
            place = builder.add(j, ir.Constant(j.type, v * LANES))
            pointer, alignment = _pointer(context, builder, b, vectors, place)
            found.append(builder.load(pointer, align=alignment))
        for n in range(sums.type.count):
            place = builder.add(builder.extract_value(places, n // wide), i)
            number = builder.load(builder.gep(data, [place]))
            product = builder.fmul(
                _in_every_lane(builder, number, found[0].type), found[n % wide], flags=("contract",)
            )
            total = builder.fadd(builder.extract_value(sums, n), product, flags=("contract",))
            sums = builder.insert_value(sums, total, n)
        return sums

    return sums(sums, a, places, types.intp, b, types.intp), generate


@intrinsic
def _add_products(typing, sums, array, index, step, vector):
    """(sums[0] + a[index] * vector, sums[1] + a[index + step] * vector, ...)"""

    def generate(context, builder, signature, arguments):
        sums, given, index, step, vector = arguments
        data = make_array(array)(context, builder, given).data
        for j in range(signature.return_type.count):
            number = _in_every_lane(builder, builder.load(builder.gep(data, [index])), vector.type)
            product = builder.fmul(number, vector, flags=("contract",))
            total = builder.fadd(builder.extract_value(sums, j), product, flags=("contract",))
            sums = builder.insert_value(sums, total, j)
            index = builder.add(index, step)
        return sums

    return sums(sums, array, types.intp, types.intp, vector), generate


@intrinsic
def _scale(typing, number, vector):
    def generate(context, builder, signature, arguments):
        number, vector = arguments
        return builder.fmul(
            _in_every_lane(builder, number, vector.type), vector, flags=("contract",)
        )

    return vector(vector.dtype, vector), generate


@overload(operator.mul)
def _number_times_vector(a, b):
    if isinstance(a, types.Number) and isinstance(b, Vector):
        return lambda a, b: _scale(a, b)
