"""uint8 pictures -> what a net sees: pixels in [0, 255] minus the mean, cropped, in training at random and mirrored.

Every crop is (top, left, flip) in the coordinates of the stored picture; what lies outside of it is 0.  Random ones
come from Philox by sample id, so a picture's crop depends neither on its batch nor on the device.
"""

import numpy as np

from ..machine import philox
from ..machine.arrays import array_module
from ..machine.kernels import launch
from ..machine.numba_cache import loop
from ..machine.threads import cut, run_blocks

STREAM = 1_000_002  # of the random numbers; layers use small numbers
PAD = 4  # zeros around a picture that is stored as large as the net's input, so that it has crops


def prepare(pictures, mean, size, rng_key=None, crop="pad4", dtype=np.float32):
    """pictures (n, H, W, 3) uint8 minus mean, (H, W, 3) or (3,), cropped: (n, size, size, 3), on the same device.

    rng_key=None: the centre.  rng_key=(seed, epoch, sample ids), for training:
    crop="pad4": zeros 4 wide around picture minus mean, a random crop, mirrored at random;
    crop="random": a random crop inside the picture, mirrored at random (Krizhevsky 2012);
    crop="ten": one of the ten crops of `ten_views` (Zeiler & Fergus 2013, section 3).
    """
    height, width = pictures.shape[1:3]
    if rng_key is None:
        down, across = _room(height, width, size)
        places = np.tile((down // 2, across // 2, 0), (len(pictures), 1))
    else:
        places = _random_places(rng_key, height, width, size, crop)
    return _cut(pictures, np.arange(len(pictures)), places, mean, size, dtype)


def ten_views(pictures, mean, size, dtype=np.float32):
    """Four corners and the centre, then the same mirrored: (10*n, size, size, 3), picture i in rows 10*i .. 10*i+9.

    Pictures of the very size of a crop have but one: they get zeros 4 wide around picture minus mean, as in training.
    """
    places = _ten_places(*pictures.shape[1:3], size)
    rows = np.repeat(np.arange(len(pictures)), 10)
    return _cut(pictures, rows, np.tile(places, (len(pictures), 1)), mean, size, dtype)


def _room(height, width, size, pad=0):
    """How many places down and across a crop of `size` has, less one."""
    down, across = height + 2 * pad - size, width + 2 * pad - size
    if min(down, across) < 0:
        raise ValueError(f"a crop of {size} pixels does not fit pictures of {height}x{width}; open them larger.")
    return down, across


def _ten_places(height, width, size):
    """(10, 3): top, left, flip."""
    pad = PAD if height == width == size else 0
    down, across = _room(height, width, size, pad)
    five = [(0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)]
    return np.array([(top, left, flip) for flip in (0, 1) for top, left in five]) - (pad, pad, 0)


def _random_places(rng_key, height, width, size, crop):
    """(n, 3): top, left, flip; the word w stands for the whole number floor(w * k / 2**32) below k."""
    words = philox.words(rng_key, STREAM, 3).astype(np.uint64)
    if crop == "ten":
        return _ten_places(height, width, size)[(words[:, 0] * np.uint64(10)) >> np.uint64(32)]
    if crop not in ("pad4", "random"):
        raise ValueError(f"no such crop: {crop!r}; there are pad4, random and ten.")
    pad = PAD if crop == "pad4" else 0
    down, across = _room(height, width, size, pad)
    places = (words * np.array([down + 1, across + 1, 2], np.uint64)) >> np.uint64(32)
    return places.astype(np.int64) - (pad, pad, 0)


def _cut(pictures, rows, places, mean, size, dtype):
    """y[i] = the crop places[i] of (pictures[rows[i]] - mean), 0 outside the picture."""
    xp = array_module(pictures)
    pictures = xp.ascontiguousarray(pictures)
    mean = xp.ascontiguousarray(xp.broadcast_to(xp.asarray(mean, dtype), pictures.shape[1:]))
    y = xp.empty((len(rows), size, size, pictures.shape[3]), dtype)
    if xp is np:
        run_blocks(lambda part: crops(pictures, rows[part], places[part], mean, y[part]), cut(len(rows), 16))
    else:
        chosen = (xp.asarray(rows, np.int64), xp.asarray(places, np.int64))
        launch(CU, "crops", y.size, pictures, *chosen, mean, y, *pictures.shape[1:], size)
    return y


CU = __file__.replace("augment.py", "augment.cu")


@loop
def crops(pictures, rows, places, mean, y):
    size, (height, width) = y.shape[1], mean.shape[:2]
    for i in range(len(y)):
        top, left, flip = places[i]
        first, last = max(0, -left), min(size, width - left)  # the columns of the crop that the picture has
        for v in range(size):
            row = y[i, v]
            if not 0 <= top + v < height:
                row[:] = 0
                continue
            row[:first] = 0
            row[last:] = 0
            pixels = pictures[rows[i], top + v, left + first : left + last].reshape(-1)
            level, seen = mean[top + v, left + first : left + last].reshape(-1), row[first:last].reshape(-1)
            for k in range(len(seen)):  # in one row of numbers, which vectorises
                seen[k] = pixels[k] - level[k]
            if flip:
                for u in range(size // 2):
                    for c in range(row.shape[1]):
                        row[u, c], row[size - 1 - u, c] = row[size - 1 - u, c], row[u, c]
