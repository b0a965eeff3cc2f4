"""Whether a net can be trusted: finite weights and outputs, one score a class; if not, the layer that is at fault."""

import numpy as np

from .errors import RawconvError
from .machine.arrays import to_cpu

REMEDY = "Use another checkpoint, or train again with a lower --lr."


def fault(net):
    """What keeps a net from any answer, naming the layer: numbers that are not finite.  None where all is well."""
    if not np.isfinite(to_cpu(net.mean)).all():
        return "The mean picture of this net holds numbers that are not finite"
    for (name, key), value in net.params.items():
        if not np.isfinite(to_cpu(value)).all():
            return f"Layer {name} of this net has a {key} with numbers that are not finite"
    return None


def check_net(net):
    """RawconvError where `fault` finds one."""
    if found := fault(net):
        raise RawconvError(f"{found}. {REMEDY}")


def check_scores(net):
    """RawconvError where the net does not end in one score for each of its classes."""
    name, (height, width, scores) = list(net.shapes.items())[-1]
    if (height, width) != (1, 1):
        raise RawconvError(f"Layer {name} of this net ends in maps of {height}x{width}, not in one score a class.")
    if len(net.classes) not in (0, scores):
        raise RawconvError(f"Layer {name} of this net has {scores} scores, and {len(net.classes)} classes have names.")


def check_finite(net, values, x):
    """RawconvError, naming the first layer to blame, where `values` that the net made of x (N, H, W, C) are not finite.

    x may be overwritten then.
    """
    if not np.isfinite(to_cpu(values)).all():
        check_net(net)
        with np.errstate(over="ignore", invalid="ignore"):
            raise RawconvError(f"What this net answers is not finite{first_broken(net, x)}. {REMEDY}")


def first_broken(net, x):
    """Where, going up with pictures x, the first NaN or infinity appears, as the end of a sentence; "" if nowhere."""
    for name, y, _ in net.up(x, asked=net.nodes):
        for key, value in net[name].params.items():
            if not np.isfinite(to_cpu(value)).all():
                return f"; the first layer with a {key} that is not finite is {name}"
        if not np.isfinite(to_cpu(y)).all():
            return f"; going up, the output of {name} is the first that is not finite"
    return ""
