"""Convolution on a GPU: the same three functions as the algorithms of cpu/ (forward, transpose,
weight_gradient), by kernels and by cuBLAS.

im2col.py     one group of filters: columns and a matrix product
depthwise.py  as many groups as channels: a kernel each way
product.py    the matrix product of all of them;  sums.py  sums over rows

Each kernel's CPU twin stands in the file of cpu/ that is called as its own, or in cpu/gemm.py.
"""

from ..cpu import Passes
from . import depthwise, im2col


def choose(execution, groups: int) -> Passes:
    """The functions that compute a convolution of so many groups."""
    return depthwise.PASSES if groups > 1 else im2col.passes(execution)
