"""Controls in one figure: each variant is the projection that its name says, and the numbers are about it."""

import json
import os
import pathlib

import nets
import numpy as np
import pytest
import reference
from click.testing import CliRunner
from laws import assert_close
from subjects import data_of, finished, interrupted_and_finished, subject_of
from test_visualize_cli import place, small_net  # noqa: F401

from rawconv.cli.experiments import main
from rawconv.data.preprocessing import preprocess
from rawconv.errors import RawconvError
from rawconv.experiments import controls, subject
from rawconv.experiments.control_variants import variants
from rawconv.experiments.controls import run, shares
from rawconv.experiments.study import begin
from rawconv.layers import GEMM, Rules
from rawconv.layers.max_pool import Cache, MaxPool
from rawconv.machine.arrays import Device
from rawconv.net import Net
from rawconv.visualize import controls as exchanged
from rawconv.visualize.forward_pass import ForwardPass
from rawconv.visualize.receptive_field import fields
from rawconv.visualize.top_activations import scan
from rawconv.visualize.units import Unit


def by_hand(net, pictures, unit, variant, seed=0):
    """A unit of the first picture down through whole maps, by the words of the variant's name alone."""
    rule, _, rest = variant.partition("-")
    rule, name = (rule, rest) if rule in ("gradient", "guided") else ("deconv", variant)
    number, *where = unit
    twin, up = exchanged.untrained(net, exchanged.SEED + seed), net
    if name in ("untrained", "cascade-1"):
        up = Net(net.shape, net.layers, pixel_mean=net.pixel_mean, dtype="float64")
        up.nodes = dict(net.nodes)
        for layer in ("conv2",) if name == "cascade-1" else ("conv1", "conv2"):
            up.nodes[layer] = twin.nodes[layer]
        up.execution = GEMM
    y, caches = up.forward(preprocess(net, pictures[:1]), "relu2")
    other = net.forward(preprocess(net, pictures[1:]), "relu2")[1]
    if up is not net and not y[(0, *where, number)]:
        number = int(y[(0, *where)].argmax())
    if name == "other-unit":
        passed = ForwardPass(net, preprocess(net, pictures[:1]), ["conv2"])
        (one,) = exchanged.control(net, "other-unit").instead(
            passed, "relu2", [Unit(0, "conv2", *unit)]
        )[1]
        number = one.channel
    seed_map = nets.one_hot(y, (0, *where, number))
    below = twin if name == "mismatched-filters" else up
    if name == "other-switches":
        caches = {key: other[key] if isinstance(a, Cache) else a for key, a in caches.items()}
    if name == "no-switches":
        caches = {
            key: exchanged.centres(net[key].window, a) if isinstance(a, Cache) else a
            for key, a in caches.items()
        }
    if name == "whole-map":
        seed_map[..., number] = y[..., number]
    rules = {
        "deconv": ("deconv", "identity", name if name in ("max", "overwrite") else "add"),
        "gradient": ("gradient", "gradient", "add"),
        "guided": ("guided", "identity", "add"),
    }
    return below.deconv(seed_map, caches, Rules(*rules[rule]))[0], number != unit[0]


NAMES = [
    "deconvnet", "cascade-1", "untrained", "other-unit", "mismatched-filters", "other-switches", "no-switches",
    "whole-map", "max", "overwrite", *(
        f"{rule}{what}" for rule in ("gradient", "guided")
        for what in ("", "-cascade-1", "-untrained", "-other-unit", "-mismatched-filters")
    ),
]  # fmt: skip
DRAWN = ("cascade-1", "untrained", "mismatched-filters")


def test_each_variant_is_what_its_name_says():
    """Cosine over the whole picture, Pearson over the pixels of the field that are in the picture."""
    net, data = small_net().astype("float64"), data_of(12)
    net.execution = GEMM
    ways = variants(net, "relu2")
    assert [way.name for way in ways] == NAMES
    units = [Unit(3, "conv2", 7, 0, 4), Unit(3, "conv2", 2, 1, 1), Unit(8, "conv2", 7, 2, 0)]
    measured = controls._measure(subject_of(net, data), "relu2", units, ways)
    for u, unit in enumerate(units):
        pictures = data.val.read([unit.image, (unit.image + 6) % 12])
        where = unit.channel, unit.y, unit.x
        top, left, bottom, right = fields(net)["relu2"].box(unit.y, unit.x)
        rows, columns = slice(max(0, top), bottom), slice(max(0, left), right)
        patch = preprocess(net, pictures[:1])[0, rows, columns].ravel()
        for k, way in enumerate(ways):
            nets_ = 5 if way.name.endswith(DRAWN) else 1
            assert np.isnan(measured["cosine"][k, nets_:, u]).all() and way.nets == nets_
            plain, _ = by_hand(net, pictures, where, reference_of(way.name))
            for seed in range(nets_):
                r, replaced = by_hand(net, pictures, where, way.name, seed)
                want = (r * plain).sum() / np.sqrt((r**2).sum() * (plain**2).sum())
                assert measured["cosine"][k, seed, u] == pytest.approx(
                    want, abs=1e-6, nan_ok=True
                ), way
                want = (
                    pearsonr(r[rows, columns].ravel(), patch) if r[rows, columns].any() else np.nan
                )
                assert measured["correlation"][k, seed, u] == pytest.approx(
                    want, abs=1e-6, nan_ok=True
                ), way
                assert measured["replaced"][k, seed, u] == replaced


