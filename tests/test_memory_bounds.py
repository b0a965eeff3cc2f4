"""Small files that ask for much memory: ten times the file and RAWCONV_FILE_MB, which the refusal names."""

import gzip
import io
import os
import pathlib
import pickle
import struct
import tarfile

import pytest
from test_data_cifar_mnist import cifar, python2
from test_data_sources import write

from rawconv import checkpoint
from rawconv.convert.read import import_net
from rawconv.data import open_data
from rawconv.errors import RawconvError, UsageError
from rawconv.files import storage
from rawconv.layers.conv import Conv
from rawconv.net import Net

LIMIT = "RAWCONV_FILE_MB=400 allows beside"


pytestmark = pytest.mark.usefixtures("alarm")


@pytest.mark.parametrize("shape", [(2, 10_000, 10_000), (100_000_000, 1, 1)])
def test_a_gzipped_idx_file(shape, tmp_path):
    head = bytes([0, 0, 8, 3]) + struct.pack(">3I", *shape)
    files = {
        f"{part}-images-idx3-ubyte.gz": gzip.compress(head + os.urandom(200_000))
        for part in ("train", "t10k")
    }
    labels = gzip.compress(bytes([0, 0, 8, 1]) + struct.pack(">I", 2) + bytes(2))
    files |= {f"{part}-labels-idx1-ubyte.gz": labels for part in ("train", "t10k")}
    with pytest.raises(RawconvError, match=LIMIT):
        open_data(write(tmp_path, files), 28, progress=False)


def test_a_cifar_tar_that_unpacks_to_much(tmp_path):
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as archive:
        for name in ("data_batch_1", "data_batch_2"):
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = 60_000_000
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    with pytest.raises(RawconvError, match=LIMIT):
        open_data(tmp_path / "c.tar.gz", 32, progress=False)


def doubled(depth, make=list):
    """A list in a list twice, in a list twice, ...: small in a file, 2**depth when it is walked through."""
    found = make(["x"])
    for _ in range(depth):
        found = make([found, found])
    return found


@pytest.mark.parametrize(
    ("file", "contents", "words"),
    [
        ("batches.meta", {b"label_names": [doubled(60)]}, "class names that are no text"),
        ("batches.meta", {b"label_names": doubled(60)}, "class names that are no text"),
        ("test_batch", {b"data": doubled(60), b"labels": doubled(60)}, "holds no 'data'"),
    ],
)
def test_a_pickle_that_doubles_at_each_level(file, contents, words, tmp_path):
    files, _, _ = cifar("cifar10")
    with pytest.raises(RawconvError, match=words):
        open_data(write(tmp_path, files | {file: pickle.dumps(contents, 2)}), 32, progress=False)


def test_keys_of_a_pickle_that_double_at_each_level(tmp_path):
    """Whose hash alone would take for ever; written by hand, since pickling it takes as long."""
    key = b"K\x01" + b"".join(b"q" + bytes([k]) + b"h" + bytes([k]) + b"\x86" for k in range(60))
    files, _, _ = cifar("cifar10")
    for contents in (b"\x80\x02}" + key + b"K\x01s.", b"\x80\x04\x8f(" + key + b"\x90."):
        with pytest.raises(RawconvError, match="no intact CIFAR pickle"):
            open_data(write(tmp_path, files | {"test_batch": contents}), 32, progress=False)


def test_a_pickle_that_encodes_one_text_many_times(tmp_path):
    text = b"X" + struct.pack("<I", 1_000_000) + b"x" * 1_000_000
    call = b"c_codecs\nencode\n(h\x00X\x06\x00\x00\x00latin1tRa"
    files, _, _ = cifar("cifar10")
    contents = b"\x80\x02]" + text + b"q\x00a" + call * 1000 + b"."
    with pytest.raises(RawconvError, match="encodes more than it holds"):
        open_data(write(tmp_path, files | {"test_batch": contents}), 32, progress=False)


def test_a_constant_that_an_onnx_file_makes_of_its_shape(tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [16384, 16384])
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("ConstantOfShape", ["shape"], ["w"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 128, 128])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16384])
    graph = helper.make_graph(nodes, "g", [x], [y], [shape])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), tmp_path / "a.onnx"
    )
    with pytest.raises(RawconvError, match=f"16384, 16384.*{LIMIT}"):
        import_net(tmp_path / "a.onnx")


LARGE = {
    "pictures of 4096": lambda: Net((4096, 4096, 3), [("conv1", Conv(2, 7, 64))]),
    "pictures of 16384": lambda: Net((16384, 16384, 3), [("conv1", Conv(2, 7, 4096))]),
    "padding of 4096": lambda: Net(
        (8, 8, 3), [("conv1", Conv(2, 3, 4096, 4096)), ("conv2", Conv(2, 3, 1, 1))]
    ),
    "maps": lambda: Net((600, 600, 3), [("conv1", Conv(512, 1))]),
    "stored pictures": lambda: Net((8, 8, 3), [("conv1", Conv(2, 8))], stored=(16384, 16384)),
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_checkpoint_whose_images_or_maps_are_large(kind, path, monkeypatch):
    net = LARGE[kind]()
    checkpoint.save(path, net, {})
    with pytest.raises(RawconvError, match=LIMIT):
        checkpoint.load(path)
    monkeypatch.setenv("RAWCONV_FILE_MB", "20000")
    assert checkpoint.load(path).net.shape == net.shape


def test_the_shipped_checkpoint_and_the_papers_net_are_fair(path):
    checkpoint.load(pathlib.Path(checkpoint.__file__).parent.parent / "scenes.h5")
    net = Net(
        (225, 225, 3),
        [("conv1", Conv(96, 7, 2, 1)), ("conv2", Conv(256, 5, 2)), ("conv3", Conv(384, 3, 1, 1))],
    )
    checkpoint.save(path, net, {})
    checkpoint.load(path)


@pytest.mark.parametrize("text", ["x", "-1", "0", "1.5", "9" * 20])
def test_a_limit_that_is_none(text, monkeypatch):
    monkeypatch.setenv("RAWCONV_FILE_MB", text)
    with pytest.raises(UsageError, match="RAWCONV_FILE_MB=.*is not a number of megabytes"):
        storage.room()


def test_cifar_pickles_of_any_protocol_are_read(tmp_path):
    files, _, _ = cifar("cifar10")
    contents = {b"label_names": [b"cat", b"dog", b"emu"]}
    for make in (python2, lambda value: pickle.dumps(value, 4)):
        assert (
            open_data(
                write(tmp_path, files | {"batches.meta": make(contents)}), 32, progress=False
            ).classes[0]
            == "cat"
        )
