"""From strongest units to tiles: each is the projection of its own unit, beside its own patch."""

import numpy as np
import pytest
from test_deconvnet import image, square_net

from rawconv.data import DataSet, Split
from rawconv.errors import RawconvError
from rawconv.layers import GRADIENT, PAPER
from rawconv.report.look import LOOK, Look
from rawconv.report.pages import choose, image_page, layer_pages
from rawconv.report.winners import project_winners
from rawconv.visualize import projection
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.images import crop, display
from rawconv.visualize.receptive_field import fields
from rawconv.visualize.shortcuts import classify, project
from rawconv.visualize.top_activations import scan
from rawconv.visualize.units import Unit, layer_object, user_name


def split_of(count):
    images = np.stack([image(seed=k) for k in range(count)])
    labels = np.arange(count) % 4
    return Split(images.__getitem__, labels, [f"picture {k}" for k in range(count)], (26, 26, 3))


def tiles(net, split, layer, found, maps, count, look=LOOK, **options):
    """{map: [Tile of each of its `count` strongest units]}."""
    name = layer_object(net, layer)
    units = found.units(user_name(net, name), maps, count)
    drawn, _ = project_winners(net, split, {name: found}, units, look, **options)
    return {m: [drawn[unit] for unit in units if unit.channel == m] for m in maps}


def data_of(split):
    return DataSet("random", "nowhere", ["cat", "dog", "car", "hat"], split, split)


@pytest.mark.parametrize("workspace", [64 << 20, 1, 3 * 24 * 24 * 12])
@pytest.mark.parametrize(
    ("layer", "look"), [("conv1", Look()), ("conv2", Look(GRADIENT, 100)), ("scores", Look())]
)
def test_each_tile_is_its_own_unit(monkeypatch, layer, look, workspace):
    monkeypatch.setattr(projection, "PROJECTION_BYTES", workspace)
    net, split = square_net(), split_of(11)
    name = layer_object(net, layer)
    found = scan(net, split, [layer], 4, progress=False)[layer]
    maps = [3, 0, 1]
    drawn = tiles(net, split, layer, found, maps, 3, look, workspace=workspace)
    assert list(drawn) == maps and all(len(row) == 3 for row in drawn.values())
    for number in maps:
        for rank, tile in enumerate(drawn[number]):
            y, x, stored = (
                found.y[number, rank],
                found.x[number, rank],
                split.read([found.image[number, rank]])[0],
            )
            unit = Unit(0, user_name(net, name), number, y, x)
            box, r = unit.shown_box(net), project(net, stored, str(unit), look.rules)
            want = display(crop(r, box, 0), look.percentile).astype(int)
            assert np.abs(tile.projection.astype(int) - want).max() <= 1
            np.testing.assert_array_equal(tile.patch, crop(stored[1:25, 1:25], box))
            assert tile.dead == (layer != "scores" and found.value[number, rank] == 0)


def test_without_patches_there_are_none():
    net, split = square_net(), split_of(3)
    found = scan(net, split, ["conv2"], 2, progress=False)["conv2"]
    assert all(
        tile.patch is None
        for row in tiles(net, split, "conv2", found, [0, 1], 2, Look(PAPER, 99, False)).values()
        for tile in row
    )


def test_a_changed_maximum_is_an_error():
    net, split = square_net(), split_of(5)
    found = scan(net, split, ["conv2"], 2, progress=False)["conv2"]
    largest = found.value.max()
    for change, wrong in (
        (0.5e-4, False),
        (-0.5e-4, False),
        (2e-4, True),
        (-2e-4, True),
        (np.nan, True),
    ):
        value = found.value.copy()
        value[1, 1] += change * largest
        if wrong:
            with pytest.raises(
                RawconvError, match=r"Map \d of relu2 .* the data or the weights have changed"
            ):
                tiles(net, split, "conv2", found._replace(value=value), [0, 1], 2)
        else:
            tiles(net, split, "conv2", found._replace(value=value), [0, 1], 2)


def test_choose():
    net, split = square_net(), split_of(9)
    found = scan(net, split, ["conv2"], 3, progress=False)["conv2"]
    assert choose(found, [5, 1]) == [5, 1]
    best = choose(found, None, 3)
    assert best == sorted(best) and len(best) == 3
    others = [number for number in range(7) if number not in best]
    assert found.value[best, -1].min() >= found.value[others, -1].max()


def test_description():
    net, split = square_net(), split_of(9)
    found = scan(net, split, ["conv2"], 3, progress=False)["conv2"]
    figures, about = layer_pages(
        net, data_of(split), split, "conv2", found, "title", [4, 2], count=2
    )
    assert (
        [file for file, _ in figures]
        == ["conv2.png", "conv2-all.png"]
        == [f["file"] for f in about["figures"]]
    )
    unit = about["units"]["4"][1]
    assert len(about["units"]["4"]) == 2 and unit["id"] == found.image[4, 1]
    assert (
        unit["picture"] == f"picture {unit['id']}"
        and unit["label"] == ["cat", "dog", "car", "hat"][unit["id"] % 4]
    )
    assert unit["value"] == pytest.approx(found.value[4, 1], rel=1e-5)
    assert unit["box"] == list(fields(net)["relu2"].box(unit["y"], unit["x"]))


def test_classify():
    net, split = square_net(), split_of(3)
    scores = (
        net.forward((split.read(range(3)) - net.pixel_mean)[:, 1:25, 1:25].astype(np.float32))[0]
        .reshape(3, 4)
        .astype(float)
    )
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    for got, want in zip(classify(net, split.read(range(3)), 3), p, strict=True):
        order = np.argsort(-want)[:3]
        assert [name for name, _ in got] == [net.classes[k] for k in order]
        assert [value for _, value in got] == pytest.approx(want[order], abs=1e-5)


def test_image_page_lists_the_strongest_units():
    net = square_net()
    y = net.forward((image() - net.pixel_mean)[None, 1:25, 1:25].astype(np.float32), "relu2")[0][0]
    best = y.reshape(-1, 7).max(axis=0)
    passed = forward_pass(net, image())
    _, about = image_page(passed, 0, "conv2", "title", count=4)
    assert [unit["map"] for unit in about["units"]] == [
        k for k in np.argsort(-best, kind="stable")[:4] if best[k] > 0
    ]
    for unit in about["units"]:
        assert unit["value"] == pytest.approx(best[unit["map"]], rel=1e-4)
        assert y[unit["y"], unit["x"], unit["map"]] == best[unit["map"]]
    _, about = image_page(passed, 0, "conv2", "title", wanted=[6, 0])
    assert [unit["map"] for unit in about["units"]] == [6, 0]
