"""CIFAR-10/100 pickles and MNIST idx files, made small here and opened; hostile and broken ones, refused."""

import gzip
import io
import os
import pickle
import struct
import tarfile

import numpy as np
import pytest
from laws import assert_same
from PIL import Image
from test_data_sources import sentence, write

from rawconv.data import open_data
from rawconv.errors import RawconvError


class Python2(pickle._Pickler):
    """Writes byte strings as Python 2 did, as the files that can be downloaded have them."""

    def save_str(self, text):
        self.write(b"T" + struct.pack("<i", len(text)) + text)
        self.memoize(text)

    dispatch = pickle._Pickler.dispatch | {bytes: save_str}


def python2(value):
    file = io.BytesIO()
    Python2(file, 2).dump(value)
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def cifar(name, dump=python2):
    """({file: contents}, training pixels, training labels), four pictures a file."""
    rng = np.random.default_rng(0)
    names, test, meta, names_key, labels_key = (
        (
            [f"data_batch_{k}" for k in range(1, 6)],
            "test_batch",
            "batches.meta",
            b"label_names",
            b"labels",
        )
        if name == "cifar10"
        else (["train"], "test", "meta", b"fine_label_names", b"fine_labels")
    )
    files, pixels, labels = {meta: dump({names_key: [b"cat", b"dog", b"emu"]})}, [], []
    for file in [test, *names]:
        pixels.append(rng.integers(0, 256, (4, 32, 32, 3), np.uint8))
        labels.append(rng.integers(0, 3, 4).tolist())
        planes = np.ascontiguousarray(pixels[-1].transpose(0, 3, 1, 2)).reshape(4, 3072)
        planes = np.asfortranarray(planes) if file == test else planes
        files[file] = dump({b"data": planes, labels_key: labels[-1], b"filenames": [b"x.png"] * 4})
    return files, np.concatenate(pixels), np.concatenate(labels)


@pytest.mark.parametrize("dump", [python2, pickle.dumps, lambda value: pickle.dumps(value, 2)])
@pytest.mark.parametrize("kind", ["folder", "inside", "tar.gz"])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar(name, kind, dump, tmp_path):
    files, pixels, labels = cifar(name, dump)
    inner = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}[name]
    path = (
        write(tmp_path / "c" / (inner if kind == "inside" else ""), files)
        if kind != "tar.gz"
        else tmp_path
    )
    if kind == "inside":
        path = path.parent
    if kind == "tar.gz":
        path = tmp_path / "c.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            archive.add(write(tmp_path / "x", files), inner)
    found = open_data(path, 32, progress=False)
    assert (
        found.name == name
        and found.classes == ["cat", "dog", "emu"]
        and found.val.names[3] == "cifar test 3"
    )
    assert_same(np.concatenate([found.val.labels, found.train.labels]), labels)
    assert_same(
        np.concatenate([split.read(range(len(split))) for split in (found.val, found.train)]),
        pixels,
    )
    small = open_data(path, 16, progress=False).val.read([2])[0]
    assert_same(
        small, np.asarray(Image.fromarray(pixels[2]).resize((16, 16), Image.Resampling.BICUBIC))
    )


class Hostile:
    """Pickled as function(*arguments), or as that with a state."""

    def __init__(self, function, arguments, *state):
        self.parts = function, arguments if isinstance(arguments, tuple) else (arguments,), *state

    def __reduce__(self):
        return self.parts


def test_hostile_and_broken_pickles(tmp_path):
    files, _, _ = cifar("cifar10")
    mark = tmp_path / "mark"
    planes = np.zeros((4, 3072), np.uint8)
    rebuild, about, state = planes.__reduce__()
    for contents, words in (
        (files["data_batch_3"][:-2000], "no intact"),
        (b"", "no intact"),
        (b"\x80\x02.", "no intact"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "no 'data'"),  # a table of 2**32 entries
        (python2({b"data": Hostile(os.mkdir, str(mark))}), "names posix.mkdir"),
        (
            python2({b"data": Hostile(eval, f"__import__('os').mkdir({str(mark)!r})")}),
            "names __builtin__.eval",
        ),
        (python2({b"data": Hostile(np.ndarray, (10**13,)), b"labels": [0]}), "does not hold"),
        (
            python2({b"data": Hostile(rebuild, about, (*state[:4], b"few")), b"labels": [0] * 4}),
            "does not hold",
        ),
        (python2({b"data": planes.T, b"labels": [0] * 4}), "does not hold"),
        (python2({b"data": planes.astype(np.int8), b"labels": [0] * 4}), "does not hold"),
        (python2({b"data": planes.astype(object), b"labels": [0] * 4}), "does not hold"),
        (python2({b"data": planes, b"labels": [0] * 3}), "does not hold"),
        (python2({b"data": planes, b"labels": [0, 1, 2, 3]}), "does not hold"),
        (python2({b"data": planes, b"labels": [0, 1, 2, -1]}), "does not hold"),
        (python2({b"data": planes}), "no 'labels'"),
        (python2({b"data": planes, b"labels": planes}), "no 'labels'"),
        (python2({b"data": [0], b"labels": [0]}), "no 'data'"),
        (python2([1, 2]), "no 'data'"),
    ):
        path = write(tmp_path / "c", files | {"data_batch_3": contents})
        with pytest.raises(RawconvError, match="data_batch_3") as error:
            open_data(path, 32, progress=False)
        assert str(path) in sentence(error) and words in str(error.value)
    assert not mark.exists()
    (path / "data_batch_3").unlink()
    with pytest.raises(RawconvError, match="lacks data_batch_3"):
        open_data(path, 32, progress=False)


