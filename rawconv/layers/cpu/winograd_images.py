"""The loops of Winograd over pieces of its work, which `run_ranges` hands to threads.

A piece is a row of the Plan's table: (steps, begin, end, first, last, top, bottom, left, right, start, stop).  The
images begin .. end-1 are there at once.  It takes the steps, a sum of these, in this order, of its images first ..
last-1, positions top .. bottom-1, channels left .. right-1 and filters start .. stop-1:

    up, and back to x                     back to the weight
    FILTERS    their transforms           TILES      of x
    TILES      of x                       GRADIENTS  tiles of dy
    PRODUCTS                              SUMS       of products
    MAPS       y from the products        WEIGHTS    from the sums
"""

import numpy as np

from ...machine.numba_cache import part
from .products import add_some, columns_of, multiply_some, rows_of
from .simd import LANES
from .winograd_filters import transform, transform_back
from .winograd_tiles import HALF, fold, gradients_to_tiles, inputs_to_tiles, tiles_out, unfold

FILTERS, TILES, PRODUCTS, MAPS = 1, 2, 4, 8
GRADIENTS, SUMS, WEIGHTS = 16, 32, 64


@part
def convolve_pieces(first, last, thread, maps, filters, room, plan):
    """The pieces first .. last-1 of y, the convolution of folded x with the filters, unfolded.

    maps: (x, y).  filters: (weight, (bias, bounds)).  room: for what all threads share, and at its end
    for what each has by itself.  plan: the tables of Plan.
    """
    work, spans, rectangles, (way_in, way_out, taps_of), numbers, lengths = plan
    (x, y), (weight, offsets) = maps, filters
    for n in range(first, last):
        steps, begin, end, start, stop, top, bottom, left, right, f, g = work[n]
        images, own = end - begin, room_of(room, thread, lengths)
        transformed, tiles, products = memory_of(room, own[1], images, g - f, numbers)
        if steps & FILTERS:
            at = f if numbers[2] == 0 else 0
            transform(weight, transformed, numbers[1], at, f, g, taps_of)
        if steps & TILES:
            some = start, stop, left, right
            images_in(x[begin:end], tiles, some, rectangles, False, own[0], way_in)
        if steps & PRODUCTS:
            sizes = numbers[1], g - f
            multiply_some(
                tiles, transformed, products, sizes, part_of(spans, images, f, g), top, bottom
            )
        if steps & MAPS:
            some = start, stop, f, g
            images_out(products, offsets, y[begin:end], some, rectangles, own[0], way_out)


@part
def gradient_pieces(first, last, thread, maps, weight, room, plan):
    """The pieces first .. last-1 of the gradient of weight; maps: (x, dy).  room, plan: as those of
    convolve_pieces.
    """
    work, spans, rectangles, ways, (count, channels, kept, filters), lengths = plan
    for n in range(first, last):
        steps, begin, end, start, stop, top, bottom, left, right, f, g = work[n]
        images, own = end - begin, room_of(room, thread, lengths)
        sums, shared = cut_tiles(room, kept, filters)
        if kept == 0:
            sums, _ = cut_tiles(own[1], LANES, filters)
        tiles, shared = cut_tiles(shared, images * count, channels)
        gradients, _ = cut_tiles(shared, images * count, filters)
        if steps & (TILES | GRADIENTS):
            given, out, way = maps[0], tiles, ways[0]
            some = start, stop, left, right
            if steps & GRADIENTS:
                given, out, way = maps[1], gradients, ways[1]
                some = start, stop, f, g
            images_in(given[begin:end], out, some, rectangles, steps & GRADIENTS, own[0], way)
        at = left if kept == 0 else 0
        if steps & SUMS:
            sizes = at, right - left, filters
            is_first = begin == 0
            add_some(
                tiles,
                gradients,
                sums,
                sizes,
                part_of(spans, images, f, g),
                is_first,
                top,
                bottom,
            )
        if steps & WEIGHTS:
            transform_back(sums, weight, left - at, left, right, ways[2])


