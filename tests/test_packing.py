"""Packing: what it takes, leaves out and reports, and that an interrupted one ends with the same bytes."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from laws import assert_same
from pets import pack_photos
from test_data_sources import image, png, write, write_zip

from rawconv.data import decode, open_data, packed, packing
from rawconv.errors import RawconvError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return pack_photos(tmp_path_factory.mktemp("made"))


def test_packing_leaves_out_and_reports(made, capsys):
    folder, _, facts = made
    assert sorted(facts["unreadable"]) == ["a/broken.jpg", "c/words.txt"]
    assert [sorted(group) for group in facts["duplicates"]] == [["a/3.png", "b/copy.png"]]
    assert facts["in_two_classes"] == 1 and facts["train"] + facts["val"] == 37
    packing.report(facts)
    text = capsys.readouterr().err
    assert "2 of 39 files are no readable pictures" in text and "in two classes: 1" in text
    assert sorted(path.name for path in folder.parent.iterdir()) == ["pets", "pets.h5"], (
        "nothing else is left"
    )


def test_train_and_val_folders_a_zip_and_a_folder_elsewhere(tmp_path):
    files = {f"train/{name}/{k}.png": png(image(k)) for name in "ab" for k in range(3)}
    held = {f"{name}/{k}.png": png(image(10 + k)) for name in "ab" for k in range(2)}
    whole = write(tmp_path / "whole", files | {f"val/{name}": data for name, data in held.items()})
    zipped = write_zip(
        tmp_path / "zipped.zip", {name.removeprefix("train/"): data for name, data in files.items()}
    )
    apart = write(tmp_path / "apart", held)
    for source, val in ((whole, None), (zipped, apart)):
        out = tmp_path / f"{source.stem}.h5"
        facts = packing.pack(source, out, 6, val=val, progress=False)
        assert (facts["train"], facts["val"]) == (6, 4)
        found = open_data(out, 6, progress=False)
        assert_same(found.val.labels, np.array([0, 0, 1, 1]))
        assert_same(found.val.read([0, 3]), np.stack([image(10), image(11)]))
    (apart / "c").mkdir()
    with pytest.raises(RawconvError, match="differ in class c"):
        packing.pack(zipped, tmp_path / "o.h5", 6, val=apart, progress=False)


# ---------------------------------------------------------------------------------------------- interrupted packing


class Stop(Exception):
    pass


@pytest.mark.parametrize("block", [0, 1, 3, 99])
def test_an_interrupted_packing_goes_on_and_ends_with_the_same_bytes(
    block, made, tmp_path, monkeypatch
):
    folder, out, facts = made
    monkeypatch.setattr(packing, "SYNC", 0)
    seen, write_bytes = [], packing._write

    def dies(file, data, place):
        seen.append(place)
        if len(seen) == block + 1 or (block == 99 and place == 0):  # 99: while the end is written
            raise Stop
        write_bytes(file, data, place)

    monkeypatch.setattr(packing, "_write", dies)
    with pytest.raises(Stop):
        packing.pack(folder, tmp_path / "pets.h5", 16, progress=False)
    with pytest.raises(RawconvError, match="is not finished.*it goes on"):
        packed.load(tmp_path / "pets.h5.partial")
    monkeypatch.setattr(packing, "_write", write_bytes)
    decoded, decode_one = [], decode.decode
    monkeypatch.setattr(decode, "decode", lambda *args: decoded.append(1) or decode_one(*args))
    packing.pack(folder, tmp_path / "pets.h5", 16, progress=False)
    assert (tmp_path / "pets.h5").read_bytes() == out.read_bytes()
    assert len(decoded) == max(0, facts["files"] - packing.BLOCK * block)
    assert [path.name for path in tmp_path.iterdir()] == ["pets.h5"]


def test_a_packing_that_was_killed_goes_on(made, tmp_path):
    """SIGKILL as soon as there is a note of how far it came, a few times."""
    folder, out, _ = made
    code = (
        "import sys, time; from rawconv.data import decode, packing; packing.SYNC = 0; one = decode.decode\n"
        "decode.decode = lambda *words: (time.sleep(0.02), one(*words))[1]\n"
        "packing.pack(sys.argv[1], sys.argv[2], 16, progress=False)"
    )
    note = tmp_path / "pets.h5.partial.npz"
    for _ in range(3):
        before = note.stat().st_mtime_ns if note.exists() else 0
        process = subprocess.Popen(
            [sys.executable, "-c", code, folder, tmp_path / "pets.h5"], stderr=subprocess.PIPE
        )
        while (
            process.poll() is None and (note.stat().st_mtime_ns if note.exists() else 0) == before
        ):
            time.sleep(0.005)
        process.kill()
        process.communicate()
    if not (tmp_path / "pets.h5").exists():
        packing.pack(folder, tmp_path / "pets.h5", 16, progress=False)
    assert (tmp_path / "pets.h5").read_bytes() == out.read_bytes()
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.posix
def test_a_packing_that_was_killed_at_its_end_leaves_nothing_behind(made, tmp_path):
    folder, out, _ = made
    code = (
        "import os, signal, sys; from rawconv.data import packed_structure, packing\n"
        "packed_structure._hole = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "packing.pack(sys.argv[1], sys.argv[2], 16, progress=False)"
    )
    killed = subprocess.run([sys.executable, "-c", code, folder, tmp_path / "pets.h5"])
    assert killed.returncode == -signal.SIGKILL and len(list(tmp_path.iterdir())) == 4
    packing.pack(folder, tmp_path / "pets.h5", 16, progress=False)
    assert (tmp_path / "pets.h5").read_bytes() == out.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["pets.h5"]


def test_ctrl_c_saves_at_once(made, tmp_path, monkeypatch):
    folder, out, _ = made
    one, count = packing.BLOCK, iter(range(100))
    decode_one = decode.decode

    def interrupts(*args):
        if next(count) == one:
            signal.raise_signal(signal.SIGINT)
        return decode_one(*args)

    monkeypatch.setattr(decode, "decode", interrupts)
    monkeypatch.setattr(packing, "thread_count", lambda: 0)
    said = []
    with pytest.raises(KeyboardInterrupt):
        packing.pack(folder, tmp_path / "pets.h5", 16, progress=False, say=said.append)
    assert "the same command goes on" in said[0]
    packing.pack(folder, tmp_path / "pets.h5", 16, progress=False)
    assert (tmp_path / "pets.h5").read_bytes() == out.read_bytes()


def test_an_unfinished_packing_of_other_images_is_not_mixed_in(made, tmp_path, monkeypatch):
    folder, *_ = made
    with monkeypatch.context() as patch:
        patch.setattr(packing._Work, "finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            packing.pack(folder, tmp_path / "a.h5", 16, progress=False)
    with pytest.raises(RawconvError, match=r"a\.h5\.partial is the unfinished packing .* --force"):
        packing.pack(folder, tmp_path / "a.h5", 12, progress=False)
    packing.pack(folder, tmp_path / "a.h5", 12, force=True, progress=False)
    assert packed.load(tmp_path / "a.h5").size == 12


@pytest.mark.parametrize("spoil", ["cut", "note", "no note"])
def test_what_is_left_of_a_packing_may_be_broken(spoil, made, tmp_path, monkeypatch):
    folder, out, _ = made
    with monkeypatch.context() as patch:
        patch.setattr(packing._Work, "finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            packing.pack(folder, tmp_path / "a.h5", 16, progress=False)
    partial, note = tmp_path / "a.h5.partial", tmp_path / "a.h5.partial.npz"
    if spoil == "cut":
        os.truncate(partial, packed.START + 100)
    elif spoil == "note":
        note.write_bytes(b"PK")
    else:
        note.unlink()
    packing.pack(folder, tmp_path / "a.h5", 16, force=spoil == "note", progress=False)
    assert (tmp_path / "a.h5").read_bytes() == out.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_what_cannot_be_packed(tmp_path, monkeypatch):
    files = {f"{name}/{k}.png": png(image(k)) for name in "ab" for k in range(3)}
    with pytest.raises(RawconvError, match="no readable training picture"):
        packing.pack(
            write(tmp_path / "x", files | {f"c/{k}.png": b"" for k in range(3)}),
            tmp_path / "x.h5",
            6,
        )
    held = {f"train/{name}": data for name, data in files.items()} | {
        f"val/{name}/0.png": b"" for name in "ab"
    }
    with pytest.raises(RawconvError, match="no readable validation picture"):
        packing.pack(write(tmp_path / "y", held), tmp_path / "y.h5", 6)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(RawconvError, match="GB free; name a file on a larger disk"):
        packing.pack(write(tmp_path / "z", files), tmp_path / "z.h5", 6)
