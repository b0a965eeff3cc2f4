"""The pages of a layer and of a picture and their index, on a net whose every number is known by hand.

Map m looks for a bright pixel of its colour at one place of its filter of 3x5, which goes 2 down
and 1 across; each picture is black but for one pixel of each colour.  So a unit (y, x) sees rows 2y
to 2y+2 and columns x to x+4.
"""

import json

import numpy as np
import pytest
from PIL import Image
from test_pages import tiles

from rawconv.data import DataSet, Split
from rawconv.layers.conv import Conv
from rawconv.layers.relu import ReLU
from rawconv.net import Net
from rawconv.report import pages
from rawconv.report.figure2 import draw_images, draw_layers, scan_layers, write_index
from rawconv.report.look import LOOK, Look
from rawconv.report.pages import choose, image_page, layer_pages
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.top_activations import TopActivations, scan

SIZE = 12
BRIGHT = [(4, 6), (7, 5), (2, 9)]  # row, column of the red, the green and the blue pixel
TAPS = [(0, 0), (1, 4), (2, 2)]  # where in its filter each map looks for it
UNITS = [(2, 6), (3, 1), (0, 7)]  # so that is where each map responds: 2 * 3 + 1 = 7, 1 + 4 = 5
BOXES = [[4, 6, 7, 11], [6, 1, 9, 6], [0, 7, 3, 12]]  # top, left, bottom, right
VALUES = np.array([[50, 30, 90], [200, 0, 80], [100, 0, 70], [10, 60, 60]])  # of each picture
# values and pictures of each map's two
STRONGEST = [([200, 100], [1, 2]), ([60, 30], [3, 0]), ([90, 80], [0, 1])]
CLASSES, LABELS = ["cat", "sea_dog"], [0, 1, 1, 1]


def net_of(gains=(1, 1, 1)):
    net = Net(
        (SIZE, SIZE, 3),
        [("conv1", Conv(len(gains), (3, 5), (2, 1), ceil_mode=False)), ("relu1", ReLU())],
        CLASSES,
    )
    net["conv1"].weight[:] = 0
    for number, gain in enumerate(gains):
        net["conv1"].weight[(*TAPS[number % 3], number % 3, number)] = gain
    return net


def images():
    made = np.zeros((4, SIZE, SIZE, 3), np.uint8)
    for n, values in enumerate(VALUES):
        for channel, value in enumerate(values):
            made[(n, *BRIGHT[channel], channel)] = value
    return made


def data():
    split = Split(images().__getitem__, LABELS, [f"p{n}.png" for n in range(4)], (SIZE, SIZE, 3))
    return DataSet("four", "four", CLASSES, split, split)


# ---------------------------------------------------------------------------------------------- a layer


def test_the_index_says_where_each_unit_looks(tmp_path):
    """As written to index.json: row before column everywhere, and boxes as top, left, bottom, right."""
    asked = [("relu1", None)]
    found = scan_layers(net_of(), data(), "val", asked, 2, tmp_path)
    _, about = draw_layers(net_of(), data(), "val", asked, found, LOOK, 2, tmp_path)
    found = json.loads(write_index(tmp_path, about).read_text())
    assert {key: found[key] for key in ("data", "split", "pictures")} == {
        "data": "four",
        "split": "val",
        "pictures": 4,
    }
    (layer,) = found["layers"]
    assert [layer[key] for key in ("layer", "object", "maps", "field", "dead")] == [
        "conv1",
        "relu1",
        3,
        [3, 5],
        [],
    ]
    assert layer["figures"] == [
        {"file": "conv1.png", "maps": [0, 1, 2]}, {"file": "conv1-all.png", "maps": [0, 1, 2]},
        {"file": "conv1-filters.png", "maps": [0, 1, 2]},
    ]  # fmt: skip
    for number, (values, ids) in enumerate(STRONGEST):
        assert layer["units"][str(number)] == [
            {
                "picture": f"p{n}.png", "id": n, "label": CLASSES[LABELS[n]], "value": value,
                "y": UNITS[number][0], "x": UNITS[number][1], "box": BOXES[number],
            }
            for value, n in zip(values, ids, strict=True)
        ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.glob("*.png")) == sorted(
        one["file"] for one in layer["figures"]
    )


def test_tiles_are_cut_to_the_field_with_the_pixel_where_it_is():
    found = scan(net_of(), data().val, ["conv1"], 2, progress=False)["conv1"]
    drawn = tiles(net_of(), data().val, "conv1", found, [0, 1, 2], 2)
    for number in range(3):
        for rank, tile in enumerate(drawn[number]):
            projection, patch = np.full((3, 5, 3), 128), np.zeros((3, 5, 3))
            projection[(*TAPS[number], number)] = 255
            patch[(*TAPS[number], number)] = STRONGEST[number][0][rank]
            np.testing.assert_array_equal(tile.projection, projection)
            assert tile.patch[(*TAPS[number], number)] == STRONGEST[number][0][rank]
            np.testing.assert_array_equal(tile.patch[..., number], patch[..., number])
            assert not tile.dead


