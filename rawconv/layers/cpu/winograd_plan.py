"""How Winograd computes a convolution, by its shapes alone: what is worked out once for each."""

import functools
from typing import NamedTuple

import numpy as np

from ...machine.threads import WORTH_SHARING, cut, scratch
from .products import PRODUCTS
from .winograd_filters import whole
from .winograd_positions import PLAIN, Tiles

# of the transformed tiles, in and out, of images that go all the way together: about the second cache
CHUNK_BYTES = 1 << 20
# of those of a part, whose images take each step together: at least and at most, and between these
# twice as much as the transformed filters, which each part brings into the cache again
PART_BYTES, MOST_BYTES = 2 << 20, 64 << 20
BLOCK = 300_000  # nanoseconds, about, of what one call computes


class Way(NamedTuple):
    """From a map to tiles, or from tiles to a map; see images_in and images_out."""

    shape: tuple  # of a folded image; nothing where a map that comes out is not unfolded
    order: np.ndarray
    geometry: tuple

    def room(self, name, dtype):
        """The same with scratch of that name in place of the shape."""
        return scratch(name, self.shape, dtype), self.order, self.geometry


class Plan(NamedTuple):
    """How a convolution is computed.

    way_in, way_out, way_gradients: of what goes in, what comes out, and the gradients of this.
    tiles: of the map that comes out, before it is unfolded.
    channels, filters: of the folded maps, whole vectors.
    spans: (36, 6), see products.py, for one image.
    products, transforms: nanoseconds of one image, about.
    """

    way_in: Way
    way_out: Way
    way_gradients: Way
    tiles: Tiles
    channels: int
    filters: int
    spans: np.ndarray
    products: float
    transforms: float

    def parts(self, x):
        """Slices of the images whose tiles are there at once."""
        filters = 36 * self.channels * self.filters * x.itemsize
        most = min(MOST_BYTES, max(PART_BYTES, 2 * filters))
        return cut(len(x), max(1, most // self.image_bytes(x)))

    def chunk(self, x):
        """How many images have their tiles in the second cache at once."""
        return max(1, CHUNK_BYTES // self.image_bytes(x))

    def image_bytes(self, x):
        """Of the transformed tiles of one image, in and out, at least 1."""
        return max(1, 36 * self.tiles.count * (self.channels + self.filters) * x.itemsize)

    def spans_of(self, part):
        """The spans for these images."""
        spans = self.spans.copy()
        spans[:, :2] *= part.stop - part.start
        return spans


def blocks(images, nanoseconds, step=1):
    """(slices of the images, whole steps, each worth a call; nanoseconds of them all), of so many for one."""
    if images * nanoseconds < WORTH_SHARING:
        return [slice(0, images)], images * nanoseconds
    return cut(images, max(1, round(BLOCK / nanoseconds / step)) * step), images * nanoseconds


@functools.lru_cache(1024)
def plan(fold, pad, unfold, out_pad, size, channels, filters):
    """The Plan.

    fold, pad: of what goes in.  unfold, out_pad: of what comes out, PLAIN and zeros where that is y itself.
    size: (rows, columns) of y.  channels, filters: of x and y as they are.
    """
    tiles = Tiles.of(
        tuple(-(-(n + p) // s) for n, p, s in zip(size, out_pad, unfold.stride, strict=True))
    )
    all_in, all_out = whole(fold.count * channels), whole(unfold.count * filters)
    given = PLAIN.spans(all_out) if unfold == PLAIN else unfold.spans(filters, position=0)
    parts = zip(tiles.spans(1), fold.spans(channels), given, strict=True)
    spans = np.array([[n for part in three for n in (part.start, part.stop)] for three in parts])
    covered = tuple(4 * -(-n // 4) for n in tiles.size)
    overlapping = tuple(n + 2 for n in covered)
    as_it_is = unfold == PLAIN and filters == all_out
    return Plan(
        Way((*overlapping, all_in), fold.order, (*fold.stride, *fold.apart, *pad)),
        Way((0, 0, 0) if as_it_is else (*tiles.size, all_out), unfold.order, (*unfold.stride, *out_pad)),
        Way((*covered, all_out), PLAIN.order, (*PLAIN.stride, *PLAIN.apart, 0, 0)),
        tiles, all_in, all_out, spans,
        float((spans[:, 1::2] - spans[:, ::2]).prod(axis=1).sum() / PRODUCTS),
        10.0 * tiles.count * (all_in + all_out),
    )  # fmt: skip
