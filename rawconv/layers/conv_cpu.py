"""Winograd's minimal filtering F(4x4, 3x3) for 3x3 convolutions of stride 1 on the CPU, all three passes.

A 6x6 tile of the input gives a 4x4 tile of the output with 36 multiplications instead of 144 (Lavin & Gray 2016).
With d the tiles, g the filters and (.) the product over channels, place by place:

    up:    y  = AT [ (G g GT) (.) (BT d B) ] A
    back:  dg = GT [ (BT d B) (.) (A dy AT) ] G          dx: up, with dy and the filters turned by 180 degrees

Each transform is linear in the 36 (16, 9) numbers of a tile, so it is one matrix product with a Kronecker square,
over all tiles and channels at once: tiles are gathered as (place, tile, channel).  The error is about 1e-5 of the
largest value instead of 3e-6.
"""

import numba
import numpy as np

from ..threads import cut, run_blocks, scratch

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
KRON = {name: np.kron(m, m) for name, m in {"BT": BT, "G": G, "AT": AT, "A": AT.T, "GT": G.T}.items()}

FEWEST_CHANNELS = 16  # below, the transforms cost more than the products save (measured)
TILE_BYTES = 2 << 20  # of one block's transformed tiles, input and output
SUM_BYTES = 16 << 20  # of the weight gradient's accumulators: few where the filters are large


def suits(shape, window):
    """Whether this convolution can go this way, and (by measured constants) whether that is faster: (can, faster)."""
    can = shape[:2] == (3, 3) and window.stride == (1, 1)
    return can, can and min(shape[2:]) >= FEWEST_CHANNELS


def winograd(x, weight, bias, pad, y):
    """y = the 3x3 convolution of x (N, H, W, C), padded by (top, left, ...), with weight (3, 3, C, F), plus bias."""
    filters = weight.shape[3]
    transformed = _transform("G", weight.reshape(9, -1)).reshape(36, *weight.shape[2:])

    def block(part):
        tiles = _input_tiles(x[part], pad, y.shape[1:3])
        products = scratch("products", (36, tiles.shape[1], filters), x.dtype)
        np.matmul(tiles, transformed, out=products)
        out = scratch("tiles out", (16, tiles.shape[1] * filters), x.dtype)
        np.matmul(_kron("AT", x.dtype), products.reshape(36, -1), out=out)
        scatter_tiles(out.reshape(16, tiles.shape[1], filters), y[part])
        if bias is not None:
            y[part] += bias

    run_blocks(block, cut(len(x), _pictures_a_block(x, y)))


def winograd_weight_gradient(x, dy, pad):
    """dweight (3, 3, C, F) = the gradient of the filters, summed over the pictures in a fixed order."""
    shape = (x.shape[3], dy.shape[3])
    count = min(8, max(2, SUM_BYTES // (4 * 36 * shape[0] * shape[1])))  # by shape alone: the sum has one order
    blocks = cut(len(x), max(1, -(-len(x) // count)))
    sums = np.zeros((len(blocks), 36, *shape), x.dtype)
    step = _pictures_a_block(x, dy)

    def block(index):
        start, stop = blocks[index].start, blocks[index].stop
        for first in range(start, stop, step):
            part = slice(first, min(first + step, stop))
            tiles = _input_tiles(x[part], pad, dy.shape[1:3])
            out = scratch("tiles out", (16, tiles.shape[1], dy.shape[3]), x.dtype)
            gather_tiles(dy[part], out, 4, -(-dy.shape[2] // 4), 0, 0)
            products = scratch("products", (36, tiles.shape[1] * dy.shape[3]), x.dtype)
            np.matmul(_kron("A", x.dtype), out.reshape(16, -1), out=products)
            sums[index] += np.matmul(tiles.swapaxes(1, 2), products.reshape(36, tiles.shape[1], -1))

    run_blocks(block, range(len(blocks)))
    return _transform("GT", sums.sum(axis=0).reshape(36, -1)).reshape(3, 3, *shape)


def _input_tiles(x, pad, out_size):
    """BT d B of every 6x6 tile: (36, tiles, C)."""
    down, across = (-(-size // 4) for size in out_size)
    count = len(x) * down * across
    tiles = scratch("tiles in", (36, count, x.shape[3]), x.dtype)
    gather_tiles(x, tiles, 6, across, pad[0], pad[1])
    transformed = scratch("transformed", (36, count * x.shape[3]), x.dtype)
    np.matmul(_kron("BT", x.dtype), tiles.reshape(36, -1), out=transformed)
    return transformed.reshape(tiles.shape)


def _pictures_a_block(x, y):
    tiles = -(-y.shape[1] // 4) * -(-y.shape[2] // 4)
    return max(1, TILE_BYTES // max(1, 36 * tiles * (x.shape[3] + y.shape[3]) * x.dtype.itemsize))


def _kron(name, dtype):
    return KRON[name].astype(dtype)


def _transform(name, matrix):
    return _kron(name, matrix.dtype) @ matrix


@numba.njit(nogil=True, cache=True)
def gather_tiles(x, tiles, size, across, top, left):
    """tiles[i * size + j, tile, c] = x[n, 4 * ty + i - top, 4 * tx + j - left, c], zero outside the map."""
    height, width, channels = x.shape[1:]
    per_picture = tiles.shape[1] // len(x)
    for tile in range(tiles.shape[1]):
        n, place = divmod(tile, per_picture)
        ty, tx = divmod(place, across)
        for i in range(size):
            row = 4 * ty + i - top
            for j in range(size):
                column = 4 * tx + j - left
                out = tiles[i * size + j, tile]
                if 0 <= row < height and 0 <= column < width:
                    pixel = x[n, row, column]
                    for c in range(channels):
                        out[c] = pixel[c]
                else:
                    out[:] = 0


@numba.njit(nogil=True, cache=True)
def scatter_tiles(tiles, y):
    """y[n, 4 * ty + i, 4 * tx + j, f] = tiles[4 * i + j, tile, f], dropping what lies beyond the map."""
    height, width, filters = y.shape[1:]
    across = (width + 3) // 4
    per_picture = across * ((height + 3) // 4)
    for tile in range(tiles.shape[1]):
        n, place = divmod(tile, per_picture)
        ty, tx = divmod(place, across)
        for i in range(min(4, height - 4 * ty)):
            for j in range(min(4, width - 4 * tx)):
                pixel, value = y[n, 4 * ty + i, 4 * tx + j], tiles[4 * i + j, tile]
                for f in range(filters):
                    pixel[f] = value[f]
