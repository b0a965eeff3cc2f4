"""Convolution on the CPU without columns and without transforms: its sums stay in registers.

To write a window as a column, and to order the columns for BLAS, takes as long as the product
itself where channels or filters are few or maps small.  Here some images are padded into a buffer
that stays in the cache, and the rows of their windows are read where they lie.

    up      the sums of MANY positions of the output and some vectors of filters, over the numbers of a window
    back    those of MANY numbers of a window and some vectors of filters, over positions of dy

Some are two, the first three together where two do not divide their number; or one, up, where
windows are small.  Each number read is multiplied by all these vectors, each vector by all these
numbers, and nothing is written until the sums are complete.  Back to x is up as well, of dy, with
the filters turned by 180 degrees.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from ...machine.numba_cache import loop, uncounted
from ...machine.threads import cut, run_ranges, scratch, workers
from ..relu import relu_block
from .gemm import ACCUMULATORS, ceiling_of
from .gemm import transpose as transpose  # of strides: columns are as fast
from .simd import (
    LANES,
    REGISTER,
    accumulate_at,
    add_rows,
    by_registers,
    clear,
    copies,
    numbers,
    repeated,
    splat,
    store_rows,
)

MOST_WEIGHTS = 640_000  # numbers of all filters; more are read too often: columns lose less
# positions of the output, or numbers of a window, whose sums are in registers at once
MANY = by_registers(8, 6)
FEWEST = 8  # positions of the output, and of a block
PADDED = 256 << 10  # bytes of padded images that are there at once, for the second cache
SUMS = 64 << 10  # bytes of the output between the first filters and the ReLU, for the same cache
# blocks: so many at least, for all threads to share, but of so many nanoseconds, about, at least
PIECES, LEAST = 16, 25_000
# terms of a sum in registers; such sums are then added, so that rounding errors, which grow with
# the root of a sum's length, stay small
DEPTH, DEPTH_BACK = 256, 128
FEW = 256  # numbers of a window whose products with one vector of filters stay in the first cache
PRODUCTS = 50  # multiplications and additions a nanosecond, about


def supports(shape, forced=False, transposed=False):
    """For whole vectors of filters, and enough places for a block of sums."""
    return (
        shape.weight[3] % LANES == 0
        and math.prod(shape.out_size) >= FEWEST
        and (forced or math.prod(shape.weight) <= MOST_WEIGHTS)
    )


def forward(x, weight, bias, window, y, fuse_relu=None):
    """y = the convolution of x with weight, plus bias (or None); fuse_relu: and a ReLU, of each
    block while it is in the cache.
    """
    plan = _plan(window, x.shape, y.shape, x.itemsize, PIECES)
    bias = np.zeros(y.shape[3], x.dtype) if bias is None else np.ascontiguousarray(bias)
    filters = np.ascontiguousarray(weight).reshape(-1), bias, ceiling_of(fuse_relu, y)
    rooms = scratch("padded", (workers(), plan.room), x.dtype)
    arguments = x.reshape(plan.lines), filters, y.reshape(-1), rooms, plan.blocks, plan.of_window
    run_ranges(convolve, len(plan.blocks), 1, arguments, plan.nanoseconds)


def weight_gradient(x, dy, window):
    """dweight, in some sums of their own, which are added in their order."""
    plan, filters = _plan(window, x.shape, dy.shape, x.itemsize, 1), dy.shape[3]
    taps = plan.of_window[2]
    sums = np.zeros((plan.shares[-1, 0] + 1, len(taps) * filters), x.dtype)
    maps = x.reshape(plan.lines), dy.reshape(-1)
    rooms = scratch("padded", (workers(), plan.room), x.dtype)
    arguments = maps, sums, rooms, plan.blocks, plan.shares, plan.of_window
    run_ranges(add_gradients, len(plan.shares), 1, arguments, plan.nanoseconds)
    total = sums[0] if len(sums) == 1 else sums.sum(axis=0)
    shape = *window.size, x.shape[3], filters
    return total[: math.prod(shape)].reshape(shape)


class Plan(NamedTuple):
    """How a convolution is computed, by its shapes alone.

    blocks: (first image, last, first row of the output, last) each; so few that their padded
    images stay in the cache.  room: numbers that these take, of each thread.  nanoseconds: of all,
    about.  lines: x's shape, a row of pixels as one of numbers.
    shares: of the weight's gradient, (sum, first block, last, first tap, last) each; the last sum is the last one's.
    of_window: (where in the padded images the windows of a block's positions start, where those
    of its rows do, taps: where all the numbers of a window are, from its start on, and some more,
    any, for whole blocks of MANY; where its lines are; lengths).  lengths: (numbers of a line of
    the window, positions of a row of the output and numbers between them, rows of the output, pad
    at the top, numbers of that on the left, stride down, numbers of a padded line).
    """

    blocks: np.ndarray
    room: int
    nanoseconds: float
    shares: np.ndarray
    of_window: tuple
    lines: tuple


@functools.lru_cache(1024)
def _plan(window, x, y, itemsize, pieces):
    """x, y: shapes of the input and the output.  pieces: blocks at least, if they are not too small then."""
    (kh, kw), (sh, sw), (top, left) = window.size, window.stride, window.pad[:2]
    (count, height, width, _), channels = y, x[3]
    line = channels * max((width - 1) * sw + kw, left + x[2])
    nanoseconds = math.prod(y) * kh * kw * channels / PRODUCTS
    pieces = max(1, min(pieces, round(nanoseconds / LEAST)))
    # of an image: one, unless it is large or images are few
    split = max(-(-pieces // max(1, count)), height * sh * line * itemsize // PADDED)
    split = max(1, min(split, height // -(-FEWEST // width)))
    rows = [(height * n // split, height * (n + 1) // split) for n in range(split)]
    most = max(last - first for first, last in rows)
    image = ((most - 1) * sh + kh) * line
    at_once = min(-(-count // pieces), PADDED // (image * itemsize)) if split == 1 else 1
    images = [(part.start, part.stop) for part in cut(count, max(1, at_once))]
    blocks = np.array([(*some, *part) for some in images for part in rows], np.int64).reshape(-1, 4)
    at_once = max((last - first for first, last in images), default=0)
    n, i, j = np.ogrid[:at_once, :most, :width]
    starts = n * image + i * sh * line + j * sw * channels
    lines = np.arange(kh) * line
    taps = (lines[:, None] + np.arange(kw * channels)).reshape(-1)
    taps = np.pad(taps, (0, -taps.size % MANY))
    lengths = kw * channels, width, sw * channels, height, top, left * channels, sh, line
    of_window = starts.reshape(-1), starts[..., 0].ravel(), taps, lines, lengths
    return Plan(
        blocks,
        at_once * image,
        nanoseconds,
        _shares(len(blocks), len(taps), nanoseconds),
        of_window,
        (*x[:2], x[2] * x[3]),
    )


def _shares(blocks, taps, nanoseconds):
    """Blocks to sums, and, where they are few, the numbers of a window to parts."""
    parts = cut(blocks, max(1, -(-blocks // ACCUMULATORS))) or [slice(0, 0)]
    pieces = max(1, min(ACCUMULATORS // len(parts), round(nanoseconds / LEAST)))
    some = cut(taps, -(-taps // MANY // pieces) * MANY)
    return np.array(
        [(n, a.start, a.stop, b.start, b.stop) for n, a in enumerate(parts) for b in some]
    )


@uncounted
def pad_block(x, room, block, kh, lengths):
    """Write what a block sees of x, with zeros around it, to room, flat.

    Returns how many rows of the output, of all images, are before it and in it.
    """
    image, end, row, bottom = block
    _, _, _, height, top, left, stride, line = lengths
    rows, at, size = bottom - row, 0, x.shape[2]
    for n in range(image, end):
        for i in range(row * stride - top, (bottom - 1) * stride - top + kh):
            given = size if 0 <= i < x.shape[1] else 0
            clear(room[at : at + left])
            for k in range(given):  # as slices, Numba takes seconds to compile it
                room[at + left + k] = x[n, i, k]
            clear(room[at + left + given : at + line])
            at += line
    return image * height + row, (end - image) * rows


def for_all(kind):
    """The loop of a kind, kind(vectors)(f, filters, ...), for all filters f: by three vectors of them
    and those left over by one, or by two where these divide their number; or by one `alone`.
    """
    one, two, three = kind(1), kind(2), kind(3)

    @uncounted
    def loops(filters, alone, *arguments):
        if alone:
            by_three, by_one = 0, filters
        elif filters % (2 * LANES) == 0:
            by_three, by_one = 0, 0
        else:
            by_three, by_one = (3 * LANES, 3 * LANES) if filters > LANES else (0, LANES)
        for f in range(0, by_three, 3 * LANES):
            three(f, filters, *arguments)
        for f in range(by_three, by_one, LANES):
            one(f, filters, *arguments)
        for f in range(by_one, filters, 2 * LANES):
            two(f, filters, *arguments)

    return loops


def positions_of(vectors):
    """The loop over a block's positions for so many vectors of filters, from filter f on."""
    count = MANY * vectors

    @uncounted
    def sum_filters(f, filters, padded, places, window, weights, y):
        (lines, run), (weight, bias) = window, weights
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


