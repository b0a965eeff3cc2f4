"""Exercise 4: average pooling as a layer."""

from rawconv.files.schema import Record
from rawconv.layers import PAPER, Layer
from rawconv.layers.memory import Memory
from rawconv.layers.window import WINDOW, Window
from rawconv.machine.arrays import array_module  # noqa: F401  the module, NumPy or CuPy, of an array


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
        raise NotImplementedError(
            "exercise 4: drop a last window that lies outside, as MaxPool does"
        )

    def forward(self, x, rng_key=None):
        """x (N, H, W, C) -> y (N, OH, OW, C), and all that the ways down need."""
        raise NotImplementedError("exercise 4: up")

    def backward(self, dy, cache):
        """dx: every output gives an equal part of its dy to each place of its window.  No
        parameters, no gradients.
        """
        raise NotImplementedError("exercise 4: back")

    def deconv(self, r, cache, rules=PAPER):
        """The layer is linear, so the way down is the way back."""
        raise NotImplementedError("exercise 4: down")

    def memory(self, step):
        """Nothing is kept but the size of x."""
        return Memory()
