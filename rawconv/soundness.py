"""Whether a net can be trusted: finite weights and outputs, a score for each class; if not, which
layer is at fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .errors import RawconvError
from .machine.arrays import to_cpu

if TYPE_CHECKING:
    from .machine.arrays import Array
    from .net import Net

REMEDY = "Use another checkpoint, or train again with a lower --lr."


def fault(net: Net) -> str | None:
    """Return what keeps a net from answering at all, numbers that are not finite, with the layer;
    None where all is well.
    """
    if not np.isfinite(to_cpu(net.pixel_mean)).all():
        return "The mean picture of this net holds numbers that are not finite"
    for (name, key), value in net.params.items():
        if not np.isfinite(to_cpu(value)).all():
            return f"Layer {name} of this net has a {key} with numbers that are not finite"
    return None


def check_net(net: Net) -> None:
    """RawconvError: `fault` finds something."""
    if fault_text := fault(net):
        raise RawconvError(f"{fault_text}. {REMEDY}")


def check_scores(net: Net) -> None:
    """RawconvError: the net does not end in one score for each of its classes."""
    name, (height, width, scores) = list(net.shapes.items())[-1]
    if not net.has_scores:
        remedy = "look into its layers, or use a net with its classifier"
        raise RawconvError(
            f"Layer {name} of this net ends in maps of {height}x{width}, not in one score a class; {remedy}."
        )
    if len(net.classes) not in (0, scores):
        raise RawconvError(
            f"Layer {name} of this net has {scores} scores, and {len(net.classes)} classes have names."
        )


def check_finite(net: Net, values: Array, x: Array) -> None:
    """RawconvError, which names the first layer at fault: `values`, computed by the net from x (N,
    H, W, C), are not finite.

    x may be overwritten then.
    """
    if not np.isfinite(to_cpu(values)).all():
        check_net(net)
        with np.errstate(over="ignore", invalid="ignore"):
            raise RawconvError(
                f"What this net answers is not finite{first_broken(net, x)}. {REMEDY}"
            )


def first_broken(net: Net, x: Array) -> str:
    """Return the end of a sentence that says in which layer the first NaN or infinity appears, "" if in none.

    x: images (N, H, W, C), as net.forward takes them.
    """
    for name, y, _ in net.up(x, asked=net.nodes):
        for key, value in net[name].params.items():
            if not np.isfinite(to_cpu(value)).all():
                return f"; the first layer with a {key} that is not finite is {name}"
        if not np.isfinite(to_cpu(y)).all():
            return f"; going up, the output of {name} is the first that is not finite"
    return ""
