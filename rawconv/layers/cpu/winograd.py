"""Winograd's minimal filtering F(4x4, 3x3) on the CPU, all three passes of a convolution.

A 6x6 tile of the input gives a 4x4 tile of the output with 36 multiplications instead of 144 (Lavin
& Gray 2016). With d the tiles, g the filters and (.) the product over channels, position by
position:

    up:    y  = AT [ (G g GT) (.) (BT d B) ] A
    back:  dg = GT [ (BT d B) (.) (A dy AT) ] G          dx: up, with dy and the filters turned by 180 degrees

The 36 products over channels are matrix products, which take nearly all of the time;
winograd_tiles.py has the transforms, winograd_positions.py says which tiles and channels a product
needs.  The error is about 3e-6 of the largest value, PyTorch's about 2e-6.

Other filters are folded to 3x3 of stride 1, with more channels (class Fold):

    stride s, up to 3s wide    every s x s block of pixels becomes one pixel with s * s times the channels
    stride 1, up to 6 wide     a pixel takes over the channels of those 3 to the right, 3 below, and both

So the paper's 5x5 filters of stride 2, and Krizhevsky's of stride 1, take 36 * 4 / 16 = 9
multiplications an output and channel instead of 25, and 121 / 16 = 7.6 without those by taps that a
5x5 filter does not have.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from ...machine.buffers import empty, zeros
from ...machine.threads import WORTH_SHARING, cut, run_blocks, scratch
from ..relu import relu
from . import winograd_tiles as loops
from .products import add_products, multiply_each
from .simd import LANES
from .winograd_positions import PLAIN, Fold, Tiles, multiplications
from .winograd_tiles import G

# Otherwise the transforms cost more than the products save: `tools/bench.py auto`, 2026-11-25, two
# cores with AVX-512.
# the harmonic mean of channels C and filters F: transforms take C + F, products C * F
FEWEST_CHANNELS = 40
# of the output, over all images: the filters are transformed once for them all
FEWEST_POSITIONS = 256
LEAST_WORK = 8e6  # channels * filters * positions
GAIN = 1.6  # multiplications as written over those that are left
# of the transformed tiles, in and out, that are there at once: a few products of many rows
TILE_BYTES = 64 << 20
BLOCK_BYTES = 512 << 10  # of those that one call transforms: small images by the dozen


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
    """y = the convolution of x with weight, plus bias (or None); fuse_relu: and a ReLU, in a pass
    of its own.
    """
    fold = Fold.of(window)
    plan = _plan(fold, window.pad[:2], PLAIN, (0, 0), y.shape[1:3], x.shape[3], y.shape[3])
    _convolve(x, _fold_filters(weight, fold), bias, y, plan)
    if fuse_relu is not None:
        relu(y, y, fuse_relu)


def transpose(dy, weight, window, dx):
    """dx = its transpose, for folds by stride: in folded pixels a convolution of stride 1 of dy,
    padded by 2, with the filters turned by 180 degrees."""
    fold = Fold.of(window)
    turned = np.ascontiguousarray(_fold_filters(weight, fold)[::-1, ::-1].swapaxes(2, 3))
    axes = list(zip(window.pad, window.stride, strict=False))
    # whole folded pixels that are padding are left out
    pad = tuple(2 - pad // stride for pad, stride in axes)
    out_pad = tuple(pad % stride for pad, stride in axes)
    _convolve(
        dy,
        turned,
        None,
        dx,
        _plan(PLAIN, pad, fold, out_pad, dx.shape[1:3], dy.shape[3], dx.shape[3]),
    )


def weight_gradient(x, dy, window):
    """dweight, summed over the images in a fixed order."""
    fold = Fold.of(window)
    plan = _plan(fold, window.pad[:2], PLAIN, (0, 0), dy.shape[1:3], x.shape[3], dy.shape[3])
    sums = (empty if len(x) else zeros)(x, (36, plan.channels, plan.filters))
    for part in plan.parts(x):
        tiles = _to_tiles(x[part], plan.tiles, fold, plan.pad, plan.channels)
        gradients = _to_tiles(dy[part], plan.tiles, PLAIN, (0, 0), plan.filters, gradients=True)
        add_products(tiles, gradients, sums, plan.spans_of(part), part.start == 0)
    transformed = _transform(_square(x.dtype, back=True), sums).reshape(3, 3, *sums.shape[1:])
    dweight = empty(x, (*window.size, x.shape[3], dy.shape[3]))
    for taps, same in _blocks(dweight, transformed, fold):
        taps[...] = same
    return dweight


class Plan(NamedTuple):
    """How a convolution is computed, by its shapes alone.

    fold, pad: of what goes in.  unfold, out_pad: of what comes out, PLAIN and zeros where that is y itself.
    tiles: of the map that comes out, before it is unfolded.  channels, filters: of the folded maps,
    whole vectors.
    spans: (36, 6), see products.py, for one image.
    """

    fold: Fold
    pad: tuple
    unfold: Fold
    out_pad: tuple
    tiles: Tiles
    channels: int
    filters: int
    spans: np.ndarray

    def parts(self, x):
        """Slices of the images whose tiles are there at once."""
        image = 36 * self.tiles.count * (self.channels + self.filters) * x.itemsize
        return cut(len(x), max(1, TILE_BYTES // max(1, image)))

    def spans_of(self, part):
        """The spans for these images."""
        spans = self.spans.copy()
        spans[:, :2] *= part.stop - part.start
        return spans


@functools.lru_cache(1024)
def _plan(fold, pad, unfold, out_pad, size, channels, filters):
    """size: (rows, columns) of y.  channels, filters: of x and y as they are."""
    tiles = Tiles.of(
        tuple(-(-(n + p) // s) for n, p, s in zip(size, out_pad, unfold.stride, strict=True))
    )
    whole = _whole(fold.count * channels), _whole(unfold.count * filters)
    given = PLAIN.spans(whole[1]) if unfold == PLAIN else unfold.spans(filters, position=0)
    parts = zip(tiles.spans(1), fold.spans(channels), given, strict=True)
    spans = np.array([[n for part in three for n in (part.start, part.stop)] for three in parts])
    return Plan(fold, pad, unfold, out_pad, tiles, *whole, spans)


def _convolve(x, filters, bias, y, plan):
    """y = the convolution of folded x with filters (3, 3, channels, filters), unfolded, plus bias
    (or None).
    """
    filters, tiles = (
        _transform(_square(x.dtype), filters.reshape(9, *filters.shape[2:])),
        plan.tiles,
    )
    offsets = np.zeros(plan.filters, x.dtype)
    offsets[: y.shape[3]] = 0 if bias is None else bias
    as_it_is = plan.unfold == PLAIN and y.shape[3] == plan.filters
    shape, geometry = (
        (0, 0, 0) if as_it_is else (*tiles.size, plan.filters),
        (*plan.unfold.stride, *plan.out_pad),
    )
    for part in plan.parts(x):
        given = _to_tiles(x[part], tiles, plan.fold, plan.pad, plan.channels)
        products = scratch("tiles out", (len(given), 36, plan.filters), x.dtype)
        multiply_each(given, filters, products, plan.spans_of(part))

        def block(some, products=products, y=y[part]):
            whole = scratch("unfolded", shape, x.dtype)
            part = some.start, some.stop, tiles.table
            loops.images_out(
                products.reshape(-1), offsets, y, *part, whole, plan.unfold.order, geometry
            )

        _run(block, part.stop - part.start, products)


def _to_tiles(x, tiles, fold, pad, channels, gradients=False):
    """Fold every image of x to what its tiles cover, and transform these: BT d B, of gradients A dy AT."""
    more = 0 if gradients else 2  # pixels that tiles overlap by
    out = scratch(
        "tiles out" if gradients else "tiles in", (len(x) * tiles.count, 36, channels), x.dtype
    )
    shape = (4 * -(-tiles.size[0] // 4) + more, 4 * -(-tiles.size[1] // 4) + more, channels)
    flat, geometry = out.reshape(-1), (*fold.stride, *fold.apart, *pad)

    def block(some):
        folded = scratch("folded", shape, x.dtype)
        loops.images_in(
            x, flat, some.start, some.stop, tiles.table, gradients, folded, fold.order, geometry
        )

    _run(block, len(x), out)
    return out


def _run(block, images, tiles):
    """block(some of the images) for all of them, whose transformed tiles these are."""
    nanoseconds = 0.75 * tiles.size
    at_once = images if nanoseconds < WORTH_SHARING else BLOCK_BYTES * images // tiles.nbytes
    run_blocks(block, cut(images, max(1, at_once)), nanoseconds)


def _whole(count):
    """The next multiple of LANES: channels and filters are padded with zeros to it."""
    return -(-count // LANES) * LANES


def _fold_filters(weight, fold):
    """(KH, KW, C, F) -> (3, 3, blocks * C, F), both padded to whole vectors, as Fold orders the channels."""
    shape = (3, 3, _whole(fold.count * weight.shape[2]), _whole(weight.shape[3]))
    if shape == weight.shape:
        return np.ascontiguousarray(weight)
    folded = zeros(weight, shape)
    for taps, same in _blocks(weight, folded, fold):
        same[...] = taps
    return folded


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


@functools.cache
def _square(dtype, back=False):
    """The Kronecker square of G, or of GT: (36, 9) or (9, 36)."""
    return np.kron(G.T, G.T).astype(dtype) if back else np.kron(G, G).astype(dtype)


def _transform(square, values):
    """matrix v matrix.T of every v along the first axis, in one product with the matrix's Kronecker
    square.
    """
    out = empty(values, (len(square), *values.shape[1:]))
    given, result = values.reshape(len(values), -1), out.reshape(len(out), -1)

    def block(part):
        np.matmul(square, given[:, part], out=result[:, part])

    run_blocks(block, cut(result.shape[1], 1 << 14), result.size * len(values) / 10)
    return out
