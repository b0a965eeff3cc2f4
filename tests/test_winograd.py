"""Winograd's ways round: narrow tiles at the end of a map, taps that a filter lacks, pictures that
do not touch.
"""

from itertools import product

import numpy as np
import pytest
import reference as ref
from conv_cases import check_three_walks
from hypothesis import given
from hypothesis import strategies as st
from projecting import project_units

from rawconv.layers import GEMM, Execution
from rawconv.layers.conv import Conv, convolve, convolve_transpose, weight_gradient
from rawconv.layers.cpu import products, winograd_filters, winograd_images, winograd_plan
from rawconv.layers.cpu import winograd_points as points
from rawconv.layers.cpu.products import columns_of, rows_of
from rawconv.layers.cpu.winograd_positions import PLAIN, Fold, Tiles, multiplications
from rawconv.layers.relu import ReLU
from rawconv.layers.window import Window
from rawconv.machine.numba_cache import loop
from rawconv.net import Net

SIZES = {
    (3, 1): (3, 3),
    (4, 1): (4, 4),
    (5, 1): (5, 5),
    (6, 1): (6, 5),
    (5, 2): (5, 5),
    (6, 2): (6, 5),
    (11, 4): (11, 9),
}


def alone(part):
    """The loop of a part, which Python can call."""
    return loop(part.py_func)


@st.composite
def convolutions(draw):
    """(batch, (H, W, C), filters, settings) of every kind of fold; maps of y of 1 to 10 positions
    along an axis.
    """
    (_, stride), size = draw(st.sampled_from(sorted(SIZES.items())))
    pad = draw(st.tuples(*[st.integers(0, 2)] * 2))
    height, width = (
        max(
            1,
            (draw(st.integers(1, 10)) - 1) * stride + n - 2 * p - draw(st.integers(0, stride - 1)),
        )
        for n, p in zip(size, pad, strict=True)
    )
    height, width = (
        max(length, n - 2 * p) for length, n, p in zip((height, width), size, pad, strict=True)
    )
    settings = dict(size=size, stride=stride, pad=pad, ceil_mode=draw(st.booleans()))
    return (
        draw(st.integers(1, 9)),
        (height, width, draw(st.integers(1, 3))),
        draw(st.integers(1, 3)),
        settings,
    )


