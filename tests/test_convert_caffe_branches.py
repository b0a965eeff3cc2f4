"""Caffe's nets that branch, beside PyTorch's functions in float64 (caffe_nets.py) and OpenCV's reader; what a file
says in words that Caffe does not have is refused.
"""

import io

import caffe_nets as nets
import h5py
import numpy as np
import pytest

from rawconv.convert import Wanted
from rawconv.convert.read import import_net
from rawconv.convert.verify import file_input
from rawconv.data.preprocessing import center_crop, preprocess
from rawconv.errors import RawconvError
from rawconv.layers.conv import Conv
from rawconv.layers.softmax import softmax

pytest.importorskip(
    "google.protobuf", reason="protobuf is not installed (pip install 'rawconv[caffe]')"
)
import caffe_files as files

OPENCV = "OpenCV 4 is not installed (pip install 'opencv-python-headless<5')"
TORCH = "PyTorch is not installed: no witness in float64 (pip install torch)"


def written(net, folder, data=None):
    """(path, Wanted) of a net in two files; data: the bytes of its weights."""
    text, path = folder / "deploy.prototxt", folder / "net.caffemodel"
    text.write_text(str(net))
    path.write_bytes(data or net.model().SerializeToString())
    return path, Wanted(prototxt=str(text), dtype="float64")


def images(size, count=2):
    return np.random.default_rng(3).integers(0, 256, (count, size, size, 3), np.uint8)


def maps(found, kept):
    """{the file's name of a node: its map (N, C, H, W)}."""
    up = found.net.up(preprocess(found.net, kept).astype(found.net.dtype), asked=found.net.nodes)
    made = [y.transpose(0, 3, 1, 2) for _, y, _ in up]
    theirs = [name for name, *_ in found.foreign.layers]
    return dict(zip(theirs, made[-len(theirs) :], strict=True))


def witness(net, found, kept):
    x = center_crop(found.net, kept).astype(np.float64)[..., ::-1] - (104.0, 117.0, 123.0)
    return nets.run(files.network(str(net)), net.blobs, x.transpose(0, 3, 1, 2))


def distance(ours, theirs):
    return np.abs(ours - theirs.reshape(ours.shape)).max() / max(np.abs(theirs).max(), 1e-30)


@pytest.mark.parametrize("name", nets.NETS)
def test_in_float64_every_map_is_pytorch_s(name, tmp_path):
    """Those of convolutions apart, into which what follows is folded."""
    pytest.importorskip("torch", reason=TORCH)
    net = nets.NETS[name]()
    found = import_net(*written(net, tmp_path))
    kept = images(found.net.shape[0])
    ours, theirs = maps(found, kept), witness(net, found, kept)
    last = found.foreign.layers[-1][0]
    compared = [node for node, layer, *_ in found.foreign.layers if not isinstance(layer, Conv)]
    for node in {*compared, last} - set(net.blobs) | {last}:
        assert distance(ours[node], theirs[node]) <= 1e-10, node
    assert len(compared) >= 6 and np.ptp(theirs[last], axis=0).max() > 1e-3
    assert found.foreign.softmax == ("softmax" if "Softmax" in str(net) else "")


@pytest.mark.parametrize("name", nets.NETS)
def test_opencv_makes_the_same_of_every_node(name, tmp_path):
    pytest.importorskip("cv2", reason=OPENCV)
    net = nets.mixture((1,)) if name == "a mixture" else nets.NETS[name]()
    path, wanted = written(net, tmp_path)
    found = import_net(path, wanted._replace(dtype="float32"))
    kept = images(found.net.shape[0], 1)
    x = file_input(center_crop(found.net, kept), found.pixels, kept.shape[1])
    theirs = found.reader.maps(path, x, wanted)
    ours = list(maps(found, kept).values())
    nodes = [node for node, *_ in found.foreign.layers]
    assert {node for number, node in enumerate(nodes) if number not in theirs} <= {
        "d/p",
        "d/q",
        "e/d",
    }
    for number, node in enumerate(nodes):
        if number in theirs:
            assert distance(ours[number], theirs[number].transpose(0, 3, 1, 2)) < 1e-5, node
    last = ours[-1].reshape(1, -1).astype(np.float64)
    last = softmax(last) if found.foreign.softmax else last
    assert distance(last, found.reader.scores(path, x, wanted)) < 1e-4


@pytest.mark.parametrize("name", ["GoogLeNet", "ResNet"])
def test_weights_in_hdf5_are_the_same(name, tmp_path):
    """Caffe's snapshot_format: HDF5.  Names with a stroke become groups in groups."""
    net = nets.NETS[name]()
    found = import_net(*written(net, tmp_path))
    path, wanted = written(net, tmp_path, files.hdf5(net.blobs))
    again = import_net(path, wanted)
    assert again.net.params.keys() == found.net.params.keys()
    for key, array in found.net.params.items():
        np.testing.assert_array_equal(again.net.params[key], array)
    assert again.info["imported"]["format"] == "Caffe, weights in HDF5"
    pytest.importorskip("cv2", reason=OPENCV)
    x = np.random.default_rng(0).uniform(-99, 99, (1, 3, *again.net.shape[:2])).astype(np.float32)
    np.testing.assert_array_equal(
        again.reader.scores(path, x, wanted), found.reader.scores(path, x, wanted)
    )


def broken_hdf5(change):
    """A .caffemodel.h5 of CaffeNet after change(its open file)."""
    data = io.BytesIO(files.hdf5(nets.caffenet().blobs))
    with h5py.File(data, "r+") as file:
        change(file)
    return data.getvalue()


def replaced(file, name, **about):
    array = file[name][()]
    del file[name]
    file.create_dataset(name, data=array, **about)


def in_a_circle(file):
    file["data/conv1/again"] = file["data"]


HDF5 = {
    "compressed": (lambda f: replaced(f, "data/conv1/0", compression="gzip"), "conv1/0 compressed, in chunks"),
    "integers": (lambda f: replaced(f, "data/fc8/1", dtype="i4"), "fc8/1 of dtype int32"),
    "a link": (lambda f: f["data"].__setitem__("x", h5py.SoftLink("/data/fc6")), "a link to somewhere else"),
    "a gap": (lambda f: f.move("data/conv1/1", "data/conv1/2"), "holds no /data/conv1/1"),
    "in a circle": (in_a_circle, "more than 4096 groups"),
    "one array twice": (
        lambda f: [f.__setitem__(f"data/x/{k}", f["data/fc6/0"]) for k in range(9)], "its arrays overlap"),
    "another's": (lambda f: f.move("data/conv1/0", "data/conv1/x"), "holds no /data/conv1/0"),
}  # fmt: skip


@pytest.mark.parametrize("what", HDF5)
def test_weights_in_hdf5_that_caffe_did_not_write(what, tmp_path):
    change, message = HDF5[what]
    with pytest.raises(RawconvError, match=message):
        import_net(*written(nets.caffenet(), tmp_path, broken_hdf5(change)))


def test_weights_alone_ask_for_their_layers(tmp_path):
    path, _ = written(nets.caffenet(), tmp_path, files.hdf5(nets.caffenet().blobs))
    with pytest.raises(
        RawconvError, match="holds weights alone, not layers. Name the deploy.prototxt.*--prototxt"
    ):
        import_net(path)
