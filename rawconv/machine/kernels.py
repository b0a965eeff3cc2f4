"""Launching the kernels of the .cu files: their arguments are checked, and the instance is chosen
that fits them.
"""

import functools
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .arrays import Array, compile_kernel

COLUMNS = 32  # that a block of threads takes side by side where it works on a matrix
# of a launch, which fill any card a few times over; larger counts walk on in strides
THREADS, BLOCKS = 256, 4096
C_TYPES = {
    "f": "float", "d": "double", "B": "unsigned char", "H": "unsigned short", "l": "long long", "q": "long long",
    "L": "unsigned long long", "Q": "unsigned long long",
}  # fmt: skip
OPEN_TYPES = {
    "real": ("float", "double"), "pack": ("float", "double"),
    "switch_t": ("unsigned char", "unsigned short"), "switches_t": ("unsigned char", "unsigned short"),
    "item": ("float", "double", "unsigned char", "unsigned short"),
}  # fmt: skip
PACKS = {"pack": "real", "switches_t": "switch_t"}  # what they are packs of
LANES = 4  # of a pack, where the number of channels allows it
NUMBERS = {
    "long long": np.int64, "float": np.float32, "double": np.float64, "unsigned char": np.uint8,
    "unsigned short": np.uint16,
}  # fmt: skip


