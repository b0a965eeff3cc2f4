"""A checkpoint meets other pictures: classes go by their names, and what is tested is what was asked for."""

import csv
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from test_data_sources import image, png, sentence, tree, write

from rawconv import checkpoint, models
from rawconv.cli.train import main
from rawconv.data import open_data
from rawconv.data.subset import in_order, together
from rawconv.errors import RawconvError
from rawconv.files.csv_text import csv_text, read_csv
from rawconv.machine.arrays import Device
from rawconv.training import runs, testing

SMALL = dict(device=Device(), say=lambda line: None)


def net_of(classes, order=None):
    """A random net; order: the rows of its last layer."""
    net = models.build("zf32", classes, None, np.full((32, 32, 3), 128, np.float32), 0)
    rng, last = np.random.default_rng(5), net["fc8"]
    weight = rng.standard_normal(last.weight.shape).astype(np.float32)
    last.weight = np.ascontiguousarray(weight[..., order or range(len(classes))])
    return net


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """photos/train, val and test with 5, 4 and 3 pictures of emu, dog and cat."""
    monkeypatch.chdir(tmp_path)
    counts = {"train": 5, "val": 4, "test": 3}
    files = {
        f"{split}/{name}/{k}.png": png(image(100 * c + 10 * k + count, 32, 32))
        for split, count in counts.items() for c, name in enumerate(("cat", "dog", "emu")) for k in range(count)
    }  # fmt: skip
    return write(tmp_path / "photos", files)


def test_classes_go_by_their_names(photos):
    """Two nets that are one but for the order of their classes get the same accuracy, each with its
    own matrix.
    """
    checkpoint.save("a.h5", net_of(["cat", "dog", "emu"]), {"data": "photos"})
    checkpoint.save("b.h5", net_of(["emu", "cat", "dog"], [2, 0, 1]), {"data": "photos"})
    a, b = (testing.test_checkpoint(f"{name}.h5", None, out=name, **SMALL) for name in "ab")
    assert (
        a["top1"] == b["top1"]
        and a["loss"] == pytest.approx(b["loss"], abs=1e-6)
        and a["pictures"] == 12
    )
    table = {}
    for name in "ab":
        with open(f"{name}/confusion.csv") as file:
            head, *rows = csv.reader(file)
        table[name] = {(row[0], head[k]): row[k] for row in rows for k in range(1, 4)}
    assert table["a"] == table["b"] and len(set(table["a"].values())) > 1
    run = runs.start(data="photos", weights="b.h5")
    want = open_data("photos", 32, progress=False).train
    for i in range(15):
        assert run.data.classes[run.data.train.labels[i]] == ["cat", "dog", "emu"][want.labels[i]]
    assert run.data.classes == ["emu", "cat", "dog"] and run.data.source == "photos"


def test_other_classes_are_refused_by_name(photos):
    checkpoint.save("a.h5", net_of(["cat", "dog", "yak", "gnu"]), {"data": "photos"})
    with pytest.raises(
        RawconvError, match=r"photos lacks yak, gnu and a\.h5 does not know emu"
    ) as error:
        testing.test_checkpoint("a.h5", None, **SMALL)
    sentence(error)
    checkpoint.save(
        "b.h5",
        net_of(["cat", "dog", "emu", *(f"{k}{'x' * 500}" for k in range(9))]),
        {"data": "photos"},
    )
    with pytest.raises(RawconvError, match=r"lacks 0x+…, 1x+…, 2x+… and 6 others; choose") as error:
        runs.start(data="photos", weights="b.h5")
    sentence(error)


@pytest.mark.parametrize(
    ("split", "count"), [(None, 12), ("train", 15), ("val", 12), ("test", 9), ("all", 36)]
)
def test_what_is_tested_is_said(split, count, photos):
    checkpoint.save("a.h5", net_of(["cat", "dog", "emu"]), {"data": "photos"})
    words = [
        "--test-only",
        "--weights",
        "a.h5",
        "--device",
        "cpu",
        "--out",
        "t",
        *(["--split", split] if split else []),
    ]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    results = json.loads((photos.parent / "t/test.json").read_text())
    assert results["pictures"] == count and results["split"] == (split or "val")
    word = {"train": "training pictures", "test": "test pictures", "all": "pictures, all"}.get(
        split, "validation"
    )
    assert f"a.h5 on the {count} {word}" in done.stdout


