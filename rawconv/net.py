"""A net: named layers, each fed by the layers it names, and the three passes over them.  Nothing else."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from .layers import AUTO, PAPER, Execution, Layer, Rules
from .machine.arrays import Array, Device

IMAGE = ""  # among the names of nodes: the picture that goes up


class Node(NamedTuple):
    """`layer`, called `name`; it takes the outputs of the nodes called `inputs`."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]


class Net:
    """Layers [(name, layer, *inputs), ...] for pictures of `shape` (H, W, C); builds the parameters they still lack.

    inputs: the names of earlier layers, "" the picture; in a chain nobody writes them: the default is the layer before.
    classes: their names, in the order of the scores.  mean: what is subtracted from a picture, (H, W, C) of the stored
    picture or (C,).  model: the name it was built by.  seed: of the initial weights.  stored: rows and columns of a
    stored picture, a square, of which the net sees the centre; by default those of a mean picture, else the least.
    execution, an attribute: how its convolutions are computed (layers.Execution), by the same means up and down.
    ValueError, naming the layer, where one does not fit on those below or names an input that is not there.
    """

    def __init__(self, shape, layers, classes=(), mean=None, model="", seed=0, dtype="float32", stored=None):
        self.shape, self.classes, self.model = tuple(shape), list(classes), model
        self.mean = np.zeros(self.shape[2], np.float32) if mean is None else mean
        kept = self.mean.shape[:2] if np.ndim(self.mean) == 3 else (max(self.shape[:2]),) * 2
        self.stored = tuple(stored or kept)
        self.execution = AUTO
        self.nodes, self.shapes, self.consumers = {}, {}, {IMAGE: []}
        rng, before = np.random.default_rng(seed), IMAGE
        for name, layer, *inputs in layers:
            node = Node(name, layer, tuple(inputs) or (before,))
            try:
                self._append(node, rng, dtype)
            except ValueError as error:
                raise ValueError(f"Layer {name}: {error}") from None
            before = name

    def _append(self, node, rng, dtype):
        if node.name in self.consumers:
            raise ValueError("there is another of this name.")
        if missing := [name for name in node.inputs if name not in self.consumers]:
            raise ValueError(f"its input {missing[0]!r} is no layer before it.")
        shapes = [self.shapes.get(name, self.shape) for name in node.inputs]
        if node.layer.build:
            node.layer.build(*shapes, rng, dtype)
        self.nodes[node.name], self.shapes[node.name] = node, node.layer.out_shape(*shapes)
        self.consumers[node.name] = []
        for name in node.inputs:
            self.consumers[name].append(node.name)

    def __getitem__(self, name):
        return self.nodes[name].layer

    @property
    def layers(self):
        """[(name, layer), ...], from the bottom up: every layer comes after those that it takes the outputs of."""
        return [(node.name, node.layer) for node in self.nodes.values()]

    @property
    def output(self):
        """The name of the last layer."""
        return next(reversed(self.nodes))

    @property
    def has_scores(self) -> bool:
        """Whether it ends in one number a class; else it is a trunk, which can be looked into, not tested."""
        return self.shapes[self.output][:2] == (1, 1)

    @property
    def params(self):
        """{(layer name, parameter name): array}, from the bottom up."""
        return {(name, key): value for name, layer in self.layers for key, value in layer.params.items()}

    @property
    def fuses_relu(self) -> dict[str, float]:
        """{name: ceiling} of the layers that can do the work of the one above: every Conv that only a ReLU consumes."""
        relus = [node for node in self.nodes.values() if node.layer.relu_ceiling is not None]
        return {
            below: layer.relu_ceiling for _, layer, (below,) in relus
            if below != IMAGE and self[below].fuses_relu and len(self.consumers[below]) == 1
        }  # fmt: skip

    @property
    def convolutions(self) -> list[str]:
        """The names of the layers with filters smaller than their input: not of those that are fully connected."""
        return [
            name for name, layer, inputs in self.nodes.values()
            if layer.params and layer.window and not layer.window.covers(self.shapes.get(inputs[0], self.shape))
        ]  # fmt: skip

    @property
    def dtype(self):
        return next(iter(self.params.values())).dtype

    def path(self, *names: str) -> list[Node]:
        """The nodes that the nodes `names` are made of, from the bottom up to themselves."""
        needed = set(names)
        for node in reversed(self.nodes.values()):
            if node.name in needed:
                needed.update(node.inputs)
        return [node for node in self.nodes.values() if node.name in needed]

    def forward(self, x: Array, stop: str | None = None, rng_key=None, keep: bool = True) -> tuple[Array, dict]:
        """Up: x (N, H, W, C), pixels minus mean -> (output of layer `stop`, or scores (N, 1, 1, classes); caches).

        caches: {layer name: what its ways down need}.  keep=False drops them on the way, for when nothing will come
        back down.
        """
        if stop is not None and stop not in self.nodes:
            raise ValueError(f"There is no layer {stop!r}; the layers are {', '.join(self.nodes)}.")
        y, caches = x, {}
        for name, y, cache in self.up(x, rng_key, asked=(stop,), stop=stop):  # noqa: B007 (the last y is the result)
            if keep:
                caches[name] = cache
        return y, caches

    def up(self, x: Array, rng_key=None, asked=(), stop=None):
        """(name, output, cache) of one layer after the other, from the bottom up to `stop` or to the last.

        stop: the name of a node, or several names.
        A map is let go when all of its consumers have had it.
        A convolution does the work of a ReLU that alone consumes it, which saves a pass over the map; both then give
        the rectified map.  Nothing else needs the map before: no cache holds it.  But where a convolution's name is
        among `asked`, its output is its own.
        """
        self._need_floats(x, "x (N, H, W, C), pixels minus the mean,", "; preprocessing.preprocess makes it")
        stops = [stop or self.output] if stop is None or isinstance(stop, str) else stop
        path, maps = self.path(*stops), {IMAGE: x}
        fused = {name: ceiling for name, ceiling in self.fuses_relu.items() if name not in asked}
        del x  # only `maps` holds it from here on
        waiting = Counter(name for node in path for name in node.inputs)
        numbers = {name: number for number, name in enumerate(self.nodes)}
        for node in path:
            key = None if rng_key is None else (*rng_key, numbers[node.name])
            y, cache = self._forward(node, [maps[name] for name in node.inputs], key, fused)
            for name in node.inputs:
                waiting[name] -= 1
                if not waiting[name]:
                    del maps[name]
            maps[node.name] = y
            yield node.name, y, cache

    def _forward(self, node, inputs, rng_key, fused):
        """(output, cache) of one node; a ReLU whose convolution did its work only passes the map on."""
        if node.name in fused:
            return node.layer.forward(*inputs, rng_key=rng_key, fuse_relu=fused[node.name], **self.how(node.layer))
        if node.inputs[0] in fused:
            return inputs[0], inputs[0]
        return node.layer.forward(*inputs, rng_key=rng_key, **self.how(node.layer))

    def how(self, layer: Layer) -> dict[str, Execution]:
        """The arguments that tell a layer's forward how it is computed in this net: execution=, where it takes that."""
        return {"execution": self.execution} if layer.takes_execution else {}

    def backward(self, dy: Array, caches: dict, on_grads=None, stop: str | None = None) -> tuple[Array, dict]:
        """Back: the gradient of the output -> (gradient of the pixels, {layer name: {parameter name: gradient}}).

        on_grads(name, grads) is called as each layer's are ready.  stop: the lowest layer whose parameters are to be
        learnt; nothing below its gradients is computed, and there is no gradient of the pixels.
        """
        self._need_floats(dy, "dy (N, H, W, C)")
        grads, wanted = {}, self._wanted(caches, stop)

        def back(node, dy):
            if wanted.isdisjoint(node.inputs):
                dx, grads[node.name] = None, node.layer.parameter_gradients(dy, caches[node.name])
            else:
                dx, grads[node.name] = _backward(node.layer, dy, caches[node.name])
            if on_grads and grads[node.name]:
                on_grads(node.name, grads[node.name])
            return dx

        return self.down(dy.copy(), caches, back, wanted), grads  # a copy: a ReLU works in place

    def _wanted(self, caches, stop):
        """The names of the nodes whose gradient is asked for: those that learn, and all between them and the top."""
        if stop is None:
            return {IMAGE, *caches}
        names, wanted = list(caches), set()
        for name in names[names.index(stop) :]:
            if self[name].params or not wanted.isdisjoint(self.nodes[name].inputs):
                wanted.add(name)
        return wanted

    def deconv(self, r: Array, caches: dict, rules: Rules = PAPER, watch=None) -> Array:
        """Down: r, in the shape of the output that came with `caches`, to pixel space.  Paper, section 2.1.

        watch: the function watch(node, r) that is told what each node makes of r, of several inputs a tuple.
        """
        self._need_floats(r, "r (N, H, W, C)")

        def step(node, r):
            below = node.layer.deconv(r, caches[node.name], rules)
            if watch:
                watch(node, below)
            return below

        return self.down(r, caches, step)

    def _need_floats(self, array, what, remedy=""):
        """ValueError in a sentence, where a compiled loop would answer with pages."""
        if not hasattr(array, "dtype"):
            raise ValueError(f"This net takes {what} as an array, not as a {type(array).__name__}{remedy}.")
        wanted = next((value.dtype for value in self.params.values()), array.dtype)
        if array.ndim != 4 or array.dtype != wanted:
            shape = "x".join(map(str, array.shape))
            raise ValueError(f"This net takes {what} as {wanted}, not {array.dtype} of shape {shape}{remedy}.")

    def down(self, r: Array, caches: dict, step, wanted=None) -> Array | None:
        """r, at the layer that `caches` end in, to pixel space: r = step(node, r) for each node, from the top down.

        step returns what the node's input gets, of several inputs a tuple.  What reaches a node from several of its
        consumers is summed: they all come before it, since they stand above it.
        wanted: the names of the nodes to go to, if not all; None comes back where the pixels are not among them.
        """
        reached = {next(reversed(caches)): r}
        for name in reversed(caches):
            if name not in reached:
                continue
            node = self.nodes[name]
            r = step(node, reached.pop(name))
            for below, part in zip(node.inputs, (r,) if len(node.inputs) == 1 else r or (), strict=False):
                if wanted is None or below in wanted:
                    reached[below] = reached[below] + part if below in reached else part
        return reached.get(IMAGE)

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

    def with_execution(self, **changes: Any) -> Net:
        """The same net, and the same layers, computed otherwise: with other fields of its Execution."""
        twin = copy.copy(self)
        twin.execution = self.execution._replace(**changes)
        return twin


def _backward(layer, dy, cache):
    """(dx, grads) of one layer.  dy is nobody else's by the layers' contract, so a ReLU works in place."""
    return layer.backward(dy, cache, in_place=True) if layer.in_place else layer.backward(dy, cache)
