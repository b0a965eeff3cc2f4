"""Any image file -> uint8 (size, size, 3), and whole splits of them on all cores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ..errors import RawconvError
from ..files.messages import warn
from ..files.progress import progress_bar
from ..files.storage import room
from ..machine.threads import cut, once_a_process, thread_count
from .dataset import BUDGET, Split
from .image_file import decoding, open_image, reasons, why
from .levels import WHITE, Levels

if TYPE_CHECKING:
    from tqdm import tqdm

# behind transparent parts, and for a file that broke later: near the mean, so about 0 after
# subtracting it
GREY = 128
# pixels that change their mode at once: a large picture never lies in memory three times
STRIP = 1 << 18


def decode(file: BinaryIO, size: int, levels: Levels | None = None) -> np.ndarray:
    """Decode an image file (open, binary): uint8 (size, size, 3), upright, RGB, by `resize_center_crop`.

    levels: the Levels of images with more than 8 bits.  Unreadable, or an error of Pillow: it is no
    readable image.
    """
    with open_image(file, size) as image, decoding(image):
        # colours of 16 bits, which Pillow reads as 8
        deep = image.mode[0] != "I" and ";16" in str(image.tile)
        white = _white(image)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        pixels = resize_center_crop(rgb(image, levels, white), size)
    if deep and levels:
        levels.note_colours(pixels)
    return pixels


def _white(image: Any) -> int:
    """Return the largest value of an image with more than 8 bits, where the file states one: TIFF's
    BitsPerSample.
    """
    bits = image.tag_v2.get(258, (16,))[0] if image.format == "TIFF" else 16
    return (1 << bits) - 1 if 8 < bits < 16 else WHITE


def rgb(image: Image.Image, levels: Levels | None = None, white: int = WHITE) -> Image.Image:
    """Return any Pillow image as RGB or L: more than 8 bits by `levels`, transparent parts over mid-grey."""
    levels = levels or Levels()
    if image.mode[0] in "IF":
        return _in_strips(
            image, "L", lambda part: Image.fromarray(levels.to_bytes(np.asarray(part), white))
        )
    if image.has_transparency_data:
        return _in_strips(image, "RGB", _over_grey)
    if image.mode in ("L", "RGB"):
        return image
    return _in_strips(image, "L" if image.mode == "1" else "RGB", None)


def _over_grey(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, (GREY, GREY, GREY, 255)), image)


def _in_strips(
    image: Image.Image, mode: str, change: Callable[[Image.Image], Image.Image] | None
) -> Image.Image:
    """Return convert(change(strip), mode) of all strips of an image, so that large ones take little
    memory.
    """
    out, rows = Image.new(mode, image.size), max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        part = image.crop((0, top, image.width, min(top + rows, image.height)))
        out.paste((change(part) if change else part).convert(mode), (0, top))
    return out


def resize_center_crop(image: Image.Image, size: int) -> np.ndarray:
    """Resize the smallest side to `size` (bicubic, antialiased) and cut the centre out: uint8
    (size, size, 3).
    """
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    if side == size:  # nothing to resize: cut whole pixels, do not blur by half of one
        left, top = int(left), int(top)
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box).convert("RGB"))


@once_a_process
def pool() -> ThreadPoolExecutor:
    """Decoding threads of their own: reading ahead must not queue in front of the training step's blocks."""
    room()  # says in time what its variable may not be
    return ThreadPoolExecutor(thread_count(), "rawconv-decode")


def _attempt(
    make: Callable[[int], object],
    ids: Sequence[int] | np.ndarray,
    out: np.ndarray,
    bar: tqdm | None = None,
) -> list[tuple[int, str]]:
    """out[k] = make(ids[k]) on all threads, grey where that fails; return [(k, why)] of those that
    failed, in order.
    """

    def block(part: slice) -> list[tuple[int, str]]:
        failed = []
        for k in range(part.start, part.stop):
            try:
                out[k] = make(ids[k])
            except Exception as error:  # whatever a decoder stumbles over in a broken file
                out[k] = GREY
                failed.append((k, why(error)))
        return failed

    failed = []
    parts = cut(len(ids), 8)
    for part, some in zip(parts, pool().map(block, parts), strict=True):
        failed += some
        if bar is not None:
            bar.update(part.stop - part.start)
    return failed


def load_split(
    make: Callable[[int], np.ndarray],
    names: Sequence[str],
    labels: npt.ArrayLike,
    size: int,
    progress: bool,
    desc: str,
    check: Callable[[int], int] | None = None,
    levels: Levels | None = None,
) -> Split:
    """Return the split of the images make(i) -> uint8 (size, size, 3); those that fail are listed
    and left out.

    They are decoded once, into memory, if that takes at most BUDGET.  Else only check(i), if given,
    is called now (it returns 0, or raises for what is no image) and every read decodes again; what
    fails then is grey, and named once on stderr.  levels: the Levels that make() uses, whose advice
    is printed.
    """
    count, shape = len(names), (size, size, 3)
    in_memory = count * math.prod(shape) <= BUDGET
    attempt, pixels = (
        (make, np.empty((count, *shape), np.uint8))
        if in_memory
        else (check, np.empty(count, np.uint8))
    )
    failed, levels = [], levels or Levels()
    if attempt:
        with progress_bar(count, desc, show=progress) as bar:
            failed = _attempt(attempt, range(count), pixels, bar)
        _report(failed, names)
        levels.tell()
    kept = np.delete(np.arange(count), [k for k, _ in failed])
    labels, names = (
        np.asarray(labels, np.int64)[kept],
        [names[i] for i in kept.tolist()] if failed else names,
    )
    if not in_memory:
        return Split(_reader(make, kept, names, size, levels), labels, names, shape)
    for new, old in enumerate(kept if failed else ()):  # in place: a second copy might not fit
        pixels[new] = pixels[old]
    return Split(pixels[: len(kept)].__getitem__, labels, names, shape)


def _report(failed: list[tuple[int, str]], names: Sequence[str]) -> None:
    count, said = len(names), reasons((names[k], reason) for k, reason in failed)
    if len(failed) == count:
        raise RawconvError(
            f"none of {count} files can be read as a picture: {said}. Is this the right path?"
        )
    if failed:
        warn(f"{len(failed)} of {count} files are no readable pictures and were skipped: {said}.")


def _reader(
    make: Callable[[int], np.ndarray],
    kept: np.ndarray,
    names: Sequence[str],
    size: int,
    levels: Levels,
) -> Callable[[np.ndarray], np.ndarray]:
    told = set()

    def read(ids: np.ndarray) -> np.ndarray:
        out = np.empty((len(ids), size, size, 3), np.uint8)
        for k, reason in _attempt(make, kept[ids], out):
            if ids[k] not in told:
                told.add(ids[k])
                warn(
                    f"{names[ids[k]]} can no longer be read, it is {reason}; it is grey from now on."
                )
        levels.tell()
        return out

    return read
