"""Images on their way into a given net: stored at the size of its data set, cropped, minus its mean.

stored = stored_image(net, "cat.jpg")           uint8 (S, S, 3), as a data set would store it
x = preprocess(net, stored[None])               (1, H, W, 3), what net.forward takes
center_crop(net, stored[None])                  uint8 (1, H, W, 3), the same pixels, for a figure
"""

from __future__ import annotations

import types
import typing

import numpy as np

from ..errors import UsageError
from ..machine.arrays import Array, array_module
from ..net import Net
from .images import stored_image as from_anything

if typing.TYPE_CHECKING:
    from .images import ImageLike


def net_module(net: Net) -> types.ModuleType:
    """Return numpy or cupy: where the parameters of the net are."""
    return next((array_module(value) for value in net.params.values()), np)


def stored_size(net: Net) -> int:
    """Return the rows, which are the columns too, of an image as data sets store it for this net.

    UsageError: `net` is not a Net, but its path, perhaps.
    """
    if not isinstance(net, Net):
        raise UsageError(
            f"{net!r} is no net; rawconv.load makes one of a checkpoint's path, rawconv.build a new one."
        )
    return net.stored[0]


def stored_image(net: Net, image: ImageLike) -> np.ndarray:
    """Resize the smaller side of an image and cut out its centre, as a data set would store it:
    uint8 (S, S, 3).

    image: a path, a Pillow image or a uint8 array; see images.py for the errors.
    """
    return from_anything(image, stored_size(net))


def preprocess(net: Net, images: np.ndarray) -> Array:
    """Subtract the mean from stored images, uint8 (N, S, S, 3), and cut out their centres: (N, H,
    W, 3), on the net's device and of its dtype, as net.forward takes them."""
    from .augment import prepare

    return prepare(net_module(net).asarray(images), net.pixel_mean, net.shape[:2], dtype=net.dtype)


def center_crop(net: Net, images: np.ndarray) -> np.ndarray:
    """Cut the part that the net sees out of stored images, uint8 (N, S, S, 3): uint8 (N, H, W, 3)."""
    top, left = (
        (have - want) // 2 for have, want in zip(images.shape[1:3], net.shape[:2], strict=True)
    )
    return images[:, top : top + net.shape[0], left : left + net.shape[1]]