def launch(path: str, name: str, count: int, *arguments: Any, shared_bytes: int = 0) -> None:
    """Run kernel `name` of the .cu file `path` over `count` elements, one thread each, on the current stream.

    arguments: by the kernel's signature.  `type *x` takes a C-contiguous CuPy array of that type;
    `long long` and `index_t` an int, `real` a number; `Divisor` an int; `Window` (height, width,
    channels, oh, ow, kh, kw, sh, sw, top, left); `Parameters` one of that class.  `real`,
    `switch_t` and `item` stand for the type of the first array that is passed for them.
    shared_bytes: of a block's dynamic shared memory.

    `index_t` has 32 bits where that is enough for every index.  A kernel that takes arrays of
    `pack` then moves four neighbouring channels at once where their number, which is its Divisor or
    in its Window, is a multiple of four.
    ValueError, which names the argument: one does not fit; CuPy itself ignores the strides and
    types of raw kernels.
    """
    parameters, packed = _plan(path, name)
    if len(arguments) != len(parameters):
        raise ValueError(
            f"{name} takes {len(parameters)} arguments after count, not {len(arguments)}."
        )
    types: dict[str, str] = {}
    lanes, wide = _inspect(name, count, zip(parameters, arguments, strict=True), types)
    if not count:
        return
    pack = LANES if packed and lanes % LANES == 0 and not wide else 1
    count //= pack
    values = [_value("index_t", count, types, 1, wide)]
    for (kind, _, is_array), value in zip(parameters, arguments, strict=True):
        values.append(value if is_array else _value(kind, value, types, pack, wide))
    kernel = _kernel(path, name, wide, pack, *types.items())
    kernel((min(-(-count // THREADS), BLOCKS),), (THREADS,), values, shared_mem=shared_bytes)


def _inspect(
    name: str, count: int, arguments: Iterable[Any], types: dict[str, str]
) -> tuple[int, bool]:
    """Check the (parameter, argument) pairs, fill in `types`; return (a number that LANES divides if it divides all
    that is packed, whether 31 bits do not hold every index).
    """
    lanes, largest, numbers = 0, count, 0
    for (kind, label, is_array), value in arguments:
        if is_array:
            _check_array(name, label, value, kind, types)
            size = value.size
            largest = max(largest, size)
            if kind in PACKS:
                lanes |= size | value.data.ptr // value.itemsize
        elif kind == "Window":
            numbers, lanes = numbers + sum(value), lanes | value[2]
        elif kind == "index_t":
            numbers += value
        elif kind == "Divisor":
            numbers, lanes = numbers + value, lanes | value
        elif kind == "Parameters":
            largest = max(largest, _check_parameters(name, value, types))
    return lanes, largest + numbers + THREADS * BLOCKS >= 1 << 31


@functools.cache
def _plan(path: str, name: str) -> tuple[list[tuple[str, str, bool]], bool]:
    """(the parameters after count, whether a kernel moves packs)."""
    parameters = signature(path, name)[1:]
    return parameters, any(kind in PACKS for kind, _, _ in parameters)


def tiles(rows: int, columns: int, blocks: int, least: int) -> tuple[int, int, int]:
    """(tiles side by side, rows of a part, parts) of a matrix that blocks of threads work on, in tiles.

    So that there are about `blocks` of them, and `least` rows in a part: by the shape alone, since
    a sum over the parts is to have one order on every card.
    """
    across = -(-columns // COLUMNS)
    parts = max(1, min(-(-blocks // max(1, across)), rows // least))
    step = max(1, -(-rows // parts))
    return across, step, max(1, -(-rows // step))


def _check_array(name: str, label: str, array: Array, kind: str, types: dict[str, str]) -> None:
    """Refuse what is not a contiguous CuPy array of C type `kind`; an open type gets its meaning
    from the first one.
    """
    # asked of the class, since an array would make a dict to answer
    if not hasattr(type(array), "__cuda_array_interface__"):
        raise ValueError(
            f"{name}: {label} must be a CuPy array, not {type(array).__module__}.{type(array).__name__}."
        )
    c_type, wanted = C_TYPES.get(array.dtype.char, ""), OPEN_TYPES.get(kind)
    if wanted is None:
        wanted = (kind,)
    elif c_type in wanted:
        wanted = (types.setdefault(PACKS.get(kind, kind), c_type),)
    if c_type not in wanted:
        raise ValueError(
            f"{name}: {label} is {array.dtype}, the kernel wants {' or '.join(wanted)}."
        )
    if not array.flags.c_contiguous:
        raise ValueError(f"{name}: {label} must be C-contiguous, its strides are {array.strides}.")


class Parameter(NamedTuple):
    """A row of struct Parameters of update.cu; tiles: as `tiles` divides (rows, filters)."""

    weight: Array
    velocity: Array
    grad: Array
    rows: int
    filters: int
    across: int
    step: int
    parts: int
    first: int  # of its tiles, counted through all parameters
    squares: int  # where its sums of squares begin; -1: it has none
    rate: float
    weight_decay: float


class Parameters:
    """The argument `struct Parameters`: its rows, from which the struct is made once for all kernels."""

    def __init__(self, rows: Sequence[Parameter]) -> None:
        self.rows = rows
        self._struct: Any = None

    def struct(self, real: type, wide: bool) -> Any:
        """The struct."""
        if self._struct is None:
            self._struct = _parameters(self.rows, real, wide)
        return self._struct


PARAMETERS = 32  # of one launch: what a kernel is told has 4096 bytes at most


def _check_parameters(name: str, parameters: Parameters, types: dict[str, str]) -> int:
    """Refuse arrays that do not fit; return the largest size."""
    for row in parameters.rows:
        for label, array in zip(Parameter._fields[:3], row[:3], strict=True):
            _check_array(name, label, array, "real", types)
    return max(row.weight.size for row in parameters.rows)


def _value(kind: str, value: Any, types: dict[str, str], pack: int, wide: bool) -> Any:
    """A number as the kernel takes it."""
    if kind == "Window":
        return _window(tuple(value), pack, wide)
    if kind == "Divisor":
        return divisor(int(value) // pack, wide)
    if kind == "index_t":
        return np.int64(value) if wide else np.int32(value)
    if kind == "Parameters":
        return value.struct(NUMBERS[types["real"]], wide)
    return NUMBERS[types.get(kind, kind)](value)


def _struct(*fields: tuple[Any, ...]) -> np.dtype:
    return np.dtype(list(fields), align=True)


DIVISORS = {
    bits: _struct(("length", f"u{bits}"), ("factor", f"u{bits}"), ("shift", "i4"))
    for bits in (4, 8)
}
WINDOWS = {
    bits: _struct(
        *(
            (label, DIVISORS[bits])
            for label in ("height", "width", "channels", "oh", "ow", "kh", "kw", "sh", "sw")
        ),
        *((label, f"i{bits}") for label in ("top", "left")),
        ("run", DIVISORS[bits]),
        *((label, f"i{bits}") for label in ("row", "step", "indent")),
    )
    for bits in (4, 8)
}  # struct Window of kernels.cuh


PARAMETER_FIELDS = (
    "weight", "velocity", "grad", "rows", "filters", "step", "parts", "tiles", "first", "squares", "rate", "decay",
)  # fmt: skip


@functools.cache
def _parameters_type(real: type, wide: bool) -> np.dtype:
    """struct Parameters of update.cu."""
    index = "i8" if wide else "i4"
    types = ["u8"] * 3 + [index] * 4 + [DIVISORS[8 if wide else 4]] + [index] * 2 + [real] * 2
    row = _struct(*zip(PARAMETER_FIELDS, types, strict=True))
    return _struct(("of", row, (PARAMETERS,)), ("many", "i4"))


@functools.lru_cache(4096)
def _divided(
    rows: int, filters: int, across: int, step: int, parts: int, wide: bool
) -> tuple[Any, ...]:
    return rows, filters, step, parts, divisor(across, wide)


def _parameters(rows: Sequence[Parameter], real: type, wide: bool) -> np.void:
    record = np.zeros((), _parameters_type(real, wide))
    record["many"] = len(rows)
    table = record["of"][: len(rows)]
    pointers = zip(*([array.data.ptr for array in row[:3]] for row in rows), strict=True)
    divided = zip(*(_divided(*row[3:8], wide) for row in rows), strict=True)
    columns = *pointers, *divided, *zip(*(row[8:] for row in rows), strict=True)
    for label, column in zip(PARAMETER_FIELDS, columns, strict=True):
        table[label] = list(column)
    return record[()]  # type: ignore[return-value]


@functools.lru_cache(4096)
def divisor(length: int, wide: bool = False) -> np.void:
    """struct Divisor of kernels.cuh.  n // length is (high half of n * factor, + n) >> shift for 0
    <= n < 2^31 (2^63).

    With s bits for length - 1, 2^s >= length, and factor = floor(2^B * (2^s - length) / length) + 1
    makes n * (2^B + factor) / 2^(B + s) exceed n / length by less than 1 / length (Granlund and
    Montgomery 1994).
    """
    bits, length = 64 if wide else 32, max(1, length)
    shift = (length - 1).bit_length()
    factor = (((1 << shift) - length) << bits) // length + 1
    record: np.void = np.array((length, factor, shift), DIVISORS[bits // 8])[()]  # type: ignore[assignment]
    return record


@functools.lru_cache(4096)
def _window(numbers: tuple[int, ...], pack: int, wide: bool) -> np.void:
    height, width, channels, oh, ow, kh, kw, sh, sw, top, left = map(int, numbers)
    channels //= pack
    lengths = (height, width, channels, oh, ow, kh, kw, sh, sw)
    divisors = [divisor(length, wide) for length in (*lengths, kw * channels)]
    ints = (top, left), (width * channels, sw * channels, left * channels)
    record = np.array((*divisors[:-1], *ints[0], divisors[-1], *ints[1]), WINDOWS[8 if wide else 4])
    return record[()]  # type: ignore[return-value]


@functools.cache
def signature(path: str, name: str) -> list[tuple[str, str, bool]]:
    """[(C type, name, is an array), ...] of a kernel, read from its .cu file."""
    (parameters,) = re.findall(
        rf"__global__ void {name}\(([^)]*)\)", pathlib.Path(path).read_text("utf-8")
    )
    words = [
        re.sub(r"const|__restrict__|\*", " ", parameter).split()
        for parameter in parameters.split(",")
    ]
    arrays = ["*" in parameter for parameter in parameters.split(",")]
    return [
        (" ".join(kind), label, is_array)
        for (*kind, label), is_array in zip(words, arrays, strict=True)
    ]


def source(path: str | pathlib.Path) -> str:
    """The text of a .cu file with what it includes in its place: an installed package has no path
    to search.
    """
    path = pathlib.Path(path)

    def included(match: re.Match[str]) -> str:
        other, line = path.parent / match[1], path_text[: match.start()].count("\n") + 2
        return f'#line 1 "{other.name}"\n{other.read_text("utf-8")}#line {line} "{path.name}"'

    path_text = path.read_text("utf-8")
    return f'#line 1 "{path.name}"\n' + re.sub(
        r'^#include "(.+)"$', included, path_text, flags=re.MULTILINE
    )


def definitions(wide: bool, pack: int, *types: tuple[str, str]) -> list[str]:
    """The compiler's options that say what index_t, PACK and the open types are."""
    defined = {
        "index_t": "long long" if wide else "int",
        "PACK": pack,
        "real": "float",
        **dict(types),
    }
    return [f"-D{kind}={meaning}" for kind, meaning in defined.items()]


@functools.cache
def _kernel(path: str, name: str, wide: bool, pack: int, *types: tuple[str, str]) -> Any:
    return compile_kernel(source(path), definitions(wide, pack, *types), name)
