"""A forward pass that keeps nothing takes some images at a time where maps are large: the same bits
in less memory.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from rawconv import stages
from rawconv.layers.add import Add
from rawconv.layers.concat import Concat
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.machine import buffers
from rawconv.net import Net

BATCH, SIZE = 16, 36


def branching(dtype="float32"):
    """A net with every algorithm of the CPU, whose branches meet by both layers that join."""
    return Net((SIZE, SIZE, 3), [
        ("stem", Conv(32, 3, pad=1, init_std="he")), ("stem_relu", ReLU()),
        ("left", Conv(40, 1, init_std="he")), ("left_relu", ReLU(6)),
        ("right", Conv(32, 3, pad=1, groups=32, init_std="he"), "stem_relu"),
        ("right_1x1", Conv(40, 1, init_std="he")),
        ("sum", Add(), "left_relu", "right_1x1"), ("pool", MaxPool(2, 2)),
        ("winograd", Conv(40, 3, pad=1, init_std="he")), ("winograd_relu", ReLU()),
        ("both", Concat(), "pool", "winograd_relu"), ("pool_2", MaxPool(6, 6)),
        ("scores", Conv(10, None, init_std="he")),
    ], dtype=dtype)  # fmt: skip


def images(dtype="float32", count=BATCH):
    rng = np.random.default_rng(1)
    return rng.standard_normal((count, SIZE, SIZE, 3)).astype(dtype)


@pytest.fixture
def little(monkeypatch):
    """So little memory that the largest maps are those of a quarter of the images at once."""
    monkeypatch.setattr(stages, "AT_ONCE", 1)
    monkeypatch.setattr(stages, "BETWEEN", 1 << 20)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stop", [None, "stem", "left", "sum", "winograd", "both"])
def test_parts_of_a_batch_have_the_bits_of_all_of_it(little, dtype, stop):
    """Those of a pass that keeps its caches, which takes all images at once, also where 4 of them
    would be too few for Winograd.
    """
    net, x = branching(dtype), images(dtype, BATCH + 3)
    assert stages.stages(net, len(x), x.itemsize, stop)[0].images < len(x)
    y, caches = net.forward(x, stop, keep=False)
    assert_array_equal(y, net.forward(x, stop)[0])
    assert caches == {}


def test_a_pass_holds_the_maps_of_some_images_and_a_small_one_of_all(little, monkeypatch):
    """Counted by what the pool of blocks has lent at once, every array from it."""
    net, x = branching(), images()
    monkeypatch.setattr(buffers, "SMALL", 0)

    def most():
        monkeypatch.setattr(buffers, "_pool", buffers._Pool())
        net.with_execution(algorithm="gemm").forward(x, keep=False)
        return buffers._pool.most

    image = SIZE * SIZE * 4 * (40 + 40 + 40)  # the two branches and their sum
    pooled = BATCH * (SIZE // 2) ** 2 * 40 * 4
    assert BATCH // 4 * image <= most() <= BATCH // 4 * image + pooled + (16 << 10)
    monkeypatch.setattr(stages, "AT_ONCE", 1 << 30)
    assert most() >= BATCH * image


def test_a_stage_ends_where_one_small_map_is_all_that_is_needed(little):
    """BETWEEN has room for `pool`, 830 kB, and all above, not for a map below it."""
    found = stages.stages(branching(), BATCH, 4)
    assert [(stage.nodes[0].name, stage.nodes[-1].name, stage.images) for stage in found] == [
        ("stem", "pool", 4),
        ("winograd", "pool_2", 8),
        ("scores", "scores", 16),
    ]


def test_stages_that_take_the_whole_batch_are_one(monkeypatch):
    net = branching()
    assert [(len(stage.nodes), stage.images) for stage in stages.stages(net, BATCH, 4)] == [
        (len(net.nodes), BATCH)
    ]
    # the sum of two maps of 40 channels is where most are needed at once
    monkeypatch.setattr(stages, "AT_ONCE", 7 * SIZE * SIZE * 120 * 4)
    found = {stage.nodes[-1].name: stage.images for stage in stages.stages(net, BATCH, 4)}
    assert found["sum"] == 6  # and 6 and 4


def test_a_map_between_two_stages_goes_when_the_next_has_taken_it(monkeypatch):
    """In parts 6 images of stem and pool beside all of pool; then pool and a, or a and b, of all."""
    net = Net((SIZE, SIZE, 3), [
        ("stem", Conv(64, 3, pad=1)), ("pool", MaxPool(2, 2)), ("a", Conv(64, 1)), ("b", Conv(64, 1)),
    ])  # fmt: skip
    image = (SIZE // 2) ** 2 * 64 * 4  # a pooled map; that of stem is 4 of it
    monkeypatch.setattr(stages, "AT_ONCE", 2 * BATCH * image)
    monkeypatch.setattr(stages, "BETWEEN", BATCH * image)
    monkeypatch.setattr(buffers, "_pool", buffers._Pool())
    assert [stage.images for stage in stages.stages(net, BATCH, 4)] == [6, BATCH]
    net.with_execution(algorithm="gemm").forward(images(), keep=False)
    switches = 6 * image // 4
    assert buffers._pool.most <= 6 * 5 * image + switches + BATCH * image + (16 << 10)


def test_a_relu_that_a_convolution_does_has_no_map_of_its_own(monkeypatch):
    def parts(*layers):
        return stages.stages(Net((SIZE, SIZE, 3), layers), BATCH, 4)[0].images

    monkeypatch.setattr(stages, "AT_ONCE", BATCH * SIZE * SIZE * 64 * 4)
    monkeypatch.setattr(stages, "BETWEEN", 0)
    assert parts(("conv", Conv(64, 1)), ("relu", ReLU())) == BATCH
    assert parts(("conv", Conv(64, 1)), ("relu", ReLU()), ("sum", Add(), "conv", "relu")) < BATCH
