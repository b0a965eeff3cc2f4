"""Packed data sets against the folder they came from and against h5py; hostile files end in one sentence."""

import hashlib
import json
import os
import pathlib
import shutil
import threading
import tracemalloc

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import assert_same
from pets import pack_photos
from PIL import Image
from test_data_sources import image, png, sentence, write

from rawconv.data import decode, mean_image, open_data, packed, packing
from rawconv.data.batches import batches
from rawconv.errors import RawconvError, UsageError
from rawconv.files.storage import SEAL


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return pack_photos(tmp_path_factory.mktemp("made"))


def test_the_packed_images_are_those_of_the_folder(made, capsys):
    folder, out, _ = made
    plain, found = open_data(folder, 16, progress=False), open_data(out, 16, progress=False)
    assert found.classes == plain.classes and found.name == "pets"
    for one, other in ((found.train, plain.train), (found.val, plain.val)):
        places = {name.removeprefix(f"{folder}/"): i for i, name in enumerate(other.names)}
        ids = np.array([places[name] for name in one.names])
        assert sorted(ids.tolist()) == list(range(len(other)))
        assert_same(one.labels, other.labels[ids])
        assert_same(one.read(np.arange(len(one))), other.read(ids))
    assert_same(mean_image(found.train), mean_image(plain.train))
    assert found.train.names != sorted(found.train.names), (
        "training pictures are stored in random order"
    )


def test_any_hdf5_reader_sees_the_same(made):
    _, out, facts = made
    found = open_data(out, 16, progress=False)
    with h5py.File(out) as file:
        assert file["pictures"].chunks[1:] == (16, 16, 3) and file["pictures"].compression is None
        pixels, train = file["pictures"][:], facts["train"]
        assert file.attrs["train"] == train and set(np.unique(file["labels"][:])) == {0, 1, 2}
        sha256 = [hashlib.sha256(p.tobytes()).digest() for p in pixels]
        assert [row.tobytes() for row in file["sha256"][:]] == sha256
    assert_same(found.train.read(np.arange(train)), pixels[:train])
    assert_same(found.val.read([2, 0, 0]), pixels[train:][[2, 0, 0]])


@pytest.mark.parametrize("size", [8, 24])
def test_another_size_is_resized(made, size):
    _, out, _ = made
    small, packed_size = open_data(out, size, progress=False), open_data(out, 16, progress=False)
    assert small.train.shape == (size, size, 3)
    want = decode.resize_center_crop(Image.fromarray(packed_size.train.read([5])[0]), size)
    assert_same(small.train.read([5])[0], want)
    assert_same(
        mean_image(small.train),
        small.train.read(np.arange(len(small.train))).mean(0, np.float64).astype("f4"),
    )


# ---------------------------------------------------------------------------------------------- order and reading


@given(
    count=st.integers(1, 200), first=st.integers(0, 30), chunk=st.integers(1, 9), window=st.integers(1, 5),
    order=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)  # fmt: skip
def test_every_epoch_visits_each_image_once_chunk_by_chunk(count, first, chunk, window, order):
    ids = packed.chunk_order(count, first, *order, chunk, window)
    assert_same(np.sort(ids), np.arange(count))
    assert_same(ids, packed.chunk_order(count, first, *order, chunk, window))
    chunks = (first + ids) // chunk
    # A chunk that was begun is done with before more than `window` others are.
    begun = [
        (int(np.flatnonzero(chunks == c)[0]), int(np.flatnonzero(chunks == c)[-1]))
        for c in np.unique(chunks)
    ]
    for low, high in begun:
        assert len(np.unique(chunks[low : high + 1])) <= window


def test_epochs_and_seeds_differ_and_neighbours_are_parted():
    orders = {
        packed.chunk_order(200, 0, seed, epoch, 4, 10).tobytes()
        for seed in range(4)
        for epoch in range(4)
    }
    assert len(orders) == 16
    ids = packed.chunk_order(4000, 0, 0, 0, 8, 50)
    assert (np.diff(ids) == 1).mean() < 0.02


