"""The loops around Winograd's products: from pixels to tiles and back, a vector of channels at a time.

All channel counts are multiples of LANES here; fold and unfold pad and crop them.  Tiles lie as
(position, tile, channel), position = 6 * row + column, as the products read them.

At the end of a map that is no multiple of 4 long, tiles are 1, 2 or 3 outputs long, and take fewer
of the positions.

Each transform is separable.  It goes down the columns first and keeps the result in `half`, scratch
that never leaves the first-level cache, then along the rows: 36 values at once would not fit into
the registers, 6 do.
"""

import numba
import numpy as np

from ...machine.numba_cache import loop
from . import winograd_points as points
from .simd import LANES, bounded, load, store


@numba.njit
def six(array, i, step):
    """Six vectors, `step` numbers apart."""
    return (
        load(array, i), load(array, i + step), load(array, i + 2 * step),
        load(array, i + 3 * step), load(array, i + 4 * step), load(array, i + 5 * step),
    )  # fmt: skip


@numba.njit
def four(array, i, step):
    return (
        load(array, i),
        load(array, i + step),
        load(array, i + 2 * step),
        load(array, i + 3 * step),
    )


# The tiles of one image that are of one size, (high, wide): down rows of across tiles from (top,
# left) on.  A folded image is (rows, width, channels), and ends late enough for 6 or 4 pixels from
# every tile on.  `first` is the place of the first of them among all tiles.


def transform_of(transform, read, count):
    """The loop that transforms tiles along both axes, by `transform` of the `count` pixels that
    `read` takes.
    """

    @numba.njit
    def tiles_in(folded, tiles, first, rectangle):
        top, left, down, across, high, wide = rectangle
        channels, line = folded.shape[2], folded.shape[1] * folded.shape[2]
        step, plane = tiles.shape[2], tiles.shape[1] * tiles.shape[2]
        half = np.empty(6 * count * LANES, folded.dtype)
        for tile in range(down * across):
            corner = (top + high * (tile // across)) * line + (
                left + wide * (tile % across)
            ) * channels
            for c in range(0, channels, LANES):
                place = (first + tile) * step + c
                for j in range(count):
                    t = transform(high, *read(folded, corner + j * channels + c, line))
                    for i in range(6):
                        store(half, (count * i + j) * LANES, t[i])
                for i in range(6):
                    if not high < i < 5:
                        t = transform(wide, *read(half, count * i * LANES, LANES))
                        for j in range(6):
                            if not wide < j < 5:
                                store(tiles, (6 * i + j) * plane + place, t[j])

    return tiles_in


# BT d B of every tile d of high + 2 by wide + 2 pixels, which overlap by 2
inputs_to_tiles = transform_of(points.bt, six, 6)
gradients_to_tiles = transform_of(
    points.a, four, 4
)  # A dy AT of every tile dy of high by wide gradients


@numba.njit
def tiles_out(tiles, bias, bounds, y, first, rectangle):
    """y = AT m A + bias of every tile m, kept within the two bounds."""
    top, left, down, across, high, wide = rectangle
    width, channels = y.shape[1:]
    step, plane = tiles.shape[2], tiles.shape[1] * tiles.shape[2]
    half, low, most = np.empty(24 * LANES, y.dtype), bounds[0], bounds[1]
    for tile in range(down * across):
        corner = (top + high * (tile // across)) * width + left + wide * (tile % across)
        for c in range(0, channels, LANES):
            offset, place = load(bias, c), (first + tile) * step + c
            for j in range(6):
                if not wide < j < 5:
                    t = points.at(high, *six(tiles, j * plane + place, 6 * plane))
                    for i in range(4):
                        store(half, (6 * i + j) * LANES, t[i])
            for i in range(high):
                t = points.at(wide, *six(half, 6 * i * LANES, LANES))
                start = (corner + i * width) * channels + c
                if wide == 4:
                    for j in range(4):
                        store(y, start + j * channels, bounded(t[j] + offset, low, most))
                else:
                    for j in range(wide):
                        store(y, start + j * channels, bounded(t[j] + offset, low, most))


@loop
def filters_to_tiles(weight, tiles, first, last):
    """G w GT of the channels first .. last-1 of weight (3, 3, C, F), to (36, F / LANES, C, LANES)."""
    channels, filters = weight.shape[2:]
    line, plane = channels * filters, tiles[0].size
    half = np.empty(18 * LANES, weight.dtype)
    for c in range(first, last):
        for f in range(0, filters, LANES):
            given, place = c * filters + f, f * channels + c * LANES
            for j in range(3):
                t = points.g(
                    load(weight, given + j * line),
                    load(weight, given + (3 + j) * line),
                    load(weight, given + (6 + j) * line),
                )
                for i in range(6):
                    store(half, (3 * i + j) * LANES, t[i])
            for i in range(6):
                t = points.g(
                    load(half, 3 * i * LANES),
                    load(half, (3 * i + 1) * LANES),
                    load(half, (3 * i + 2) * LANES),
                )
                for j in range(6):
                    store(tiles, (6 * i + j) * plane + place, t[j])


@loop
def tiles_to_filters(tiles, weight, first, last):
    """GT u G of the channels first .. last-1 of u (36, C, F), to (3, 3, C, F)."""
    filters, plane = weight.shape[3], weight[0, 0].size
    half = np.empty(18 * LANES, weight.dtype)
    for place in range(first * filters, last * filters, LANES):
        for j in range(6):
            t = points.gt(*six(tiles, j * plane + place, 6 * plane))
            for i in range(3):
                store(half, (6 * i + j) * LANES, t[i])
        for i in range(3):
            t = points.gt(*six(half, 6 * i * LANES, LANES))
            for j in range(3):
                store(weight, (3 * i + j) * plane + place, t[j])


@numba.njit
def fold(x, folded, order, geometry):
    """One image; see Fold.  Zero outside x, and in the channels of folded that pad it to whole vectors."""
    (height, width, channels), (sh, sw, down, across, top, left) = x.shape, geometry
    for i in range(folded.shape[0]):
        for j in range(folded.shape[1]):
            out = folded[i, j]
            for a in range(order.shape[0]):
                row = i * sh + a * down - top
                for b in range(order.shape[1]):
                    column = j * sw + b * across - left
                    block = out[order[a, b] * channels : (order[a, b] + 1) * channels]
                    if 0 <= row < height and 0 <= column < width:
                        pixel = x[row, column]
                        for c in range(channels):
                            block[c] = pixel[c]
                    else:
                        block[:] = 0
            out[order.size * channels :] = 0


@numba.njit
def unfold(folded, x, order, geometry):
    """The transpose of a fold by stride, every pixel of x being one of folded."""
    sh, sw, top, left = geometry
    for i in range(x.shape[0]):
        row, a = divmod(i + top, sh)
        for j in range(x.shape[1]):
            column, b = divmod(j + left, sw)
            block, out = folded[row, column, order[a, b] * x.shape[2] :], x[i, j]
            for c in range(x.shape[2]):
                out[c] = block[c]
