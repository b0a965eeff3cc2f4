"""Feature maps drawn at random for figure 2: each as likely, the same by the same seed, said and kept."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image
from test_visualize_cli import place, refused, run

import rawconv
from rawconv import checkpoint
from rawconv.errors import UsageError
from rawconv.visualize.random_maps import draw

__all__ = ["place"]  # a fixture


def test_each_map_is_as_likely():
    """3 of 12 by 4,000 seeds: each a quarter of the times, within 5 standard deviations; each pair as often."""
    drawn = np.array([draw("random:3", 12, seed) for seed in range(4000)])
    assert (np.diff(drawn, axis=1) > 0).all(), "each once, in order"
    there = (drawn[:, :, None] == np.arange(12)).any(axis=1).astype(float)
    np.testing.assert_allclose(there.mean(axis=0), 1 / 4, atol=5 * np.sqrt(3 / 16 / 4000))
    together = there.T @ there / 4000
    pair = 3 / 12 * 2 / 11
    off = together[~np.eye(12, dtype=bool)]
    np.testing.assert_allclose(off, pair, atol=5 * np.sqrt(pair / 4000))


def test_the_seed_decides_and_a_small_layer_gives_all():
    assert draw("random:5", 96, 7) == draw("random:05", 96, 7) != draw("random:5", 96, 8)
    assert draw("random:5", 96, 7).seed == 7
    assert draw("random:18", 6) == list(range(6))


@pytest.mark.parametrize("units", ["random:", "random:0", "random:-3", "random:3,4", "random:x"])
def test_how_many_is_a_number(units):
    with pytest.raises(UsageError, match="write random:18"):
        draw(units, 20)


def test_a_figure_of_random_maps_says_so_and_keeps_the_seed(place, canvas):
    run("--layer", 2, "--units", "random:5", "--seed", 3, "--split", "train", "--out", "out")
    layer = json.loads(pathlib.Path("out/index.json").read_text())["layers"][0]
    assert layer["random"] == {"maps": 5, "seed": 3}
    assert [int(number) for number in layer["units"]] == draw("random:5", 20, 3)
    assert "5 of 20 maps, drawn at random by seed 3; 9 strongest" in " ".join(canvas.words())
    run("--layer", 1, "--layer", 2, "--units", "random:18", "--split", "train", "--out", "two")
    first, second = json.loads(pathlib.Path("two/index.json").read_text())["layers"]
    assert (first["random"], second["random"]["maps"]) == ({"maps": 6, "seed": 0}, 18)
    run("--layer", 2, "--units", "3", "--out", "three")
    assert "random" not in json.loads(pathlib.Path("three/index.json").read_text())["layers"][0]


def test_of_a_picture_and_in_memory_they_are_the_same_maps(place, canvas):
    run("--layer", 2, "--units", "random:4", "--seed", 9, "a.png", "--out", "out")
    (picture,) = json.loads(pathlib.Path("out/index.json").read_text())["pictures"]
    assert [unit["map"] for unit in picture["layers"][0]["units"]] == draw("random:4", 20, 9)
    assert picture["layers"][0]["random"] == {"maps": 4, "seed": 9}
    assert "units of conv2, maps drawn at random by seed 9" in " ".join(canvas.words())
    checkpoint.save("elsewhere.h5", rawconv.load("runs/tiny-pictures-1/last.h5"), {})
    run(
        *("--layer", 2, "--weights", "elsewhere.h5", "--data", "pictures"),
        *("--units", "random:4", "--seed", 9, "--out", "o"),
    )
    net = rawconv.load("elsewhere.h5")
    drawn = rawconv.figure(net, "pictures", "conv2", maps="random:4", seed=9)
    with Image.open("o/conv2.png") as written:
        assert np.array_equal(drawn, written.convert("RGB"))


def test_a_seed_that_nothing_is_drawn_by_is_refused(place):
    refused("--layer", 2, "--seed", 3, code=2, says="--seed is for --units random:18")
    refused("--layer", 2, "--units", "random:no", code=2, says="write random:18")
