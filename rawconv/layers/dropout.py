"""Dropout with a counter-based generator: the mask is a pure function of (seed, stream; sample, epoch, element)."""

import math

import numba
import numpy as np

from ..arrays import array_module, launch, on_cpu
from ..buffers import empty
from ..philox import philox4x32
from ..threads import cut, run_blocks
from . import PAPER


class Dropout:
    """y = x * mask / (1 - rate) while training, x otherwise (inverted dropout; the paper halves at test time instead).

    rate: the share that is set to zero.  stream: the random sequence, a number of its own for every dropout of a net.
    Paper, section 3: rate 0.5 after fc6 and fc7.
    """

    params = {}

    def __init__(self, rate=0.5, stream=0):
        if not 0 <= rate < 1:
            raise ValueError(f"A dropout rate lies in [0, 1), not {rate}.")
        self.rate, self.stream = rate, stream

    @property
    def settings(self):
        return {"rate": self.rate, "stream": self.stream}

    def out_shape(self, shape):
        return shape

    def forward(self, x, draw=None):
        """cache = draw: the mask is drawn again on the way back, which costs less than keeping it."""
        return self._mask(x, draw), draw

    def backward(self, dy, draw):
        """dx = dy * mask / (1 - rate), with the same mask."""
        return self._mask(dy, draw), {}

    def deconv(self, r, draw, rules=PAPER):
        """r itself: a deconvnet looks at the trained net, where dropout does nothing."""
        return r

    def _mask(self, x, draw):
        if draw is None or self.rate == 0:
            return x
        xp = array_module(x)
        seed, epoch, samples = draw
        samples = np.asarray(samples, np.uint64)
        x = xp.ascontiguousarray(x)
        y = empty(x, x.shape)
        threshold, scale = int(self.rate * 2**32), 1 / (1 - self.rate)
        if on_cpu(x):
            flat, out = (array.reshape(len(x), math.prod(x.shape[1:])) for array in (x, y))
            key = (np.uint64(threshold), x.dtype.type(scale), np.uint64(seed), np.uint64(self.stream), np.uint64(epoch))
            run_blocks(lambda part: dropout(flat[part], out[part], samples[part], *key), cut(len(x), 16))
        else:
            row = x[:1].size
            constants = (row, threshold, scale, seed, self.stream, epoch)
            launch(CU, "dropout", len(x) * ((row + 3) // 4), x, y, xp.asarray(samples), *constants)
        return y


CU = __file__.replace("dropout.py", "dropout.cu")
STRETCH = 64  # Philox calls at once on the CPU


@numba.njit(nogil=True, cache=True)
def dropout(x, y, samples, threshold, scale, seed, stream, epoch):
    """One Philox call serves four neighbouring elements; an element is kept where its word reaches the threshold.

    First the words of a stretch, then its elements: each of the two loops is vectorised, together they are not.
    """
    length, limit = x.shape[1], np.uint32(threshold)
    words = np.empty(4 * STRETCH, np.uint32)
    for row in range(len(x)):
        for start in range(0, length, 4 * STRETCH):
            given, out = x[row, start : start + 4 * STRETCH], y[row, start : start + 4 * STRETCH]
            for block in range((len(given) + 3) // 4):
                w0, w1, w2, w3 = philox4x32(
                    np.uint64(start // 4 + block), samples[row], epoch, np.uint64(0), seed, stream
                )
                words[4 * block] = w0
                words[4 * block + 1] = w1
                words[4 * block + 2] = w2
                words[4 * block + 3] = w3
            for i in range(len(given)):
                out[i] = given[i] * scale if words[i] >= limit else 0
