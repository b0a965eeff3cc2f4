"""The matrix product, by cuBLAS through CuPy."""

from __future__ import annotations

from ...machine.arrays import Array, array_module


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b of two matrices, written to `out` where that is given."""
    return array_module(a).matmul(a, b, out=out)
