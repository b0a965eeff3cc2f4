"""The way down, step by step."""

import itertools

import numpy as np
import pytest
from laws import assert_close, assert_same
from reports import data_in, data_of, make
from test_deconvnet import image, square_net

from rawconv import models
from rawconv.errors import UsageError
from rawconv.layers import GRADIENT, PAPER, Execution, Rules
from rawconv.layers.add import Add
from rawconv.layers.concat import Concat
from rawconv.layers.conv import Conv
from rawconv.layers.relu import ReLU
from rawconv.net import IMAGE, Net
from rawconv.report import html
from rawconv.report.pages import image_page, layer_pages
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.projection import project as projections
from rawconv.visualize.shortcuts import project
from rawconv.visualize.top_activations import scan
from rawconv.visualize.trace import Step, exact, table


def trace(net, stored, unit, rules=PAPER):
    """(the unit's full name, its Steps), up and down by the exact net."""
    (projection,) = projections(forward_pass(exact(net), stored), [unit], rules)
    return str(projection.unit), projection.steps()


@pytest.mark.parametrize("rules", [PAPER, GRADIENT, Rules("guided", "identity", "max")])
@pytest.mark.parametrize("unit", ["conv2:3", "conv2:3:1:2", "conv2:3:*", "scores:1", "pool1:2"])
def test_it_ends_in_the_projection_and_each_step_is_the_layers_own(unit, rules):
    net, stored = square_net(), image()
    full, steps = trace(net, stored, unit, rules)
    assert full.startswith(unit)
    assert_close(steps[-1].r, project(net, stored, full, rules), 1e-6)
    x = (stored - net.pixel_mean)[None, 1:25, 1:25].astype(np.float32)
    _, caches = net.forward(x)
    names = list(net.shapes)
    above = {
        name: net.shapes[names[place - 1]] if place else net.shape
        for place, name in enumerate(names)
    }
    r = steps[0].r[None]
    for step in steps[1:]:
        r = net[step.layer].deconv(r, caches[step.layer], rules)
        assert_close(step.r, r[0], 1e-5)
        assert step.r.shape == above[step.layer]
    assert [step.layer for step in steps[1:]] == names[: names.index(steps[1].layer) + 1][::-1]


def test_words():
    _, steps = trace(square_net(), image(), "scores:1", Rules("guided", "gradient"))
    assert [(s.layer, s.step) for s in steps] == [
        ("scores", "unit"), ("fc3", "filter"), ("relu2", "rectify, guided"), ("conv2", "filter"),
        ("norm1", "norm, gradient"), ("pool1", "unpool"), ("relu1", "rectify, guided"), ("conv1", "filter"),
    ]  # fmt: skip


def joined_net():
    """A sum of a branch and the picture, beside a branch in one map."""
    layers = [
        ("a", Conv(3, 1)), ("relu_a", ReLU()),
        ("sum", Add(), "relu_a", IMAGE),
        ("b", Conv(5, 1), "relu_a"), ("relu_b", ReLU()),
        ("cat", Concat(), "sum", "relu_b"),
    ]  # fmt: skip
    return Net((6, 6, 3), layers)


def test_the_steps_of_what_joins_layers_say_where_each_went():
    """One row for each input, in the order of the inputs, with its shape; the page's way down says the same."""
    net = joined_net()
    passed = forward_pass(net, image(6))
    (projection,) = projections(passed, ["cat:1"])
    steps = projection.steps()
    assert [(s.layer, s.step, s.r.shape[2]) for s in steps] == [
        ("cat", "unit", 8), ("cat", "split, to sum", 3), ("cat", "split, to relu_b", 5),
        ("relu_b", "rectify, deconv", 5), ("b", "filter", 3),
        ("sum", "fork, to relu_a", 3), ("sum", "fork, to the picture", 3),
        ("relu_a", "rectify, deconv", 3), ("a", "filter", 3),
    ]  # fmt: skip
    assert [(s["layer"], s.get("to")) for s in html.steps(net, "cat")] == [
        ("cat", "sum"), ("cat", "relu_b"), ("relu_b", None), ("b", None),
        ("sum", "relu_a"), ("sum", "the picture"), ("relu_a", None), ("a", None),
    ]  # fmt: skip


def rectified_net():
    """Map 0 of conv2 looks for little of map 0 of conv1, so its projection is negative at relu1; map 1 for much."""
    net = Net((6, 6, 3), [("conv1", Conv(1, 1)), ("relu1", ReLU()), ("conv2", Conv(2, 1))])
    net["conv1"].weight[:], net["conv1"].bias[:] = 1, 1000
    net["conv2"].weight[:], net["conv2"].bias[:] = np.array([-1, 1], np.float32), 5000
    return net


def test_a_unit_of_which_nothing_comes_down_says_so_and_where():
    """The ReLU of the deconvnet sets all of it to 0, though the unit is not: that is neither dead nor a picture."""
    passed = forward_pass(rectified_net(), image(6))
    lost, found = projections(passed, ["conv2:0", "conv2:1"])
    assert lost.empty and not lost.dead and lost.value > 0 and not found.empty
    assert lost.lost() == (
        f"Nothing comes down of {lost.unit}: all of it is negative at relu1; try --rule gradient or a lower layer."
    )
    assert found.lost() == ""
    (passes,) = projections(passed, ["conv2:0"], GRADIENT)
    assert not passes.empty and not passes.lost()
    with pytest.warns(UserWarning, match="negative at relu1"):
        project(rectified_net(), image(6), "conv2:0")


