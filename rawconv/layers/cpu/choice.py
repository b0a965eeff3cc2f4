"""Winograd's minimal filtering F(4x4, 3x3) on the CPU, all three passes of a convolution.

A 6x6 tile of the input gives a 4x4 tile of the output with 36 multiplications instead of 144 (Lavin & Gray 2016).
With d the tiles, g the filters and (.) the product over channels, place by place:

    up:    y  = AT [ (G g GT) (.) (BT d B) ] A
    back:  dg = GT [ (BT d B) (.) (A dy AT) ] G          dx: up, with dy and the filters turned by 180 degrees

The 36 products over channels are matrix products, which take nearly all of the time; winograd_tiles.py has the
transforms, winograd_places.py says which tiles and channels a product needs.  The error is about 1e-5 of the largest
value instead of 3e-6.

Other filters are folded to 3x3 of stride 1, with more channels (class Fold):

    stride s, up to 3s wide    every s x s block of pixels becomes one pixel with s * s times the channels
    stride 1, up to 6 wide     a pixel takes over the channels of those 3 to the right, 3 below, and both

So the paper's 5x5 filters of stride 2, and Krizhevsky's of stride 1, take 36 * 4 / 16 = 9 multiplications an output and
channel instead of 25, and 121 / 16 = 7.6 without those by taps that a 5x5 filter does not have.
"""

import math

import numpy as np

from ...machine.buffers import empty, zeros
from ...machine.threads import cut, run_blocks, scratch
from . import winograd_tiles as loops
from .gemm import product
from .simd import LANES
from .winograd_places import PLAIN, Fold, Tiles, multiplications

G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24

# Otherwise the transforms cost more than the products save: `tools/bench.py auto`, 2026-11-25, two cores with AVX-512.
FEWEST_CHANNELS = 40  # the harmonic mean of channels C and filters F: transforms take C + F, products C * F
FEWEST_PLACES = 256  # of the output, over all pictures: the filters are transformed once for them all
LEAST_WORK = 8e6  # channels * filters * places
GAIN = 1.6  # multiplications as written over those that are left
TILE_BYTES = 64 << 20  # of the transformed tiles, in and out, that are there at once: a few products of many rows
BLOCK_BYTES = 512 << 10  # of those that one call transforms: small pictures by the dozen


def suits(shape, window, pictures, size, tiled=None):
    """Whether filters of `shape` can go this way, and (by measured constants) whether that is faster: (can, faster).

    size: of the map of y; tiled: of the folded map that is cut into tiles, if it is another.
    """
    found = figures(shape, window, pictures, size, tiled)
    if found is None:
        return False, False
    least = FEWEST_CHANNELS, FEWEST_PLACES, LEAST_WORK, GAIN
    return True, all(figure >= enough for figure, enough in zip(found, least, strict=True))


def figures(shape, window, pictures, size, tiled=None):
    """What `auto` goes by, (channels, places, work, gain); None where there is no way to fold the filters."""
    how, places = Fold.of(window), math.prod(size)
    if how is None:
        return None
    gain = math.prod(shape[:2]) * places / multiplications(how, tuple(tiled or size))
    work = math.prod(shape[2:])
    return 2 * work / sum(shape[2:]), pictures * places, work * pictures * places, gain


def winograd(x, weight, bias, window, y):
    """y = the convolution of x with weight, plus bias (or None)."""
    how, filters = Fold.of(window), _whole(weight.shape[3])
    _convolve(x, _fold_filters(weight, how), how, window.pad, bias, y, how.spans(x.shape[3]), PLAIN.spans(filters))


