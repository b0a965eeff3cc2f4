"""Captum as a witness, in float64: a unit's projection is its activation times what Captum says of
the neuron.

Captum seeds the neuron with 1 and uses the norm's true derivative, so ours goes down with lrn
"gradient" and shared_switches "add"; for lrn "identity" the witness's norm is an autograd function
that hands the gradient on. Its rules change ReLU modules only, those below the neuron's own layer
too; a neuron above 0 is asked for, where the ReLU of its own layer changes nothing.
"""

import nets
import numpy as np
import pytest
from laws import assert_close
from projecting import project_units

from rawconv.experiments.occlusion import Covered, respond
from rawconv.layers import Rules
from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.layers.softmax import softmax
from rawconv.machine.arrays import to_cpu
from rawconv.visualize.forward_pass import ForwardPass

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: the witness tests need it (pip install torch)"
)
attr = pytest.importorskip(
    "captum.attr", reason="Captum is not installed: its witness needs it (pip install captum)"
)

OVERLAPPING = [  # ZFNet in small: pool then norm, norm then pool, strides, groups, a class score
    ("conv1", Conv, dict(filters=8, size=5, stride=2, pad=1)),
    ("relu1", ReLU, {}),
    ("pool1", MaxPool, dict(size=3, stride=2)),
    ("norm1", LRN, dict(alpha=0.5)),
    ("conv2", Conv, dict(filters=12, size=3, pad=1, groups=2)),
    ("relu2", ReLU, {}),
    ("pool2", MaxPool, dict(size=3, stride=2)),
    ("norm2", LRN, dict(size=3, alpha=0.3)),
    ("conv3", Conv, dict(filters=10, size=3, pad=1)),
    ("relu3", ReLU, {}),
    ("conv4", Conv, dict(filters=7, size=3, pad=1)),
    ("relu4", ReLU, {}),
    ("pool4", MaxPool, dict(size=3, stride=2)),
    ("fc5", Conv, dict(filters=9, size=None)),
    ("relu5", ReLU, {}),
    ("scores", Conv, dict(filters=5, size=None)),
]
TABLES = {"overlapping": (OVERLAPPING, (45, 39, 3)), "full": (nets.FULL, nets.SHAPE)}
RULES = {
    "deconv": "NeuronDeconvolution",
    "gradient": "NeuronGradient",
    "guided": "NeuronGuidedBackprop",
}


class Straight(torch.autograd.Function):
    """LRN on the way up, the identity on the way down."""

    @staticmethod
    def forward(ctx, x, norm):
        return norm(x)

    @staticmethod
    def backward(ctx, r):
        return r, None


