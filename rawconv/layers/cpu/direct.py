"""Convolution of pictures with few channels on the CPU, without columns: their sums stay in registers.

In conv1 a window has 7x7x3 numbers for 96 filters or fewer; to write it as a column, and to order
the columns for BLAS, takes half as long as the product itself.  Here a picture is padded once, and
the rows of its windows are read where they lie.

    up      the sums of POSITIONS neighbouring places and LANES filters, over the numbers of a window
    back    those of TAPS neighbouring numbers of a window and LANES filters, over a row of dy

Each number is multiplied by a vector of filters, with nothing read or written but these two.
"""

import math

import numpy as np

from ...machine.numba_cache import loop
from ...machine.threads import cut, run_blocks, scratch
from ..relu import relu
from .gemm import ACCUMULATORS, transpose  # noqa: F401 (of this way there is no transpose: columns are as fast)
from .simd import LANES, accumulate, copies, load, splat, store

MOST_CHANNELS = 4  # otherwise columns are worth their while
# vectors of sums; 11 divides rows of 7x3 and 11x3 numbers with the least left over
POSITIONS, TAPS = 8, 11
BLOCK = 4096  # positions of the output: rows of an image or some images


def supports(shape, forced=False, transposed=False):
    return (
        shape.weight[2] <= MOST_CHANNELS
        and shape.weight[3] % LANES == 0
        and shape.out_size[1] >= POSITIONS
    )


def forward(x, weight, bias, window, y, fuse_relu=None):
    """y = the convolution of x with weight, plus bias (or None); fuse_relu: and a ReLU, in a pass
    of its own.
    """
    filters = weight.shape[3]
    matrix = np.ascontiguousarray(
        weight.reshape(-1, filters // LANES, LANES).swapaxes(0, 1)
    ).reshape(-1)
    offsets = np.zeros(filters, x.dtype) if bias is None else np.ascontiguousarray(bias)

    def block(part):
        padded, geometry = _padded(x, part, window, y.shape[2])
        sum_positions(padded, matrix, offsets, y[part].reshape(-1), geometry)

    run_blocks(block, _blocks(y))
    if fuse_relu is not None:
        relu(y, y, fuse_relu)


def weight_gradient(x, dy, window):
    """dweight, in some sums of their own, which are added in their order."""
    shape = (*window.size, x.shape[3], dy.shape[3])
    blocks = _blocks(dy)
    parts = cut(len(blocks), max(1, -(-len(blocks) // ACCUMULATORS)))
    sums = np.zeros((len(parts), shape[3] // LANES, math.prod(shape[:3]), LANES), x.dtype)

    def block(index):
        for part in blocks[parts[index]]:
            padded, geometry = _padded(x, part, window, dy.shape[2])
            sum_taps(padded, dy[part].reshape(-1), sums[index].reshape(-1), shape[3], geometry)

    run_blocks(block, range(len(parts)))
    return np.ascontiguousarray(sums.sum(axis=0).swapaxes(0, 1)).reshape(shape)


def _blocks(y):
    """(images, rows) of every block of an output."""
    count, height, width = y.shape[:3]
    rows = max(1, BLOCK // width)
    if rows >= height:
        return [(images, slice(0, height)) for images in cut(count, rows // height)]
    return [(slice(n, n + 1), part) for n in range(count) for part in cut(height, rows)]


def _padded(x, part, window, width):
    """What a block of the output sees of x, with zeros around it, flat; and (width, rows of the
    block, KH, the numbers of a window's row, and in numbers the way to the next line, image, output
    row and output position)."""
    (kh, kw), (sh, sw), (top, left) = window.size, window.stride, window.pad[:2]
    x, rows, channels = x[part[0]], part[1], x.shape[3]
    line = channels * max((width - 1) * sw + kw, left + x.shape[2])
    shape = (len(x), (rows.stop - rows.start - 1) * sh + kh, line)
    # sum_taps reads beyond the last line
    padded = scratch("padded", (math.prod(shape) + TAPS,), x.dtype)
    lines = padded[: math.prod(shape)].reshape(shape)
    pad(x.reshape(*x.shape[:2], -1), lines, top - rows.start * sh, left * channels)
    return padded, (
        width,
        rows.stop - rows.start,
        kh,
        kw * channels,
        line,
        shape[1] * line,
        sh * line,
        sw * channels,
    )


@loop
def pad(x, padded, top, left):
    """padded[n, i, j] = x[n, i - top, j - left], zero outside x."""
    height, length = x.shape[1:]
    for n in range(len(x)):
        for i in range(padded.shape[1]):
            line = padded[n, i]
            if 0 <= i - top < height:
                line[:left] = 0
                line[left : left + length] = x[n, i - top]
                line[left + length :] = 0
            else:
                line[:] = 0


@loop
def sum_positions(padded, weight, bias, y, geometry):
    """y, `rows` rows of some images; weight lies as (vector of filters, number of the window, lane)."""
    width, rows, kh, run, line, image, down, across = geometry
    filters = len(bias)
    for row in range(len(y) // (width * filters)):
        corner = row // rows * image + row % rows * down
        for f in range(0, filters, LANES):
            b = load(bias, f)
            for first in range(0, width, POSITIONS):
                ox = min(first, width - POSITIONS)  # the last vectors may be summed twice
                sums = copies(b, POSITIONS)
                for ky in range(kh):
                    start, taps = corner + ky * line + ox * across, (f * kh + ky * LANES) * run
                    sums = accumulate(sums, padded, start, across, 1, weight, taps, LANES, run)
                for j in range(POSITIONS):
                    store(y, (row * width + ox + j) * filters + f, sums[j])


@loop
def sum_taps(padded, dy, total, filters, geometry):
    """total += the gradient of the weights, in their order above, from `rows` rows of some images."""
    width, rows, kh, run, line, image, down, across = geometry
    zero = splat(total, total.dtype.type(0))
    for row in range(len(dy) // (width * filters)):
        corner = row // rows * image + row % rows * down
        for f in range(0, filters, LANES):
            for ky in range(kh):
                for i in range(0, run, TAPS):
                    start, at = corner + ky * line + i, (f * kh + ky * LANES) * run + i * LANES
                    first = row * width * filters + f
                    sums = accumulate(
                        copies(zero, TAPS), padded, start, 1, across, dy, first, filters, width
                    )
                    for j in range(min(TAPS, run - i)):
                        store(total, at + j * LANES, load(total, at + j * LANES) + sums[j])
