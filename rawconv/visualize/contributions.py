"""Why this class and not that one: what each unit of a layer adds to the difference of two logits.

    passed = forward_pass(net, "cat.jpg")
    layer, *lower = last_layers(net)                     "fc7", then "conv5": where to look first
    found = contributions(passed, layer, guessed=3, true=5)
    found.maps.sum() + found.rest                        logit of class 3 - logit of class 5
    for_guessed, for_true = found.strongest(5)           the maps that speak most for the one and for the other

    what a unit adds = activation * d(logit of guessed - logit of true) / d(activation)

Where every layer above is linear, as from fc7 or from what a net averages before its classifier,
the slope is the difference of the unit's two weights, the sum is exact and the rest is what does
not pass through the layer: the difference of the biases, and what other branches add.  From lower
layers the slope holds for small changes alone, and the rest is what the sum leaves; guided and
deconvnet rules have no part in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import soundness
from ..errors import UsageError
from ..files.messages import few
from ..layers import GRADIENT
from ..machine.arrays import array_module, to_cpu
from .units import Unit, is_score, layer_names, layer_object, user_name

if TYPE_CHECKING:
    from typing import Any

    from ..machine.arrays import Array
    from ..net import Net, Node
    from .forward_pass import ForwardPass


class Contribution(NamedTuple):
    """What one feature map adds to the difference.

    unit: its place that adds most, where that is on the side of the sum.  value: the activation there.
    adds: the sum over all of its places, above 0 where it speaks for the guessed class.
    """

    unit: Unit
    value: float
    adds: float


class Contributions(NamedTuple):
    """What the feature maps of a layer add to the logit of `guessed` minus the logit of `true`.

    layer: as users name it.  guessed, true: numbers of classes.  difference: of their logits.
    units: the Unit of each feature map that adds most, in their order.  values: their activations, (F,).
    maps: what each feature map adds, (F,), float64.  rest: what is left of the difference.
    bent: the layers above that are not linear; where there is none, maps and rest are exact.
    """

    layer: str
    guessed: int
    true: int
    difference: float
    units: list[Unit]
    values: np.ndarray
    maps: np.ndarray
    rest: float
    bent: list[str]

    @property
    def method(self) -> str:
        """A sentence: how the numbers were found, and what the rest is."""
        if not self.bent:
            return (
                f"Exact: {self.layer} reaches the class scores through linear layers alone. A unit adds its activation "
                "times the difference of its two weights; the rest is what does not pass through this layer: the "
                "difference of the biases, and what other branches add."
            )
        return (
            f"Activation × gradient: between {self.layer} and the class scores stand layers that are not linear "
            f"({few(self.bent, 4, counted=True)}). A unit adds its activation times the slope of the difference at "
            "this picture; the rest is what that leaves, of biases and of what a slope does not tell."
        )

    def strongest(self, count: int = 5) -> tuple[list[Contribution], list[Contribution]]:
        """Return the `count` maps that speak most for the guessed class, and those for the true
        one, each list from the strongest on; a map that adds nothing is in neither.
        """
        order = np.argsort(-self.maps, kind="stable")
        sides = order[self.maps[order] > 0], order[::-1][self.maps[order[::-1]] < 0]
        guessed, true = (
            [
                Contribution(self.units[m], float(self.values[m]), float(self.maps[m]))
                for m in side[:count].tolist()
            ]
            for side in sides
        )
        return guessed, true

    def numbers(self) -> dict[str, Any]:
        """Return all of it as JSON takes it; "for" is what a map adds, "sums" what all add on either side.

        The maps stand in the order of what they add, the most for the guessed class first.
        """
        maps = self.maps
        return {
            "layer": self.layer, "how": self.method, "exact": not self.bent,
            "guessed": self.guessed, "true": self.true, "difference": self.difference, "rest": self.rest,
            "sums": [float(maps[maps > 0].sum()), float(maps[maps < 0].sum())],
            "contributions": [
                {"unit": str(self.units[m]), "for": float(maps[m]), "value": float(self.values[m])}
                for m in np.argsort(-maps, kind="stable").tolist()
            ],
        }  # fmt: skip


def contributions(
    passed: ForwardPass, layer: str | int, guessed: int, true: int, image: int = 0
) -> Contributions:
    """Find what the units of a layer add to the logit of class `guessed` minus that of class `true`.

    passed: images that went up to the class scores.  image: the image's row in the pass.
    UsageError where the two classes are one, or the layer does not exist or is the scores
    themselves.  RawconvError where the net has no score for each class or the scores are not finite.
    """
    net, name = passed.net, layer_object(passed.net, layer)
    _check(passed, name, guessed, true)
    y = to_cpu(passed.maps[name])[image].astype(np.float64)
    above, logits = _above(net, name), to_cpu(passed.logits)[image].astype(np.float64)
    adds = y * to_cpu(_slopes(passed, name, above, (guessed, true)))[image]
    maps, difference = adds.sum(axis=(0, 1)), float(logits[guessed] - logits[true])
    bent = [node for node in above if not net[node].linear]
    if bent:
        rest = difference - float(maps.sum())
    else:
        constant = _constant(passed, name, above)[image]
        rest = float(constant[guessed]) - float(constant[true])
    units = _largest_places(adds * np.sign(maps), user_name(net, name), image)
    values = np.array([y[unit.y, unit.x, unit.channel] for unit in units])
    classes = guessed, true
    return Contributions(units[0].layer, *classes, difference, units, values, maps, rest, bent)


def _check(passed: ForwardPass, name: str, guessed: int, true: int) -> None:
    """UsageError or RawconvError where the difference of the classes is not made of node `name`."""
    net = passed.net
    soundness.check_scores(net)
    soundness.check_finite(net, passed["scores"], passed.x)
    if guessed == true:
        raise UsageError("A class has no difference from itself; name two classes.")
    if is_score(net, name) or name not in {node.name for node in net.path(net.output)}:
        raise UsageError(f"No class score is made of {user_name(net, name)}; name a layer below.")


def _largest_places(adds: np.ndarray, layer: str, image: int) -> list[Unit]:
    """The Unit of each map where adds, (H, W, F), is largest."""
    best = adds.reshape(-1, adds.shape[2]).argmax(axis=0).tolist()
    places = [divmod(place, adds.shape[1]) for place in best]
    return [Unit(image, layer, channel, *place) for channel, place in enumerate(places)]


def _above(net: Net, name: str) -> list[str]:
    """The nodes on the way to the logits that are made of node `name`, from the bottom up."""
    made, above = {name}, []
    for node in net.path(net.output):
        if made.intersection(node.inputs):
            made.add(node.name)
            above.append(node.name)
    return above


def _slopes(passed: ForwardPass, name: str, above: list[str], classes: tuple[int, int]) -> Array:
    """d(logit - logit) / d(map `name`), (N, H, W, F), of two classes."""
    net, wanted, slopes = passed.net, {name, *above}, {}
    y = passed.maps[net.output]
    seed = array_module(y).zeros_like(y)
    seed[..., classes[0]], seed[..., classes[1]] = 1, -1

    def step(node: Node, r: Array) -> Any:
        if node.name == name:
            slopes[name] = r
            return None
        return node.layer.deconv(r, passed.caches[node.name], GRADIENT)

    net.walk_down(seed, passed.caches_to(net.output), step, wanted)
    return slopes[name]


def _constant(passed: ForwardPass, name: str, above: list[str]) -> np.ndarray:
    """The logits (N, classes) where map `name` is 0."""
    net, maps = passed.net, passed.maps
    nodes = [net.nodes[node] for node in above]
    below = {source: maps[source] for node in nodes for source in node.inputs if source in maps}
    below[name] = y = array_module(maps[name]).zeros_like(maps[name])
    for _, y, _ in net.walk_up(nodes, below):  # noqa: B007 (the last y is the result)
        pass
    return to_cpu(y).reshape(len(passed), -1)


def last_layers(net: Net, count: int = 2) -> list[str]:
    """Return the names of the layers to ask for contributions first, as users give them.

    The first is the one whose maps the classifier's weights are about.  The others lie below and have
    more than one place.  Everything that reaches the scores goes through each of them; no pools.
    """
    named, cuts = set(layer_names(net).values()), _cuts(net)
    path = net.path(net.output)
    learnt = [k for k, node in enumerate(path) if node.layer.params]
    lower = [
        node.name
        for node in reversed(path[: max(learnt, default=0)])
        if node.name in named & cuts and (node.layer.params or not node.layer.window)
    ]
    upper = [name for name in lower[1:] if max(net.shapes[name][:2]) > 1]
    return [user_name(net, name) for name in (*lower[:1], *upper)][:count]


def _cuts(net: Net) -> set[str]:
    """The nodes that all ways from the image to the logits go through."""
    needed, cuts = {net.output}, set[str]()
    for node in reversed(net.path(net.output)):
        if needed == {node.name}:
            cuts.add(node.name)
        needed.remove(node.name)
        needed.update(node.inputs)
    return cuts
