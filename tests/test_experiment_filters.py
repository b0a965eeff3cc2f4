"""Figure 6: what is called dead, dominant, low, high and aliased is so, for filters and pictures
made for it.
"""

import json
import pathlib

import numpy as np
import pytest
from checkpoints import INFO, ROW
from click.testing import CliRunner
from subjects import data_of, finished, interrupted_and_finished, subject_of
from test_visualize_cli import place, small_net  # noqa: F401

from rawconv import checkpoint
from rawconv.cli.experiments import main
from rawconv.errors import RawconvError
from rawconv.experiments import arms, filter_trainings, filters_page, intervals, trained
from rawconv.experiments.filter_measures import aliasing, bands, dead_filters, rms, spectrum
from rawconv.experiments.filters import measure, run
from rawconv.experiments.study import begin
from rawconv.layers.conv import Conv
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import Device, to_cpu
from rawconv.net import Net
from rawconv.visualize.controls import untrained


def waves(frequency, size=11, channels=3):
    """Filters (n, size, size, channels): a cosine along rows, one along columns, one along the diagonal."""
    y, x = np.mgrid[:size, :size] - size // 2
    along = [y, x, (x + y) / np.sqrt(2)]
    return np.stack(
        [np.cos(2 * np.pi * frequency * t) * np.hanning(size + 2)[1:-1, None] for t in along]
    )[..., None].repeat(channels, 3)


@pytest.mark.parametrize(("frequency", "band"), [(0.04, 0), (0.25, 1), (0.45, 2)])
def test_a_wave_is_in_its_band(frequency, band):
    shares = bands(waves(frequency))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares.argmax(axis=1) == band).all() and (shares[:, band] > 0.6).all()


def test_bands_do_not_depend_on_size_colour_or_place():
    wave = waves(0.25)
    larger = np.pad(wave, ((0, 0), (3, 1), (0, 4), (0, 0)))
    np.testing.assert_allclose(bands(larger), bands(wave), atol=1e-12)
    np.testing.assert_allclose(bands(-7 * wave[..., :1]), bands(wave), atol=1e-12)


def test_dead_and_dominant():
    weight = np.ones((9, 5, 5, 3), np.float32)
    weight[2] *= 0.09
    weight[4] *= 12
    size = rms(weight)
    assert size[4] == pytest.approx(12) and size[2] == pytest.approx(0.09)
    strongest = np.ones(9)
    strongest[7] = 0
    assert dead_filters(size, strongest) == [2, 7]


def test_a_grid_of_the_stride_is_aliasing_and_smooth_noise_is_not():
    rng = np.random.default_rng(0)
    noise = np.mean([spectrum(rng.standard_normal((64, 64, 3))) for _ in range(200)], axis=0)
    smooth = np.cumsum(np.cumsum(rng.standard_normal((50, 64, 64, 3)), 1), 2)
    smooth = np.mean([spectrum(one - one.mean()) for one in smooth], axis=0)
    for energy in (noise, smooth):
        for period in (2, 4):
            times, share = aliasing(energy, period, 64)
            assert 0.6 < times < 1.6 and abs(share) < 0.02
    grid = np.zeros((64, 64, 3))
    grid[::4] = 1  # its spectrum is 1 at 1/4 and at 1/2 cycles per pixel, and 0 elsewhere
    flat = np.array([0, *np.ones(32)])
    assert aliasing(flat + 3 * spectrum(grid), 4, 64) == pytest.approx(
        ((1 + 3) / 1, (3 + 3) / (32 + 3 + 3))
    )
    assert np.isnan(aliasing(noise, 1, 64)).all()
    short = np.array([0, *np.ones(8)])  # beside 4 of 16 lies 0, where a spectrum has nothing
    assert aliasing(short, 4, 16) == pytest.approx((1, 0))


def test_a_spectrum_has_its_peak_at_the_wave():
    x = np.arange(60)
    # a constant does not count
    r = np.cos(2 * np.pi * 9 * x / 60)[:, None, None] * np.ones((60, 60, 3)) + 5
    energy = spectrum(r)
    assert energy.shape == (31,) and energy.argmax() == 9 and np.delete(energy, 9).max() < 1e-12
    assert spectrum(np.zeros((8, 8, 3))).sum() == 0


