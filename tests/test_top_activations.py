"""The scan: equal to sorting everything, in one pass; kept for the next time."""

import re

import h5py
import numpy as np
import pytest

from rawconv.data import Split
from rawconv.errors import RawconvError, UsageError
from rawconv.files.storage import write_seal
from rawconv.layers.add import Add
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net
from rawconv.visualize import earlier_scans, scan_record, top_activations
from rawconv.visualize.earlier_scans import scan_once
from rawconv.visualize.top_activations import TopActivations, scan

LAYERS = ["conv1", "pool1", "conv2", "scores"]


def integer_net(xp=np, seed=0):
    """Whole numbers everywhere: sums are exact in any order, and ties abound.  Map 2 of conv1 is dead."""
    layers = [
        ("conv1", Conv(4, 3)), ("relu1", ReLU()), ("pool1", MaxPool(3, 2)),
        ("conv2", Conv(3, 2)), ("relu2", ReLU()), ("fc3", Conv(5, None)),
    ]  # fmt: skip
    net = Net((12, 12, 3), layers, list("abcde"), np.zeros(3, np.float32), "")
    rng = np.random.default_rng(seed)
    for name in ("conv1", "conv2", "fc3"):
        net[name].weight = xp.asarray(
            rng.integers(-1, 2, net[name].weight.shape).astype(np.float32)
        )
        net[name].bias = xp.zeros(net[name].filters, np.float32)
    net["conv1"].weight[..., 2] = -1
    return net


def split_of(count, seed=1, levels=3):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, levels, (count, 12, 12, 3)).astype(np.uint8)
    names = [f"picture {k}" for k in range(count)]
    return Split(images.__getitem__, rng.integers(0, 5, count), names, (12, 12, 3))


def naive(net, split, layer, k):
    """Everything at once, sorted by (value descending, id), places first in reading order."""
    y, _ = net.forward(
        split.read(range(len(split))).astype(np.float32), top_activations.layer_object(net, layer)
    )
    columns = [[] for _ in TopActivations._fields]
    for number in range(y.shape[3]):
        best = [(-m.max(), image) for image, m in enumerate(y[..., number])]
        rows = [
            (-value, image, *np.unravel_index(y[image, ..., number].argmax(), y.shape[1:3]))
            for value, image in sorted(best)[:k]
        ]
        for column, values in zip(columns, zip(*rows, strict=True), strict=False):
            column.append(values)
        columns[4].append([split.labels[image] for _, image, *_ in rows])
    return TopActivations(*(np.array(column) for column in columns))


def assert_same_units(got, want):
    for field, one, other in zip(TopActivations._fields, got, want, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=field)


@pytest.mark.parametrize(
    ("count", "k", "batch"),
    [(53, 9, 16), (53, 9, 53), (53, 1, 7), (20, 9, 1), (5, 9, 2), (9, 9, 100)],
)
def test_scan_is_a_full_sort(count, k, batch):
    net, split = integer_net(), split_of(count)
    found = scan(net, split, LAYERS, k, batch, progress=False)
    assert list(found) == LAYERS
    ties = 0
    for layer, strongest in zip(LAYERS, found.values(), strict=True):
        want = naive(net, split, layer, k)
        assert_same_units(strongest, want)
        assert strongest.value.shape == (
            net.shapes[top_activations.layer_object(net, layer)][2],
            min(k, count),
        )
        ties += (want.value[:, 1:] == want.value[:, :-1]).sum()
    assert ties or k == 1, "the case has no ties to decide"


def test_scan_on_the_device(xp):
    split = split_of(23)
    found = scan(integer_net(xp), split, ["conv2"], 4, 8, progress=False)["conv2"]
    assert isinstance(found.value, np.ndarray)
    assert_same_units(found, naive(integer_net(), split, "conv2", 4))


def test_a_dead_map_is_zero():
    found = scan(integer_net(), split_of(30), ["conv1"], 4, progress=False)["conv1"]
    assert not found.value[2].any() and found.image[2].tolist() == [0, 1, 2, 3]
    assert found.value[[0, 1, 3]].all()


