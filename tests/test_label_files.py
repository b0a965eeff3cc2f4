"""Classes from a list: name and class, Tiny-ImageNet's annotations, ILSVRC's numbers; wnids that go along."""

import unicodedata

import numpy as np
import pytest
from click.testing import CliRunner
from test_data_sources import check_tree, image, png, sentence, tree, write, write_zip

from rawconv import checkpoint
from rawconv.cli.train import main as train_command
from rawconv.data import label_files, open_data
from rawconv.data.sources import source_text
from rawconv.data.splits import wnid
from rawconv.errors import RawconvError, UsageError

NAMES = ["dog"] * 10 + ["cat, big"] * 10
ROWS = {
    "header": 'Image_ID,width,Breed\n{0}.png,6,dog\n{1}.png,6,"cat, big"\n',
    "unknown header": 'wie,was\n{0}.png,dog\n{1}.png,"cat, big"\n',
    "no header": '{0}.png,dog\n{1}.png,"cat, big"\n',
    "no endings": 'id,breed\n{0},dog\n{1},"cat, big"\n',
    "paths": 'name,class\nimages/{0}.png,dog\n.\\images\\{1}.png,"cat, big"\n',
    "paths from above": 'name,class\nmine/images/{0}.png,dog\nmine/images/{1}.png,"cat, big"\n',
    "tabs": "{0}.png\tdog\t1 2\r\n{1}.png\tcat, big\t3 4\r\n",
    "semicolons": "\ufefffile;label\n{0}.png;dog\n{1}.png;cat, big\n",
}


def flat(folder=""):
    return {f"{folder}{k}.png": png(image(k)) for k in range(20)}


def listed(rows):
    """The file of such rows, each repeated for 10 pictures of its class."""
    lines = rows.splitlines(keepends=True)
    return "".join(
        line.format(k, k + 10) for line in lines for k in (range(10) if "{" in line else range(1))
    )


def check(found):
    assert found.classes == ["cat, big", "dog"] and len(found.train) == 18 and len(found.val) == 2
    for split in (found.train, found.val):
        for name, label, pixels in zip(
            split.names, split.labels, split.read(range(len(split))), strict=True
        ):
            number = int(name.rpartition("/")[2].partition(".")[0])
            assert found.classes[label] == NAMES[number] and (pixels == image(number)).all()


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_a_list_of_names_and_classes(rows, kind, tmp_path, capsys):
    (tmp_path / "list.csv").write_bytes(listed(rows).encode())
    where, path = (
        write if kind == "folder" else write_zip,
        tmp_path / ("mine" if kind == "folder" else "mine.zip"),
    )
    path = where(path, flat("images/") | {"images/notes.txt": b"x"})
    check(open_data(source_text(str(path), labels=str(tmp_path / "list.csv")), 6, progress=False))
    assert capsys.readouterr().err.count("\n") == 1  # of the tenth held out


@pytest.mark.parametrize("marks", [("1", "0"), ("1.0", "0.0")])
@pytest.mark.parametrize("head", ["image,dog,emu,", ",dog,emu,", "name,dog,emu,"])
def test_a_column_a_class(head, marks, tmp_path, capsys):
    """As in the lists of ISIC and of Kaggle's plants; emu is of no picture."""
    one, zero = marks
    rows = f'{head}"cat, big"\n{{0}},{one},{zero},{zero}\n{{1}},{zero},{zero},{one}\n'
    (tmp_path / "list.csv").write_text(listed(rows))
    check(
        open_data(
            source_text(str(write(tmp_path / "mine", flat())), labels=str(tmp_path / "list.csv")), 6
        )
    )
    assert "no pictures" not in capsys.readouterr().err


def test_names_with_accents_as_one_character_or_two(tmp_path):
    for one, two in (("NFC", "NFD"), ("NFD", "NFC")):
        files = {
            unicodedata.normalize(one, f"é/à{name}"): content for name, content in flat().items()
        }
        write(tmp_path / one, files)
        rows = unicodedata.normalize(two, 'é/à{0}.png,dog\né/à{1}.png,"cat, big"\n')
        (tmp_path / f"{one}.csv").write_text(listed(rows), encoding="utf-8")
        found = open_data(
            source_text(str(tmp_path / one), labels=str(tmp_path / f"{one}.csv")), 6, progress=False
        )
        assert (len(found.train), len(found.val), found.classes) == (18, 2, ["cat, big", "dog"])


def test_what_a_list_and_a_folder_do_not_share_is_said(tmp_path, capsys):
    write(tmp_path / "mine", flat() | {"99.png": png(image(1)), "98.jpg": b""})
    (tmp_path / "list.csv").write_text(listed(ROWS["header"]) + "gone.png,6,dog\nlost.png,6,emu\n")
    check(
        open_data(
            source_text(str(tmp_path / "mine"), labels=str(tmp_path / "list.csv")),
            6,
            progress=False,
        )
    )
    said = capsys.readouterr().err
    assert (
        "2 names in" in said
        and "gone.png, lost.png" in said
        and "are not in the list" in said
        and "2 (98.jpg" in said
    )


