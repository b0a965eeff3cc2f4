"""A batch of images that went up once, to be asked as often as one likes.

    passed = forward_pass(net, ["cat.jpg", "dog.jpg"])      up, once: a ForwardPass
    passed.logits                                           (N, classes), before softmax
    passed["conv4"]                                         (N, H, W, C), the layer's output after its ReLU
    passed.classes(5)                                       of each image [(class, probability), ...]
    units = passed.strongest("conv4", 9)                    [Unit, ...] of the first image
    for projection in project(passed, units): ...           see projection.py

All of it stays on the net's device.  `forward_passes` sends many images up in parts that fit a
budget of memory, and `passes_of_units` those images of a data set that some units are in.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from .. import soundness
from ..data.images import check_count, stored_batch
from ..data.preprocessing import center_crop, preprocess, stored_size
from ..errors import UsageError
from ..layers.softmax import softmax
from ..machine.arrays import Array, to_cpu
from ..machine.threads import cut
from ..net import IMAGE, Net
from . import notebook_html
from .units import Unit, is_score, layer_object, parse_unit, user_name

if typing.TYPE_CHECKING:
    from typing import Any

    from ..data import Split
    from ..data.images import ImagesLike

WORKSPACE = 256 << 20  # bytes that the feature maps and caches of one pass may take


class ForwardPass:
    """Images that went up a net once: feature maps and caches by the names of the net's nodes, on its device.

    net: the Net.
    x: (N, H, W, C), what went in: data.preprocessing.preprocess makes it of stored images.
    layers: the names of the layers to go up to, as users give them; by default the net's last.
    images: the stored images (N, S, S, 3), uint8, that x was made of, where they are known.
    maps: {node: its output (N, H, W, C)}, and x as maps[IMAGE].  A convolution that does the work
    of its ReLU has the ReLU's map.
    caches: {node: what its ways down need}.
    """

    def __init__(
        self,
        net: Net,
        x: Array,
        layers: Iterable[str | int] | None = None,
        images: np.ndarray | None = None,
    ):
        self.net, self.x, self.images = net, x, images
        self.maps: dict[str, Array] = {IMAGE: x}
        self.caches: dict[str, object] = {}
        tops = _nodes(net, layers)
        # who looks at a map says in words that it is not finite
        with np.errstate(over="ignore", invalid="ignore"):
            for name, y, cache in net.up(x, asked=tops, stop=tops):
                self.maps[name], self.caches[name] = y, cache

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"<ForwardPass of {notebook_html.pass_line(self)}>"

    def _repr_html_(self) -> str:
        return notebook_html.pass_html(self)

    def __getitem__(self, layer: str | int) -> Array:
        """The output (N, H, W, C) of a layer as users name it: "conv4" and 4 are the feature maps
        after its ReLU.

        UsageError where the net has no such layer, or the pass did not go up to it.
        """
        name = layer_object(self.net, layer)
        if name not in self.maps:
            top = user_name(self.net, next(reversed(self.maps)))
            raise UsageError(
                f"These images went up to {top} only; name {layer} among the layers to go up to."
            )
        return self.maps[name]

    def caches_to(self, name: str) -> dict[str, Any]:
        """{node: cache} of all nodes that node `name` is made of, from the bottom up to itself."""
        return {node.name: self.caches[node.name] for node in self.net.path(name)}

    def center_crops(self) -> np.ndarray:
        """Cut out of the images what the net sees: uint8 (N, H, W, 3).  ValueError: the images are
        not known.
        """
        if self.images is None:
            raise ValueError("This ForwardPass was made of x alone; give it the stored images too.")
        return center_crop(self.net, self.images)

    # ---------------------------------------------------------------------------------------- what the net says

    @property
    def logits(self) -> Array:
        """(N, classes), before softmax; users call them scores."""
        return self["scores"].reshape(len(self), -1)

    def classes(self, count: int = 5) -> list[list[tuple[str, float]]]:
        """Find the `count` most probable classes of each image: [(class name, probability), ...].

        UsageError where `count` is no whole number from 1 on.  RawconvError, naming the layer,
        where the net has no score for each class or its scores are not finite.
        """
        check_count(count, "count")
        soundness.check_scores(self.net)
        y = self["scores"]
        soundness.check_finite(self.net, y, self.x)
        p = to_cpu(softmax(y)).reshape(len(self), -1)
        names = self.net.classes or [str(k) for k in range(p.shape[1])]
        order = np.argsort(-p, axis=1, kind="stable")[:, :count]
        return [
            [(names[k], float(row[k])) for k in best] for row, best in zip(p, order, strict=True)
        ]

    # ---------------------------------------------------------------------------------------- units

    def strongest(
        self,
        layer: str | int,
        count: int = 9,
        channels: Iterable[int] | None = None,
        image: int = 0,
    ) -> list[Unit]:
        """Find the strongest position of each feature map of a layer in one image; return the
        `count` strongest of these.

        Maps that are 0 everywhere are left out, unless they are class scores.
        channels: instead, the strongest positions of these maps, in this order, dead or not.
        image: the image's row in the pass.
        RawconvError, which names the layer: its output is not finite.
        """
        name, y = layer_object(self.net, layer), self[layer]
        soundness.check_finite(self.net, y, self.x)
        flat, width = to_cpu(y[image]).reshape(-1, y.shape[3]), y.shape[2]
        best = flat.max(axis=0)
        if channels is None:
            numbers = np.argsort(-best, kind="stable")[:count]
            numbers = numbers[(best[numbers] != 0) | is_score(self.net, name)]
        else:
            numbers = np.array(list(channels), np.int64)
        places, user_layer = flat[:, numbers].argmax(axis=0).tolist(), user_name(self.net, name)
        return [
            Unit(image, user_layer, number, *divmod(place, width))
            for number, place in zip(numbers.tolist(), places, strict=True)
        ]

    def unit(self, unit: str | Unit, image: int = 0) -> Unit:
        """Return a Unit, or the one of a name in one image; "conv4:17" becomes the strongest
        position of map 17 there.

        UsageError: the net has no such unit.
        """
        unit = unit if isinstance(unit, Unit) else parse_unit(self.net, unit, image)
        if unit.whole or unit.y is not None:
            return unit
        y = self[unit.layer][unit.image, :, :, unit.channel]
        top, left = divmod(int(y.argmax()), y.shape[1])
        return unit._replace(y=top, x=left)

    def dead(self, unit: str | Unit) -> str:
        """Return a sentence on a unit that is 0 in its image, with the strongest position of its
        map; "" for any other.

        A class score is never dead.
        """
        unit = self.unit(unit)
        values = to_cpu(self[unit.layer][unit.image, :, :, unit.channel])
        here = values.any() if unit.whole else values[unit.y, unit.x]
        if here or is_score(self.net, layer_object(self.net, unit.layer)):
            return ""
        channel = f"{unit.layer}:{unit.channel}"
        if not values.any():
            return f"{channel} is 0 everywhere in this picture: it is dead there and its projection is empty."
        best = self.unit(unit._replace(y=None, x=None))
        return (
            f"{unit} is 0 in this picture: it is dead there and its projection is empty; the strongest place of its "
            f"map is {best}, with {values[best.y, best.x]:.4g}."
        )


def _nodes(net: Net, layers: Any) -> Any:
    """The nodes of layers as users name them, each once; by default the net's last."""
    return (
        list(dict.fromkeys(layer_object(net, layer) for layer in layers))
        if layers
        else [net.output]
    )


