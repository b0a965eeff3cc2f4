"""How much is on its way together: the blocks fill the budgets that the files name, and never exceed them."""

import numpy as np
import pytest
from projecting import project_units

from rawconv.layers import GEMM
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net
from rawconv.visualize import perturbed, windowed
from rawconv.visualize.forward_pass import ForwardPass, forward_passes

# numbers of one picture
MAPS = {"": 12 * 12 * 3, "conv1": 12 * 12 * 4, "pool1": 6 * 6 * 4, "conv2": 4 * 4 * 8}


def small():
    layers = [("conv1", Conv(4, 3, pad=1)), ("relu1", ReLU()), ("pool1", MaxPool(2, 2)),
              ("conv2", Conv(8, 3)), ("relu2", ReLU())]  # fmt: skip
    net = Net((12, 12, 3), layers, dtype="float64", seed=4)
    net.execution = GEMM
    for name in ("conv1", "conv2"):
        net[name].weight, net[name].bias = np.abs(net[name].weight) + 0.01, net[name].bias + 1
    return net


@pytest.fixture
def seen(monkeypatch):
    """{what: shapes of the arrays it was given}, as it runs."""
    found = {"forward": [], "down": [], "deconv": []}

    def watch(owner, name, what, place):
        plain = getattr(owner, name)

        def spy(*given, **options):
            value = given[place]
            if isinstance(value, dict):  # of several nodes: here one
                (value,) = value.values()
            found[what].append(value.shape)
            return plain(*given, **options)

        monkeypatch.setattr(owner, name, spy)

    watch(Conv, "forward", "forward", 1)
    watch(windowed, "step", "down", 1)
    watch(Net, "deconv", "deconv", 1)
    return found


def blocks(shapes):
    return sorted({shape[0] for shape in shapes})


def test_windows_on_their_way_down_fill_their_budget(monkeypatch, seen):
    """From relu2 a unit's windows are 1x1x8, 1x1x8, 3x3x4, 6x6x4, 6x6x4, 8x8x3: a step's result
    decides its block.
    """
    net, x = small(), np.random.default_rng(0).random((1, 12, 12, 3))
    units = np.array([(0, k % 8, k % 4, k // 8) for k in range(30)])
    whole, _ = project_units(net, x, "relu2", units)
    seen["down"].clear()
    # 7 windows of 6x6x4 numbers of 8 bytes
    monkeypatch.setattr(windowed, "WINDOW_BYTES", 7 * 6 * 6 * 4 * 8)
    got, _ = project_units(net, x, "relu2", units)
    np.testing.assert_array_equal(got, whole)
    assert not seen["deconv"], "every window is smaller than its map"
    conv2, pool1 = (
        [shape for shape in seen["down"] if shape == (28, 1, 1, 8)],
        [(7, 3, 3, 4)] * 4 + [(2, 3, 3, 4)],
    )
    assert len(conv2) == 1, "28 windows of 3x3x4 take as much as 7 of 6x6x4"
    assert [shape for shape in seen["down"] if shape[1] == 3] == pool1
    assert blocks(shape for shape in seen["down"] if shape[1] == 6) == [2, 5, 7], (
        "5 windows of 8x8x3 fill it too"
    )
    assert sum(shape[0] for shape in seen["down"] if shape[1] == 6) == 2 * 30, (
        "relu1 and conv1, each unit once"
    )


def test_units_through_whole_maps_share_their_budget(monkeypatch, seen):
    net, x = small(), np.random.default_rng(0).random((1, 12, 12, 3))
    numbers = MAPS[""] + 2 * MAPS["conv1"] + MAPS["pool1"] + 2 * MAPS["conv2"]
    monkeypatch.setattr(windowed, "MAPS_BYTES", 3 * 8 * numbers + 8 * numbers // 2)
    project_units(net, x, "relu2", [(0, 1, k % 4, k // 4) for k in range(10)], full=True)
    assert max(blocks(seen["deconv"])) == 3 and sum(shape[0] for shape in seen["deconv"]) == 10


def test_images_that_go_up_share_their_budget(monkeypatch, seen):
    numbers = MAPS[""] + 2 * MAPS["conv1"] + MAPS["pool1"] + 2 * MAPS["conv2"]
    stored = np.zeros((9, 12, 12, 3), np.uint8)
    parts = [
        (len(passed), part)
        for part, passed in forward_passes(small(), stored, ["relu2"], 4 * 8 * numbers)
    ]
    assert parts == [(4, slice(0, 4)), (4, slice(4, 8)), (1, slice(8, 9))] and blocks(
        seen["forward"]
    ) == [1, 4]


@pytest.mark.parametrize(("size", "largest"), [(2, 4 * 4 * 8), (6, 8 * 8 * 4), (12, 12 * 12 * 4)])
def test_changed_images_go_up_in_blocks(monkeypatch, seen, size, largest):
    """The largest window, or whole map where that is the window, decides, three times over."""
    net, rng = small(), np.random.default_rng(0)
    maps = ForwardPass(net, rng.random((1, 12, 12, 3))).maps
    r, corner = rng.random((23, size, size, 3)), rng.integers(0, 13 - size, (23, 2))
    whole = perturbed.forward(net, maps, r, corner, ["relu2"])["relu2"]
    seen["forward"].clear()
    monkeypatch.setattr(perturbed, "CACHE_BYTES", 5 * 3 * largest * 8 + largest)
    got = perturbed.forward(net, maps, r, corner, ["relu2"])["relu2"]
    np.testing.assert_array_equal(got, whole)
    assert max(blocks(seen["forward"])) == 5
    assert sum(shape[0] for shape in seen["forward"]) == 2 * 23, (
        "both convolutions, each change once"
    )
