"""Convolution on a GPU: the same three functions as the algorithms of cpu/ (forward, transpose,
weight_gradient), by kernels and by cuBLAS.

im2col.py     one group of filters: columns and a matrix product
implicit.py   the same without columns, by a kernel of its own
depthwise.py  as many groups as channels: a kernel each way
product.py    the matrix product of all of them;  sums.py  sums over rows

Each kernel's CPU twin stands beside it, in the file of cpu/ that is called as its own, or in
cpu/gemm.py.
"""

from ..cpu import Passes
from . import depthwise, im2col, implicit


def choose(execution, weight: tuple, groups: int) -> Passes:
    """The functions that compute a convolution of filters (KH, KW, C // groups, F).

    Of these shapes alone, so that a run repeats bit for bit.
    """
    if groups > 1:
        return depthwise.PASSES
    by_columns = im2col.passes(execution)
    if execution.algorithm == "implicit":
        return implicit.passes(execution)
    # tensor cores are faster than any kernel of ours
    if execution.algorithm == "auto" and not execution.tf32 and implicit.is_faster(weight):
        return by_columns._replace(forward=implicit.passes(execution).forward)
    return by_columns
