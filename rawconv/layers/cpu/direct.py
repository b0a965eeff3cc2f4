"""Convolution on the CPU without columns and without transforms: its sums stay in registers.

To write a window as a column, and to order the columns for BLAS, takes as long as the product
itself where channels or filters are few or maps small.  Here some images are padded into a buffer
that stays in the cache, and the rows of their windows are read where they lie.

    up      the sums of MANY positions of the output and some vectors of filters, over the numbers of a window
    back    those of MANY numbers of a window and some vectors of filters, over positions of dy

Some are two; the first three go together where two do not divide their number.  Each number read
is multiplied by all these vectors, each vector by all these numbers, and nothing is written until
the sums are complete.  Back to x is up as well, of dy, with the filters turned by 180 degrees.
"""

import functools
import math
from typing import NamedTuple

import numba
import numpy as np

from ...machine.numba_cache import loop
from ...machine.threads import cut, run_blocks, scratch
from ..relu import relu_block
from .gemm import ACCUMULATORS, transpose  # noqa: F401 (of strides: columns are as fast)
from .simd import (
    LANES,
    accumulate_at,
    add_rows,
    copies,
    numbers,
    repeated,
    splat,
    store_rows,
)

MOST_CHANNELS = 4  # otherwise columns are worth their while
MANY = 8  # positions of the output, or numbers of a window, whose sums are in registers at once
PADDED = 256 << 10  # bytes of padded images that are there at once, for the second cache
BLOCK = 250_000  # nanoseconds, about, of the products that one call computes
# terms of a sum in registers; such sums are then added, so that rounding errors, which grow with
# the root of a sum's length, stay small
DEPTH = 256
PRODUCTS = 50  # multiplications and additions a nanosecond, about


def supports(shape, forced=False, transposed=False):
    """For whole vectors of filters, and enough places for a block of sums."""
    return (
        shape.weight[3] % LANES == 0
        and math.prod(shape.out_size) >= MANY
        and (forced or shape.weight[2] <= MOST_CHANNELS)
    )


def forward(x, weight, bias, window, y, fuse_relu=None):
    """y = the convolution of x with weight, plus bias (or None); fuse_relu: and a ReLU, of each
    block while it is in the cache.
    """
    plan = _plan(window, x.shape, y.shape, x.itemsize)
    matrix = np.ascontiguousarray(weight).reshape(-1)
    offsets = np.zeros(y.shape[3], x.dtype) if bias is None else np.ascontiguousarray(bias)

    def block(part):
        images, rows = part
        room, found = plan.padded(x, images, rows)
        out, places = y[images, rows].reshape(-1), found.reshape(-1)
        convolve(room, places, (plan.lines, plan.run), matrix, offsets, out)
        if fuse_relu is not None:
            relu_block(y.dtype.type(fuse_relu), out, out)

    run_blocks(block, plan.blocks, plan.nanoseconds)


