"""Sums over the rows of a matrix, in one order on every card."""

from __future__ import annotations

from ...machine.arrays import Array, array_module
from ...machine.buffers import empty
from ...machine.kernels import THREADS, launch, tiles

CU = __file__.replace(".py", ".cu")
# of threads for a sum of rows, at most; rows for one of them, at least
BLOCKS, ROWS = 1024, 256


def sum_of_rows(rows: Array) -> Array:
    """rows (N, F) -> (F,).  CuPy's own sum would keep F / 32 blocks of threads busy with one row
    each.
    """
    across, step, parts = tiles(*rows.shape, BLOCKS, ROWS)
    sums = _sums(array_module(rows).ascontiguousarray(rows), across, step, parts)
    return sums[0] if parts == 1 else _sums(sums, across, parts, 1)[0]


def _sums(rows, across, step, parts):
    """The sums of `parts` of `step` rows each."""
    sums = empty(rows, (parts, rows.shape[1]))
    launch(CU, "sum_rows", across * parts * THREADS, rows, sums, *rows.shape, across, step)
    return sums