# -------------------------------------------------------------------------------------------- images up


def forward_pass(
    net: Net, images: ImagesLike, layers: Iterable[str | int] | None = None
) -> ForwardPass:
    """Send images up once: their ForwardPass.

    images: one or several; each is a path, a Pillow picture or a uint8 array (H, W, 3), (H, W) or
    (H, W, 4) of any size.  All are held at once: for many take `forward_passes`.
    layers: the names of the layers to go up to, as users give them; by default the net's last.
    """
    stored = stored_batch(images, stored_size(net))
    return ForwardPass(net, preprocess(net, stored), layers, stored)


def forward_passes(
    net: Net, images: np.ndarray, layers: Iterable[str | int] | None = None, workspace: int = WORKSPACE,
    with_next: bool = False,
) -> Iterator[tuple[slice, ForwardPass]]:  # fmt: skip
    """(which of the images, their ForwardPass), part by part; each image goes up once.

    images: stored, uint8 (N, S, S, 3).
    workspace: bytes that the maps and caches of one part may take.
    with_next: the image after a part's last, or the first after all, goes up with it, as the last
    row; for controls that exchange something with the next image.
    """
    step = at_once(net, layers, workspace)
    for part in cut(len(images), step):
        some = images[part]
        if with_next and len(some) < len(images):
            some = np.concatenate([some, images[part.stop % len(images)][None]])
        yield part, ForwardPass(net, preprocess(net, some), layers, some)


