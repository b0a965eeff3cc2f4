"""Crops, mirrors and mean subtraction, against plain slices of a padded picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import assert_same

from rawconv.data import augment
from rawconv.data.augment import prepare, ten_views
from rawconv.machine import threads
from rawconv.machine.arrays import to_cpu

SIDES = st.tuples(st.integers(1, 19), st.integers(1, 19))


def some(shape, seed=0):
    """Pictures, and a mean that is a different number at every place."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, shape, np.uint8), rng.uniform(0, 255, shape[1:]).astype(np.float32)


def all_crops(image, mean, size, pad):
    """{crop as bytes: its places (top, left, flip)}, by slicing the padded difference."""
    wide = np.pad(image - mean, ((pad, pad), (pad, pad), (0, 0)))
    found = {}
    for top in range(wide.shape[0] - size + 1):
        for left in range(wide.shape[1] - size + 1):
            crop = wide[top : top + size, left : left + size]
            found.setdefault(crop.tobytes(), []).append((top, left, 0))
            found.setdefault(crop[:, ::-1].tobytes(), []).append((top, left, 1))
    return found


@given(sides=SIDES, data=st.data(), seed=st.integers(0, 99))
def test_without_a_draw_it_is_the_centre(sides, data, seed, xp):
    height, width = sides
    size = data.draw(st.integers(1, min(sides)))
    images, mean = some((3, height, width, 3), seed)
    top, left = (height - size) // 2, (width - size) // 2
    want = (images - mean)[:, top : top + size, left : left + size]
    assert_same(prepare(xp.asarray(images), mean, size), want)
    level = mean[0, 0]
    assert_same(
        prepare(xp.asarray(images), level, size),
        (images - level)[:, top : top + size, left : left + size],
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("crop", "pad", "size"), [("pad4", 4, 12), ("pad4", 4, 9), ("random", 0, 8), ("ten", 0, 7)]
)
def test_a_random_crop_is_one_of_the_slices(crop, pad, size, dtype, xp):
    images, mean = some((40, 12, 13, 3))
    got = to_cpu(prepare(xp.asarray(images), mean, size, (7, 3, np.arange(40)), crop, dtype))
    assert got.shape == (40, size, size, 3) and got.dtype == dtype and got.flags.c_contiguous
    for image, y in zip(images, got, strict=True):
        assert y.tobytes() in all_crops(image, mean.astype(dtype), size, pad)


@pytest.mark.parametrize(
    ("crop", "pad", "size", "count"), [("pad4", 4, 6, 162), ("random", 0, 4, 18), ("ten", 0, 4, 10)]
)
def test_every_crop_comes_equally_often(crop, pad, size, count):
    """Chi-square over all places (81 x 2, 9 x 2, 10) of 100 visits each; 5 sigma."""
    images, mean = some((1, 6, 6, 3))
    visits = 100 * count
    got = prepare(np.repeat(images, visits, 0), mean, size, (1, 2, np.arange(visits)), crop)
    places = all_crops(images[0], mean, size, pad)
    seen = {}
    for y in got:
        (place,) = places[y.tobytes()]
        seen[place] = seen.get(place, 0) + 1
    assert len(seen) == count
    chi2 = sum((n - 100) ** 2 / 100 for n in seen.values())
    assert abs(chi2 - (count - 1)) < 5 * np.sqrt(2 * (count - 1))


@pytest.mark.parametrize("crop", ["pad4", "random", "ten"])
def test_a_crop_depends_on_seed_epoch_and_sample_alone(crop, xp, monkeypatch):
    images, mean = some((37, 14, 14, 3))
    ids, size = np.arange(1000, 1037), 14 if crop == "pad4" else 9

    def run(part, seed=5, epoch=2):
        return to_cpu(prepare(xp.asarray(images[part]), mean, size, (seed, epoch, ids[part]), crop))

    whole = run(slice(None))
    assert_same(np.concatenate([run(slice(0, 5)), run(slice(5, 6)), run(slice(6, 37))]), whole)
    assert_same(run(slice(None, None, -1)), whole[::-1])
    assert (run(slice(None), seed=6) != whole).any() and (run(slice(None), epoch=3) != whole).any()
    alone = threads._helpers()._replace(number=0)
    monkeypatch.setattr(threads, "_helpers", lambda: alone)
    assert_same(run(slice(None)), whole)