def test_a_coarse_first_layer_leaves_its_grid():
    """The same net, random, with stride 4 and with stride 2: going down a stride of 4 leaves more
    of a grid.
    """
    found = {}
    for stride in (2, 4):
        layers = [("conv1", Conv(6, 5, stride=stride, pad=2, init_std="he")), ("relu1", ReLU()),
                  ("conv2", Conv(9, 3, pad=1, init_std="he")), ("relu2", ReLU())]  # fmt: skip
        net = Net((24, 24, 3), layers, ["a", "b"], np.full(3, 120, np.float32), seed=3)
        found[stride] = aliasing(measure(subject_of(net, data_of(8)))["spectrum"], stride, 24)[1]
    assert found[4] > found[2]


def test_measures_on_the_device(xp):
    where = Device() if xp is np else Device(0)
    here, there = (
        measure(subject_of(small_net(), data_of(6), device=device)) for device in (Device(), where)
    )
    for kind in ("rms", "bands", "strongest", "spectrum"):
        np.testing.assert_allclose(there[kind], here[kind], rtol=1e-3, atol=1e-6)


def test_numbers_are_of_the_nets_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = small_net(5)
    other["conv1"].weight[..., 2] *= 0.01
    other["conv1"].weight[..., 4] *= 30
    checkpoint.save(
        "other.h5", other, {"data": "x", "recipe": INFO["recipe"], "history": [ROW, ROW]}
    )
    whole = finished(run, subject_of(), tmp_path / "a", against=["other.h5"])
    assert (
        interrupted_and_finished(
            run, subject_of(), tmp_path / "b", monkeypatch, 2, against=["other.h5"]
        )
        == whole
    )
    first, second = whole["numbers"]["nets"]
    size = np.sqrt((to_cpu(small_net(5)["conv1"].weight).astype(float) ** 2).mean(axis=(0, 1, 2)))
    assert second["dead"] == [2] and first["dead"] == [] and second["dominance"] > 20
    assert second["largest_rms"] == pytest.approx(30 * size[4], rel=1e-5)
    assert (second["epochs"], second["renormalisation"], second["period"]) == (2, 0.1, 2)
    assert sum(second["bands"].values()) == pytest.approx(1)
    assert (first["dead_maps_2"], first["maps_2"]) == (1, 20)
    assert whole["sentences"][1].startswith(
        "tiny, 5x5/2, renormalised to 0.1, 1 training: 17% of 6 filters dead"
    )
    assert "one training each shows no order" in whole["sentences"][2]
    before = measure(subject_of(untrained(small_net(), 0)))
    (entry,) = whole["numbers"]["untrained"]
    assert list(entry["bands"].values()) == pytest.approx(before["bands"].mean(axis=0).tolist())
    assert whole["numbers"]["arms"][0]["untrained"]["low"] == pytest.approx(
        {"mean": entry["bands"]["low"], "trainings": 1}
    )


def test_a_first_layer_without_a_stride_leaves_no_grid(tmp_path):
    layers = [
        ("conv1", Conv(6, 5, init_std="he")),
        ("relu1", ReLU()),
        ("conv2", Conv(9, 3, init_std="he")),
        ("relu2", ReLU()),
    ]
    net = Net((24, 24, 3), layers, ["a", "b"], np.full(3, 120, np.float32))
    result = run(subject_of(net), begin("it", {}, tmp_path, "it"))
    assert (
        "no stride that could leave a grid" in result.sentences[0]
        and "nan" not in result.sentences[0]
        and "unknown" not in result.sentences[0]
    )


def test_refusals(tmp_path):
    grey = Net(
        (24, 24, 1),
        [("conv1", Conv(6, 5)), ("conv2", Conv(2, None))],
        ["a", "b"],
        np.zeros(1, np.float32),
    )
    with pytest.raises(RawconvError, match="three colours"):
        run(subject_of(grey), begin("it", {}, tmp_path, "it"))


