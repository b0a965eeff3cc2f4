"""The kernels beyond 2^31 elements, checked by their index arithmetic: nobody has so much memory in a test.

Each .cu file is compiled for the host, and one thread of the largest grid walks through arrays of address space: it
touches about 150 elements, some of them beyond 2^31, and the operating system backs only the pages these lie on.
"""

import ctypes
import functools
import mmap
import shutil
import subprocess

import numpy as np
import pytest
import reference as ref

from rawconv.data import augment
from rawconv.layers import conv, dropout, lrn, max_pool
from rawconv.machine import arrays
from rawconv.training import optimizer

MORE = 5 << 29  # elements of the larger array, at least: 2.5 * 2^30
STRIDE = arrays.BLOCKS * arrays.THREADS
LAST = arrays.BLOCKS - 1, arrays.THREADS - 1
CASES = pytest.mark.parametrize(("thread", "channels"), [((0, 0), 1), ((40000, 77), 5), (LAST, 1), (LAST, 4)])
BEFORE, AFTER = 1 << 31, 1 << 34  # elements around the start of an array: where an index of 32 bits would fall
MAP_NORESERVE = 0x4000  # Python names it from 3.13 on; Linux

SHIM = """
#include <cmath>
using std::pow;
using std::sqrt;
#define __global__
#define __device__ static
#define __shared__ static
#define __syncthreads()
struct Dim { unsigned x; } blockIdx, threadIdx, blockDim = {%d}, gridDim = {%d};
extern "C" void become(unsigned block, unsigned thread) { blockIdx.x = block; threadIdx.x = thread; }
#include "%s"
"""
C_ARGUMENTS = {"long long": ctypes.c_longlong, "real": ctypes.c_float}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """host(path of a .cu file) -> its kernels as C functions, real being float."""
    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile the kernels for the host")
    folder = tmp_path_factory.mktemp("host")

    @functools.cache
    def build(path):
        source, library = folder / "kernel.cpp", folder / f"{len(list(folder.iterdir()))}.so"
        source.write_text(SHIM % (arrays.THREADS, arrays.BLOCKS, path))
        flags = ["-O1", "-ffp-contract=off", "-shared", "-fPIC", "-Dreal=float", "-Dswitch_t=unsigned char"]
        subprocess.run(["g++", *flags, "-o", str(library), str(source)], check=True)
        return ctypes.CDLL(str(library))

    return build


class Huge:
    """An array of address space: a number once written stays, all others read 0."""

    def __init__(self, dtype="float32"):
        self.dtype, size = np.dtype(dtype), (BEFORE + AFTER) * np.dtype(dtype).itemsize
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
        try:
            self.all = np.frombuffer(mmap.mmap(-1, size, flags), dtype)
        except OSError as error:
            pytest.skip(f"this system lends no address space beyond its memory ({error})")

    def __getitem__(self, i):
        return self.all[BEFORE + i]

    def __setitem__(self, i, value):
        self.all[BEFORE + i] = value

    @property
    def pointer(self):
        return ctypes.c_void_p(self.all.ctypes.data + BEFORE * self.dtype.itemsize)


def walk(host, path, name, count, thread, *arguments):
    """Run one thread of a launch over `count` elements."""
    values = [ctypes.c_longlong(count)]
    for (kind, _, is_array), value in zip(arrays._signature(path, name)[1:], arguments, strict=True):
        values.append(value.pointer if is_array else C_ARGUMENTS[kind](value))
    host(path).become(*thread)
    host(path)[name](*values)


def visited(count, thread):
    """What that thread must make: the last ones lie beyond 2^31."""
    places = range(thread[0] * arrays.THREADS + thread[1], count, STRIDE)
    assert places[-1] > 1 << 31
    return places


def digits(i, *lengths):
    """The coordinates of element i of an array (?, *lengths)."""
    found = []
    for length in reversed(lengths):
        i, last = divmod(i, length)
        found.append(last)
    return i, *reversed(found)