def test_stops_at_the_deepest_layer_asked(monkeypatch):
    net = integer_net()
    monkeypatch.setattr(net["fc3"], "forward", lambda *a: pytest.fail("went too far"))
    scan(net, split_of(5), ["conv2", "conv1"], 2, progress=False)


def test_no_bar_is_drawn_where_nobody_looks(capfd):
    """stderr is no terminal here."""
    for progress in (False, True):
        scan(integer_net(), split_of(5), ["conv1"], 2, progress=progress)
    assert capfd.readouterr() == ("", "")


def test_refusals():
    with pytest.raises(RawconvError, match="no pictures"):
        scan(integer_net(), split_of(0), ["conv1"], progress=False)
    with pytest.raises(UsageError, match="the layers are"):
        scan(integer_net(), split_of(3), ["conv7"], progress=False)


# ---------------------------------------------------------------------------------------------- kept


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "one").mkdir()
    return tmp_path / "one"


def forbid(monkeypatch):
    monkeypatch.setattr(earlier_scans, "scan", lambda *a, **k: pytest.fail("scanned again"))


def test_twice_the_same_file(folder, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "out").mkdir(parents=True)
        scan_once(
            integer_net(), "here", split_of(20), LAYERS, 3, tmp_path / name / "out", progress=False
        )
    first, second = ((tmp_path / name / "out/topk.hdf5").read_bytes() for name in ("a", "b"))
    assert first == second


def test_second_visualisation_needs_no_scan(folder, monkeypatch):
    net, split = integer_net(), split_of(20)
    found, spared = scan_once(net, "here", split, LAYERS, 5, folder, progress=False)
    assert spared is None
    forbid(monkeypatch)
    beside = folder.parent / "two"
    beside.mkdir()
    for where in (folder, beside):
        for layers, k in ((LAYERS, 5), (["pool1"], 5), (["scores", "conv1"], 2)):
            again, spared = scan_once(net, "here", split, layers, k, where, progress=False)
            assert spared and list(again) == [
                top_activations.layer_object(net, layer) for layer in layers
            ]
            for name, strongest in again.items():
                assert_same_units(strongest, found[name].first(k))
        scan_once(net, "here", split, LAYERS, 5, where, progress=False)
        assert (where / "topk.hdf5").exists()


def test_a_scan_of_layers_with_slashes_in_their_names_is_kept(folder, monkeypatch):
    names = ["fire2/conv", "fire2/relu", "fire2", "fire2/value", "100%2F:of"]
    layers = [Conv(4, 3), ReLU(), Conv(3, 2), ReLU(), Conv(5, None)]
    net = Net((12, 12, 3), list(zip(names, layers, strict=True)), list("abcde"), np.zeros(3), "")
    split, asked = split_of(20), ["fire2/relu", "fire2/value", "100%2F:of", "fire2/conv"]
    found, _ = scan_once(net, "here", split, asked, 5, folder, progress=False)
    forbid(monkeypatch)
    said = []
    again, spared = scan_once(net, "here", split, asked, 5, folder, progress=False, say=said.append)
    assert spared and not said and list(again) == list(found)
    for name, strongest in again.items():
        assert_same_units(strongest, found[name])


def test_nets_that_differ_in_what_their_layers_take_are_other_nets():
    layers = [("conv1", Conv(3, 3, pad=1)), ("relu1", ReLU())]
    nets = [
        Net((12, 12, 3), [*layers, ("sum", Add(), "relu1", other)], [], np.zeros(3), "", seed=1)
        for other in ("relu1", "conv1", "relu1")
    ]
    first, second, third = (scan_record.fingerprint(net) for net in nets)
    assert first == third != second