def test_batches_resume_in_the_middle_and_do_not_depend_on_threads(made):
    _, out, _ = made
    split = open_data(out, 16, progress=False).train
    whole = list(batches(split, 5, (3, 1)))
    rest = list(batches(split, 5, (3, 1), start=10, prefetch=0))
    assert len(rest) == len(whole) - 2
    for one, other in zip(rest, whole[2:], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert_same(np.sort(np.concatenate([ids for ids, *_ in whole])), np.arange(len(split)))


def test_threads_may_read_at_once(made):
    split = open_data(made[1], 16, progress=False).train
    want, wrong = split.read(np.arange(len(split))), []

    def look(k):
        for _ in range(30):
            ids = np.random.default_rng(k).permutation(len(split))
            wrong.extend([] if np.array_equal(split.read(ids), want[ids]) else [k])

    threads = [threading.Thread(target=look, args=(k,)) for k in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not wrong


def test_memory_stays_flat_over_an_epoch_of_ten_times_the_window(tmp_path, monkeypatch):
    """The arrays alive at any time are a few batches, however large the file."""
    files = {f"{name}/{k}.png": png(image(k, 48, 48)) for name in "ab" for k in range(300)}
    packing.pack(write(tmp_path / "x", files), tmp_path / "x.h5", 48, progress=False)
    one = 48 * 48 * 3
    total = 540 * one
    monkeypatch.setattr(packed, "CHUNK", 8 * one)
    monkeypatch.setattr(packed, "WINDOW", total // 10)
    # it was packed in larger chunks
    monkeypatch.setattr(packed, "_check_images", lambda root, end: (600, 48))
    split = open_data(tmp_path / "x.h5", 48, progress=False).train
    split.read([0])
    seen, peaks = [], []
    tracemalloc.start()
    for ids, _images, _labels in batches(split, 8, (0, 0)):
        seen += ids.tolist()
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert sorted(seen) == list(range(540))
    assert max(peaks) < total / 10 and max(peaks) - peaks[5] < 3 * 8 * one


# ---------------------------------------------------------------------------------------------- files not sound


def end_of(data):
    """The byte where the pictures of a packed file end, as its first line says."""
    return int(data[:SEAL].split(b" to ")[1].split(b",")[0])


def reseal(path):
    """Renew the checksum, as someone malicious would."""
    with open(path, "r+b") as file:
        packed.write_seal(file, end_of(file.read(SEAL)))


def edited(change):
    """A function path -> None that edits the file by HDF5 and seals it again."""

    def apply(path):
        with h5py.File(path, "r+") as file:
            change(file)
        reseal(path)

    return apply


def replaced(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return edited(change)


def cut_to(size):
    return lambda path: os.truncate(path, size)


def byte(place):
    def flip(path):
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)

    return flip


def with_end(end):
    def change(path):
        with open(path, "r+b") as file:
            file.write(packed.LINE.format(1, end, "0" * 64).encode().ljust(SEAL - 1) + b"\n")

    return change


def outside(file):
    del file["labels"]
    file["labels"] = h5py.ExternalLink("/etc/passwd", "labels")


HOSTILE = [
    (cut_to(0), "is empty"),
    (cut_to(300), "first line is broken or cut off"),
    (cut_to(1 << 17), "is cut off: it has 131072 bytes"),
    (byte(3), "not a rawconv data set|first line"),
    (byte(70000), "does not fit the checksum"),
    (byte(-5), "does not fit the checksum"),
    (with_end(5), "is cut off"),
    (with_end(10**17), "is cut off"),
    (replaced("labels", np.full(37, 3, np.int32)), "do not fit each other"),
    (replaced("labels", np.full(37, -1, np.int32)), "do not fit each other"),
    (replaced("labels", np.zeros(36, np.int32)), r"/labels of shape \(36,\)"),
    (replaced("labels", np.zeros(37, np.float32)), "/labels of dtype float32"),
    (replaced("names", np.zeros(3, np.uint8)), "do not fit each other"),
    (replaced("mean", np.full((16, 16, 3), np.nan, np.float32)), "do not fit each other"),
    (replaced("sha256", np.zeros((37, 31), np.uint8)), "/sha256 of shape"),
    (replaced("pictures", np.zeros((37, 16, 16, 3), np.uint8)), "in chunks of None"),
    (replaced("pictures", np.zeros((37, 16, 16), np.uint8)), "not of uint8"),
    (edited(lambda file: file.attrs.update(train=37)), "do not fit each other"),
    (edited(lambda file: file.attrs.pop("train")), "no attribute train"),
    (edited(lambda file: file.attrs.update(version=2)), "was not written by"),
    (edited(outside), "a link to somewhere else"),
    (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(2000)), "another program"),
    (lambda path: shutil.copy("rawconv/scenes.h5", path), "not a rawconv data set"),
    (lambda path: path.write_text("hello"), "not a rawconv data set"),
]


@pytest.mark.parametrize("change, message", HOSTILE, ids=range(len(HOSTILE)))
def test_a_file_that_is_not_sound_is_refused_in_a_sentence(
    change, message, made, tmp_path, monkeypatch
):
    monkeypatch.chdir(pathlib.Path(__file__).parent.parent)
    path = tmp_path / "pets.h5"
    shutil.copy(made[1], path)
    change(path)
    with pytest.raises(RawconvError, match=message) as error:
        open_data(path, 16, progress=False)
    assert sentence(error).startswith(str(path))


@given(place=st.integers(0, 1 << 30), value=st.integers(0, 255))
def test_any_byte_may_be_wrong(place, value, made, tmp_path_factory):
    """Structures are sealed, pictures have checksums: a changed byte is found by opening or by `damaged`."""
    data = bytearray(made[1].read_bytes())
    place %= len(data)
    # of the last chunk, not yet taken by pictures
    room = packed.START + 37 * 16 * 16 * 3 <= place < end_of(data)
    changed, data[place] = data[place] != value, value
    path = tmp_path_factory.getbasetemp() / "flipped.h5"
    path.write_bytes(data)
    try:
        found = packed.damaged(packed.load(path), progress=False) != ([], True)
    except RawconvError:
        found = True
    assert found == (changed and not room)


def test_a_file_cut_while_it_is_read(made, tmp_path):
    path = tmp_path / "pets.h5"
    shutil.copy(made[1], path)
    split = open_data(path, 16, progress=False).train
    os.truncate(path, packed.START + 5 * 16 * 16 * 3)
    assert split.read([4]).shape == (1, 16, 16, 3)
    with pytest.raises(RawconvError, match="became shorter while it was read"):
        split.read([4, 5])


def test_verify_names_what_is_damaged(made, tmp_path):
    path = tmp_path / "pets.h5"
    shutil.copy(made[1], path)
    with open(path, "r+b") as file:
        file.seek(packed.START + 7 * 16 * 16 * 3 + 100)
        old = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([old[0] ^ 255]))
    found = packed.load(path)
    assert packed.damaged(found, progress=False) == ([found.names[7]], False)
    assert packed.damaged(packed.load(made[1]), progress=False) == ([], True)


def test_info_is_json_and_says_where_it_came_from(made):
    info = packed.load(made[1]).info
    assert info["source"] == "pets" and json.dumps(info)


def test_a_path_that_is_not_there():
    with pytest.raises(UsageError, match="does not exist"):
        open_data("nowhere.h5", 16)
