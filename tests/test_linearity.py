"""How straight the curves of figure 5 are: against NumPy's least squares, and where the answer is known."""

import numpy as np
import pytest

from rawconv.experiments import linearity
from rawconv.experiments.invariance import kinds
from rawconv.experiments.linearity import DISTANCES, NETS, r_squared, sentence, summary

SHIFT, SCALE, TURN = kinds(26, shift=6)


def test_sizes_are_how_far_a_picture_is_from_itself_and_which_way():
    assert SHIFT.sizes().tolist() == SHIFT.values.tolist()
    np.testing.assert_allclose(SCALE.sizes(), SCALE.values - 1)
    sizes = dict(zip(TURN.values, TURN.sizes(), strict=True))
    assert [sizes[turn] for turn in (0, 10, 180, 190, 350)] == [0, 10, 180, -170, -10]


def test_r_squared_is_that_of_a_line_through_the_origin_on_each_side():
    rng = np.random.default_rng(0)
    x, y = np.arange(-7.0, 9), rng.random((16, 3, 2))
    found = r_squared(x, y)
    for place in np.ndindex(3, 2):
        sides = []
        for side in (x >= 0, x <= 0):
            some = y[(side, *place)]
            _, (left,), *_ = np.linalg.lstsq(x[side][:, None], some, rcond=None)
            sides.append(1 - left / (len(some) * some.var()))
        assert found[place] == pytest.approx(np.mean(sides))
    assert r_squared(x, 3 * np.abs(x)) == pytest.approx(1)
    assert r_squared(x, np.where(x > 0, 2 * x, -5 * x)) == pytest.approx(1), (
        "each side has its line"
    )
    assert r_squared(x, 1.0 * (x != 0)) < 0.3 < 0.9 < r_squared(x, np.abs(x) ** 1.2)
    assert np.isnan(r_squared(x, np.ones(16)))
    one = r_squared(SCALE.sizes(), SCALE.sizes() * 2)
    assert one == pytest.approx(1), "to one side alone"


def curves_by_hand(kind, count=6):
    """The low layer jumps at once, the high one goes as far as the picture; before training the other way round."""
    rng, sizes = np.random.default_rng(2), kind.sizes()
    line, jump = np.abs(sizes) / sizes.max(), (sizes != 0).astype(float)
    made = []
    for _ in range(count):
        noise = rng.normal(0, 0.05, (NETS + 1, len(DISTANCES), len(sizes), 2))
        ours = np.stack([jump, line], axis=1) + noise[0]
        before = np.stack([line, jump], axis=1) + noise[1:]
        made.append(
            dict(zip(DISTANCES, ours, strict=True)) | {"untrained": before, "p": 1 - line / 2}
        )
    return made


@pytest.mark.parametrize("kind", [SHIFT, SCALE, TURN], ids=lambda kind: kind.name)
def test_each_layer_has_its_line_and_its_difference_to_untrained_nets(kind):
    curves = curves_by_hand(kind)
    found = summary(kind, curves, ["conv1", "fc7"])
    straight = found["linearity"]
    for d, which in enumerate(DISTANCES):
        for k, layer in enumerate(("conv1", "fc7")):
            want = [r_squared(kind.sizes(), curve[which][:, k]) for curve in curves]
            nets = [
                r_squared(kind.sizes(), curve["untrained"][:, d, :, k].T).mean() for curve in curves
            ]
            assert straight["learned"][layer][which]["mean"] == pytest.approx(np.mean(want))
            assert straight["untrained"][layer][which]["mean"] == pytest.approx(np.mean(nets))
            more = straight["learned minus untrained"][layer][which]
            assert more["mean"] == pytest.approx(np.mean(want) - np.mean(nets))
            assert (more["low"] > 0) if k else (more["high"] < 0)
        assert straight["high minus low"]["learned"][which]["low"] > 0
        assert straight["high minus low"]["untrained"][which]["high"] < 0
    still = int(np.flatnonzero(kind.values == kind.neutral)[0])
    step = [curve["unit"][still + 1, 0] for curve in curves]
    about = found["intervals"]["distance"]["conv1"]["unit"]["step"]
    assert (
        about["mean"] == pytest.approx(np.mean(step)) == found["distance"]["conv1"]["unit"]["step"]
    )
    assert about["low"] < about["mean"] < about["high"]


def test_the_sentence_follows_the_numbers():
    layers = ["conv1", "fc7"]
    found = summary(SHIFT, curves_by_hand(SHIFT), layers)
    told = sentence(SHIFT, found, layers)
    high = found["linearity"]["learned"]["fc7"]["unit"]
    assert f"fc7 {high['mean']:.2f} ({high['low']:.2f} to {high['high']:.2f}), untrained" in told
    assert ": fc7 is the more linear." in told and "on average over all of the axis." in told
    turned = linearity.sentence(
        SHIFT, summary(SHIFT, curves_by_hand(SHIFT), layers[::-1]), layers[::-1]
    )
    assert ": conv1 is the more linear." in turned
    swapped = [curve | {"unit": curve["unit"][:, ::-1]} for curve in curves_by_hand(SHIFT)]
    assert ": conv1 is the more linear." in sentence(SHIFT, summary(SHIFT, swapped, layers), layers)
    same = [curve | {"unit": curve["unit"][:, [1, 1]]} for curve in curves_by_hand(SHIFT)]
    assert ": neither is the more linear." in sentence(SHIFT, summary(SHIFT, same, layers), layers)
    alone = sentence(SHIFT, summary(SHIFT, curves_by_hand(SHIFT, 1), layers), layers)
    assert "one picture, so no interval" in alone and "more linear" not in alone
