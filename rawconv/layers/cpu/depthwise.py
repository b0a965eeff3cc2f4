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
from ...machine.threads import run_ranges
from ..relu import relu_block
from .gemm import ceiling_of, split_k
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
    filters = _filters(weight), np.ascontiguousarray(bias), ceiling_of(fuse_relu, y)
    _run(depthwise, y, (x, filters, y, _geometry(window)), y.size * weight[..., 0].size)


def transpose(dy, weight, window, dx):
    """dx = its transpose."""
    arguments = dy, _filters(weight), dx, _geometry(window)
    _run(depthwise_transpose, dx, arguments, dy.size * weight[..., 0].size)


def weight_gradient(x, dy, window):
    """dweight (KH, KW, 1, C), in some sums of their own, which are added in their order."""
    rows, shape = len(dy) * dy.shape[1], (*window.size, dy.shape[3])
    each = split_k(rows, dy.shape[2])
    sums = zeros(x, (-(-rows // each), *shape))
    arguments, products = (x, dy, sums, each, _geometry(window)), dy.size * sums[0, ..., 0].size
    run_ranges(depthwise_weight_gradient, len(sums), 1, arguments, products / SPEED)
    return sums.sum(axis=0, out=empty(x, shape)).reshape(*window.size, 1, shape[2])


def _filters(weight):
    """(KH, KW, C) of (KH, KW, 1, C)."""
    return np.ascontiguousarray(weight[:, :, 0])


def _run(loop, y, arguments, products):
    """The loop over the rows of a map y, counted through all images, of which some make a block."""
    rows = max(1, BLOCK // max(1, y.shape[2] * y.shape[3]))
    run_ranges(loop, len(y) * y.shape[1], rows, arguments, products / SPEED)


def _geometry(window):
    return *window.stride, *window.pad[:2], *window.dilation


@loop
def depthwise(first, last, thread, x, filters, y, geometry):
    """The output rows first..last-1, counted through all images, and their ReLU; LANES channels at a
    time, of which the last vector is computed twice where they do not fill one of their own.

    filters: (weight, bias, ceiling of the ReLU).
    """
    (weight, bias, ceiling), (sh, sw, top, left, apart_y, apart_x) = filters, geometry
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
    if ceiling >= 0:
        made = out[first * y.shape[2] * channels : last * y.shape[2] * channels]
        relu_block(ceiling, made, made)


@loop
def depthwise_transpose(first, last, thread, dy, weight, dx, geometry):
    """The input rows first..last-1: each place gathers from the windows over it (no atomics)."""
    sh, sw, top, left, apart_y, apart_x = geometry
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
def depthwise_weight_gradient(first, last, thread, x, dy, sums, each, geometry):
    """The sums first..last-1 (KH, KW, C), of `each` output rows, every one of which is summed by
    itself first.
    """
    (height, width, channels), (kh, kw) = x.shape[1:], sums.shape[1:3]
    sh, sw, top, left, apart_y, apart_x = geometry
    line = np.empty(channels, x.dtype)
    for row in range(first * each, min(last * each, len(dy) * dy.shape[1])):
        (n, oy), total = divmod(row, dy.shape[1]), sums[row // each]
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
