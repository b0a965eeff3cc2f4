"""The kernels beyond 2^31 elements, checked by their index arithmetic: nobody has so much memory in a test.

Each .cu file is compiled for the host, and one thread of the largest grid walks through arrays of
address space: it touches about 150 elements, some of them beyond 2^31, and the operating system
backs only the pages these lie on.
"""

import ctypes
import functools
import mmap
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import reference as ref

from rawconv.data import augment
from rawconv.layers import cutouts, dropout, lrn, max_pool, relu
from rawconv.layers.gpu import im2col, implicit, sums
from rawconv.machine import kernels
from rawconv.training import optimizer

MORE = 5 << 29  # elements of the larger array, at least: 2.5 * 2^30
LESS = (1 << 31) - (1 << 26)  # elements of the largest array that 32-bit indices are used for
BLOCKS = 65535
STRIDE = BLOCKS * kernels.THREADS
TYPES = {"real": "float", "switch_t": "unsigned char", "item": "float"}
LAST = BLOCKS - 1, kernels.THREADS - 1
CASES = pytest.mark.parametrize(
    ("thread", "channels", "wide"),
    [
        ((0, 0), 1, True),
        ((40000, 77), 5, True),
        (LAST, 1, True),
        (LAST, 4, True),
        ((40000, 77), 5, False),
        (LAST, 4, False),
    ],
)
# elements around the start of an array: where an index of 32 bits would fall
BEFORE, AFTER = 1 << 31, 1 << 34
FLAGS = ["-O1", "-ffp-contract=off", "-std=c++20", "-pthread", "-Wno-attributes", "-fPIC"]
MAP_NORESERVE = 0x4000  # Python names it from 3.13 on; Linux

HEADER = """
#include <barrier>
#include <cmath>
#include <thread>
#include <vector>
"""
SHIM = """
#include "standard.h"
using std::fma;
using std::isinf;
using std::max;
using std::min;
using std::pow;
using std::sqrt;
#define __global__
#define __device__
#define __shared__ %s
#define __forceinline__ inline
#define __noinline__
static unsigned __umulhi(unsigned a, unsigned b) { return a * (unsigned long long)b >> 32; }
typedef unsigned long long wide_t;
static wide_t __umul64hi(wide_t a, wide_t b) { return a * (unsigned __int128)b >> 64; }
struct Dim { unsigned x; } blockIdx, blockDim, gridDim;
thread_local Dim threadIdx;
static std::barrier<> *all;
#define __syncthreads() all->arrive_and_wait()
%s
real memory[4096];
extern "C" void become(unsigned block, unsigned thread)
{
    blockIdx.x = block, threadIdx.x = thread, blockDim.x = %d, gridDim.x = %d;
}

// Block `block` of a grid of `blocks`, each of `threads` threads.
template<class Work> static void together(unsigned block, unsigned blocks, unsigned threads, Work work)
{
    std::barrier<> barrier(threads);
    all = &barrier, blockIdx.x = block, gridDim.x = blocks, blockDim.x = threads;
    std::vector<std::thread> workers;
    for (unsigned t = 0; t < threads; t++) workers.emplace_back([=] { threadIdx.x = t; work(); });
    for (std::thread &worker : workers) worker.join();
}
"""
TOGETHER = """
extern "C" void block_of_{name}(unsigned block, unsigned blocks, unsigned threads, {parameters})
{{
    together(block, blocks, threads, [=] {{ {name}({names}); }});
}}
"""
BLOCKS_OF = {
    lrn.CU: ["lrn", "lrn_back"],
    sums.CU: ["sum_rows", "sum_gated_rows"],
    implicit.CU: ["implicit_64"],
    optimizer.CU: ["sgd_filters", "scale_filters"],
}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """host(path of a .cu file, wide, pack) -> its kernels as C functions, real being float."""
    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile the kernels for the host")
    folder = tmp_path_factory.mktemp("host")
    (folder / "standard.h").write_text(HEADER)  # compiled once for all kernels
    subprocess.run(["g++", *FLAGS, "-x", "c++-header", folder / "standard.h"], check=True)

    @functools.cache
    def build(path, wide, pack):
        source, library = folder / "kernel.cpp", folder / f"{len(list(folder.iterdir()))}.so"
        shared = "" if path == lrn.CU else "static"
        text = SHIM % (shared, kernels.source(path), kernels.THREADS, BLOCKS)
        source.write_text(text + "".join(together(path, name) for name in BLOCKS_OF.get(path, [])))
        options = kernels.definitions(wide, pack, *TYPES.items())
        words = [*FLAGS, "-shared", *options, "-o", str(library), str(source)]
        subprocess.run(["g++", *words], check=True)
        return ctypes.CDLL(str(library))

    return build


