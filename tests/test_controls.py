"""Controls exchange one ingredient of the way down and leave all others alone."""

import nets
import numpy as np
import pytest
from laws import assert_close, assert_same
from projecting import project_units
from test_pages import data_of, split_of, square_net, tiles

from rawconv.convert.parts import conv
from rawconv.data.preprocessing import preprocess
from rawconv.errors import RawconvError, UsageError
from rawconv.layers import GEMM
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import Cache, MaxPool
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import to_cpu
from rawconv.net import Net
from rawconv.report import pages
from rawconv.report.look import Look
from rawconv.report.pages import image_page, layer_pages
from rawconv.visualize import controls
from rawconv.visualize.controls import control, untrained
from rawconv.visualize.forward_pass import ForwardPass, forward_pass
from rawconv.visualize.images import crop, display
from rawconv.visualize.projection import project
from rawconv.visualize.top_activations import scan
from rawconv.visualize.units import Unit

SAID = {
    "untrained": "up and down through weights as before training; where its feature map is 0 there, the largest",
    "cascade-2": "up and down through weights as before training in the 2 highest of the layers up to the unit's, "
    "in all where they are fewer",
    "other-unit": "another feature map that is above 0 at the unit's position",
    "mismatched-filters": "up through the learned filters, down through those from before training",
    "other-switches": "projected through the switches of another picture",
    "no-switches": "projected without switches, each pooled value put at the centre of its window",
}
NAMES = list(SAID)
UNITS = [(0, 1, 0, 0), (1, 3, 1, 2), (2, 2, 2, 1), (0, 4, 2, 2)]


def by_hand(net, below, x, units, name, exchange):
    """Each unit down through whole maps of the net `below`, its pool caches exchanged."""
    for row, number, top, left in units:
        y, caches = net.forward(x[row : row + 1], name)
        seed = nets.one_hot(y, (0, top, left, number))
        yield to_cpu(below.deconv(seed, exchange(row, caches)))[0]


@pytest.mark.parametrize("full", [False, True])
def test_mismatched_filters_change_the_way_down_alone(xp, full):
    net, x = nets.make(xp, nets.FULL), xp.asarray(nets.image(batch=3))
    exchanged = control(net, "mismatched-filters")
    r, values = project_units(net, x, "relu2", UNITS, full=full, control=exchanged)
    plain, before = project_units(net, x, "relu2", UNITS)
    assert_same(values, to_cpu(before))
    assert not np.allclose(to_cpu(r), to_cpu(plain)) and r.any()
    for got, want in zip(
        to_cpu(r), by_hand(net, exchanged.twin, x, UNITS, "relu2", lambda _, c: c), strict=True
    ):
        assert_close(got, want, 1e-12)


def asked(units):
    return [Unit(row, "conv2", number, y, x) for row, number, y, x in units]


EVERY = [
    (row, number, y, x) for row in range(3) for number in range(6) for y, x in ((0, 0), (2, 1))
]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("untrained", {"conv1", "conv2"}),
        ("cascade-1", {"conv2"}),
        ("cascade-2", {"conv1", "conv2"}),
        ("cascade-9", {"conv1", "conv2"}),
    ],
)
def test_weights_are_exchanged_up_and_down(xp, name, drawn, full):
    """From the same image, position and map; where the map is 0, from the largest one there."""
    net, x = nets.make(xp, nets.FULL), xp.asarray(nets.image(batch=3))
    twin, below = untrained(net), nets.make(xp, nets.FULL)
    for layer in drawn:
        below[layer].weight, below[layer].bias = twin[layer].weight, twin[layer].bias
    y, passed = to_cpu(below.forward(x.copy(), "relu2")[0]), ForwardPass(net, x, ["conv2"])
    found, replaced = list(project(passed, asked(EVERY), control=control(net, name), full=full)), 0
    for projection, (row, number, top, left) in zip(found, EVERY, strict=True):
        largest = int(y[row, top, left].argmax())
        want = (row, number if y[row, top, left, number] else largest, top, left)
        replaced += want[1] != number
        assert projection.replaced == (want[1] != number)
        assert projection.unit == asked([want])[0]
        assert projection.value == pytest.approx(y[row, top, left, want[1]], rel=1e-12)
        (r,) = by_hand(below, below, x, [want], "relu2", lambda _, caches: caches)
        assert_close(projection.pixels, r, 1e-12)
    assert 0 < replaced < len(EVERY)
    assert to_cpu(passed["conv2"]).any() and passed.net is net


