"""Where a sliding window lies: output sizes, rounding, padding.  Shared by Conv, pools and receptive fields."""

from typing import NamedTuple

from ..files.schema import FLAG, FOUR, PAIR

WINDOW = {"size": PAIR, "stride": PAIR, "pad": FOUR, "ceil_mode": FLAG}  # what it may be in a file


def pair(value):
    """(rows, columns) from an int or a pair."""
    return (value, value) if isinstance(value, int) else tuple(value)


def four(pad):
    """(top, left, bottom, right) from an int, a pair (rows, columns) or four numbers."""
    pad = pair(pad)
    return pad if len(pad) == 4 else (*pad, *pad)


class Window(NamedTuple):
    """A window of `size` moving by `stride` over a map padded by `pad` = (top, left, bottom, right), in map pixels.

    ceil_mode: sizes are rounded up, so that the last window may hang over the end (cuda-convnet, the paper's nets).
    """

    size: tuple
    stride: tuple
    pad: tuple
    ceil_mode: bool = True

    @classmethod
    def of(cls, size, stride, pad, ceil_mode):
        if not isinstance(ceil_mode, bool):
            raise ValueError(f"ceil_mode is True or False, not {ceil_mode!r}.")
        window = cls(pair(size), pair(stride), four(pad), ceil_mode)
        if min(window.size) < 1 or min(window.stride) < 1 or min(window.pad) < 0:
            raise ValueError(f"A window needs size >= 1, stride >= 1, pad >= 0, not {size}, {stride}, {pad}.")
        return window

    @classmethod
    def of_pool(cls, size, stride, pad, ceil_mode):
        """A pool's, which holds a cell of its map wherever it lies."""
        window = cls.of(size, stride, pad, ceil_mode)
        if any(p >= k for p, k in zip(window.pad, window.size * 2, strict=True)):
            raise ValueError(f"A pool's padding {window.pad} must be smaller than its window {window.size}.")
        return window

    def covers(self, shape):
        """Whether one window is all of an input of `shape` (H, W, ...), as that of a fully connected layer."""
        return self.size == tuple(shape[:2]) and not any(self.pad)

    def out_size(self, height, width):
        """1 + ceil((in + pads - k) / s) (or floor) per axis.  ValueError where the input is smaller than the window."""
        sizes = []
        for axis, length in enumerate((height, width)):
            room = length + self.pad[axis] + self.pad[axis + 2] - self.size[axis]
            if room < 0:
                raise ValueError(
                    f"An input of {height}x{width} is smaller than the window of {self.size[0]}x{self.size[1]} "
                    f"(padding {self.pad}); use a larger input or a smaller window."
                )
            sizes.append(1 + (-(-room // self.stride[axis]) if self.ceil_mode else room // self.stride[axis]))
        return tuple(sizes)

    def pooled_size(self, height, width):
        """The same without a last window that would start at or beyond the end of the map."""
        axes = zip(self.out_size(height, width), self.stride, self.pad, (height, width), strict=False)
        return tuple(sum(i * s - p < length for i in range(size)) for size, s, p, length in axes)

    def floor_pads(self, shape, out):
        """(top, left, bottom, right) with which rounding down makes `out` (rows, columns) of an input of `shape`."""
        axes = zip(out, self.stride, self.size, shape, self.pad, strict=False)
        ends = [max(0, (count - 1) * stride + size - length - pad) for count, stride, size, length, pad in axes]
        return *self.pad[:2], *ends
