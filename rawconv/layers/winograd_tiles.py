"""The loops around Winograd's products: from pixels to tiles and back, a vector of channels at a time.

All channel counts are multiples of LANES here; fold and unfold pad and crop them.  Tiles lie as (tile, place,
channel), place = 6 * row + column, so that one tile is one piece of memory; a place's product takes every 36th row.

Each transform is separable.  It goes down the columns first and keeps the result in `half`, scratch that never leaves
the first-level cache, then along the rows: 36 values at once would not fit into the registers, 6 do.
"""

import numba
import numpy as np

from ..simd import LANES, load, store


@numba.njit
def bt(d0, d1, d2, d3, d4, d5):
    """BT d: the input's transform, from 6 pixels to 6 places (the points 0, 1, -1, 2, -2 and infinity)."""
    even, odd = d4 - 4 * d2, d3 - 4 * d1
    even2, odd2 = d4 - d2, 2 * (d3 - d1)
    return 4 * d0 - 5 * d2 + d4, even + odd, even - odd, even2 + odd2, even2 - odd2, 4 * d1 - 5 * d3 + d5


@numba.njit
def at(m0, m1, m2, m3, m4, m5):
    """AT m: from 6 places to 4 outputs."""
    sum1, difference1, sum2, difference2 = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return m0 + sum1 + sum2, difference1 + 2 * difference2, sum1 + 4 * sum2, difference1 + 8 * difference2 + m5


@numba.njit
def a(d0, d1, d2, d3):
    """A dy, the transpose of at: from 4 outputs to 6 places."""
    even, odd, even2, odd2 = d0 + d2, d1 + d3, d0 + 4 * d2, 2 * d1 + 8 * d3
    return d0, even + odd, even - odd, even2 + odd2, even2 - odd2, d3


@numba.njit
def six(array, i, step):
    """Six vectors, `step` numbers apart."""
    return (
        load(array, i), load(array, i + step), load(array, i + 2 * step),
        load(array, i + 3 * step), load(array, i + 4 * step), load(array, i + 5 * step),
    )  # fmt: skip


@numba.njit
def four(array, i, step):
    return load(array, i), load(array, i + step), load(array, i + 2 * step), load(array, i + 3 * step)


@numba.njit(nogil=True, cache=True)
def tiles_in(folded, tiles, down, across, width, channels):
    """BT d B of every 6x6 tile d of one folded picture, (rows, width, channels), 4 pixels apart; arrays are flat."""
    half, line = np.empty(36 * LANES, folded.dtype), width * channels
    for tile in range(down * across):
        corner = 4 * (tile // across) * line + 4 * (tile % across) * channels
        for c in range(0, channels, LANES):
            for j in range(6):
                t = bt(*six(folded, corner + j * channels + c, line))
                for i in range(6):
                    store(half, (6 * i + j) * LANES, t[i])
            for i in range(6):
                t = bt(*six(half, 6 * i * LANES, LANES))
                for j in range(6):
                    store(tiles, (36 * tile + 6 * i + j) * channels + c, t[j])


@numba.njit(nogil=True, cache=True)
def gradient_tiles(folded, tiles, down, across, width, channels):
    """A dy AT of every 4x4 tile dy of one folded picture of gradients."""
    half, line = np.empty(24 * LANES, folded.dtype), width * channels
    for tile in range(down * across):
        corner = 4 * (tile // across) * line + 4 * (tile % across) * channels
        for c in range(0, channels, LANES):
            for j in range(4):
                t = a(*four(folded, corner + j * channels + c, line))
                for i in range(6):
                    store(half, (4 * i + j) * LANES, t[i])
            for i in range(6):
                t = a(*four(half, 4 * i * LANES, LANES))
                for j in range(6):
                    store(tiles, (36 * tile + 6 * i + j) * channels + c, t[j])


@numba.njit(nogil=True, cache=True)
def tiles_out(tiles, bias, y, down, across, height, width, channels):
    """y = AT m A + bias of every tile m of one picture; what lies beyond height and width is dropped."""
    half = np.empty(24 * LANES, y.dtype)
    for tile in range(down * across):
        top, left = 4 * (tile // across), 4 * (tile % across)
        for c in range(0, channels, LANES):
            offset = load(bias, c)
            for j in range(6):
                t = at(*six(tiles, (36 * tile + j) * channels + c, 6 * channels))
                for i in range(4):
                    store(half, (6 * i + j) * LANES, t[i])
            for i in range(min(4, height - top)):
                t = at(*six(half, 6 * i * LANES, LANES))
                start = ((top + i) * width + left) * channels + c
                if left + 4 <= width:
                    for j in range(4):
                        store(y, start + j * channels, t[j] + offset)
                else:
                    for j in range(width - left):
                        store(y, start + j * channels, t[j] + offset)


@numba.njit(nogil=True, cache=True)
def fold(x, folded, sh, sw, rows, columns, down, across, top, left):
    """One picture; see Fold.  Zero outside x, and in the channels of folded that pad it to whole vectors."""
    height, width, channels = x.shape
    for i in range(folded.shape[0]):
        for j in range(folded.shape[1]):
            out = folded[i, j]
            for a in range(rows):
                row = i * sh + a * down - top
                for b in range(columns):
                    column = j * sw + b * across - left
                    first = (a * columns + b) * channels
                    if 0 <= row < height and 0 <= column < width:
                        pixel = x[row, column]
                        for c in range(channels):
                            out[first + c] = pixel[c]
                    else:
                        out[first : first + channels] = 0
            out[rows * columns * channels :] = 0


@numba.njit(nogil=True, cache=True)
def unfold(folded, x, sh, sw, top, left):
    """The transpose of a fold by stride, every place of x being one of folded."""
    for i in range(x.shape[0]):
        row, a = divmod(i + top, sh)
        for j in range(x.shape[1]):
            column, b = divmod(j + left, sw)
            first = (a * sw + b) * x.shape[2]
            value, out = folded[row, column], x[i, j]
            for c in range(x.shape[2]):
                out[c] = value[first + c]
