"""Winograd's minimal filtering F(4x4, 3x3) on the CPU, all three passes of a convolution.

A 6x6 tile of the input gives a 4x4 tile of the output with 36 multiplications instead of 144 (Lavin
& Gray 2016). With d the tiles, g the filters and (.) the product over channels, position by
position:

    up:    y  = AT [ (G g GT) (.) (BT d B) ] A
    back:  dg = GT [ (BT d B) (.) (A dy AT) ] G          dx: up, with dy and the filters turned by 180 degrees

The 36 products over channels are matrix products, which take nearly all of the time.  Where filters
are small, a few images go all the way from x to y, so that their tiles never leave the second cache;
else all take each step together.  The error is about 3e-6 of the largest value, PyTorch's about 2e-6.

    winograd_points     the matrices             winograd_plan      what is worked out once for a shape
    winograd_tiles      the transforms           winograd_positions which tiles and channels a product needs
    winograd_images     blocks of images         winograd_filters   folded, transformed, and back

Other filters are folded to 3x3 of stride 1, with more channels (class Fold):

    stride s, up to 3s wide    every s x s block of pixels becomes one pixel with s * s times the channels
    stride 1, up to 6 wide     a pixel takes over the channels of those 3 to the right, 3 below, and both

So the paper's 5x5 filters of stride 2, and Krizhevsky's of stride 1, take 36 * 4 / 16 = 9
multiplications an output and channel instead of 25, and 121 / 16 = 7.6 without those by taps that a
5x5 filter does not have.
"""

import math

import numpy as np

from ...machine.buffers import empty, zeros
from ...machine.threads import run_blocks, scratch
from .products import add_products, multiply_each, rows_of
from .winograd_filters import fold_filters, transform, transform_back, unfold_filters
from .winograd_images import convolve_images, images_in, images_out
from .winograd_plan import blocks, plan
from .winograd_positions import PLAIN, Fold, multiplications

# Otherwise the transforms cost more than the products save: both ways in turns on two cores with
# AVX-512, 2026-11-29; see docs/speed.md.
# the harmonic mean of channels C and filters F: transforms take C + F, products C * F
FEWEST_CHANNELS = 24
# of the output, over all images: the filters are transformed once for them all
FEWEST_POSITIONS = 160
# channels * filters * positions; a layer by itself gains from a quarter of that on, but in a net the
# transformed filters of a single image have left the cache, and direct.py is faster
LEAST_WORK = 1.5e6
GAIN = 1.6  # multiplications as written over those that are left
# bytes of transformed filters that may pass through the cache for every few images
FILTER_BYTES = 4 << 20


def supports(shape, forced=False, transposed=False):
    """transposed: by `transpose`, which is for folds by stride; where the stride is 1, turning the
    filters will do.
    """
    if transposed and shape.window.stride == (1, 1):
        return False
    found, least = figures(shape, transposed), (FEWEST_CHANNELS, FEWEST_POSITIONS, LEAST_WORK, GAIN)
    return found is not None and (
        forced or all(n >= enough for n, enough in zip(found, least, strict=True))
    )