@given(case=convolutions())
def test_any_map_and_fold_equals_the_equations(case):
    check_three_walks(np, "float64", *case, conv="winograd")


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of few images; plans are made anew."""
    plans = winograd_plan.forward_plan, winograd_plan.transpose_plan, winograd_plan.gradient_plan
    for made in plans:
        made.cache_clear()
    monkeypatch.setattr(winograd_plan, "MOST_BYTES", 36 * 16 * 16 * 80 * 8)
    monkeypatch.setattr(winograd_plan, "CHUNK_BYTES", 36 * 16 * 16 * 80 * 8)
    yield monkeypatch
    for made in plans:
        made.cache_clear()


@pytest.mark.parametrize("way", ["steps", "images", "columns"])
@pytest.mark.parametrize("size", [(13, 13), (6, 11), (3, 2), (5, 9)])
def test_several_blocks_of_images(size, way, small_parts):
    """The weight gradient adds up what the blocks give, and the last may be shorter; so may chunks of
    images that go all the way up.
    """
    small_parts.setattr(winograd_plan, "FEW", float("inf") if way == "columns" else 0)
    small_parts.setattr(winograd_plan, "FILTER_BYTES", 1 << 30 if way == "images" else 0)
    check_three_walks(np, "float64", 7, (*size, 16), 16, dict(size=3, pad=1), conv="winograd")
    check_three_walks(np, "float64", 7, (*size, 16), 16, dict(size=5, pad=2), conv="winograd")
    check_three_walks(
        np, "float64", 7, (*size, 8), 40, dict(size=5, stride=2, pad=4), conv="winograd"
    )
    shapes = (7, *size, 16), (7, *size, 16)
    pieces = winograd_plan.forward_plan(Window.of(3, 1, 1, True), *shapes, 8).tables[0]
    want = {"steps": {1, 2, 4, 8}, "images": {1, 2 + 4 + 8}, "columns": {2, 1 + 4 + 8}}
    assert set(pieces[:, 0]) == want[way], "that way was taken"


def passes(x, dy, weight, window):
    down = convolve_transpose(dy, weight, x.shape[1:3], window, Execution("winograd"))
    return convolve(x, weight, None, window, Execution("winograd")), down


@pytest.mark.parametrize(
    "settings", [dict(size=3, pad=1), dict(size=5, stride=2), dict(size=5, pad=2)]
)
def test_no_image_touches_another(settings):
    """Not by a rounding error beside one that is a billion times as large, nor by a NaN: a dead
    unit stays empty.
    """
    layer, rng = Conv(17, **settings), np.random.default_rng(0)
    layer.build((13, 14, 5), rng)
    x = rng.standard_normal((4, 13, 14, 5), np.float32)
    dy = rng.standard_normal((4, *layer.out_shape(x.shape[1:])), np.float32)
    want = passes(x, dy, layer.weight, layer.window)
    for n, value in ((1, 0), (0, 1e9), (2, np.nan)):
        x[n], dy[n] = value, value
    for got, alone in zip(passes(x, dy, layer.weight, layer.window), want, strict=True):
        assert not got[1].any() and np.isnan(got[2]).all()
        np.testing.assert_array_equal(got[3], alone[3])


WINDOWS = [Window.of(size, stride, 0, True) for (_, stride), size in SIZES.items()]


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: f"{window.size} by {window.stride}")
def test_what_is_left_out_is_zero_and_nothing_else_is(window):
    """The transformed filters themselves say which channels a position needs, also when they are turned."""
    how, weight = Fold.of(window), np.random.default_rng(0).standard_normal((*window.size, 2, 16))
    channels = winograd_plan.whole(how.count * 2)
    for turned, (inner, filters) in ((False, (channels, 16)), (True, (16, channels))):
        transformed = np.full(columns_of(inner, filters), np.nan)
        taps_of = winograd_plan.taps(how, turned)
        alone(winograd_filters.transform)(weight, transformed, inner, 0, 0, filters, taps_of)
        transformed = transformed[:, : filters // 16 * inner].reshape(36, -1, inner, 16)
        for values, span in zip(transformed, how.spans(2, 0 if turned else 5), strict=True):
            values = values.swapaxes(1, 2).reshape(-1, inner) if turned else values.swapaxes(0, 1)
            used = np.flatnonzero(values.reshape(channels, -1).any(axis=1))
            assert used.tolist() == list(range(span.start, span.stop))


@pytest.mark.parametrize(
    ("size", "window", "want"),
    [
        ((4, 4), (3, 1), 36),
        # the paper's conv3 to conv5: F(4, 3) three times and F(1, 3)
        ((13, 13), (3, 1), (3 * 6 + 3) ** 2),
        ((6, 15), (3, 1), (6 + 4) * (18 + 5)),
        # of four blocks, two have a third row, two a third column
        ((4, 8), (5, 2), 2 * (4 * 25 + 2 * 5 + 2 * 5 + 1)),
        # its conv2: five positions see two blocks, infinity sees one
        ((26, 26), (5, 2), (6 * 11 + 7) ** 2),
        ((27, 27), (5, 1), (6 * 11 + 9) ** 2),  # Krizhevsky's
        ((4, 4), (11, 4), (5 * 4 + 3) ** 2),
    ],
)
def test_multiplications(size, window, want):
    how = Fold.of(Window.of(*window, 0, True))
    assert multiplications(how, size) == want


def test_every_place_of_a_map_is_in_one_tile():
    for size in [(1, 1), (3, 9), (13, 14), (8, 4), (26, 27)]:
        covered = np.zeros(size, int)
        for top, left, down, across, high, wide in Tiles.of(size).rectangles:
            for i in range(down):
                for j in range(across):
                    covered[
                        top + i * high : top + (i + 1) * high,
                        left + j * wide : left + (j + 1) * wide,
                    ] += 1
        assert (covered == 1).all()


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_matrices_are_those_of_their_points(n):
    """And what they are for: n outputs of n + 2 inputs and three taps."""
    at, bt, g = ref.winograd_matrices(n)
    np.testing.assert_allclose(points.AT[n], at, atol=1e-12)
    np.testing.assert_allclose(points.BT[n], bt, atol=1e-12)
    np.testing.assert_allclose(points.G[[*range(n + 1), 5]], g, atol=1e-12)
    d, taps = (
        np.random.default_rng(0).standard_normal(n + 2),
        np.random.default_rng(1).standard_normal(3),
    )
    np.testing.assert_allclose(at @ (g @ taps * (bt @ d)), np.correlate(d, taps), atol=1e-12)


@pytest.mark.parametrize("channels", [256, 384])
def test_rounding_errors_in_single_precision(channels):
    """Of ZFNet's conv3 and conv4, all three passes, relative to the largest value.

    With the usual points 0, 1, -1, 2, -2 they are 1e-5, 1.7e-5 and 5e-6; with sums over all
    channels or tiles in a row, conv4's are 3e-6, 4e-6 and 2e-6.
    """
    limits = 2e-6, 2.2e-6, 1.6e-6
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((8, 13, 13, channels), np.float32), 0)
    dy = rng.standard_normal((8, 13, 13, 384), np.float32)
    weight = rng.standard_normal((3, 3, channels, 384), np.float32)
    window, found = Window.of(3, 1, 1, True), []
    for dtype, execution in (("float32", Execution("winograd")), ("float64", GEMM)):
        one, two, taps = (array.astype(dtype) for array in (x, dy, weight))
        found.append(
            [
                convolve(one, taps, None, window, execution),
                convolve_transpose(two, taps, (13, 13), window, execution),
                weight_gradient(one, two, window, execution),
            ]
        )
    errors = [
        np.abs(got - want).max() / np.abs(want).max() for got, want in zip(*found, strict=True)
    ]
    assert (np.array(errors) < limits).all(), errors


def tiles_of(size):
    """(number of the tile in all, image, rows, columns, outputs down, outputs across), in the order
    they stand in.
    """
    start = 0
    for top, left, down, across, high, wide in Tiles.of(size).rectangles:
        for number, (n, i, j) in enumerate(product(range(2), range(down), range(across)), start):
            yield number, n, top + i * high, left + j * wide, high, wide
        start += 2 * down * across


@pytest.mark.parametrize("size", [(4, 4), (8, 5), (7, 6), (1, 2), (3, 9)])
@pytest.mark.parametrize("gradients", [False, True])
def test_tiles_are_transformed_by_their_matrices(size, gradients):
    """The loops of inputs and of gradients, exactly, in whole numbers."""
    more = 0 if gradients else 2
    x = (
        np.random.default_rng(0)
        .integers(-9, 9, (2, size[0] + more, size[1] + more, 32))
        .astype(float)
    )
    how = Tiles.of(size)
    tiles = np.full(rows_of(2 * how.count, 32), np.nan)
    folded = tuple(4 * -(-n // 4) + more for n in size)
    way = folded, PLAIN.order, (*PLAIN.stride, *PLAIN.apart, 0, 0)
    room = np.full(folded[0] * folded[1] * 16, np.nan)
    for left in (16, 0):  # a vector of channels by itself
        some = 0, 2, left, left + 16
        alone(winograd_images.images_in)(x, tiles, some, how.table, gradients, room, way)
    tiles = tiles[..., :32].swapaxes(0, 1).reshape(-1, 6, 6, 32)
    for number, n, top, left, high, wide in tiles_of(size):
        down, across = (
            ref.winograd_matrices(k)[0].T if gradients else ref.winograd_matrices(k)[1]
            for k in (high, wide)
        )
        d = x[n, top : top + high + more, left : left + wide + more]
        want = np.einsum("ai,ijc,bj->abc", down, d, across)
        got = tiles[number][np.ix_([*range(high + 1), 5], [*range(wide + 1), 5])]
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [(4, 4), (8, 5), (7, 6), (1, 2), (3, 9)])
def test_outputs_are_those_of_the_matrices(size):
    rng, tiles = np.random.default_rng(0), Tiles.of(size)
    tiles_of_y, bias = (
        rng.integers(-9, 9, (2 * tiles.count, 6, 6, 32)).astype(float),
        rng.integers(-9, 9, 32).astype(float),
    )
    bounds, given = np.array([-5.0, 700.0]), np.zeros(rows_of(2 * tiles.count, 32))
    given[:, : 2 * tiles.count, :32] = tiles_of_y.reshape(-1, 36, 32).swapaxes(0, 1)
    y, no_fold = np.full((2, *size, 32), np.nan), ((0, 0), PLAIN.order, (1, 1, 0, 0))
    some, offsets = (0, 2, 0, 32), (bias, bounds)
    alone(winograd_images.images_out)(given, offsets, y, some, tiles.table, np.zeros(0), no_fold)
    for number, n, top, left, high, wide in tiles_of(size):
        used = tiles_of_y[number][np.ix_([*range(high + 1), 5], [*range(wide + 1), 5])]
        down, across = (ref.winograd_matrices(k)[0] for k in (high, wide))
        want = np.clip(np.einsum("ia,abc,jb->ijc", down, used, across) + bias, *bounds)
        np.testing.assert_allclose(
            y[n, top : top + high, left : left + wide], want, rtol=0, atol=1e-9
        )


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    "settings",
    [dict(size=3), dict(size=3, pad=1), dict(size=5, stride=2, pad=1), dict(size=5, pad=2)],
)
def test_on_the_way_down_zeros_are_those_of_the_plain_product(settings, groups):
    """Of one unit, of two in one picture, of none, in one group of filters, and by filters that
    lack a tap.
    """
    layer, rng = Conv(16, groups=groups, **settings), np.random.default_rng(1)
    layer.build((13, 14, 8), rng)
    layer.weight[0] = 0
    r = np.zeros((4, *layer.out_shape((13, 14, 8))), np.float32)
    r[0, 2, 3, 1] = r[1, 0, 0, 2] = r[1, -1, -1, 9] = 1
    r[3] = rng.standard_normal(r.shape[1:])
    got, want = {}, {}
    for found, execution in ((got, Execution("winograd")), (want, GEMM)):
        found["back"], found["down"] = (
            layer.transpose(r, (13, 14), execution, exact) for exact in (False, True)
        )
    np.testing.assert_array_equal(got["down"] != 0, want["down"] != 0)
    assert not np.array_equal(got["back"] != 0, want["back"] != 0), (
        "Winograd by itself leaves rounding errors"
    )
    np.testing.assert_allclose(got["down"], want["down"], atol=1e-5)
    assert got["down"][3].any() and not got["down"][2].any()


def blocked_net(conv):
    """A unit that is alive, and whose way down ends at the ReLU below: all its filters' weights are
    negative.
    """
    rng, build = np.random.default_rng(2), [Conv(8, 3, pad=1), ReLU(), Conv(16, 3, pad=1), ReLU()]
    net = Net((13, 13, 3), list(zip(["conv1", "relu1", "conv2", "relu2"], build, strict=True)))
    net["conv1"].weight[:] = rng.standard_normal(net["conv1"].weight.shape)
    net["conv2"].weight[:] = -rng.random(net["conv2"].weight.shape)
    net["conv2"].bias[:] = 1e6
    net.execution = Execution(conv)
    return net


@pytest.mark.parametrize("conv", ["gemm", "winograd"])
@pytest.mark.parametrize("full", [False, True])
def test_a_projection_that_is_exactly_empty_stays_empty(conv, full):
    net, x = (
        blocked_net(conv),
        np.random.default_rng(3).standard_normal((2, 13, 13, 3)).astype(np.float32),
    )
    units = [(row, number, 4, 7) for row in (0, 1) for number in range(16)]
    r, values = project_units(net, x, "conv2", units, full=full)
    assert (values > 0).all() and not r.any()


def test_the_weight_gradient_of_no_images_is_zero():
    window = Window.of(5, 2, 0, True)
    found = weight_gradient(
        np.zeros((0, 9, 9, 3)), np.zeros((0, 3, 3, 4)), window, Execution("winograd")
    )
    assert found.shape == (5, 5, 3, 4) and not found.any()


@pytest.mark.parametrize(("channels", "filters"), [(16, 32), (48, 16), (80, 112)])
@pytest.mark.parametrize("count", [1, 3, 4, 11, 12, 29, 70, 300])
def test_products_of_rows_that_lie_apart(channels, filters, count):
    """Any number of rows, from any on; channels of the filters left out; and what a part adds to another."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-9, 9, rows_of(count + 5, n)).astype(float) for n in (channels, filters))
    factors = rng.integers(-9, 9, (36, channels, filters)).astype(float)
    packed = np.full(columns_of(channels, filters), np.nan)
    panels = factors.reshape(36, channels, -1, 16).swapaxes(1, 2)
    packed[:, : channels * filters // 16] = panels.reshape(36, -1, 16)
    spans = np.array([[p % 5, p % 5 + count, p % 3, channels, 0, filters] for p in range(36)])
    out, sums = np.full(b.shape, np.nan), np.full(rows_of(channels, filters), np.nan)
    alone(products.multiply_some)(a, packed, out, (channels, filters), spans, 0, 36)
    for first in (True, False):
        sizes = 0, channels, filters
        alone(products.add_some)(a, b, sums, sizes, spans, first, 0, 20)
        alone(products.add_some)(a, b, sums, sizes, spans, first, 20, 36)
    last = np.full(rows_of(16, filters), np.nan)
    alone(products.add_some)(a, b, last, (channels - 16, 16, filters), spans, True, 0, 36)
    np.testing.assert_array_equal(
        2 * last[:, :16, :filters], sums[:, channels - 16 : channels, :filters]
    )
    for p, (top, bottom, start, stop, _, _) in enumerate(spans):
        rows = slice(top, bottom)
        want = a[p, rows, start:stop] @ factors[p, start:stop]
        np.testing.assert_array_equal(out[p, rows, :filters], want)
        want = 2 * a[p, rows, :channels].T @ b[p, rows, :filters]
        np.testing.assert_array_equal(sums[p, start:channels, :filters], want[start:])