def test_a_list_for_flat_splits(tmp_path):
    """Kaggle's train/, train.csv and test/ without labels; and a list of both splits."""
    files = {f"train/{k}.png": png(image(k)) for k in range(20)} | {
        f"test/{k + 50}.png": png(image(k)) for k in (1, 2)
    }
    (tmp_path / "list.csv").write_text(listed(ROWS["header"]))
    source = source_text(str(write(tmp_path / "mine", files)), labels=str(tmp_path / "list.csv"))
    check(open_data(source, 6, progress=False))
    with open(tmp_path / "list.csv", "a") as file:
        file.write('50.png,6,dog\n51.png,6,"cat, big"\n52.png,6,dog\n')
    found = open_data(source, 6, progress=False)
    assert (
        len(found.train) == 20
        and found.test is found.val
        and sorted(found.val.labels.tolist()) == [0, 1]
    )
    assert {name[-6:] for name in found.val.names} == {"51.png", "52.png"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty"),
        (b"0.png,dog\n1.png\n", "line 2 of"),
        (b"0.png,dog\n1.png,\n", "line 2 of"),
        (b"0.png,dog\n1.png,cat\n0.png,cat\n", "line 3 of .* gives 0.png a second class, cat"),
        (b"x.png,dog\ny.png,cat\n", "no name in .* is that of a picture"),
        (b"a.png,dog\n", "a.png in line 1 of .* may be d1/a.png or d2/a.png"),
        (b"other/0.png,dog\nother/1.png,cat\n", "no name in"),
        (b"\x00\x01", "is no list of names and classes in UTF-8"),
        (b'0.png,"' + b"x" * 200000, "line 1 of .* cannot be read"),
        (b"1\n2\n", "numbers alone; .* --synsets FILE"),
        (b"0.png,dog\n", "one class only"),
        (
            b"image,dog,cat\n0.png,1,0\n1.png,1,1\n",
            "line 3 of .* marks 2 of the classes .* a picture is of one",
        ),
        (b"image,dog,cat\n0.png,0,0\n1.png,0,1\n", "line 2 of .* marks 0 of the classes"),
    ],
)
def test_bad_lists_are_refused_in_a_sentence(text, words, tmp_path):
    write(
        tmp_path / "mine",
        {f"in/{k}.png": png(image(k)) for k in range(3)} | {f"d{k}/a.png": b"" for k in (1, 2)},
    )
    (tmp_path / "l.csv").write_bytes(text)
    with pytest.raises(RawconvError, match=words) as error:
        open_data(
            source_text(str(tmp_path / "mine"), labels=str(tmp_path / "l.csv")), 6, progress=False
        )
    sentence(error)


def test_lists_that_are_no_files(tmp_path):
    write(tmp_path / "mine", flat())
    for path, error in ((tmp_path, RawconvError), (tmp_path / "none", UsageError)):
        with pytest.raises(error):
            open_data(source_text(str(tmp_path / "mine"), labels=str(path)), 6, progress=False)


TINY = "val_0.JPEG\tn00000002\t0\t32\t44\t62\nval_1.JPEG\tn00000001\t52\t55\t57\t59\n"


@pytest.mark.parametrize("around", ["", "tiny-imagenet-200/"])
def test_tiny_imagenet_as_it_comes(around, tmp_path, capsys):
    """train/<wnid>/images/, val/images/ with val_annotations.txt, test/images/ without labels,
    wnids.txt, words.txt.
    """
    files = {
        f"train/{n}/images/{n}_{k}.JPEG": png(image(k))
        for n in ("n00000001", "n00000002")
        for k in range(3)
    }
    files |= {f"val/images/val_{k}.JPEG": png(image(10 + k)) for k in range(2)}
    files |= {"val/val_annotations.txt": TINY.encode(), "test/images/test_0.JPEG": png(image(20))}
    files = {
        around + name: contents
        for name, contents in (files | {"wnids.txt": b"", "words.txt": b""}).items()
    }
    found = open_data(write_zip(tmp_path / "tiny.zip", files), 6, progress=False)
    assert found.classes == found.wnids == ["n00000001", "n00000002"] and len(found.train) == 6
    assert found.val.names[0].endswith("val_1.JPEG") and found.val.labels.tolist() == [0, 1]
    assert (found.val.read([1])[0] == image(10)).all() and found.test is None
    said = capsys.readouterr().err
    assert (
        said.count("\n") == 1
        and "in test that no folder or list gives a class, left out: 1" in said
    )


def ilsvrc():
    """train/<wnid>_<name>/ and a flat val/ of four pictures, of classes 2, 1, 1, 2."""
    files = {name: contents for name, contents in tree().items() if name.startswith("train")}
    return files | {f"val/ILSVRC2012_val_0000000{k}.JPEG": png(image(60 + k)) for k in range(1, 5)}