def passes_of_units(
    net: Net, split: Split, units: Iterable[Unit], workspace: int = WORKSPACE,
    beside: Callable[[int], int] | None = None,
) -> Iterator[tuple[ForwardPass, list[tuple[Unit, Unit]], np.ndarray | None]]:  # fmt: skip
    """Run the images of `split` that the units are in through the net once, part by part:
    (ForwardPass, units, others).

    units: whose `image` is a sample's number in the split.
    workspace: bytes that the maps and caches of one part may take.
    beside: for --control other-switches, the function from a sample's number to that of another,
    which goes up too.

    What comes back of each part, images that need the upper layers last: units, [(unit as given,
    the same with its image's row in the pass)], and others, for each row of the pass the row of the
    image beside it, or None.
    """
    depth = {name: place for place, name in enumerate(net.nodes)}
    places = {layer: depth[layer_object(net, layer)] for layer in {unit.layer for unit in units}}
    of_image = _by_image(units, places)
    images = list(of_image)
    layers = sorted(places, key=places.__getitem__)
    step = at_once(net, layers, workspace) if layers else 1
    for part in cut(len(images), max(1, step // 2) if beside else step):
        some = sorted(images[part])
        ids = sorted({*some, *map(beside, some)}) if beside else some
        row = {image: k for k, image in enumerate(ids)}
        rows = [
            (unit, unit._replace(image=row[image])) for image in some for unit in of_image[image]
        ]
        rows.sort(key=lambda pair: (places[pair[0].layer], pair[0]))
        asked, stored = list(dict.fromkeys(unit.layer for unit, _ in rows)), split.read(ids)
        passed = ForwardPass(net, preprocess(net, stored), asked, stored)
        others = np.array([row.get(beside(image), 0) for image in ids]) if beside else None
        yield passed, rows, others


def _by_image(units: Iterable[Unit], places: dict[str, int]) -> dict[int, list[Unit]]:
    """Return {image: its units}, images last whose units lie highest; places: {layer: its number
    from below}.
    """
    of_image: dict[int, list[Unit]] = {}
    for unit in units:
        of_image.setdefault(unit.image, []).append(unit)
    top = {image: max(places[unit.layer] for unit in some) for image, some in of_image.items()}
    return {
        image: of_image[image] for image in sorted(of_image, key=lambda image: (top[image], image))
    }


def at_once(net: Net, layers: Iterable[str | int] | None, workspace: int) -> int:
    """Return how many images may go up together to `layers`, if all of their maps share `workspace` bytes."""
    path = net.path(*_nodes(net, layers))
    elements = math.prod(net.shape) + sum(math.prod(net.shapes[node.name]) for node in path)
    return max(1, workspace // (elements * np.dtype(net.dtype).itemsize))
