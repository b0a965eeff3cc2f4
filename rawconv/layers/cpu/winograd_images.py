"""The loops of Winograd over blocks of images: where these are small, a call from Python for each would
take as long as its work.

convolve_images takes some images at a time all the way up, as many as the second cache has room for
their tiles; images_in and images_out do the steps before and after the products of many.
"""

from ...machine.numba_cache import loop
from .products import multiply_some
from .winograd_tiles import fold, gradients_to_tiles, inputs_to_tiles, tiles_out, unfold


@loop
def convolve_images(x, y, bias, bounds, filters, factors, spans, rectangles, step, way_in, way_out):
    """y = the convolution of folded x with filters, `step` images at a time, unfolded, plus bias, within bounds.

    factors: the memory (tiles in, tiles out) of so many images.  spans: of one image, see products.py.
    rectangles: (k, 6), of Tiles.  way_in, way_out: (room for one folded image, order, geometry) as
    images_in and images_out take them.
    """
    for first in range(0, len(x), step):
        last = min(first + step, len(x))
        own = spans.copy()
        own[:, :2] *= last - first
        images_in(x[first:last], factors[0], 0, last - first, rectangles, False, *way_in)
        multiply_some(factors[0], filters, factors[1], own, 0, 36)
        images_out(factors[1], bias, bounds, y[first:last], 0, last - first, rectangles, *way_out)


@loop
def images_in(x, tiles, first, last, rectangles, gradients, folded, order, geometry):
    """Fold the images first .. last-1 of x, `folded` being room for one, and transform all their tiles.

    tiles: of all of x.  rectangles: (k, 6), of Tiles; the tiles of one rectangle stand together.
    gradients: whether they are gradients (A dy AT) or inputs (BT d B).  geometry: stride, apart and
    pad of the fold.
    """
    for n in range(first, last):
        fold(x[n], folded, order, geometry)
        start = 0
        for rectangle in rectangles:
            count = rectangle[2] * rectangle[3]
            if gradients:
                gradients_to_tiles(folded, tiles, start + n * count, rectangle)
            else:
                inputs_to_tiles(folded, tiles, start + n * count, rectangle)
            start += len(x) * count


@loop
def images_out(tiles, bias, bounds, y, first, last, rectangles, whole, order, geometry):
    """The images first .. last-1 of y from the tiles of all; `whole`: room for one before it is
    unfolded, or empty where there is nothing to unfold.  geometry: stride and pad of what is
    unfolded."""
    for n in range(first, last):
        out = whole if whole.size else y[n]
        start = 0
        for rectangle in rectangles:
            count = rectangle[2] * rectangle[3]
            tiles_out(tiles, bias, bounds, out, start + n * count, rectangle)
            start += len(y) * count
        if whole.size:
            unfold(whole, y[n], order, geometry)
