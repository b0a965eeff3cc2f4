"""What is measured of first-layer filters and of the pictures that come down through them, for filters.py.

rms(filters), dead_filters(sizes, strongest)      how large they are, and which are dead
bands(filters)                                    shares of low, middle and high frequencies
spectrum(r), aliasing(spectrum, period, size)     is there a grid of the stride in a projection?
"""

import numpy as np

DEAD = 0.1  # of the median RMS
# rows and columns of a filter's spectrum: zeros around the filter, so that all sizes share one
# raster
GRID = 64
BANDS = (1 / 6, 1 / 3)  # cycles per pixel; half of one is the highest along a row


def rms(filters):
    """Of filters (F, KH, KW, C): (F,)."""
    return np.sqrt(np.square(filters, dtype=float).mean(axis=(1, 2, 3)))


def dead_filters(size, strongest):
    """Numbers of the filters of RMS `size` that are dead."""
    return np.flatnonzero((size < DEAD * np.median(size)) | (strongest <= 0)).tolist()


def bands(filters):
    """Filters (F, KH, KW, C) -> (F, 3): shares of their energy in low, middle and high radial frequencies."""
    power = np.square(np.abs(np.fft.fft2(filters, (GRID, GRID), axes=(1, 2)))).sum(axis=3)
    f = np.fft.fftfreq(GRID)
    band = np.digitize(np.hypot(f[:, None], f[None]), BANDS)
    squared = np.stack([power[:, band == k].sum(axis=1) for k in range(3)], axis=1)
    return squared / np.maximum(squared.sum(axis=1, keepdims=True), np.finfo(float).tiny)


def spectrum(r):
    """r (S, S, C) -> (S // 2 + 1,): its energy by frequency along rows and along columns, in cycles
    per picture.

    As shares of the largest, without what is constant.
    """
    power = np.square(np.abs(np.fft.fft2(r.astype(float), axes=(0, 1)))).sum(axis=2)
    both = power.sum(axis=0) + power.sum(axis=1)
    both[0] = 0
    return both[: len(both) // 2 + 1] / max(both.max(), np.finfo(float).tiny)


def aliasing(squared, period, size):
    """What stands out at 1 / period and its multiples: (times the energy beside them, share of all
    beyond that).

    energy: `spectrum` of pictures of `size` rows.  Beside a frequency: the geometric mean two to
    four frequencies away on both sides, which a smooth fall does not change.  Without aliasing (1,
    0); NaN where the stride is 1.
    """
    if period < 2:
        return float("nan"), float("nan")
    peaks = np.array([round(size * k / period) for k in range(1, period // 2 + 1)])
    near = peaks[:, None] + np.array([-4, -3, -2, 2, 3, 4])
    # beyond the highest frequency they come down again
    near = np.abs((near + size // 2) % size - size // 2)
    near = np.maximum(near, 1)  # what is constant is not in the spectrum
    beside = np.exp(np.log(np.maximum(squared[near], np.finfo(float).tiny)).mean(axis=1))
    return float((squared[peaks] / beside).mean()), float(
        (squared[peaks] - beside).sum() / squared.sum()
    )