def test_another_unit_is_alive_at_the_same_position_and_always_the_same(xp):
    net, x = nets.make(xp, nets.FULL), xp.asarray(nets.image(batch=3))
    passed, exchanged = ForwardPass(net, x, ["conv2"]), control(net, "other-unit")
    y, others = to_cpu(passed["conv2"]), set()
    found = list(project(passed, asked(EVERY), control=exchanged))
    again = list(project(passed, asked(EVERY[:5]), control=control(net, "other-unit")))
    assert [one.unit for one in again] == [one.unit for one in found[:5]]
    for projection, (row, number, top, left) in zip(found, EVERY, strict=True):
        other = projection.unit.channel
        others.add((other - number) % 6)
        alive = (np.delete(y[row, top, left], number) > 0).any()
        assert other != number and projection.unit == asked([(row, other, top, left)])[0]
        assert projection.dead == (not alive)
        (plain,) = project(passed, [projection.unit])
        assert_same(projection.pixels, plain.pixels)
    assert len(others) > 2
    seeded = [u.unit for u in project(passed, asked(EVERY), control=control(net, "other-unit", 1))]
    assert seeded != [one.unit for one in found]


def test_whole_maps_are_exchanged_too(xp):
    net, x = nets.make(xp, nets.FULL), xp.asarray(nets.image(batch=2))
    passed, twin = ForwardPass(net, x, ["conv2"]), untrained(net)
    largest = to_cpu(twin.forward(x.copy(), "relu2")[0]).max(axis=(1, 2))
    for number in range(6):
        (one,) = project(
            passed, [Unit(1, "conv2", number, whole=True)], control=control(net, "untrained")
        )
        assert one.unit.channel == (number if largest[1, number] else largest[1].argmax())
        (other,) = project(
            passed, [Unit(1, "conv2", number, whole=True)], control=control(net, "other-unit")
        )
        assert other.unit.channel != number and not other.dead


def test_what_sets_out_instead_is_followed_down(xp):
    """Steps and the sentence of an empty projection are about the unit that was projected."""
    net, x = nets.make(xp, nets.FULL), xp.asarray(nets.image(batch=2))
    passed = ForwardPass(net, x, ["conv2"])
    for name in ("untrained", "other-unit"):
        (one,) = project(passed, asked([(1, 3, 1, 2)]), control=control(net, name))
        assert_close(one.steps()[-1].r, one.pixels, 1e-12)


def test_an_untrained_import_is_he_normal_and_its_norms_do_nothing():
    """A batch norm that is no part of a convolution; it is exchanged with the convolution below it."""
    rng = np.random.default_rng(0)
    layers = [
        ("conv1", conv(rng.random((64, 3, 5, 5), np.float32), np.ones(64, np.float32))),
        ("relu1", ReLU()),
        ("norm1", conv(rng.random((64, 1, 1, 1), np.float32), np.ones(64, np.float32), groups=64)),
        ("conv2", conv(rng.random((64, 64, 3, 3), np.float32), np.ones(64, np.float32))),
        ("norm2", conv(rng.random((64, 1, 1, 1), np.float32), np.ones(64, np.float32), groups=64)),
        ("relu2", ReLU()),
    ]
    net = Net((20, 20, 3), layers)
    twin = untrained(net)
    for name, fan_in in (("conv1", 75), ("conv2", 576)):
        assert twin[name].weight.std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.05)
    for name in ("norm1", "norm2"):
        assert (twin[name].weight == 1).all()
    assert not any(twin[name].bias.any() for name in ("conv1", "norm1", "conv2", "norm2"))
    assert controls.highest(net, "relu2", 1) == {"norm2", "conv2"}
    assert controls.highest(net, "relu2", 2) == {"norm2", "conv2", "norm1", "conv1"}


