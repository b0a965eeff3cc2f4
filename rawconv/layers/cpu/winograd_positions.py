"""Which tiles and which channels each of Winograd's 36 products needs: how maps and filters are cut up.

Both are cut into a grid of which the latter rows and columns are poorer than the former:

    Tiles   a map whose size is no multiple of 4 ends in narrower tiles, which take fewer positions
    Fold    a filter that is not 3 times as wide as its blocks lacks the third tap of the latter ones, and the third
            tap is all that the position infinity sees

The poorer ones are left out of products.  For that the grid's quarters stand in an order in which
the former rows lie side by side, so do the former columns, and what is in both:

    latter rows, former columns | former rows and columns | former rows, latter columns | latter rows and columns
"""

import functools
from typing import NamedTuple

import numpy as np


class Fold(NamedTuple):
    """folded[i, j, order[a, b] * C + c] = x[i * sh + a * down - top, j * sw + b * across - left, c].

    A pixel of the folded map takes over `blocks` = (rows, columns) pixels, `apart` = (down, across)
    from each other. The first `full` of either have all three taps, the rest lack the third.
    """

    stride: tuple
    blocks: tuple
    apart: tuple
    full: tuple

    @classmethod
    @functools.lru_cache(1024)
    def of(cls, window):
        """The one that leaves 3x3 filters; None where there is none."""
        axes = list(zip(window.size, window.stride, strict=True))
        if all(-(-size // stride) == 3 for size, stride in axes):
            return cls(
                window.stride,
                window.stride,
                (1, 1),
                tuple(size - 2 * stride for size, stride in axes),
            )
        if all(stride == 1 and 3 <= size <= 6 for size, stride in axes):
            blocks, full = zip(*((-(-size // 3), size // 3) for size in window.size), strict=True)
            return cls((1, 1), blocks, (3, 3), full)
        return None

    @property
    def count(self):
        return self.blocks[0] * self.blocks[1]

    @property
    @functools.lru_cache(1024)  # noqa: B019 (a tuple of a few numbers)
    def order(self):
        """(rows, columns) whole numbers: where the channels of each block stand, in the order above."""
        a, b = (
            index >= full for index, full in zip(np.indices(self.blocks), self.full, strict=True)
        )
        return np.argsort(np.argsort(np.where(b, 2 + a, 1 - a), axis=None, kind="stable")).reshape(
            self.blocks
        )

    def spans(self, channels, position=5):
        """36 slices of the folded channels: those whose filters are not zero at each position.

        Infinity, the last position, sees the third tap alone; position 0 does so in filters turned
        by 180 degrees.
        """
        latter = [n != position for n in range(6)]
        return _spans([channels * n for n in _quarters(self.full, self.blocks)], latter, latter)


PLAIN = Fold((1, 1), (1, 1), (1, 1), (1, 1))


class Tiles(NamedTuple):
    """A map of `size` cut into 4x4 tiles and, where it leaves a rest, narrower ones below and on
    the right of them.

    Four rectangles of equal tiles, in the order above: (top, left, down, across, high, wide).

    Images side by side on one sheet would save as much.  But a tile over two of them carries
    rounding errors from one to the other: what a strong unit leaves in the picture of a dead one,
    the display would scale to full contrast.
    """

    rectangles: tuple
    size: tuple

    @classmethod
    @functools.lru_cache(1024)
    def of(cls, size):
        rows, columns = ([(0, n // 4, 4), (n - n % 4, int(n % 4 > 0), n % 4)] for n in size)
        order = [
            (rows[1], columns[0]),
            (rows[0], columns[0]),
            (rows[0], columns[1]),
            (rows[1], columns[1]),
        ]
        return cls(
            tuple(tuple(n for pair in zip(*both, strict=True) for n in pair) for both in order),
            tuple(size),
        )

    @property
    def counts(self):
        return [down * across for _, _, down, across, _, _ in self.rectangles]

    @property
    @functools.lru_cache(1024)  # noqa: B019 (a tuple of a few numbers)
    def count(self):
        return sum(self.counts)

    @property
    @functools.lru_cache(1024)  # noqa: B019
    def table(self):
        """The rectangles as an array (4, 6)."""
        return np.array(self.rectangles)

    def spans(self, images):
        """36 slices of the tiles of some images: those that have each position."""
        has = [[n == 5 or n <= length % 4 for n in range(6)] for length in self.size]
        return _spans([images * count for count in self.counts], *has)


def _quarters(first, total):
    """How many of a grid of `total` = (rows, columns) are in each quarter, if the former ones are `first`."""
    (a, b), (rows, columns) = first, total
    return (rows - a) * b, a * b, a * (columns - b), (rows - a) * (columns - b)


def _spans(counts, latter_rows, latter_columns):
    """For each of the 36 positions the slice of what takes part there, of four quarters `counts` long.

    latter_rows, latter_columns: for each position along an axis, whether the latter take part; the
    former always do.
    """
    middle, end = counts[0] + counts[1], sum(counts)
    after = {
        (False, False): middle,
        (False, True): middle + counts[2],
        (True, False): middle,
        (True, True): end,
    }
    return [
        slice(0 if row else counts[0], after[row, column])
        for row in latter_rows
        for column in latter_columns
    ]


@functools.cache
def multiplications(how, size):
    """For one channel, one filter and one map of y of that size."""
    pairs = zip(Tiles.of(size).spans(1), how.spans(1), strict=True)
    return sum((tiles.stop - tiles.start) * (blocks.stop - blocks.start) for tiles, blocks in pairs)