class StraightNorm(torch.nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return Straight.apply(x, self.norm)


def witness(net, table, lrn):
    """The same net as PyTorch modules, its convolutions' missing zeros padded explicitly."""
    modules, shape = torch.nn.Sequential(), net.shape
    for name, kind, settings in table:
        if kind is Conv:
            layer = net[name]
            size, stride, (top, left, bottom, right), *_ = layer.window
            bottom += -(shape[0] + top + bottom - size[0]) % stride[0]
            right += -(shape[1] + left + right - size[1]) % stride[1]
            conv = torch.nn.Conv2d(
                shape[2], layer.filters, size, stride, groups=layer.groups, dtype=torch.float64
            )
            weight = np.ascontiguousarray(to_cpu(layer.weight).transpose(3, 2, 0, 1))
            conv.load_state_dict(
                {"weight": torch.tensor(weight), "bias": torch.tensor(to_cpu(layer.bias))}
            )
            module = torch.nn.Sequential(torch.nn.ZeroPad2d((left, right, top, bottom)), conv)
        elif kind is ReLU:
            module = torch.nn.ReLU()
        elif kind is LRN:
            layer = net[name]  # PyTorch divides alpha by the window's length, we do not
            module = torch.nn.LocalResponseNorm(
                layer.size, layer.alpha * layer.size, layer.beta, layer.k
            )
            module = StraightNorm(module) if lrn == "identity" else module
        elif kind is MaxPool:
            module = torch.nn.MaxPool2d(
                settings["size"], settings["stride"], settings.get("pad", 0), ceil_mode=True
            )
        else:
            assert kind is Dropout  # at test time, nothing
            module = torch.nn.Identity()
        modules.add_module(name, module)
        shape = net.shapes[name]
    return modules.eval()


def some_units(y, count=6):
    """(row, map, y, x) of units above 0, the strongest and some between, each of another map where
    there are enough.
    """
    order = np.argsort(-y, axis=None)[: max(1, (y > 0).sum())]
    units = np.stack(np.unravel_index(order, y.shape), axis=1)[:, [0, 3, 1, 2]]
    _, first = np.unique(units[:, 1], return_index=True)
    return units[np.sort(first)][:count]


@pytest.mark.parametrize("lrn", ["gradient", "identity"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("table", "shape"), TABLES.values(), ids=list(TABLES))
@pytest.mark.filterwarnings("ignore:Setting .* hooks on ReLU activations")
@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
def test_several_units_of_every_layer(xp, table, shape, rule, lrn):
    net, x = nets.make(xp, table, shape), nets.image(shape=shape)
    modules = witness(net, table, lrn)
    tx = torch.tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    asked = [name for name, kind, _ in table if kind in (ReLU, MaxPool)]
    for name in [*asked, "scores"]:
        y = to_cpu(net.forward(xp.asarray(x.copy()), name)[0]).copy()
        units = some_units(y)
        r, values = project_units(net, xp.asarray(x), name, units, Rules(rule, lrn, "add"))
        captum = getattr(attr, RULES[rule])(modules, modules.get_submodule(name))
        for (_, number, top, left), got, value in zip(
            units.tolist(), to_cpu(r), to_cpu(values), strict=True
        ):
            told = (
                captum.attribute(tx.clone(), (number, top, left))
                .detach()
                .numpy()
                .transpose(0, 2, 3, 1)[0]
            )
            want = told if name == "scores" else value * told
            assert value > 0 and np.abs(want).max() > 0
            assert_close(got, want, 1e-10)


@pytest.mark.parametrize(("table", "shape"), TABLES.values(), ids=list(TABLES))
def test_occlusion_of_every_pixel(xp, table, shape):
    """Captum gives each pixel the mean fall of P over the places of the square that cover it."""
    net, x, side, stride = nets.make(xp, table, shape), nets.image(shape=shape), 9, 3
    modules, relu = (
        witness(net, table, "gradient"),
        [name for name, kind, _ in table if kind is ReLU][1],
    )
    tops = np.stack(
        np.meshgrid(*(np.arange(0, n - side + 1, stride) for n in shape[:2]), indexing="ij"),
        axis=-1,
    )
    boxes = np.hstack([tops.reshape(-1, 2), tops.reshape(-1, 2) + side])
    maps = ForwardPass(net, xp.asarray(x.copy())).maps
    covered = Covered(maps, xp.zeros_like(maps[""]), relu, 0, 1.0)
    whole = float(to_cpu(softmax(maps["scores"])).ravel()[2])
    fall, count = np.zeros(shape[:2]), np.zeros(shape[:2])
    for (top, left, bottom, right), p in zip(
        boxes, respond(net, covered, boxes, 2)["true"], strict=True
    ):
        fall[top:bottom, left:right] += whole - p
        count[top:bottom, left:right] += 1
    tx = torch.tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    told = attr.Occlusion(lambda t: modules(t).flatten(1).softmax(1)).attribute(
        tx, (shape[2], side, side), (shape[2], stride, stride), 0.0, 2, perturbations_per_eval=5
    )
    want = told.detach().numpy()[0, 0]
    assert told.dtype == torch.float32 and np.ptp(want) > 1e-3  # Captum keeps its means in float32
    # where the stride does not end at the border, Captum adds a place cut off
    for axis, n in enumerate(shape[:2]):
        keep = slice(None, n if (n - side) % stride == 0 else n - (n - side) % stride - side + 1)
        fall, count, want = (
            np.moveaxis(np.moveaxis(a, axis, 0)[keep], 0, axis) for a in (fall, count, want)
        )
    assert_close(fall / count, want, 1e-6)
