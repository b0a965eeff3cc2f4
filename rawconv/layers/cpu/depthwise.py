"""Depthwise convolution on the CPU: each channel has one filter of its own, so there is no product
over channels.

    up      y[n, i, j, c] = bias[c] + sum over k, l of x[n, i*s + k*d - pad, j*s + l*d - pad, c] * weight[k, l, c]
    back    its transpose, and dweight[k, l, c] = the sum of x * dy over images and positions

A few multiplications a number take no longer than the maps take to be read, so nothing is copied on
the way, and the sums stay in registers.
"""

import numpy as np

from ...machine.buffers import empty, zeros
from ...machine.numba_cache import loop
from ...machine.threads import cut, run_blocks
from ..relu import relu_block
from .gemm import split_k
from .simd import LANES, load, store

BLOCK = 1 << 16  # numbers of the result in a block, which stays in the L2 cache
SPEED = 4  # products a nanosecond, about


def supports(shape, forced=False, transposed=False):
    return fits(shape.weight[2:], shape.groups)


def fits(size, groups):
    """Whether filters of `size` (channels of a group, F), in so many groups, are one a channel and
    fill a vector.
    """
    channels, filters = size
    return channels == 1 and groups == filters >= LANES


def forward(x, weight, bias, window, y, fuse_relu=None):
    """y = the convolution of x with weight (KH, KW, 1, C), plus bias; fuse_relu: and a ReLU."""
    lines, weight, bias = (
        y.reshape(-1, y.shape[2] * y.shape[3]),
        _filters(weight),
        np.ascontiguousarray(bias),
    )

    def block(part):
        depthwise(x, weight, bias, y, part.start, part.stop, *_geometry(window))
        if fuse_relu is not None:
            made = lines[part].reshape(-1)
            relu_block(made.dtype.type(fuse_relu), made, made)

    run_blocks(block, _blocks(y), y.size * weight[..., 0].size / SPEED)


def transpose(dy, weight, window, dx):
    """dx = its transpose."""
    weight = _filters(weight)

    def block(part):
        depthwise_transpose(dy, weight, dx, part.start, part.stop, *_geometry(window))

    run_blocks(block, _blocks(dx), dy.size * weight[..., 0].size / SPEED)


def weight_gradient(x, dy, window):
    """dweight (KH, KW, 1, C), in some sums of their own, which are added in their order."""
    rows = len(dy) * dy.shape[1]
    parts, shape = cut(rows, split_k(rows, dy.shape[2])), (*window.size, dy.shape[3])
    sums = zeros(x, (len(parts), *shape))

    def block(index):
        depthwise_weight_gradient(
            x, dy, sums[index], parts[index].start, parts[index].stop, *_geometry(window)
        )

    run_blocks(block, range(len(parts)), dy.size * sums[0, ..., 0].size / SPEED)
    return sums.sum(axis=0, out=empty(x, shape)).reshape(*window.size, 1, shape[2])


def _filters(weight):
    """(KH, KW, C) of (KH, KW, 1, C)."""
    return np.ascontiguousarray(weight[:, :, 0])


def _blocks(y):
    """The rows of every block of a map, counted through all images."""
    return cut(len(y) * y.shape[1], max(1, BLOCK // max(1, y.shape[2] * y.shape[3])))


def _geometry(window):
    return *window.stride, *window.pad[:2], *window.dilation


@loop
def depthwise(x, weight, bias, y, first, last, sh, sw, top, left, apart_y, apart_x):
    """The output rows first..last-1, counted through all images; LANES channels at a time, of which
    the last vector is computed twice where they do not fill one of their own."""
    (height, width, channels), (kh, kw, _) = x.shape[1:], weight.shape
    given, taps, out = x.reshape(-1), weight.reshape(-1), y.reshape(-1)
    for row in range(first, last):
        n, oy = divmod(row, y.shape[1])
        y0 = oy * sh - top
        low_y, high_y = max(0, -(y0 // apart_y)), min(kh, -((y0 - height) // apart_y))
        for ox in range(y.shape[2]):
            x0 = ox * sw - left
            low_x, high_x = max(0, -(x0 // apart_x)), min(kw, -((x0 - width) // apart_x))
            for lane in range(0, channels, LANES):
                c = min(lane, channels - LANES)
                total = load(bias, c)
                for ky in range(low_y, high_y):
                    line = ((n * height + y0 + ky * apart_y) * width + x0) * channels + c
                    for kx in range(low_x, high_x):
                        tap = load(taps, (ky * kw + kx) * channels + c)
                        total = total + load(given, line + kx * apart_x * channels) * tap
                store(out, (row * y.shape[2] + ox) * channels + c, total)


@loop
def depthwise_transpose(dy, weight, dx, first, last, sh, sw, top, left, apart_y, apart_x):
    """The input rows first..last-1: each place gathers from the windows over it (no atomics)."""
    (oh, ow, channels), (kh, kw, _) = dy.shape[1:], weight.shape
    for row in range(first, last):
        n, iy = divmod(row, dx.shape[1])
        for ix in range(dx.shape[2]):
            out = dx[n, iy, ix]
            out[:] = 0
            for ky in range(kh):
                oy, beside_y = divmod(iy + top - ky * apart_y, sh)
                if beside_y or not 0 <= oy < oh:
                    continue
                for kx in range(kw):
                    ox, beside_x = divmod(ix + left - kx * apart_x, sw)
                    if beside_x or not 0 <= ox < ow:
                        continue
                    value, tap = dy[n, oy, ox], weight[ky, kx]
                    for c in range(channels):
                        out[c] += value[c] * tap[c]


@loop
def depthwise_weight_gradient(x, dy, total, first, last, sh, sw, top, left, apart_y, apart_x):
    """total (KH, KW, C) += what the output rows first..last-1 give, each of which is summed by
    itself first.
    """
    (height, width, channels), (kh, kw, _) = x.shape[1:], total.shape
    line = np.empty(channels, x.dtype)
    for row in range(first, last):
        n, oy = divmod(row, dy.shape[1])
        for ky in range(kh):
            iy = oy * sh - top + ky * apart_y
            if not 0 <= iy < height:
                continue
            for kx in range(kw):
                line[:] = 0
                for ox in range(dy.shape[2]):
                    ix = ox * sw - left + kx * apart_x
                    if 0 <= ix < width:
                        value, given = dy[n, oy, ox], x[n, iy, ix]
                        for c in range(channels):
                            line[c] += value[c] * given[c]
                for c in range(channels):
                    total[ky, kx, c] += line[c]