def test_a_broken_or_foreign_tar(tmp_path):
    files, _, _ = cifar("cifar100")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(write(tmp_path / "x", files), "cifar-100-python")
    whole = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.tgz").write_bytes(whole[:30])
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.add(tmp_path / "x" / "meta", "meta")
    for name, words in (
        ("a.tar.gz", "damaged tar"),
        ("b.tar", "no CIFAR python files"),
        ("c.tgz", "damaged tar"),
    ):
        with pytest.raises(RawconvError, match=words) as error:
            open_data(tmp_path / name, progress=False)
        sentence(error)


def idx(array):
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


def mnist(pack=lambda raw: raw, suffix=""):
    rng = np.random.default_rng(0)
    files, arrays = {}, []
    for part, count in (("t10k", 5), ("train", 12)):
        arrays.append(
            (rng.integers(0, 256, (count, 28, 28), np.uint8), rng.integers(0, 10, count, np.uint8))
        )
        files[f"{part}-images-idx3-ubyte{suffix}"] = pack(idx(arrays[-1][0]))
        files[f"{part}-labels-idx1-ubyte{suffix}"] = pack(idx(arrays[-1][1]))
    return files, arrays


@pytest.mark.parametrize(
    ("pack", "suffix"), [(lambda raw: raw, ""), (gzip.compress, ".gz")], ids=["plain", "gz"]
)
def test_mnist(pack, suffix, tmp_path):
    files, arrays = mnist(pack, suffix)
    for where, name, last in (("digits", "mnist", "9"), ("Fashion", "fashion-mnist", "boot")):
        found = open_data(write(tmp_path / where, files), 28, progress=False)
        assert found.name == name and found.classes[9] == last and len(found.classes) == 10
        for split, (pixels, labels) in zip((found.val, found.train), arrays, strict=True):
            assert_same(split.labels, labels.astype(np.int64))
            assert_same(split.read(range(len(labels))), np.stack([pixels] * 3, -1))
    large = open_data(tmp_path / "digits", 32, progress=False).train.read([1])[0]
    want = np.asarray(Image.fromarray(arrays[1][0][1]).resize((32, 32), Image.Resampling.BICUBIC))
    assert_same(large, np.stack([want] * 3, -1))


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("train-images", lambda raw: b"\0\0\x0d" + raw[3:], "does not begin like an idx file"),
        ("train-images", lambda raw: raw[:9], "does not begin like an idx file"),
        ("train-labels", lambda raw: raw[:3] + b"\3" + raw[4:], "does not begin like an idx file"),
        ("train-images", lambda raw: raw[:-1], "does not hold the 9408 bytes"),
        ("train-images", lambda raw: raw + b"\0", "does not hold the 9408 bytes"),
        ("train-images", lambda raw: raw[:4] + b"\xff" * 12 + raw[16:], "does not hold"),
        (
            "train-labels",
            lambda raw: idx(np.zeros(11, np.uint8)),
            "12 train pictures but 11 labels",
        ),
        ("train-labels", lambda raw: idx(np.full(12, 10, np.uint8)), "has a label 10"),
        ("t10k-labels", None, "lacks t10k-labels-idx1-ubyte"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_bad_idx_files(file, change, words, zipped, tmp_path):
    files, _ = mnist(gzip.compress, ".gz") if zipped else mnist()
    name = next(name for name in files if name.startswith(file))
    raw = files.pop(name)
    if change:
        files[name] = gzip.compress(change(gzip.decompress(raw))) if zipped else change(raw)
    with pytest.raises(RawconvError, match=words) as error:
        open_data(write(tmp_path, files), 28, progress=False)
    assert str(tmp_path) in sentence(error)


def test_a_truncated_gz(tmp_path):
    files, _ = mnist(gzip.compress, ".gz")
    files["train-images-idx3-ubyte.gz"] = files["train-images-idx3-ubyte.gz"][:500]
    with pytest.raises(RawconvError, match=r"damaged \.gz") as error:
        open_data(write(tmp_path, files), 28, progress=False)
    sentence(error)