def weight_gradient(x, dy, window):
    """dweight, in some sums of their own, which are added in their order."""
    plan, filters = _plan(window, x.shape, dy.shape, x.itemsize), dy.shape[3]
    parts = cut(len(plan.blocks), max(1, -(-len(plan.blocks) // ACCUMULATORS)))
    across = dy.shape[2], window.stride[1] * x.shape[3]
    sums = np.zeros((len(parts), len(plan.taps) * filters), x.dtype)

    def block(index):
        for images, rows in plan.blocks[parts[index]]:
            room, found = plan.padded(x, images, rows)
            starts, given = found[..., 0].reshape(-1), dy[images, rows].reshape(-1)
            add_gradients(room, starts, across, plan.taps, given, sums[index], filters)

    run_blocks(block, range(len(parts)), plan.nanoseconds)
    terms = plan.run * len(plan.lines) * filters
    return sums.sum(axis=0)[:terms].reshape(*window.size, x.shape[3], filters)


class Plan(NamedTuple):
    """How a convolution is computed, by its shapes alone.

    blocks: (images, rows) of the output, slices, each for one call; so few that their padded images
    stay in the cache.  nanoseconds: of all, about.
    places: where in the padded images the window of each position of a block starts (image, row, column).
    run: the numbers of a window's row.  lines: where its rows are, from the window's start on.
    taps: where all its numbers are; at the end some more, any, for whole blocks of MANY.
    lengths: (pad at the top, stride down, KH, numbers of the pad on the left and of a padded line).
    """

    blocks: list
    nanoseconds: float
    places: np.ndarray
    run: int
    lines: np.ndarray
    taps: np.ndarray
    lengths: tuple

    def padded(self, x, images, rows):
        """(what some rows of the output see of some images, with zeros around it, flat; its places)."""
        top, stride, kh, left, line = self.lengths
        x, count = x[images], rows.stop - rows.start
        room = scratch("padded", (len(x), (count - 1) * stride + kh, line), x.dtype)
        pad(x.reshape(*x.shape[:2], -1), room, top - rows.start * stride, left)
        return room.reshape(-1), self.places[: len(x), :count]


@functools.lru_cache(1024)
def _plan(window, x, y, itemsize):
    """x, y: shapes of the input and the output."""
    (kh, kw), (sh, sw), (top, left) = window.size, window.stride, window.pad[:2]
    (count, height, width, _), channels = y, x[3]
    line = channels * max((width - 1) * sw + kw, left + x[2])
    nanoseconds = math.prod(y) * kh * kw * channels / PRODUCTS
    pieces = max(1, round(nanoseconds / BLOCK))
    # of an image: one, unless it is large or images are few
    split = max(-(-pieces // max(1, count)), height * sh * line * itemsize // PADDED)
    split = max(1, min(split, height // -(-MANY // width)))
    rows = [slice(height * n // split, height * (n + 1) // split) for n in range(split)]
    most = max(part.stop - part.start for part in rows)
    image = ((most - 1) * sh + kh) * line
    at_once = min(count // pieces, PADDED // (image * itemsize)) if split == 1 else 1
    images = cut(count, max(1, at_once))
    n, i, j = np.ogrid[: images[0].stop if images else 0, :most, :width]
    lines = np.arange(kh) * line
    taps = (lines[:, None] + np.arange(kw * channels)).reshape(-1)
    return Plan(
        [(some, part) for some in images for part in rows],
        nanoseconds,
        n * image + i * sh * line + j * sw * channels,
        kw * channels,
        lines,
        np.pad(taps, (0, -taps.size % MANY)),
        (top, sh, kh, left * channels, line),
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


def positions_of(vectors):
    """The loop over a block's positions for so many vectors of filters, from filter f on."""
    count = MANY * vectors

    @numba.njit
    def sum_filters(padded, places, window, weight, bias, y, f):
        (lines, run), filters = window, len(bias)
        zero, at_once = splat(y, y.dtype.type(0)), max(1, DEPTH // run)
        for first in range(0, len(places), MANY):
            p = min(first, len(places) - MANY)  # the last ones may be summed twice
            some, out = numbers(places, p, MANY), p * filters + f
            sums = repeated(bias, f, vectors, MANY)
            for ky in range(0, len(lines), at_once):
                runs = lines, ky, min(len(lines), ky + at_once), run, 1
                start = ky * run * filters + f
                if ky == 0:
                    sums = accumulate_at(sums, padded, some, runs, weight, start, filters)
                    store_rows(y, out, filters, sums, vectors)
                else:
                    sums = copies(zero, count)
                    sums = accumulate_at(sums, padded, some, runs, weight, start, filters)
                    add_rows(y, out, filters, sums, vectors)

    return sum_filters


sum_one, sum_two, sum_three = positions_of(1), positions_of(2), positions_of(3)


@loop
def convolve(padded, places, window, weight, bias, y):
    """y = the convolution at some places of padded images, all flat.

    window: (where its rows are, how many numbers each has).
    """
    filters, first = len(bias), 0
    if filters % (2 * LANES):
        if filters > LANES:
            sum_three(padded, places, window, weight, bias, y, 0)
            first = 3 * LANES
        else:
            sum_one(padded, places, window, weight, bias, y, 0)
            first = LANES
    for f in range(first, filters, 2 * LANES):
        sum_two(padded, places, window, weight, bias, y, f)


def taps_of(vectors):
    """The loop over a window's numbers, for so many vectors of filters, from filter f on."""
    count = MANY * vectors

    @numba.njit
    def add_filters(padded, runs, taps, dy, total, f, filters):
        zero, start = splat(total, total.dtype.type(0)), runs[1] * runs[3] * filters + f
        for k in range(0, len(taps), MANY):
            some = numbers(taps, k, MANY)
            sums = accumulate_at(copies(zero, count), padded, some, runs, dy, start, filters)
            add_rows(total, k * filters + f, filters, sums, vectors)

    return add_filters


add_one, add_two, add_three = taps_of(1), taps_of(2), taps_of(3)


@loop
def add_gradients(padded, rows, across, taps, dy, total, filters):
    """total += the gradient of the weights from dy at some rows of padded images, all flat."""
    (width, step), odd = across, filters % (2 * LANES)
    at_once = max(1, DEPTH // width)
    for first in range(0, len(rows), at_once):
        runs, done = (rows, first, min(len(rows), first + at_once), width, step), 0
        if odd and filters > LANES:
            add_three(padded, runs, taps, dy, total, 0, filters)
            done = 3 * LANES
        elif odd:
            add_one(padded, runs, taps, dy, total, 0, filters)
            done = LANES
        for f in range(done, filters, 2 * LANES):
            add_two(padded, runs, taps, dy, total, f, filters)
