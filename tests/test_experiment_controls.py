"""Controls in one figure: each variant is the projection that its name says, and the numbers are about it."""

import json
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
from rawconv.experiments.controls import VARIANTS, run, shares
from rawconv.experiments.study import begin
from rawconv.layers import GEMM
from rawconv.layers.max_pool import Cache, MaxPool
from rawconv.machine.arrays import Device
from rawconv.net import Net
from rawconv.visualize import controls as exchanged
from rawconv.visualize.receptive_field import fields
from rawconv.visualize.shortcuts import project
from rawconv.visualize.top_activations import scan


def by_hand(net, pictures, unit, variant):
    """A unit of the first picture down through whole maps, by the words of the variant's name alone."""
    y, caches = net.forward(preprocess(net, pictures[:1]), "relu2")
    other = net.forward(preprocess(net, pictures[1:]), "relu2")[1]
    below, number = net, unit[0]
    seed = nets.one_hot(y, (0, *unit[1:], number))
    if variant == "random-weights":
        below = exchanged.untrained(net)
    if variant == "other-switches":
        caches = {name: other[name] if isinstance(a, Cache) else a for name, a in caches.items()}
    if variant == "no-switches":
        caches = {
            name: exchanged.centres(net[name].window, a) if isinstance(a, Cache) else a
            for name, a in caches.items()
        }
    if variant == "whole-map":
        seed[..., number] = y[..., number]
    rules = {"gradient": ("gradient", "gradient", "add"), "guided": ("guided", "identity", "add")}
    rules |= {name: ("deconv", "identity", name) for name in ("max", "overwrite")}
    return below.deconv(
        seed, caches, controls.Rules(*rules.get(variant, ("deconv", "identity", "add")))
    )[0]


def test_each_variant_is_what_its_name_says():
    net, data = small_net().astype("float64"), data_of(12)
    net.execution = GEMM
    found = scan(net, data.val, ["conv2"], 3, progress=False)["conv2"]
    measured = controls._measure(subject_of(net, data), "relu2", found)(7)
    first = int(found.image[7, 0])
    pictures = data.val.read([first, (first + 6) % 12])
    unit = (7, int(found.y[7, 0]), int(found.x[7, 0]))
    plain = project(net, pictures[0], "conv2:7:{1}:{2}".format(*unit))
    for k, way in enumerate(VARIANTS):
        r = by_hand(net, pictures, unit, way.name)
        want = (r * plain).sum() / np.sqrt((r**2).sum() * (plain**2).sum())
        assert measured["cosine"][k] == pytest.approx(want, abs=1e-6), way.name
        top, left, bottom, right = fields(net)["relu2"].box(*unit[1:])
        rows, columns = slice(max(0, top), bottom), slice(max(0, left), right)
        want = np.corrcoef(
            r[rows, columns].ravel(), preprocess(net, pictures[:1])[0, rows, columns].ravel()
        )[0, 1]
        assert measured["correlation"][k] == pytest.approx(want, abs=1e-6), way.name
    assert (
        measured["cosine"][0] == pytest.approx(1)
        and len({round(c, 6) for c in measured["cosine"]}) > 6
    )


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
    results = []
    for where in (Device(), device):
        one = subject_of(small_net(), data_of(4), device=where)
        found = scan(one.net, one.data.val, ["conv2"], 2, progress=False)["conv2"]
        results.append(controls._measure(one, "relu2", found)(7))
    for kind in ("cosine", "correlation"):
        assert_close(np.array(results[1][kind]), np.array(results[0][kind]), 1e-3)


def test_an_interrupted_run_ends_with_the_same_numbers(tmp_path, monkeypatch):
    options = {"layer": "conv2", "units": 6, "rows": 2}
    whole = finished(run, subject_of(), tmp_path / "a", **options)
    halves = interrupted_and_finished(run, subject_of(), tmp_path / "b", monkeypatch, **options)
    assert halves == whole
    pages = [(tmp_path / part / "it-1" / "it.png").read_bytes() for part in "ab"]
    assert pages[0] == pages[1]


def test_the_numbers_are_those_of_the_table(tmp_path):
    study = begin("it", {}, tmp_path, "it")
    result = run(subject_of(), study, "conv2", units=50, rows=3)
    assert result.numbers["units"] == 19  # map 3 is dead
    assert len(result.rows) == 19 * len(VARIANTS) and not any(
        row["map"] == 3 for row in result.rows
    )
    for way in VARIANTS:
        mine = [row["cosine"] for row in result.rows if row["variant"] == way.name]
        assert result.numbers["variants"][way.name]["cosine"]["mean"] == pytest.approx(
            np.nanmean(mine)
        )
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


def test_on_the_shipped_net_filters_and_switches_make_the_image(tmp_path):
    """Without the learned filters or the picture's own switches nothing of the projection, or the
    patch, is left.
    """
    about = subject.load("weights/scenes.h5", "scenes:12", Device())
    numbers = run(about, begin("it", {}, tmp_path, "it"), "conv4", units=12, rows=1).numbers[
        "variants"
    ]
    cosine = {name: kinds["cosine"]["mean"] for name, kinds in numbers.items()}
    for control in exchanged.SENTENCES:
        assert (
            abs(cosine[control])
            < 0.2
            < 0.5
            < min(cosine[name] for name in ("whole-map", "guided", "max"))
        )
        assert (
            abs(numbers[control]["correlation"]["mean"])
            < 0.5 * numbers["deconvnet"]["correlation"]["mean"]
        )
