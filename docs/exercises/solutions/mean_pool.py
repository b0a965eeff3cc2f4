"""Average pooling.  Linear, so that the way back and the way down are one."""

import numpy as np

from rawconv.files.schema import Record
from rawconv.layers import PAPER, Layer
from rawconv.layers.memory import Memory
from rawconv.layers.window import WINDOW, Window
from rawconv.machine.arrays import array_module


class MeanPool(Layer):
    """y = mean of x over each window, cut at the border."""

    limits = Record(WINDOW)
    named, verb = "output", "average"

    def __init__(self, size, stride, pad=0, ceil_mode=True):
        self.window = Window.of(size, stride, pad, ceil_mode)

    @property
    def settings(self):
        return self.window.settings

    def out_shape(self, shape):
        """(H, W, C) -> (OH, OW, C)."""
        sizes = zip(
            self.window.out_size(*shape[:2]),
            self.window.stride,
            self.window.pad[:2],
            shape[:2],
            strict=True,
        )
        return (
            *(sum(i * s - p < length for i in range(size)) for size, s, p, length in sizes),
            shape[2],
        )

    def forward(self, x, rng_key=None):
        """y = the sum over the places of a window, one after the other for all windows at once, by
        their number.

        cache = (H, W, C) of x.
        """
        xp, shape = array_module(x), x.shape[1:]
        y = xp.zeros((len(x), *self.out_shape(shape)), x.dtype)
        for outputs, inputs in self._places(shape):
            y[outputs] += x[inputs]
        return y / xp.asarray(self._counts(shape), x.dtype), shape

    def backward(self, dy, shape):
        """dx = dy / the number of places, to each place of the window."""
        xp = array_module(dy)
        share, dx = (
            dy / xp.asarray(self._counts(shape), dy.dtype),
            xp.zeros((len(dy), *shape), dy.dtype),
        )
        for outputs, inputs in self._places(shape):
            dx[inputs] += share[outputs]
        return dx, {}

    def deconv(self, r, shape, rules=PAPER):
        """The transpose: backward."""
        return self.backward(r, shape)[0]

    def memory(self, step):
        """Nothing is kept but the size of x."""
        return Memory()

    def _places(self, shape):
        """For each place (ky, kx) of a window: the outputs whose window has it inside x, and the
        inputs under it.
        """
        for place in np.ndindex(*self.window.size):
            outputs, inputs = [slice(None)], [slice(None)]
            ends = zip(
                place,
                self.out_shape(shape),
                self.window.stride,
                self.window.pad,
                shape,
                strict=False,
            )
            for k, count, s, p, length in ends:
                first = max(0, -((k - p) // s))  # the first window whose place k is not left of x
                last = min(count, (length - 1 + p - k) // s + 1)
                outputs.append(slice(first, max(first, last)))
                inputs.append(slice(first * s + k - p, max(first, last) * s + k - p, s))
            if all(part.start < part.stop for part in outputs[1:]):
                yield tuple(outputs), tuple(inputs)

    def _counts(self, shape):
        """How many places each window has inside x: (OH, OW, 1)."""
        counts = np.zeros((*self.out_shape(shape)[:2], 1))
        for (_, *outputs), _ in self._places(shape):
            counts[tuple(outputs)] += 1
        return counts
