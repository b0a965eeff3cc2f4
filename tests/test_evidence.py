"""Curves of deletion and insertion, edges and their like: against plain loops and SciPy."""

import nets
import numpy as np
import pytest
from subjects import data_of, subject_of
from test_visualize_cli import small_net

from rawconv.data.preprocessing import preprocess
from rawconv.experiments import deletion, evidence
from rawconv.experiments.deletion import area, blocks, curves, order_of, squared_norm
from rawconv.experiments.occlusion import Covered, Places, respond
from rawconv.experiments.subject import filling
from rawconv.layers import GEMM, GRADIENT, PAPER
from rawconv.machine.arrays import Device, to_cpu
from rawconv.net import Net
from rawconv.visualize.controls import SEED, control
from rawconv.visualize.forward_pass import ForwardPass
from rawconv.visualize.projection import project
from rawconv.visualize.units import Unit


@pytest.mark.parametrize("shape", [(18, 41, 3), (140, 130, 3)])
def test_blocks_tile_the_field_inside_the_picture(shape):
    """Of 4 pixels, of 8 in nets for pictures of 128 pixels and more."""
    net = Net(shape, nets.make(np, nets.FULL, shape).layers)
    side = 8 if shape[0] == 140 else 4
    for unit in (Unit(0, "conv2", 0, 0, 0), Unit(0, "conv3", 1, 2, 3)):
        top, left, bottom, right = np.clip(unit.box(net), 0, [*shape[:2], *shape[:2]])
        seen = np.zeros(shape[:2], int)
        for y0, x0, y1, x1 in blocks(net, unit):
            assert (y0 - top) % side == (x0 - left) % side == 0
            assert y1 == min(y0 + side, bottom) and x1 == min(x0 + side, right)
            seen[y0:y1, x0:x1] += 1
        want = np.zeros(shape[:2], int)
        want[top:bottom, left:right] = 1
        np.testing.assert_array_equal(seen, want)


def test_the_largest_squared_norm_comes_first_and_ties_in_reading_order():
    r = np.zeros((4, 8, 3))
    r[1, 1], r[2, 5, 0], r[0, 4, 2] = [1, -1, 1], 2, 1
    boxes = np.array([(0, 0, 4, 4), (0, 4, 2, 8), (2, 4, 4, 8), (0, 0, 0, 0)])
    assert squared_norm(r, boxes).tolist() == [3, 1, 4, 0]
    assert order_of(squared_norm(r, boxes)).tolist() == [1, 2, 0, 3]
    assert order_of(np.array([1.0, 2, 2, 0])).tolist() == [2, 0, 1, 3]


def test_curves_are_those_of_pictures_filled_by_hand(xp):
    """One picture after another: the blocks that come first are mean, or all others of the field."""
    net = nets.make(xp, nets.FULL, (18, 22, 2))
    x = nets.image(shape=net.shape)
    passed = ForwardPass(net, xp.asarray(x), ["conv2"])
    (unit,) = passed.strongest("conv2", 1)
    boxes, rng = blocks(net, unit), np.random.default_rng(1)
    orders = {name: rng.permutation(len(boxes)) for name in ("a", "b")}
    assert len(boxes) > 4
    deleted, inserted = curves(net, xp.asarray(x), unit, boxes, orders)
    value = float(to_cpu(passed["conv2"])[0, unit.y, unit.x, unit.channel])
    for name, order in orders.items():
        assert len(deleted[name]) == len(inserted[name]) == 21
        for step in range(21):
            count = round(step / 20 * len(boxes))
            without, alone = x.copy(), x.copy()
            for rank, (top, left, bottom, right) in zip(order, boxes, strict=True):
                (without if rank < count else alone)[0, top:bottom, left:right] = 0
            for curve, image in ((deleted, without), (inserted, alone)):
                y = to_cpu(net.forward(xp.asarray(image), "relu2")[0])
                assert curve[name][step] == pytest.approx(
                    y[0, unit.y, unit.x, unit.channel] / value, abs=1e-12
                )
        assert deleted[name][0] == inserted[name][-1] == pytest.approx(1)
        assert deleted[name][-1] == pytest.approx(inserted[name][0])


def test_passes_are_split_and_say_the_same(monkeypatch):
    net, x = nets.make(np, nets.FULL), nets.image()
    (unit,) = ForwardPass(net, x, ["conv2"]).strongest("conv2", 1)
    boxes = blocks(net, unit)
    orders = {"a": np.arange(len(boxes))}
    whole = curves(net, x, unit, boxes, orders)
    monkeypatch.setattr(deletion, "WORKSPACE", 1)
    for one, other in zip(whole, curves(net, x, unit, boxes, orders), strict=True):
        np.testing.assert_allclose(one["a"], other["a"], atol=1e-12)


