"""Black and white in images of more than 8 bits: 0 and 65535, what the file states, or what the user says.

levels = Levels.of("0:4095")          what --range takes; Levels() without it
levels.to_bytes(values, white)        uint8
levels.advice()                       a sentence if the images so far are nearly black, else None
"""

from __future__ import annotations

import math
import re
import threading

import numpy as np

from ..errors import UsageError
from ..files.messages import warn
from .image_file import Unreadable

WHITE = (1 << 16) - 1  # of 16 bits, and of whatever states nothing
# no picture is brighter than this: they have 14 bits or fewer in the place of 16
DARK = (WHITE + 1) // 4
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?"


class Levels:
    """The values that become 0 and 255, low and high, or None.  Remembers the range of values that
    each thread saw.
    """

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        self.low, self.high, self.told = low, high, False
        self.ranges: dict[int, tuple[int, int]] = {}  # {thread: (least, most)}

    @classmethod
    def of(cls, text: str | None) -> Levels:
        """Return the Levels of a text LOW:HIGH, or of None.  UsageError: it is neither."""
        if not text:
            return cls()
        match = re.fullmatch(rf"({NUMBER}):({NUMBER})", text)
        low, high = map(float, match.groups()) if match else (0, 0)
        if not (low < high and math.isfinite(high - low)):
            raise UsageError(
                f"--range {text} is not LOW:HIGH, the values that are black and white; write 0:4095."
            )
        return cls(low, high)

    def to_bytes(self, values: np.ndarray, white: int = WHITE) -> np.ndarray:
        """Return values of any dtype as uint8: black to 0, white to 255, clipped beyond these, NaN to 0.

        Unreadable: floating-point values, where nobody said which of them is white.
        """
        if self.low is not None and self.high is not None:
            low, span = self.low, self.high - self.low
            return np.rint(
                np.nan_to_num(255 * ((values.astype(np.float64) - low) / span).clip(0, 1))
            ).astype(np.uint8)
        if values.dtype.kind == "f":
            raise Unreadable(
                "of floating-point pixels (--range LOW:HIGH says what is black and white)"
            )
        self._note(int(values.min()), int(values.max()), white)
        values = values.astype(np.int64).clip(0, white)
        return ((510 * values + white) // (2 * white)).astype(np.uint8)

    def note_colours(self, pixels: np.ndarray) -> None:
        """Remember the brightest of colours that were reduced from 16 bits to 8 while they were read."""
        self._note(0, 256 * int(pixels.max()) + 255, WHITE)

    def _note(self, low: int, high: int, white: int) -> None:
        mine = threading.get_ident()  # its own entry, so that no two threads change one
        least, most = self.ranges.get(mine, (low, 0))
        self.ranges[mine] = min(low, least), max(high if white == WHITE else WHITE, most)

    def tell(self) -> None:
        """Print the advice to stderr, if there is any."""
        if sentence := self.advice():
            warn(sentence)

    def advice(self) -> str | None:
        """Return what to say of all images so far if they are nearly black; once, then None."""
        ranges = list(self.ranges.values())
        if self.told or not ranges:
            return None
        low, high = min(least for least, _ in ranges), max(most for _, most in ranges)
        if low >= 0 and high >= DARK:
            return None
        self.told = True
        white = (1 << max(8, high.bit_length())) - 1 if low >= 0 else high
        chosen = f"{low if low < 0 else 0}:{white}"
        what = "negative values are black" if low < 0 else "come in nearly black"
        return (
            f"Pictures with more than 8 bits hold values from {low} to {high} and {what}, since white is {WHITE}: "
            f"say what is black and white with --range {chosen}, or in the name of the data: DATA,range={chosen}."
        )