def test_a_folder_of_test_images_alone_is_tested_whole(photos, capfd):
    checkpoint.save("a.h5", net_of(["cat", "dog", "emu"]), {"data": "photos/train"})
    for split in (None, "all", "test"):
        found = testing.test_checkpoint("a.h5", "photos/test", split=split, out="t", **SMALL)
        assert found["pictures"] == 9 and found["split"] == (split or "all")
    assert "held out" not in capfd.readouterr().err
    assert (
        testing.test_checkpoint("a.h5", "photos/test", split="val", out="t", **SMALL)["pictures"]
        == 3
    ), "a tenth, one of each class"
    for own in (None, "photos/train", str(photos / "train")):
        assert testing.test_checkpoint("a.h5", own, out="t", **SMALL)["pictures"] == 3, (
            "what the net was not trained on"
        )
    with pytest.raises(RawconvError, match="has no pictures for tests"):
        testing.test_checkpoint("a.h5", None, split="test", out="t", **SMALL)


def test_training_images_are_no_tests(photos):
    """A folder has test/ without classes, as Kaggle's, or no test/ at all: of neither are the
    others tested as such.
    """
    checkpoint.save("a.h5", net_of(["cat", "dog", "emu"]), {"data": "elsewhere"})
    for name in ("val", "test"):
        shutil.rmtree(photos / name)
    for _ in range(2):
        with pytest.raises(RawconvError, match="photos has no pictures for tests"):
            testing.test_checkpoint("a.h5", "photos", split="test", out="t", **SMALL)
        assert testing.test_checkpoint("a.h5", "photos", out="t", **SMALL)["split"] == "all"
        (photos / "test").mkdir(exist_ok=True)
        shutil.copy(photos / "train/cat/0.png", photos / "test/1.png")


def test_accents_as_one_character_or_two_are_the_same_class(photos):
    """Also in a checkpoint or packed file that was written when they were kept as they came."""
    apart, joined = "cafe\u0301", "caf\u00e9"
    (photos / "train/emu").rename(photos / "train" / apart)
    checkpoint.save("a.h5", net_of([apart, "cat", "dog"]), {"data": "elsewhere"})
    checkpoint.save("b.h5", net_of([joined, "cat", "dog"]), {"data": "elsewhere"})
    for net in ("a.h5", "b.h5"):
        assert testing.test_checkpoint(net, "photos/train", out="t", **SMALL)["pictures"] == 15
    checkpoint.save("c.h5", net_of([joined, apart, "cat", "dog"]), {"data": "elsewhere"})
    with pytest.raises(RawconvError, match="photos/train lacks cafe"):
        testing.test_checkpoint("c.h5", "photos/train", out="t", **SMALL)


def test_splits_together(tmp_path):
    data = open_data(write(tmp_path, tree()), 6, progress=False)
    both = together([data.train, data.val])
    ids = [11, 0, 6, 5, 6]
    assert (both.read(ids) == np.stack([image(k) for k in ids])).all() and len(both) == len(
        both.names
    ) == 12
    other = in_order(data, ["cat", "dog"])
    assert other.classes == ["cat", "dog"] and other.wnids == ["n00000002", "n00000001"]
    assert (other.train.labels == 1 - data.train.labels).all() and (
        other.val.read(ids[1:2]) == data.val.read([0])
    ).all()


def test_all_tables_are_written_by_one_function():
    for path in pathlib.Path(runs.__file__).parent.parent.rglob("*.py"):
        assert (
            not re.search(r"csv\.(Dict)?[Ww]riter", path.read_text()) or path.name == "csv_text.py"
        ), path


def test_a_name_is_no_formula_in_a_spreadsheet():
    evil = ["=HYPERLINK(1)", "+1+cmd", "-x", "@SUM(1)", "\tx", "it's", "'quoted", "-3", "caf\udce9"]
    text = csv_text([evil, [1, -2.5, "-2.5e-07", None, "", "x,\n", True]])
    assert (
        text.splitlines()[0]
        == r"'=HYPERLINK(1),'+1+cmd,'-x,'@SUM(1),'" + "\t" + r"x,it's,'quoted,-3,caf\udce9"
    )
    assert text.splitlines()[1:] == ['1,-2.5,-2.5e-07,,,"x,', '",True']
    assert read_csv(text)[0] == [*evil[:-1], r"caf\udce9"]
