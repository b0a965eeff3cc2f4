"""Depthwise convolution on a GPU: what cpu/depthwise.py says and computes on a CPU, by the kernels
beside this file, their twins.
"""

from ...machine.arrays import array_module
from ...machine.buffers import empty
from ...machine.kernels import launch
from ..cpu import Passes
from ..cpu.gemm import ceiling_of
from .sums import sum_of_rows

PARTS = 256  # sums of the weight gradient, at most, each by its own threads


def forward(x, weight, bias, window, y, fuse_relu=None):
    """y = the convolution of x with weight (KH, KW, 1, C), plus bias; fuse_relu: and a ReLU."""
    weight, bias = (array_module(x).ascontiguousarray(array) for array in (weight, bias))
    launch(
        CU,
        "depthwise",
        y.size,
        x,
        weight,
        bias,
        y,
        *_geometry(x, y, window),
        ceiling_of(fuse_relu, y),
    )


def transpose(dy, weight, window, dx):
    """dx = its transpose."""
    weight = array_module(dy).ascontiguousarray(weight)
    launch(CU, "depthwise_transpose", dx.size, dy, weight, dx, *_geometry(dx, dy, window))


def weight_gradient(x, dy, window):
    """dweight (KH, KW, 1, C), in some sums of their own, which are added in their order."""
    rows = len(dy) * dy.shape[1]
    step = max(1, -(-rows // PARTS))
    sums = empty(x, (max(1, -(-rows // step)), *window.size, 1, dy.shape[3]))
    launch(
        CU,
        "depthwise_weight_gradient",
        sums.size,
        x,
        dy,
        sums,
        *_geometry(x, dy, window),
        rows,
        step,
    )
    return sum_of_rows(sums.reshape(len(sums), -1)).reshape(sums.shape[1:])


def _geometry(large, small, window):
    """The struct Window, and the distances between its cells."""
    numbers = (*large.shape[1:], *small.shape[1:3], *window.size, *window.stride, *window.pad[:2])
    return tuple(map(int, numbers)), *window.dilation


CU = __file__.replace(".py", ".cu")
PASSES = Passes(forward, transpose, weight_gradient, exact=True)
