"""A linear classifier's view of features that are too many for memory: the inner products of
pictures.

    centre, scale = scaling(x, workspace)                       over the whole pool, labels unused
    k = kernel_matrix(x, ids, centre, scale, file, workspace)   float64 (M, M), on the disk
    train, test = compact_kernel(k, learnt, tried)              as classifiers.compact of the features themselves

k[i, j] = the sum over features f of z[i, f] z[j, f], z = (x - centre) * scale.  It is summed over
some columns at a time, a square of the matrix after the other, so that memory stays within
`workspace` bytes whatever the number of features.  A fold's own mean is taken off the matrix:
(z_i - m) . (z_j - m) = k_ij - mean_j k_ij - mean_i k_ij + mean k, means over the pictures learnt.
"""

import numpy as np

from ..files.progress import progress_bar
from ..machine.threads import cut, run_blocks, thread_count

DOUBLE = np.dtype(np.float64).itemsize
EMPTY = 1e-10  # of the largest squared length: a principal axis without pictures
FIT_COPIES = (
    5  # of the kernel matrix of the pictures learnt, that decomposing and fitting hold at once
)


def scaling(x, workspace):
    """(mean, 1 / (std sqrt(d))) of each feature over all rows of x (N, d): float64 (d,).

    Pictures then have length 1 on average.  A feature that is constant, as a dead map's, gets 0; d
    counts the others.
    """
    parts = cut(len(x), max(1, workspace // (4 * DOUBLE * x.shape[1])))
    centre = sum(x[part].sum(axis=0, dtype=np.float64) for part in parts) / len(x)
    std = np.sqrt(sum(np.square(x[part] - centre).sum(axis=0) for part in parts) / len(x))
    live = std > 1e-6 * max(std.max(initial=0), 1e-30)
    return centre, np.where(live, 1 / np.where(live, std, 1), 0) / np.sqrt(max(live.sum(), 1))


def kernel_matrix(x, ids, centre, scale, file, workspace):
    """Write the inner products of the rows `ids` (M,) of x, standardised, to `file`: float64 (M, M)."""
    out = np.lib.format.open_memmap(file, "w+", np.float64, (len(ids), len(ids)))
    # a quarter of the memory for a square, one for what is added to it, the rest for both sides' columns
    side = min(len(ids), max(1, int((workspace / (4 * DOUBLE)) ** 0.5)))
    columns = max(1, workspace // (4 * (2 * DOUBLE + x.itemsize) * side))
    tiles = cut(len(ids), side)
    pairs = [(row, column) for k, row in enumerate(tiles) for column in tiles[: k + 1]]

    def standardised(part, some):
        return (x[ids[part], some] - centre[some]) * scale[some]

    with progress_bar(len(pairs), "inner products", "squares") as bar:
        for row, column in pairs:
            tile = np.zeros((row.stop - row.start, column.stop - column.start))
            for some in cut(x.shape[1], columns):
                a = standardised(row, some)
                _add_product(tile, a, a if row == column else standardised(column, some))
            out[row, column], out[column, row] = tile, tile.T
            bar.update(1)
    out.flush()
    return out


def _add_product(out, a, b):
    """out += a @ b.T, on all threads."""

    def add(part):
        out[part] += a[part] @ b.T

    run_blocks(add, cut(len(a), -(-len(a) // thread_count())))


def fit_bytes(learnt, tried):
    """The memory that `compact_kernel` and a classifier on it take, for so many pictures."""
    return DOUBLE * learnt * (FIT_COPIES * learnt + 2 * tried)


def compact_kernel(kernel, train, *others):
    """The principal coordinates of the pictures `train`, and of others in the same axes, by rows of
    a kernel matrix: float64 (n, r), r < n.

    The mean of `train` is taken off all of them.
    """
    inner = kernel[np.ix_(train, train)]
    means = inner.mean(axis=0)
    centred = inner - means - means[:, None] + means.mean()
    size, axes = np.linalg.eigh(centred)
    kept = size > EMPTY * max(size[-1], 1e-30)
    axes, length = axes[:, kept], np.sqrt(size[kept])
    parts = [axes * length]
    for ids in others:
        inner = kernel[np.ix_(ids, train)]
        inner = inner - inner.mean(axis=1, keepdims=True) - means + means.mean()
        parts.append(inner @ axes / length)
    return parts