def test_a_block_says_the_range_and_the_class_that_most_units_share(canvas):
    net, some = net_of(), data()
    found = scan(net, some.val, ["conv1"], 2, progress=False)["conv1"]
    (page, *_), _ = layer_pages(net, some, some.val, "conv1", found, "the title", count=2)
    assert page[0] == "conv1.png"
    notes = {
        words: note
        for words, note in zip(canvas.words(), canvas.words()[1:], strict=False)
        if words[:4] == "map "
    }
    assert notes == {
        "map 0": "200 to 100, 2 of 2 sea dog",
        "map 1": "60 to 30",
        "map 2": "90 to 80",
    }
    assert canvas.texts[0].text == "the title"
    said = " ".join(canvas.words())
    assert "3 maps; 2 strongest activations of each map in 4 pictures, one a picture" in said
    assert (
        "3x5 pixels of the receptive field" in said
        and "Rule deconv, shared switches add, LRN identity." in said
    )
    assert "99.5th percentile of |value|" in said


def test_a_dead_map_is_said_to_be_dead(canvas):
    net, some = net_of((1, -1, 1)), data()
    found = scan(net, some.val, ["conv1"], 2, progress=False)["conv1"]
    _, about = layer_pages(net, some, some.val, "conv1", found, "title", count=2)
    assert about["dead"] == [1] and "never above 0" in canvas.words()
    assert sum(words == "dead" for words in canvas.words()) == 2, "in the block and in the overview"
    assert canvas.text("map 1").y == canvas.text("never above 0").y


def test_a_map_that_fires_on_one_image_only_has_one_dead_tile():
    net, some = net_of(), data()
    net["conv1"].bias[1] = -40
    found = scan(net, some.val, ["conv1"], 2, progress=False)["conv1"]
    assert [tile.dead for tile in tiles(net, some.val, "conv1", found, [1], 2)[1]] == [False, True]
    _, about = layer_pages(net, some, some.val, "conv1", found, "title", count=2)
    assert about["dead"] == [] and [unit["value"] for unit in about["units"]["1"]] == [20, 0]


def strongest_of(values):
    values = np.array(values, np.float32)
    return TopActivations(values, *[np.zeros(values.shape, int)] * 4)


def test_the_maps_chosen_are_those_whose_weakest_shown_activation_is_largest():
    """Not those with the largest first, or sum; in the order of their numbers, the first of equals."""
    found = strongest_of([[9, 1, 0], [3, 3, 3], [5, 4, 2], [2, 2, 2], [100, 50, 1], [4, 4, 4]])
    assert choose(found, None, 3) == [1, 2, 5]
    assert choose(found, None, 1) == [5] and choose(found, None, 9) == [0, 1, 2, 3, 4, 5]
    assert choose(found, [4, 0, 4]) == [4, 0, 4]


def test_a_page_shows_eighteen_maps_by_that_rule_and_says_so(canvas):
    gains = [1.0, 2.0, 1.5, *np.linspace(3, 4, 17).tolist()]
    net, some = net_of(gains), data()
    found = scan(net, some.val, ["conv1"], 2, progress=False)["conv1"]
    second = [gain * STRONGEST[number % 3][0][1] for number, gain in enumerate(gains)]
    dropped = sorted(range(20), key=second.__getitem__)[:2]
    assert dropped == [1, 4] and sorted(range(20), key=lambda m: gains[m] * STRONGEST[m % 3][0][0])[
        :2
    ] == [1, 2]
    _, about = layer_pages(net, some, some.val, "conv1", found, "title", count=2)
    kept = [number for number in range(20) if number not in dropped]
    assert about["figures"][0] == {"file": "conv1.png", "maps": kept} and list(
        about["units"]
    ) == list(map(str, kept))
    said = " ".join(canvas.words())
    assert (
        "18 of 20 maps, those with the largest 2nd activation; 2 strongest activations of each map"
        in said
    )
    assert "all 20 maps, by number" in said
    layer_pages(net, some, some.val, "conv1", found, "title", wanted=[7], count=1)
    assert "1 of 20 maps, as asked; 1 strongest activations of each map" in " ".join(canvas.words())


@pytest.mark.parametrize(
    ("count", "words"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (9, "9th"), (11, "11th"), (12, "12th"), (13, "13th"),
                         (21, "21st"), (100, "100th"), (111, "111th")],
)  # fmt: skip
def test_ordinals(count, words):
    assert pages._ordinal(count) == words


