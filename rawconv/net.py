"""A net: named layers, each fed by the layers it names, and the three passes over them.  Nothing else."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .files.messages import shape_text
from .layers import AUTO, PAPER, Execution, Layer, Rules
from .machine.arrays import Array, Device, array_module, on_cpu
from .machine.philox import RngKey
from .stages import IMAGE as IMAGE
from .stages import forward_in_stages

Caches = dict[str, Any]  # {name of a node: what its ways down need}


class Node(NamedTuple):
    """`layer`, called `name`; it takes the outputs of the nodes called `inputs`."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]


class Net:
    """Layers [(name, layer, *inputs), ...] for images of `shape` (H, W, C); builds the parameters
    they still lack.

    inputs: the names of earlier layers, "" for the image; by default the layer before, so that a
    chain needs none.
    classes: their names, in the order of the logits.  model: the name it was built by.  seed: of
    the initial weights.
    pixel_mean: what is subtracted from an image, (H, W, C) of the stored image or (C,).
    stored: rows and columns of a stored image, a square, of which the net sees the centre; by
        default those of `pixel_mean` if it is an image, else the least.
    execution, an attribute: how its convolutions are computed (layers.Execution), the same forward
        and backward.
    ValueError, which names the layer: it does not fit on those below, or names an input that does not exist.
    """

    def __init__(
        self,
        shape: Sequence[int],
        layers: Iterable[Sequence[Any]],
        classes: Sequence[str] = (),
        pixel_mean: Array | None = None,
        model: str = "",
        seed: int = 0,
        dtype: str | np.dtype[Any] = "float32",
        stored: Sequence[int] | None = None,
    ) -> None:
        self.shape: tuple[Any, ...] = tuple(shape)
        self.classes, self.model = list(classes), model
        self.pixel_mean = np.zeros(self.shape[2], np.float32) if pixel_mean is None else pixel_mean
        kept = (
            self.pixel_mean.shape[:2]
            if np.ndim(self.pixel_mean) == 3
            else (max(self.shape[:2]),) * 2
        )
        self.stored = tuple(stored or kept)
        self.execution = AUTO
        self._mean: tuple[Any, Any] = (None, None)  # pixel_mean, and its copy on a GPU
        self.nodes: dict[str, Node] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.consumers: dict[str, list[str]] = {IMAGE: []}
        rng, before = np.random.default_rng(seed), IMAGE
        for name, layer, *inputs in layers:
            node = Node(name, layer, tuple(inputs) or (before,))
            try:
                self._append(node, rng, dtype)
            except ValueError as error:
                raise ValueError(f"Layer {name}: {error}") from None
            before = name

    def _append(self, node: Node, rng: np.random.Generator, dtype: Any) -> None:
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

    def __getitem__(self, name: str) -> Any:
        return self.nodes[name].layer

    def __repr__(self) -> str:
        from .visualize.layer_table import summary

        return f"<Net {summary(self)}>"

    def _repr_html_(self) -> str:
        from .visualize.layer_table import net_html

        return net_html(self)

    @property
    def layers(self) -> list[tuple[str, Any]]:
        """[(name, layer), ...], from the bottom up: every layer comes after those whose outputs it takes."""
        return [(node.name, node.layer) for node in self.nodes.values()]

    @property
    def output(self) -> str:
        """Name of the last layer."""
        return next(reversed(self.nodes))

    @property
    def has_scores(self) -> bool:
        """Whether it ends in one number for each class; else it is a trunk, which can be looked
        into, not tested.
        """
        return self.shapes[self.output][:2] == (1, 1)

    @property
    def params(self) -> dict[tuple[str, str], Array]:
        """{(layer name, parameter name): array}, from the bottom up."""
        return {
            (name, key): value for name, layer in self.layers for key, value in layer.params.items()
        }

    @property
    def fused_ceilings(self) -> dict[str, float]:
        """{name: ceiling} of the layers that do the ReLU above them: Convs that it alone consumes."""
        ceilings: dict[str, float] = {}
        for _, layer, inputs in self.nodes.values():
            ceiling, below = layer.relu_ceiling, inputs[0]
            if ceiling is None or below == IMAGE or len(self.consumers[below]) > 1:
                continue
            if self[below].fuses_relu:
                ceilings[below] = ceiling
        return ceilings

    @property
    def convolutions(self) -> list[str]:
        """Names of the layers with filters smaller than their input, so not of fully connected ones."""
        return [
            name for name, layer, inputs in self.nodes.values()
            if layer.params and layer.window and not layer.window.covers(self.shapes.get(inputs[0], self.shape))
        ]  # fmt: skip

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the parameters."""
        return self._dtype_or(None)

    def _dtype_or(self, default: Any) -> Any:
        """Return the type of the first parameter, or `default` where there is none."""
        for node in self.nodes.values():
            for value in node.layer.params.values():
                return value.dtype
        return default

    def mean_for(self, images: Array) -> Array:
        """Return pixel_mean where the images (N, H, W, C) are: on a GPU as (H, W, C), copied there once."""
        if on_cpu(images):
            return self.pixel_mean
        source, mean = self._mean
        if source is not self.pixel_mean or (mean.shape, mean.dtype, mean.device) != (
            images.shape[1:],
            self.dtype,
            images.device,
        ):
            xp = array_module(images)
            mean = xp.asarray(np.asarray(self.pixel_mean, self.dtype))
            mean = xp.ascontiguousarray(xp.broadcast_to(mean, images.shape[1:]))
            self._mean = self.pixel_mean, mean
        return mean

    def path(self, *names: str) -> list[Node]:
        """Return the nodes that the nodes `names` depend on, and these themselves, from the bottom up."""
        needed = set(names)
        for node in reversed(self.nodes.values()):
            if node.name in needed:
                needed.update(node.inputs)
        return [node for node in self.nodes.values() if node.name in needed]

    def forward(
        self, x: Array, stop: str | None = None, rng_key: RngKey | None = None, keep: bool = True
    ) -> tuple[Array, Caches]:
        """Forward pass: return (output of layer `stop`, or logits (N, 1, 1, classes); caches).

        x: (N, H, W, C), pixels minus the mean.  rng_key: (seed, epoch, sample ids) in training,
        None otherwise.
        caches: {layer name: what backward and deconv need}.  keep: False drops them on the way, if
        neither will follow.
        ValueError: x has another type or shape, or there is no such layer.
        """
        if stop is not None and stop not in self.nodes:
            raise ValueError(f"There is no layer {stop!r}; the layers are {', '.join(self.nodes)}.")
        if not keep and rng_key is None and on_cpu(x):
            self._need_images(x)
            return forward_in_stages(self, x, stop), {}
        y, caches = x, {}
        for name, y, cache in self.up(x, rng_key, asked=(stop,), stop=stop):  # noqa: B007 (the last y is the result)
            if keep:
                caches[name] = cache
            del cache
        return y, caches

    def up(
        self,
        x: Array,
        rng_key: RngKey | None = None,
        asked: Collection[str | None] = (),
        stop: str | Iterable[str] | None = None,
    ) -> Iterator[tuple[str, Array, Any]]:
        """Yield (name, output, cache) of one layer after the other, from the bottom up to `stop` or
        to the last.

        stop: the name of a node, or several names.  A map is dropped when all of its consumers have
        taken it. A convolution applies the ReLU that alone consumes it in the same pass over the
        map; both then yield the rectified map. No cache holds the map before, which nothing else
        needs.  A convolution whose name is in `asked` yields its own output.
        """
        self._need_images(x)
        stops = [stop or self.output] if stop is None or isinstance(stop, str) else stop
        return self.walk_up(self.path(*stops), {IMAGE: x}, rng_key, asked)

    def walk_up(
        self,
        nodes: Sequence[Node],
        maps: dict[str, Array],
        rng_key: RngKey | None = None,
        asked: Collection[str | None] = (),
    ) -> Iterator[tuple[str, Array, Any]]:
        """Do what up does, of `nodes` alone.  maps: {name: output} of those below them; emptied on the way."""
        fused = {
            name: ceiling for name, ceiling in self.fused_ceilings.items() if name not in asked
        }
        waiting = Counter([name for node in nodes for name in node.inputs])
        numbers = {name: number for number, name in enumerate(self.nodes)}
        for node in nodes:
            key = None if rng_key is None else (*rng_key, numbers[node.name])
            y, cache = self._forward(node, list(map(maps.get, node.inputs)), key, fused)
            for name in node.inputs:
                waiting[name] -= 1
                if not waiting[name]:
                    del maps[name]
            maps[node.name] = y
            yield node.name, y, cache
            del y, cache  # a cache holds the map below, which may be let go

    def _forward(
        self, node: Node, inputs: list[Array], rng_key: Any, fused: dict[str, float]
    ) -> tuple[Array, Any]:
        """Return (output, cache) of one node; a ReLU that was fused only passes the map on."""
        if node.name in fused:
            return node.layer.forward(
                *inputs, rng_key=rng_key, fuse_relu=fused[node.name], **self.how(node.layer)
            )
        if node.inputs[0] in fused:
            return inputs[0], inputs[0]
        return node.layer.forward(*inputs, rng_key=rng_key, **self.how(node.layer))

    def how(self, layer: Layer) -> dict[str, Execution]:
        """Return the arguments that tell a layer's forward how it is computed in this net:
        execution=, where it takes that.
        """
        return {"execution": self.execution} if layer.takes_execution else {}

    def backward(
        self,
        dy: Array,
        caches: Caches,
        on_grads: Callable[[str, dict[str, Array]], object] | None = None,
        stop: str | None = None,
    ) -> tuple[Array | None, dict[str, dict[str, Array]]]:
        """Backward pass: return (gradient of the pixels, {layer name: {parameter name: gradient}}).

        dy: gradient of the output that came with `caches`.  on_grads(name, grads) is called as each
        layer's are ready.
        stop: the lowest layer whose parameters are learnt; nothing below its gradients is computed,
        and the gradient of the pixels is None.
        """
        self._need_floats(dy, "dy (N, H, W, C)")
        grads, wanted, fused = {}, self._wanted(caches, stop), self.fused_ceilings

        gates: dict[str, tuple[Array, float]] = {}  # of ReLUs whose Convs do their way back as well

        def back(node: Node, dy: Array) -> Any:
            below, ceiling = node.inputs[0], node.layer.relu_ceiling
            if ceiling is not None and below in fused:
                gates[below] = caches[node.name], ceiling
                return dy
            how = {"gate": gates.pop(node.name)} if node.name in gates else {}
            if wanted.isdisjoint(node.inputs):
                dx, grads[node.name] = (
                    None,
                    _parameter_gradients(node.layer, dy, caches[node.name], how),
                )
            else:
                dx, grads[node.name] = _backward(node.layer, dy, caches[node.name], how)
            if on_grads and grads[node.name]:
                on_grads(node.name, grads[node.name])
            return dx

        return self.walk_down(
            dy.copy(), caches, back, wanted
        ), grads  # a copy: a ReLU works in place

    def _wanted(self, caches: Caches, stop: str | None) -> set[str]:
        """Return the nodes whose gradients are needed: those that learn, and all above these."""
        if stop is None:
            return {IMAGE, *caches}
        names = list(caches)
        wanted: set[str] = set()
        for name in names[names.index(stop) :]:
            if not wanted.isdisjoint(self.nodes[name].inputs) or self[name].params:
                wanted.add(name)
        return wanted

    def deconv(
        self,
        r: Array | dict[str, Array],
        caches: Caches,
        rules: Rules = PAPER,
        watch: Callable[[Node, Any], object] | None = None,
    ) -> Array:
        """Deconvnet pass: project r, in the shape of the output that came with `caches`, to pixel
        space.  Paper, section 2.1.

        r: or {node: what has come down to it so far}, of several nodes, to go on from there.
        watch: called as watch(node, r) with what each node yields, of several inputs a tuple.
        """
        for value in r.values() if isinstance(r, dict) else (r,):
            self._need_floats(value, "r (N, H, W, C)")

        def step(node: Node, r: Array) -> Any:
            below = node.layer.deconv(r, caches[node.name], rules)
            if watch:
                watch(node, below)
            return below

        return self.walk_down(r, caches, step)

    def _need_images(self, x: Any) -> None:
        self._need_floats(
            x, "x (N, H, W, C), pixels minus the mean,", "; preprocessing.preprocess makes it"
        )

    def _need_floats(self, array: Any, what: str, remedy: str = "") -> None:
        """ValueError, one sentence: the array has another type or shape.  A compiled loop would
        answer with pages.
        """
        if not hasattr(array, "dtype"):
            raise ValueError(
                f"This net takes {what} as an array, not as a {type(array).__name__}{remedy}."
            )
        wanted = self._dtype_or(array.dtype)
        if array.ndim != 4 or array.dtype != wanted:
            shape = shape_text(array.shape)
            raise ValueError(
                f"This net takes {what} as {wanted}, not {array.dtype} of shape {shape}{remedy}."
            )

    def walk_down(
        self,
        value: Array | dict[str, Array],
        caches: Caches,
        step: Callable[[Node, Any], Any],
        wanted: Collection[str] | None = None,
    ) -> Any:
        """Walk from the layer that `caches` end in to the pixels: value = step(node, value) for
        each node, from the top down.  Return what reaches the pixels.

        step returns what the node's input gets, of a layer that joins several a tuple.  What
        reaches a node from several consumers is summed: all of them stand above it, and so come
        before it.
        value: or {node: its value}, where several nodes have one to begin with.
        wanted: the names of the nodes to visit, if not all; without the pixels among them, None is
        returned.  step may return None where none of a node's inputs is among them.
        """
        reached = dict(value) if isinstance(value, dict) else {next(reversed(caches)): value}
        for name in reversed(caches):
            if name not in reached:
                continue
            node = self.nodes[name]
            value = step(node, reached.pop(name))
            if value is None:
                continue
            parts = value if node.layer.joins else (value,)
            for below, part in zip(node.inputs, parts, strict=True):
                if wanted is None or below in wanted:
                    reached[below] = reached[below] + part if below in reached else part
        return reached.get(IMAGE)

    def to(self, device: Device) -> Net:
        """Move the parameters to a Device (see arrays.py), where products are in TF32 if it says so
        or the net was trained so; return the net.
        """
        tf32 = device.index is not None and (device.tf32 or self.execution.tf32)
        self.execution = self.execution._replace(tf32=tf32)
        return self._convert(device.put)

    def astype(self, dtype: str) -> Net:
        """Convert the parameters to float32 or float64; return the net."""
        return self._convert(lambda value: value.astype(dtype))

    def _convert(self, function: Callable[[Array], Array]) -> Net:
        for _, layer in self.layers:
            for key, value in layer.params.items():
                setattr(layer, key, function(value))
        return self

    def with_execution(self, **changes: Any) -> Net:
        """Return the same net, with the same layers, but other fields of its Execution."""
        twin = copy.copy(self)
        twin.execution = self.execution._replace(**changes)
        return twin


def last_under(prefix: str, names: Collection[str]) -> str | None:
    """Return `prefix` where it is one of `names`, else the last of those under it, as "layer2.0" or
    "fire4"; None where there is none.
    """
    if prefix in names:
        return prefix
    under = [name for name in names if name.startswith((f"{prefix}.", f"{prefix}/"))]
    return under[-1] if under else None


def _backward(
    layer: Any, dy: Array, cache: Any, how: dict[str, Any]
) -> tuple[Any, dict[str, Array]]:
    """Return (dx, grads) of one layer.  By the layers' contract nobody else uses dy, so a ReLU may
    work in place.
    """
    if layer.in_place:
        how = how | {"in_place": True}
    return layer.backward(dy, cache, **how)


def _parameter_gradients(
    layer: Any, dy: Array, cache: Any, how: dict[str, Any]
) -> dict[str, Array]:
    """Return the grads of one layer whose dx nobody needs."""
    if layer.parameter_gradients:
        return layer.parameter_gradients(dy, cache, **how)
    return _backward(layer, dy, cache, how)[1]
