"""How Winograd computes a convolution, by its shapes alone: what is worked out once for each.

Its work is a table of pieces (winograd_images.py) in a few stages, each of which needs the one before.

    few images     tiles of all; then some filters at a time, transformed, multiplied, and y from there
    small filters  all of them transformed; then some images at a time, all the way
    else           each part of the images takes every step together, so that filters are read seldom
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np

from ...machine.threads import cut
from .products import PRODUCTS as SPEED
from .products import columns_of, rows_of
from .simd import LANES
from .winograd_images import FILTERS, GRADIENTS, MAPS, PRODUCTS, SUMS, TILES, WEIGHTS
from .winograd_positions import PLAIN, Fold, Tiles

# numbers of the transformed tiles of all images over those of the transformed filters: few images
FEW = 1
# of transformed filters that may pass through the cache for every few images
FILTER_BYTES = 4 << 20
# of the transformed tiles, in and out, of images that go all the way together: about the second cache
CHUNK_BYTES = 1 << 20
# of those of a part, whose images take each step together: at least and at most, and between these
# twice as much as the transformed filters, which each part brings into the cache again
PART_BYTES, MOST_BYTES = 2 << 20, 64 << 20
# of the 36 products of a step at most, each of some neighbouring positions: two threads that take turns
# with single positions slow each other down where these pass through the second cache
POSITIONS = 12
PIECES, LEAST = 16, 3_000  # of a step: so many, but of so many nanoseconds, about, at least
TRANSFORM, FILTER = 5.0, 0.3  # nanoseconds of a channel of a tile, and of a number of a filter


class Plan(NamedTuple):
    """after, nanoseconds: as run_ranges takes them; the pieces are as many.  shared, each: numbers of
    memory that all threads share, and that each has by itself.  tables: what the loops go by.
    """

    after: np.ndarray
    nanoseconds: float
    shared: int
    each: int
    filters: int
    tables: tuple


class Shapes(NamedTuple):
    """Of a convolution of folded maps.

    images, count: of tiles of an image.  channels, filters: whole vectors.  sizes: (of a folded image,
    of one before it is unfolded or zeros).  spans: (36, 6), see products.py, for one image.
    """

    images: int
    itemsize: int
    tiles: Tiles
    channels: int
    filters: int
    sizes: tuple
    spans: np.ndarray

    @property
    def filter_numbers(self):
        return 36 * self.channels * self.filters

    @property
    def products(self):
        """Nanoseconds of the products of one image."""
        spans = self.spans
        return float((spans[:, 1::2] - spans[:, ::2]).prod(axis=1).sum() / SPEED)

    @property
    def nanoseconds(self):
        """Of all."""
        transforms = TRANSFORM * self.tiles.count * (self.channels + self.filters)
        return FILTER * self.filter_numbers + self.images * (self.products + transforms)

    def numbers(self, images, channels):
        """Of memory for the transformed tiles of so many images."""
        return math.prod(rows_of(images * self.tiles.count, channels))

    def is_few(self, channels):
        """Whether all images are so few that work is better split by filters."""
        return 36 * self.images * self.tiles.count * channels <= FEW * self.filter_numbers

    def at_once(self, most):
        """How many images have transformed tiles, in and out, of so many bytes; at least 1."""
        numbers = 36 * self.tiles.count * (self.channels + self.filters)
        return max(1, most // max(1, numbers * self.itemsize))

    def parts(self):
        """(first, last) of the images whose tiles are there at once."""
        most = min(MOST_BYTES, max(PART_BYTES, 2 * self.filter_numbers * self.itemsize))
        return [(some.start, some.stop) for some in cut(self.images, self.at_once(most))]


@functools.lru_cache(1024)
def forward_plan(window, x, y, itemsize):
    """The Plan of y, the convolution of x; these are shapes."""
    fold = Fold.of(window)
    shapes, ways = _shapes(x, y, itemsize, (fold, window.pad[:2]), (PLAIN, (0, 0)))
    return _convolution(shapes, (*ways, taps(fold, False)))


@functools.lru_cache(1024)
def transpose_plan(window, dy, dx, itemsize):
    """That of dx, for folds by stride: a convolution of dy, padded by 2, with the turned filters."""
    fold = Fold.of(window)
    axes = list(zip(window.pad, window.stride, strict=False))
    # whole folded pixels that are padding are left out
    pad = tuple(2 - pad // stride for pad, stride in axes)
    out_pad = tuple(pad % stride for pad, stride in axes)
    shapes, ways = _shapes(dy, dx, itemsize, (PLAIN, pad), (fold, out_pad))
    return _convolution(shapes, (*ways, taps(fold, True)))


@functools.lru_cache(1024)
def gradient_plan(window, x, dy, itemsize):
    """That of the gradient of the weight."""
    fold = Fold.of(window)
    shapes, (way_in, _) = _shapes(x, dy, itemsize, (fold, window.pad[:2]), (PLAIN, (0, 0)))
    covered = tuple(n - 2 for n in shapes.sizes[0])
    way_gradients = covered, PLAIN.order, (*PLAIN.stride, *PLAIN.apart, 0, 0)
    return _gradient(shapes, (way_in, way_gradients, taps(fold, False)))


def _shapes(x, y, itemsize, folded, unfolded):
    """(Shapes, the ways in and out as images_in and images_out take them).

    folded: (fold, pad) of x.  unfolded: the same of y, PLAIN and zeros where that is y itself.
    """
    (fold, pad), (unfold, out_pad) = folded, unfolded
    tiles = Tiles.of(
        tuple(-(-(n + p) // s) for n, p, s in zip(y[1:3], out_pad, unfold.stride, strict=True))
    )
    channels, filters = whole(fold.count * x[3]), whole(unfold.count * y[3])
    given = PLAIN.spans(filters) if unfold == PLAIN else unfold.spans(y[3], position=0)
    parts = zip(tiles.spans(1), fold.spans(x[3]), given, strict=True)
    spans = np.array([[n for part in three for n in (part.start, part.stop)] for three in parts])
    overlapping = tuple(4 * -(-n // 4) + 2 for n in tiles.size)
    size = (0, 0) if unfold == PLAIN and filters == y[3] else tiles.size
    shapes = Shapes(x[0], itemsize, tiles, channels, filters, (overlapping, size), spans)
    way_in = overlapping, fold.order, (*fold.stride, *fold.apart, *pad)
    return shapes, (way_in, (size, unfold.order, (*unfold.stride, *out_pad)))


def whole(count):
    """The next multiple of LANES: channels and filters are padded with zeros to it."""
    return -(-count // LANES) * LANES


def taps(fold, turned):
    """(where the first tap of each block is, from one tap to the next, whether filters are turned by 180 degrees)."""
    corners = np.zeros((fold.count, 2), np.int64)
    for (a, b), position in np.ndenumerate(fold.order):
        corners[position] = a * fold.apart[0], b * fold.apart[1]
    return corners, fold.stride, turned


def _convolution(shapes, ways):
    if shapes.is_few(shapes.channels):
        stages, shared, own, numbers = _by_columns(shapes)
    elif shapes.filter_numbers * shapes.itemsize <= FILTER_BYTES:
        stages, shared, own, numbers = _by_images(shapes)
    else:
        stages, shared, own, numbers = _by_steps(shapes)
    before, after = (math.prod(size) for size in shapes.sizes)
    maps = max(before * shapes.channels, after * shapes.filters)
    return _plan(
        shapes, ways, stages, (shared, maps, own), (shapes.tiles.count, shapes.channels, *numbers)
    )


def _by_columns(shapes):
    images, channels = shapes.images, shapes.channels
    steps, row = FILTERS | PRODUCTS | MAPS, (0, images, 0, images, 0, 36, 0, channels)
    columns = [(steps, *row, f, f + LANES) for f in range(0, shapes.filters, LANES)]
    shared = math.prod(columns_of(channels, 0)) + shapes.numbers(images, channels)
    own = math.prod(columns_of(channels, LANES)) + shapes.numbers(images, LANES)
    return [_tiles(shapes, TILES, 0, images), columns], shared, own, (0, False, True)


def _by_images(shapes):
    images, both = shapes.images, (0, shapes.channels, 0, shapes.filters)
    pieces = max(-(-images // shapes.at_once(CHUNK_BYTES)), min(images, PIECES // 2), 1)
    at_once = max(1, -(-images // pieces))
    some = [
        (TILES | PRODUCTS | MAPS, a.start, a.stop, 0, a.stop - a.start, 0, 36, *both)
        for a in cut(images, at_once)
    ]
    own = shapes.numbers(at_once, shapes.channels) + shapes.numbers(at_once, shapes.filters)
    shared = math.prod(columns_of(shapes.channels, shapes.filters))
    return [_filters(shapes), some], shared, own, (shapes.filters, True, True)


def _by_steps(shapes):
    stages, filters, most = [_filters(shapes)], shapes.filters, 0
    for begin, end in shapes.parts():
        stages[-1] = [*stages[-1], *_tiles(shapes, TILES, begin, end)]
        stages.append(_positions(shapes, PRODUCTS, begin, end))
        images, most = cut(end - begin, max(1, -(-(end - begin) // PIECES))), max(most, end - begin)
        stages.append(
            [(MAPS, begin, end, some.start, some.stop, 0, 0, 0, 0, 0, filters) for some in images]
        )
    shared = math.prod(columns_of(shapes.channels, filters))
    shared += shapes.numbers(most, shapes.channels) + shapes.numbers(most, filters)
    return stages, shared, 0, (filters, False, False)


def _gradient(shapes, ways):
    channels, filters = shapes.channels, shapes.filters
    parts, stages = shapes.parts() or [(0, 0)], []
    few = len(parts) == 1 and shapes.is_few(filters)
    for begin, end in parts:
        given = _tiles(shapes, TILES, begin, end)
        stages.append(given + _tiles(shapes, GRADIENTS, begin, end))
        if not few:
            stages.append(_positions(shapes, SUMS, begin, end))
    steps, images, kept = (SUMS | WEIGHTS, shapes.images, 0) if few else (WEIGHTS, 0, channels)
    row = 0, images, 0, 0, 0, 36
    stages.append([(steps, *row, c, c + LANES, 0, filters) for c in range(0, channels, LANES)])
    most = max(end - begin for begin, end in parts)
    shared = shapes.numbers(most, channels) + shapes.numbers(most, filters)
    own, size = math.prod(rows_of(LANES, filters)), math.prod(shapes.sizes[0])
    lengths = shared + math.prod(rows_of(kept, filters)), size * max(channels, filters), own
    return _plan(shapes, ways, stages, lengths, (shapes.tiles.count, channels, kept, filters))


def _plan(shapes, ways, stages, lengths, numbers):
    """The Plan of these stages; lengths: numbers of memory that threads share, that each has for a map,
    and for all else.
    """
    shared, *own = lengths
    work = np.array(list(itertools.chain(*stages)), np.int64).reshape(-1, 11)
    lengths = [len(stage) for stage in stages]
    after = np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)
    tables = work, shapes.spans, shapes.tiles.table, ways, numbers, tuple(own)
    return Plan(after, shapes.nanoseconds, shared, sum(own), shapes.filters, tables)


def _tiles(shapes, step, begin, end):
    """Pieces of TILES or GRADIENTS of the images begin .. end-1: some images, or some channels of one."""
    images, channels = end - begin, shapes.channels if step == TILES else shapes.filters
    nanoseconds = TRANSFORM * images * shapes.tiles.count * channels
    pieces = max(1, min(PIECES, round(nanoseconds / LEAST)))
    at_once = -(-images // pieces)
    groups = max(1, pieces // max(1, images))
    vectors = -(-channels // LANES // groups) * LANES
    return [
        (step, begin, end, some.start, some.stop, 0, 0, *_only(step == TILES, part))
        for some in cut(images, max(1, at_once))
        for part in cut(channels, vectors)
    ]


def _only(of_channels, part):
    """(first channel, last, first filter, last), of one of which there are none."""
    return (part.start, part.stop, 0, 0) if of_channels else (0, 0, part.start, part.stop)


def _positions(shapes, step, begin, end):
    """Pieces of the products of the images begin .. end-1."""
    pieces = max(1, min(POSITIONS, round(shapes.products * (end - begin) / LEAST)))
    all_of = 0, shapes.channels, 0, shapes.filters
    return [(step, begin, end, 0, 0, p.start, p.stop, *all_of) for p in cut(36, -(-36 // pieces))]


def _filters(shapes):
    """Pieces of the transforms of filters."""
    pieces = max(1, min(PIECES, round(FILTER * shapes.filter_numbers / LEAST)))
    size = -(-shapes.filters // LANES // pieces) * LANES
    return [(FILTERS, *[0] * 8, f.start, f.stop) for f in cut(shapes.filters, size)]
