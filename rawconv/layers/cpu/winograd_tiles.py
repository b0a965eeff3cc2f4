"""The loops around Winograd's products: from pixels to tiles and back, a vector of channels at a time.

All channel counts are multiples of LANES here; fold and unfold pad and crop them.  Tiles lie as
(tile, position, channel), position = 6 * row + column, so that one tile is one piece of memory; the
product of a position takes every 36th row.

At the end of a map that is no multiple of 4 long, tiles are 1, 2 or 3 outputs long, and take fewer
of the positions.

Each transform is separable.  It goes down the columns first and keeps the result in `half`, scratch
that never leaves the first-level cache, then along the rows: 36 values at once would not fit into
the registers, 6 do.
"""

import numba
import numpy as np

from ...machine.numba_cache import loop
from .simd import LANES, load, store

# The three matrices along one axis, for a tile of n outputs, n = 1 to 4: y = AT [ (G g) (.) (BT d)
# ].  Such a tile has n + 2 of the 6 positions: the first n + 1 of the points 0, P, -P, Q, -Q, and
# infinity, which comes last.  The points decide how far rounding errors of the products are
# amplified: by 4.8 on average over a tile, and at most by 8.2, where the usual 0, 1, -1, 2, -2 have
# 10.8 and 31 (Barabasz et al., Error analysis and improving the accuracy of Winograd convolution,
# 2018).  Theirs are small fractions, so that the entries of AT and BT are exact.

P, Q = 5 / 8, 3 / 2
P2, Q2 = P * P, Q * Q

G = np.array(
    [
        [1 / (P2 * Q2), 0, 0],
        *(np.array([1, p, P2]) / (2 * P2 * (P2 - Q2)) for p in (P, -P)),
        *(np.array([1, q, Q2]) / (2 * Q2 * (Q2 - P2)) for q in (Q, -Q)),
        [0, 0, 1],
    ]
)
AT = {
    1: np.array([[1, 1, 1]]),
    2: np.array([[1, 1, 1, 0], [0, P, -P, 1]]),
    3: np.array([[1, 1, 1, 1, 0], [0, P, -P, Q, 0], [0, P2, P2, Q2, 1]]),
    4: np.array(
        [
            [1, 1, 1, 1, 1, 0],
            [0, P, -P, Q, -Q, 0],
            [0, P2, P2, Q2, Q2, 0],
            [0, P * P2, -P * P2, Q * Q2, -Q * Q2, 1],
        ]
    ),
}
BT = {
    1: np.array([[P2 * Q2, -P * Q2, 0], [0, 2 * P * (P2 - Q2), 0], [0, -P, 1]]),
    2: np.array(
        [
            [P2 * Q2, 0, -Q2, 0],
            [0, P * (P2 - Q2), P2 - Q2, 0],
            [0, -P * (P2 - Q2), P2 - Q2, 0],
            [0, -P2, 0, 1],
        ]
    ),
    3: np.array(
        [
            [P2 * Q2, -P2 * Q, -Q2, Q, 0],
            [0, -P * Q * (P + Q), P2 - Q2, P + Q, 0],
            [0, P * Q * (Q - P), P2 - Q2, Q - P, 0],
            [0, -2 * P2 * Q, 0, 2 * Q, 0],
            [0, P2 * Q, -P2, -Q, 1],
        ]
    ),
    4: np.array(
        [
            [P2 * Q2, 0, -P2 - Q2, 0, 1, 0],
            [0, -P * Q2, -Q2, P, 1, 0],
            [0, P * Q2, -Q2, -P, 1, 0],
            [0, -P2 * Q, -P2, Q, 1, 0],
            [0, P2 * Q, -P2, -Q, 1, 0],
            [0, P2 * Q2, 0, -P2 - Q2, 0, 1],
        ]
    ),
}


# The same, written out: what they share is computed once.  What stands at positions that a tile
# lacks is not used.


@numba.njit
def bt(n, d0, d1, d2, d3, d4, d5):
    """BT d: the input's transform, from n + 2 pixels to as many positions."""
    if n == 1:
        return P * Q2 * (P * d0 - d1), 2 * P * (P2 - Q2) * d1, d0, d0, d0, d2 - P * d1
    if n == 2:
        even, odd = (P2 - Q2) * d2, P * (P2 - Q2) * d1
        return Q2 * (P2 * d0 - d2), even + odd, even - odd, d0, d0, d3 - P2 * d1
    odd2 = d3 - P2 * d1
    if n == 3:
        return (
            Q2 * (P2 * d0 - d2) + Q * odd2,
            (P + Q) * (d3 - (Q - P) * d2 - P * Q * d1),
            (Q - P) * (d3 - (P + Q) * d2 + P * Q * d1),
            2 * Q * odd2,
            d0,
            d4 - P2 * d2 - Q * odd2,
        )
    even1, odd1, even2 = d4 - Q2 * d2, d3 - Q2 * d1, d4 - P2 * d2
    return (
        P2 * Q2 * d0 - (P2 + Q2) * d2 + d4,
        even1 + P * odd1,
        even1 - P * odd1,
        even2 + Q * odd2,
        even2 - Q * odd2,
        P2 * Q2 * d1 - (P2 + Q2) * d3 + d5,
    )


