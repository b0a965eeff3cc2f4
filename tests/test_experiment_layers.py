"""Table 7: the table holds what classifiers say of each layer's features; deep layers are worth
more than the first.
"""

import json
import pathlib

import numpy as np
import pytest
from click.testing import CliRunner
from subjects import data_of, finished, interrupted_and_finished, subject_of
from test_visualize_cli import place, small_net  # noqa: F401

import rawconv
from rawconv.cli.experiments import main
from rawconv.data import open_data
from rawconv.data.preprocessing import preprocess
from rawconv.data.subset import few, take
from rawconv.errors import RawconvError
from rawconv.experiments import held_out
from rawconv.experiments.classifiers import accuracy, compact
from rawconv.experiments.layers import NETS, PUBLISHED, run
from rawconv.experiments.study import begin
from rawconv.machine.arrays import Device, to_cpu
from rawconv.visualize.controls import untrained

ROOT = pathlib.Path(__file__).parent.parent
OPTIONS = {"per_class": [3, 5], "folds": 2, "test": 4, "classifiers": ["softmax"], "seed": 3}


def features_of(net, images, name):
    """Float64 (N, d): what a net says of all pictures, each feature standardised over all of them, divided by
    sqrt(d) of those that vary.
    """
    x = net.forward(preprocess(net, images.read(range(len(images)))), name)[0]
    x = to_cpu(x).reshape(len(images), -1).astype(np.float64)
    x = x[:, x.std(axis=0) > 1e-6 * x.std(axis=0).max()]
    return (x - x.mean(axis=0)) / x.std(axis=0) / np.sqrt(x.shape[1])


@pytest.mark.parametrize("net_name", ["trained", "untrained"])
def test_a_cell_is_the_classifier_s_on_that_layer_and_draw(xp, tmp_path, net_name):
    device = Device() if xp is np else Device(0)
    found = finished(run, subject_of(data=data_of(16), device=device), tmp_path, **OPTIONS)[
        "numbers"
    ]
    table = [cell for cell in found["table"] if cell["net"] == net_name]
    assert [(cell["layer"], cell["object"], cell["per_class"]) for cell in table] == [
        (1, "norm1", 3), (2, "relu2", 3), (1, "norm1", 5), (2, "relu2", 5)
    ]  # fmt: skip
    net, images = small_net(), data_of(16).train
    x = features_of(net if net_name == "trained" else untrained(net, 3), images, "norm1")
    values = []
    for fold in range(2):
        learnt = few(images.labels, 5, 2, 3, fold)
        tried = np.setdiff1d(np.arange(16), learnt)
        parts = compact(*(x[ids] - x[learnt].mean(axis=0) for ids in (learnt, tried)))
        values.append(
            accuracy("softmax", parts[0], images.labels[learnt], parts[1], images.labels[tried], 2)[
                0
            ]
        )
    assert table[2]["folds"] == pytest.approx(values) and found["chance"] == 0.5
    assert table[2]["accuracy"] == pytest.approx(np.mean(values))


def test_interrupted_and_restarted_it_ends_the_same(tmp_path, monkeypatch):
    options = OPTIONS | {"folds": 1}
    whole = finished(run, subject_of(), tmp_path / "a", **options)
    assert (
        interrupted_and_finished(run, subject_of(), tmp_path / "b", monkeypatch, 2, **options)
        == whole
    )
    assert whole["published"] == PUBLISHED and whole["numbers"]["table"][0]["std"] is None
    assert whole["sentences"][0].startswith("softmax, 3 a class, layers 1..n: (1) ")


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(
        RawconvError,
        match="Class cat of nowhere has 6 pictures, and 7 to learn .* choose --per-class 5 at most",
    ):
        run(subject_of(), begin("it", {}, tmp_path, "it"), per_class=[7], classifiers=["softmax"])


def test_deep_layers_are_worth_more_than_the_first(tmp_path, monkeypatch):
    """The shipped net on scenes that it has not seen, of classes that it has: five of each are enough."""
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 360)
    data = open_data("scenes:12", 64)
    data = data._replace(train=take(data.val, range(120)), val=take(data.val, range(120, 360)))
    about = subject_of(rawconv.load(ROOT / "rawconv/scenes.h5"), data)
    found = finished(
        run, about, tmp_path, per_class=[5], folds=2, test=20, classifiers=["softmax"]
    )["numbers"]["table"]
    by_layer, bare = (
        {cell["layer"]: cell["accuracy"] for cell in found if cell["net"] == net} for net in NETS
    )
    assert list(by_layer) == [1, 2, 3, 4, 5, 6, 7]
    assert by_layer[5] > by_layer[1] + 0.1 and by_layer[7] > 0.8 and by_layer[7] > bare[7] + 0.2


@pytest.mark.long
def test_deep_layers_are_worth_more_for_new_classes(tmp_path, monkeypatch):
    """The command's default: mean of three nets and draws."""
    monkeypatch.chdir(tmp_path)
    gain = {"svm": [], "softmax": []}
    for seed in range(3):
        about = held_out.load(seed=seed)
        found = finished(run, about, tmp_path / str(seed), per_class=[30], seed=seed)["numbers"][
            "table"
        ]
        for name, gains in gain.items():
            cells = {
                cell["layer"]: cell["accuracy"]
                for cell in found
                if cell["classifier"] == name and cell["net"] == "trained"
            }
            gains.append(cells[5] - cells[1])
    assert np.mean(gain["svm"]) > 0 and np.mean(gain["softmax"]) > 0, gain


def command(*words, code=0):
    result = CliRunner().invoke(main, ["layers", *map(str, words), "--device", "cpu"])
    told = result.stdout + result.stderr
    assert result.exit_code == code and "Traceback" not in told, told
    return result


def test_the_command(place):  # noqa: F811
    pytest.importorskip("sklearn", reason="the SVM needs scikit-learn (pip install scikit-learn)")
    weights = [
        "--weights",
        "runs/tiny-pictures-1/last.h5",
        "--data",
        "pictures",
        "--classifier",
        "softmax",
    ]
    done = command(*weights, "--all-classes", "--per-class", 4, "--per-class", 2, "--folds", 1)
    folder = pathlib.Path(done.stdout.splitlines()[-1])
    about = json.loads((folder / "layers.json").read_text())
    assert about["options"]["per_class"] == [2, 4] and len(about["numbers"]["table"]) == 8
    assert (
        (folder / "layers.csv")
        .read_text()
        .startswith(
            "net,layer,object,classifier,per_class,accuracy,std,standard_error\ntrained,1,norm1"
        )
    )
    assert (folder / "layers.png").read_bytes().startswith(b"\x89PNG")
    assert "add --all-classes" in command(*weights, code=1).stderr
    assert (
        "choose --per-class 9"
        in command(*weights, "--all-classes", "--per-class", 10, code=1).stderr
    )
    assert (
        "name them with --data"
        in command("--weights", "runs/tiny-pictures-1/last.h5", code=2).stderr
    )


def test_quick_pretrains_a_net_and_keeps_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(held_out, "MODEL", "lenet")
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 48)
    words = ["--quick", "--data", "scenes:144", "--classifier", "softmax"]
    assert "leave --no-train out" in command(*words, "--no-train", code=2).stderr
    first, second = (json.loads(command(*words, "--json", "--out", name).stdout) for name in "ab")
    assert first["numbers"] == second["numbers"] and len(first["numbers"]["table"]) == 6
    assert (
        first["options"]["folds"] == 2
        and len(list(pathlib.Path("runs/experiments").iterdir())) == 1
    )