def figures(shape, transposed=False):
    """What `auto` goes by, (channels, positions, work, gain); None where there is no way to fold
    the filters.
    """
    fold, size = Fold.of(shape.window), shape.out_size
    if fold is None:
        return None
    tiled = (
        [-(-n // s) for n, s in zip(shape.size, shape.window.stride, strict=True)]
        if transposed
        else size
    )
    channels, filters = shape.weight[2:]
    positions = math.prod(size)
    gain = math.prod(shape.weight[:2]) * positions / multiplications(fold, tuple(tiled))
    work = channels * filters
    return (
        2 * work / (channels + filters),
        shape.images * positions,
        work * shape.images * positions,
        gain,
    )


def forward(x, weight, bias, window, y, fuse_relu=None):
    """y = the convolution of x with weight, plus bias (or None); fuse_relu: and a ReLU, of what leaves
    the registers.
    """
    fold = Fold.of(window)
    how = plan(fold, window.pad[:2], PLAIN, (0, 0), y.shape[1:3], x.shape[3], y.shape[3])
    bounds = (-math.inf, math.inf) if fuse_relu is None else (0, fuse_relu)
    _convolve(x, fold_filters(weight, fold), _offsets(bias, bounds, y, how), y, how)


def transpose(dy, weight, window, dx):
    """dx = its transpose, for folds by stride: in folded pixels a convolution of stride 1 of dy,
    padded by 2, with the filters turned by 180 degrees."""
    fold = Fold.of(window)
    turned = np.ascontiguousarray(fold_filters(weight, fold)[::-1, ::-1].swapaxes(2, 3))
    axes = list(zip(window.pad, window.stride, strict=False))
    # whole folded pixels that are padding are left out
    pad = tuple(2 - pad // stride for pad, stride in axes)
    out_pad = tuple(pad % stride for pad, stride in axes)
    how = plan(PLAIN, pad, fold, out_pad, dx.shape[1:3], dy.shape[3], dx.shape[3])
    _convolve(dy, turned, _offsets(None, (-math.inf, math.inf), dx, how), dx, how)


def weight_gradient(x, dy, window):
    """dweight, summed over the images in a fixed order."""
    fold = Fold.of(window)
    how = plan(fold, window.pad[:2], PLAIN, (0, 0), dy.shape[1:3], x.shape[3], dy.shape[3])
    sums = (empty if len(x) else zeros)(x, (36, how.channels, how.filters))
    for part in how.parts(x):
        given, gradients = _room_for_tiles(part.stop - part.start, how, x.dtype)

        def block(some, part=part, given=given, gradients=gradients):
            where = some.start, some.stop, how.tiles.table
            images_in(x[part], given, *where, False, *how.way_in.room("folded", x.dtype))
            images_in(dy[part], gradients, *where, True, *how.way_gradients.room("folded", x.dtype))

        run_blocks(block, *blocks(part.stop - part.start, how.transforms))
        add_products(given, gradients, sums, how.spans_of(part), part.start == 0)
    shape = (*window.size, x.shape[3], dy.shape[3])
    return unfold_filters(transform_back(sums), shape, fold)


def _offsets(bias, bounds, y, how):
    """(bias or zeros, as long as the folded filters; the bounds of y), as arrays."""
    offsets = np.zeros(how.filters, y.dtype)
    if bias is not None:
        offsets[: y.shape[3]] = bias
    return offsets, np.array(bounds, y.dtype)


def _convolve(x, filters, offsets, y, how):
    """y = the convolution of folded x with filters (3, 3, channels, filters), unfolded, plus the
    first and within the second of offsets.
    """
    filters = transform(filters)
    way = _by_images if filters.nbytes <= FILTER_BYTES else _by_steps
    way(x, filters, offsets, y, how)


def _by_images(x, filters, offsets, y, how):
    """A few images at a time all the way."""
    chunk = how.chunk(x)

    def block(some):
        room = _room_for_tiles(min(chunk, some.stop - some.start), how, x.dtype)
        ways = how.way_in.room("folded", x.dtype), how.way_out.room("unfolded", x.dtype)
        convolve_images(
            x[some], y[some], *offsets, filters, room, how.spans, how.tiles.table, chunk, *ways
        )

    run_blocks(block, *blocks(len(x), how.products + how.transforms, chunk))


def _by_steps(x, filters, offsets, y, how):
    """Many images step by step, so that filters are read seldom."""
    for part in how.parts(x):
        given, products = _room_for_tiles(part.stop - part.start, how, x.dtype)

        def come(some, part=part, given=given):
            where = some.start, some.stop, how.tiles.table
            images_in(x[part], given, *where, False, *how.way_in.room("folded", x.dtype))

        def leave(some, part=part, products=products):
            where = some.start, some.stop, how.tiles.table
            images_out(products, *offsets, y[part], *where, *how.way_out.room("unfolded", x.dtype))

        work = blocks(part.stop - part.start, how.transforms / 2)
        run_blocks(come, *work)
        multiply_each(given, filters, products, how.spans_of(part))
        run_blocks(leave, *work)


def _room_for_tiles(images, how, dtype):
    """Memory for the transformed tiles of so many images, in and out."""
    rows = images * how.tiles.count
    return (
        scratch("tiles in", rows_of(rows, how.channels), dtype),
        scratch("tiles out", rows_of(rows, how.filters), dtype),
    )