@numba.njit
def at(n, m0, m1, m2, m3, m4, m5):
    """AT m: from n + 2 positions to n outputs."""
    if n == 1:
        y = m0 + m1 + m5
        return y, y, y, y
    sum1, difference1 = m1 + m2, P * (m1 - m2)
    if n == 2:
        return m0 + sum1, difference1 + m5, m0, m0
    if n == 3:
        return m0 + sum1 + m3, difference1 + Q * m3, P2 * sum1 + Q2 * m3 + m5, m0
    sum2, difference2 = m3 + m4, Q * (m3 - m4)
    return (
        m0 + sum1 + sum2,
        difference1 + difference2,
        P2 * sum1 + Q2 * sum2,
        P2 * difference1 + Q2 * difference2 + m5,
    )


@numba.njit
def a(n, d0, d1, d2, d3):
    """A dy, the transpose of at: from n outputs to n + 2 positions."""
    if n == 1:
        return d0, d0, d0, d0, d0, d0
    if n == 2:
        return d0, d0 + P * d1, d0 - P * d1, d0, d0, d1
    if n == 3:
        even, odd = d0 + P2 * d2, P * d1
        return d0, even + odd, even - odd, d0 + Q * d1 + Q2 * d2, d0, d2
    even1, odd1, even2, odd2 = d0 + P2 * d2, d1 + P2 * d3, d0 + Q2 * d2, d1 + Q2 * d3
    return d0, even1 + P * odd1, even1 - P * odd1, even2 + Q * odd2, even2 - Q * odd2, d3


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
# every tile on; arrays are flat.


def transform_of(transform, read, count):
    """The loop that transforms tiles along both axes, by `transform` of the `count` pixels that
    `read` takes.
    """

    @numba.njit
    def tiles_in(folded, tiles, rectangle, width, channels):
        top, left, down, across, high, wide = rectangle
        half, line = np.empty(6 * count * LANES, folded.dtype), width * channels
        for tile in range(down * across):
            corner = (top + high * (tile // across)) * line + (
                left + wide * (tile % across)
            ) * channels
            for c in range(0, channels, LANES):
                for j in range(count):
                    t = transform(high, *read(folded, corner + j * channels + c, line))
                    for i in range(6):
                        store(half, (count * i + j) * LANES, t[i])
                for i in range(6):
                    if not high < i < 5:
                        t = transform(wide, *read(half, count * i * LANES, LANES))
                        for j in range(6):
                            if not wide < j < 5:
                                store(tiles, (36 * tile + 6 * i + j) * channels + c, t[j])

    return tiles_in


# BT d B of every tile d of high + 2 by wide + 2 pixels, which overlap by 2
inputs_to_tiles = transform_of(bt, six, 6)
gradients_to_tiles = transform_of(a, four, 4)  # A dy AT of every tile dy of high by wide gradients


@numba.njit
def tiles_out(tiles, bias, y, rectangle, width, channels):
    """y = AT m A + bias of every tile m."""
    top, left, down, across, high, wide = rectangle
    half = np.empty(24 * LANES, y.dtype)
    for tile in range(down * across):
        corner = (top + high * (tile // across)) * width + left + wide * (tile % across)
        for c in range(0, channels, LANES):
            offset = load(bias, c)
            for j in range(6):
                if not wide < j < 5:
                    t = at(high, *six(tiles, (36 * tile + j) * channels + c, 6 * channels))
                    for i in range(4):
                        store(half, (6 * i + j) * LANES, t[i])
            for i in range(high):
                t = at(wide, *six(half, 6 * i * LANES, LANES))
                start = (corner + i * width) * channels + c
                if wide == 4:
                    for j in range(4):
                        store(y, start + j * channels, t[j] + offset)
                else:
                    for j in range(wide):
                        store(y, start + j * channels, t[j] + offset)


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


# Blocks of images: where they are small, a call from Python for each would take as long as its
# work.


@loop
def images_in(x, tiles, first, last, rectangles, gradients, folded, order, geometry):
    """Fold the images first .. last-1 of x, `folded` being room for one, and transform all their tiles.

    rectangles: (k, 6), of Tiles; in tiles, flat, those of one rectangle stand together.
    gradients: whether they are gradients (A dy AT) or inputs (BT d B).  geometry: stride, apart and
    pad of the fold.
    """
    flat, width, channels = folded.reshape(-1), folded.shape[1], folded.shape[2]
    for n in range(first, last):
        fold(x[n], folded, order, geometry)
        start = 0
        for rectangle in rectangles:
            size = rectangle[2] * rectangle[3] * 36 * channels
            part = tiles[start + n * size : start + (n + 1) * size]
            if gradients:
                gradients_to_tiles(flat, part, rectangle, width, channels)
            else:
                inputs_to_tiles(flat, part, rectangle, width, channels)
            start += len(x) * size


@loop
def images_out(tiles, bias, y, first, last, rectangles, whole, order, geometry):
    """The images first .. last-1 of y from the tiles of all; `whole`: room for one before it is
    unfolded, or empty where there is nothing to unfold.  geometry: stride and pad of what is
    unfolded."""
    channels = len(bias)
    for n in range(first, last):
        out = whole if whole.size else y[n]
        start = 0
        for rectangle in rectangles:
            size = rectangle[2] * rectangle[3] * 36 * channels
            part = tiles[start + n * size : start + (n + 1) * size]
            tiles_out(part, bias, out.reshape(-1), rectangle, out.shape[1], channels)
            start += len(y) * size
        if whole.size:
            unfold(whole, y[n], order, geometry)