def test_untrained_weights_are_those_of_the_beginning(xp):
    net = nets.make(xp, nets.FULL)
    one, two = untrained(net), untrained(net)
    assert one.shapes == net.shapes and one.execution == net.execution == GEMM
    assert one["norm1"].settings == net["norm1"].settings
    for (name, layer), (_, again), (_, old) in zip(one.layers, two.layers, net.layers, strict=True):
        if isinstance(layer, Conv):
            assert_same(layer.weight, to_cpu(again.weight))
            assert type(layer.weight) is type(old.weight) and layer.weight.dtype == old.weight.dtype
            assert layer.weight.shape == old.weight.shape, name
            assert not layer.bias.any()
            assert abs(float(layer.weight.std()) - 0.01) < 0.003
    assert to_cpu(net["conv1"].bias).any(), "the net itself is as it was"


@pytest.mark.parametrize("full", [False, True])
def test_other_switches_are_those_of_the_other_image(xp, full):
    net, x, others = (
        nets.make(xp, nets.FULL),
        xp.asarray(nets.image(batch=3)),
        xp.asarray(nets.image(5, batch=3)),
    )
    r, values = project_units(
        net, x, "relu2", UNITS, full=full, control=control(net, "other-switches"), others=others
    )
    assert_same(values, to_cpu(project_units(net, x, "relu2", UNITS)[1]))

    def exchange(row, caches):
        _, other = net.forward(others[row : row + 1], "relu2")
        return {name: other[name] if isinstance(a, Cache) else a for name, a in caches.items()}

    for got, want in zip(to_cpu(r), by_hand(net, net, x, UNITS, "relu2", exchange), strict=True):
        assert_close(got, want, 1e-12)