@given(sides=SIDES, data=st.data(), crop=st.sampled_from(["pad4", "random", "ten"]))
def test_devices_agree_bit_for_bit(sides, data, crop, xp):
    """On the CPU this compares the loop with itself; pytest --device gpu makes it the law of the
    two texts.
    """
    size = data.draw(st.integers(1, min(sides) + (8 if crop == "pad4" else 0)))
    images, mean = some((5, *sides, 3))
    rng_key = (1, 2, np.arange(5))
    want = prepare(images, mean, size, rng_key, crop)
    assert_same(prepare(xp.asarray(images), mean, size, rng_key, crop), want)


@pytest.mark.parametrize("left", range(-4, 5))
def test_a_crop_beside_the_picture_is_all_zeros(left, xp):
    """Of pictures narrower than a crop's padding; memory that nobody wrote holds anything."""
    images, mean = some((1, 4, 1, 3))
    position = np.array([(0, left, 0)])
    got = augment._crop(xp.asarray(images), np.zeros(1, int), position, mean, (2, 2), "float32")
    want = np.zeros((1, 2, 2, 3), "float32")
    if -1 <= left <= 0:
        want[0, :, -left] = (images.astype("float32") - mean)[0, :2, 0]
    assert_same(got, want)


@given(sides=SIDES, data=st.data())
def test_ten_views(sides, data, xp):
    height, width = sides
    size = data.draw(st.integers(1, min(sides)))
    images, mean = some((2, height, width, 3))
    got = to_cpu(ten_views(xp.asarray(images), mean, size)).reshape(2, 10, size, size, 3)
    x = images - mean
    if height == width == size:
        x = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
    low, right = x.shape[1] - size, x.shape[2] - size
    corners = [(0, 0), (0, right), (low, 0), (low, right), (low // 2, right // 2)]
    for k, (top, left) in enumerate(corners):
        want = x[:, top : top + size, left : left + size]
        assert_same(got[:, k], want)
        assert_same(got[:, 5 + k], want[:, :, ::-1])


def test_ten_views_of_a_image_as_large_as_the_input_are_ten(xp):
    images, mean = some((3, 12, 12, 3))
    for views in to_cpu(ten_views(xp.asarray(images), mean, 12)).reshape(3, 10, -1):
        assert len(np.unique(views, axis=0)) == 10


def test_images_that_are_not_contiguous(xp):
    images, mean = some((6, 9, 9, 3))
    rng_key = (0, 0, np.arange(3))
    want = prepare(images[::2].copy(), mean, 9, rng_key)
    assert_same(prepare(xp.asarray(images)[::2], mean, 9, rng_key), want)
    assert_same(prepare(xp.asarray(images)[::2], np.asfortranarray(mean), 9, rng_key), want)


def test_what_does_not_fit_is_refused():
    images, mean = some((2, 8, 8, 3))
    for size, rng_key, crop in [
        (9, None, "pad4"),
        (17, (0, 0, [0, 1]), "pad4"),
        (9, (0, 0, [0, 1]), "random"),
    ]:
        with pytest.raises(ValueError, match="does not fit pictures of 8x8"):
            prepare(images, mean, size, rng_key, crop)
    with pytest.raises(ValueError, match="no such crop"):
        prepare(images, mean, 8, (0, 0, [0, 1]), "pad5")
    assert prepare(images[:0], mean, 8, (0, 0, [])).shape == (0, 8, 8, 3)
