"""PNG files.

write_png("runs/1/conv4.png", image)
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from .storage import replace_file

if TYPE_CHECKING:
    from PIL import Image

LEVEL = 4  # of zlib: figures take half the time of its default, 6, and 1 or 2 % more bytes


def png_bytes(image: Image.Image, optimize: bool = False, level: int = LEVEL) -> bytes:
    """Return a Pillow image as a PNG file.  optimize: smaller and slower.  level: of zlib, from 0 to 9."""
    out = io.BytesIO()
    image.save(out, "PNG", optimize=optimize, compress_level=level)
    return out.getvalue()


def write_png(path: str | os.PathLike[str], image: Image.Image) -> None:
    """Write a Pillow image; a file that is there is replaced as a whole."""
    replace_file(path, png_bytes(image))
