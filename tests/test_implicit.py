"""Convolution on a GPU without columns: the naive loops bit for bit for small integers, the laws for
others; when it is chosen; who may ask for it.
"""

import itertools

import numpy as np
import pytest
import reference as ref
from click.testing import CliRunner
from conv_cases import CASES, check_three_walks
from laws import assert_same

from rawconv import models
from rawconv.cli.train import main
from rawconv.errors import UsageError
from rawconv.files.schema import CONVOLUTIONS
from rawconv.layers import Execution
from rawconv.layers.gpu import implicit
from rawconv.layers.window import Window
from rawconv.machine.arrays import Device, to_cpu
from rawconv.training import runs

PASSES = implicit.passes(Execution("implicit"))
# images, (H, W, C), filters, size, stride, pad: each width of a tile, more than one tile each way,
# filters that no group of four divides, a stride beyond the window
SHAPES = [
    (2, (9, 8, 3), 5, 3, 1, 1),
    (3, (15, 17, 3), 96, 7, 2, 0),
    (2, (9, 11, 4), 70, (3, 2), (2, 3), (1, 0)),
    (3, (9, 10, 2), 3, 2, 3, 0),
    (1, (4, 3, 2), 3, 2, 1, 3),
    (2, (11, 10, 20), 130, 3, 1, 1),
    (1, (6, 6, 1), 1, 1, 3, 0),
    (0, (6, 6, 1), 2, 3, 1, 0),
]


@pytest.fixture
def device(xp):
    if xp is np:
        pytest.skip("only a GPU can fail this: pytest --device gpu")
    return xp


def integers(dtype, *shape, seed=0):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)


def problem(dtype, images, shape, filters, size, stride, pad):
    """(x, weight, bias, window, the settings that the reference takes) of small integers."""
    window = Window.of(size, stride, pad, True)
    weight = integers(dtype, *window.size, shape[2], filters, seed=1)
    known = dict(stride=stride, pad=pad, groups=1, ceil_mode=True)
    return integers(dtype, images, *shape), weight, integers(dtype, filters, seed=2), window, known


@pytest.mark.parametrize("case", SHAPES)
def test_it_is_the_equations_bit_for_bit(case, device, dtype):
    """Up with bias and ReLU, and down, into arrays that hold NaN: every element is written."""
    x, weight, bias, window, known = problem(dtype, *case)
    put = device.asarray
    want = ref.conv_up(x, weight, bias, **known).astype(dtype)
    for ceiling in (None, np.inf, 2.0):
        y = device.full(want.shape, np.nan, dtype)
        PASSES.forward(put(x), put(weight), put(bias), window, y, ceiling)
        assert_same(y, ref.relu_up(want, ceiling).astype(dtype) if ceiling else want)
    dy, dx = integers(dtype, *want.shape, seed=3), device.full(x.shape, np.nan, dtype)
    PASSES.transpose(put(dy), put(weight), window, dx)
    assert_same(dx, ref.conv_down(dy, x.shape, weight, **known).astype(dtype))


@pytest.mark.parametrize("case", SHAPES)
def test_its_twin_is_the_equations(case):
    x, weight, bias, window, known = problem("float64", *case)
    want = ref.conv_up(x, weight, bias, **known)
    y = np.full((len(x), 2 * want.shape[1] + 1, *want.shape[2:]), np.nan)
    geometry = *x.shape[1:], *want.shape[1:3], *window.size, *window.stride, *window.pad[:2]
    implicit.implicit_64(x, weight, bias, y, geometry, (*y.shape[1:3], 2, 1, 1, 0), 2.0)
    assert_same(y[:, 1::2], ref.relu_up(want, 2.0).astype("float64"))
    assert np.isnan(y[:, ::2]).all(), "the rows between its places are not its own"


@pytest.mark.parametrize("case", CASES)
def test_every_geometry_within_the_laws(case, device, dtype):
    """With groups and holes too, which go by columns or by the depthwise kernels."""
    check_three_walks(device, dtype, *CASES[case], conv="implicit")


def test_an_image_alone_gives_the_bits_it_gives_in_a_batch(device):
    """The order of a sum is that of the filter, whatever the tile; and twice is the same."""
    rng = np.random.default_rng(0)
    x, weight = (
        device.asarray(rng.standard_normal(shape, np.float32))
        for shape in ((5, 13, 12, 3), (5, 5, 3, 96))
    )
    window, bias = Window.of(5, 2, 0, True), device.zeros(96, "float32")

    def up(x):
        y = device.empty((len(x), *window.out_size(13, 12), 96), "float32")
        PASSES.forward(x, weight, bias, window, y)
        return to_cpu(y)

    assert_same(up(x), up(x))
    assert_same(np.concatenate([up(x[n : n + 1].copy()) for n in range(5)]), up(x))


def test_the_phases_make_every_place_once_and_use_every_tap_that_reaches_it():
    """By hand: place i gets tap k of window o where i + pad = o * stride + k."""
    for size, stride, pad, length in itertools.product(*[range(1, 5)] * 3, range(1, 7)):
        seen = {}
        for first, taps, top, count in implicit._phases(size, stride, pad, length):
            own = list(range(size))[taps][::-1]
            for number in range(count):
                seen[first + stride * number] = {(number - top + j, k) for j, k in enumerate(own)}
        assert sorted(seen) == list(range(length))
        for place, found in seen.items():
            far = place + pad
            reach = {((far - k) // stride, k) for k in range(size) if (far - k) % stride == 0}
            assert found == reach, (size, stride, pad, place)


@pytest.mark.parametrize(
    ("weight", "width", "wanted"),
    [
        ((7, 7, 3, 96), 96, True),  # the paper's conv1
        ((7, 7, 3, 64), 64, True),  # ResNet's
        ((3, 3, 3, 64), 64, True),  # VGG's
        ((7, 7, 3, 48), 64, False),  # of zf64: a quarter of a tile is empty
        ((5, 5, 96, 256), 128, False),
        ((3, 3, 256, 384), 128, False),
        ((3, 3, 64, 64), 64, False),
    ],
)
def test_auto_takes_it_where_the_columns_cost_more_than_the_product_loses(weight, width, wanted):
    assert implicit.width_of(weight[3]) == width and implicit.is_faster(weight) == wanted
    assert implicit.width_of(weight[3], 8) <= 96


def test_who_asks_for_what_the_device_lacks_is_told():
    net = models.build("lenet")
    with pytest.raises(
        UsageError, match="--conv implicit is for a GPU, and this is cpu; use auto or gemm"
    ):
        runs.choose_conv(net, "implicit", Device())
    net.execution = Execution("implicit")
    with pytest.raises(UsageError, match="go on with --device gpu"):
        runs.choose_conv(net, None, Device())
    runs.choose_conv(net, None, Device(0))
    words = ["--model", "lenet", "--data", "scenes:20", "--device", "cpu", "--conv", "implicit"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and "--conv implicit is for a GPU" in result.output
    assert "|".join(CONVOLUTIONS) in CliRunner().invoke(main, ["--help"]).output
