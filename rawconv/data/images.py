"""What a user passes as an image -> a stored image, uint8 (S, S, 3): the smallest side resized, the
centre cut out.

    stored_image("cat.jpg", 64)                        one: a path, a Pillow image, or a uint8 array
    stored_batch([a, b], 64)                           (N, S, S, 3): an array (N, H, W, C), or several such images

A uint8 array is (H, W, 3) RGB, (H, W) grey or (H, W, 4) RGB with opacity.  Anything else is a
UsageError, a sentence that says how to mend it: 0.5 in a float array may be half of white, or
nearly black.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RawconvError, UsageError
from ..files.messages import shape_text
from ..machine.arrays import to_cpu

if TYPE_CHECKING:
    from PIL import Image

    from .dataset import Split
    from .levels import Levels

    ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray
    ImagesLike = ImageLike | Sequence[ImageLike]

KINDS = "a picture is a path, a Pillow picture or a uint8 array (H, W, 3), (H, W) or (H, W, 4)"


# ---------------------------------------------------------------------------------------------- pictures


def is_batch(images: Any) -> bool:
    """Whether several images are meant: an array (N, H, W, C), or a list or tuple."""
    return isinstance(images, (list, tuple)) or (_is_array(images) and images.ndim == 4)


def stored_image(image: ImageLike, size: int) -> np.ndarray:
    """Resize the smallest side of an image to `size` and cut out its centre: uint8 (size, size, 3).

    UsageError: it is no image, or a path that does not exist.  RawconvError: a file that is no image.
    """
    from PIL import Image

    from .decode import resize_center_crop, rgb

    if isinstance(image, (str, os.PathLike)):
        return read(image, size)
    if isinstance(image, Image.Image):
        return _from_image(image, size)
    if not _is_array(image):
        raise UsageError(f"{_what(image)} is no picture: {KINDS}{_remedy(image)}.")
    array = to_cpu(image)
    if trouble := _trouble(array):
        raise UsageError(f"{trouble}.")
    if array.shape == (size, size, 3):
        return array
    return resize_center_crop(
        rgb(Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)), size
    )


def stored_batch(images: ImagesLike, size: int) -> np.ndarray:
    """Do the same with one image or several: uint8 (N, size, size, 3)."""
    batch: Any = images
    if not is_batch(batch):
        return stored_image(batch, size)[None]
    if not len(batch):
        raise UsageError("There are no pictures in this batch; give one at least.")
    if (
        isinstance(batch, (list, tuple))
        and not isinstance(batch[0], (str, os.PathLike))
        and not _is_pixels(batch[0])
    ):
        raise UsageError(
            f"{_what(batch)} of {_what(batch[0], '')} is no batch: {KINDS}{_remedy(batch)}."
        )
    if _is_array(batch) and (trouble := _trouble(batch[0])):
        raise UsageError(f"{trouble}.")
    return np.stack([stored_image(image, size) for image in batch])


def check_count(number: object, name: str) -> None:
    """UsageError: what the user passes as `name` is not a whole number from 1 on."""
    if not isinstance(number, (int, np.integer)) or number < 1:
        raise UsageError(f"{name} is {number!r}; give a whole number from 1 on.")


def read(path: str | os.PathLike[str], size: int, levels: Levels | None = None) -> np.ndarray:
    """Read an image file: uint8 (size, size, 3).  UsageError: no such file.  RawconvError: it is no
    readable image.

    levels: the data.levels.Levels of an image with more than 8 bits.
    """
    from ..files.storage import open_regular
    from .decode import decode

    path = os.path.expanduser(path) if not os.path.exists(path) else path
    if not os.path.exists(path):
        raise UsageError(f"There is no picture {path}.")
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder; name the pictures in it.")
    try:
        with open_regular(path) as file:
            return decode(file, size, levels)
    except UsageError:
        raise
    except Exception as error:  # the file's, or whatever a decoder stumbles over in a broken one
        raise RawconvError(_unreadable(path, error)) from error


def decoded(content: bytes, size: int, name: str) -> np.ndarray:
    """Read the content of an image file, which nobody need trust: uint8 (size, size, 3).

    name: what a message calls it.  RawconvError: it is no readable image.
    """
    import io

    from .decode import decode

    try:
        return decode(io.BytesIO(content), size)
    except Exception as error:  # whatever a decoder stumbles over in a broken one
        raise RawconvError(_unreadable(name, error)) from error


def _unreadable(path: str | os.PathLike[str], error: Exception) -> str:
    from .image_file import why

    if isinstance(error, OSError) and error.errno:
        return f"{path} cannot be read ({error.strerror})."
    return f"{path} is not a picture that can be read: it is {why(error)}; give a JPEG, PNG or the like."


def _from_image(image: Image.Image, size: int) -> np.ndarray:
    from PIL import ImageOps

    from .decode import resize_center_crop, rgb
    from .image_file import why

    if not all(image.size):
        raise UsageError("This picture has no pixels; give one of at least 1x1.")
    try:
        return resize_center_crop(rgb(ImageOps.exif_transpose(image)), size)
    except (
        ValueError,
        OSError,
    ) as error:  # a mode without a rule, or a file that breaks as its pixels are loaded
        raise UsageError(
            f"This Pillow picture cannot be used, it is {why(error)}; convert it first: picture.convert('RGB')."
        ) from error


# ---------------------------------------------------------------------------------------------- what is wrong


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "__cuda_array_interface__")


def _is_pixels(value: Any) -> bool:
    from PIL import Image

    return isinstance(value, Image.Image) or _is_array(value)


def _what(value: Any, article: str = "A") -> str:
    name = type(value).__name__
    if article == "A" and name[0].lower() in "aeiou":
        article = "An"
    return f"{article} {name}".strip()


def _remedy(value: Any) -> str:
    """Return what to write instead of a list of numbers, or of another library's array."""
    if isinstance(value, (list, tuple)):
        return "; make it one by numpy.array(picture, numpy.uint8)"
    return "; make it one by numpy.asarray(picture)" if hasattr(value, "__array__") else ""