def pearsonr(a, b):
    return np.corrcoef(a, b)[0, 1]


def reference_of(variant):
    """The variant that the cosine of another is to: the trained net by the same rule; of the rules the deconvnet."""
    rule, _, rest = variant.partition("-")
    return rule if rule in ("gradient", "guided") and rest else "deconvnet"


def test_units_are_the_best_two_places_of_every_live_map(tmp_path):
    net, data = small_net(), data_of(12)
    top = scan(net, data.val, ["conv2"], 3, progress=False)["conv2"]
    maps = controls.strong_maps(top, 99)
    units = controls.best_units(net, "relu2", top, maps)
    y = net.forward(preprocess(net, data.val.read(range(12))), "relu2")[0]
    want = set()
    for number in range(y.shape[3]):
        best = y[..., number].max(axis=(1, 2))
        for image in np.argsort(-best, kind="stable")[:2]:
            if best[image] > 0:
                place = np.unravel_index(y[image, ..., number].argmax(), y.shape[1:3])
                want.add((int(image), "conv2", number, *map(int, place), False))
    assert {tuple(unit) for unit in units} == want and len(units) == len(want)
    assert [unit.image for unit in units] == sorted(unit.image for unit in units)


def test_the_largest_map_takes_the_place_of_a_dead_one_and_is_counted(tmp_path):
    result = run(subject_of(), begin("it", {}, tmp_path, "it"), "conv2", rows=1)
    for name in ("cascade-1", "untrained"):
        rows = [row["replaced"] for row in result.rows if row["variant"] == name]
        assert len(rows) == 5 * result.numbers["units"]
        assert result.numbers["variants"][name]["replaced"] == pytest.approx(np.mean(rows))
        assert 0 < np.mean(rows) < 1


def test_shares_count_the_places_that_several_windows_chose(xp):
    layers = [("pool1", MaxPool(3, 2)), ("pool2", MaxPool((3, 2), 1, pad=(1, 0)))]
    data = data_of(5)
    pictures = data.val.read(range(5))
    pictures[:, ::3] = 0  # ties, and outputs that are 0
    net = Net((26, 26, 3), layers, pixel_mean=xp.zeros(3, np.float32))
    got, x = _shares_of_pools(net, xp, pictures), pictures.astype(float)
    for name, layer in layers:
        y, switches = reference.pool_up(x, layer.window.size, layer.window.stride, layer.window.pad)
        for which, asked in ((0, np.ones(y.shape, bool)), (1, y > 0)):
            places = {}
            for n, oy, ox, c in np.argwhere(asked):
                ky, kx = divmod(int(switches[n, oy, ox, c]), layer.window.size[1])
                at = (n, oy * layer.window.stride[0] + ky, ox * layer.window.stride[1] + kx, c)
                places[at] = places.get(at, 0) + 1
            want = sum(count for count in places.values() if count > 1) / asked.sum()
            assert got[name][which] == pytest.approx(want), (name, which)
        x = y


def _shares_of_pools(net, xp, pictures):
    """`shares` of a net without weights, which is on no device: its pictures are put there."""
    import rawconv.experiments.controls as module

    kept, module.preprocess = (
        module.preprocess,
        lambda net, pictures: xp.asarray(pictures.astype(np.float32)),
    )
    try:
        return shares(net, pictures, "pool2")
    finally:
        module.preprocess = kept


def test_on_the_device(xp):
    """The same numbers as on the CPU."""
    device = Device() if xp is np else Device(0)
    results, units = [], [Unit(3, "conv2", 7, 0, 4), Unit(5, "conv2", 2, 1, 1)]
    for where in (Device(), device):
        one = subject_of(small_net(), data_of(8), device=where)
        results.append(controls._measure(one, "relu2", units, variants(one.net, "relu2")))
    for kind in ("cosine", "correlation", "replaced"):
        assert_close(*(np.nan_to_num(found[kind]) for found in results[::-1]), 1e-3)


