"""Winograd's filters: folded to 3x3 and transformed for the products, and gradients back from there.

16 channels of 16 filters at a time are cut out of the weight, so that nothing of it need be padded or
ordered anew before.
"""

import numpy as np

from ...machine.numba_cache import part, uncounted
from .simd import LANES, clear, load, store
from .winograd_tiles import HALF, filter_to_tiles, tiles_to_filter


@part
def transform(weight, tiles, channels, at, left, right, taps_of):
    """G w GT of the folded filters left .. right-1, to tiles of those from `at` on, as products read them:
    (36, F / LANES * C and more, LANES), all C channels of a vector of filters together.

    weight: (KH, KW, C, F) as it is.  taps_of: see taps of winograd_plan.py.
    """
    (corners, steps, turned), count = taps_of, weight.shape[3]
    plain, half = is_plain(weight, corners, turned), np.empty(HALF, weight.dtype)
    some = np.empty((9, LANES, LANES), weight.dtype)
    for f in range(left, right, LANES):
        for first in range(0, channels, LANES):
            row = (f - at) // LANES * channels + first
            if plain:
                for c in range(LANES):
                    place = (first + c) * count + f
                    filter_to_tiles(weight, place, channels * count, tiles, row + c, half)
            else:
                clear(some.reshape(-1))
                if turned:
                    cut_turned(weight, some, f, first, corners, steps)
                else:
                    cut(weight, some, first, f, corners, steps)
                for c in range(LANES):
                    filter_to_tiles(some, c * LANES, LANES * LANES, tiles, row + c, half)


@uncounted
def is_plain(weight, corners, turned):
    """Whether nothing need be folded or padded, so that the loops read and write the weight itself."""
    height, width, channels, filters = weight.shape
    whole = channels % LANES == 0 and filters % LANES == 0
    return whole and height == 3 and width == 3 and len(corners) == 1 and not turned


@uncounted
def cut(weight, some, first, f, corners, steps):
    """some[3 * i + j, c, k] = tap (i, j) of the folded channel first + c of filter f + k, where there is one."""
    (height, width, channels, filters), (down, across) = weight.shape, steps
    c, end = 0, min(LANES, len(corners) * channels - first)
    while c < end:
        block, channel = divmod(first + c, channels)
        (top, left), count = corners[block], min(end - c, channels - channel)
        for i in range(min(3, -((top - height) // down))):
            for j in range(min(3, -((left - width) // across))):
                row, place = (top + i * down) * width + left + j * across, (3 * i + j) * LANES + c
                at = (row * channels + channel) * filters + f
                for k in range(count):
                    copy(weight, at + k * filters, some, (place + k) * LANES, filters - f)
        c += count


@uncounted
def copy(given, i, out, j, count):
    """LANES numbers from the place i, or only as many as there are, to the place j."""
    if count >= LANES:
        store(out, j, load(given, i))
    else:
        given, out = given.reshape(-1), out.reshape(-1)
        for k in range(count):
            out[j + k] = given[i + k]


@uncounted
def cut_turned(weight, some, first, f, corners, steps):
    """some[3 * i + j, k, c] = tap (2 - i, 2 - j) of the folded channel first + c of filter f + k."""
    (height, width, channels, filters), (down, across) = weight.shape, steps
    numbers, out, count = weight.reshape(-1), some.reshape(-1), min(LANES, filters - f)
    for c in range(min(LANES, len(corners) * channels - first)):
        block, channel = divmod(first + c, channels)
        top, left = corners[block]
        for i in range(min(3, -((top - height) // down))):
            for j in range(min(3, -((left - width) // across))):
                row, place = (top + i * down) * width + left + j * across, (8 - 3 * i - j) * LANES
                at = (row * channels + channel) * filters + f
                for k in range(count):
                    out[(place + k) * LANES + c] = numbers[at + k]


@part
def transform_back(tiles, weight, at, first, last, taps_of):
    """GT u G of u (36, C, at least F), from its channel `at` on: the taps of the folded channels first .. last-1 of
    weight (KH, KW, C, F).
    """
    (_, _, channels, filters), (corners, steps, turned) = weight.shape, taps_of
    plain, some = is_plain(weight, corners, turned), np.empty((9, LANES), weight.dtype)
    half = np.empty(HALF, weight.dtype)
    for c in range(first, min(last, len(corners) * channels)):
        for f in range(0, filters, LANES):
            place = (at + c - first) * tiles.shape[2] + f
            if plain:
                tiles_to_filter(tiles, place, weight, c * filters + f, channels * filters, half)
            else:
                tiles_to_filter(tiles, place, some, 0, LANES, half)
                paste(some, weight, c, f, corners, steps)


@uncounted
def paste(some, weight, c, f, corners, steps):
    """The reverse of cut, of one folded channel; some: (9, LANES)."""
    (height, width, channels, filters), (down, across) = weight.shape, steps
    block, channel = divmod(c, channels)
    top, left = corners[block]
    for i in range(min(3, -((top - height) // down))):
        for j in range(min(3, -((left - width) // across))):
            row = (top + i * down) * width + left + j * across
            at = (row * channels + channel) * filters + f
            copy(some, (3 * i + j) * LANES, weight, at, filters - f)