@part
def room_of(room, thread, lengths):
    """What a thread has by itself, for (a folded map, all else), of these lengths."""
    start = len(room) - (thread + 1) * (lengths[0] + lengths[1])
    middle = start + lengths[0]
    return room[start:middle], room[middle : middle + lengths[1]]


@part
def memory_of(room, own, images, filters, numbers):
    """(transformed filters, tiles, products): in a thread's own memory or in what all share.

    numbers: (tiles of an image, channels, filters that are kept or 0, whether tiles and whether products are a
    thread's own).
    """
    count, channels, kept, own_tiles, own_products = numbers
    if kept:
        transformed, room = cut_columns(room, channels, kept)
    else:
        transformed, own = cut_columns(own, channels, filters)
    if own_tiles:
        tiles, own = cut_tiles(own, images * count, channels)
    else:
        tiles, room = cut_tiles(room, images * count, channels)
    products, _ = cut_tiles(own if own_products else room, images * count, filters)
    return transformed, tiles, products


@part
def cut_tiles(room, rows, columns):
    """(memory for so many transformed tiles, the rest of the room)."""
    shape = rows_of(rows, columns)
    size = shape[0] * shape[1] * shape[2]
    return room[:size].reshape(shape), room[size:]


@part
def cut_columns(room, channels, filters):
    """(memory for so many transformed filters, the rest of the room)."""
    shape = columns_of(channels, filters)
    size = shape[0] * shape[1] * shape[2]
    return room[:size].reshape(shape), room[size:]


@part
def part_of(spans, images, left, right):
    """The spans of so many images and of the columns left .. right-1, counted from the first of these."""
    own = np.empty_like(spans)
    for p in range(36):
        for end in range(2):
            own[p, end] = images * spans[p, end]
            own[p, 2 + end] = spans[p, 2 + end]
            own[p, 4 + end] = max(0, min(right - left, spans[p, 4 + end] - left))
    return own


@part
def images_in(x, tiles, some, rectangles, gradients, room, way):
    """Fold some images of x, in the room for one, and transform all their tiles.

    tiles: of all of x.  some: (first image, last, first folded channel, last).  rectangles: (k, 6), of
    Tiles; the tiles of one rectangle stand together.  gradients: whether they are gradients
    (A dy AT) or inputs (BT d B).  way: (size of a folded image, order, geometry), see Way.
    """
    (first, last, left, right), ((height, width), order, geometry) = some, way
    folded = room[: height * width * (right - left)].reshape(height, width, right - left)
    half = np.empty(HALF, x.dtype)
    for n in range(first, last):
        fold(x[n], folded, left, order, geometry)
        start = 0
        for rectangle in rectangles:
            count = rectangle[2] * rectangle[3]
            place = (start + n * count) * tiles.shape[2] + left
            if gradients:
                gradients_to_tiles(folded, tiles, place, rectangle, half)
            else:
                inputs_to_tiles(folded, tiles, place, rectangle, half)
            start += len(x) * count


@part
def images_out(tiles, offsets, y, some, rectangles, room, way):
    """Some images of y from the tiles of all.

    some: as of images_in; the tiles begin with the first of these channels.  way: the size is that of an
    image before it is unfolded, in the room, or 0 where there is nothing to unfold.
    """
    (first, last, left, right), ((height, width), order, geometry) = some, way
    whole = room[: height * width * (right - left)].reshape(height, width, right - left)
    half = np.empty(HALF, y.dtype)
    for n in range(first, last):
        out, channels = (whole, (left, right, left)) if whole.size else (y[n], (left, right, 0))
        start = 0
        for rectangle in rectangles:
            count = rectangle[2] * rectangle[3]
            place = (start + n * count) * tiles.shape[2]
            tiles_out(tiles, offsets, out, place, rectangle, channels, half)
            start += len(y) * count
        if whole.size:
            unfold(whole, y[n], left, order, geometry)