def winograd_transpose(dy, weight, window, dx):
    """dx = its transpose, for folds by stride: in folded pixels a convolution of stride 1 of dy, padded by 2, with the
    filters turned by 180 degrees.  (Otherwise the stride is 1, and turning the filters themselves is all it takes.)"""
    folded = _fold_filters(weight, how := Fold.of(window))
    turned = empty(folded, (3, 3, folded.shape[3], folded.shape[2]))
    turned[...] = folded[::-1, ::-1].swapaxes(2, 3)
    axes = list(zip(window.pad, window.stride, strict=False))
    pad = [2 - pad // stride for pad, stride in axes]  # whole pixels of the folded map that are padding are left out
    spans = PLAIN.spans(dy.shape[3]), how.spans(dx.shape[3], place=0)
    _convolve(dy, turned, PLAIN, pad, None, dx, *spans, how, [pad % stride for pad, stride in axes])


def winograd_weight_gradient(x, dy, window):
    """dweight, summed over the pictures in a fixed order."""
    cut_up, how = Tiles.of(dy.shape[1:3]), Fold.of(window)
    channels, filters = _whole(how.count * x.shape[3]), _whole(dy.shape[3])
    sums, taken = (empty if len(x) else zeros)(x, (36, channels, filters)), how.spans(x.shape[3])
    for part in cut(len(x), _pictures(TILE_BYTES, cut_up, channels + filters, x.itemsize)):
        pictures = part.stop - part.start
        tiles = scratch("tiles in", (pictures * sum(cut_up.counts), 36, channels), x.dtype)
        gradients = scratch("tiles out", (pictures * sum(cut_up.counts), 36, filters), x.dtype)
        _each_picture(x[part], tiles, cut_up, 2, how, window.pad)
        _each_picture(dy[part], gradients, cut_up, 0, PLAIN, (0, 0))
        rows = cut_up.spans(pictures)

        def place(p, tiles=tiles, gradients=gradients, rows=rows, first=part.start == 0):
            out = _only(sums[p], taken[p]) if first else scratch("product", sums[p, taken[p]].shape, x.dtype)
            np.matmul(tiles[rows[p], p, taken[p]].T, gradients[rows[p], p], out=out)
            if not first:
                sums[p, taken[p]] += out

        run_blocks(place, range(36))
    dweight = empty(x, (*window.size, x.shape[3], dy.shape[3]))
    for taps, same in _blocks(dweight, _transform(G.T, sums).reshape(3, 3, channels, filters), how):
        taps[...] = same
    return dweight


def _convolve(x, filters, how, pad, bias, y, taken, given, unfolding=PLAIN, out_pad=(0, 0)):
    """y = the convolution of folded x with filters (3, 3, channels, filters), unfolded by `unfolding` and out_pad.

    taken, given: each place's channels and filters, slices; all others are zero there.
    """
    size = [-(-(n + p) // s) for n, p, s in zip(y.shape[1:3], out_pad, unfolding.stride, strict=True)]
    cut_up, filters = Tiles.of(size), _transform(G, filters.reshape(9, *filters.shape[2:]))
    offsets = np.zeros(filters.shape[2], x.dtype)
    offsets[: y.shape[3]] = 0 if bias is None else bias
    as_it_is, order = unfolding == PLAIN and y.shape[3] == len(offsets), unfolding.order
    for part in cut(len(x), _pictures(TILE_BYTES, cut_up, sum(filters.shape[1:]), x.itemsize)):
        pictures = part.stop - part.start
        tiles = scratch("tiles in", (pictures * sum(cut_up.counts), 36, filters.shape[1]), x.dtype)
        products = scratch("tiles out", (pictures * sum(cut_up.counts), 36, filters.shape[2]), x.dtype)
        _each_picture(x[part], tiles, cut_up, 2, how, pad)
        rows = cut_up.spans(pictures)

        def place(p, tiles=tiles, products=products, rows=rows):
            out = _only(products[rows[p], p].T, given[p]).T
            product(tiles[rows[p], p, taken[p]], filters[p, taken[p], given[p]], out)

        run_blocks(place, range(36))

        def block(some, products=products, y=y[part]):
            whole = scratch("unfolded", (0, 0, 0) if as_it_is else (*size, len(offsets)), x.dtype)
            where = some.start, some.stop, np.array(cut_up.rectangles)
            loops.pictures_out(products.reshape(-1), offsets, y, *where, whole, order, *unfolding.stride, *out_pad)

        run_blocks(block, cut(pictures, _pictures(BLOCK_BYTES, cut_up, len(offsets), x.itemsize)), 0.75 * products.size)


def _each_picture(x, tiles, cut_up, more, how, pad):
    """Fold every picture of x to what its tiles cover, `more` pixels at the end included, and transform its tiles."""
    shape = (*(4 * -(-length // 4) + more for length in cut_up.size), tiles.shape[2])
    tiles, order = tiles.reshape(-1), how.order

    def block(some):
        folded = scratch("folded", shape, x.dtype)
        where = some.start, some.stop, np.array(cut_up.rectangles), more == 0
        loops.pictures_in(x, tiles, *where, folded, order, *how.stride, *how.apart, *pad[:2])

    run_blocks(block, cut(len(x), _pictures(BLOCK_BYTES, cut_up, shape[2], x.itemsize)), 0.75 * tiles.size)


def _only(out, part):
    """out[part], after zeros before and behind it."""
    if part.stop - part.start < len(out):
        out[: part.start] = 0
        out[part.stop :] = 0
    return out[part]


def _pictures(size, cut_up, channels, itemsize):
    """How many pictures' tiles fit into `size` bytes, one at least."""
    return max(1, size // max(1, 36 * sum(cut_up.counts) * channels * itemsize))


def _whole(count):
    """The next multiple of LANES: channels and filters are padded with zeros to it."""
    return -(-count // LANES) * LANES


def _fold_filters(weight, how):
    """(KH, KW, C, F) -> (3, 3, blocks * C, F), both padded to whole vectors, as Fold orders the channels."""
    folded = zeros(weight, (3, 3, _whole(how.count * weight.shape[2]), _whole(weight.shape[3])))
    for taps, same in _blocks(weight, folded, how):
        same[...] = taps
    return folded


def _blocks(weight, folded, how):
    """Of every block its taps, at most 3x3, in filters as they are and in folded ones: two views."""
    channels, filters = weight.shape[2:]
    for block, place in np.ndenumerate(how.order):
        first = [n * apart for n, apart in zip(block, how.apart, strict=True)]
        rows, columns = (slice(n, n + 2 * stride + 1, stride) for n, stride in zip(first, how.stride, strict=True))
        taps = weight[rows, columns]
        yield taps, folded[: len(taps), : taps.shape[1], place * channels : (place + 1) * channels, :filters]


def _transform(matrix, values):
    """matrix v matrix.T of every (columns, columns) v along the first axis: one product with the Kronecker square."""
    square = np.kron(matrix, matrix).astype(values.dtype)
    out = empty(values, (len(square), *values.shape[1:]))
    given, result = values.reshape(len(values), -1), out.reshape(len(out), -1)
    parts = cut(result.shape[1], 1 << 14)
    run_blocks(lambda part: np.matmul(square, given[:, part], out=result[:, part]), parts)
    return out
