"""The loops around Winograd's products: from pixels to tiles and back, a vector of channels at a time.

All channel counts are multiples of LANES here; fold and unfold pad and crop them.  Tiles lie as
(position, tile, channel), position = 6 * row + column, as the products read them.

At the end of a map that is no multiple of 4 long, tiles are 1, 2 or 3 outputs long, and take fewer
of the positions.

Each transform is separable.  It goes down the columns first and keeps the result in `half`, HALF numbers
that never leave the first-level cache, then along the rows: 36 values at once would not fit into
the registers, 6 do.
"""

from ...machine.numba_cache import uncounted
from . import winograd_points as points
from .simd import LANES, bounded, clear, load, store

HALF = 36 * LANES


@uncounted
def six(array, i, step):
    """Six vectors, `step` numbers apart."""
    return (
        load(array, i), load(array, i + step), load(array, i + 2 * step),
        load(array, i + 3 * step), load(array, i + 4 * step), load(array, i + 5 * step),
    )  # fmt: skip


@uncounted
def four(array, i, step):
    return (
        load(array, i),
        load(array, i + step),
        load(array, i + 2 * step),
        load(array, i + 3 * step),
    )


# The tiles of one image that are of one size, (high, wide): down rows of across tiles from (top,
# left) on.  A folded image is (rows, width, channels), and ends late enough for 6 or 4 pixels from
# every tile on.  `start` is where the first of them begins among all numbers of a position.


def transform_of(transform, read, count):
    """The loop that transforms tiles along both axes, by `transform` of the `count` pixels that
    `read` takes.
    """

    @uncounted
    def tiles_in(folded, tiles, start, rectangle, half):
        top, left, down, across, high, wide = rectangle
        channels, line = folded.shape[2], folded.shape[1] * folded.shape[2]
        step, plane = tiles.shape[2], tiles.shape[1] * tiles.shape[2]
        for tile in range(down * across):
            corner = (top + high * (tile // across)) * line + (
                left + wide * (tile % across)
            ) * channels
            for c in range(0, channels, LANES):
                place = start + tile * step + c
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


@uncounted
def tiles_out(tiles, offsets, y, start, rectangle, channels, half):
    """y = AT m A + bias of every tile m, kept within the two bounds; offsets: (bias, bounds).

    channels: (first, last of the bias, first of y); those of the tiles begin at `start`.
    """
    (top, left, down, across, high, wide), (bias, bounds) = rectangle, offsets
    (begin, end, shift), (width, line) = channels, y.shape[1:]
    step, plane = tiles.shape[2], tiles.shape[1] * tiles.shape[2]
    low, most = bounds[0], bounds[1]
    for tile in range(down * across):
        corner = (top + high * (tile // across)) * width + left + wide * (tile % across)
        for c in range(begin, end, LANES):
            offset, place = load(bias, c), start + tile * step + c - begin
            for j in range(6):
                if not wide < j < 5:
                    t = points.at(high, *six(tiles, j * plane + place, 6 * plane))
                    for i in range(4):
                        store(half, (6 * i + j) * LANES, t[i])
            for i in range(high):
                t = points.at(wide, *six(half, 6 * i * LANES, LANES))
                at = (corner + i * width) * line + c - shift
                if wide == 4:
                    for j in range(4):
                        store(y, at + j * line, bounded(t[j] + offset, low, most))
                else:
                    for j in range(wide):
                        store(y, at + j * line, bounded(t[j] + offset, low, most))


@uncounted
def filter_to_tiles(taps, at, step, tiles, row, half):
    """G w GT of one channel of LANES filters, to a row of tiles (36, rows, LANES); the 9 taps w stand in `taps` at
    `at`, at + step, ...
    """
    place, plane = row * LANES, tiles[0].size
    for j in range(3):
        w0, w1, w2 = at + j * step, at + (3 + j) * step, at + (6 + j) * step
        t = points.g(load(taps, w0), load(taps, w1), load(taps, w2))
        for i in range(6):
            store(half, (3 * i + j) * LANES, t[i])
    for i in range(6):
        w0 = 3 * i * LANES
        t = points.g(load(half, w0), load(half, w0 + LANES), load(half, w0 + 2 * LANES))
        for j in range(6):
            store(tiles, (6 * i + j) * plane + place, t[j])


@uncounted
def tiles_to_filter(tiles, place, taps, at, step, half):
    """GT u G of LANES filters u, which stand in the 36 planes of tiles at `place`, to taps at `at`, at + step, ..."""
    plane = tiles[0].size
    for j in range(6):
        t = points.gt(*six(tiles, j * plane + place, 6 * plane))
        for i in range(3):
            store(half, (6 * i + j) * LANES, t[i])
    for i in range(3):
        t = points.gt(*six(half, 6 * i * LANES, LANES))
        for j in range(3):
            store(taps, at + (3 * i + j) * step, t[j])


@uncounted
def fold(x, folded, left, order, geometry):
    """One image; see Fold.  folded: of the channels from `left` on.  Zero outside x, and in the
    channels that pad it to whole vectors.
    """
    (height, width, channels), (sh, sw, down, across, top, side) = x.shape, geometry
    right = left + folded.shape[2]
    for i in range(folded.shape[0]):
        for j in range(folded.shape[1]):
            out = folded[i, j]
            for a in range(order.shape[0]):
                row = i * sh + a * down - top
                for b in range(order.shape[1]):
                    column, start = j * sw + b * across - side, order[a, b] * channels
                    first, last = max(left, start), min(right, start + channels)
                    if last > first:
                        block = out[first - left : last - left]
                        if 0 <= row < height and 0 <= column < width:
                            pixel = x[row, column, first - start :]
                            for c in range(last - first):
                                block[c] = pixel[c]
                        else:
                            clear(block)
            clear(out[max(0, order.size * channels - left) :])


@uncounted
def unfold(folded, x, left, order, geometry):
    """The transpose of a fold by stride, every pixel of x being one of folded, whose channels are those from
    `left` on.
    """
    sh, sw, top, side = geometry
    right = left + folded.shape[2]
    for i in range(x.shape[0]):
        row, a = divmod(i + top, sh)
        for j in range(x.shape[1]):
            column, b = divmod(j + side, sw)
            start = order[a, b] * x.shape[2]
            first, last = max(left, start), min(right, start + x.shape[2])
            if last > first:
                block, out = folded[row, column, first - left :], x[i, j, first - start :]
                for c in range(last - first):
                    out[c] = block[c]
