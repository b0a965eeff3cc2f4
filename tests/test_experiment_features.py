"""Features in a file: those of the net, whole or not there, and the same after an interruption."""

import json

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from subjects import data_of, subject_of
from test_visualize_cli import place, small_net  # noqa: F401

from rawconv import models
from rawconv.cli.experiments import main
from rawconv.data.preprocessing import preprocess
from rawconv.errors import RawconvError, UsageError
from rawconv.experiments import features
from rawconv.experiments.features import feature_layer, feature_layers, read, write
from rawconv.machine.arrays import Device, to_cpu


def test_features_of_a_number_are_pooled_and_normed_where_the_net_does_so():
    small = {1: "norm1", 2: "norm2", 3: "relu3", 4: "relu4", 5: "pool5", 6: "relu6", 7: "relu7"}
    assert feature_layers(models.build("zf64", 3)) == small
    assert feature_layers(models.build("alex64", 3)) == small | {1: "pool1", 2: "pool2"}
    net = models.build("zf64", 3)
    names = [feature_layer(net, name) for name in (5, "5", "conv5", "pool2", "norm2", "fc6", "8")]
    assert names == ["pool5", "pool5", "relu5", "pool2", "norm2", "relu6", "fc8"]
    with pytest.raises(UsageError, match="no layer '9'"):
        feature_layer(net, "9")


def test_the_file_holds_what_the_net_says(xp, tmp_path):
    device = Device() if xp is np else Device(0)
    subject, data = subject_of(device=device), data_of(12)
    about = write(subject, 1, "val", tmp_path / "f.h5", batch=5, progress=False)
    found, labels, names, classes, attributes = read(tmp_path / "f.h5")
    net = small_net()
    want = net.forward(preprocess(net, data.val.read(range(12))), "norm1")[0]
    tolerance = 0 if xp is np else 1e-4 * np.abs(want).max()
    np.testing.assert_allclose(found, to_cpu(want).reshape(12, -1), rtol=0, atol=tolerance)
    assert found.dtype == np.float32 and labels.tolist() == data.val.labels.tolist()
    assert names == data.val.names and classes == data.classes
    assert attributes | {"pictures": 12} == about
    assert attributes["shape"] == list(net.shapes["norm1"]) and attributes["weights"] == "w.h5"
    assert [path.name for path in tmp_path.iterdir()] == ["f.h5"]


def test_an_interrupted_file_goes_on_and_is_not_there_before(tmp_path, monkeypatch):
    write(subject_of(), 2, "val", tmp_path / "whole.h5", 4, False)
    real, seen = features._rows, []

    def stops(net, pictures, name):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(name)
        return real(net, pictures, name)

    monkeypatch.setattr(features, "_rows", stops)
    path = tmp_path / "f.h5"
    with pytest.raises(KeyboardInterrupt):
        write(subject_of(), 2, "val", path, 4, False)
    assert not path.exists()
    monkeypatch.setattr(features, "_rows", lambda *a: seen.append(a) or real(*a))
    write(subject_of(), 2, "val", path, 4, False)
    assert len(seen) == 3  # of three batches, one was left
    for one, other in zip(read(path), read(tmp_path / "whole.h5"), strict=True):
        assert np.array_equal(one, other)
    with h5py.File(path) as file:
        assert file["features"].dtype == "<f4" and file["features"].chunks is None


def test_an_interrupted_file_of_other_weights_or_a_damaged_note_is_begun_anew(
    tmp_path, monkeypatch
):
    path = tmp_path / "f.h5"
    monkeypatch.setattr(
        features.os, "replace", lambda *names: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    monkeypatch.setattr(features, "replace_file", lambda note, data: note.write_bytes(data))
    with pytest.raises(KeyboardInterrupt):
        write(subject_of(small_net(seed=5)), 1, "val", path, 4, False)
    assert (tmp_path / ".f.h5.part").exists()
    monkeypatch.undo()
    write(subject_of(), 1, "val", path, 4, False)
    write(subject_of(), 1, "val", tmp_path / "again.h5", 4, False)
    np.testing.assert_array_equal(read(path)[0], read(tmp_path / "again.h5")[0])
    assert sorted(found.name for found in tmp_path.iterdir()) == ["again.h5", "f.h5"]


def run(*words, code=0):
    result = CliRunner().invoke(main, ["features", *map(str, words), "--device", "cpu"])
    told = result.stdout + result.stderr
    assert result.exit_code == code and "Traceback" not in told, told
    return result


def test_the_command(place):  # noqa: F811
    last = run("--layer", 2, "--split", "train", "--out", "f.h5").stdout.splitlines()[-1]
    assert last == "f.h5"
    found, labels, *_ = read("f.h5")
    assert found.shape == (18, 20 * 6 * 6) and set(labels) == {0, 1}
    assert "--force" in run("--layer", 2, "--out", "f.h5", code=2).stderr
    about = json.loads(run("--layer", "scores", "--out", "f.h5", "--force", "--json").stdout)
    assert about["pictures"] == 2 and about["object"] == "fc3" and about["data"] == "pictures"
    assert "no layer '7'" in run("--layer", 7, "--out", "g.h5", code=2).stderr
    assert "could not be written" in run("--layer", 1, "--out", "no/where/g.h5", code=1).stderr


def test_what_is_no_such_file_is_refused(tmp_path):
    (tmp_path / "text.h5").write_text("hello")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(UsageError, match="no file"):
        read(tmp_path / "none.h5")
    for name in ("text.h5", "other.h5"):
        with pytest.raises(RawconvError, match=name):
            read(tmp_path / name)
