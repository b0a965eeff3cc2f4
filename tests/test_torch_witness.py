"""PyTorch as a witness, in float64: it shares no code and no author with the layers or with the reference."""

import nets
import numpy as np
import pytest
import reference as ref
from laws import assert_close, clear_of_kinks
from nets import FULL, image, one_hot, strongest

from rawconv.layers import GRADIENT, Rules
from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.layers.softmax import softmax_cross_entropy
from rawconv.machine.arrays import to_cpu

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: the witness tests need it (pip install torch)"
)
F = torch.nn.functional


def to_torch(array, grad=False):
    """NHWC -> NCHW (filters (KH, KW, C, F) -> (F, C, KH, KW) are turned by the caller)."""
    return torch.tensor(
        np.ascontiguousarray(np.asarray(array).transpose(0, 3, 1, 2)), requires_grad=grad
    )


def from_torch(tensor):
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def filters_to_torch(weight, grad=False):
    return torch.tensor(
        np.ascontiguousarray(to_cpu(weight).transpose(3, 2, 0, 1)), requires_grad=grad
    )


def torch_conv(x, weight, bias, stride=1, pad=0, groups=1, ceil_mode=True):
    """PyTorch floors: the zeros that ceil adds at the right and bottom are padded explicitly."""
    (sh, sw), (top, left, bottom, right) = ref.pair(stride), ref.four(pad)
    (h, w), (kh, kw) = x.shape[2:], weight.shape[2:]
    if ceil_mode:
        bottom += -(h + top + bottom - kh) % sh
        right += -(w + left + right - kw) % sw
    return F.conv2d(
        F.pad(x, (left, right, top, bottom)), weight, bias, stride=(sh, sw), groups=groups
    )


@pytest.mark.parametrize(
    "settings",
    [
        dict(size=3, stride=2),
        dict(size=3, stride=2, ceil_mode=False),
        dict(size=(3, 4), stride=(2, 3), pad=(0, 1, 2, 3)),
        dict(size=5, pad=2, groups=2),
        dict(size=2, stride=3, groups=2),
        dict(size=3, pad=1, groups=4),
        dict(size=1, stride=4),
    ],
)
def test_conv(settings, xp):
    rng = np.random.default_rng(1)
    layer = Conv(8, **settings)
    layer.build((10, 13, 4), np.random.default_rng(0), dtype="float64")
    layer.weight = xp.asarray(rng.standard_normal(layer.weight.shape))
    layer.bias = xp.asarray(rng.standard_normal(8))
    x = rng.standard_normal((3, 10, 13, 4))
    y, cache = layer.forward(xp.asarray(x))
    tx, tw = to_torch(x, True), filters_to_torch(layer.weight, True)
    tb = torch.tensor(to_cpu(layer.bias), requires_grad=True)
    known = {key: value for key, value in settings.items() if key != "size"}
    ty = torch_conv(tx, tw, tb, **known)
    assert_close(y, from_torch(ty), 1e-12)
    dy = rng.standard_normal(y.shape)
    ty.backward(to_torch(dy))
    dx, grads = layer.backward(xp.asarray(dy), cache)
    assert_close(dx, from_torch(tx.grad), 1e-12)
    assert_close(layer.deconv(xp.asarray(dy), cache), from_torch(tx.grad), 1e-12)
    assert_close(grads["weight"], tw.grad.numpy().transpose(2, 3, 1, 0), 1e-12)
    assert_close(grads["bias"], tb.grad.numpy(), 1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        dict(size=3, stride=2),
        dict(size=3, stride=2, ceil_mode=False),
        dict(size=(3, 2), stride=(2, 3), pad=1),
        dict(size=3, stride=1, pad=(1, 0)),
        dict(size=2, stride=3),
        dict(size=4, stride=5, pad=2),
    ],
)
def test_max_pool(settings, ties, xp):
    """Values and indices: PyTorch, too, drops a last window that starts beyond the input, and takes
    the first tie.
    """
    rng = np.random.default_rng(2)
    x = (
        rng.integers(0, 3, (3, 11, 12, 5)).astype(float)
        if ties
        else clear_of_kinks(rng, (3, 11, 12, 5))
    )
    y, cache = MaxPool(**settings).forward(xp.asarray(x))
    tx = to_torch(x, True)
    size, stride, pad = (ref.pair(settings.get(key, 0)) for key in ("size", "stride", "pad"))
    ceil = settings.get("ceil_mode", True)
    ty, indices = F.max_pool2d(tx, size, stride, pad, ceil_mode=ceil, return_indices=True)
    assert_close(y, from_torch(ty), 0)
    switches = to_cpu(cache.switches).astype(np.int64)
    rows = np.arange(y.shape[1])[:, None, None] * stride[0] - pad[0] + switches // size[1]
    columns = np.arange(y.shape[2])[:, None] * stride[1] - pad[1] + switches % size[1]
    np.testing.assert_array_equal(rows * 12 + columns, from_torch(indices))
    dy = rng.standard_normal(y.shape)
    ty.backward(to_torch(dy))
    assert_close(MaxPool(**settings).backward(xp.asarray(dy), cache)[0], from_torch(tx.grad), 1e-12)


