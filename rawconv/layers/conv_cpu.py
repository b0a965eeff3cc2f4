"""Winograd's minimal filtering F(4x4, 3x3) on the CPU, all three passes of a convolution.

A 6x6 tile of the input gives a 4x4 tile of the output with 36 multiplications instead of 144 (Lavin & Gray 2016).
With d the tiles, g the filters and (.) the product over channels, place by place:

    up:    y  = AT [ (G g GT) (.) (BT d B) ] A
    back:  dg = GT [ (BT d B) (.) (A dy AT) ] G          dx: up, with dy and the filters turned by 180 degrees

The 36 products over channels are matrix products of BLAS, which take nearly all of the time; winograd_tiles.py has the
transforms.  The error is about 1e-5 of the largest value instead of 3e-6.

Other filters are folded to 3x3 of stride 1, with more channels (class Fold):

    stride s, up to 3s wide    every s x s block of pixels becomes one pixel with s * s times the channels
    stride 1, up to 6 wide     a pixel takes over the channels of those 3 to the right, 3 below, and both

So the paper's 5x5 filters of stride 2, and Krizhevsky's of stride 1, take 36 * 4 / 16 = 9 multiplications an output and
channel instead of 25.
"""

import math
from typing import NamedTuple

import numpy as np

from ..buffers import empty, zeros
from ..simd import LANES
from ..threads import cut, run_blocks, scratch
from . import winograd_tiles as loops

BT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
AT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])

# Otherwise the transforms cost more than the products save: set from a few of the paper's layers, not swept.
FEWEST_CHANNELS = 16
FEWEST_PLACES = 512  # of the output, over all pictures: the filters are transformed once for them all
GAIN = 1.6  # multiplications as written over those that are left
TILE_BYTES = 24 << 20  # of the transformed tiles, in and out, that are there at once: about the third-level cache


