"""Intervals by the bootstrap over pictures and nets: against a plain loop, and where the answer is known."""

import json

import numpy as np
import pytest

from rawconv.experiments import intervals
from rawconv.files.json_text import json_text


def by_hand(values, pictures):
    """The same draws as a loop: pictures and nets with replacement, all units of a picture together."""
    rng, names = np.random.default_rng(intervals.SEED), np.unique(pictures)
    nets = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), intervals.DRAWS)
    images = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), intervals.DRAWS)
    means = []
    for net_counts, image_counts in zip(nets, images, strict=True):
        drawn = []
        for net, times in enumerate(net_counts):
            for name, often in zip(names, image_counts, strict=True):
                drawn += [*values[net, pictures == name]] * (times * often)
        drawn = np.array(drawn)[np.isfinite(drawn)]
        if len(drawn):
            means.append(drawn.mean())
    return np.array(means)


def test_it_draws_pictures_and_nets(monkeypatch):
    monkeypatch.setattr(intervals, "DRAWS", 60)
    values = np.random.default_rng(3).standard_normal((3, 11))
    values[1, 4] = values[0, 2] = np.nan
    pictures = np.array([5, 5, 5, 9, 2, 2, 7, 7, 7, 7, 2])
    got, want = intervals.bootstrap(values, pictures), by_hand(values, pictures)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    found = intervals.mean(values, pictures)
    assert found["mean"] == pytest.approx(np.nanmean(values)) and found["units"] == 11
    assert found["low"] == pytest.approx(np.percentile(want, 2.5))
    assert found["high"] == pytest.approx(np.percentile(want, 97.5))
    assert found["std"] == pytest.approx(np.nanstd(values))


def test_units_of_one_picture_are_one_draw():
    """Copies of units in the same pictures make an interval no narrower; more pictures do."""
    values = np.random.default_rng(0).standard_normal(20)
    once = intervals.mean(values, np.arange(20))
    copied = intervals.mean(np.tile(values, 9), np.tile(np.arange(20), 9))
    more = intervals.mean(np.tile(values, 9), np.arange(180))
    wide = [one["high"] - one["low"] for one in (once, copied, more)]
    assert wide[1] == pytest.approx(wide[0]) and wide[2] == pytest.approx(wide[0] / 3, rel=0.2)
    # the standard error of a mean of 20
    assert wide[0] == pytest.approx(2 * 1.96 * values.std() / np.sqrt(20), rel=0.1)


def test_nothing_finite_and_a_single_picture():
    found = intervals.mean([np.nan, np.nan], [0, 1])
    assert found["units"] == 0 and np.isnan(found["mean"])
    for values in ([1.0, 3.0], [[0.0, 2.0], [4.0, 2.0]]):
        found = intervals.mean(values, [4, 4])
        assert found["mean"] == 2 and found["units"] == 2
        assert np.isnan(found["low"]) and np.isnan(found["high"]), "of one picture, drawn again"
        assert intervals.text(found, "+.1f") == "+2.0 (one picture, so no interval)"
    known = json.loads(json_text(found))  # NaN is null there
    assert intervals.text(known, ".0f") == "2 (one picture, so no interval)"
    found = intervals.mean([1.0, np.nan, 3.0], [4, 5, 4])
    assert found["mean"] == 2 and np.isnan(found["low"]), "the other says nothing"


def test_few_trainings_have_student_s_interval():
    """Against SciPy's, which the tests have with scikit-learn."""
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    for count in (2, 3, 5, 21):
        values = rng.standard_normal(count) + 3
        found = intervals.over_seeds(values)
        low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
        wide, want = found["high"] - found["low"], high - low
        assert wide == pytest.approx(want, rel=1e-3) and found["mean"] == pytest.approx(
            (low + high) / 2
        )
        assert found["std"] == pytest.approx(values.std(ddof=1)) and found["trainings"] == count
    assert intervals.over_seeds([0.25]) == {"mean": 0.25, "trainings": 1}
    # beyond the table: at most a little wide
    values = rng.standard_normal(60)
    wide = intervals.over_seeds(values)["high"] - values.mean()
    assert 1 < wide / (stats.sem(values) * stats.t.ppf(0.975, 59)) < 1.05


def test_the_difference_of_two_groups_of_trainings_is_welch_s():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(2)
    for n, m, spread in ((3, 3, 1), (3, 5, 9), (2, 4, 0.1)):
        one, other = rng.standard_normal(n), spread * rng.standard_normal(m) + 2
        found = intervals.difference(one, other)
        test = stats.ttest_ind(one, other, equal_var=False)
        half = stats.t.ppf(0.975, int(test.df)) * abs(found["mean"] / test.statistic)
        assert found["mean"] == pytest.approx(one.mean() - other.mean())
        assert found["high"] - found["mean"] == pytest.approx(half, rel=1e-3)
        assert found["mean"] - found["low"] == pytest.approx(half, rel=1e-3)
    assert intervals.difference([0.5], [0.25, 0.5]) == {"mean": 0.125}
    assert intervals.difference([1, 1], [1, 1]) == {"mean": 0, "low": 0, "high": 0}


@pytest.mark.parametrize(
    ("ends", "spec", "want"),
    [
        ((0.2571, 0.25, 0.28), ".2f", "0.26 (0.25 to 0.28)"),
        ((-0.001, -0.02, 0.0), "+.2f", "0.00 (-0.02 to +0.00)"),
        ((0.5, -0.004, 1), ".0%", "50% (0% to 100%)"),
    ],
)
def test_it_is_written_in_one_way_and_zero_has_no_minus(ends, spec, want):
    assert intervals.text(dict(zip(("mean", "low", "high"), ends, strict=True)), spec) == want
