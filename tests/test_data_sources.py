"""Folders and zips, made small here and opened; what is wrong with them, said in a sentence."""

import io
import os
import pathlib
import re
import sys
import zipfile

import numpy as np
import pytest
from laws import assert_same
from PIL import Image

from rawconv import data
from rawconv.data import decode, folder, framed, open_data, scenes
from rawconv.errors import RawconvError, UsageError

PHOTOS = os.environ.get("RAWCONV_PHOTOS", "")


def image(seed, height=6, width=6):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def png(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", **options)
    return file.getvalue()


def tree(per_class=3, splits=("train/", "val/"), classes=("n00000002_cat", "n00000001_dog")):
    """{path: file contents}, picture number k being the k-th path in reading order."""
    paths = [
        f"{split}{name}/{k}.png"
        for split in splits
        for name in sorted(classes)
        for k in range(per_class)
    ]
    return {path: png(image(k)) for k, path in enumerate(paths)}


def write(path, files):
    for name, contents in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(contents)
    return path


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, contents in files.items():
            archive.writestr(name, contents)
    return path


def sentence(error):
    """The message, checked to be one sentence on one line; how long a user's own folders are called
    is not ours.
    """
    text = str(error.value)
    short = re.sub(r"/\S*?/test_\w+/", "", text)
    assert "\n" not in text and text.endswith((".", "?")) and len(short) < 400, text
    return text


def check_tree(found):
    """`found` is what `tree()` describes."""
    assert found.classes == ["dog", "cat"] and len(found.train) == len(found.val) == 6
    for split, first in ((found.train, 0), (found.val, 6)):
        assert_same(split.labels, np.array([0, 0, 0, 1, 1, 1]))
        order = np.array([4, 0, 5, 5])
        images = split.read(order)
        assert_same(images, np.stack([image(first + k) for k in order]))
        assert images.flags.c_contiguous and split.shape == (6, 6, 3)


@pytest.mark.parametrize("budget", [data.BUDGET, 0], ids=["in memory", "read anew"])
@pytest.mark.parametrize("around", ["", "top/"])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_train_and_val_folders(kind, around, budget, tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "BUDGET", budget)
    files = {around + name: contents for name, contents in tree().items()}
    files |= {
        around + "words.txt": b"n1 cat",
        "__MACOSX/train/a/b.png": b"",
        around + "train/.hidden/x": b"x",
    }
    path = (
        write(tmp_path / "my pets", files)
        if kind == "folder"
        else write_zip(tmp_path / "my pets.zip", files)
    )
    before = sorted(tmp_path.rglob("*"))
    found = open_data(path, 6, progress=False)
    check_tree(found)
    assert found.name == "my-pets" and found.source == str(path)
    assert found.val.names[3].endswith("val/n00000002_cat/0.png")
    assert sorted(tmp_path.rglob("*")) == before, "nothing may be unpacked"


def test_a_zip_from_windows_and_deeper_folders(tmp_path):
    files = {
        name.replace("/", "\\", 1).replace("/", "/images/"): contents
        for name, contents in tree().items()
    }
    check_tree(open_data(write_zip(tmp_path / "a.zip", files), 6, progress=False))
    check_tree(
        open_data(
            write(tmp_path, {n.replace("\\", "/"): c for n, c in files.items()}), 6, progress=False
        )
    )


def test_a_link_back_to_a_folder_above_is_harmless(tmp_path):
    write(tmp_path, tree())
    (tmp_path / "train" / "n00000001_dog" / "loop").symlink_to(tmp_path, target_is_directory=True)
    check_tree(open_data(tmp_path, 6, progress=False))


@pytest.mark.parametrize("name", ["valid", "validation", "test", "Val"])
def test_other_names_of_the_validation_folder(name, tmp_path, capsys):
    check_tree(open_data(write(tmp_path, tree(splits=("train/", f"{name}/"))), 6, progress=False))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("under", ["", "train/"])
def test_a_tenth_is_held_out(under, tmp_path, capsys):
    files = tree(30, (under,)) | {f"{under}emu/{k}.png": png(image(k)) for k in range(2)}
    path = write_zip(
        tmp_path / "a.zip", files | ({"spare/x/y.png": png(image(0))} if under else {})
    )
    first, again, other = (open_data(path, 6, progress=False, seed=seed) for seed in (0, 0, 1))
    assert first.classes == ["emu", "dog", "cat"]
    assert np.bincount(first.val.labels).tolist() == [1, 3, 3] and np.bincount(
        first.train.labels
    ).tolist() == [
        1,
        27,
        27,
    ]
    assert sorted(first.train.names + first.val.names) == sorted(files)
    assert first.val.names == again.val.names != other.val.names
    for name, pixels in zip(first.val.names, first.val.read(range(7)), strict=True):
        assert_same(pixels, np.asarray(Image.open(io.BytesIO(files[name]))))
    assert "7 pictures, a tenth of each class, are held out" in capsys.readouterr().err


def test_class_names_keep_their_number_where_two_would_be_equal(tmp_path):
    classes = ("n00000001_crane", "n00000002_crane", "n00000003_fish", "n00000004_", "plain")
    found = open_data(write(tmp_path, tree(2, classes=classes)), 6, progress=False)
    assert found.classes == ["n00000001_crane", "n00000002_crane", "fish", "n00000004_", "plain"]


@pytest.mark.parametrize("budget", [data.BUDGET, 0], ids=["in memory", "read anew"])
def test_what_is_no_image_is_counted_listed_and_skipped(budget, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(decode, "BUDGET", budget)
    files = tree()
    dog, cat = "train/n00000001_dog/", "train/n00000002_cat/"
    files |= {
        dog + "0a.jpg": b"This is text.",
        dog + "empty.png": b"",
        cat + "2.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    }
    files[cat + "10.png"] = png(image(77))[:40]
    check_tree(open_data(write_zip(tmp_path / "a.zip", files), 6, progress=False))
    text = capsys.readouterr().err
    assert text == (
        f"4 of 10 files are no readable pictures and were skipped: {dog}0a.jpg, {cat}2.eps are in a format that is not "
        f"read; {dog}empty.png is empty; {cat}10.png is cut off or damaged.\n"
    )


def test_a_file_that_breaks_later_is_grey_and_named_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(decode, "BUDGET", 0)
    write(tmp_path, tree())
    split = open_data(tmp_path, 6, progress=False).train
    (tmp_path / "train/n00000001_dog/1.png").write_bytes(b"gone")
    for _ in range(2):
        images = split.read([1, 2])
        assert (images[0] == 128).all() and (images[1] == image(2)).all()
    assert capsys.readouterr().err.count("1.png can no longer be read") == 1


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds no class folders with pictures"),
        ({"a.png": b"", "b.png": b""}, "holds no class folders with pictures"),
        ({f"cat/{k}.png": png(image(k)) for k in range(9)}, "one class only (cat)"),
        (
            tree() | {"train/n3_emu/0.jpg": b"text", "val/n3_emu/0.png": png(image(0))},
            "n3_emu of",
        ),
        (
            {name: b"text" for name in tree()},
            "none of 6 files can be read as a picture: train/n00000001_dog/0.png",
        ),
        (tree() | {"train/n3_emu/0.png": png(image(0))}, "differ in class n3_emu"),
        (tree() | {"train/n3_emu/": b""}, "differ in class n3_emu"),
        (tree() | {"train/n3_emu/": b"", "val/n3_emu/0.png": png(image(0))}, "n3_emu of"),
        (tree(1, ("",)), "one picture per class"),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_bad_folder_is_refused_in_a_sentence(kind, files, words, tmp_path):
    if kind == "zip":
        path = write_zip(tmp_path / "a.zip", files)
    else:
        path = tmp_path / "a"
        path.mkdir()
        write(path, {name: contents for name, contents in files.items() if not name.endswith("/")})
        for name in files:
            (path / name).mkdir(parents=True, exist_ok=True) if name.endswith("/") else None
        words = words.replace(" train", f" {path}/train")
    with pytest.raises(RawconvError) as error:
        open_data(path, 6, progress=False)
    assert words in sentence(error) and "a" in sentence(error)


def test_bad_paths(tmp_path):
    for source in (
        tmp_path / "none",
        "scenes:",
        "scenes:0",
        "scenes:x",
        "scenes:-3",
        "scenes:1.5",
        "scenes:" + "9" * 30,
    ):
        with pytest.raises(UsageError) as error:
            open_data(source, progress=False)
        assert str(source) in sentence(error)
    with pytest.raises(UsageError):
        open_data("scenes", 4000)
    whole = write_zip(tmp_path / "whole.zip", tree()).read_bytes()
    for name, contents in [("a.zip", whole[:-200]), ("b.zip", b""), ("c.png", png(image(0)))]:
        (tmp_path / name).write_bytes(contents)
        with pytest.raises(RawconvError, match="no folder and no intact zip") as error:
            open_data(tmp_path / name, progress=False)
        assert name in sentence(error)


def test_an_entry_that_unpacks_to_too_much_is_no_image(tmp_path, monkeypatch, capsys):
    files = tree() | {"train/n00000002_cat/3.png": png(image(0)) + bytes(1000)}
    monkeypatch.setattr(folder, "LARGEST", 999)
    check_tree(open_data(write_zip(tmp_path / "a.zip", files), 6, progress=False))
    assert capsys.readouterr().err.startswith("1 of 7 files")


def test_bytes_lost_inside_a_zip_cost_one_image(tmp_path, capsys):
    path = write_zip(tmp_path / "a.zip", tree())
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"IDAT") + 20] ^= 255
    path.write_bytes(raw)
    assert len(open_data(path, 6, progress=False).train) == 5
    assert capsys.readouterr().err.startswith("1 of 6 files")


def test_scenes():
    found = open_data("scenes:300", 32, progress=False, seed=4)
    assert (
        found.name == "scenes"
        and found.source == "scenes:300"
        and found.classes == list(scenes.CLASSES)
    )
    assert (
        len(found.train) == 300
        and len(found.val) == 2000
        and found.val.names[1] == "scene 1000000001"
    )
    for split, first in ((found.train, 0), (found.val, 1_000_000_000)):
        images, labels = scenes.draw(first + np.array([7, 290]), 32, 4)
        assert_same(split.read([7, 290]), images)
        assert_same(split.labels[[7, 290]], labels)


@pytest.mark.parametrize("kind", [scenes, framed], ids=["scenes", "framed"])
def test_a_scene_is_drawn_when_it_is_first_read_and_only_then(kind, monkeypatch):
    drawn, draw = [], kind.draw
    monkeypatch.setattr(
        kind, "draw", lambda ids, *more: drawn.extend(ids.tolist()) or draw(ids, *more)
    )
    found = open_data(f"{kind.__name__.rpartition('.')[2]}:300", 32, progress=False, seed=5)
    assert_same(found.train.labels, draw(np.arange(300), 32, 5)[1])
    assert drawn == [] and len(found.val) == 2000, (
        "a command that never reads a split need not wait for it"
    )
    for ids in ([7, 299, 7], [], [8, 7]):
        assert_same(found.train.read(ids), draw(np.arange(300), 32, 5)[0][np.array(ids, int)])
    assert drawn == [7, 299, 8]


@pytest.mark.skipif(
    not PHOTOS, reason="RAWCONV_PHOTOS (the folder of tinyimagenet10.zip) is not set"
)
def test_real_photos(capfd):
    path = pathlib.Path(PHOTOS) / "tinyimagenet10.zip"
    found = open_data(path, progress=False)
    assert (
        len(found.train) == 5000
        and len(found.val) == 500
        and found.classes[:3] == ["koala", "ladybug", "red_panda"]
    )
    assert capfd.readouterr() == ("", "")
    with zipfile.ZipFile(path) as archive:
        for split in (found.train, found.val):
            for i in range(0, len(split), 97):
                want = Image.open(io.BytesIO(archive.read(split.names[i]))).convert("RGB")
                assert_same(split.read([i])[0], np.asarray(want))


def test_opening_needs_no_heavy_import():
    """A command's --help imports rawconv.data; it must not wait for Numba or Pillow."""
    import subprocess

    code = "import sys, rawconv.data; sys.exit(any(name in sys.modules for name in ('numba', 'PIL', 'tqdm', 'h5py')))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
