"""The table of a MATLAB file, and ILSVRC's development kit read with its meta.mat as it comes."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from mat_files import COMPRESSED, header, meta
from test_data_sources import image, png, sentence, tree, write

from rawconv.data import label_files, mat_file, open_data
from rawconv.data.sources import source_text
from rawconv.errors import RawconvError
from rawconv.files.storage import Wrong

SYNSETS = [(1, "n00000002", "cat"), (2, "n00000001", "dog é"), (1001, "n00000003", "animal")]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compressed", [False, True])
def test_rows_and_fields(order, compressed):
    data = meta(SYNSETS, order, compressed)
    rows = mat_file.table(data)
    assert mat_file.is_mat(data) and not mat_file.is_mat(data[:127])
    assert [(row["ILSVRC2012_ID"], row["WNID"], row["words"]) for row in rows] == [
        ([float(number)], *texts) for number, *texts in SYNSETS
    ]
    assert [row["children"] for row in rows] == [[], [], [1, 2]]


@pytest.mark.parametrize("compressed", [False, True])
def test_rows_that_another_program_wrote(compressed):
    savemat = pytest.importorskip("scipy.io", reason="scipy writes the file").savemat
    table = np.empty((3, 1), [(name, "O") for name in ("ILSVRC2012_ID", "WNID", "words", "pairs")])
    for k, (number, wnid, words) in enumerate(SYNSETS):
        table[k, 0] = (float(number), wnid, words, np.zeros((2, 2), np.uint8))
    file = io.BytesIO()
    savemat(file, {"a": "text", "synsets": table}, do_compression=compressed)
    rows = mat_file.table(file.getvalue())
    assert [(*row["ILSVRC2012_ID"], row["WNID"], row["words"]) for row in rows] == SYNSETS
    assert rows[0]["pairs"] == [0] * 4


def test_damaged_files_are_refused():
    whole = meta(SYNSETS, compressed=False)
    for end in range(128, len(whole) - 1, 41):
        with pytest.raises(Wrong):
            mat_file.table(whole[:end])
    rng = np.random.default_rng(0)
    for data in (whole, meta(SYNSETS)):
        for place in rng.integers(128, len(data), 200):
            changed = bytearray(data)
            changed[place] ^= int(rng.integers(1, 256))
            with contextlib.suppress(Wrong):
                mat_file.table(bytes(changed))
    with pytest.raises(Wrong, match="without a table"):
        mat_file.table(header())


def test_a_small_file_does_not_unpack_to_a_large_one(monkeypatch):
    monkeypatch.setenv("RAWCONV_FILE_MB", "1")
    packed = zlib.compress(bytes(3_000_000))
    data = header() + struct.pack("<2I", COMPRESSED, len(packed)) + packed
    with pytest.raises(Wrong, match="unpacks to more than"):
        mat_file.table(data)


def kit(meta_mat):
    """{name: content}: train/, a flat val/ of classes 2, 1, 1, 2 and the development kit beside them."""
    where = "ILSVRC2012_devkit_t12/data"
    files = {name: contents for name, contents in tree().items() if name.startswith("train")}
    files |= {f"val/ILSVRC2012_val_0000000{k}.JPEG": png(image(60 + k)) for k in range(1, 5)}
    return files | {f"{where}/{label_files.TRUTH}": b"2\n1\n1\n2\n", f"{where}/meta.mat": meta_mat}


def labels_of(found):
    return {
        name[-6]: found.wnids[label]
        for name, label in zip(found.val.names, found.val.labels, strict=True)
    }


@pytest.mark.parametrize("named", [False, True])
def test_the_development_kit_is_found_or_named(named, tmp_path, capsys):
    root = write(tmp_path / "imagenet", kit(meta(SYNSETS)))
    (root / "synset_words.txt").write_text("n00000001 dog\nn00000002 cat\n")  # another order
    source = str(root)
    if named:
        data = root / "ILSVRC2012_devkit_t12/data"
        source = source_text(source, labels=data / label_files.TRUTH, synsets=data / "meta.mat")
    found = open_data(source, 6, progress=False)
    want = {"1": "n00000001", "2": "n00000002", "3": "n00000002", "4": "n00000001"}
    assert labels_of(found) == want and len(found.train) == 6
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (meta(SYNSETS)[:-9], "damaged file of MATLAB; copy it"),
        (meta(SYNSETS, compressed=False).replace(b"WNID", b"NAME"), "no columns ILSVRC2012_ID and"),
        (b"n00000002\0", "no list of names and classes in UTF-8"),
    ],
)
def test_a_meta_mat_that_says_nothing_is_refused_in_a_sentence(content, words, tmp_path):
    root = write(tmp_path / "imagenet", kit(content))
    with pytest.raises(RawconvError, match=words) as error:
        open_data(str(root), 6, progress=False)
    sentence(error)
