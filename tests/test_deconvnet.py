"""Unit -> picture: names, single units, batches of units, and what is shown of them."""

import nets
import numpy as np
import pytest
from laws import assert_close
from projecting import project_units

from rawconv import models
from rawconv.data.preprocessing import center_crop, preprocess, stored_size
from rawconv.errors import UsageError
from rawconv.layers import GRADIENT, PAPER, Rules
from rawconv.layers.conv import Conv
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import to_cpu
from rawconv.net import Net
from rawconv.visualize import projection, windowed
from rawconv.visualize.images import crop, display
from rawconv.visualize.receptive_field import fields
from rawconv.visualize.shortcuts import project
from rawconv.visualize.units import Unit, layer_names, layer_object, parse_unit, user_name
from rawconv.visualize.windowed import select

RULES = [
    PAPER,
    GRADIENT,
    Rules("guided"),
    Rules("deconv", "gradient", "max"),
    Rules("gradient", "identity", "overwrite"),
]
LAYERS = ["relu1", "pool1", "norm1", "relu2", "norm2", "pool2", "relu3", "relu4", "drop4", "scores"]


def full_net(xp):
    """The laws' net with everything in it, on the exact path."""
    return nets.make(xp, nets.FULL)


def square_net(mean=None):
    """For pictures: square, three channels, 24 pixels cut out of stored pictures of 26."""
    layers = [
        ("conv1", Conv(5, 5, stride=2, pad=1, init_std="he")), ("relu1", ReLU()), ("pool1", MaxPool(3, 2)),
        ("norm1", LRN(alpha=1e-3)), ("conv2", Conv(7, 3, pad=1, init_std="he")), ("relu2", ReLU()),
        ("fc3", Conv(4, None, init_std="he")),
    ]  # fmt: skip
    mean = (
        np.random.default_rng(3).uniform(90, 150, (26, 26, 3)).astype(np.float32)
        if mean is None
        else mean
    )
    return Net((24, 24, 3), layers, ["cat", "dog", "car", "hat"], mean, "", seed=4)


def image(size=26, seed=5):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8)


def some_units(rng, shape, images, count):
    return np.stack(
        [rng.integers(0, high, count) for high in (images, shape[2], shape[0], shape[1])], axis=1
    )


# ---------------------------------------------------------------------------------------------- names


NAMED = {
    "4": "relu4", "conv4": "relu4", "relu4": "relu4", "pool5": "pool5", "6": "relu6", "fc6": "relu6", "fc7": "relu7",
    "8": "fc8", "fc8": "fc8", "scores": "fc8", "norm1": "norm1", 4: "relu4",
}  # fmt: skip


@pytest.mark.parametrize(("given", "found"), NAMED.items())
def test_layer_object(given, found):
    assert layer_object(models.build("zf32", classes=3), given) == found


def test_user_names():
    net = models.build("zf32", classes=3)
    names = [
        "conv1",
        "pool1",
        "conv2",
        "pool2",
        "conv3",
        "conv4",
        "conv5",
        "pool5",
        "fc6",
        "fc7",
        "scores",
    ]
    assert list(layer_names(net)) == names
    assert [user_name(net, layer_object(net, name)) for name in names] == names
    assert user_name(net, "norm1") == "norm1"


@pytest.mark.parametrize("layer", ["9", "conv9", "4.0", "", "pool3", "conv", "-4", "four"])
def test_unknown_layer_lists_the_layers(layer):
    with pytest.raises(UsageError, match=r"the layers are conv1, pool1, .*pool5, fc6, fc7, scores"):
        layer_object(models.build("zf32", classes=3), layer)


def test_layer_without_relu_is_itself(xp):
    assert layer_object(nets.make(xp, nets.LINEAR), "conv2") == "conv2"


def test_parse_unit():
    net = models.build("zf32", classes=3)
    assert parse_unit(net, "conv4:17") == Unit(0, "conv4", 17)
    assert parse_unit(net, "4:17:*") == Unit(0, "conv4", 17, whole=True)
    assert parse_unit(net, "relu4:17:3:0", image=2) == Unit(2, "conv4", 17, 3, 0)
    assert parse_unit(net, "fc8:2") == Unit(0, "scores", 2)
    for text in ("conv4:17", "conv4:17:*", "conv4:17:3:0", "scores:2"):
        assert str(parse_unit(net, text)) == text


BAD_UNITS = """conv4 conv4: conv4:96 conv4:-1 conv4:1:8:0 conv4:1:0:8 conv4:1:2 conv4:* conv4:1:2:3:4 conv4:x conv9:1
    conv4:1:*:* conv4:1.5 :"""


@pytest.mark.parametrize("unit", BAD_UNITS.split())
def test_bad_units_are_refused(unit):
    with pytest.raises(UsageError):
        parse_unit(models.build("zf32", classes=3), unit)


