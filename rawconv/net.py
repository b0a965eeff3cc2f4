"""A net: named layers in a row, and the three walks over them.  Nothing else."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .arrays import Array, Device
from .layers import PAPER, Rules
from .layers.conv import Conv
from .layers.relu import ReLU


class Net:
    """Layers [(name, layer), ...] for pictures of `shape` (H, W, C); builds the parameters that are not there yet.

    classes: their names, in the order of the scores.  mean: what is subtracted from a picture, (H, W, C) of the stored
    picture or (C,).  model: the name it was built by.  seed: of the initial weights.  stored: rows and columns of a
    stored picture, of which the net sees the centre; by default those of a mean picture, else of the input.
    ValueError, naming the layer, where one does not fit on the one below.
    """

    def __init__(self, shape, layers, classes=(), mean=None, model="", seed=0, dtype="float32", stored=None):
        self.shape, self.layers, self.classes, self.model = tuple(shape), list(layers), list(classes), model
        self.mean = np.zeros(self.shape[2], np.float32) if mean is None else mean
        kept = self.mean.shape if np.ndim(self.mean) == 3 else self.shape
        self.stored = tuple(stored or kept[:2])
        rng = np.random.default_rng(seed)
        self.shapes = {}
        for name, layer in self.layers:
            try:
                if layer.params and layer.params["weight"] is None:
                    layer.build(shape, rng, dtype)
                shape = self.shapes[name] = layer.out_shape(shape)
            except ValueError as error:
                raise ValueError(f"Layer {name}: {error}") from None

    def __getitem__(self, name):
        return dict(self.layers)[name]

    @property
    def params(self):
        """{(layer name, parameter name): array}, from the bottom up."""
        return {(name, key): value for name, layer in self.layers for key, value in layer.params.items()}

    @property
    def rectifying(self):
        """The names of the layers that can do the work of the one above them: every Conv under a ReLU."""
        pairs = pairwise(self.layers)
        return {name for (name, layer), (_, above) in pairs if type(layer) is Conv and type(above) is ReLU}

    @property
    def dtype(self):
        return next(iter(self.params.values())).dtype

    def forward(self, x: Array, stop: str | None = None, draw=None, keep: bool = True) -> tuple[Array, list]:
        """Up: x (N, H, W, C), pixels minus mean -> (output of layer `stop`, or scores (N, 1, 1, classes); caches).

        keep=False drops the caches on the way, for when nothing will come back down.
        """
        if stop is not None and stop not in self.shapes:
            raise ValueError(f"There is no layer {stop!r}; the layers are {', '.join(self.shapes)}.")
        y, caches = x, []
        for name, y, cache in self.up(x, draw, asked=(stop,)):  # noqa: B007 (the last y is the result)
            if keep:
                caches.append(cache)
            if name == stop:
                break
        return y, caches

    def up(self, x: Array, draw=None, asked=()):
        """(name, output, cache) of one layer after the other, from the bottom up.

        A convolution does the work of a ReLU above it, which saves a pass over the map; both then give the rectified
        map.  Nothing else needs the map before: no cache holds it.  But where a convolution's name is among `asked`,
        its output is its own.
        """
        self._need_floats(x, "x (N, H, W, C), pixels minus the mean,", "; deconvnet.net_input(net, pictures) makes it")
        rectified, rectifying = False, self.rectifying.difference(asked)
        for name, layer in self.layers:
            if rectified:
                cache, rectified = x, False
            elif name in rectifying:
                (x, cache), rectified = layer.forward(x, draw, rectify=True), True
            else:
                x, cache = layer.forward(x, draw)
            yield name, x, cache

    def backward(self, dy: Array, caches: list, on_grads=None, stop: str | None = None) -> tuple[Array, dict]:
        """Back: the gradient of the output -> (gradient of the pixels, {layer name: {parameter name: gradient}}).

        on_grads(name, grads) is called as each layer's are ready.  stop: the lowest layer whose parameters are to be
        learnt; nothing below its gradients is computed, and there is no gradient of the pixels.
        """
        self._need_floats(dy, "dy (N, H, W, C)")
        grads, dy = {}, dy.copy()  # a ReLU may work in place
        for (name, layer), cache in self.down(caches):
            if name == stop:
                dy, grads[name] = None, layer.parameter_gradients(dy, cache)
            else:
                dy, grads[name] = layer.backward(dy, cache)
            if on_grads and grads[name]:
                on_grads(name, grads[name])
            if name == stop:
                break
        return dy, grads

    def deconv(self, r: Array, caches: list, rules: Rules = PAPER) -> Array:
        """Down: r, in the shape of the output that came with `caches`, to pixel space.  Paper, section 2.1."""
        self._need_floats(r, "r (N, H, W, C)")
        for (_, layer), cache in self.down(caches):
            r = layer.deconv(r, cache, rules)
        return r

    def _need_floats(self, array, what, remedy=""):
        """ValueError in a sentence, where a compiled loop would answer with pages."""
        if not hasattr(array, "dtype"):
            raise ValueError(f"This net takes {what} as an array, not as a {type(array).__name__}{remedy}.")
        wanted = next((value.dtype for value in self.params.values()), array.dtype)
        if array.ndim != 4 or array.dtype != wanted:
            shape = "x".join(map(str, array.shape))
            raise ValueError(f"This net takes {what} as {wanted}, not {array.dtype} of shape {shape}{remedy}.")

    def down(self, caches):
        """((name, layer), cache) of the layers that `caches` came from, from the top down."""
        return reversed(list(zip(self.layers, caches, strict=False)))

    def to(self, device: Device) -> Net:
        """Move the parameters to a Device (see arrays.py); returns the net."""
        return self._convert(device.put)

    def astype(self, dtype: str) -> Net:
        """Convert the parameters to float32 or float64; returns the net."""
        return self._convert(lambda value: value.astype(dtype))

    def _convert(self, function):
        for _, layer in self.layers:
            for key, value in layer.params.items():
                setattr(layer, key, function(value))
        return self