def test_the_look_is_told_in_a_sentence():
    full = Look(percentile=100).sentence()
    assert full == (
        "Grey is 0, full contrast the largest |value| of each projection by itself. Rule deconv, shared switches add, "
        "LRN identity."
    )


def test_json_of_numbers_stays_numbers(tmp_path):
    path = write_index(tmp_path, {"box": [1, 2, 3, 4], "name": "caf\u00e9", "no": float("nan")})
    assert json.loads(path.read_text("utf-8")) == {
        "box": [1, 2, 3, 4],
        "name": "caf\u00e9",
        "no": None,
    }
    assert "[1, 2, 3, 4]" in path.read_text("utf-8")


# ---------------------------------------------------------------------------------------------- a picture


def test_a_image_has_its_strongest_units_first_each_at_its_place(canvas):
    """Of the first picture blue is strongest (90), then red (50), then green (30)."""
    order = [2, 0, 1]
    _, about = image_page(forward_pass(net_of(), images()), 0, "conv1", "p0.png: cat", count=3)
    assert (about["layer"], about["object"]) == ("conv1", "relu1")
    assert about["units"] == [
        {
            "map": m,
            "y": UNITS[m][0],
            "x": UNITS[m][1],
            "value": float(VALUES[0, m]),
            "box": BOXES[m],
        }
        for m in order
    ]
    notes = {
        words: note
        for words, note in zip(canvas.words(), canvas.words()[1:], strict=False)
        if words[:4] == "map "
    }
    assert notes == {f"map {m}": f"at {UNITS[m][0]}, {UNITS[m][1]}: {VALUES[0, m]}" for m in order}
    shown = canvas.images[0]
    middles = {
        text.text: (
            (text.y - shown.y) / shown.height * SIZE,
            (text.x - shown.x) / shown.width * SIZE,
        )
        for text in canvas.texts
        if text.text in "123" and text.x < shown.x + shown.width
    }
    for number, m in enumerate(order, 1):
        top, left, bottom, right = BOXES[m]
        assert middles[str(number)] == pytest.approx(
            ((top + bottom) / 2, (left + right) / 2), abs=0.05
        )
    (frame,) = (shape.at for shape in canvas.rectangles if shape.outline)
    edges = [
        (edge - origin) / shown.width * SIZE
        for edge, origin in zip(frame, (shown.x, shown.y) * 2, strict=True)
    ]
    assert edges == pytest.approx([7, 0, 12, 3], abs=0.05), (
        "left, top, right, bottom of the strongest"
    )
    assert "the frame is the field of the first, 3x5 pixels" in " ".join(canvas.words())
    _, about = image_page(forward_pass(net_of(), images()), 0, "conv1", "", count=2)
    assert [unit["map"] for unit in about["units"]] == [2, 0]
    _, about = image_page(forward_pass(net_of(), images()), 1, "conv1", "", count=3)
    assert [unit["map"] for unit in about["units"]] == [0, 2], "green is dead in the second picture"


def test_a_dead_map_that_is_asked_for_is_named_dead(canvas):
    _, about = image_page(forward_pass(net_of(), images()), 1, "conv1", "", wanted=[1, 0], count=3)
    assert [(unit["map"], unit["value"]) for unit in about["units"]] == [(1, 0), (0, 200)]
    assert canvas.words()[canvas.words().index("map 1") + 1] == "dead: 0 everywhere in the picture"
    assert canvas.words().count("dead") == 1


def test_images_are_headed_by_what_they_are_taken_for(canvas, tmp_path):
    """Scores are 2 and 1 times the blue pixel over its width: the class of the larger one leads."""
    net = net_of()
    net = Net(net.shape, [*net.layers, ("fc2", Conv(2, None))], CLASSES)
    net["fc2"].weight[:] = 0
    net["fc2"].weight[(*UNITS[2], 2)] = (0.01, 0.02)
    p = 1 / (1 + np.exp(-0.9))  # of the second class, in the first picture
    said = []
    found = [("one", "dir/one.png", images()[0])]
    about = draw_images(net, found, [("relu1", [0]), ("fc2", None)], LOOK, 2, tmp_path, said.append)
    (image,) = about["pictures"]
    assert image["picture"] == "dir/one.png" and [one["class"] for one in image["classes"]] == [
        "sea_dog",
        "cat",
    ]
    assert [one["probability"] for one in image["classes"]] == pytest.approx([p, 1 - p], abs=1e-5)
    assert [layer["file"] for layer in image["layers"]] == ["conv1-one.png", "scores-one.png"]
    assert said == [f"dir/one.png: sea_dog {p:.1%}, cat {1 - p:.1%}"]
    assert canvas.texts[0].text == f"one.png: sea dog {p:.0%}"
    assert {"cat", "sea dog"} <= set(canvas.words()), "scores are named by their classes"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conv1-one.png", "scores-one.png"]
    assert Image.open(tmp_path / "conv1-one.png").width > 400
