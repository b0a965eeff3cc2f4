"""Controls exchange one ingredient of the way down and leave all others alone."""

import nets
import numpy as np
import pytest
from laws import assert_close, assert_same
from projecting import project_units
from test_pages import data_of, split_of, square_net, tiles

from rawconv.data.preprocessing import preprocess
from rawconv.errors import RawconvError, UsageError
from rawconv.layers import GEMM
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import Cache, MaxPool
from rawconv.machine.arrays import to_cpu
from rawconv.report import pages
from rawconv.report.look import Look
from rawconv.report.pages import image_page, layer_pages
from rawconv.visualize import controls
from rawconv.visualize.controls import control, untrained
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.images import crop, display
from rawconv.visualize.top_activations import scan
from rawconv.visualize.units import Unit

UNITS = [(0, 1, 0, 0), (1, 3, 1, 2), (2, 2, 2, 1), (0, 4, 2, 2)]


def by_hand(net, below, x, units, name, exchange):
    """Each unit down through whole maps of the net `below`, its pool caches exchanged."""
    for row, number, top, left in units:
        y, caches = net.forward(x[row : row + 1], name)
        seed = nets.one_hot(y, (0, top, left, number))
        yield to_cpu(below.deconv(seed, exchange(row, caches)))[0]


@pytest.mark.parametrize("full", [False, True])
def test_random_weights_change_the_filters_alone(xp, full):
    net, x = nets.make(xp, nets.FULL), xp.asarray(nets.image(batch=3))
    exchanged = control(net, "random-weights")
    r, values = project_units(net, x, "relu2", UNITS, full=full, control=exchanged)
    plain, before = project_units(net, x, "relu2", UNITS)
    assert_same(values, to_cpu(before))
    assert not np.allclose(to_cpu(r), to_cpu(plain)) and r.any()
    for got, want in zip(
        to_cpu(r), by_hand(net, exchanged.net, x, UNITS, "relu2", lambda _, c: c), strict=True
    ):
        assert_close(got, want, 1e-12)


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
    with pytest.raises(UsageError, match="random-weights, other-switches, no-switches"):
        control(net, "none")


@pytest.mark.parametrize("name", controls.SENTENCES)
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
    assert sum(controls.SENTENCES[name] in text for text in written) == 3


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
