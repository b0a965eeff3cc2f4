"""The way down of many units, on the net of test_drawn_pages.py, whose every number is known by hand."""

import numpy as np
import pytest
from test_drawn_pages import SIZE, UNITS, data, images, net_of

from rawconv.report import html
from rawconv.report.thumbnails import thumb_size, thumbnails
from rawconv.report.winners import _Steps
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.projection import project
from rawconv.visualize.top_activations import scan
from rawconv.visualize.units import Unit


def test_the_way_down_by_hand():
    """Map 0 has a second tap of -1/2 on its right: its projection has a dark pixel there."""
    net = net_of()
    net["conv1"].weight[0, 1, 0, 0] = -0.5
    found = {"relu1": scan(net, data().val, ["relu1"], 2, progress=False)["relu1"]}
    units = [Unit(1, "conv1", 0, *UNITS[0]), Unit(1, "conv1", 2, *UNITS[2])]
    passed = forward_pass(net, images())
    steps = _Steps(net, found, units, units)
    way, other = project(passed, units, watch=steps.watch)
    (energy, share, seen), (_, _, unseen) = steps.of[0], steps.of[1]
    assert (way.value, other.value) == (200, 80) and unseen == [], "80 is the second of its map"
    r = np.zeros((SIZE, SIZE, 3))
    r[4, 6, 0], r[4, 7, 0] = 200, -100
    np.testing.assert_array_equal(way.pixels, r)
    assert energy == [200**2, 200**2 + 100**2]
    assert share == [pytest.approx(1 / (5 * 8 * 3)), pytest.approx(2 / r.size)]
    rectified, pixels = seen
    assert rectified.maps == pixels.maps == [0], "the maps that are not all 0, the strongest first"
    assert rectified.pixels.shape == (5, 16) and pixels.pixels.shape == (12, 24)
    want = np.full((5, 16), 128)
    want[2, 6] = want[2, 8 + 6] = 255
    np.testing.assert_array_equal(rectified.pixels, want)
    want = np.full((12, 24), 128)
    want[4, 6], want[4, 7] = 255, 128 + 64  # all maps in one have no sign
    want[4, 12 + 6], want[4, 12 + 7] = 255, 128 - 64
    assert (
        np.abs(pixels.pixels.astype(int) - want).max() <= 1
        and (pixels.pixels[want == 128] == 128).all()
    )


def test_the_strongest_maps_of_a_step_come_first_and_four_at_most():
    r = np.zeros((3, 2, 7))
    r[0, 0] = [0, 3, -9, 1, 0, 5, 4]
    sight = thumbnails(r)
    assert sight.maps == [2, 5, 6, 1] and sight.pixels.shape == (3, 2 * 5)
    assert sight.pixels[0, 2:].tolist() == [128 - 127, 128, 199, 128, 184, 128, 170, 128], (
        "all on one scale"
    )
    flat = thumbnails(np.arange(-3.0, 67.0).reshape(1, 1, 70))
    assert (
        flat.maps == []
        and flat.pixels.shape == (3, 32)
        and flat.pixels[0, 3] == 128
        and flat.pixels[2, 5] == 255
    )
    assert (flat.pixels[2, 6:] == 128).all(), "places that have no map"


def test_the_steps_of_the_page_name_the_layers_from_above():
    net = net_of()
    assert html.steps(net, "relu1") == [
        {"layer": "relu1", "verb": "rectify", "shape": (5, 8, 3), "thumb": (5, 8)},
        {"layer": "conv1", "verb": "filter", "shape": (12, 12, 3), "thumb": (12, 12)},
    ]
    assert thumb_size((64, 16, 5)) == (32, 8) and thumb_size((1, 1, 40)) == (2, 32)
    with pytest.raises(ValueError, match="no layer 'relu9'"):
        html.steps(net, "relu9")