def test_an_interrupted_run_ends_with_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(controls, "TOGETHER", 4)
    options = {"layer": "conv2", "units": 6, "rows": 2}
    whole = finished(run, subject_of(), tmp_path / "a", **options)
    halves = interrupted_and_finished(run, subject_of(), tmp_path / "b", monkeypatch, **options)
    assert halves == whole
    pages = [(tmp_path / part / "it-1" / "it.png").read_bytes() for part in "ab"]
    assert pages[0] == pages[1]


def test_the_numbers_are_those_of_the_table(tmp_path):
    study = begin("it", {}, tmp_path, "it")
    result = run(subject_of(), study, "conv2", rows=3)
    assert result.numbers["maps"] == 19  # map 3 is dead
    count = result.numbers["units"]
    assert not any(row["map"] == 3 for row in result.rows)
    assert len(result.rows) == count * sum(5 if name.endswith(DRAWN) else 1 for name in NAMES)
    for name in NAMES:
        mine = [row for row in result.rows if row["variant"] == name]
        for kind in ("cosine", "correlation"):
            found = result.numbers["variants"][name][kind]
            assert found["mean"] == pytest.approx(np.nanmean([row[kind] for row in mine]))
            assert found["low"] <= found["mean"] <= found["high"]
    plain, drawn = (
        np.array([row["correlation"] for row in result.rows if row["variant"] == name])
        for name in ("guided", "guided-untrained")
    )
    added = np.nanmean(plain[:, None] - drawn.reshape(count, 5))
    assert result.numbers["learned"]["guided"]["mean"] == pytest.approx(added)
    assert result.numbers["variants"]["deconvnet"]["cosine"]["mean"] == pytest.approx(1, abs=1e-6)


def test_refusals(tmp_path):
    with pytest.raises(RawconvError, match="no pooling below conv1"):
        run(subject_of(), begin("it", {}, tmp_path, "it"), "conv1")
    with pytest.raises(RawconvError, match="two validation pictures"):
        run(subject_of(data=data_of(1)), begin("it", {}, tmp_path, "it"), "conv2")
    dead = small_net()
    dead["conv2"].bias[:] = -1e6
    with pytest.raises(RawconvError, match="nothing to project"):
        run(subject_of(dead), begin("it", {}, tmp_path, "it"), "conv2")


def test_the_command(place):  # noqa: F811
    result = CliRunner().invoke(
        main, ["controls", "--layer", "2", "--units", "4", "--device", "cpu"]
    )
    assert result.exit_code == 0, result.output
    folder = pathlib.Path(result.stdout.splitlines()[-1])
    assert folder == pathlib.Path("runs/tiny-pictures-1/controls-1")
    assert json.loads((folder / "controls.json").read_text())["options"]["layer"] == "2"
    refused = CliRunner().invoke(main, ["controls", "--layer", "9", "--device", "cpu"])
    assert refused.exit_code == 2 and "Error: There is no layer '9'" in refused.stderr
    assert sorted(path.name for path in folder.parent.iterdir()) == ["controls-1", "last.h5"]


def test_on_the_shipped_net_most_of_the_picture_comes_back_untrained(tmp_path):
    """Of 32 strongest maps: any net with pools draws the patch, with the picture's own switches."""
    about = subject.load("rawconv/scenes.h5", "scenes:100", Device())
    result = run(about, begin("it", {}, tmp_path, "it"), "conv4", units=8, rows=1)
    numbers = result.numbers["variants"]
    correlation = {name: kinds["correlation"]["mean"] for name, kinds in numbers.items()}
    assert correlation["untrained"] > 0.7 * correlation["deconvnet"] > 0.2
    assert correlation["guided-untrained"] > 0.8 * correlation["guided"]
    assert numbers["other-unit"]["cosine"]["mean"] > 0.5
    for name in ("mismatched-filters", "other-switches", "no-switches"):
        assert abs(correlation[name]) < 0.3 * correlation["untrained"]


PHOTOS = pathlib.Path(os.environ.get("RAWCONV_PHOTOS", "nowhere"), "tinyimagenet64c.zip")


@pytest.mark.long
@pytest.mark.parametrize(
    ("weights", "data", "units", "want"),
    [("scenes", "scenes", 32, 0.295), ("photos", str(PHOTOS), 16, 0.234)],
)
def test_an_untrained_net_s_correlation_is_known(tmp_path, weights, data, units, want):
    if weights == "photos" and not PHOTOS.exists():
        pytest.skip("RAWCONV_PHOTOS is not set: no photographs to measure on")
    about = subject.load(f"weights/{weights}.h5", data, Device())
    result = run(about, begin("it", {}, tmp_path, "it"), "conv4", units=units, rows=1)
    assert result.numbers["variants"]["untrained"]["correlation"]["mean"] == pytest.approx(
        want, abs=0.05
    )
