"""A grey square over a picture: the same answers as of a picture that has the square in it."""

import numpy as np
import pytest
from laws import assert_close
from test_visualize_cli import small_net

from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.occluder import GREY, Places, cover

NET = small_net()


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(3).integers(0, 256, (26, 26, 3), np.uint8)


def hidden(image, box):
    """The stored picture with a box grey; the net sees its 24x24 pixels from (1, 1) on."""
    top, left, bottom, right = box + 1
    image = image.copy()
    image[top:bottom, left:right] = GREY
    return image


@pytest.mark.parametrize(
    "unit", [None, "conv2:5:3:2", "conv2:7", "conv2:4:*", "scores:1", "pool1:2:0:0"]
)
def test_answers_are_those_of_a_picture_with_the_square_in_it(image, unit):
    boxes = Places.of(NET.shape, 7, 5).boxes
    boxes = np.concatenate([boxes, [[3, 4, 9, 24], [0, 0, 24, 24], [5, 5, 6, 6]]])
    passed = forward_pass(NET, image)
    answers = list(cover(passed, boxes, unit, at_once=4))
    assert [len(part.p) for part in answers[:-1]] == [4] * (len(answers) - 1)
    found = {
        name: np.concatenate([getattr(part, name) for part in answers]) for name in ("p", "logits")
    }
    one = passed.unit(unit) if unit else None
    for k, box in enumerate(boxes):
        under = forward_pass(NET, hidden(image, box))
        assert_close(found["logits"][k], under.logits[0], 1e-4)
        p = dict(under.classes(2)[0])
        assert_close(found["p"][k], [p["cat"], p["sea dog"]], 1e-4)
        if one:
            values = under[one.layer][0, :, :, one.channel]
            want = values.max() if one.whole else values[one.y, one.x]
            got = np.concatenate([part.values for part in answers])[k]
            assert abs(got - want) < 1e-4 * abs(values).max() + 1e-4
        else:
            assert answers[0].values is None
