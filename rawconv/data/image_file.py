"""Image files that are not trusted: only FORMATS, and only where decoding takes no more memory than a bound.

with open_image(file, 64) as image, decoding(image): image.load()
why(error)                            "cut off or damaged": what a file is that raised this error
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from PIL import Image, UnidentifiedImageError

from ..files.storage import ROOM, VARIABLE, excess, room
from ..machine.threads import once_a_process

# No EPS: it would start Ghostscript.  TGA, which has no signature, comes last.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA")
BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}  # a pixel, in memory; else 4
# bytes a pixel that decoders take on the way
CODECS = {"WEBP": 12, "AVIF": 6, "JPEG2000": 16, "TIFF": 4, "ICO": 4}

# Damaged EXIF blocks, large sizes, ...: what is wrong with files is said in one line for all of a
# kind.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


class Unreadable(ValueError):
    """What a file is that is no image, as the end of a sentence: "it is ..."."""


@once_a_process
def formats() -> tuple[str, ...]:
    """Return those of FORMATS that this Pillow knows.  Pillow's own limit on pixels is raised where
    the user raises ours.
    """
    Image.init()
    if room() > ROOM * 10**6:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, room())
    return tuple(name for name in FORMATS if name in Image.OPEN)


def open_image(file: BinaryIO, size: int) -> Any:
    """Open a binary file as a Pillow image without decoding it; a JPEG will be scaled down to no
    less than 2 * size.

    Unreadable: decoding would take more memory than room() and ten times the file.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not length:
        raise Unreadable("empty")
    try:
        image: Any = Image.open(file, formats=formats())
    except UnidentifiedImageError:
        file.seek(0)
        head = file.read(16)
        accepts = [Image.OPEN[name][1] for name in formats()]
        if any(accept and accept(head) is True for accept in accepts):
            raise Unreadable("cut off or damaged") from None  # it begins like an image
        raise
    try:
        width, height = image.size
        image.draft(None, (2 * size, 2 * size))
        image.rawconv_bytes = _bytes(image, width * height)
        if what := excess(image.rawconv_bytes, length):
            raise Unreadable(f"too large ({width}x{height} pixels take {what})")
    except BaseException:
        image.close()
        raise
    return image


def _bytes(image: Any, pixels: int) -> int:
    """Estimate the most that decoding and converting to RGB take; pixels: of the file, `image` may
    be scaled down.
    """
    # a PNG of any size inside
    inner = image.ico.getimage(image.size).size if image.format == "ICO" else image.size
    stored = BYTES.get(image.mode, 4)
    result = 0 if image.mode in ("L", "1", "RGB") else 1 if image.mode.startswith("I") else 4
    # looking for it behind the pixels would decode them
    late = image.format == "PNG" and "exif" not in image.info
    result += 4 * (not late and image.getexif().get(0x0112, 1) != 1)  # it is going to be turned
    total = (stored + result + CODECS.get(image.format, 0)) * max(
        inner[0] * inner[1], image.width * image.height
    )
    return total + 2 * len(image.getbands()) * pixels * ("progressive" in image.info)


class _Room:
    """The memory of all decoding that is under way in this process."""

    def __init__(self) -> None:
        self.used, self.changed = 0, threading.Condition()


_shared = once_a_process(_Room)


@contextlib.contextmanager
def decoding(image: Any) -> Iterator[None]:
    """Wait until there is memory enough to decode an image of open_image, and hold it in this context."""
    shared, wanted = _shared(), image.rawconv_bytes
    with shared.changed:
        shared.changed.wait_for(lambda: not shared.used or shared.used + wanted <= room())
        shared.used += wanted
    try:
        yield
    finally:
        with shared.changed:
            shared.used -= wanted
            shared.changed.notify_all()


def why(error: BaseException) -> str:
    """Return what a file is whose opening or decoding raised this error, as the end of "it is ..."."""
    most = f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} megapixels; {VARIABLE} raises the limit"
    for kind, holds, words in (
        (Unreadable, "", str(error)),
        (UnidentifiedImageError, "", "in a format that is not read"),  # an OSError without a number
        (Image.DecompressionBombError, "", f"too large ({most})"),
        (
            NotImplementedError,
            "compression",
            "compressed by a method of zip that is not read, as deflate64",
        ),
        (RuntimeError, "encrypted", "encrypted"),
        (MemoryError, "", "too large for the memory that is free"),
    ):
        if isinstance(error, kind) and holds in str(error):
            return words
    if isinstance(error, OSError) and error.errno:
        return f"not to be opened ({error.strerror})"
    return "cut off or damaged"


def reasons(failed: Iterable[tuple[str, str]]) -> str:
    """[(name, why)] -> "a, b are in a format that is not read; c is empty", the most frequent
    reason first.
    """
    by_reason: dict[str, list[tuple[str, str]]] = {}
    for name, reason in failed:
        by_reason.setdefault(reason.partition(" (")[0], []).append((name, reason))
    parts = []
    for some in sorted(by_reason.values(), key=len, reverse=True):
        more = f" and {len(some) - 3} more" if len(some) > 3 else ""
        parts.append(
            f"{', '.join(name for name, _ in some[:3])}{more} {'are' if some[1:] else 'is'} {some[0][1]}"
        )
    return "; ".join(parts)