def test_a_figure_says_where_nothing_comes_down(canvas):
    """In the place of a grey square the word "empty"; its legend says what that is."""
    passed = forward_pass(rectified_net(), image(6))
    _, description = image_page(passed, 0, "conv2", "", [0, 1])
    said = " ".join(canvas.words())
    assert canvas.words().count("empty") == 1
    assert "all of it is negative at relu1; try --rule gradient or a lower layer." in said
    lost, found = description["units"]
    assert "negative at relu1" in lost["empty"] and "empty" not in found


def test_the_page_and_a_layers_figure_know_of_what_nothing_comes_down(canvas):
    net = rectified_net()
    data = data_of(4)
    about = data_in(make(net, ("conv2",), data=data, count=2)[0])
    units = [one["units"][0] for one in about["layers"][0]["maps"]]
    assert units[0]["empty"] is True and "empty" not in units[1]
    found = scan(net, data.val, ["conv2"], 2, progress=False)["conv2"]
    layer_pages(net, data, data.val, "conv2", found, "", count=2)
    said = " ".join(canvas.words())
    assert canvas.words().count("empty") == 2 + 1, "two units of the grid, one of the overview"
    assert "passes nothing of it; try --rule gradient or a lower layer." in said


def test_dropout_is_no_step():
    net = models.build("zf32", classes=2)
    _, steps = trace(net, image(32), "fc7:1")
    assert not any(step.layer.startswith("drop") for step in steps) and steps[-1].r.shape == (
        32,
        32,
        3,
    )


def test_numbers():
    _, steps = trace(square_net(), image(), "conv2:3")
    first, last = steps[0].numbers(), steps[-1]
    assert first["shape"] == [6, 6, 7] and first["nonzero"] == 1 / 252 and first["min"] == 0
    assert first["energy"] == pytest.approx(first["max"] ** 2)
    n = last.numbers()
    assert n["energy"] == pytest.approx((last.r.astype(float) ** 2).sum()) and n["shape"] == [
        24,
        24,
        3,
    ]
    assert n["nonzero"] == np.count_nonzero(last.r) / last.r.size < 1, "exactly 0 outside the field"
    assert (n["min"], n["max"]) == (last.r.min(), last.r.max())


def test_the_arrays_are_the_callers_own_and_the_net_is_left_alone():
    net = square_net()
    net.execution = Execution("winograd")
    _, steps = trace(net, image(), "conv2:3")
    assert not any(np.shares_memory(one.r, two.r) for one, two in itertools.combinations(steps, 2))
    kept = [step.r.copy() for step in steps]
    for step in steps:
        step.r[:] = 9
    for step, old in zip(trace(net, image(), "conv2:3")[1], kept, strict=True):
        assert_same(step.r, old)
    assert net.execution == Execution("winograd")


def test_table():
    lines = table(trace(square_net(), image(), "conv2:3")[1]).splitlines()
    assert lines[0].split() == ["layer", "step", "shape", "energy", "non-zero", "min", "max"]
    assert len(lines) == 8 and len({len(line) for line in lines}) == 1
    assert lines[1].split()[:3] == ["conv2", "unit", "6x6x7"] and "0.40%" in lines[1]
    assert lines[-1].split()[:3] == ["conv1", "filter", "24x24x3"]


def test_a_unit_that_is_not_there():
    with pytest.raises(UsageError, match="7 maps"):
        trace(square_net(), image(), "conv2:7")


def test_the_table_of_steps_made_by_hand():
    """Numbers that are sums of squares, shares and ends of a few written values; layer and step
    left, numbers right.
    """
    r = np.zeros((100, 100, 2), np.float32)
    r[0, 0], r[5, 5, 0] = (3, -4), 0.5
    steps = [
        Step("conv2", "unit", np.full((1, 2, 1), 12, np.float32)),
        Step("conv1", "filter", r),
        Step("pool1", "unpool", np.zeros((2, 2, 1), np.float32)),
        Step(
            "norm1", "norm, identity", np.where(np.arange(20_000) == 7, 1, 0).reshape(20_000, 1, 1)
        ),
    ]
    assert steps[1].numbers() == {
        "layer": "conv1", "step": "filter", "shape": [100, 100, 2], "energy": 25.25, "nonzero": 3 / 20_000, "min": -4,
        "max": 3,
    }  # fmt: skip
    assert table(steps).splitlines() == [
        "layer  step                shape  energy  non-zero  min  max",
        "conv2  unit                1x2x1     288   100.00%   12   12",
        "conv1  filter          100x100x2   25.25     0.01%   -4    3",
        "pool1  unpool              2x2x1       0     0.00%    0    0",
        "norm1  norm, identity  20000x1x1       1   5.0e-05    0    1",
    ]
