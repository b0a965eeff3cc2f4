"""Where a picture has changed: the same numbers as for the whole changed picture, whatever the net,
place and size.
"""

import nets
import numpy as np
import pytest
import test_boxes
from hypothesis import given
from hypothesis import strategies as st
from laws import assert_close, assert_same
from test_windowed import TABLES

from rawconv import models
from rawconv.layers.conv import Conv
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.machine.arrays import to_cpu
from rawconv.net import Net
from rawconv.visualize import perturbed
from rawconv.visualize.forward_pass import ForwardPass


def corners(shape, size, rng, count=12):
    """Places of a window of `size`: the four corners of the picture, and some at random."""
    most = np.array(shape[:2]) - size
    return np.concatenate(
        [[(0, 0), most, (0, most[1]), (most[0], 0)], rng.integers(0, most + 1, (count, 2))]
    )


def changed(x, r, corner):
    """The whole pictures: x with each window r put at its corner."""
    x = np.repeat(x, len(r), axis=0)
    for one, window, (top, left) in zip(x, r, corner, strict=True):
        one[top : top + window.shape[0], left : left + window.shape[1]] = window
    return x


def both(xp, net, x, r, corner, names):
    """[(name, patched, whole)] of the layers; each layer by itself too, since the way ends at the
    last one.
    """
    maps = ForwardPass(net, xp.asarray(x.copy())).maps
    found = perturbed.forward(net, maps, xp.asarray(r), corner, names)
    for name in names:
        want, _ = net.forward(xp.asarray(changed(x, r, corner)), name, keep=False)
        (alone,) = perturbed.forward(net, maps, xp.asarray(r), corner, [name]).values()
        assert_same(alone, to_cpu(found[name]))
        yield name, found[name], to_cpu(want)


def layers_of(net):
    """All layer objects but the convolutions that do their ReLU's work."""
    return [name for name in net.shapes if name not in net.fused_ceilings]


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (9, 12)])
@pytest.mark.parametrize("name", TABLES)
def test_every_layer_says_what_it_says_of_the_whole_image(xp, name, size):
    table, shape = TABLES[name]
    net, rng = nets.make(xp, table, shape), np.random.default_rng(3)
    x, corner = nets.image(shape=shape), corners(shape, size, rng)
    r = rng.standard_normal((len(corner), *size, shape[2]))
    for _, got, want in both(xp, net, x, r, corner, layers_of(net)):
        assert_close(got, want, 1e-12)


@pytest.mark.parametrize("name", ["odd", "dense", "gaps", "full", "halves", "holes"])
def test_with_whole_numbers_not_a_bit_differs(name):
    table, shape = TABLES[name]
    table = [row for row in table if row[1] is not LRN]
    net, rng = nets.make(np, table, shape), np.random.default_rng(9)
    for layer in nets.convs(table):
        net[layer].weight = rng.integers(-2, 3, net[layer].weight.shape).astype(float)
        net[layer].bias = rng.integers(0, 3, net[layer].bias.shape).astype(float)
    x, corner = rng.integers(-3, 4, (1, *shape)).astype(float), corners(shape, (6, 4), rng)
    r = rng.integers(-3, 4, (len(corner), 6, 4, shape[2])).astype(float)
    for _, got, want in both(np, net, x, r, corner, layers_of(net)):
        assert_same(got, want)


@pytest.mark.parametrize("size", [(1, 1), (6, 4), (17, 9)])
def test_through_branches(xp, size):
    """Residual, Fire and Inception blocks, of whole numbers: to the bit below the average."""
    net, rng, shape = (
        test_boxes.net_of(xp, test_boxes.branches(), whole_numbers=True),
        np.random.default_rng(4),
        test_boxes.SHAPE,
    )
    x, corner = rng.integers(-3, 4, (1, *shape)).astype(float), corners(shape, size, rng)
    r = rng.integers(-3, 4, (len(corner), *size, shape[2])).astype(float)
    for name, got, want in both(xp, net, x, r, corner, layers_of(net)):
        if name in ("in2", "inception"):
            assert_close(got, want, 1e-12)
        else:
            assert_same(got, want)


