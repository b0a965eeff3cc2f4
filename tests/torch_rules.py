"""PyTorch's autograd as a witness of any way down, in any net: ReLU and LRN go back by a rule of ours.

    recorded = Recorded("deconv")
    with recorded:
        model(x)
    torch.autograd.grad(recorded.values[7], x, seed)

It shares nothing with the layers but the names of the rules.  At the end of the file, a Net of ours beside it.
"""

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from rawconv.layers import GRADIENT, PAPER, Rules
from rawconv.visualize.forward_pass import ForwardPass
from rawconv.visualize.projection import project
from rawconv.visualize.units import layer_object, user_name

UNITS = 20
RULES = {"deconv": PAPER, "guided": Rules("guided"), "gradient": GRADIENT}

CEILINGS = {"relu": torch.inf, "relu_": torch.inf, "relu6": 6.0}  # of torch's functions


class RuledReLU(torch.autograd.Function):
    """min(max(x, 0), ceiling); back, what the rule makes of r and of where 0 < x < ceiling."""

    @staticmethod
    def forward(ctx, x, ceiling, rule):
        ctx.save_for_backward((x > 0) & (x < ceiling))
        ctx.rule = rule
        return x.clamp(0, ceiling)

    @staticmethod
    def backward(ctx, r):
        (mask,) = ctx.saved_tensors
        back = {"deconv": r.clamp(min=0), "gradient": r * mask, "guided": r.clamp(min=0) * mask}
        return back[ctx.rule], None, None


class StraightNorm(torch.autograd.Function):
    """LRN; back, the identity."""

    @staticmethod
    def forward(ctx, x, size, alpha, beta, k):
        return torch.nn.functional.local_response_norm(x, size, alpha, beta, k)

    @staticmethod
    def backward(ctx, r):
        return r, None, None, None, None


class Recorded(TorchFunctionMode):
    """While it is entered, keep every map that is computed, as `values` in order.

    relu: "deconv", "gradient" or "guided".  An LRN goes back by its derivative with "gradient", as
    the identity with the others.
    """

    def __init__(self, relu="gradient"):
        super().__init__()
        self.relu, self.values = relu, []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        made = self._computed(function, args, kwargs or {})
        if isinstance(made, torch.Tensor) and made.is_floating_point() and made.dim() in (2, 4):
            self.values.append(made)
        return made

    def _computed(self, function, args, kwargs):
        name = getattr(function, "__name__", "")
        if name == "add_":  # of +=, which would overwrite a map that is kept
            return args[0] + args[1]
        if name in CEILINGS:
            return RuledReLU.apply(args[0], CEILINGS[name], self.relu)
        if name == "hardtanh":
            return RuledReLU.apply(args[0], float(kwargs["max_val"]), self.relu)
        if name == "local_response_norm" and self.relu != "gradient":
            about = dict(zip(("size", "alpha", "beta", "k"), args[1:], strict=False)) | kwargs
            known = {"alpha": 1e-4, "beta": 0.75, "k": 1.0} | about
            return StraightNorm.apply(
                args[0], *(known[key] for key in ("size", "alpha", "beta", "k"))
            )
        return function(*args, **kwargs)


def distance(got, want):
    """The largest difference, relative to the largest value."""
    return float(np.abs(got.reshape(want.shape) - want).max() / max(np.abs(want).max(), 1e-30))


def channels_last(net, x):
    """A tensor (N, C, H, W) as a net of ours takes it: minus the mean that a file may hold itself."""
    x = x.numpy().astype("float64").transpose(0, 2, 3, 1)
    return np.ascontiguousarray(x - net.pixel_mean, net.dtype)


def node_distances(net, x, values):
    """(the largest distance of a node's map to what PyTorch computes, {node: which of `values` it is}).

    Infinite where a node is none of PyTorch's values.
    """
    worst, places = 0.0, {}
    for name, y, _ in net.up(channels_last(net, x), asked=net.nodes):
        far, places[name] = _nearest(y.transpose(0, 3, 1, 2), values)
        worst = max(worst, far)
    return worst, places


def _nearest(y, values):
    best = float("inf"), None
    for index, value in enumerate(values):
        if tuple(value.shape) in (y.shape, y.shape[:2] if y.shape[2:] == (1, 1) else None):
            want = value.detach().numpy().reshape(y.shape)
            # the first image's first map tells most apart
            if np.abs(y[0, 0] - want[0, 0]).max() <= 1e-3 * np.abs(want).max():
                best = min(best, (distance(y, want), index))
    return best


def way_down_distances(exact, double, single, x, places, layers=5):
    """The largest distances of projections of 20 units, the strongest of some layers, by the three rules.

    (of the Net in double precision to autograd in the module `exact`, of the Net in single
    precision to that in double, with its switches and masks).  places: node_distances' of them.
    """
    passed = {net: ForwardPass(net, channels_last(net, x), net.nodes) for net in (double, single)}
    passed[single].maps |= _in_single(passed[double].maps)
    passed[single].caches |= _in_single(passed[double].caches)
    units, far, x = (
        _units_of(passed[double], places, layers),
        (0.0, 0.0),
        x.double().requires_grad_(),
    )
    for rule, rules in RULES.items():
        with Recorded(rule) as recorded:
            exact(x)
        both = (project(passed[net], units, rules) for net in (double, single))
        for ours, rounded in zip(*both, strict=True):
            want = _autograd(recorded.values, x, ours, places)
            found = distance(ours.pixels, want), distance(rounded.pixels, ours.pixels)
            far = tuple(map(max, far, found))
    return far


def _in_single(value):
    """Maps or caches with their floats in single precision, and the switches that they hold."""
    if isinstance(value, dict):
        return {key: _in_single(one) for key, one in value.items()}
    if isinstance(value, tuple):
        parts = [_in_single(one) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return value.astype(np.float32)
    return value


def _units_of(passed, places, count):
    """The strongest units of so many layers, of which the last is the scores."""
    net = passed.net
    layers = list(dict.fromkeys(layer_object(net, user_name(net, name)) for name in places))
    chosen = [layers[k] for k in np.linspace(0, len(layers) - 1, count + 1).astype(int)[1:]]
    return [
        unit for name in chosen for unit in passed.strongest(user_name(net, name), UNITS // count)
    ]


def _autograd(values, x, projection, places):
    """(H, W, C): autograd's way down from the unit of a Projection."""
    net, unit = projection.passed.net, projection.unit
    name = layer_object(net, unit.layer)
    value = values[places[name]]
    seed = torch.zeros_like(value)
    place = (0, unit.channel, unit.y, unit.x)[: value.dim()]
    seed[place] = 1 if name == net.output else value[place].detach()
    (r,) = torch.autograd.grad(value, x, seed, retain_graph=True)
    return r[0].permute(1, 2, 0).numpy()