def test_the_command(place):  # noqa: F811
    result = CliRunner().invoke(
        main, ["filters", "--against", "runs/tiny-pictures-1/last.h5", "--device", "cpu"]
    )
    assert result.exit_code == 0, result.output
    about = json.loads(pathlib.Path(result.stdout.splitlines()[-1], "filters.json").read_text())
    assert (
        about["options"]["against_sha256"] == [about["options"]["weights_sha256"]]
        and len(about["numbers"]["nets"]) == 2
    )
    mixed = CliRunner().invoke(main, ["filters", "--against", "x.h5", "--quick"])
    assert mixed.exit_code == 2 and "leave them, or --weights and --against, out" in mixed.stderr
    missing = CliRunner().invoke(main, ["filters", "--against", "none.h5", "--device", "cpu"])
    assert missing.exit_code == 2 and "none.h5" in missing.stderr


def test_a_missing_net_is_trained_once_or_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 24)
    words = ["filters", "--data", "scenes:24", "--no-train", "--device", "cpu"]
    refused = CliRunner().invoke(main, words)
    assert (
        refused.exit_code == 2
        and "leave --no-train out, or name nets with --weights FILE and --against FILE"
        in refused.stderr
    )
    assert not pathlib.Path("runs").exists()
    said, changes = [], {"epochs": 2, "batch": 8}
    path = trained.trained("lenet", "scenes:24", changes, say=said.append, minutes=0.1)
    assert path.exists()
    assert (
        said[0]
        == f"Training lenet on scenes:24, about 0.1 min on 2 cores; it is kept in {path.parent}."
    )
    before = path.stat().st_mtime_ns
    assert (
        trained.trained("lenet", "scenes:24", changes, allow=False) == path
        and path.stat().st_mtime_ns == before
    )
    assert trained.place("lenet", "scenes:24", changes, 1) != path.parent
    with pytest.raises(Exception, match="no-train"):
        trained.trained("lenet", "scenes:24", changes, seed=1, allow=False)


def test_an_interrupted_training_ends_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 24)
    made, nets = {"epochs": 2, "batch": 8}, []
    for interrupt in (False, True):
        monkeypatch.setattr(trained, "ROOT", tmp_path / str(interrupt))
        if interrupt:
            with monkeypatch.context() as patch:
                patch.setattr("rawconv.training.loop.write_log", _interrupt)
                with pytest.raises(KeyboardInterrupt):
                    trained.trained("lenet", "scenes:24", made, say=lambda line: None)
        nets.append(
            checkpoint.load(trained.trained("lenet", "scenes:24", made, say=lambda line: None)).net
        )
    for one, two in zip(*(net.params.values() for net in nets), strict=True):
        np.testing.assert_array_equal(one, two)


def _interrupt(*arguments):
    raise KeyboardInterrupt


def net_of(low, seed, net="zf64, 7x7/2", renorm=0.02, lr=0.02, aliasing_=1.5):
    """(Subject, (numbers, Measures), the same before training) of a training with such a share of low frequencies."""
    numbers = {
        "net": net, "seed": seed, "renormalisation": renorm, "data": "pictures", "top1": 0.5, "filters": 4,
        "dead": [], "dead_maps_2": 5, "maps_2": 20, "largest_rms": 0.03, "dominance": 1.5 + seed, "period": 2,
        "bands": {"low": low, "middle": 0.1, "high": 0.9 - low}, "aliasing": aliasing_, "aliasing_share": 0.01,
    }  # fmt: skip
    before = numbers | {"top1": None, "bands": {"low": 0.1, "middle": 0.3, "high": 0.6}}
    about = subject_of()._replace(info={"recipe": {"renorm": renorm, "lr": lr}})
    return about, (numbers, None), (before, None)


def arms_from(*nets):
    return arms.arms_of(*zip(*nets, strict=True))


