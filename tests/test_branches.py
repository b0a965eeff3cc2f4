"""Nets whose layers fork and meet again: the laws of a chain hold for any graph of layers."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from projecting import project_units

from rawconv import checkpoint
from rawconv.layers import GEMM, GRADIENT, PAPER, Layer, Rules
from rawconv.layers.add import Add
from rawconv.layers.concat import Concat
from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.layers.softmax import softmax_cross_entropy
from rawconv.machine.arrays import to_cpu
from rawconv.net import IMAGE, Net
from rawconv.visualize import perturbed, receptive_field
from rawconv.visualize.forward_pass import ForwardPass
from rawconv.visualize.units import layer_object

RULES = [
    PAPER,
    GRADIENT,
    Rules("guided", "identity", "max"),
    Rules("deconv", "gradient", "overwrite"),
]


def branching():
    """[(name, layer, *inputs)]: a Fire block, a residual block, a fork that ends in one map twice,
    and a stem twice.
    """
    return [
        ("conv1", Conv(6, 3, stride=2, init_std="he")), ("relu1", ReLU()),
        ("pool1", MaxPool(3, 2)), ("norm1", LRN(alpha=0.2)),
        ("squeeze", Conv(4, 1, init_std="he")), ("relu2", ReLU()),
        ("left", Conv(5, 1, init_std="he")), ("relu_left", ReLU()),
        ("right", Conv(3, 3, pad=1, init_std="he"), "relu2"), ("relu_right", ReLU()),
        ("fire", Concat(), "relu_left", "relu_right"),
        ("a", Conv(8, 3, pad=1, init_std="he")), ("relu_a", ReLU()), ("b", Conv(8, 3, pad=1, init_std="he")),
        ("relu_b", ReLU()), ("sum", Add(), "b", "fire", "relu_b"), ("relu_sum", ReLU()),
        ("twice", Add(), "relu_sum", "relu_sum"), ("drop", Dropout(0.4, stream=3)),
        ("short", Conv(8, 11, stride=4, init_std="he"), IMAGE), ("pool2", MaxPool(2, 1), "drop"),
        ("meet", Concat(), "short", "pool2"), ("scores", Conv(5, None, init_std="he")),
    ]  # fmt: skip


SHAPE = (19, 19, 3)


def net_of(xp, layers=None, shape=SHAPE, seed=0):
    net = Net(shape, layers or branching(), seed=seed, dtype="float64")
    rng = np.random.default_rng(seed + 1)
    net.execution = GEMM
    for _, layer in net.layers:
        if isinstance(layer, Conv):
            layer.weight, layer.bias = (
                xp.asarray(layer.weight),
                xp.asarray(0.3 * rng.random(layer.bias.shape)),
            )
    return net


def images(count=2, shape=SHAPE):
    return np.random.default_rng(5).standard_normal((count, *shape))


def close(got, want, limit=1e-12):
    got, want = to_cpu(got), to_cpu(want)
    assert got.shape == want.shape and np.abs(got - want).max() <= limit * max(
        np.abs(want).max(), 1e-300
    )


def up_by_hand(net, x, rng_key=None):
    """{name: (output, cache)}, each layer called by itself."""
    found = {IMAGE: (x, None)}
    for name, layer, inputs in net.nodes.values():
        found[name] = layer.forward(*(found[below][0] for below in inputs), rng_key=rng_key)
    return found


@pytest.mark.parametrize("kind", [Add, Concat])
def test_the_layers_by_the_equations(kind, xp):
    a, b = np.random.default_rng(0).standard_normal((2, 2, 3, 4, 5))
    y, cache = kind().forward(xp.asarray(a), xp.asarray(b), rng_key=(1, 2, [3, 4]))
    assert_array_equal(to_cpu(y), a + b if kind is Add else np.concatenate([a, b], -1))
    assert kind().out_shape(a.shape[1:], b.shape[1:]) == y.shape[1:]
    dy = np.random.default_rng(1).standard_normal(y.shape)
    want = (dy, dy) if kind is Add else (dy[..., :5], dy[..., 5:])
    for parts in (kind().backward(xp.asarray(dy), cache)[0], kind().deconv(xp.asarray(dy), cache)):
        for got, part in zip(parts, want, strict=True):
            assert_array_equal(to_cpu(got), part)
    dx = kind().backward(xp.asarray(dy.copy()), cache)[0]
    dx[0][:] = 7
    # each is its receiver's own, whatever another does with its
    assert_array_equal(to_cpu(dx[1]), want[1])


@pytest.mark.parametrize("kind", [Add, Concat])
def test_a_layer_that_joins_may_have_one_input(kind):
    net = Net((4, 5, 2), [("conv", Conv(3, 3)), ("sum", kind())])
    y, caches = net.forward(np.random.default_rng(3).random((2, 4, 5, 2), np.float32))
    r = net["conv"].deconv(y, caches["conv"])
    assert_array_equal(net.deconv(y, caches), r)
    assert_array_equal(net.backward(y, caches)[0], r)


@pytest.mark.parametrize(
    "kind, other", [(Add, (3, 4, 6)), (Add, (3, 5, 5)), (Concat, (3, 5, 5)), (Concat, (2, 4, 5))]
)
def test_maps_that_do_not_fit_are_refused(kind, other):
    with pytest.raises(ValueError, match="Layer meet: Only maps of one s"):
        Net((3, 4, 5), [("one", ReLU()), ("two", _Claims(other)), ("meet", kind(), "one", "two")])


class _Claims(Layer):
    """A layer that says it makes maps of this shape."""

    def __init__(self, shape):
        self.shape = shape

    def out_shape(self, shape):
        return self.shape


@pytest.mark.parametrize("layers, match", [
    ([("a", ReLU()), ("a", ReLU())], "Layer a: there is another of this name"),
    ([("", ReLU())], "Layer : there is another of this name"),
    ([("a", ReLU(), "b"), ("b", ReLU())], "Layer a: its input 'b' is no layer before it"),
    ([("a", Add(), "", "a")], "Layer a: its input 'a' is no layer before it"),
])  # fmt: skip
def test_names_that_are_not_there_or_twice_are_refused(layers, match):
    with pytest.raises(ValueError, match=match):
        Net((3, 4, 5), layers)


def test_up_is_each_layer_called_by_itself(xp):
    net, x, rng_key = net_of(xp), xp.asarray(images()), (3, 1, np.arange(2))
    found = up_by_hand(net, x, rng_key)
    fused = set(net.fused_ceilings)
    assert fused == {"conv1", "squeeze", "left", "right", "a"}, (
        "b has a sum above it as well, scores nothing"
    )
    for name, y, _ in net.up(x, rng_key):
        if name not in fused:
            assert_array_equal(to_cpu(y), to_cpu(found[name][0]), err_msg=name)
    for name, y, _ in net.up(x, rng_key, asked=net.nodes):
        assert_array_equal(to_cpu(y), to_cpu(found[name][0]), err_msg=name)


def test_a_map_is_let_go_when_its_consumers_have_had_it(xp):
    import gc
    import weakref

    net, seen = net_of(xp), {}
    for name, y, _ in net.up(xp.asarray(images())):
        seen[name] = weakref.ref(y)
        del y, _
        if name == "pool2":
            gc.collect()
            alive = {name for name, ref in seen.items() if ref() is not None}
            assert alive == {"short", "pool2"}
    assert net.path("fire")[-1].name == "fire" and "a" not in [
        node.name for node in net.path("fire")
    ]


def test_a_forward_that_keeps_nothing_holds_two_maps_of_a_chain():
    """While a layer computes there are its input and what it makes, not the input of the one before."""
    import gc
    import weakref

    alive, seen = [], []

    class Watch(Layer):
        def out_shape(self, shape):
            return shape

        def forward(self, x, rng_key=None):
            gc.collect()
            alive.append(sum(ref() is not None for ref in seen))
            y = x + 1
            seen.append(weakref.ref(y))
            return y, (x,)

    net = Net((2, 2, 1), [(name, Watch()) for name in "abcde"])
    net.forward(np.zeros((1, 2, 2, 1)), keep=False)
    assert alive == [0, 1, 1, 1, 1]


@pytest.mark.parametrize("stop", ["fire", "relu_sum", "meet", "short", "scores", "b"])
def test_stop_takes_what_it_is_made_of_and_nothing_else(stop, xp):
    net, x = net_of(xp), xp.asarray(images())
    y, caches = net.forward(x, stop)
    assert_array_equal(to_cpu(y), to_cpu(up_by_hand(net, x)[stop][0]))
    assert list(caches) == [node.name for node in net.path(stop)]
    assert ("a" in caches) == (stop in ("relu_sum", "meet", "scores", "b"))


def test_gradients_equal_finite_differences():
    """Of the loss, towards the pixels and every parameter, in random directions, with dropout on."""
    net, x, labels, rng_key = net_of(np), images(3), np.array([0, 3, 1]), (3, 1, np.arange(3))
    scores, caches = net.forward(x, rng_key=rng_key)
    seen = []
    dx, grads = net.backward(
        softmax_cross_entropy(scores, labels)[1], caches, lambda name, _: seen.append(name)
    )
    assert seen == [name for name in reversed(net.nodes) if net[name].params]
    rng, step = np.random.default_rng(7), 1e-6

    def loss():
        return softmax_cross_entropy(net.forward(x, rng_key=rng_key, keep=False)[0], labels)[0]

    for value, gradient in [
        (x, dx),
        *((value, grads[name][key]) for (name, key), value in net.params.items()),
    ]:
        direction = rng.standard_normal(value.shape)
        value += step * direction
        high = loss()
        value -= 2 * step * direction
        slope = (high - loss()) / (2 * step)
        value += step * direction
        assert slope == pytest.approx((gradient * direction).sum(), rel=2e-6, abs=1e-9)


def test_backward_leaves_the_caches_and_the_gradient_it_was_given_alone(xp):
    net, x = net_of(xp), xp.asarray(images())
    y, caches = net.forward(x)
    dy = xp.asarray(np.random.default_rng(2).standard_normal(y.shape))
    before, first = to_cpu(dy).copy(), to_cpu(net.backward(dy, caches)[0]).copy()
    for rules in RULES:
        net.deconv(dy, caches, rules)
    assert_array_equal(to_cpu(dy), before)
    assert_array_equal(to_cpu(net.backward(dy, caches)[0]), first)


@pytest.mark.parametrize("stop", ["scores", "short", "b", "a", "left", "conv1"])
def test_nothing_is_computed_below_the_lowest_layer_that_learns(stop, xp):
    net, x = net_of(xp), xp.asarray(images())
    y, caches = net.forward(x)
    dy = xp.asarray(np.random.default_rng(2).standard_normal(y.shape))
    whole = net.backward(dy, caches)[1]
    dx, grads = net.backward(dy, caches, stop=stop)
    learns = [name for name in list(net.nodes)[list(net.nodes).index(stop) :] if net[name].params]
    assert dx is None and [name for name in reversed(grads) if grads[name]] == learns
    for name in learns:
        for key in grads[name]:
            assert_array_equal(to_cpu(grads[name][key]), to_cpu(whole[name][key]))


@pytest.mark.parametrize("stop", ["fire", "relu_a", "relu_sum", "meet", "scores"])
def test_the_rule_gradient_is_the_way_back(stop, xp):
    net, x = net_of(xp), xp.asarray(images())
    y, caches = net.forward(x, stop)
    r = xp.asarray(np.random.default_rng(2).standard_normal(y.shape))
    close(net.deconv(r, caches, GRADIENT), net.backward(r, caches)[0])


def test_without_relu_and_norm_the_way_down_is_the_adjoint():
    """At fixed switches: <up(x), r> = <x, down(r)>, through a fork and an Add."""
    layers = [("conv", Conv(4, 3, pad=1)), ("left", Conv(3, 1)), ("right", Conv(3, 3, pad=1), "conv"),
              ("sum", Add(), "left", "right"), ("both", Concat(), "sum", "left")]  # fmt: skip
    net = net_of(np, layers, (7, 6, 3))
    for _, layer in net.layers:
        if layer.params:
            layer.bias[:] = 0
    x = images(2, (7, 6, 3))
    y, caches = net.forward(x)
    r = np.random.default_rng(2).standard_normal(y.shape)
    assert (y * r).sum() == pytest.approx((x * net.deconv(r, caches)).sum(), rel=1e-12)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("layer", ["conv1", "squeeze", "fire", "a", "sum", "meet", "scores"])
def test_many_units_equal_one_by_one_through_whole_maps(layer, rules, xp):
    net, x, rng = net_of(xp), xp.asarray(images(3)), np.random.default_rng(0)
    name = layer_object(net, layer)
    height, width, maps = net.shapes[name]
    units = np.stack([rng.integers(0, most, 25) for most in (3, maps, height, width)], axis=1)
    r, values = project_units(net, x, layer, units, rules)
    full = project_units(net, x, layer, units, rules, full=True)[0]
    y, caches = net.forward(x, name)
    for k, (row, number, top, left) in enumerate(units):
        seed = xp.zeros_like(y)
        seed[row, top, left, number] = 1 if layer == "scores" else y[row, top, left, number]
        want = to_cpu(net.deconv(seed, caches, rules))[row]
        close(r[k], want)
        close(full[k], want)
        assert values[k] == y[row, top, left, number]
    assert np.abs(to_cpu(r)).max() > 0


def test_a_unit_sees_no_more_than_its_field(xp):
    """All weights 1 and a picture of ones: what is not 0 is the field, where the picture has it."""
    net = net_of(xp)
    for _, layer in net.layers:
        if layer.params:
            layer.weight[:], layer.bias[:] = 1, 0
    fields = receptive_field.fields(net)
    assert fields["fire"] == fields["right"] and fields["left"].size < fields["right"].size
    assert fields["meet"].jump == fields["pool2"].jump == fields["short"].jump == (4, 4)
    for layer in ("fire", "sum", "meet"):
        name = layer_object(net, layer)
        height, width, _ = net.shapes[name]
        for y, x in ((0, 0), (height // 2, width // 2), (height - 1, width - 1)):
            r, _ = project_units(net, xp.asarray(np.ones((1, *SHAPE))), layer, [(0, 0, y, x)])
            top, left, bottom, right = fields[name].box(y, x)
            outside = to_cpu(r)[0].copy()
            outside[max(0, top) : bottom, max(0, left) : right] = 0
            assert not outside.any()


def test_branches_of_unlike_strides_meet_in_the_whole_image():
    layers = [
        ("a", Conv(2, 3, stride=2)),
        ("pool", MaxPool(9, 9)),
        ("b", Conv(2, None), IMAGE),
        ("sum", Add(), "pool", "b"),
    ]
    net = Net((19, 19, 3), layers)
    assert receptive_field.fields(net)["sum"].box(0, 0) == (0, 0, 19, 19)


def test_a_covered_image_goes_up_through_branches(xp):
    net, x = net_of(xp), xp.asarray(images(1))
    corner, rng = np.array([[0, 0], [3, 8], [14, 14]]), np.random.default_rng(1)
    r = xp.asarray(rng.standard_normal((3, 5, 5, 3)))
    found = perturbed.forward(net, ForwardPass(net, x).maps, r, corner, ["relu_sum", "scores"])
    for k, (top, left) in enumerate(corner):
        covered = to_cpu(x).copy()
        covered[0, top : top + 5, left : left + 5] = to_cpu(r)[k]
        for name in found:
            close(found[name][k], net.forward(xp.asarray(covered), name)[0][0])


def test_a_checkpoint_keeps_the_inputs(tmp_path):
    net = net_of(np)
    checkpoint.save(tmp_path / "net.h5", net, {})
    again = checkpoint.load(tmp_path / "net.h5").net
    assert [(n.name, n.inputs) for n in again.nodes.values()] == [
        (n.name, n.inputs) for n in net.nodes.values()
    ]
    assert_array_equal(again.forward(images())[0], net.forward(images())[0])


def test_onnxruntime_agrees(tmp_path):
    onnxruntime = pytest.importorskip(
        "onnxruntime", reason="onnxruntime is not installed (pip install onnxruntime)"
    )
    from rawconv.convert.to_onnx import export

    net = net_of(np)
    export(net.astype("float32"), tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(
        str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"]
    )
    x = images().astype(np.float32)
    theirs = session.run(None, {"pixels": x.transpose(0, 3, 1, 2)})[0]
    close(net.forward(x)[0].reshape(2, -1), theirs, 1e-5)


def test_torch_agrees_on_scores_and_gradients():
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: no witness (pip install torch)"
    )
    from torch.nn import functional

    layers = [("stem", Conv(6, 3, pad=1)), ("relu", ReLU()), ("left", Conv(6, 3, pad=1)),
              ("sum", Add(), "left", "relu"), ("relu2", ReLU()), ("both", Concat(), "relu2", "relu"),
              ("scores", Conv(4, None))]  # fmt: skip
    net = net_of(np, layers, (6, 6, 3))
    x = images(2, (6, 6, 3))
    t = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    w = {
        key: torch.tensor(v.transpose(3, 2, 0, 1) if v.ndim == 4 else v)
        for key, v in net.params.items()
    }

    def conv(name, v, pad):
        return functional.conv2d(v, w[name, "weight"], w[name, "bias"], padding=pad)

    relu = conv("stem", t, 1).relu()
    relu2 = (conv("left", relu, 1) + relu).relu()
    scores = conv("scores", torch.cat([relu2, relu], 1), 0)
    dy = np.random.default_rng(3).standard_normal((2, 1, 1, 4))
    scores.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    y, caches = net.forward(x)
    close(y.ravel(), scores.detach().numpy().ravel())
    close(net.backward(dy, caches)[0], t.grad.numpy().transpose(0, 2, 3, 1))
    close(net.deconv(dy, caches, GRADIENT), t.grad.numpy().transpose(0, 2, 3, 1))
