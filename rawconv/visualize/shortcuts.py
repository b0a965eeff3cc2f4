"""One call from an image to an answer: what a notebook calls as rawconv.project and rawconv.classify.

Both send each image up once.  To ask more than one question about an image, keep its ForwardPass:
forward_pass.py.
"""

from __future__ import annotations

import typing
import warnings

import numpy as np

from ..data.images import check_count, is_batch, stored_batch
from ..data.preprocessing import stored_size
from ..errors import UsageError
from ..layers import PAPER, Rules
from ..net import Net
from . import projection
from .forward_pass import forward_passes
from .units import parse_unit

if typing.TYPE_CHECKING:
    from typing import Any

    from ..data.images import ImagesLike


def project(net: Net, image: ImagesLike, unit: str, rules: Rules = PAPER) -> np.ndarray:
    """Project a unit of an image: signed, (H, W, 3) of the net's input; of several images (N, H, W, 3).

    image: a path, a Pillow picture, uint8 (H, W, 3), (H, W) or (H, W, 4) of any size; several: an
    array (N, H, W, 3) or a list of these.
    unit: "conv4:17" the strongest place of map 17, "conv4:17:y:x" that place, "conv4:17:*" the whole map.
    rules: what a ReLU, an LRN and shared switches do on the way down.
    Warns of a unit that is 0 in an image, and of one of which nothing comes down: its projection is empty.
    UsageError where the net has no such unit, or something given is of another kind.
    """
    if not isinstance(rules, Rules):
        raise UsageError(
            f"rules are a rawconv.layers.Rules, as Rules('guided'), not {rules!r:.80}."
        )
    stored, projections = stored_batch(image, stored_size(net)), []
    layer = parse_unit(net, unit).layer
    for _, passed in forward_passes(net, stored, [layer]):
        units = [passed.unit(unit, row) for row in range(len(passed))]
        # whole maps: the sums of Net.deconv in its order, where windows may round otherwise
        for unit_projection in projection.project(passed, units, rules, full=True):
            if unit_projection.dead:
                warnings.warn(passed.dead(unit_projection.unit), stacklevel=2)
            elif unit_projection.empty:
                warnings.warn(unit_projection.lost(), stacklevel=2)
            projections.append(unit_projection.pixels)
    return np.stack(projections) if is_batch(image) else projections[0]


def classify(net: Net, image: ImagesLike, count: int = 5) -> list[Any]:
    """Find the `count` most probable classes of an image: [(class name, probability), ...]; of
    several, a list of these.

    image: a path, a Pillow picture, uint8 (H, W, 3), (H, W) or (H, W, 4) of any size; several: an
    array (N, H, W, 3) or a list of these.
    UsageError where `count` is no whole number from 1 on.  RawconvError, naming the layer, where
    the net has no score for each class or its scores are not finite.
    """
    check_count(count, "count")
    stored = stored_batch(image, stored_size(net))
    best_classes = [
        best for _, passed in forward_passes(net, stored) for best in passed.classes(count)
    ]
    return best_classes if is_batch(image) else best_classes[0]
