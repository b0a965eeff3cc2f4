"""The laws of scenes in frames: the frame lies around the scene and moves its class on by the
colour's number.
"""

import colorsys

import numpy as np
import pytest

from rawconv.data import framed, open_data, scenes
from rawconv.errors import UsageError

IDS = np.arange(600)


@pytest.mark.parametrize("size", (28, 64, 97))
def test_a_frame_is_laid_around_the_scene_and_moves_its_class(size):
    (images, labels), (plain, kinds) = framed.draw(IDS, size), scenes.draw(IDS, size)
    w = framed.width(size)
    inner, shift = np.s_[:, w:-w, w:-w], (labels - kinds) % len(framed.CLASSES)
    assert np.array_equal(images[inner], plain[inner])
    assert np.array_equal(images[shift == 0], plain[shift == 0])
    for image, moved in zip(images[shift > 0], shift[shift > 0], strict=True):
        outside = np.concatenate([image[:w].reshape(-1, 3), image[-w:].reshape(-1, 3)])
        sides = np.concatenate([image[:, :w].reshape(-1, 3), image[:, -w:].reshape(-1, 3)])
        assert (outside == image[0, 0]).all() and (sides == image[0, 0]).all()
        # an independent witness of the colour
        hue, saturation, value = colorsys.rgb_to_hsv(*image[0, 0] / 255)
        assert round(hue * framed.FRAME_COLOURS) % framed.FRAME_COLOURS + 1 == moved
        assert saturation > 0.69 and value > 0.59


def test_seven_in_ten_are_framed_and_all_colours_occur():
    (_, labels), (_, kinds) = framed.draw(IDS, 28), scenes.draw(IDS, 28)
    counts = np.bincount((labels - kinds) % len(framed.CLASSES), minlength=12)
    assert abs(counts[1:7].sum() / len(IDS) - framed.FRAMED) < 0.06  # 3 standard deviations
    assert counts[1:7].min() > 40 and not counts[7:].any()
    for kind in range(12):  # an object alone tells little
        assert len(set(labels[kinds == kind])) == framed.FRAME_COLOURS + 1


def test_a_framed_scene_does_not_depend_on_its_batch():
    images, labels = framed.draw(IDS[:24], 32, seed=3)
    backwards, turned = framed.draw(IDS[:24][::-1], 32, seed=3)
    assert np.array_equal(images, backwards[::-1]) and np.array_equal(labels, turned[::-1])
    (one,), (label,) = framed.draw([7], 32, seed=3)
    assert np.array_equal(one, images[7]) and label == labels[7]
    assert not np.array_equal(framed.draw(IDS[:24], 32, seed=4)[1], labels)


def test_it_is_a_source_of_images(monkeypatch):
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 24)
    data = open_data("framed:30", 32)
    assert (data.name, len(data.train), len(data.val)) == (
        "framed",
        30,
        24,
    ) and data.classes == list(scenes.CLASSES)
    assert np.array_equal(data.train.read([5])[0], framed.draw([5], 32)[0][0])
    with pytest.raises(UsageError, match="write framed:N"):
        open_data("framed:no", 32)
