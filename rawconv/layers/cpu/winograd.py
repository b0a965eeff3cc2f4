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

from ...machine.buffers import empty
from ...machine.threads import run_ranges, scratch, workers
from .winograd_images import convolve_pieces, gradient_pieces
from .winograd_plan import forward_plan, gradient_plan, transpose_plan
from .winograd_positions import Fold, multiplications

# Otherwise the transforms cost more than the products save: both ways in turns on two cores with
# AVX-512, 2026-11-29; see docs/speed.md.
# the harmonic mean of channels C and filters F: transforms take C + F, products C * F
FEWEST_CHANNELS = 24
# of the output, over all images: the filters are transformed once for them all
FEWEST_POSITIONS = 160
# channels * filters * positions; for less, direct.py is faster, and above all in a net, where the
# transformed filters of a few images have left the cache
LEAST_WORK = 1.5e6
GAIN = 1.6  # multiplications as written over those that are left


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
    plan = forward_plan(window, x.shape, y.shape, x.itemsize)
    _convolve(x, weight, bias, fuse_relu, y, plan)


def transpose(dy, weight, window, dx):
    """dx = its transpose, for folds by stride: in folded pixels a convolution of stride 1 of dy,
    padded by 2, with the filters turned by 180 degrees."""
    plan = transpose_plan(window, dy.shape, dx.shape, dy.itemsize)
    _convolve(dy, weight, None, None, dx, plan)


def weight_gradient(x, dy, window):
    """dweight, summed over the images in a fixed order."""
    plan = gradient_plan(window, x.shape, dy.shape, x.itemsize)
    weight = empty(x, (*window.size, x.shape[3], dy.shape[3]))
    room = scratch("winograd", (plan.shared + workers() * plan.each,), x.dtype)
    arguments = (x, dy), weight, room, plan.tables
    run_ranges(gradient_pieces, len(plan.after), 1, arguments, plan.nanoseconds, plan.after)
    return weight


def _convolve(x, weight, bias, ceiling, y, plan):
    """y as the plan says, plus bias (or None), and with a ceiling (or None) a ReLU."""
    offsets = np.zeros(plan.filters, y.dtype)
    if bias is not None:
        offsets[: len(bias)] = bias
    bounds = np.array((-math.inf, math.inf) if ceiling is None else (0, ceiling), y.dtype)
    filters = np.ascontiguousarray(weight), (offsets, bounds)
    room = scratch("winograd", (plan.shared + workers() * plan.each,), x.dtype)
    arguments = (x, y), filters, room, plan.tables
    run_ranges(convolve_pieces, len(plan.after), 1, arguments, plan.nanoseconds, plan.after)