@pytest.mark.parametrize(
    "settings", [dict(alpha=0.5), dict(), dict(size=3, alpha=0.5, beta=1.0, k=1.0)]
)
@pytest.mark.parametrize("channels", [1, 3, 5, 8, 13])
def test_lrn(settings, channels, xp):
    """PyTorch divides alpha by the window's length, we do not."""
    known = dict(size=5, alpha=1e-4, beta=0.75, k=2.0) | settings
    rng = np.random.default_rng(3)
    x, dy = rng.standard_normal((2, 3, 4, 5, channels))
    y, cache = LRN(**settings).forward(xp.asarray(x))
    tx = to_torch(x, True)
    ty = F.local_response_norm(
        tx, known["size"], known["alpha"] * known["size"], known["beta"], known["k"]
    )
    assert_close(y, from_torch(ty), 1e-12)
    ty.backward(to_torch(dy))
    assert_close(LRN(**settings).backward(xp.asarray(dy), cache)[0], from_torch(tx.grad), 1e-12)


class TorchReLU(torch.autograd.Function):
    """max(x, 0), and on the way back the rule."""

    @staticmethod
    def forward(ctx, x, rule):
        ctx.save_for_backward(x)
        ctx.rule = rule
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, r):
        (x,) = ctx.saved_tensors
        if ctx.rule in ("gradient", "guided"):
            r = r * (x > 0)
        return (r.clamp(min=0) if ctx.rule in ("deconv", "guided") else r), None


class TorchLRN(torch.autograd.Function):
    """LRN, and on the way back the identity."""

    @staticmethod
    def forward(ctx, x, settings):
        return torch_lrn(x, settings)

    @staticmethod
    def backward(ctx, r):
        return r, None


def torch_lrn(x, settings):
    known = dict(size=5, alpha=1e-4, beta=0.75, k=2.0) | settings
    return F.local_response_norm(
        x, known["size"], known["alpha"] * known["size"], known["beta"], known["k"]
    )


def torch_net(net, table, x, rules=GRADIENT, masks=None):
    """The table as PyTorch operations on x; returns y and {(layer, parameter): tensor}."""
    params = {}
    for name, kind, settings in table:
        if kind is Conv:
            known = {
                key: value for key, value in settings.items() if key not in ("filters", "size")
            }
            weight = params[name, "weight"] = filters_to_torch(net[name].weight, True)
            bias = params[name, "bias"] = torch.tensor(to_cpu(net[name].bias), requires_grad=True)
            x = torch_conv(x, weight, bias, **known)
        elif kind is ReLU:
            x = TorchReLU.apply(x, rules.relu)
        elif kind is LRN:
            x = torch_lrn(x, settings) if rules.lrn == "gradient" else TorchLRN.apply(x, settings)
        elif kind is MaxPool:
            x = F.max_pool2d(
                x, settings["size"], settings["stride"], settings.get("pad", 0), ceil_mode=True
            )
        elif kind is Dropout and masks:
            x = x * to_torch(masks[name])
    return x, params


@pytest.mark.parametrize("weights", [None, [0.2, 3.0, 1.0, 7.0, 0.5]])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_training_step(batch, weights, xp):
    """Scores, loss and every gradient of the net with all kinds of layers, under the same dropout mask.

    weights: of the classes; the sum over the pictures is PyTorch's reduction="sum", which nobody
    divides by weights.
    """
    net, x = nets.make(xp, FULL), image(batch=batch)
    labels, rng_key = np.arange(batch) % 5, (4, 1, np.arange(batch))
    scores, caches = net.forward(xp.asarray(x.copy()), rng_key=rng_key)
    loss, dscores = softmax_cross_entropy(
        scores, xp.asarray(labels), None if weights is None else xp.asarray(weights)
    )
    dx, grads = net.backward(dscores, caches)
    mask = ref.dropout_mask((batch, 1, 1, 16), 0.5, rng_key, stream=3)
    tx = to_torch(x, True)
    ty, params = torch_net(net, FULL, tx, masks={"drop4": mask})
    given = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    tloss = torch.nn.CrossEntropyLoss(given, reduction="sum")(
        ty.reshape(batch, 5), torch.tensor(labels)
    )
    tloss.backward()
    assert_close(scores, from_torch(ty), 1e-11)
    assert abs(float(loss) - tloss.item()) < 1e-11
    assert_close(dx, from_torch(tx.grad), 1e-11)
    for (name, key), tensor in params.items():
        want = tensor.grad.numpy()
        assert np.abs(want).max() > 0
        assert_close(
            grads[name][key], want.transpose(2, 3, 1, 0) if key == "weight" else want, 1e-11
        )


@pytest.mark.parametrize("relu", ["deconv", "gradient", "guided"])
@pytest.mark.parametrize("lrn", ["identity", "gradient"])
@pytest.mark.parametrize("stop", ["pool1", "relu3", "relu4", "scores"])
def test_projections(stop, relu, lrn, xp):
    """A unit's projection = its activation (of a score: 1) x what autograd sends down by the rule."""
    rules = Rules(relu, lrn, "add")
    net, x = nets.make(xp, FULL), image()
    y, caches = net.forward(xp.asarray(x.copy()), stop=stop)
    y = to_cpu(y).copy()
    table = FULL[: [name for name, *_ in FULL].index(stop) + 1]
    for rank in (0, 2):
        unit = n, i, j, c = strongest(y, rank)
        seed = 1.0 if stop == "scores" else y[unit]
        assert seed > 0
        tx = to_torch(x, True)
        ty, _ = torch_net(net, table, tx, rules)
        ty[n, c, i, j].backward()
        want = seed * from_torch(tx.grad)
        assert np.abs(want).max() > 0
        assert_close(net.deconv(xp.asarray(one_hot(y, unit, seed)), caches, rules), want, 1e-10)