# ---------------------------------------------------------------------------------------------- laws


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("chunk", [1 << 30, 1, 40_000])
def test_many_units_are_one_by_one(xp, monkeypatch, layer, rules, chunk):
    """In any order, several of a picture, pictures nobody asks for, whatever the chunks."""
    budgets = (projection, "PROJECTION_BYTES"), (windowed, "WINDOW_BYTES"), (windowed, "MAPS_BYTES")
    for module, name in budgets:
        monkeypatch.setattr(module, name, chunk)
    monkeypatch.setattr(projection, "UNITS", max(1, chunk // 10_000))
    rng = np.random.default_rng(6)
    net, x = full_net(xp), xp.asarray(nets.image(batch=5))
    units = some_units(rng, net.shapes[layer], 5, 9)
    units = units[units[:, 0] != 2]
    r, values = project_units(net, x, layer, units, rules)
    assert r.shape == (len(units), *net.shape) and r.dtype == x.dtype
    for unit, got, value in zip(units, to_cpu(r), to_cpu(values), strict=True):
        row, number, top, left = unit
        y, caches = net.forward(x[row : row + 1], layer)
        assert value == pytest.approx(float(y[0, top, left, number]), rel=1e-12)
        seed = nets.one_hot(y, (0, top, left, number), 1.0 if layer == "scores" else None)
        assert_close(got, to_cpu(net.deconv(seed, caches, rules)[0]), 1e-11)


def test_no_units(xp):
    r, values = project_units(
        full_net(xp), xp.asarray(nets.image(batch=2)), "relu3", np.empty((0, 4))
    )
    assert r.shape == (0, *nets.SHAPE) and values.shape == (0,)


def test_layer_one_is_activation_times_filter(xp):
    net, x = full_net(xp), xp.asarray(nets.image(batch=2))
    y = to_cpu(net.forward(x, "relu1")[0])
    units = np.argwhere(y > 0)[::7][:, [0, 3, 1, 2]]
    assert len(units) > 20
    r, values = project_units(net, x, "conv1", units)
    weight, field = to_cpu(net["conv1"].weight), fields(net)["relu1"]
    for (_, number, top, left), got, value in zip(units, to_cpu(r), to_cpu(values), strict=True):
        want = np.zeros((99, 99, 2))
        y0, x0, y1, x1 = field.box(top, left)
        want[y0:y1, x0:x1] = value * weight[..., number]
        assert_close(got, want[: nets.SHAPE[0], : nets.SHAPE[1]], 1e-12)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("layer", ["relu1", "pool1", "relu2", "pool2", "relu3"])
def test_support_lies_in_the_box(xp, layer, rules):
    """Where the norm's derivative mixes channels only, the box is the same."""
    net, x = full_net(xp), xp.asarray(nets.image())
    height, width, _ = net.shapes[layer]
    units = [(0, 1, top, left) for top in range(height) for left in range(width)]
    r, field = to_cpu(project_units(net, x, layer, units, rules)[0]), fields(net)[layer]
    for (_, _, top, left), got in zip(units, r, strict=True):
        y0, x0, y1, x1 = field.box(top, left)
        outside = np.ones(got.shape[:2], bool)
        outside[max(y0, 0) : y1, max(x0, 0) : x1] = False
        assert not got[outside].any()
    assert r.any()


@pytest.mark.parametrize("rules", RULES)
def test_homogeneous_in_its_seed(xp, rules):
    net, x = full_net(xp), xp.asarray(nets.image())
    y, caches = net.forward(x, "relu3")
    seed = nets.one_hot(y, nets.strongest(to_cpu(y)))
    assert_close(
        net.deconv(3.5 * seed, caches, rules), 3.5 * to_cpu(net.deconv(seed, caches, rules)), 1e-12
    )


@pytest.mark.parametrize("layer", ["relu2", "pool2", "relu3", "relu4"])
def test_rule_gradient_is_activation_times_gradient(xp, layer):
    net, x = full_net(xp), xp.asarray(nets.image(batch=2))
    y, caches = net.forward(x, layer)
    unit = nets.strongest(to_cpu(y))
    dx = to_cpu(net.backward(nets.one_hot(y, unit, 1.0), caches)[0])[unit[0]]
    r, values = project_units(net, x, layer, [np.array(unit)[[0, 3, 1, 2]]], GRADIENT)
    assert_close(r[0], float(values[0]) * dx, 1e-11)


def test_a_unit_of_value_zero_is_empty_and_a_score_is_not(xp):
    net, x = full_net(xp), xp.asarray(nets.image())
    dead = np.argwhere(to_cpu(net.forward(x, "relu3")[0]) == 0)[:3][:, [0, 3, 1, 2]]
    r, values = project_units(net, x, "relu3", dead)
    assert len(dead) and not values.any() and not r.any()
    lowest = int(to_cpu(net.forward(x)[0]).argmin())
    r, values = project_units(net, x, "scores", [(0, lowest, 0, 0)])
    assert values[0] < 0 and r.any()


@pytest.mark.parametrize("layer", ["relu2", "pool2", "drop4", "scores"])
def test_selected_caches_are_those_of_the_selected_images(xp, layer):
    net, x, rows = full_net(xp), xp.asarray(nets.image(batch=4)), xp.asarray([3, 0, 3])
    y, caches = net.forward(x, layer)
    _, alone = net.forward(x[rows], layer)
    for rules in RULES:
        assert_close(
            net.deconv(y[rows], select(net, caches, rows, rules), rules),
            to_cpu(net.deconv(y[rows], alone, rules)),
            1e-12,
        )


# ---------------------------------------------------------------------------------------------- pictures


def test_project_prepares_as_the_commands_do():
    """Minus the mean of the stored picture, then the centre crop."""
    net, stored = square_net(), image()
    x = (stored - net.pixel_mean)[None, 1:25, 1:25].astype(np.float32)
    y, caches = net.forward(x, "relu2")
    top, left = np.unravel_index(y[0, :, :, 3].argmax(), y.shape[1:3])
    strongest = net.deconv(nets.one_hot(y, (0, top, left, 3)), caches)[0]
    assert_close(project(net, stored, "conv2:3"), strongest, 1e-6)
    assert_close(project(net, stored, f"conv2:3:{top}:{left}"), strongest, 1e-6)
    one = nets.one_hot(y, (0, 1, 2, 3))
    assert_close(project(net, stored, "2:3:1:2"), net.deconv(one, caches)[0], 1e-6)
    whole = np.zeros_like(y)
    whole[..., 3] = y[..., 3]
    assert_close(
        project(net, stored, "conv2:3:*", GRADIENT), net.deconv(whole, caches, GRADIENT)[0], 1e-6
    )


def test_project_a_score_with_one():
    net, stored = square_net(), image()
    x = (stored - net.pixel_mean)[None, 1:25, 1:25].astype(np.float32)
    y, caches = net.forward(x)
    for unit in ("scores:2", "scores:2:*", "fc3:2:0:0"):
        assert_close(
            project(net, stored, unit),
            net.deconv(nets.one_hot(y, (0, 0, 0, 2), 1), caches)[0],
            1e-6,
        )


def test_project_takes_a_image_of_any_size():
    net, large = square_net(), np.kron(image(26), np.ones((4, 4, 1), np.uint8))
    wide = np.concatenate([large, large[:, :20]], axis=1)
    for other in (large, wide, large[..., 0]):
        assert project(net, other, "conv2:3").shape == (24, 24, 3)


def test_stored_size():
    assert stored_size(square_net()) == 26
    assert stored_size(models.build("zf64", classes=2)) == 64
    net = square_net(mean=np.zeros(3, np.float32))
    assert stored_size(net) >= 24


def test_seen_is_what_goes_in():
    net, stored = square_net(), image()[None]
    assert_close(
        preprocess(net, stored), center_crop(net, stored) - net.pixel_mean[1:25, 1:25], 1e-6
    )


def test_display_rule():
    r = np.zeros((2, 2, 3))
    r[0, 0], r[1, 1, 1] = [0.5, -2, 1], 2
    want = np.full((2, 2, 3), 128)
    want[0, 0], want[1, 1, 1] = [159, 0, 191], 255
    np.testing.assert_array_equal(display(r), want)
    np.testing.assert_array_equal(display(np.stack([r, 1e-9 * r])), [want, want])  # each by itself
    assert (display(np.zeros((1, 3, 3, 3))) == 128).all()
    assert display(np.zeros((0, 3, 3, 3))).shape == (0, 3, 3, 3)


def test_display_by_percentile_cuts_outliers_and_ignores_zeros():
    r = np.zeros((40, 40, 3))
    r[:10, :10] = np.tile([[1.0], [-1.0]], (5, 3)).reshape(10, 1, 3)
    r[0, 0, 0] = 1000
    shown = display(r, 99)
    assert (
        shown[0, 0, 0] == 255
        and shown[0, 1, 0] == 255
        and shown[1, 1, 1] == 0
        and shown[20, 20, 0] == 128
    )
    assert display(r)[0, 1, 0] == 128


@pytest.mark.parametrize(
    "box",
    [(1, 2, 4, 6), (-2, -1, 3, 4), (3, 4, 9, 9), (-2, -2, 9, 9), (-5, 0, -2, 3), (7, 1, 9, 3)],
)
def test_crop_pads_with_grey(box):
    small = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    top, left, bottom, right = box
    got = crop(small, box)
    assert got.shape == (bottom - top, right - left, 3)
    for i in range(bottom - top):
        for j in range(right - left):
            inside = 0 <= top + i < 5 and 0 <= left + j < 6
            np.testing.assert_array_equal(got[i, j], small[top + i, left + j] if inside else 128)
