"""Table 7 at the paper's size: classifiers on inner products equal those on the features; the files of features go
on; what does not fit is refused before anything is written.
"""

import tracemalloc

import numpy as np
import pytest
from subjects import data_of, subject_of
from test_visualize_cli import small_net

from rawconv.data.preprocessing import preprocess
from rawconv.errors import RawconvError
from rawconv.experiments import feature_files, layer_kernels, layers
from rawconv.experiments.classifiers import svm_scores
from rawconv.experiments.feature_files import FeatureFiles
from rawconv.experiments.kernel import compact_kernel, kernel_matrix, scaling
from rawconv.experiments.study import begin

NAMES = ["norm1", "relu2"]


def clouds(count=150, width=700, classes=5):
    """Overlapping clouds, more features than pictures and of very different sizes, one of them constant."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    x = 0.4 * rng.standard_normal((classes, width))[labels] + rng.standard_normal((count, width))
    x *= 10.0 ** rng.uniform(-2, 2, width)
    x[:, 3] = 5
    return x.astype(np.float32), labels


def standardised(x):
    """By NumPy on the whole of it, without the constant feature."""
    x = np.delete(x.astype(np.float64), 3, axis=1)
    return (x - x.mean(axis=0)) / x.std(axis=0) / np.sqrt(x.shape[1])


@pytest.mark.parametrize("workspace", [20_000, 1 << 28])
def test_inner_products_in_parts_are_those_of_the_standardised_features(tmp_path, workspace):
    x, _ = clouds()
    ids = np.random.default_rng(1).permutation(150)[:97]
    k = kernel_matrix(x, ids, *scaling(x, workspace), tmp_path / "k", workspace)
    z = standardised(x)[ids]
    np.testing.assert_allclose(k, z @ z.T, rtol=0, atol=1e-12)
    assert np.trace(z @ z.T) / 97 == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("cost", [0.1, 10.0])
@pytest.mark.parametrize("classes", [2, 5])
def test_decision_values_are_scikit_learns_on_the_features(tmp_path, cost, classes):
    svm = pytest.importorskip("sklearn.svm", reason="the SVM needs scikit-learn")
    x, labels = clouds(classes=classes)
    order = np.random.default_rng(2).permutation(150)
    learnt, tried = np.sort(order[:90]), np.sort(order[90:])
    k = kernel_matrix(x, np.arange(150), *scaling(x, 1 << 20), tmp_path / "k", 1 << 20)
    near, others = compact_kernel(k, learnt, tried)
    z = standardised(x)
    wide, far = (z[ids] - z[learnt].mean(axis=0) for ids in (learnt, tried))
    assert wide.shape[1] > 7 * len(wide) and near.shape[1] < len(wide)
    theirs = svm.LinearSVC(C=cost, dual=False, tol=1e-9, max_iter=20000).fit(wide, labels[learnt])
    want = theirs.decision_function(far)
    found = svm_scores(near, labels[learnt], classes, cost)(others)
    values = found[:, 1] if classes == 2 else found
    np.testing.assert_allclose(values, want, rtol=0, atol=1e-4 * np.abs(want).max())
    assert np.array_equal(found.argmax(axis=1), theirs.predict(far))


def test_the_memory_of_inner_products_is_bounded(tmp_path):
    x = np.lib.format.open_memmap(tmp_path / "x", "w+", np.float32, (600, 9000))  # 22 MB
    x[:] = np.random.default_rng(0).standard_normal(9000, np.float32)
    x[::2, ::2] += 1
    workspace = 2 << 20
    tracemalloc.start()
    scale = scaling(x, workspace)
    kernel_matrix(x, np.arange(600), *scale, tmp_path / "k", workspace)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < workspace + (1 << 20)


def files_of(folder, net=None):
    return FeatureFiles(net or small_net(), NAMES, data_of(12).train, folder)


def test_the_files_hold_what_the_net_says_of_each_layer(tmp_path):
    files, net = files_of(tmp_path / "f"), small_net()
    files.fill()
    x = preprocess(net, data_of(12).train.read(range(12)))
    for name in NAMES:
        np.testing.assert_array_equal(files.rows(name), net.forward(x, name)[0].reshape(12, -1))
    assert files.bytes() == sum(4 * files.rows(name).size for name in NAMES)


def test_a_pass_that_was_interrupted_goes_on_and_one_of_another_net_begins_anew(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(feature_files, "at_once", lambda *any: 4)
    real, seen = feature_files.preprocess, []

    def stops(net, pictures):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(pictures))
        return real(net, pictures)

    monkeypatch.setattr(feature_files, "preprocess", stops)
    with pytest.raises(KeyboardInterrupt):
        files_of(tmp_path / "f").fill()
    monkeypatch.setattr(feature_files, "preprocess", lambda *a: seen.append(len(a[1])) or real(*a))
    files_of(tmp_path / "f").fill()
    assert seen == [4, 4, 4]
    files_of(tmp_path / "f").fill()  # whole
    assert seen == [4, 4, 4]
    other, whole = files_of(tmp_path / "f", small_net(seed=5)), files_of(tmp_path / "whole")
    whole.fill()
    for name in NAMES:
        np.testing.assert_array_equal(files_of(tmp_path / "f").rows(name), whole.rows(name))
    other.fill()
    assert seen == [4] * 9 and not np.array_equal(other.rows("norm1"), whole.rows("norm1"))


def begun(tmp_path, net=None, **options):
    options = {"per_class": [3], "folds": 2, "test": 2, "classifiers": ["softmax"]} | options
    about = subject_of(net, data_of(16))
    return layers.run(about, begin("it", options, tmp_path, "it"), **options)


def test_the_size_is_told_first_and_a_small_disk_is_refused(tmp_path, monkeypatch, capsys):
    begun(tmp_path / "a")
    told = capsys.readouterr().err
    assert (
        told.startswith("The features of 16 pictures take 0.00 GB of disk in ")
        and "until the end" in told
    )
    monkeypatch.setattr(
        layer_kernels.shutil, "disk_usage", lambda path: type("", (), {"free": 10_000})
    )
    monkeypatch.setattr(layers, "compact_kernel", None)
    with pytest.raises(
        RawconvError, match="GB are free; name a folder on a larger disk with --out"
    ):
        begun(tmp_path / "b")


def test_a_fit_beyond_the_workspace_is_refused_with_the_memory_it_takes(tmp_path):
    net = small_net()
    net.execution = net.execution._replace(workspace=1000)
    with pytest.raises(
        RawconvError, match=r"on 6 pictures takes 0 MB of memory; add --workspace 1,"
    ):
        begun(tmp_path, net)


def test_features_are_removed_at_the_end(tmp_path):
    options = {"per_class": [3], "folds": 1, "test": 2, "classifiers": ["softmax"]}
    study = begin("it", options, tmp_path, "it")
    study.finish(layers.run(subject_of(data=data_of(16)), study, **options))
    assert sorted(path.name for path in study.folder.iterdir()) == ["it.csv", "it.json", "it.png"]