@pytest.mark.parametrize(
    "settings", [dict(size=3, stride=2), dict(size=(4, 3), stride=(3, 2), pad=(1, 2, 0, 0))]
)
def test_no_switches_point_to_the_centres(xp, settings):
    """Of the part of a window that lies in the map; going down, one value lands there."""
    layer = MaxPool(**settings)
    x = np.random.default_rng(1).random((2, 10, 7, 3))
    y, cache = layer.forward(xp.asarray(x))
    centred = controls.centres(layer.window, cache)
    assert centred.switches.dtype == cache.switches.dtype and centred.shape == cache.shape
    for top in range(y.shape[1]):
        for left in range(y.shape[2]):
            r = to_cpu(layer.deconv(nets.one_hot(y, (1, top, left, 2), 5.0), centred))
            (place,) = np.argwhere(r)
            want = [1]
            for at, size, stride, pad, most in zip(
                (top, left),
                layer.window.size,
                layer.window.stride,
                layer.window.pad,
                x.shape[1:3],
                strict=False,
            ):
                inside = [
                    p for p in range(at * stride - pad, at * stride - pad + size) if 0 <= p < most
                ]
                want.append(inside[(len(inside) - 1) // 2])
            assert place.tolist() == [*want, 2]


def test_no_switches_forget_the_image(xp):
    """By the paper's rule nothing else of the picture is used: the same projection for each, up to
    its activation.
    """
    net, x = nets.make(xp, nets.FULL), xp.asarray(nets.image(batch=9))
    y = to_cpu(net.forward(x, "relu2")[0])
    rows = np.flatnonzero(y[:, 1, 1, 3] > 0)
    assert len(rows) > 2
    units, exchanged = [(row, 3, 1, 1) for row in rows], control(net, "no-switches")
    r, values = map(to_cpu, project_units(net, x, "relu2", units, control=exchanged))
    for one, value in zip(r, values, strict=True):
        assert_close(one / value, r[0] / values[0], 1e-12)
    plain = to_cpu(project_units(net, x, "relu2", units)[0])
    assert not np.allclose(plain[0] / values[0], plain[1] / values[1])


def test_names():
    net = square_net()
    assert control(net, None) is None
    with pytest.raises(
        UsageError, match="untrained, cascade-1, cascade-2, ..., other-unit, mismatched"
    ):
        control(net, "none")
    for name in ("cascade", "cascade-0", "cascade-x", "random-weights"):
        with pytest.raises(UsageError, match="no control"):
            control(net, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_says_so(monkeypatch, name):
    net, split = square_net(), split_of(7)
    look = Look(control=control(net, name))
    found = scan(net, split, ["conv2"], 3, progress=False)["conv2"]
    written, passed = [], forward_pass(net, split.read([0, 1]))
    for figure in ("grid", "overview", "one_image"):
        monkeypatch.setattr(
            pages.figures,
            figure,
            lambda *a, **k: written.extend(w for w in a if isinstance(w, str)),
        )
    layer_pages(net, data_of(split), split, "conv2", found, "", [1], look, 3)
    image_page(passed, 0, "conv2", "", [1], look, 3)
    said = "Control: " + SAID[name]
    assert sum(said in text for text in written) == 3


def test_a_legend_counts_the_units_that_are_replaced(monkeypatch):
    """In the grid, the overview and a single picture's figure."""
    net, split = square_net(), split_of(7)
    found = scan(net, split, ["conv2"], 3, progress=False)["conv2"]
    written, passed = [], forward_pass(net, split.read([0, 1]))
    for figure in ("grid", "overview", "one_image"):
        monkeypatch.setattr(
            pages.figures,
            figure,
            lambda *a, **k: written.append(" ".join(w for w in a if isinstance(w, str))),
        )
    for name in ("untrained", "other-unit"):
        look = Look(control=control(net, name))
        layer_pages(net, data_of(split), split, "conv2", found, "", [1, 2], look, 3)
        image_page(passed, 0, "conv2", "", [1, 2], look, 3)
    twin, units = untrained(net), found.units("conv2", [1, 2], 3)
    counts = []
    shown = [units, found.units("conv2", range(net.shapes["relu2"][2]), 1)]
    for some in [*shown, passed.strongest("conv2", 2, [1, 2])]:
        y = twin.forward(preprocess(net, split.read([unit.image for unit in some])), "relu2")[0]
        counts.append((sum(y[k, u.y, u.x, u.channel] == 0 for k, u in enumerate(some)), len(some)))
    assert counts[0][0] > 0
    for text, (count, total) in zip(written[:3], counts, strict=True):
        assert (f"So it is with {count} of the {total} units here." in text) == (count > 0)
    assert not any("So it is" in text for text in written[3:])


def test_tiles_take_the_image_half_the_data_set_away():
    net, split = square_net(), split_of(7)
    found = scan(net, split, ["conv2"], 3, progress=False)["conv2"]
    exchanged = control(net, "other-switches")
    drawn = tiles(net, split, "conv2", found, [1], 3, Look(control=exchanged, percentile=100))[1]
    for rank, tile in enumerate(drawn):
        number = found.image[1, rank]
        x, other = (preprocess(net, split.read([i])) for i in (number, (number + 3) % 7))
        unit = (0, 1, found.y[1, rank], found.x[1, rank])
        r, _ = project_units(net, x, "conv2", [unit], control=exchanged, others=other)
        box = Unit(0, "conv2", *unit[1:]).shown_box(net)
        assert (
            np.abs(tile.projection.astype(int) - display(crop(r[0], box, 0)).astype(int)).max() <= 1
        )
    with pytest.raises(RawconvError, match="another picture"):
        tiles(net, split_of(1), "conv2", scan(net, split_of(1), ["conv2"], 1, progress=False)["conv2"], [1], 1,
              Look(control=exchanged))  # fmt: skip