def test_only_what_is_missing_is_scanned(folder, monkeypatch):
    net, split = integer_net(), split_of(20)
    scan_once(net, "here", split, ["conv1"], 5, folder, progress=False)
    asked, true_scan = [], earlier_scans.scan
    monkeypatch.setattr(
        earlier_scans,
        "scan",
        lambda net, split, layers, *a: asked.append(layers) or true_scan(net, split, layers, *a),
    )
    found, spared = scan_once(net, "here", split, ["conv1", "conv2"], 5, folder, progress=False)
    assert asked == [["relu2"]] and spared is None
    assert_same_units(found["relu1"], naive(net, split, "conv1", 5))
    assert_same_units(found["relu2"], naive(net, split, "conv2", 5))


def changed_weights(net, split, source):
    net["conv1"].weight[0, 0, 0, 0] += 1
    return net, split, source


def changed_mean(net, split, source):
    net.pixel_mean = np.ones(3, np.float32)
    return net, split, source


def changed_labels(net, split, source):
    split.labels[0] += 1
    return net, split, source


CHANGES = {
    "weights": changed_weights,
    "mean": changed_mean,
    "labels": changed_labels,
    "number of pictures": lambda net, split, source: (net, split_of(21), source),
    "source": lambda net, split, source: (net, split, "elsewhere"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_anything_else_is_scanned_anew(folder, change):
    given = integer_net(), split_of(20), "here"
    scan_once(given[0], given[2], given[1], ["conv1"], 5, folder, progress=False)
    net, split, source = change(*given)
    found, spared = scan_once(net, source, split, ["conv1"], 5, folder, progress=False)
    assert spared is None
    assert_same_units(found["relu1"], scan(net, split, ["conv1"], 5, progress=False)["conv1"])


def test_more_units_than_kept_are_scanned_anew(folder):
    net, split = integer_net(), split_of(20)
    scan_once(net, "here", split, ["conv1"], 5, folder, progress=False)
    found, spared = scan_once(net, "here", split, ["conv1"], 6, folder, progress=False)
    assert spared is None and found["relu1"].value.shape[1] == 6


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_text(path):
    path.write_text("not HDF5")


def damage_dtype(file):
    """As wide as a text may be: a scan record of 100 kB that takes gigabytes."""
    del file["relu1/value"]
    file["relu1/value"] = np.zeros((4, 5), "S1000")


def damage_bomb(file):
    del file["relu1/y"]
    file.create_dataset("relu1/y", (1 << 20, 1 << 10), np.int32, compression="gzip")


def damage_shape(file):
    del file["relu1/y"]
    file["relu1/y"] = np.zeros((1 << 20, 3), np.int32)


def damage_version_1(path):
    """As older ones wrote it: without a checksum."""
    with h5py.File(path) as file, h5py.File(path.with_name("old"), "w") as old:
        file.copy("relu1", old)
        old.attrs.update(
            {key: file.attrs[key].decode() for key in ("format", "weights", "data")}, version=1
        )
    path.with_name("old").replace(path)


DAMAGES = {
    "cut": (damage_cut, "checksum"),
    "no HDF5": (damage_text, "not a rawconv scan record"),
    "version 1": (damage_version_1, "an old rawconv"),
    "a flipped bit": (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"), "checksum"),
    "dtype": (damage_dtype, "of dtype"),
    "bomb": (damage_bomb, "compressed"),
    "shape": (damage_shape, "of shape"),
    "ids": (lambda file: file["relu1/image"].__setitem__((0, 0), 20), "cannot be"),
    "values": (lambda file: file["relu1/value"].__setitem__((0, 1), np.nan), "cannot be"),
    "layer": (lambda file: file.move("relu1", "relu9"), "no layer 'relu9'"),
    "a number as layer": (lambda file: file.__setitem__("pool1", 3), "not a group"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_counts_as_none(folder, name):
    """And somebody is told: the checksum finds chance damage, the checks what someone did who knows
    the format.
    """
    net, split, said, (damage, match) = integer_net(), split_of(20), [], DAMAGES[name]
    want, _ = scan_once(net, "here", split, ["conv1"], 5, folder, progress=False)
    record = folder / "topk.hdf5"
    if list(DAMAGES).index(name) < 4:
        damage(record)
    else:
        with h5py.File(record, "r+") as file:
            damage(file)
        with open(record, "r+b") as file:
            write_seal(file, scan_record.KIND, scan_record.VERSION)
    found, spared = scan_once(
        net, "here", split, ["conv1"], 5, folder, progress=False, say=said.append
    )
    assert spared is None and len(said) == 1
    assert re.fullmatch(rf"{record} .*{match}.*; the pictures are scanned anew\.", said[0])
    assert_same_units(found["relu1"], want["relu1"])
    assert (
        scan_once(net, "here", split, ["conv1"], 5, folder, progress=False, say=said.append)[1]
        and len(said) == 1
    )


def test_a_scan_of_other_images_is_no_damage(folder):
    said = []
    for source in ("here", "there"):
        scan_once(
            integer_net(),
            source,
            split_of(20),
            ["conv1"],
            5,
            folder,
            progress=False,
            say=said.append,
        )
    assert not said


@pytest.mark.parametrize("stop", [1, 3])
def test_an_interrupted_scan_goes_on(tmp_path, monkeypatch, stop):
    """Ctrl-C in the batch after `stop` batches; another run in a folder beside it sees the rest
    only, and agrees.
    """
    net, split = integer_net(), split_of(40)
    for name in ("whole", "one", "two"):
        (tmp_path / name).mkdir()
    whole, _ = scan_once(
        net, "data", split, ["conv1", "conv2"], 5, tmp_path / "whole", progress=False, batch=8
    )
    (tmp_path / "whole" / "topk.hdf5").unlink()
    seen, scan_batch = [], top_activations.scan_batch

    def stopping(net, images, *more):
        if len(seen) == stop:
            raise KeyboardInterrupt
        seen.append(len(images))
        return scan_batch(net, images, *more)

    monkeypatch.setattr(top_activations, "scan_batch", stopping)
    with pytest.raises(KeyboardInterrupt):
        scan_once(
            net, "data", split, ["conv1", "conv2"], 5, tmp_path / "one", progress=False, batch=8
        )
    assert (tmp_path / "one" / f"scan-{8 * stop}.hdf5").exists()
    seen.extend([0] * 10)
    said, where = [], tmp_path / "two"
    found, _ = scan_once(
        net, "data", split, ["conv1", "conv2"], 5, where, progress=False, batch=8, say=said.append
    )
    assert sum(seen) == 40 and said == [
        f"Going on with the scan that was interrupted after {8 * stop} pictures."
    ]
    for name, strongest in whole.items():
        assert_same_units(found[name], strongest)
    assert not list(tmp_path.glob("*/scan-*.hdf5"))


@pytest.mark.parametrize(
    ("field", "place", "number"),
    [
        ("value", (0, 2), 8), ("value", (1, 1), np.nan), ("image", (0, 1), 6), ("image", (1, 0), -1),
        ("y", (0, 0), 4), ("y", (1, 2), -1), ("x", (0, 0), 7), ("x", (1, 1), -1), ("label", (0, 2), 0),
    ],
)  # fmt: skip
def test_what_a_scan_cannot_have_found_is_damaged(field, place, number):
    """Of 6 pictures and maps of 4 x 7 places: values that fall, pictures, rows and columns that are
    there, labels.
    """
    split = split_of(6)
    value, image = np.array([[9.0, 7, 7], [3, 2, 1]]), np.array([[5, 0, 4], [1, 2, 3]])
    found = TopActivations(
        value, image, np.full((2, 3), 3), np.full((2, 3), 6), split.labels[image]
    )
    assert scan_record._sound(found, (4, 7, 2), split)
    if field == "label":
        number = found.label[place] + 1
    getattr(found, field)[place] = number
    assert not scan_record._sound(found, (4, 7, 2), split)
