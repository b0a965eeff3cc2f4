"""Sums over the rows of a matrix, in one order on every card."""

from __future__ import annotations

from ...machine.arrays import Array, array_module
from ...machine.buffers import empty
from ...machine.kernels import THREADS, launch, tiles

CU = __file__.replace(".py", ".cu")
# of threads for a sum of rows, at most; rows for one of them, at least
BLOCKS, ROWS = 1024, 256


def sum_of_rows(rows: Array, gate: tuple[Array, float] | None = None) -> Array:
    """rows (N, F) -> (F,).  CuPy's own sum would keep F / 32 blocks of threads busy with one row
    each.

    gate: (y, ceiling): the sum of rows where 0 < y < ceiling, elsewhere 0, which `rows` is from then
    on: the way back of a ReLU, in the same pass.  rows, y (N, F): contiguous.
    """
    if gate is None:
        return _sum_of_tiles(array_module(rows).ascontiguousarray(rows), "sum_rows")
    y, ceiling = gate
    return _sum_of_tiles(rows, "sum_gated_rows", y, y.dtype.type(ceiling))


def _sum_of_tiles(rows, kernel, *gate):
    """The sums of parts of the rows, then, by sum_rows, the sum of those."""
    across, step, parts = tiles(len(rows), rows.shape[1], BLOCKS, ROWS)
    found = empty(rows, (parts, rows.shape[1]))
    geometry = *rows.shape, across, step
    launch(CU, kernel, across * parts * THREADS, rows, *gate, found, *geometry)
    if parts == 1:
        return found[0]
    total, geometry = empty(rows, found.shape[1:]), (*found.shape, across, parts)
    launch(CU, "sum_rows", across * THREADS, found, total, *geometry)
    return total
