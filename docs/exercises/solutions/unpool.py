"""Exercise 1: unpooling, by hand."""

import numpy as np


def unpool(r, switches, size, stride, shape):
    """Put each value of r back at its switch, adding where windows share a place.

    r (OH, OW): what comes down; switches (OH, OW): row * size + column of the winner in its uncut
    window; size, stride: of the windows, equal in both directions; shape (H, W): of the map that
    was pooled.  Returns that map.
    """
    down = np.zeros(shape)
    for i, j in np.ndindex(r.shape):
        row, column = divmod(int(switches[i, j]), size)
        down[i * stride + row, j * stride + column] += r[i, j]
    return down