sum_positions = for_all(positions_of)


@loop
def convolve(first, last, thread, x, filters, y, rooms, blocks, of_window):
    """The blocks first .. last-1 of y, flat; filters: (weight, bias, ceiling of the ReLU)."""
    (weight, bias, ceiling), (places, _, _, lines, lengths) = filters, of_window
    room, window, count = rooms[thread], (lines, lengths[0]), len(bias)
    alone = weight.itemsize * LANES > REGISTER or len(lines) * lengths[0] <= FEW
    at_once = max(1, SUMS // (MANY * count * weight.itemsize)) * MANY
    for block in range(first, last):
        before, rows = pad_block(x, room, blocks[block], len(lines), lengths)
        before, end = before * lengths[1], rows * lengths[1]
        for start in range(0, end, at_once):
            p, q = min(start, end - MANY), min(start + at_once, end)
            out = y[(before + p) * count : (before + q) * count]
            sum_positions(count, alone, room, places[p:q], window, (weight, bias), out)
            if ceiling >= 0:
                relu_block(ceiling, out, out)


def taps_of(vectors):
    """The loop over a window's numbers, for so many vectors of filters, from filter f on."""
    count = MANY * vectors

    @uncounted
    def add_filters(f, filters, padded, runs, taps, dy, total):
        zero, start = splat(total, total.dtype.type(0)), runs[1] * runs[3] * filters + f
        for k in range(0, len(taps), MANY):
            some = numbers(taps, k, MANY)
            sums = accumulate_at(copies(zero, count), padded, some, runs, dy, start, filters)
            add_rows(total, k * filters + f, filters, sums, vectors)

    return add_filters


add_taps = for_all(taps_of)


@loop
def add_gradients(first, last, thread, maps, sums, rooms, blocks, shares, of_window):
    """The shares first .. last-1 of the gradient of the weights; maps: (x, dy flat)."""
    (x, dy), (_, starts, taps, lines, lengths) = maps, of_window
    room, filters = rooms[thread], sums.shape[1] // len(taps)
    for n in range(first, last):
        part, begin, end, top, bottom = shares[n]
        total, some = sums[part, top * filters : bottom * filters], taps[top:bottom]
        for block in range(begin, end):
            before, rows = pad_block(x, room, blocks[block], len(lines), lengths)
            given = dy[before * lengths[1] * filters :]
            add_block(room, (starts, rows, lengths[1], lengths[2]), some, given, total, filters)


@uncounted
def add_block(padded, runs, taps, dy, total, filters):
    """total += the products of a block with dy; runs: (where rows start, how many of how many
    positions, from one position to the next).
    """
    starts, rows, width, across = runs
    at_once = max(1, DEPTH_BACK // width)
    for row in range(0, rows, at_once):
        some = starts, row, min(rows, row + at_once), width, across
        add_taps(filters, dy.itemsize * LANES > REGISTER, padded, some, taps, dy, total)
