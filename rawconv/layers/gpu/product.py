"""The matrix product, by cuBLAS through CuPy."""

from __future__ import annotations

from ...machine.arrays import Array, array_module, tf32_products


def product(a: Array, b: Array, out: Array | None = None, tf32: bool = False) -> Array:
    """a @ b of two matrices, written to `out` where that is given.

    tf32: float32 factors are rounded to 10 mantissa bits.
    """
    if not tf32:
        return array_module(a).matmul(a, b, out=out)
    with tf32_products():
        return array_module(a).matmul(a, b, out=out)
