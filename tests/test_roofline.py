"""The roofline by hand, and the benchmark of a GPU as a program: dry anywhere, and on the device."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rawconv import models
from rawconv.layers.add import Add
from rawconv.layers.concat import Concat
from rawconv.layers.conv import Conv
from rawconv.layers.relu import ReLU
from rawconv.net import Net

TOOLS = Path(__file__).parent.parent / "tools"
BENCH = [sys.executable, str(TOOLS / "bench.py"), "--device"]


@pytest.fixture
def roofline(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    import roofline

    return roofline


def test_the_counts_by_hand(roofline):
    """Two pictures of ZFNet.  conv3: 13x13 places of 3x3x256 numbers and 384 filters.  fc6: no columns."""
    rows = {(one.layer, one.direction): one for one in roofline.work_of(models.build("zfnet"), 2)}
    places, length, filters = 2 * 13 * 13, 9 * 256, 384
    x, y, weight = places * 256, places * filters, length * filters
    product, columns = 2 * places * length * filters, 2 * places * length
    least = 4 * (x + y + weight)
    assert rows["conv3", "up"][2:5] == (product, least + 4 * (columns + 2 * y), least)
    assert rows["conv3", "down"][2:5] == (product, least + 4 * columns, least)
    assert rows["conv3", "back"][2:5] == tuple(2 * count for count in rows["conv3", "down"][2:5])
    assert rows["conv1", "back"][2:5] == rows["conv1", "down"][2:5], "no gradient of the pixels"
    assert rows["conv3", "bias"][2:5] == (y, 4 * y, 0), "dy is read once more"
    fc6 = 4 * (2 * 6 * 6 * 256 + 2 * 4096 + 6 * 6 * 256 * 4096)
    assert rows["fc6", "down"][2:5] == (2 * 2 * 6 * 6 * 256 * 4096, fc6, fc6)
    assert rows["pool1", "up"].moved == 2 * 96 * (4 * 110 * 110 + 5 * 55 * 55)
    assert rows["relu3", "back"].moved == 4 * 3 * y and ("relu3", "up") not in rows, (
        "done with the bias of conv3"
    )
    assert rows["norm1", "back"].moved == 2 * 96 * 55 * 55 * 4 * 3 and ("norm1", "down") not in rows
    assert rows["update", "step"].moved == 62_357_608 * 5 * 4


def test_a_relu_that_is_not_above_a_convolution_has_a_way_up_of_its_own(roofline):
    net = Net(
        (4, 4, 3), [("relu1", ReLU()), ("conv2", Conv(5, 3)), ("relu2", ReLU()), ("relu3", ReLU())]
    )
    up = {one.layer: one.moved for one in roofline.work_of(net, 1) if one.direction == "up"}
    assert (
        up.keys() == {"relu1", "conv2", "relu3"}
        and up["relu1"] == 2 * 4 * 4 * 3 * 4
        and up["relu3"] == 2 * 2 * 2 * 5 * 4
    )


def test_groups_see_their_own_channels_only(roofline):
    """As many columns, half the operations and weights."""
    ours, whole = (
        next(
            one
            for one in roofline.work_of(models.build(name), 1)
            if (one.layer, one.direction) == ("conv2", "up")
        )
        for name in ("alexnet-groups", "alexnet")
    )
    assert 2 * ours.operations == whole.operations
    assert whole.moved - ours.moved == whole.least - ours.least == 4 * 5 * 5 * 96 * 256 // 2


def test_the_work_beside_a_product_by_hand(roofline):
    """conv3, 256 channels, stride 1: im2col reads x and writes the columns, then the bias is added;
    on the way down col2im reads them and writes dx, which nine windows reach.
    """
    rows = {(one.layer, one.direction): one for one in roofline.work_of(models.build("zfnet"), 2)}
    places = 2 * 13 * 13
    x, y, columns = places * 256, places * 384, places * 9 * 256
    up, back, down = (rows["conv3", way] for way in ("up", "back", "down"))
    assert up.beside == 4 * (x + columns + 2 * y) and down.beside == 4 * (x + columns)
    assert back.beside == 2 * down.beside
    assert up.instructions == pytest.approx(9.75 * columns + 7.25 * y, abs=2)
    assert down.instructions == pytest.approx((20 + 3 * 3.2 + 9 * 2.6) * x, abs=2)
    assert back.instructions == pytest.approx(9.75 * columns + down.instructions, abs=2)
    assert rows["conv1", "up"].instructions > 38 * 2 * 110 * 110 * 7 * 7 * 3, "three channels"
    assert rows["fc6", "down"].beside == rows["fc6", "down"].instructions == 0


def test_kernels_after_one_another(roofline):
    """A product of 10 s and 3 s of other kernels, or 4 s of their instructions, at half the peak."""
    work = roofline.Work("x", "up", 10e12, 5e9, 1e9, beside=3e9)
    assert work.floors(1, 1) == (10, 10) and work.apart(1, 1) == 13
    assert work._replace(instructions=2e12).apart(1, 1) == 14
    assert work._replace(beside=0, instructions=6e12).apart(1, 1) == 12
    assert work._replace(instructions=2e12).index_seconds(1) == 4


def test_a_net_that_branches_has_a_row_for_every_node(roofline):
    shape, conv = (6, 6, 4), Conv(4, 3, pad=1)
    net = Net(
        shape,
        [
            ("a", conv),
            ("b", Conv(4, 1), ""),
            ("sum", Add(), "a", "b"),
            ("all", Concat(), "sum", "b"),
        ],
    )
    rows = {(one.layer, one.direction): one for one in roofline.work_of(net, 1)}
    size = 6 * 6 * 4
    assert rows["sum", "up"].moved == 4 * 3 * size and ("sum", "down") not in rows
    assert rows["all", "up"].moved == rows["all", "down"].moved == 4 * 4 * size
    assert rows["b", "up"].least == 4 * (2 * size + 16)


def test_the_cards(roofline):
    assert {"h100", "h200", "b200", "rtx4090", "mi300x"} <= roofline.CARDS.keys()
    assert all(fp32 <= tf32 and gbs >= 320 for fp32, gbs, tf32 in roofline.CARDS.values())


def test_a_floor_is_the_larger_of_two_times(roofline):
    work = roofline.Work("x", "up", operations=2e12, moved=10e9, least=1e9)
    assert work.floors(tflops=1, gbs=1) == (10, 2) and work.floors(tflops=0.1, gbs=1) == (20, 20)


def test_dry_it_runs_anywhere(tmp_path):
    path = tmp_path / "floors.json"
    command = [
        *BENCH,
        "gpu",
        "--dry",
        "--model",
        "zf32",
        "--batch",
        "4",
        "--card",
        "a100",
        "--json",
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(path.read_text())
    assert "a100: 19.5 TFLOP/s, 2039 GB/s (data sheet)" in done.stdout and found["peak_gbs"] == 2039
    assert all(
        0 < one["least_floor_ms"] <= one["floor_ms"] <= one["apart_ms"] and "ms" not in one
        for one in found["rows"]
    )


def test_the_cpu_is_refused():
    done = subprocess.run([*BENCH, "cpu"], capture_output=True, text=True)
    assert done.returncode == 2 and "--device must be a gpu" in done.stderr


def test_on_the_device_every_row_is_timed(xp, tmp_path):
    if xp is np:
        pytest.skip("only a GPU can fail this: pytest --device gpu")
    path = tmp_path / "times.json"
    subprocess.run(
        [*BENCH, "gpu", "--model", "lenet", "--batch", "2", "--json", str(path)], check=True
    )
    found = json.loads(path.read_text())
    assert all(
        one["ms"] > 0 and one["times_floor"] > 0
        for one in found["rows"]
        if one["direction"] != "step"
    )
    ways = {"forward", "step", "down from pool2"}
    fast = {f"{way}, TF32" for way in ways} if found["peak_tf32_tflops"] else set()
    assert found["whole"].keys() == ways | fast
    assert all(one["host_ms"] > 0 and one["ms"] > 0 for one in found["whole"].values())
    assert np.isfinite(found["peak_tflops"]) and found["peak_gbs"] > 0


def test_the_product_that_is_the_peak_is_of_finite_random_numbers(xp, monkeypatch):
    """However often it is repeated, which ones, multiplied into themselves, are not."""
    if xp is np:
        pytest.skip("only a GPU can fail this: pytest --device gpu")
    monkeypatch.syspath_prepend(TOOLS)
    import gpu_timing

    a, b = gpu_timing.random_matrices(64)
    assert len(np.unique(a.get())) > 4000 and 0.5 < (a @ b).get().std() < 2


def test_the_host_alone(xp, tmp_path):
    """A step whose kernels are not run takes the host some milliseconds."""
    if xp is np or not xp.cuda.runtime.is_hip:
        pytest.skip("the preload that does nothing knows HIP's functions only")
    path = tmp_path / "host.json"
    command = [*BENCH[:2], "host", "--model", "zf64", "--rounds", "2", "--json", str(path)]
    subprocess.run(command, check=True)
    assert 0 < json.loads(path.read_text())["zf64"] < 500
