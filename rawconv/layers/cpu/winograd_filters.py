"""Winograd's filters: folded to 3x3, transformed for the products, and gradients back from there."""

import numpy as np

from ...machine.buffers import empty, zeros
from ...machine.threads import WORTH_SHARING, cut, run_blocks
from .simd import LANES
from .winograd_tiles import filters_to_tiles, tiles_to_filters


def whole(count):
    """The next multiple of LANES: channels and filters are padded with zeros to it."""
    return -(-count // LANES) * LANES


def fold_filters(weight, fold):
    """(KH, KW, C, F) -> (3, 3, blocks * C, F), both padded to whole vectors, as Fold orders the channels."""
    shape = (3, 3, whole(fold.count * weight.shape[2]), whole(weight.shape[3]))
    if shape == weight.shape:
        return np.ascontiguousarray(weight)
    folded = zeros(weight, shape)
    for taps, same in _blocks(weight, folded, fold):
        same[...] = taps
    return folded


def unfold_filters(folded, shape, fold):
    """The taps of filters of this shape, (KH, KW, C, F), from folded ones."""
    if folded.shape == shape:
        return folded
    weight = empty(folded, shape)
    for taps, same in _blocks(weight, folded, fold):
        taps[...] = same
    return weight


def _blocks(weight, folded, fold):
    """Of every block its taps, at most 3x3, in filters as they are and in folded ones: [(view,
    view), ...].
    """
    channels, filters = weight.shape[2:]
    (down, across), (sh, sw), found = fold.apart, fold.stride, []
    for (a, b), position in np.ndenumerate(fold.order):
        taps = weight[
            a * down : a * down + 2 * sh + 1 : sh, b * across : b * across + 2 * sw + 1 : sw
        ]
        own = slice(position * channels, (position + 1) * channels)
        found.append((taps, folded[: len(taps), : taps.shape[1], own, :filters]))
    return found


def transform(filters):
    """G w GT of filters (3, 3, C, F): (36, F / LANES, C, LANES), as products read them."""
    channels, count = filters.shape[2:]
    out = empty(filters, (36, count // LANES, channels, LANES))
    _run(filters_to_tiles, filters, out, channels)
    return out


def transform_back(sums):
    """GT u G of u (36, C, F): (3, 3, C, F)."""
    out = empty(sums, (3, 3, *sums.shape[1:]))
    _run(tiles_to_filters, sums, out, sums.shape[1])
    return out


def _run(loop, given, out, channels):
    """loop(given, out, first, last) over all channels, in few blocks."""
    nanoseconds = 0.3 * max(given.size, out.size)

    def block(some):
        loop(given, out, some.start, some.stop)

    at_once = channels if nanoseconds < WORTH_SHARING else -(-channels // 4)
    run_blocks(block, cut(channels, at_once), nanoseconds)
