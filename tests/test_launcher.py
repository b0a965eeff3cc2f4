"""The launcher of kernels without a card: how a division becomes a multiplication, and which
instance it chooses.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawconv.layers import lrn, max_pool
from rawconv.layers.gpu import im2col
from rawconv.machine import kernels


@given(st.integers(1, (1 << 31) - 1), st.integers(0, (1 << 31) - 1), st.booleans())
def test_a_divisor_divides_exactly(length, n, wide):
    limit, bits = (1 << 63, 64) if wide else (1 << 31, 32)
    length, n = (length * 4_294_967_291, n * 4_294_967_299) if wide else (length, n)
    length = min(length, limit - 1)
    near = n - n % length
    for number in {n, limit - 1, 0, length - 1, length, near, max(0, near - 1)}:
        if number < limit:
            made = kernels.divisor(length, wide)
            high = number * int(made["factor"]) >> bits
            assert high + number < 1 << bits, "the kernel's sum has no more bits"
            assert high + number >> int(made["shift"]) == number // length
            assert made["length"] == length


def test_every_small_division():
    n = np.arange(1 << 12, dtype=np.uint64)
    for length in range(1, 300):
        made = kernels.divisor(length)
        np.testing.assert_array_equal(
            (n * int(made["factor"]) >> 32) + n >> int(made["shift"]), n // length
        )


def test_a_window_counts_in_packs():
    made = kernels._window((9, 7, 8, 5, 6, 3, 2, 2, 1, 1, 4), 4, False)
    lengths = {
        name: made[name]["length"]
        for name in ("height", "width", "channels", "oh", "ow", "kh", "kw", "run")
    }
    assert list(lengths.values()) == [9, 7, 2, 5, 6, 3, 2, 4]
    assert [made[name] for name in ("top", "left", "row", "step", "indent")] == [1, 4, 14, 2, 8]


class Array:
    """What the launcher asks of a CuPy array."""

    __cuda_array_interface__ = {}
    flags = SimpleNamespace(c_contiguous=True)

    def __init__(self, size, dtype="float32", start=0):
        self.size, self.dtype, self.data = size, np.dtype(dtype), SimpleNamespace(ptr=4096 + start)
        self.itemsize = self.dtype.itemsize


@pytest.fixture
def launched(monkeypatch):
    """launched(path, name, ...) -> (64-bit indices?, pack, threads at least, the first argument)."""
    found = []

    def kernel(path, name, wide, pack, *types):
        return lambda grid, block, arguments, shared_mem: found.append(
            (wide, pack, grid[0] * block[0], arguments[0])
        )

    monkeypatch.setattr(kernels, "_kernel", kernel)

    def call(*arguments):
        kernels.launch(*arguments)
        return found[-1]

    return call


SMALL = (1 << 31) - (1 << 22)


@pytest.mark.parametrize(
    ("size", "first", "wide"),
    [
        (1 << 20, 7, False),
        (SMALL, 7, False),
        (1 << 31, 7, True),
        (1 << 20, 1 << 31, True),
        (3 << 31, 7, True),
    ],
)
def test_indices_have_as_many_bits_as_the_arrays_need(size, first, wide, launched):
    """Of either array, and of a number that is added to an index."""
    window = (9, 7, 4, 5, 6, 3, 2, 2, 1, 1, 0)
    for x, columns in ((size, 800), (800, size)):
        found = launched(im2col.CU, "im2col", columns, Array(x), Array(columns), window, first)
        assert found[:2] == (wide, 1 if wide else 4) and type(found[3]) is (
            np.int64 if wide else np.int32
        )


@pytest.mark.parametrize(
    ("channels", "start", "pack"),
    [(8, 0, 4), (4, 16, 4), (6, 0, 1), (3, 0, 1), (8, 4, 1), (8, 8, 1), (1, 0, 1)],
)
def test_four_channels_at_once_where_they_lie_so(channels, start, pack, launched):
    """Their number is a multiple of four and every array starts at a multiple of 16 bytes."""
    size = 9 * 7 * channels
    found = launched(
        im2col.CU, "add_bias", size, Array(size), Array(channels, start=start), channels, 1
    )
    assert found[1] == pack and found[3] == size // pack and found[2] >= size // pack
    switches = Array(size, "uint8", start // 4)
    window = (9, 7, channels, 9, 7, 1, 1, 1, 1, 0, 0)
    assert (
        launched(max_pool.CU, "pool", size, Array(size), Array(size), switches, window)[1] == pack
    )
    assert launched(lrn.CU, "lrn", size, *[Array(size)] * 3, channels, 1, 1.0, 0.75, 1.0)[1] == 1


def test_nothing_is_launched_for_nothing(launched):
    with pytest.raises(IndexError):
        launched(im2col.CU, "add_bias", 0, Array(0), Array(4), 4, 1)
    with pytest.raises(ValueError, match="bias is int64"):
        launched(im2col.CU, "add_bias", 0, Array(0), Array(4, "int64"), 4, 1)