H, W = 9, 7
KH, KW, SH, SW, TOP, LEFT = 3, 2, 2, 1, 1, 0
OH, OW = 5, 6
WINDOW = (KH, KW, SH, SW, TOP, LEFT)


def windows(y, x):
    """Every window over the place (y, x), in reading order, with the place's number in it: (oy, ox, ky, kx)."""
    for oy, ox in np.ndindex(OH, OW):
        ky, kx = y - oy * SH + TOP, x - ox * SW + LEFT
        if 0 <= ky < KH and 0 <= kx < KW:
            yield oy, ox, ky, kx


def at(n, y, x, c, height, width, channels):
    """Where element (n, y, x, c) lies.  Python's integers do not overflow."""
    return ((n * height + y) * width + x) * channels + c


@CASES
def test_im2col(thread, channels, host):
    x, columns, first = Huge(), Huge(), 3 << 25
    for i in visited(MORE, thread):
        row, ky, kx, c = digits(i, KH, KW, channels)
        n, oy, ox = digits(row + first * OW, OH, OW)
        iy, ix = oy * SH - TOP + ky, ox * SW - LEFT + kx
        if 0 <= iy < H and 0 <= ix < W:
            x[at(n, iy, ix, c, H, W, channels)] = i % 251 + 1
    walk(host, conv.CU, "im2col", MORE, thread, x, columns, H, W, channels, first, OH, OW, *WINDOW)
    for i in visited(MORE, thread):
        ky, kx = digits(i, KH, KW, channels)[1:3]
        n, oy, ox = digits(i // (KH * KW * channels) + first * OW, OH, OW)
        inside = 0 <= oy * SH - TOP + ky < H and 0 <= ox * SW - LEFT + kx < W
        assert columns[i] == (i % 251 + 1 if inside else 0)


@CASES
def test_col2im(thread, channels, host):
    dcolumns, dx = Huge(), Huge()
    for step in ("fill", "check"):
        for i in visited(MORE, thread):
            n, y, x, c = digits(i, H, W, channels)
            total = 0
            for number, (oy, ox, ky, kx) in enumerate(windows(y, x)):
                source = at(at(n, oy, ox, ky, OH, OW, KH), kx, 0, c, KW, 1, channels)
                dcolumns[source] = value = i % 251 + 1000 * number
                total += value
            assert step == "fill" or dx[i] == total
        walk(host, conv.CU, "col2im", MORE, thread, dcolumns, dx, H, W, channels, OH, OW, *WINDOW)


@CASES
def test_add_bias(thread, channels, host):
    y, bias = Huge(), Huge()
    for fuse_relu in (0, 1):
        for i in visited(MORE, thread):
            y[i], bias[i % channels] = i % 251 - 125, i % channels + 1
        walk(host, conv.CU, "add_bias", MORE, thread, y, bias, channels, fuse_relu)
        for i in visited(MORE, thread):
            value = i % 251 - 125 + i % channels + 1
            assert y[i] == (max(value, 0) if fuse_relu else value)


@CASES
def test_pool(thread, channels, host):
    x, y, switches = Huge(), Huge(), Huge("uint8")
    for step in ("fill", "check"):
        for i in visited(MORE, thread):
            n, oy, ox, c = digits(i, OH, OW, channels)
            places = [
                (ky, kx, oy * SH - TOP + ky, ox * SW - LEFT + kx)
                for ky, kx in np.ndindex(KH, KW)
                if 0 <= oy * SH - TOP + ky < H and 0 <= ox * SW - LEFT + kx < W
            ]
            ky, kx, iy, ix = places[i % len(places)]
            x[at(n, iy, ix, c, H, W, channels)] = i % 251 + 1
            assert step == "fill" or (y[i], switches[i]) == (i % 251 + 1, ky * KW + kx)
        walk(host, max_pool.CU, "pool", MORE, thread, x, y, switches, H, W, channels, OH, OW, *WINDOW)


@CASES
def test_unpool(thread, channels, host):
    dx, dy, switches = Huge(), Huge(), Huge("uint8")
    count = 3 * MORE
    for step in ("fill", "check"):
        for i in visited(count, thread):
            n, y, x, c = digits(i, H, W, channels)
            total = 0
            for number, (oy, ox, ky, kx) in enumerate(windows(y, x)):
                source = at(n, oy, ox, c, OH, OW, channels)
                dy[source], switches[source] = i % 251 + 1000 * number, ky * KW + kx
                total += i % 251 + 1000 * number
            assert step == "fill" or dx[i] == total
        walk(host, max_pool.CU, "unpool", count, thread, dx, dy, switches, H, W, channels, OH, OW, *WINDOW, 0)


@CASES
def test_lrn(thread, channels, host):
    x, dy, y, dx = Huge(), Huge(), Huge(), Huge()
    constants = dict(size=3, alpha=0.5, beta=0.75, k=2.0)
    for step in ("fill", "check"):
        for i in visited(MORE, thread):
            c, rng = i % channels, np.random.default_rng(i)
            place, dplace = rng.standard_normal((2, channels)).astype("float32")
            for j in range(channels):
                x[i - c + j], dy[i - c + j] = place[j], dplace[j]
            if step == "check":
                assert abs(y[i] - ref.lrn_up(place, **constants)[c]) < 1e-6
                assert abs(dx[i] - ref.lrn_back(dplace, place, **constants)[c]) < 1e-6
        walk(host, lrn.CU, "lrn", MORE, thread, x, x, y, channels, 1, 0.5, 0.75, 2.0)
        walk(host, lrn.CU, "lrn_back", MORE, thread, x, dy, dx, channels, 1, 0.5, 0.75, 2.0)


@CASES
def test_dropout(thread, channels, host):
    x, y, samples = Huge(), Huge(), Huge("uint64")
    length, blocks = channels, (channels + 3) // 4
    for step in ("fill", "check"):
        for i in visited(MORE, thread):
            n, block = divmod(i, blocks)
            samples[n] = sample = n * 3 % (1 << 32)
            words = ref.philox4x32((block, sample, 9, 0), (5, 6))
            for e in range(4 * block, min(4 * block + 4, length)):
                x[n * length + e] = e + 1
                assert step == "fill" or y[n * length + e] == (words[e % 4] >= 1 << 31) * 2 * (e + 1)
        walk(host, dropout.CU, "dropout", MORE, thread, x, y, samples, length, 1 << 31, 2.0, 5, 6, 9)


@CASES
def test_sgd(thread, channels, host):
    weight, velocity, grad = Huge(), Huge(), Huge()
    for i in visited(MORE, thread):
        weight[i], velocity[i], grad[i] = i % 251, 2, 4
    walk(host, optimizer.CU, "sgd", MORE, thread, weight, velocity, grad, 0.5, 0.25, 0.0)
    for i in visited(MORE, thread):
        assert (weight[i], velocity[i]) == (i % 251, 0)


@CASES
def test_crops(thread, channels, host):
    """Crops of 3 x 3 at (top, left) = (4, -1), every second one mirrored; two of each picture."""
    pictures, rows, places, mean, y, size = Huge("uint8"), Huge("int64"), Huge("int64"), Huge(), Huge(), 3

    def source(i):
        """The crop's number, whether its pixel lies in the picture, and where."""
        n, v, u, c = digits(i, size, size, channels)
        column = -1 + (size - 1 - u if n % 2 else u)
        return n, column >= 0, at(n // 2, 4 + v, column, c, H, W, channels)

    for i in visited(MORE, thread):
        n, inside, place = source(i)
        rows[n], places[3 * n], places[3 * n + 1], places[3 * n + 2] = n // 2, 4, -1, n % 2
        if inside:
            pictures[place] = i % 251
    for i in range(H * W * channels):
        mean[i] = i
    walk(host, augment.CU, "crops", MORE, thread, pictures, rows, places, mean, y, H, W, channels, size)
    for i in visited(MORE, thread):
        _, inside, place = source(i)
        assert y[i] == (i % 251 - place % (H * W * channels) if inside else 0)