def test_an_arm_is_nets_that_differ_in_their_seeds_alone():
    found = arms_from(
        net_of(0.3, 0), net_of(0.5, 0, renorm=None), net_of(0.4, 1), net_of(0.6, 0, "alex64, 11x11/4"),
        net_of(0.35, 2), net_of(0.2, 0, lr=0.01),
    )  # fmt: skip
    assert [(arm.label, len(arm.trained)) for arm in found] == [
        ("zf64, 7x7/2, renormalised to 0.02, lr 0.02", 3), ("zf64, 7x7/2, not renormalised, lr 0.02", 1),
        ("alex64, 11x11/4, renormalised to 0.02, lr 0.02", 1), ("zf64, 7x7/2, renormalised to 0.02, lr 0.01", 1),
    ]  # fmt: skip
    about = found[0].numbers()
    assert about["seeds"] == [0, 1, 2] and about["trainings"] == 3
    assert about["low"] == intervals.over_seeds([0.3, 0.4, 0.35])
    assert about["dead_maps_2"]["mean"] == 0.25 and about["dominance"]["mean"] == 2.5
    assert about["untrained"]["low"]["mean"] == pytest.approx(0.1)
    assert "top1" not in about["untrained"]
    pairs = arms.differences(found)
    assert [pair["in"] for pair in pairs] == [["renormalisation"], ["net"], ["lr"]], "in one thing"
    assert pairs[0]["low"] == {"mean": pytest.approx(0.35 - 0.5)}


def test_no_order_is_claimed_inside_an_interval():
    """Low frequencies are told apart, middle ones are the same, the dominance of three seeds is too wide."""
    ours = [net_of(low, seed) for seed, low in enumerate((0.30, 0.31, 0.32))]
    free = [net_of(low, seed, renorm=None) for seed, low in enumerate((0.50, 0.51, 0.53))]
    free = [
        (about, ({**net, "dominance": 3.0 + 2 * net["seed"]}, None), first)
        for about, (net, _), first in free
    ]
    both = arms_from(*ours, *free)
    (pair,) = arms.differences(both)
    assert pair["low"] == intervals.difference([0.30, 0.31, 0.32], [0.50, 0.51, 0.53])
    said = filters_page.sentences(both, [pair])
    told = intervals.text(pair["low"], "+.0%")
    assert said[2] == (
        "zf64, 7x7/2, renormalised to 0.02 against zf64, 7x7/2, not renormalised: "
        f"less in low frequencies ({told}); more in high frequencies "
        f"({intervals.text(pair['high'], '+.0%')}); no order can be told in middle frequencies, dominance, dead "
        "filters, dead maps of layer 2, the grid in layer 2, validation top-1."
    )
    assert "low 31% (29% to 33%)" in said[0] and "(untrained low 10% (10% to 10%)" in said[0]
    assert "right on 50% (50% to 50%)" in said[0]


def test_unequal_trainings_are_said_to_be_and_grids_of_two_strides_are_not_compared():
    both = arms_from(
        *(net_of(0.3, seed) for seed in range(2)),
        *(net_of(0.3, seed, "alex64, 11x11/4", lr=0.1, aliasing_=9) for seed in range(2)),
    )
    said = filters_page.sentences(both, arms.differences(both))[-1]
    assert said.endswith(" The trainings also differ in lr, which may be the reason.")
    assert "grid" not in said


def test_a_net_whose_second_layer_is_dead_is_measured_as_well(tmp_path):
    net = small_net()
    net["conv2"].bias[:] = -1e6
    result = run(subject_of(net), begin("it", {}, tmp_path, "it"))
    assert result.numbers["nets"][0]["dead_maps_2"] == 20
    assert "layer 2 has unknown times the energy" in result.sentences[0]


def test_all_trainings_are_equal_but_for_what_is_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked, said = [], []

    def kept(model, data, changes, seed, *_):
        asked.append((model, data, changes, seed))
        return f"{model}-{seed}.h5"

    monkeypatch.setattr(filter_trainings, "trained", kept)
    files = filter_trainings.trainings(quick=True, say=said.append)
    assert files[:4] == ["zf64-0.h5", "zf64-1.h5", "zf64-2.h5", "alex64-0.h5"] and len(files) == 12
    assert said == ["12 nets are to be trained, about 0.16 min on 2 cores for all."]
    recipes = [
        (model, changes["first_lr"], changes["max_filter_rms"])
        for model, _, changes, _ in asked[::3]
    ]
    usual = [("zf64", 0.1, 0.1), ("alex64", 0.1, 0.1)]
    assert recipes == [*usual, ("zf64", 6.0, 0.1), ("zf64", 6.0, None)]
    for _, data, changes, _ in asked:
        assert data == "scenes:400" and (changes["epochs"], changes["lr"], len(changes)) == (
            1,
            0.01,
            4,
        )
    assert [seed for *_, seed in asked] == 4 * [0, 1, 2]
