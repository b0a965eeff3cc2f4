"""Many units of one layer as arrays: for the laws, which compare arrays."""

import numpy as np

from rawconv.layers import PAPER
from rawconv.machine.arrays import array_module
from rawconv.visualize.forward_pass import ForwardPass
from rawconv.visualize.projection import project
from rawconv.visualize.units import Unit, layer_object, user_name


def project_units(net, x, layer, units, rules=PAPER, full=False, control=None, others=None):
    """Units (U, 4), row of x, map, y, x -> (r (U, H, W, C), their activations (U,)), NumPy's.

    others: the prepared pictures whose switches a control gives to those of x.
    """
    given = user_name(net, layer_object(net, layer))
    units = [
        Unit(int(row), given, *map(int, place))
        for row, *place in np.asarray(units, int).reshape(-1, 4)
    ]
    beside = (
        None
        if others is None
        else (np.arange(len(x) + len(others)) + len(x)) % (len(x) + len(others))
    )
    x = x if others is None else array_module(x).concatenate([x, others])
    found = list(project(ForwardPass(net, x, [layer]), units, rules, control, beside, full))
    if not found:
        return np.empty((0, *net.shape), x.dtype), np.empty(0, x.dtype)
    return np.stack([one.pixels for one in found]), np.array([one.value for one in found], x.dtype)