class Fold(NamedTuple):
    """folded[i, j, (a * columns + b) * C + c] = x[i * sh + a * down - top, j * sw + b * across - left, c].

    A pixel of the folded map takes over `blocks` = (rows, columns) pixels, `apart` = (down, across) from each other.
    """

    stride: tuple
    blocks: tuple
    apart: tuple

    @classmethod
    def of(cls, window):
        """The one that leaves 3x3 filters; None where there is none."""
        axes = list(zip(window.size, window.stride, strict=True))
        if all(-(-size // stride) == 3 for size, stride in axes):
            return cls(window.stride, window.stride, (1, 1))
        if all(stride == 1 and 3 <= size <= 6 for size, stride in axes):
            return cls((1, 1), tuple(-(-size // 3) for size in window.size), (3, 3))
        return None

    @property
    def count(self):
        return self.blocks[0] * self.blocks[1]


PLAIN = Fold((1, 1), (1, 1), (1, 1))


def suits(shape, window, pictures, size, tiled=None):
    """Whether filters of `shape` can go this way, and (by measured constants) whether that is faster: (can, faster).

    size: of the map of y; tiled: of the folded map that is cut into tiles, if it is another.
    """
    how, (down, across) = Fold.of(window), _tiles(tiled or size)
    if how is None:
        return False, False
    plain, tiles = math.prod(shape[:2]) * math.prod(size), 36 * how.count * down * across  # multiplications
    enough = pictures * math.prod(size) >= FEWEST_PLACES and min(shape[2:]) >= FEWEST_CHANNELS
    return True, enough and plain >= GAIN * tiles


def winograd(x, weight, bias, window, y):
    """y = the convolution of x with weight, plus bias (or None)."""
    how = Fold.of(window)
    _convolve(x, _fold_filters(weight, how), how, window.pad, bias, y)


def winograd_transpose(dy, weight, window, dx):
    """dx = its transpose, for folds by stride: in folded pixels a convolution of stride 1 of dy, padded by 2, with the
    filters turned by 180 degrees.  (Otherwise the stride is 1, and turning the filters themselves is all it takes.)"""
    folded = _fold_filters(weight, how := Fold.of(window))
    turned = empty(folded, (3, 3, folded.shape[3], folded.shape[2]))
    turned[...] = folded[::-1, ::-1].swapaxes(2, 3)
    axes = list(zip(window.pad, window.stride, strict=False))
    pad = [2 - pad // stride for pad, stride in axes]  # whole pixels of the folded map that are padding are left out
    _convolve(dy, turned, PLAIN, pad, None, dx, how.stride, [pad % stride for pad, stride in axes])


def winograd_weight_gradient(x, dy, window):
    """dweight, summed over the pictures in a fixed order."""
    (down, across), how = _tiles(dy.shape[1:3]), Fold.of(window)
    channels, filters = _whole(how.count * x.shape[3]), _whole(dy.shape[3])
    sums = (empty if len(x) else zeros)(x, (36, channels, filters))
    for part in cut(len(x), _pictures_at_once(down * across * (channels + filters) * x.itemsize)):
        count = (part.stop - part.start) * down * across
        tiles = scratch("tiles in", (count, 36, channels), x.dtype)
        gradients = scratch("tiles out", (count, 36, filters), x.dtype)
        _each_picture(x[part], tiles, loops.tiles_in, down, across, 2, how, window.pad)
        _each_picture(dy[part], gradients, loops.gradient_tiles, down, across, 0, PLAIN, (0, 0))

        def place(p, tiles=tiles, gradients=gradients, first=part.start == 0):
            out = sums[p] if first else scratch("product", (channels, filters), x.dtype)
            np.matmul(tiles[:, p].T, gradients[:, p], out=out)
            if not first:
                sums[p] += out

        run_blocks(place, range(36))
    dweight = _transform(G.T, sums).reshape(3, 3, channels, filters)
    return _unfold_filters(dweight, how, (*window.size, x.shape[3], dy.shape[3]))


def _convolve(x, filters, how, pad, bias, y, out_stride=(1, 1), out_pad=(0, 0)):
    """y = the convolution of folded x with filters (3, 3, channels, filters), unfolded by out_stride and out_pad."""
    rows, columns = (-(-(n + p) // s) for n, p, s in zip(y.shape[1:3], out_pad, out_stride, strict=True))
    down, across = _tiles((rows, columns))
    filters = _transform(G, filters.reshape(9, *filters.shape[2:]))
    offsets = np.zeros(filters.shape[2], x.dtype)
    offsets[: y.shape[3]] = 0 if bias is None else bias
    as_it_is = tuple(out_stride) == (1, 1) and y.shape[3] == len(offsets)
    for part in cut(len(x), _pictures_at_once(down * across * sum(filters.shape[1:]) * x.itemsize)):
        count = part.stop - part.start
        tiles = scratch("tiles in", (count * down * across, 36, filters.shape[1]), x.dtype)
        products = scratch("tiles out", (count * down * across, 36, filters.shape[2]), x.dtype)
        _each_picture(x[part], tiles, loops.tiles_in, down, across, 2, how, pad)
        run_blocks(lambda p, a=tiles, out=products: np.matmul(a[:, p], filters[p], out=out[:, p]), range(36))

        def picture(n, products=products, y=y[part]):
            out = y[n] if as_it_is else scratch("unfolded", (rows, columns, len(offsets)), x.dtype)
            given = products[n * down * across : (n + 1) * down * across].reshape(-1)
            loops.tiles_out(given, offsets, out.reshape(-1), down, across, rows, columns, len(offsets))
            if not as_it_is:
                loops.unfold(out, y[n], *out_stride, *out_pad)

        run_blocks(picture, range(count))


def _each_picture(x, tiles, loop, down, across, more, how, pad):
    """Fold every picture of x to what its tiles cover, `more` pixels at the end included, and transform its tiles."""
    shape = (4 * down + more, 4 * across + more, tiles.shape[2])
    tiles = tiles.reshape(len(x), -1)

    def picture(n):
        folded = scratch("folded", shape, x.dtype)
        loops.fold(x[n], folded, *how.stride, *how.blocks, *how.apart, *pad[:2])
        loop(folded.reshape(-1), tiles[n], down, across, *shape[1:])

    run_blocks(picture, range(len(x)))


def _tiles(size):
    return [-(-length // 4) for length in size]


def _pictures_at_once(bytes_a_place):
    return max(1, TILE_BYTES // max(1, 36 * bytes_a_place))


def _whole(count):
    """The next multiple of LANES: channels and filters are padded with zeros to it."""
    return -(-count // LANES) * LANES


def _fold_filters(weight, how):
    """(KH, KW, C, F) -> (3, 3, blocks * C, F), both padded to whole vectors, as Fold orders the channels."""
    kh, kw, channels, count = weight.shape
    full = zeros(weight, (3 * how.blocks[0], 3 * how.blocks[1], channels, count))
    full[:kh, :kw] = weight
    folded = zeros(weight, (3, 3, _whole(how.count * channels), _whole(count)))
    _blocks_apart(folded, how, channels, count)[...] = _blocks_together(full, how)
    return folded


def _unfold_filters(folded, how, shape):
    """The transpose of _fold_filters."""
    full = empty(folded, (3 * how.blocks[0], 3 * how.blocks[1], *shape[2:]))
    _blocks_together(full, how)[...] = _blocks_apart(folded, how, *shape[2:])
    return full[: shape[0], : shape[1]]


def _blocks_apart(folded, how, channels, count):
    """Folded filters without their padding, seen by (3 rows, 3 columns, row and column of the block, C, F)."""
    return folded[:, :, : how.count * channels, :count].reshape(3, 3, *how.blocks, channels, count)


def _blocks_together(full, how):
    """The same view of whole filters: row t of block a is row t * stride + a * apart."""
    (rows, columns), more = how.blocks, full.shape[2:]
    if how.apart == (1, 1):
        return full.reshape(3, rows, 3, columns, *more).transpose(0, 2, 1, 3, 4, 5)
    return full.reshape(rows, 3, columns, 3, *more).transpose(1, 3, 0, 2, 4, 5)


def _transform(matrix, values):
    """matrix v matrix.T of every (columns, columns) v along the first axis: one product with the Kronecker square."""
    square = np.kron(matrix, matrix).astype(values.dtype)
    out = empty(values, (len(square), *values.shape[1:]))
    given, result = values.reshape(len(values), -1), out.reshape(len(out), -1)
    parts = cut(result.shape[1], 1 << 14)
    run_blocks(lambda part: np.matmul(square, given[:, part], out=result[:, part]), parts)
    return out