def test_windows_go_on_behind_a_join(monkeypatch):
    """A pixel reaches 3x3 of conv1, 3x3 and 2x2 of a1 and a3, 5x5 of a2 and the sum, 7x5 of b1 and
    the next sum.
    """
    net, sizes, plain = test_boxes.net_of(np, test_boxes.branches()), {}, Conv.forward_window

    def spy(layer, windows, *others, **how):
        y = plain(layer, windows, *others, **how)
        sizes[id(layer)] = y.shape[1:3]
        return y

    monkeypatch.setattr(Conv, "forward_window", spy)
    maps = ForwardPass(net, nets.image(shape=test_boxes.SHAPE)).maps
    perturbed.forward(net, maps, np.ones((1, 1, 1, 2)), np.array([(20, 20)]), ["inception"])
    names = ("conv1", "a1", "a3", "a2", "b1", "squeeze", "right")
    assert [sizes[id(net[name])] for name in names] == [
        (3, 3), (3, 3), (2, 2), (5, 5), (7, 5), (7, 5), (9, 7)
    ]  # fmt: skip


@given(st.data())
def test_any_window_anywhere(data):
    name = data.draw(st.sampled_from(["odd", "dense", "gaps", "square", "full", "averages"]))
    table, shape = TABLES[name]
    net = nets.make(np, table, shape, seed=data.draw(st.integers(0, 9)))
    size = tuple(data.draw(st.integers(1, length)) for length in shape[:2])
    corner = np.array(
        [[data.draw(st.integers(0, whole - n)) for whole, n in zip(shape[:2], size, strict=True)]]
    )
    r = np.random.default_rng(1).standard_normal((1, *size, shape[2]))
    for _, got, want in both(np, net, nets.image(shape=shape), r, corner, [list(net.shapes)[-1]]):
        assert_close(got, want, 1e-12)


@pytest.mark.parametrize("pad", [1, (2, 0)])
def test_a_pool_of_negative_maps_sees_nothing_beside_the_image(pad):
    """Its padding is less than any number, as in the whole map, and no zero, which would win every
    window there.
    """
    net = Net(
        (9, 11, 2),
        [("conv1", Conv(3, 3, pad=1)), ("pool1", MaxPool(3, 2, pad))],
        seed=2,
        dtype="float64",
    )
    net["conv1"].bias = net["conv1"].bias - 9
    rng = np.random.default_rng(5)
    x, corner = rng.random((1, 9, 11, 2)), corners((9, 11), (2, 3), rng)
    for _, got, want in both(np, net, x, rng.random((len(corner), 2, 3, 2)), corner, ["pool1"]):
        assert_close(got, want, 1e-12)
        assert want.max() < 0 and want.shape[1:] == net.shapes["pool1"]


def test_a_square_in_the_papers_net_reaches_what_the_head_of_the_file_says():
    net, size, sizes = models.build("zfnet"), (50, 50), []
    for name, layer in net.layers:
        if getattr(layer, "window", None) is not None:
            size = perturbed.reached(layer, size, net.shapes[name][:2])
            if size is None:
                break
            sizes.append(size[0])
    assert sizes == [28, 15, 10, 6, 8, 10, 12]


def test_in_float32_by_the_fast_convolutions(monkeypatch):
    """As it runs: Winograd, several chunks; within what float32 allows."""
    net, rng = models.build("zf64", classes=12), np.random.default_rng(0)
    for _, layer in net.layers:
        if isinstance(layer, Conv):
            scale = np.float32(np.sqrt(2 / np.prod(layer.weight.shape[:3])))
            layer.weight = rng.standard_normal(layer.weight.shape, np.float32) * scale
    x, corner = (
        rng.standard_normal((1, 64, 64, 3), np.float32),
        corners((64, 64), (12, 12), rng, 30),
    )
    r = rng.standard_normal((len(corner), 12, 12, 3), np.float32)
    whole = {name: got for name, got, _ in both(np, net, x, r, corner, ["relu5", "fc8"])}
    monkeypatch.setattr(perturbed, "CACHE_BYTES", 1 << 20)
    for name, got, want in both(np, net, x, r, corner, ["relu5", "fc8"]):
        assert_close(got, want, 3e-5)
        assert_close(got, whole[name], 3e-5)
