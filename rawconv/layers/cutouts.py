"""Windows cut out of maps, and put back: of each of U units a window r (U, h, w, C) of a map (H, W, C).

Its corner (U, 2), NumPy's, is the row and column of the map at its first place.  A window may hang
over its map.  On a GPU each of these is one kernel, however many units there are.
"""

import numpy as np

from ..machine.arrays import array_module, on_cpu
from ..machine.buffers import empty
from ..machine.kernels import launch
from ..machine.numba_cache import loop


def gather(array, rows, corner, size):
    """array (N, H, W, C) -> the windows of `size` at `corner` of these rows, (U, h, w, C).

    Outside the map stands what is nearest: some value, to be cleared or multiplied by zero.
    """
    xp = array_module(array)
    y, x = (
        np.clip(corner[:, axis, None] + np.arange(size[axis]), 0, array.shape[1 + axis] - 1)
        for axis in range(2)
    )
    return array[
        xp.asarray(rows[:, None, None]), xp.asarray(y[:, :, None]), xp.asarray(x[:, None, :])
    ]


def clear(r, corner, whole, value=0):
    """r, with `value` wherever a window lies outside its map; whole: the map's (H, W, ...)."""
    ends = corner + r.shape[1:3]
    if (corner >= 0).all() and (ends <= whole[:2]).all():
        return r
    r, corner = array_module(r).ascontiguousarray(r), _beside(r, corner)
    if on_cpu(r):
        clear_outside(r, corner, r.dtype.type(value), *whole[:2])
    else:
        launch(CU, "clear_outside", r.size, r, corner, value, *r.shape[1:], *whole[:2])
    return r


def paste(maps, r, corner):
    """maps (U, H, W, C) with the windows r written at their corners; what hangs over is cut off."""
    r, corner = array_module(r).ascontiguousarray(r), _beside(r, corner)
    if on_cpu(r):
        paste_windows(r, maps, corner)
    else:
        launch(CU, "paste_windows", r.size, r, maps, corner, *r.shape[1:], *maps.shape[1:3])
    return maps


def put(r, corner, size, out=None, at=None):
    """The windows at their places in whole maps of `size`, zero elsewhere; what hangs over is cut off.

    out, at: where the maps are to be, out[at].
    """
    if out is None and r.shape[1:3] == tuple(size) and not corner.any():
        return r
    if out is None:
        out, at = empty(r, (len(r), *size, r.shape[3])), np.arange(len(r))
    r, corner, at = array_module(r).ascontiguousarray(r), _beside(r, corner), _beside(r, at)
    if on_cpu(r):
        put_windows(r, out, corner, at)
    else:
        count = len(r) * out[:1].size
        launch(CU, "put_windows", count, r, out, corner, at, *r.shape[1:], *out.shape[1:3])
    return out


def _beside(r, numbers):
    """Numbers of NumPy's on the device of r, as the kernels take them."""
    return array_module(r).asarray(np.ascontiguousarray(numbers, np.int64))


CU = __file__.replace("cutouts.py", "cutouts.cu")


@loop
def clear_outside(r, corner, value, rows, columns):
    height, width = r.shape[1:3]
    for u in range(len(r)):
        top, left = corner[u]
        first, last = min(width, max(0, -left)), max(0, min(width, columns - left))
        for v in range(height):
            if 0 <= top + v < rows and first < last:
                r[u, v, :first] = value
                r[u, v, last:] = value
            else:
                r[u, v] = value


@loop
def paste_windows(r, maps, corner):
    for u in range(len(r)):
        top, left = corner[u]
        first, last = max(0, -left), min(r.shape[2], maps.shape[2] - left)
        if first < last:
            for v in range(max(0, -top), min(r.shape[1], maps.shape[1] - top)):
                for w in range(first, last):
                    for c in range(r.shape[3]):
                        maps[u, top + v, left + w, c] = r[u, v, w, c]


@loop
def put_windows(r, maps, corner, at):
    for u in range(len(r)):
        maps[at[u]] = 0
        paste_windows(r[u : u + 1], maps[at[u] : at[u] + 1], corner[u : u + 1])
