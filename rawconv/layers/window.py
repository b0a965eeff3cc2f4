"""Where a sliding window lies: output sizes, rounding, padding.  Shared by Conv, pools and
receptive fields.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..files.schema import FLAG, FOUR, PAIR, Schema

# what it may be in a file
WINDOW: dict[str, Schema] = {"size": PAIR, "stride": PAIR, "pad": FOUR, "ceil_mode": FLAG}


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """Return (rows, columns) of an int or a pair."""
    return (value, value) if isinstance(value, int) else tuple(value)  # type: ignore[return-value]


def four(pad: int | Sequence[int]) -> tuple[int, ...]:
    """Return (top, left, bottom, right) of an int, a pair (rows, columns) or four numbers."""
    sides: tuple[int, ...] = pair(pad)
    return sides if len(sides) == 4 else (*sides, *sides)


class Window(NamedTuple):
    """A window of `size` moving by `stride` over a map padded by `pad` = (top, left, bottom,
    right), in map pixels.

    ceil_mode: sizes are rounded up, so that the last window may hang over the end (cuda-convnet,
    the paper's nets).
    dilation: from one of its cells to the next, so that it spans (size - 1) * dilation + 1 (Yu and
    Koltun 2015).
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    ceil_mode: bool = True
    dilation: tuple[int, ...] = (1, 1)

    @classmethod
    def of(
        cls,
        size: int | Sequence[int],
        stride: int | Sequence[int],
        pad: int | Sequence[int],
        ceil_mode: bool,
        dilation: int | Sequence[int] = 1,
    ) -> Window:
        """Return a Window of ints or pairs.  ValueError: a number is too small."""
        if not isinstance(ceil_mode, bool):
            raise ValueError(f"ceil_mode is True or False, not {ceil_mode!r}.")
        window = cls(pair(size), pair(stride), four(pad), ceil_mode, pair(dilation))
        if min(window.size + window.stride + window.dilation) < 1 or min(window.pad) < 0:
            given = ", ".join(map(str, (size, stride, dilation, pad)))
            raise ValueError(
                f"A window needs size >= 1, stride >= 1, dilation >= 1, pad >= 0, not {given}."
            )
        return window

    @classmethod
    def of_pool(
        cls,
        size: int | Sequence[int],
        stride: int | Sequence[int],
        pad: int | Sequence[int],
        ceil_mode: bool,
    ) -> Window:
        """Return the Window of a pool, which holds a cell of its map at every position.
        ValueError: its padding is too large.
        """
        window = cls.of(size, stride, pad, ceil_mode)
        if any(p >= k for p, k in zip(window.pad, window.size * 2, strict=True)):
            raise ValueError(
                f"A pool's padding {window.pad} must be smaller than its window {window.size}."
            )
        return window

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings of a layer that has this window; dilation only if it is not 1."""
        return {
            name: value
            for name, value in self._asdict().items()
            if name != "dilation" or self.is_dilated
        }

    @property
    def is_dilated(self) -> bool:
        return self.dilation != (1, 1)

    @property
    def is_pointwise(self) -> bool:
        """Whether each position sees one cell, its own: a convolution is then one product over the
        channels.
        """
        return self.size == self.stride == (1, 1) and not any(self.pad)

    @property
    def span(self) -> tuple[int, ...]:
        """Return (rows, columns) from its first cell to its last."""
        (height, width), (down, across) = self.size, self.dilation
        return (height - 1) * down + 1, (width - 1) * across + 1

    def covers(self, shape: Sequence[int]) -> bool:
        """Whether one window is all of an input of `shape` (H, W, ...), as that of a fully
        connected layer.
        """
        return self.size == tuple(shape[:2]) and not any(self.pad)

    def out_size(self, height: int, width: int) -> tuple[int, ...]:
        """1 + ceil((in + pads - span) / s) (or floor) per axis.  ValueError: the input is smaller
        than the window.
        """
        (top, left, bottom, right), (down, across), span = self.pad, self.stride, self.span
        rows, columns = height + top + bottom - span[0], width + left + right - span[1]
        if rows < 0 or columns < 0:
            raise ValueError(
                f"An input of {height}x{width} is smaller than the window of {span[0]}x{span[1]} "
                f"(padding {self.pad}); use a larger input or a smaller window."
            )
        if self.ceil_mode:
            rows, columns = rows + down - 1, columns + across - 1
        return 1 + rows // down, 1 + columns // across

    def pooled_size(self, height: int, width: int) -> tuple[int, ...]:
        """Return the same without a last window that would start at or beyond the end of the map."""
        (top, left, *_), (down, across) = self.pad, self.stride
        rows, columns = self.out_size(height, width)
        # of those that start before the end: i * stride < length + pad
        return min(rows, -(-(height + top) // down)), min(columns, -(-(width + left) // across))

    def floor_pads(self, shape: Sequence[int], out: Sequence[int]) -> tuple[int, ...]:
        """Return (top, left, bottom, right) with which rounding down makes `out` (rows, columns) of
        an input of `shape`.
        """
        axes = zip(out, self.stride, self.span, shape, self.pad, strict=False)
        ends = [
            max(0, (count - 1) * stride + span - length - pad)
            for count, stride, span, length, pad in axes
        ]
        return *self.pad[:2], *ends

    def reach(self, count: Sequence[int]) -> tuple[int, ...]:
        """Return how many (rows, columns) of the input `count` of the output depend on: (count - 1)
        * stride + span.
        """
        return tuple((n - 1) * s + k for n, s, k in zip(count, self.stride, self.span, strict=True))


def moved(layer: Any, pad: tuple[int, int] = (0, 0)) -> Any:
    """Return the layer with another padding, for windows that were cut out together with theirs."""
    layer = copy.copy(layer)
    layer.window = layer.window._replace(pad=(*pad, 0, 0))
    return layer
