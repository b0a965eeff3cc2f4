"""ReLU: the four quadrants of (input, signal), under the three rules."""

import numpy as np
import pytest
import reference as ref
from hypothesis import given
from hypothesis import strategies as st
from laws import GAP, assert_close, assert_same, check_backward, clear_of_kinks, strided

from rawconv import checkpoint
from rawconv.layers import GRADIENT, PAPER, Rules
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import to_cpu
from rawconv.net import Net

IN_PLACE = pytest.mark.parametrize("in_place", [False, True])
RULES = ["deconv", "gradient", "guided"]


@IN_PLACE
@pytest.mark.parametrize(
    ("x", "r", "deconv", "gradient", "guided"),
    [
        (2, 3, 3, 3, 3),
        (2, -3, 0, -3, 0),
        (-2, 3, 3, 0, 0),
        (-2, -3, 0, 0, 0),
        (0, 3, 3, 0, 0),  # x = 0 is not active
        (0, -3, 0, 0, 0),
        (2, 0, 0, 0, 0),
        (-2, 0, 0, 0, 0),
    ],
)
def test_the_four_quadrants(x, r, deconv, gradient, guided, in_place, xp, dtype):
    def full(value):
        return xp.full((1, 2, 1, 3), value, dtype)

    layer = ReLU()
    y, cache = layer.forward(full(x))
    assert_same(y, np.full((1, 2, 1, 3), max(x, 0), dtype))
    for rule, want in [("deconv", deconv), ("gradient", gradient), ("guided", guided)]:
        got = to_cpu(layer.deconv(full(r), cache, Rules(rule, "identity", "add")))
        assert got.dtype == dtype and (got == want).all() and got.shape == (1, 2, 1, 3), rule
    assert (to_cpu(layer.deconv(full(r), cache)) == deconv).all(), "the paper's rule is the default"
    assert (to_cpu(layer.deconv(full(r), cache, PAPER)) == deconv).all()
    assert (to_cpu(layer.deconv(full(r), cache, GRADIENT)) == gradient).all()
    dx, grads = layer.backward(full(r), cache, in_place)
    assert grads == {} and dx.dtype == dtype and (to_cpu(dx) == gradient).all()


@IN_PLACE
@pytest.mark.parametrize(
    ("x", "y", "r", "deconv", "gradient", "guided"),
    [
        (2, 2, 3, 3, 3, 3),
        (2, 2, -3, 0, -3, 0),
        (-2, 0, 3, 3, 0, 0),
        (-2, 0, -3, 0, 0, 0),
        (0, 0, 3, 3, 0, 0),
        (8, 6, 3, 3, 0, 0),  # at the ceiling nothing of x passes; the paper's rule does not ask
        (8, 6, -3, 0, 0, 0),
        (6, 6, 3, 3, 0, 0),
        (8, 6, 9, 9, 0, 0),  # nor does it cut a value on its way down
        (np.inf, 6, 3, 3, 0, 0),
    ],
)
def test_the_quadrants_below_and_at_a_ceiling(
    x, y, r, deconv, gradient, guided, in_place, xp, dtype
):
    def full(value):
        return xp.full((1, 2, 1, 3), value, dtype)

    layer = ReLU(ceiling=6)
    got, cache = layer.forward(full(x))
    assert_same(got, np.full((1, 2, 1, 3), y, dtype))
    for rule, want in [("deconv", deconv), ("gradient", gradient), ("guided", guided)]:
        assert_same(layer.deconv(full(r), cache, Rules(rule)), np.full((1, 2, 1, 3), want, dtype))
    assert_same(layer.backward(full(r), cache, in_place)[0], np.full((1, 2, 1, 3), gradient, dtype))


def test_without_a_ceiling_nothing_is_too_large(xp, dtype):
    layer, x = ReLU(), xp.full((1, 1, 1, 2), np.inf, dtype)
    y, cache = layer.forward(x)
    assert_same(y, np.full(x.shape, np.inf, dtype))
    assert_same(layer.backward(xp.ones_like(x), cache)[0], np.ones(x.shape, dtype))


@pytest.mark.parametrize("ceiling", [0, -1, np.nan, np.inf])
def test_a_ceiling_that_is_none_is_refused(ceiling):
    with pytest.raises(ValueError, match="ceiling of a ReLU is a number above 0"):
        ReLU(ceiling)


@IN_PLACE
@given(
    shape=st.tuples(st.integers(0, 3), *[st.integers(1, 6)] * 3),
    seed=st.integers(0, 99),
    ceiling=st.sampled_from([None, 1, 1.5]),
)
def test_the_three_walks_equal_the_equations(shape, seed, ceiling, in_place, xp):
    rng = np.random.default_rng(seed)
    x, r = rng.integers(-2, 3, (2, *shape)).astype("float32")
    layer = ReLU(ceiling)
    y, cache = layer.forward(xp.asarray(x.copy()))
    np.testing.assert_array_equal(to_cpu(y), ref.relu_up(x, ceiling))
    for rule in RULES:
        got = to_cpu(layer.deconv(xp.asarray(r.copy()), cache, Rules(relu=rule)))
        np.testing.assert_array_equal(got, ref.relu_down(r, x, rule, ceiling))
    np.testing.assert_array_equal(
        to_cpu(layer.backward(xp.asarray(r.copy()), cache, in_place)[0]),
        ref.relu_down(r, x, "gradient", ceiling),
    )