TRUTH, SYNSETS = "2\n1\n1\n2\n", "n00000002 cat, house cat\nn00000001 dog\n"


def check_ilsvrc(found):
    assert (
        found.classes == ["dog", "cat"]
        and found.wnids == ["n00000001", "n00000002"]
        and len(found.train) == 6
    )
    assert found.val.labels.tolist() == [0, 0, 1, 1]
    assert (
        found.val.names[0].endswith("_00000001.JPEG")
        and (found.val.read([2])[0] == image(62)).all()
    )


@pytest.mark.parametrize("synsets", [SYNSETS, "n00000001 2 dog\nn00000002 1 cat\n"])
def test_the_flat_validation_images_of_ilsvrc(synsets, tmp_path, capsys):
    (tmp_path / "truth.txt").write_text(TRUTH)
    (tmp_path / "synsets.txt").write_text(synsets)
    how = {"labels": str(tmp_path / "truth.txt"), "synsets": str(tmp_path / "synsets.txt")}
    root = write(tmp_path / "imagenet", ilsvrc())
    check_ilsvrc(open_data(source_text(str(root), **how), 6, progress=False))
    check_ilsvrc(
        open_data(source_text(train=f"{root}/train", val=f"{root}/val", **how), 6, progress=False)
    )
    whole = open_data(source_text(f"{root}/val", **how), 6, progress=False, whole=True)
    assert whole.classes == ["n00000001", "n00000002"] and whole.val.labels.tolist() == [0, 0, 1, 1]
    write(root, {f"kit/{label_files.TRUTH}": TRUTH.encode(), "kit/synsets.txt": synsets.encode()})
    check_ilsvrc(open_data(root, 6, progress=False))
    assert capsys.readouterr() == ("", "")


def test_numbers_that_do_not_fit_are_refused(tmp_path):
    root = write(tmp_path / "imagenet", ilsvrc())
    files = {
        "truth.txt": TRUTH,
        "short.txt": "1\n2\n",
        "high.txt": "1\n3\n1\n1\n",
        "synsets.txt": SYNSETS,
    }
    files["sorted.txt"] = "".join(f"n{k:08d} word\n" for k in range(1000))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for labels, synsets, words in (
        ("short", "synsets", "2 lines, and .* 4 pictures"), ("high", "synsets", "names class 3"),
        ("truth", "sorted", "alphabetical order"),
    ):  # fmt: skip
        with pytest.raises(RawconvError, match=words) as error:
            how = {"labels": f"{tmp_path}/{labels}.txt", "synsets": f"{tmp_path}/{synsets}.txt"}
            open_data(source_text(str(root), **how), 6, progress=False)
        sentence(error)


def test_kaggles_boxes_are_not_part_of_a_class():
    rows = label_files.parse(
        b"ImageId,PredictionString\na,n03995372 85 1 499 272 n03995372 1 2 3 4\nb,n1 2\n", "x"
    ).rows
    assert [label for _, _, label in rows] == ["n03995372", "n1 2"]


def test_wnids():
    names = [
        "n01882714_koala",
        "n01882714",
        "n0188271",
        "n018827145",
        "N01882714",
        "koala",
        "n01882714koala",
    ]
    assert [wnid(name) for name in names] == ["n01882714"] * 2 + [""] * 5


def test_a_training_keeps_the_list_and_the_wnids(tmp_path, monkeypatch):
    """The checkpoint names the data set with its list, so that it is found again; --labels and
    --train as options.
    """
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path / "d",
        {name.replace("cat", "cat, big"): contents for name, contents in tree(12).items()},
    )
    words = "--model zf32 --epochs 1 --batch 8 --device cpu --out r"
    done = CliRunner().invoke(
        train_command, ["--train", "d/train", "--val", "d/val", *words.split()]
    )
    assert done.exit_code == 0, done.output
    net, info, _ = checkpoint.load("r/last.h5")
    assert info["wnids"] == ["n00000001", "n00000002"] and net.classes == ["dog", "cat, big"]
    words = "--weights r/last.h5 --device cpu --json --out t"
    done = CliRunner().invoke(train_command, ["--test-only", *words.split()])
    assert (
        done.exit_code == 0 and '"split": "val"' in done.stdout and '"pictures": 24' in done.stdout
    ), done.output
    for wrong in ("--val d/val", "--data d --train d/train", "--data d --synsets x", "--split val"):
        assert CliRunner().invoke(train_command, wrong.split()).exit_code == 2
    assert np.isfinite(info["history"][0]["val_loss"])


def test_a_list_beside_class_folders_that_it_does_not_concern(tmp_path):
    write(tmp_path / "mine", tree())
    (tmp_path / "l.csv").write_text("7.png,dog\n")
    with pytest.raises(RawconvError, match="no name in"):
        open_data(
            source_text(str(tmp_path / "mine"), labels=str(tmp_path / "l.csv")), 6, progress=False
        )
    check_tree(open_data(tmp_path / "mine", 6, progress=False))