def test_the_area_is_that_of_trapezia():
    assert area(np.linspace(1, 0, 21)) == pytest.approx(0.5)
    curve = np.random.default_rng(0).random((3, 21))
    want = [sum((c[k] + c[k + 1]) / 2 / 20 for k in range(20)) for c in curve]
    np.testing.assert_allclose(area(curve), want)


def test_edges_are_sobel_s():
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
    x = np.random.default_rng(2).standard_normal((7, 9, 3))
    down, across = (
        np.stack([ndimage.sobel(x[:, :, c], axis=axis, mode="nearest") for c in range(3)], axis=2)
        for axis in (0, 1)
    )
    np.testing.assert_allclose(evidence.edges(x), np.concatenate([down, across], axis=2))


def test_the_centre_is_a_gaussian_a_quarter_wide():
    blob = evidence.centre((40, 80, 3))[:, :, 0]
    y, x = np.mgrid[:40, :80]
    want = np.exp(-0.5 * (((y - 19.5) / 10) ** 2 + ((x - 39.5) / 20) ** 2))
    np.testing.assert_allclose(blob, want)


def test_a_picture_s_evidence_is_that_of_its_projections():
    net = small_net().astype("float64")
    net.execution = GEMM
    image, filled = data_of(3).val.read([1])[0], filling(net, "128")
    places, covered = Places.of(net.shape, 8, 6), Covered.of(net, image, filled, "relu2")
    fallen = 1 - respond(net, covered, places.boxes, 0)["activity"] / covered.activity
    measured = evidence.measure(net, image, fallen, covered.number, "relu2", places.boxes)
    passed = ForwardPass(net, preprocess(net, image[None]), ["conv2"])
    x, (unit,) = passed.x[0], passed.strongest("conv2", 1)
    whole, boxes = f"conv2:{covered.number}:*", blocks(net, unit)

    def pixels(unit, rules=PAPER, name=None):
        return next(project(passed, [unit], rules, control(net, name))).pixels

    beside = {"edges": evidence.edges(x), "centre": evidence.centre(net.shape)}
    maps = beside | {"deconvnet": pixels(whole), "other map": pixels(whole, name="other-unit"),
                     "untrained": pixels(whole, name="untrained")}  # fmt: skip
    for k, name in enumerate(evidence.COVERED):
        under = [(maps[name][t:b, left:r] ** 2).sum() for t, left, b, r in places.boxes]
        assert measured["covered"][k] == pytest.approx(np.corrcoef(under, fallen)[0, 1]), name
    guided = PAPER._replace(relu="guided")
    maps = beside | {
        "deconvnet": pixels(unit),
        "guided": pixels(unit, guided),
        "gradient": pixels(unit, GRADIENT),
    }
    maps |= {
        "other map": pixels(unit, name="other-unit"),
        "untrained": pixels(unit, name="untrained"),
    }
    rng = np.random.default_rng(SEED)
    chance = {f"r{k}": rng.permutation(len(boxes)) for k in range(10)}
    for k, name in enumerate(evidence.ORDERED):
        orders = chance if name == "random" else {name: order_of(squared_norm(maps[name], boxes))}
        ways = curves(net, passed.x, unit, boxes, orders)
        for way, found in zip(("deletion", "insertion"), ways, strict=True):
            want = np.mean(list(found.values()), axis=0)
            np.testing.assert_allclose(measured[way][k], want, atol=1e-12)


def test_a_summary_has_intervals_over_pictures_and_leaves_out_dead_ones():
    rng = np.random.default_rng(0)
    some = [
        {
            "covered": rng.random(5),
            "deletion": rng.random((7, 21)),
            "insertion": rng.random((7, 21)),
        }
        for _ in range(6)
    ]
    numbers = evidence.summary([*some, evidence.nothing()])
    assert numbers["pictures"] == 7
    for k, name in enumerate(evidence.COVERED):
        one = numbers["covered"][name]
        assert one["mean"] == pytest.approx(np.mean([s["covered"][k] for s in some]))
        assert one["units"] == 6 and one["low"] < one["mean"] < one["high"]
    for way in ("deletion", "insertion"):
        for k, name in enumerate(evidence.ORDERED):
            values = np.array([s[way][k] for s in some])
            np.testing.assert_allclose(numbers[way][name]["curve"], values.mean(axis=0))
            assert numbers[way][name]["area"]["mean"] == pytest.approx(area(values).mean())


def test_on_the_device(xp):
    """The same curves as on the CPU."""
    found = []
    for where in (Device(), Device() if xp is np else Device(0)):
        net, image = subject_of(small_net(), device=where).net, data_of(1).val.read([0])[0]
        covered = Covered.of(net, image, filling(net, "mean"), "relu2")
        boxes = Places.of(net.shape, 8, 8).boxes
        fallen = 1 - respond(net, covered, boxes, 0)["activity"] / covered.activity
        found.append(evidence.measure(net, image, fallen, covered.number, "relu2", boxes))
    for key in found[0]:
        np.testing.assert_allclose(found[1][key], found[0][key], atol=1e-3)