@pytest.mark.parametrize("shape", [(3, 5, 4, 3), (1, 1, 1, 1), (1, 7, 2, 5), (2, 33, 17, 24)])
def test_gradients_equal_finite_differences(shape, xp):
    x = clear_of_kinks(np.random.default_rng(1), shape)
    check_backward(xp, ReLU(), x)
    # halfway between two of the values
    check_backward(xp, ReLU(max(GAP, round(x.max() / 2, 2))), x)


def test_the_way_back_in_place_and_the_way_down_not():
    x, signal = np.random.default_rng(0).standard_normal((2, 2, 3, 4, 5))
    layer = ReLU()
    cache = layer.forward(x.copy())[1]
    dy, r = signal.copy(), signal.copy()
    assert layer.backward(dy, cache, in_place=True)[0] is dy
    for rule in RULES:
        layer.deconv(r, cache, Rules(relu=rule))
    assert_same(r, signal)


def test_a_nan_is_not_hidden(xp, dtype):
    x = xp.asarray(np.array([np.nan, -np.inf, np.inf, -1], dtype).reshape(1, 1, 1, 4))
    np.testing.assert_array_equal(to_cpu(ReLU().forward(x)[0]).ravel(), [np.nan, 0, np.inf, 0])
    np.testing.assert_array_equal(to_cpu(ReLU(6).forward(x)[0]).ravel(), [np.nan, 0, 6, 0])


def test_arguments_stay_as_they_were(xp, dtype):
    """deconv and backward do not write into their signal: one forward serves any number of them."""
    rng = np.random.default_rng(2)
    x, r = rng.standard_normal((2, 3, 4, 5, 2)).astype(dtype)
    layer = ReLU()
    device_x, device_r = xp.asarray(x.copy()), xp.asarray(r.copy())
    y, cache = layer.forward(device_x)
    for rule in RULES:
        first = to_cpu(layer.deconv(device_r, cache, Rules(relu=rule))).copy()
        assert_same(layer.deconv(device_r, cache, Rules(relu=rule)), first)
    layer.backward(device_r, cache)
    assert_same(device_x, x)
    assert_same(device_r, r)
    assert_same(y, np.maximum(x, 0))


def test_arrays_that_are_not_contiguous(xp, dtype):
    rng = np.random.default_rng(3)
    x, r = rng.standard_normal((2, 3, 4, 5, 2)).astype(dtype)
    for odd_x, odd_r in zip(strided(xp, x), strided(xp, r), strict=True):
        layer = ReLU()
        y, cache = layer.forward(odd_x)
        np.testing.assert_array_equal(to_cpu(y), ref.relu_up(x))
        for rule in RULES:
            got = to_cpu(layer.deconv(odd_r, cache, Rules(relu=rule)))
            np.testing.assert_array_equal(got, ref.relu_down(r, x, rule))
        dx = layer.backward(odd_r, cache, in_place=True)[0]
        np.testing.assert_array_equal(to_cpu(dx), ref.relu_down(r, x, "gradient"))


def test_shape_and_parameters(xp):
    assert tuple(ReLU().out_shape((3, 4, 5))) == (3, 4, 5) and not ReLU().params


def ceiling_net():
    layers = [("conv1", Conv(5, 3, pad=1)), ("relu1", ReLU(1.5)), ("pool1", MaxPool(2, 2)), ("conv2", Conv(4, 3)),
              ("relu2", ReLU(1)), ("scores", Conv(3, None))]  # fmt: skip
    net = Net((9, 9, 3), layers, seed=1)
    for _, layer in net.layers:
        if layer.params:
            layer.weight *= 50
    return net


def test_the_layers_of_a_net_keep_their_ceilings(tmp_path):
    """In a file and back; a convolution that does their work keeps them too."""
    net, x = ceiling_net(), np.random.default_rng(0).standard_normal((2, 9, 9, 3)).astype("float32")
    checkpoint.save(tmp_path / "net.h5", net, {})
    again = checkpoint.load(tmp_path / "net.h5").net
    assert again["relu1"].ceiling == 1.5 and again["relu1"].settings == {"ceiling": 1.5}
    found = {"": x}
    for name, layer, inputs in net.nodes.values():
        found[name] = layer.forward(found[inputs[0]])[0]
    for name in ("relu1", "relu2", "scores"):
        assert_same(net.forward(x, name)[0], found[name])
        assert_same(again.forward(x, name)[0], found[name])
    assert (
        found["relu1"].max() == 1.5 and (found["relu1"] == 1.5).any() and found["relu2"].max() == 1
    )


def test_torch_and_onnxruntime_agree_about_a_ceiling(tmp_path):
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: no witness (pip install torch)"
    )
    onnxruntime = pytest.importorskip(
        "onnxruntime", reason="onnxruntime is not installed (pip install onnxruntime)"
    )
    from rawconv.convert.to_onnx import export

    rng = np.random.default_rng(3)
    x, dy = rng.uniform(-9, 15, (2, 2, 3, 4, 5))
    t = torch.tensor(x, requires_grad=True)
    theirs = torch.nn.functional.relu6(t)
    theirs.backward(torch.tensor(dy))
    y, cache = ReLU(6).forward(x)
    assert_same(y, theirs.detach().numpy())
    np.testing.assert_array_equal(ReLU(6).backward(dy, cache)[0], t.grad.numpy())
    net, x = ceiling_net(), rng.standard_normal((2, 9, 9, 3)).astype("float32")
    export(net, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(
        str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"]
    )
    got = session.run(None, {"pixels": x.transpose(0, 3, 1, 2)})[0]
    assert_close(net.forward(x)[0].reshape(2, -1), got, 1e-5)