def _trouble(array: Any) -> str | None:
    """Return why an array is no image, and what to write instead; None where it is one."""
    shape = shape_text(array.shape) or "no"
    if array.dtype != np.uint8:
        return f"A picture is uint8 from 0 to 255, not {array.dtype}: {_as_uint8(array)}"
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        return (
            f"A picture of shape {shape} has its channels first: write picture.transpose(1, 2, 0)"
        )
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (3,), (4,)):
        return f"An array of shape {shape} is no picture: {KINDS}"
    if not array.size:
        return f"A picture of shape {shape} has no pixels; give one of at least 1x1"
    if array.max() == 1:
        return (
            "A picture's white is 255, and no value of this one is above 1: write "
            "numpy.uint8(numpy.rint(255.0 * picture)) of the picture in [0, 1] that it was made of"
        )
    return None


def _as_uint8(array: Any) -> str:
    """Return what to write where the values look like pixels of another type."""
    kind = array.dtype.kind
    if kind not in "fiub":
        return KINDS
    low, high = _range(array)
    if not np.isfinite([low, high]).all():
        return "its values are not all numbers"
    if low < 0:
        return _scale(low, high)
    if kind in "bf" and high <= 1:
        return "write numpy.uint8(numpy.rint(255.0 * picture)) where 1 is white"
    if kind in "iu" and 255 < high < 65536:
        return "write numpy.uint8(picture // 257) where 65535 is white"
    return (
        "write numpy.uint8(numpy.rint(picture)) where 255 is white"
        if high <= 255
        else _scale(low, high)
    )


def _range(array: np.ndarray) -> tuple[float, float]:
    return (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)


def _scale(low: float, high: float) -> str:
    return f"its values go from {low:g} to {high:g}, so bring them to 0 for black and 255 for white first"


# ---------------------------------------------------------------------------------------------- many


def split_of(images: Split | ImagesLike, size: int) -> Split:
    """Return what a scan goes through: a split, a data set's name or folder (its validation
    images), one image or more.

    UsageError: it is a whole DataSet, or no image.
    """
    from . import open_data
    from .dataset import DataSet, Split

    if isinstance(images, Split):
        return images
    if isinstance(images, DataSet):
        raise UsageError("A scan takes one split of a data set: data.val or data.train.")
    if isinstance(images, (str, os.PathLike)) and not _is_image_file(images):
        return open_data(os.fspath(images), size).val
    stored = stored_batch(images, size)
    several: Any = images if is_batch(images) else [images]
    names = [
        str(image) if isinstance(image, (str, os.PathLike)) else f"picture {k}"
        for k, image in enumerate(several)
    ]
    return Split(stored.__getitem__, np.full(len(stored), -1), names, stored.shape[1:])


def _is_image_file(path: str | os.PathLike[str]) -> bool:
    from ..files.storage import open_regular
    from .image_file import Unreadable, open_image

    try:
        with open_regular(os.path.expanduser(path)) as file, open_image(file, 64):
            return True
    except Unreadable:  # too large, or broken: a picture all the same
        return True
    except Exception:  # no file, a folder, a packed data set, a zip
        return False
