"""Colour augmentation: the directions against a covariance, normal draws, that depend on the
picture alone.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from laws import assert_same

from rawconv import checkpoint
from rawconv.data import Split
from rawconv.data.colour import principal, shifts
from rawconv.machine.arrays import Device, to_cpu
from rawconv.training import runs
from rawconv.training.step import train_step


def tinted(count=60):
    """Pictures whose colours lie along (3, 2, 1), and a little beside it."""
    rng = np.random.default_rng(0)
    light = rng.normal(0, 20, (count, 8, 8, 1)) * np.array([3, 2, 1]) / np.sqrt(14) + rng.normal(
        0, 4, (count, 8, 8, 3)
    )
    pixels = (light + 128).round().clip(0, 255).astype(np.uint8)
    return Split(pixels.__getitem__, np.zeros(count), [""] * count, (8, 8, 3)), pixels


def test_the_directions_are_those_of_the_covariance():
    split, pixels = tinted(230)  # three blocks
    colours = principal(split)
    covariance = np.cov(pixels.reshape(-1, 3).T.astype(np.float64), ddof=0)
    np.testing.assert_allclose(colours.T @ colours, covariance, rtol=1e-10)
    lengths = np.linalg.norm(colours, axis=1)
    assert lengths[0] > 3 * lengths[1] >= 3 * lengths[2] > 0
    assert (
        abs(colours[0] / lengths[0] @ np.array([3, 2, 1]) / np.sqrt(14)) > 0.999
        and colours[0].sum() > 0
    )
    products = colours @ colours.T
    assert np.abs(products - np.diag(np.diag(products))).max() < 1e-9


def test_shifts_are_normal_with_that_covariance():
    colours = 0.1 * principal(tinted()[0])
    found = shifts((3, 1, np.arange(40_000)), colours)
    np.testing.assert_allclose(found.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(np.cov(found.T), colours.T @ colours, atol=0.1)
    along = found @ colours[0] / (colours[0] @ colours[0])
    assert np.mean(np.abs(along) < 1) == pytest.approx(0.6827, abs=0.01)


def test_a_shift_depends_on_seed_epoch_and_image_alone():
    colours = np.eye(3)
    ids = np.arange(50)
    whole = shifts((1, 2, ids), colours)
    assert_same(shifts((1, 2, ids[::-1]), colours)[::-1], whole)
    assert_same(shifts((1, 2, ids[7:9]), colours), whole[7:9])
    for other in ((2, 2, ids), (1, 3, ids)):
        assert np.abs(shifts(other, colours) - whole).min() > 0


def test_a_step_sees_the_shifted_image(xp):
    """As if the shift had been in the data: all pixels of one picture move together."""
    seen = []

    class Net:
        pixel_mean, shape, dtype = np.zeros(3), (8, 8, 3), np.float64

        def mean_for(self, images):
            return self.pixel_mean

        def forward(self, x, rng_key):
            seen.append(x.copy())
            raise StopIteration

    pixels, optimizer = xp.asarray(tinted(4)[1]), SimpleNamespace(lowest=None)
    rng_key = (0, 0, np.arange(4))
    for colours in ((), np.eye(3)):
        with pytest.raises(StopIteration):
            train_step(Net(), pixels, None, rng_key, "random", optimizer, 0.0, pca_jitter=colours)
    moved = seen[1] - seen[0]
    want = np.broadcast_to(shifts(rng_key, np.eye(3))[:, None, None], moved.shape)
    np.testing.assert_allclose(to_cpu(moved), want, atol=1e-12)


def test_a_run_remembers_its_colours(tmp_path):
    changes = {"epochs": 1, "batch": 16, "pca_strength": 0.1}
    results = []
    for name in ("one", "two"):
        run = runs.start("lenet", "scenes:48", changes=changes)
        assert np.allclose(run.recipe.pca_jitter, 0.1 * principal(run.data.train))
        (tmp_path / name).mkdir()
        runs.train_run(run, tmp_path / name, Device(), say=lambda line: None, progress=False)
        results.append(checkpoint.load(tmp_path / name / "last.h5"))
    plain = runs.start("lenet", "scenes:48", changes=changes | {"pca_strength": 0.0})
    assert plain.recipe.pca_jitter == ()
    (tmp_path / "plain").mkdir()
    runs.train_run(plain, tmp_path / "plain", Device(), say=lambda line: None, progress=False)
    other = checkpoint.load(tmp_path / "plain/last.h5").net.params
    for key, value in results[0].net.params.items():
        assert_same(results[1].net.params[key], value)
        assert not np.array_equal(other[key], value)
    assert np.array_equal(
        runs.resume(tmp_path / "one", {}).recipe.pca_jitter, run.recipe.pca_jitter
    )
