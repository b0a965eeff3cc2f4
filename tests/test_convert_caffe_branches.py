"""Caffe's nets that branch, beside PyTorch's functions in float64 (caffe_nets.py) and OpenCV's reader; what a file
says in words that Caffe does not have is refused.
"""

import caffe_nets as nets
import numpy as np
import pytest

from rawconv.convert import Wanted
from rawconv.convert.read import import_net
from rawconv.convert.verify import file_input
from rawconv.data.preprocessing import center_crop, preprocess
from rawconv.layers.conv import Conv
from rawconv.layers.softmax import softmax

pytest.importorskip(
    "google.protobuf", reason="protobuf is not installed (pip install 'rawconv[caffe]')"
)
import caffe_files as files

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
    pytest.importorskip(
        "cv2", reason="OpenCV 4 is not installed (pip install 'opencv-python-headless<5')"
    )
    path, wanted = written(nets.NETS[name](), tmp_path)
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
