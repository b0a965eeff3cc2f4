"""What a user brings -> stored pictures, uint8 (S, S, 3): the smallest side resized, the centre cut out.

    stored_image("cat.jpg", 64)                              one: a path, a Pillow picture, or a uint8 array
    stored_batch([a, b], 64)                           (N, S, S, 3): an array (N, H, W, C), or several such pictures

A uint8 array is (H, W, 3) RGB, (H, W) grey or (H, W, 4) RGB with opacity.  Anything else is a UsageError, a sentence
that says how to mend it: 0.5 in a float array may be half of white, or nearly black.
"""

from __future__ import annotations

import os
import typing

import numpy as np

from ..errors import RawconvError, UsageError
from ..machine.arrays import to_cpu

if typing.TYPE_CHECKING:
    from PIL import Image

    from .dataset import Split

    Picture = str | os.PathLike | Image.Image | np.ndarray
    Batch = Picture | typing.Sequence[Picture]

KINDS = "a picture is a path, a Pillow picture or a uint8 array (H, W, 3), (H, W) or (H, W, 4)"


# ---------------------------------------------------------------------------------------------- pictures


def is_batch(given) -> bool:
    """Whether several pictures are meant: an array (N, H, W, C), or a list or tuple."""
    return isinstance(given, (list, tuple)) or (_is_array(given) and given.ndim == 4)


def stored_image(given: Picture, size: int) -> np.ndarray:
    """One picture as a data set of `size` x `size` pixels keeps it.  RawconvError: the file at a path is none."""
    from PIL import Image

    from .decode import resize_center_crop, rgb

    if isinstance(given, (str, os.PathLike)):
        return read(given, size)
    if isinstance(given, Image.Image):
        return _from_image(given, size)
    if not _is_array(given):
        raise UsageError(f"{_what(given)} is no picture: {KINDS}{_remedy(given)}.")
    array = to_cpu(given)
    if trouble := _trouble(array):
        raise UsageError(f"{trouble}.")
    if array.shape == (size, size, 3):
        return array
    return resize_center_crop(rgb(Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)), size)


def stored_batch(given: Batch, size: int) -> np.ndarray:
    """One picture or several, (N, S, S, 3)."""
    if not is_batch(given):
        return stored_image(given, size)[None]
    if not len(given):
        raise UsageError("There are no pictures in this batch; give one at least.")
    if isinstance(given, (list, tuple)) and not isinstance(given[0], (str, os.PathLike)) and not _is_picture(given[0]):
        raise UsageError(f"{_what(given)} of {_what(given[0], '')} is no batch: {KINDS}{_remedy(given)}.")
    if _is_array(given) and (trouble := _trouble(given[0])):
        raise UsageError(f"{trouble}.")
    return np.stack([stored_image(one, size) for one in given])


def check_count(number, name: str) -> None:
    """UsageError where what a user gives as `name` is no whole number from 1 on."""
    if not isinstance(number, (int, np.integer)) or number < 1:
        raise UsageError(f"{name} is {number!r}; give a whole number from 1 on.")


def read(path, size: int, levels=None) -> np.ndarray:
    """The picture in a file.  UsageError: no such file.  RawconvError: it cannot be read, or is no picture.

    levels: the data.levels.Levels of a picture with more than 8 bits.
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


def _unreadable(path, error):
    from .picture_file import why

    if isinstance(error, OSError) and error.errno:
        return f"{path} cannot be read ({error.strerror})."
    return f"{path} is not a picture that can be read: it is {why(error)}; give a JPEG, PNG or the like."


def _from_image(image, size):
    from PIL import ImageOps

    from .decode import resize_center_crop, rgb
    from .picture_file import why

    if not all(image.size):
        raise UsageError("This picture has no pixels; give one of at least 1x1.")
    try:
        return resize_center_crop(rgb(ImageOps.exif_transpose(image)), size)
    except (ValueError, OSError) as error:  # a mode without a rule, or a file that breaks as its pixels are loaded
        raise UsageError(
            f"This Pillow picture cannot be used, it is {why(error)}; convert it first: picture.convert('RGB')."
        ) from error


# ---------------------------------------------------------------------------------------------- what is wrong


def _is_array(given):
    return isinstance(given, np.ndarray) or hasattr(given, "__cuda_array_interface__")


def _is_picture(given):
    from PIL import Image

    return isinstance(given, Image.Image) or _is_array(given)


def _what(given, article="A"):
    name = type(given).__name__
    if article == "A" and name[0].lower() in "aeiou":
        article = "An"
    return f"{article} {name}".strip()


def _remedy(given):
    """What to write instead of a list of numbers, or of another library's array."""
    if isinstance(given, (list, tuple)):
        return "; make it one by numpy.array(picture, numpy.uint8)"
    return "; make it one by numpy.asarray(picture)" if hasattr(given, "__array__") else ""


def _trouble(array):
    """Why an array is no picture, and what to write instead; None where it is one."""
    shape = "x".join(map(str, array.shape)) or "no"
    if array.dtype != np.uint8:
        return f"A picture is uint8 from 0 to 255, not {array.dtype}: {_as_uint8(array)}"
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        return f"A picture of shape {shape} has its channels first: write picture.transpose(1, 2, 0)"
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (3,), (4,)):
        return f"An array of shape {shape} is no picture: {KINDS}"
    return None if array.size else f"A picture of shape {shape} has no pixels; give one of at least 1x1"


def _as_uint8(array):
    """What to write where the values look like pixels of another type."""
    kind = array.dtype.kind
    if kind not in "fiub":
        return KINDS
    low, high = (float(array.min()), float(array.max())) if array.size else (0, 0)
    if kind == "b" or (kind == "f" and low >= 0 and high <= 1):
        return "write numpy.uint8(numpy.rint(255.0 * picture)) where 1 is white"
    if kind in "iu" and 255 < high < 65536 and low >= 0:
        return "write numpy.uint8(picture // 257) where 65535 is white"
    if not np.isfinite([low, high]).all():
        return "its values are not all numbers"
    if low >= 0 and high <= 255:
        return "write numpy.uint8(numpy.rint(picture)) where 255 is white"
    return f"its values go from {low:g} to {high:g}, so bring them to 0 for black and 255 for white first"


# ---------------------------------------------------------------------------------------------- many


def split_of(given, size: int) -> Split:
    """What a scan goes through: a split, a data set's name or folder (its validation pictures), one picture or more."""
    from . import open_data
    from .dataset import DataSet, Split

    if isinstance(given, Split):
        return given
    if isinstance(given, DataSet):
        raise UsageError("A scan takes one split of a data set: data.val or data.train.")
    if isinstance(given, (str, os.PathLike)) and not _is_picture_file(given):
        return open_data(os.fspath(given), size).val
    pictures = stored_batch(given, size)
    names = [str(one) if isinstance(one, (str, os.PathLike)) else f"picture {k}" for k, one in
             enumerate(given if is_batch(given) else [given])]  # fmt: skip
    return Split(pictures.__getitem__, np.full(len(pictures), -1), names, pictures.shape[1:])


def _is_picture_file(path):
    from ..files.storage import open_regular
    from .picture_file import Unreadable, open_picture

    try:
        with open_regular(os.path.expanduser(path)) as file, open_picture(file, 64):
            return True
    except Unreadable:  # too large, or broken: a picture all the same
        return True
    except Exception:  # no file, a folder, a packed data set, a zip
        return False
