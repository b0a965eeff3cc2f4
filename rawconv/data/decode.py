"""Any picture file -> uint8 (size, size, 3), and whole splits of them on all cores."""

import math
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from ..errors import RawconvError
from ..messages import warn
from ..threads import cut, once_a_process, thread_count
from . import BUDGET, Split

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000")  # no EPS: it would start Ghostscript
GREY = 128  # behind transparent parts, and for a file that broke later: near the mean, so about 0 after subtracting it

warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # damaged EXIF blocks, once per picture


def decode(file, size):
    """One picture file (open, binary) as uint8 (size, size, 3): upright, RGB, resized and cut by `fit`."""
    with Image.open(file, formats=FORMATS) as image:
        image.draft(None, (2 * size, 2 * size))  # a large JPEG: let libjpeg scale down to no less than this
        image.load()
        return fit(rgb(ImageOps.exif_transpose(image)), size)


def rgb(image):
    """Any Pillow picture as RGB: grey three times, 16 bits scaled to 8, transparent parts over mid-grey."""
    if image.mode == "F":
        raise ValueError("floating-point pixels: which value is white?")
    if image.mode.startswith("I"):
        image = Image.fromarray(((np.asarray(image).astype(np.int64).clip(0, 65535) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (GREY, GREY, GREY, 255)), image)
    return image.convert("RGB")


def fit(image, size):
    """The smallest side resized to `size` (bicubic, antialiased), the centre cut out: uint8 (size, size, 3)."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    if side == size:  # nothing to resize: cut whole pixels, do not blur by half of one
        left, top = int(left), int(top)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side)))


@once_a_process
def pool():
    """Decoding threads of their own: reading ahead must not queue in front of the training step's blocks."""
    Image.init()
    return ThreadPoolExecutor(thread_count(), "rawconv-decode")


def _attempt(make, ids, out, bar):
    """out[k] = make(ids[k]) in parallel, grey where that fails; returns the k's that failed, in order."""

    def block(part):
        failed = []
        for k in range(part.start, part.stop):
            try:
                out[k] = make(ids[k])
            except Exception:  # whatever a decoder stumbles over in a broken file
                out[k] = GREY
                failed.append(k)
        return failed

    failed = []
    parts = cut(len(ids), 8)
    for part, some in zip(parts, pool().map(block, parts), strict=True):
        failed += some
        bar.update(part.stop - part.start)
    return failed


def load_split(make, names, labels, size, progress, desc, check=None):
    """The split of the pictures make(i) -> uint8 (size, size, 3); those that fail are listed and left out.

    Decoded once into memory if that stays inside BUDGET.  Else only check(i), if given, is tried now (it returns 0, or
    raises for what is no picture) and every read decodes anew; what fails then is grey, and named once on stderr.
    """
    count, shape = len(names), (size, size, 3)
    in_memory = count * math.prod(shape) <= BUDGET
    attempt, pixels = (make, np.empty((count, *shape), np.uint8)) if in_memory else (check, np.empty(count, np.uint8))
    failed = []
    if attempt:
        with tqdm(total=count, desc=desc, delay=1, leave=False, disable=None if progress else True) as bar:
            failed = _attempt(attempt, range(count), pixels, bar)
        _report(failed, names)
    kept = np.delete(np.arange(count), failed)
    labels, names = np.asarray(labels, np.int64)[kept], [names[i] for i in kept] if failed else names
    if not in_memory:
        return Split(_reader(make, kept, names, size), labels, names, shape)
    for new, old in enumerate(kept if failed else ()):  # in place: a second copy might not fit
        pixels[new] = pixels[old]
    return Split(pixels[: len(kept)].__getitem__, labels, names, shape)


def _report(failed, names):
    count = len(names)
    if len(failed) == count:
        raise RawconvError(f"none of {count} files can be read as a picture ({names[0]}, ...); is this the right path?")
    if failed:
        first = ", ".join(names[k] for k in failed[:3]) + (", ..." if len(failed) > 3 else "")
        warn(f"{len(failed)} of {count} files are no readable pictures and were skipped: {first}")


def _reader(make, kept, names, size):
    told = set()

    def read(ids):
        out = np.empty((len(ids), size, size, 3), np.uint8)
        for k in _attempt(make, kept[ids], out, tqdm(disable=True)):
            if ids[k] not in told:
                told.add(ids[k])
                warn(f"{names[ids[k]]} can no longer be read; it is grey from now on.")
        return out

    return read
