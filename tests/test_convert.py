"""What all readers of foreign nets share: recognising formats, names, folding the pixels, limits,
provenance.
"""

import io
import re
import zipfile

import numpy as np
import pytest

from rawconv import checkpoint
from rawconv.convert import PIXELS, Foreign, Pixels
from rawconv.convert import parts as p
from rawconv.convert.assemble import assemble, default_stored, known_pixels
from rawconv.convert.formats import recognise
from rawconv.convert.verify import file_input
from rawconv.data.augment import prepare
from rawconv.data.preprocessing import preprocess, stored_size
from rawconv.files.storage import Wrong
from rawconv.layers.dropout import Dropout
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: no witness for foreign nets (pip install torch)"
)
F = torch.nn.functional
ORDERS = {"rgb": 3, "bgr": 3, "grey": 1}


def weights(channels, groups=1, seed=0):
    """conv1 (groups), conv2, fc3 in PyTorch's layout."""
    rng = np.random.default_rng(seed)
    shapes = [(6, channels // groups, 3, 3), (6,), (4, 3, 3, 3), (4,), (5, 4 * 4 * 4), (5,)]
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def foreign(channels=3, groups=1, **more):
    """A net of conv, ReLU, LRN, pool, a convolution with groups, dropout and a fully connected layer."""
    w1, b1, w2, b2, w3, b3 = weights(channels, groups)
    layers = [
        ("a", p.conv(w1, b1, 1, 1, groups)), ("b", ReLU()), ("c", p.lrn(5, 0.3, 0.75, 2.0)),
        ("d", MaxPool(3, 2, ceil_mode=True)), ("e", p.conv(w2, b2, 1, 0, groups=2)), ("f", Dropout(0.5)),
        ("g", p.fully_connected(w3, b3, (4, 4, 4))), ("h", Dropout(0.5)),
    ]  # fmt: skip
    return Foreign((12, 12, channels), layers, **more)


def witness(x, channels, groups):
    """The same net in PyTorch, float64, of x (N, C, 12, 12)."""
    w1, b1, w2, b2, w3, b3 = (
        torch.tensor(w, dtype=torch.float64) for w in weights(channels, groups)
    )
    y = F.local_response_norm(F.conv2d(torch.tensor(x, dtype=torch.float64), w1, b1, padding=1, groups=groups).relu(),
                              5, 0.3, 0.75, 2.0)  # fmt: skip
    y = F.conv2d(F.max_pool2d(y, 3, 2, ceil_mode=True), w2, b2, groups=2)
    return F.linear(y.flatten(1), w3, b3).numpy()


def images(count=2, size=12, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


@pytest.mark.parametrize("inside", [None, ((0.3, 0.4, 0.5), (1.5, 2.0, 3.0))])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_scores_are_those_of_the_file_s_net_whatever_its_pixels(order, groups, inside):
    channels = ORDERS[order]
    groups = min(groups, channels)
    pixels = Pixels(order, (100.0, 110.0, 120.0)[:channels], (60.0, 50.0, 70.0)[:channels])
    inside = inside and tuple(numbers[:channels] for numbers in inside)
    net, _ = assemble(foreign(channels, groups, inside=inside), pixels, 12, [], "odd")
    x = file_input(images(), pixels, 12).astype(np.float64)
    if inside:
        x = (x - np.reshape(inside[0], (-1, 1, 1))) * np.reshape(inside[1], (-1, 1, 1))
    ours = net.forward(preprocess(net, images()), keep=False)[0].reshape(2, 5)
    theirs = witness(x, channels, groups)
    assert np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max()


def test_a_net_that_does_not_begin_with_a_convolution_gets_one():
    layers = [
        ("p", MaxPool(2, 2)),
        ("fc", p.fully_connected(np.ones((2, 27), np.float32), None, (3, 3, 3))),
    ]
    net, _ = assemble(Foreign((6, 6, 3), layers), PIXELS["caffe"], 6, ["a", "b"], "m")
    x = file_input(images(1, 6), PIXELS["caffe"], 6)
    want = x.reshape(1, 3, 3, 2, 3, 2).max(axis=(3, 5)).sum()
    scores, _ = net.forward(preprocess(net, images(1, 6)), keep=False)
    np.testing.assert_allclose(scores.reshape(2), want, rtol=1e-5)
    assert [name for name, _ in net.layers] == ["pixels", "pool0", "fc1"]


def test_pixels_that_are_ours_change_no_bit():
    given = foreign()
    net, _ = assemble(given, PIXELS["raw"], 12, [], "m")
    assert net["conv1"].weight is given.layers[0][1].weight


def test_layers_are_counted_and_the_file_s_names_kept():
    net, theirs = assemble(foreign(), PIXELS["raw"], 12, list("abcde"), "m")
    assert [name for name, _ in net.layers] == [
        "conv1",
        "relu1",
        "norm1",
        "pool1",
        "conv2",
        "drop2",
        "fc3",
    ]
    assert theirs == {"conv1": "a", "conv2": "e", "fc3": "g"}
    assert net.classes == list("abcde")


def test_a_mean_image_smaller_than_what_is_kept_is_continued():
    """Only the centre is ever seen, so its scores are those of the picture in the middle."""
    mean = np.random.default_rng(3).uniform(90, 130, (12, 12, 3))
    net, _ = assemble(foreign(), Pixels("rgb", mean), 17, [], "m")
    assert stored_size(net) == 17
    kept = images(1, 17)
    np.testing.assert_allclose(preprocess(net, kept)[0], kept[0, 2:14, 2:14] - mean, atol=1e-4)


@pytest.mark.parametrize("size, stored", [(12, 12), (64, 64), (224, 256), (227, 256), (299, 299)])
def test_images_are_kept_as_nets_of_this_size_are_used(size, stored):
    given = Foreign(
        (size, size, 3),
        [("fc", p.fully_connected(np.ones((2, size * size * 3)), None, (size, size, 3)))],
    )
    assert default_stored(given, known_pixels(given)) == stored
    net, _ = assemble(given, PIXELS["caffe"], stored, [], "m")
    assert stored_size(net) == stored
    prepare(np.zeros((1, stored, stored, 3), np.uint8), net.pixel_mean, size)


def test_an_import_is_a_checkpoint(tmp_path):
    net, _ = assemble(foreign(), PIXELS["torch"], 12, [], "m")
    checkpoint.save(tmp_path / "net.h5", net, {"imported": {"file": "x"}})
    again = checkpoint.load(tmp_path / "net.h5").net
    x = preprocess(net, images())
    np.testing.assert_array_equal(again.forward(x.copy())[0], net.forward(x.copy())[0])


def test_batch_norm_folds_into_the_convolution():
    rng = np.random.default_rng(2)
    x, w, b = (
        rng.standard_normal((2, 4, 6, 6)),
        rng.standard_normal((6, 2, 3, 3)),
        rng.standard_normal(6),
    )
    norm = [
        rng.standard_normal(6),
        rng.standard_normal(6),
        rng.standard_normal(6),
        rng.uniform(0.5, 2, 6),
    ]
    y = F.conv2d(torch.tensor(x), torch.tensor(w), torch.tensor(b), groups=2)
    want = F.batch_norm(y, *(torch.tensor(norm[i]) for i in (2, 3, 0, 1)), eps=1e-3).numpy()
    layer = p.conv(w, b, groups=2)
    p.fold_batch_norm(layer, *p.batch_norm(*norm, 1e-3))
    got = layer.forward(x.transpose(0, 2, 3, 1).astype(np.float32))[0].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


BAD = np.full((2, 3, 3, 3), np.nan)


@pytest.mark.parametrize(
    "build",
    [
        lambda: p.conv(np.ones((2, 3, 3))),
        lambda: p.conv(np.ones((2, 3, 3, 3)), np.ones(3)),
        lambda: p.conv(BAD),
        lambda: p.conv(np.full((1, 1, 1, 1), 1e300)),
        lambda: p.fully_connected(np.ones((2, 26)), None, (3, 3, 3)),
        lambda: p.fold_batch_norm(p.conv(np.ones((2, 3, 3, 3))), np.ones(3), np.ones(2)),
    ],
)
def test_parts_refuse_what_does_not_fit(build):
    with pytest.raises(ValueError):
        build()


def fc(outputs=2, shape=(6, 6, 3)):
    return p.fully_connected(np.ones((outputs, int(np.prod(shape)))), None, shape)


@pytest.mark.parametrize(
    "shape, layers, pixels, message",
    [
        ((6, 6, 4), [("x", fc())], PIXELS["raw"], "4 channels"),
        ((6, 6, 1), [("x", fc())], PIXELS["raw"], "1 channels, which are not rgb"),
        ((6, 6, 3), [], PIXELS["raw"], "does not end"),
        ((6, 6, 3), [("x", fc()), ("y", ReLU())], PIXELS["raw"], "does not end"),
        ((6, 6, 3), [("x", p.conv(np.ones((2, 4, 3, 3))))], PIXELS["raw"], "layer x .*channels"),
        ((6, 6, 3), [("x", MaxPool(9, 1)), ("y", fc())], PIXELS["raw"], "layer x .*smaller"),
        ((6, 6, 3), [("x", MaxPool(2, 9999)), ("y", fc())], PIXELS["raw"], "layer x .*stride"),
        ((6, 6, 3), [("x", ReLU())] * 4096 + [("y", fc())], PIXELS["raw"], "4097 layers"),
    ],
)
def test_what_no_checkpoint_could_hold_is_refused_by_name(shape, layers, pixels, message):
    with pytest.raises(Wrong, match=message):
        assemble(Foreign(shape, layers), pixels, 6, [], "m")


def archive(**files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, data in files.items():
            made.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return out.getvalue()


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "is empty"),
        (b"just text, for example", "no format"),
        (b"\x89HDF\r\n\x1a\n", "damaged HDF5 file"),
        (b"\x93NUMPY\1\0", "a NumPy array.*ONNX"),
        (archive(a_dot_npy=b""), "NumPy arrays.*ONNX"),
        (archive(config_dot_json=b""), r"a Keras archive.*model.export\("),
        (b"PK\3\4 and then nothing", "damaged zip"),
        (b"\1\2\3\4TFL3", "Lite.*ONNX"),
        (b"rawconv checkpoint, version 1", "rawconv already"),
    ],
)
def test_other_formats_are_refused_with_the_way_around(data, message):
    with pytest.raises(Wrong) as refusal:
        recognise(io.BytesIO(data))
    assert re.search(message, f"{refusal.value}. {refusal.value.remedy}"), refusal.value
