"""uint8 images -> what a net takes: pixels in [0, 255] minus the mean, cropped; in training at
random and mirrored.

Every crop is (top, left, flip) in the coordinates of the stored image; pixels outside of it are 0.
Random ones come from Philox by sample id, so the crop of an image depends neither on its batch nor
on the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from ..layers.window import pair
from ..machine import philox
from ..machine.arrays import array_module
from ..machine.kernels import launch
from ..machine.numba_cache import loop
from ..machine.threads import pieces, run_ranges

if TYPE_CHECKING:
    from ..machine.arrays import Array
    from ..machine.philox import RngKey

Size = int | tuple[int, int]  # rows and columns
STREAM = 1_000_002  # of the random numbers; layers use small numbers
PAD = 4  # zeros around a picture that is stored as large as the net's input, so that it has crops


def prepare(
    images: Array,
    pixel_mean: Array,
    size: Size,
    rng_key: RngKey | None = None,
    crop: str = "pad4",
    dtype: DTypeLike = np.float32,
) -> Array:
    """(images - pixel_mean), cropped: (n, *size, 3), on the device of the images.

    images: uint8 (n, H, W, 3).  pixel_mean: (H, W, 3) or (3,).  size: rows and columns, or one
    number for both.
    rng_key: None crops the centre; (seed, epoch, sample ids) crops for training:
    crop: "pad4" is a random crop out of the image with 4 zeros around it, mirrored at random;
    "random" a random crop inside the image, mirrored at random (Krizhevsky 2012);
    "ten" one of the ten crops of `ten_views` (Zeiler & Fergus 2013, section 3).
    ValueError: the images are smaller than a crop, or there is no such crop.
    """
    (height, width), sides = images.shape[1:3], pair(size)
    if rng_key is None:
        down, across = _slack(height, width, sides)
        positions = np.tile((down // 2, across // 2, 0), (len(images), 1))
    else:
        positions = _random_crops(rng_key, height, width, sides, crop)
    return _crop(images, np.arange(len(images)), positions, pixel_mean, sides, dtype)


def ten_views(images: Array, pixel_mean: Array, size: Size, dtype: DTypeLike = np.float32) -> Array:
    """Crop four corners and the centre, and mirror these: (10*n, *size, 3), image i in rows 10*i .. 10*i+9.

    An image as large as a crop has only one: it gets 4 zeros around (image - pixel_mean) first, as
    in training.
    """
    (height, width), sides = images.shape[1:3], pair(size)
    positions = _ten_crops(height, width, sides)
    rows = np.repeat(np.arange(len(images)), 10)
    return _crop(images, rows, np.tile(positions, (len(images), 1)), pixel_mean, sides, dtype)


def _slack(height: int, width: int, size: tuple[int, int], pad: int = 0) -> tuple[int, int]:
    """Return by how many pixels a crop of `size` can move down and to the right."""
    down, across = height + 2 * pad - size[0], width + 2 * pad - size[1]
    if min(down, across) < 0:
        wanted = f"{size[0]}x{size[1]}"
        raise ValueError(
            f"a crop of {wanted} pixels does not fit pictures of {height}x{width}; open them larger."
        )
    return down, across


def _ten_crops(height: int, width: int, size: tuple[int, int]) -> np.ndarray:
    """(10, 3): top, left, flip."""
    pad = PAD if (height, width) == size else 0
    down, across = _slack(height, width, size, pad)
    five = [(0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)]
    return np.array([(top, left, flip) for flip in (0, 1) for top, left in five]) - (pad, pad, 0)


def _random_crops(
    rng_key: RngKey, height: int, width: int, size: tuple[int, int], crop: str
) -> np.ndarray:
    """Return (n, 3): top, left, flip.  A random word w stands for the whole number floor(w * k /
    2**32) below k.
    """
    words = philox.words(rng_key, STREAM, 3).astype(np.uint64)
    if crop == "ten":
        return _ten_crops(height, width, size)[(words[:, 0] * np.uint64(10)) >> np.uint64(32)]
    if crop not in ("pad4", "random"):
        raise ValueError(f"no such crop: {crop!r}; there are pad4, random and ten.")
    pad = PAD if crop == "pad4" else 0
    down, across = _slack(height, width, size, pad)
    positions = (words * np.array([down + 1, across + 1, 2], np.uint64)) >> np.uint64(32)
    return positions.astype(np.int64) - (pad, pad, 0)


def _crop(
    images: Array,
    rows: np.ndarray,
    positions: np.ndarray,
    pixel_mean: Array,
    size: tuple[int, int],
    dtype: DTypeLike,
) -> Array:
    """y[i] = the crop positions[i] of (images[rows[i]] - pixel_mean), 0 outside the image."""
    xp = array_module(images)
    images = xp.ascontiguousarray(images)
    pixel_mean = xp.ascontiguousarray(
        xp.broadcast_to(xp.asarray(pixel_mean, dtype), images.shape[1:])
    )
    y = xp.empty((len(rows), *size, images.shape[3]), dtype)
    if xp is np:
        arguments = images, rows, positions, pixel_mean, y
        run_ranges(crops, len(rows), pieces(len(rows), 16), arguments, y.size)
    else:
        places = xp.asarray(np.column_stack([rows, positions]).astype(np.int64))
        launch(CU, "crops", y.size, images, places, pixel_mean, y, *images.shape[1:], *size)
    return y


CU = __file__.replace("augment.py", "augment.cu")


@loop
def crops(
    first: Any,
    last: Any,
    thread: Any,
    images: Any,
    rows: Any,
    positions: Any,
    pixel_mean: Any,
    y: Any,
) -> None:
    (rows_of_crop, size), (height, width) = y.shape[1:3], pixel_mean.shape[:2]
    for i in range(first, last):
        top, left, flip = positions[i]
        # the columns of the crop that the picture has
        first = min(size, max(0, -left))
        last = max(first, min(size, width - left))
        for v in range(rows_of_crop):
            row = y[i, v]
            if not 0 <= top + v < height:
                row[:] = 0
                continue
            row[:first] = 0
            row[last:] = 0
            pixels = images[rows[i], top + v, left + first : left + last].reshape(-1)
            mean_row, values = (
                pixel_mean[top + v, left + first : left + last].reshape(-1),
                row[first:last].reshape(-1),
            )
            for k in range(len(values)):  # in one row of numbers, which vectorises
                values[k] = pixels[k] - mean_row[k]
            if flip:
                for u in range(size // 2):
                    for c in range(row.shape[1]):
                        row[u, c], row[size - 1 - u, c] = row[size - 1 - u, c], row[u, c]