def together(path, name):
    """A function that runs one block of a kernel, its threads side by side."""
    words = [
        (kind + " *" * is_array, label) for kind, label, is_array in kernels.signature(path, name)
    ]
    parameters = ", ".join(f"{kind} {label}" for kind, label in words)
    return TOGETHER.format(
        name=name, parameters=parameters, names=", ".join(label for _, label in words)
    )


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
        return ctypes.c_void_p(self.data.ptr)

    @property
    def data(self):
        return SimpleNamespace(ptr=self.all.ctypes.data + BEFORE * self.dtype.itemsize)


def as_c(value):
    """A number or a struct, as the launcher makes it, for a C function."""
    if isinstance(value, np.void):  # by value, whatever its fields are

        class Struct(ctypes.Structure):
            _fields_ = [("bytes", ctypes.c_ubyte * value.itemsize)]

        return Struct.from_buffer_copy(value.tobytes())
    return np.ctypeslib.as_ctypes_type(value.dtype)(value.item())


def converted(path, name, wide, pack, *arguments):
    """The arguments of a kernel, count first and in packs."""
    kinds = kernels.signature(path, name)
    return [
        value.pointer if is_array else as_c(kernels._value(kind, value, TYPES, pack, wide))
        for (kind, _, is_array), value in zip(
            kinds, (arguments[0] // pack, *arguments[1:]), strict=True
        )
    ]


def walk(host, path, name, case, *arguments):
    """Run one thread of a launch; the first argument is the count of elements."""
    thread, channels, wide = case
    pack = lanes(path, channels, wide)
    library = host(path, wide, pack)
    library.become(*thread)
    library[name](*converted(path, name, wide, pack, *arguments))


def lanes(path, channels, wide):
    packs = path in (im2col.CU, max_pool.CU, optimizer.CU, relu.CU)
    return kernels.LANES if packs and channels % kernels.LANES == 0 and not wide else 1


def count_for(case, ratio=1):
    """How many elements to walk over; ratio: the size of the largest array over that of the result."""
    return MORE if case[2] else int(LESS / ratio) // 420 * 420


def visited(count, case, path=lrn.CU):
    """What that thread must make: the last ones lie beyond 2^31."""
    thread, channels, wide = case
    pack = lanes(path, channels, wide)
    packs = range(thread[0] * kernels.THREADS + thread[1], count // pack, STRIDE)
    places = [pack * i + lane for i in packs for lane in range(pack)]
    assert not wide or places[-1] > 1 << 31
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
ROOMIER = OH * OW * KH * KW / (H * W)  # columns have so many times the elements of the map


def windows(y, x):
    """Every window over the place (y, x), in reading order, with the place's number in it: (oy, ox,
    ky, kx).
    """
    for oy, ox in np.ndindex(OH, OW):
        ky, kx = y - oy * SH + TOP, x - ox * SW + LEFT
        if 0 <= ky < KH and 0 <= kx < KW:
            yield oy, ox, ky, kx


def at(n, y, x, c, height, width, channels):
    """Where element (n, y, x, c) lies.  Python's integers do not overflow."""
    return ((n * height + y) * width + x) * channels + c


@CASES
def test_im2col(thread, channels, wide, host):
    case = thread, channels, wide
    x, columns, first, count = Huge(), Huge(), (3 << 25 if wide else 3 << 20), count_for(case, 2)
    for i in visited(count, case, im2col.CU):
        row, ky, kx, c = digits(i, KH, KW, channels)
        n, oy, ox = digits(row + first * OW, OH, OW)
        iy, ix = oy * SH - TOP + ky, ox * SW - LEFT + kx
        if 0 <= iy < H and 0 <= ix < W:
            x[at(n, iy, ix, c, H, W, channels)] = i % 251 + 1
    walk(
        host, im2col.CU, "im2col", case, count, x, columns, (H, W, channels, OH, OW, *WINDOW), first
    )
    for i in visited(count, case, im2col.CU):
        ky, kx = digits(i, KH, KW, channels)[1:3]
        n, oy, ox = digits(i // (KH * KW * channels) + first * OW, OH, OW)
        inside = 0 <= oy * SH - TOP + ky < H and 0 <= ox * SW - LEFT + kx < W
        assert columns[i] == (i % 251 + 1 if inside else 0)


@CASES
def test_col2im(thread, channels, wide, host):
    case = thread, channels, wide
    dcolumns, dx, count = Huge(), Huge(), count_for(case, ROOMIER)
    for step in ("fill", "check"):
        for i in visited(count, case, im2col.CU):
            n, y, x, c = digits(i, H, W, channels)
            total = 0
            for number, (oy, ox, ky, kx) in enumerate(windows(y, x)):
                source = at(at(n, oy, ox, ky, OH, OW, KH), kx, 0, c, KW, 1, channels)
                dcolumns[source] = value = i % 251 + 1000 * number
                total += value
            assert step == "fill" or dx[i] == total
        walk(
            host, im2col.CU, "col2im", case, count, dcolumns, dx, (H, W, channels, OH, OW, *WINDOW)
        )


@CASES
def test_add_bias(thread, channels, wide, host):
    case = thread, channels, wide
    y, bias, count = Huge(), Huge(), count_for(case)
    for ceiling in (-1, 60, np.inf):  # below 0: no ReLU
        for i in visited(count, case, im2col.CU):
            y[i], bias[i % channels] = i % 251 - 125, i % channels + 1
        walk(host, im2col.CU, "add_bias", case, count, y, bias, channels, ceiling)
        for i in visited(count, case, im2col.CU):
            value = i % 251 - 125 + i % channels + 1
            assert y[i] == (value if ceiling < 0 else min(max(value, 0), ceiling))


@CASES
def test_pool(thread, channels, wide, host):
    case = thread, channels, wide
    x, y, switches, count = Huge(), Huge(), Huge("uint8"), count_for(case, H * W / (OH * OW))
    for step in ("fill", "check"):
        for i in visited(count, case, max_pool.CU):
            n, oy, ox, c = digits(i, OH, OW, channels)
            places = [
                (ky, kx, oy * SH - TOP + ky, ox * SW - LEFT + kx)
                for ky, kx in np.ndindex(KH, KW)
                if 0 <= oy * SH - TOP + ky < H and 0 <= ox * SW - LEFT + kx < W
            ]
            ky, kx, iy, ix = places[i % len(places)]
            x[at(n, iy, ix, c, H, W, channels)] = i % 251 + 1
            assert step == "fill" or (y[i], switches[i]) == (i % 251 + 1, ky * KW + kx)
        walk(
            host,
            max_pool.CU,
            "pool",
            case,
            count,
            x,
            y,
            switches,
            (H, W, channels, OH, OW, *WINDOW),
        )


@CASES
def test_unpool(thread, channels, wide, host):
    case = thread, channels, wide
    dx, dy, switches = Huge(), Huge(), Huge("uint8")
    count = 3 * MORE if wide else count_for(case)
    for step in ("fill", "check"):
        for i in visited(count, case, max_pool.CU):
            n, y, x, c = digits(i, H, W, channels)
            total = 0
            for number, (oy, ox, ky, kx) in enumerate(windows(y, x)):
                source = at(n, oy, ox, c, OH, OW, channels)
                dy[source], switches[source] = i % 251 + 1000 * number, ky * KW + kx
                total += i % 251 + 1000 * number
            assert step == "fill" or dx[i] == total
        walk(
            host,
            max_pool.CU,
            "unpool",
            case,
            count,
            dx,
            dy,
            switches,
            (H, W, channels, OH, OW, *WINDOW),
            0,
        )


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("channels", [1, 5, 96])
def test_lrn(channels, wide, host):
    """Its threads work together, so a whole block of 32 runs, on the host's threads, in a grid that
    it soon passes.
    """
    x, dy, y, dx = Huge(), Huge(), Huge(), Huge()
    block, threads, count = 15_000_000, 32, (MORE if wide else LESS) // 480 * 480
    blocks = (1 << 24) + 1
    runs = [
        range(start, min(start + threads, count))
        for start in range(block * threads, count, blocks * threads)
    ]
    assert (runs[-1][0] > 1 << 31) == wide and len(runs) > 1
    constants = dict(size=3, alpha=0.5, beta=0.75, k=2.0)
    for step in ("fill", "check"):
        for i in {i for run in runs for i in run}:
            c, rng = i % channels, np.random.default_rng(i // channels)
            place, dplace = rng.standard_normal((2, channels)).astype("float32")
            for j in range(channels):
                x[i - c + j], dy[i - c + j] = place[j], dplace[j]
            if step == "check":
                assert abs(y[i] - ref.lrn_up(place, **constants)[c]) < 1e-6
                assert abs(dx[i] - ref.lrn_back(dplace, place, **constants)[c]) < 1e-6
        for name, given, out in (("lrn", x, y), ("lrn_back", dy, dx)):
            arguments = converted(
                lrn.CU, name, wide, 1, count, x, given, out, channels, 1, 0.5, 0.75, 2.0
            )
            host(lrn.CU, wide, 1)[f"block_of_{name}"](block, blocks, threads, *arguments)


MATRIX = pytest.mark.parametrize(
    ("filters", "wide"), [(3, True), (40, True), (40, False), (96, False)]
)


def last_tile(filters, wide, step):
    """(rows of a matrix that large, tiles side by side, parts, the last block, its rows, its columns)."""
    rows = (MORE if wide else LESS) // filters - 5
    across, parts = -(-filters // kernels.COLUMNS), -(-rows // step)
    columns = range(kernels.COLUMNS * (across - 1), filters)
    return rows, across, parts, across * parts - 1, range(step * (parts - 1), rows), columns


@MATRIX
@pytest.mark.parametrize("gated", [False, True])
def test_sum_rows(gated, filters, wide, host):
    """And sum_gated_rows: every second row is where a ReLU lets nothing through."""
    matrix, y, found, step = Huge(), Huge(), Huge(), 1003
    rows, across, parts, block, own, columns = last_tile(filters, wide, step)
    assert (rows * filters > 1 << 31) == wide
    for r in own:
        for f in columns:
            matrix[r * filters + f], y[r * filters + f] = (r + 7 * f) % 11, r % 2
    count = across * parts * kernels.THREADS
    name, gate = ("sum_gated_rows", (y, np.inf)) if gated else ("sum_rows", ())
    arguments = converted(
        sums.CU, name, wide, 1, count, matrix, *gate, found, rows, filters, across, step
    )
    host(sums.CU, wide, 1)[f"block_of_{name}"](block, block + 1, 64, *arguments)
    for f in columns:
        passed = [(r + 7 * f) % 11 * (r % 2 if gated else 1) for r in own]
        assert found[(parts - 1) * filters + f] == sum(passed)
        assert [matrix[r * filters + f] for r in own] == passed


@pytest.mark.parametrize("wide", [True, False])
def test_implicit(wide, host):
    """The last tile of positions: every window sees its own pixels, far behind 2^31 where these need it."""
    channels, filters = 3, 5
    images = (MORE if wide else LESS) // (H * W * channels)
    rows, x, weight, y = images * OH * OW, Huge(), Huge(), Huge()
    tile = -(-rows // implicit.HEIGHT) - 1
    own = range(tile * implicit.HEIGHT, rows)
    assert (images * H * W * channels > 1 << 31) == wide and len(own) > 4
    taps = list(np.ndindex(KH, KW, channels))
    for k, f in np.ndindex(len(taps), filters):
        weight[k * filters + f] = (k + f) % 3 - 1
    want = {}
    for step in ("fill", "sum"):
        for r in own:
            n, oy, ox = digits(r, OH, OW)
            for k, (ky, kx, c) in enumerate(taps):
                iy, ix = oy * SH - TOP + ky, ox * SW - LEFT + kx
                if 0 <= iy < H and 0 <= ix < W:
                    place = at(n, iy, ix, c, H, W, channels)
                    x[place] = place % 7 - 3
                    for f in range(filters) if step == "sum" else ():
                        want[r, f] = want.get((r, f), 0) + x[place] * ((k + f) % 3 - 1)
    count = (tile + 1) * kernels.THREADS
    place = OH, OW, 1, 1, 0, 0
    arguments = converted(
        implicit.CU, "implicit_64", wide, 1, count, x, weight, weight, y,
        (H, W, channels, OH, OW, *WINDOW), filters, rows, 0, 0, *place, -1.0,
    )  # fmt: skip
    host(implicit.CU, wide, 1)["block_of_implicit_64"](tile, tile + 1, kernels.THREADS, *arguments)
    assert want == {(r, f): y[r * filters + f] for r, f in want} and len(want) == len(own) * filters


@MATRIX
@pytest.mark.parametrize("limited", [True, False])
def test_sgd_filters(limited, filters, wide, host):
    """And scale_filters, of the second of two parameters: every second filter is too large, unless
    its filters have no limit.
    """
    weight, velocity, grad, squares, step = Huge(), Huge(), Huge(), Huge(), 40
    rows, across, parts, block, own, columns = last_tile(filters, wide, step)
    for r in own:
        for f in columns:
            at = r * filters + f
            weight[at], velocity[at], grad[at] = (r + f) % 5 * (1 + f % 2), 2, 4
    radius = (2 * 6 * len(own) / rows) ** 0.5
    bias = kernels.Parameter(Huge(), Huge(), Huge(), 1, 90, 3, 1, 1, 0, -1, 9.0, 9.0)
    shape = rows, filters, across, step, parts
    large = kernels.Parameter(weight, velocity, grad, *shape, 3, 11 if limited else -1, 0.25, 0.0)
    block, count = block + 3, (across * parts + 3) * kernels.THREADS
    kernels_of = [("sgd_filters", 0.5), ("scale_filters", radius)]
    for name, number in kernels_of if limited else kernels_of[:1]:
        given = kernels.Parameters([bias, large])
        arguments = converted(optimizer.CU, name, wide, 1, count, given, squares, number)
        host(optimizer.CU, wide, 1)[f"block_of_{name}"](block, block + 1, 64, *arguments)
        for f in columns:
            values = [(r + f) % 5 * (1 + f % 2) for r in own]
            total = sum(value**2 for value in values)
            assert (
                squares[11 + (parts - 1) * filters + f] == total * limited
                and ((total / rows) ** 0.5 > radius) == f % 2
            )
            share = radius / (total / rows) ** 0.5 if f % 2 and name == "scale_filters" else 1
            for r, value in zip(own, values, strict=True):
                at = r * filters + f
                assert velocity[at] == 0 and abs(weight[at] - value * share) <= 1e-6 * value


@CASES
def test_dropout(thread, channels, wide, host):
    case = thread, channels, wide
    x, y, samples = Huge(), Huge(), Huge("uint64")
    length, blocks, count = channels, (channels + 3) // 4, count_for(case, 4)
    for step in ("fill", "check"):
        for i in visited(count, case):
            n, block = divmod(i, blocks)
            samples[n] = sample = n * 3 % (1 << 32)
            words = ref.philox4x32((block, sample, 9, 0), (5, 6))
            for e in range(4 * block, min(4 * block + 4, length)):
                x[n * length + e] = e + 1
                assert step == "fill" or y[n * length + e] == (words[e % 4] >= 1 << 31) * 2 * (
                    e + 1
                )
        walk(
            host,
            dropout.CU,
            "dropout",
            case,
            count,
            x,
            y,
            samples,
            length,
            blocks,
            1 << 31,
            2.0,
            5,
            6,
            9,
        )


@CASES
def test_relu_grad(thread, channels, wide, host):
    case, dy, y, dx = (thread, channels, wide), Huge(), Huge(), Huge()
    count = count_for(case)
    for ceiling in (5.0, float("inf")):
        for i in visited(count, case, relu.CU):
            dy[i], y[i] = i % 251 + 1, i % 9 - 2
        walk(host, relu.CU, "relu_grad_block", case, count, ceiling, dy, y, dx)
        for i in visited(count, case, relu.CU):
            assert dx[i] == (i % 251 + 1 if 0 < i % 9 - 2 < ceiling else 0)


@CASES
def test_crops(thread, channels, wide, host):
    case = thread, channels, wide
    """Crops of 3 x 3 at (top, left) = (4, -1), every second one mirrored; two of each picture."""
    images, places, mean, y, size = Huge("uint8"), Huge("int64"), Huge(), Huge(), 3
    count = count_for(case, H * W / size**2)

    def source(i):
        """The crop's number, whether its pixel lies in the picture, and where."""
        n, v, u, c = digits(i, size, size, channels)
        column = -1 + (size - 1 - u if n % 2 else u)
        return n, column >= 0, at(n // 2, 4 + v, column, c, H, W, channels)

    for i in visited(count, case):
        n, inside, place = source(i)
        for k, value in enumerate((n // 2, 4, -1, n % 2)):
            places[4 * n + k] = value
        if inside:
            images[place] = i % 251
    for i in range(H * W * channels):
        mean[i] = i
    numbers = H, W, channels, size, size
    walk(host, augment.CU, "crops", case, count, images, places, mean, y, *numbers)
    for i in visited(count, case):
        _, inside, place = source(i)
        assert y[i] == (i % 251 - place % (H * W * channels) if inside else 0)


@CASES
def test_cutouts(thread, channels, wide, host):
    """Windows of 3 x 2 at (top, left) = (2, -1), or (u % 3, 2), which hang over a map of 4 x 3 here
    and there.
    """
    case, h, w, height, width = (thread, channels, wide), 3, 2, 4, 3
    r, clear, pasted, whole, corner, at_ = (
        Huge(),
        Huge(),
        Huge(),
        Huge(),
        Huge("int64"),
        Huge("int64"),
    )

    def top_left(u):
        return (2, -1) if u % 2 else (u % 3, 2)

    count = count_for(case, height * width / (h * w))
    for i in visited(count, case):
        u = digits(i, h, w, channels)[0]
        corner[2 * u], corner[2 * u + 1] = top_left(u)
        r[i] = clear[i] = i % 251 + 1
    geometry = h, w, channels, height, width
    walk(host, cutouts.CU, "clear_outside", case, count, clear, corner, -5.0, *geometry)
    walk(host, cutouts.CU, "paste_windows", case, count, r, pasted, corner, *geometry)
    for i in visited(count, case):
        u, v, x, c = digits(i, h, w, channels)
        row, column = np.add(top_left(u), (v, x)).tolist()
        inside = 0 <= row < height and 0 <= column < width
        assert clear[i] == (i % 251 + 1 if inside else -5)
        if inside:
            assert pasted[at(u, row, column, c, height, width, channels)] == i % 251 + 1

    count = count_for(case)
    for i in visited(count, case):
        u, y, x, c = digits(i, height, width, channels)
        corner[2 * u], corner[2 * u + 1] = top, left = top_left(u)
        at_[u] = u ^ 1
        whole[at(u ^ 1, y, x, c, height, width, channels)] = 9
        if 0 <= y - top < h and 0 <= x - left < w:
            r[at(u, y - top, x - left, c, h, w, channels)] = i % 251 + 1
    walk(host, cutouts.CU, "put_windows", case, count, r, whole, corner, at_, *geometry)
    for i in visited(count, case):
        u, y, x, c = digits(i, height, width, channels)
        top, left = top_left(u)
        inside = 0 <= y - top < h and 0 <= x - left < w
        assert whole[at(u ^ 1, y, x, c, height, width, channels)] == (i % 251 + 1 if inside else 0)
