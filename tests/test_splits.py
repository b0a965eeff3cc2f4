"""Folders as people have them: what is for training, for validation, for a test, and what is
nobody's picture.
"""

import contextlib
import os
import pathlib
import shutil
import tempfile
import unicodedata

import numpy as np
import pytest
from click.testing import CliRunner
from test_data_sources import check_tree, image, png, sentence, tree, write, write_zip

from rawconv.cli.data import main as data_command
from rawconv.data import folder, open_data, splits
from rawconv.data.packed import load
from rawconv.data.sources import Source, absolute, divided, parse, source_text
from rawconv.errors import RawconvError, UsageError

PAIRS = [
    ("Training", "Testing"), ("training", "validation"), ("seg_train", "seg_test"), ("training_set", "test_set"),
    ("train", "dev"), ("train", "eval"), ("TRAIN", "Test"), ("images-train", "images-valid"), ("trainSet", "valSet"),
    ("train2017", "val2017"), ("trainval", "test"),
]  # fmt: skip


def opened(path, **how):
    return open_data(str(path), 6, progress=False, **how)


def moved(files, train, val):
    """tree()'s files in folders of other names."""
    new = {"train": train, "val": val}
    return {
        f"{new[split]}/{rest}": files[f"{split}/{rest}"]
        for split, _, rest in (name.partition("/") for name in files)
    }


@pytest.mark.parametrize("around", ["", "archive/data/"])
@pytest.mark.parametrize("pair", PAIRS)
def test_splits_are_recognised_by_their_words(pair, around, tmp_path, capsys):
    files = {around + name: contents for name, contents in moved(tree(), *pair).items()}
    check_tree(opened(write(tmp_path, files)))
    assert capsys.readouterr() == ("", "")


def test_doubled_folders(tmp_path, capsys):
    files = moved(tree(), "seg_train/seg_train", "seg_test/seg_test") | {
        "seg_pred/seg_pred/7.png": png(image(7))
    }
    check_tree(opened(write_zip(tmp_path / "intel.zip", files)))
    said = capsys.readouterr().err
    assert (
        "neither training nor validation, left out: seg_pred (1)" in said and said.count("\n") == 1
    )


def test_a_third_split_is_for_tests(tmp_path):
    write(tmp_path, tree() | {f"test/n00000002_cat/{k}.png": png(image(50 + k)) for k in range(2)})
    assert opened(tmp_path).test is None
    found = opened(tmp_path, test=True)
    check_tree(found)
    assert found.test.labels.tolist() == [1, 1] and (found.test.read([1])[0] == image(51)).all()
    write(tmp_path, {"test/emu/1.png": png(image(1))})
    assert opened(tmp_path).test is None
    with pytest.raises(RawconvError, match="the test folder of .* has the class emu"):
        opened(tmp_path, test=True)


def test_tests_without_validation_images_are_both(tmp_path):
    found = opened(write(tmp_path, moved(tree(), "train", "test")))
    check_tree(found)
    assert found.test is found.val


def test_a_class_may_be_called_train(tmp_path):
    files = tree(splits=("",), classes=("train", "bus", "test tube"))
    assert opened(write(tmp_path, files)).classes == ["bus", "test tube", "train"]


def test_the_same_folders_without_a_word_are_refused_and_can_be_named(tmp_path):
    root = write(tmp_path / "it", moved(tree(), "first", "second, or so"))
    with pytest.raises(RawconvError) as error:
        opened(root)
    assert f"--train {root / 'first'} --val {root / 'second, or so'}" in sentence(error)
    assert f"if they are the classes themselves, by --train {root}." in sentence(error)
    check_tree(opened(source_text(train=f"{root}/first", val=f"{root}/second, or so")))
    assert opened(source_text(train=root)).classes == ["first", "second, or so"]
    twice = write(tmp_path / "twice", moved(tree(), "train_a", "train_b"))
    with pytest.raises(RawconvError, match=r"train_a, train_b of .* --train .*/train_a --val"):
        opened(twice)


def test_classes_with_unlike_folders_inside_are_no_splits(tmp_path):
    files = {f"{kind}/{age}/{k}.png": png(image(k)) for kind, ages in (("cat", "ab"), ("dog", "cd"))
             for age in ages for k in range(2)}  # fmt: skip
    assert opened(write(tmp_path / "it", files)).classes == ["cat", "dog"]


def test_folders_inside_classes_are_no_splits(tmp_path):
    files = {f"{name}/images/{k}.png": png(image(k)) for name in ("cat", "dog") for k in range(3)}
    assert opened(write(tmp_path, files)).classes == ["cat", "dog"]


def test_annotations_beside_the_images_are_no_split(tmp_path):
    """Stanford Dogs: Images/<breed>/ and, of the same names, Annotation/<breed>/ without pictures."""
    files = {
        name.replace("train", "Images"): file for name, file in tree(splits=("train/",)).items()
    }
    write(tmp_path, files | {name.replace("Images", "Annotation")[:-4]: b"<xml>" for name in files})
    with pytest.raises(
        RawconvError, match="class folder Annotation of .* has no readable training picture"
    ):
        opened(tmp_path)
    assert opened(source_text(train=tmp_path / "Images")).classes == ["dog", "cat"]


def test_images_without_classes_are_left_out_or_asked_about(tmp_path, capsys):
    files = {name: contents for name, contents in tree(20).items() if name.startswith("train")}
    write(tmp_path, files | {"test/1.jpg": png(image(0)), "test/2.jpg": png(image(1))})
    assert len(opened(tmp_path).val) == 4
    said = capsys.readouterr().err
    assert (
        "in test that no folder or list gives a class, left out: 2\n" in said
        and "a tenth of each class" in said
    )
    (tmp_path / "test").rename(tmp_path / "val")
    with pytest.raises(RawconvError, match="val of .* holds no class folders; .* --labels FILE"):
        opened(tmp_path)


JUNK = ("@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", ".AppleDouble", "__MACOSX",
        "$Recycle.Bin", ".ipynb_checkpoints", "@Recycle")  # fmt: skip


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_folders_of_systems_are_never_classes(kind, tmp_path, capsys):
    files = tree()
    for name in JUNK:
        for where in ("", "train/", "val/", "train/n00000001_dog/", "val/n00000002_cat/deep/"):
            files |= {
                f"{where}{name}/0.png": png(image(99)),
                f"{where}{name}/x/1.png": png(image(98)),
            }
    files |= {"train/n00000001_dog/Thumbs.db": b"x", "val/desktop.ini": b"x"}
    path = (
        write(tmp_path / "a", files) if kind == "folder" else write_zip(tmp_path / "a.zip", files)
    )
    check_tree(opened(path))
    assert capsys.readouterr() == ("", "")


def test_loose_images_are_counted_and_said(tmp_path, capsys):
    files = (
        tree()
        | {f"train/{k}.PNG": png(image(k)) for k in range(4)}
        | {"cover.jpg": b"", "train/notes.txt": b""}
    )
    check_tree(opened(write(tmp_path, files)))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and f"Pictures of {tmp_path} that lie beside the class folders" in said[0]
    assert (
        said[0].endswith("left out: 1 (cover.jpg)") and f"{tmp_path / 'train'} that lie" in said[1]
    )
    assert said[1].endswith("left out: 4 (0.PNG, 1.PNG, 2.PNG, ...)")


@contextlib.contextmanager
def nobody():
    """A folder of pictures that this process may read as a user without rights would."""
    path = pathlib.Path(tempfile.mkdtemp())
    path.chmod(0o755)
    write(path, tree())
    before = os.geteuid()
    try:
        yield path
    finally:
        os.seteuid(before)
        (path / "train/n00000002_cat").chmod(0o755)
        shutil.rmtree(path)


@pytest.mark.posix
@pytest.mark.parametrize("what", ["train/n00000002_cat", "train/n00000002_cat/1.png"])
def test_what_may_not_be_read_is_named_and_refused(what):
    with nobody() as path:
        (path / what).chmod(0)
        if os.geteuid() == 0:
            os.seteuid(65534)
        with pytest.raises(
            RawconvError, match=rf"{what} cannot be read \(Permission denied\)"
        ) as error:
            opened(path)
        assert "change its permissions" in sentence(error)


def test_a_link_to_nowhere_is_a_file_that_is_no_image(tmp_path, capsys):
    write(tmp_path, tree())
    (tmp_path / "train/n00000001_dog/9.png").symlink_to("nowhere")
    check_tree(opened(tmp_path))
    assert "1 of 7 files" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["emu", "001.Black_footed_Albatross", "n00000002_cat/more"])
def test_a_class_that_is_a_link_to_nowhere_is_named_and_refused(name, tmp_path):
    write(tmp_path, tree())
    (tmp_path / "train" / name).symlink_to("/gone/disk")
    (tmp_path / "train/.#hidden").symlink_to("nobody@nowhere")
    with pytest.raises(
        RawconvError, match=rf"train/{name} is a link to /gone/disk, which is not there"
    ) as error:
        opened(tmp_path)
    sentence(error)
    (tmp_path / "train" / name).unlink()
    check_tree(opened(tmp_path))


def test_accents_as_one_character_or_two_are_the_same_class(tmp_path, capsys):
    """A Mac's file names have them as two, and a person's lists as one."""
    for one, two in (("NFC", "NFD"), ("NFD", "NFC")):
        names = {
            "train": unicodedata.normalize(one, "café"),
            "val": unicodedata.normalize(two, "café"),
        }
        files = {
            f"{split}/{folder}/{k}.png": png(image(k))
            for split, name in names.items() for folder in (name, "dog") for k in range(2)
        }  # fmt: skip
        found = opened(write(tmp_path / one, files))
        assert found.classes == [unicodedata.normalize("NFC", "café"), "dog"]
        assert found.val.labels.tolist() == [0, 0, 1, 1]
    both = {
        f"{unicodedata.normalize(form, 'é')}/{k}.png": png(image(k))
        for form in ("NFC", "NFD")
        for k in (1, 2)
    }
    assert len(set(opened(write(tmp_path / "both", both)).classes)) == 2, (
        "of folders that differ in it alone"
    )
    assert "differ" not in capsys.readouterr().err


def test_packing_takes_splits_by_name(tmp_path):
    write(tmp_path, moved(tree(), "first", "second"))
    words = ["pack", "--train", f"{tmp_path}/first", "--val", f"{tmp_path}/second", "--size", "6"]
    done = CliRunner().invoke(data_command, [*words, f"{tmp_path}/a.h5"])
    assert done.exit_code == 0, done.output
    found = load(tmp_path / "a.h5")
    assert (
        found.train == 6
        and found.classes == ["dog", "cat"]
        and found.info["wnids"] == ["n00000001", "n00000002"]
    )
    assert opened(tmp_path / "a.h5").wnids == ["n00000001", "n00000002"]
    for wrong in (
        [f"{tmp_path}/b.h5"],
        ["x", "--train", "y", "z"],
        ["x", "y", "z"],
        ["--val", "x", "nothere", "y"],
    ):
        done = CliRunner().invoke(data_command, ["pack", *wrong])
        assert done.exit_code == 2 and "Traceback" not in done.output, done.output


@pytest.mark.parametrize(
    ("name", "kind"),
    [("seg_train", "train"), ("TESTING", "test"), ("devSet2", "val"), ("trains", None), ("contest", None),
     ("train_and_test", None), ("validation set", "val"), ("Trainer", None), ("", None)],
)  # fmt: skip
def test_words(name, kind):
    assert splits.kind(name) == kind


def test_sources_in_a_line_of_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert source_text() is None and source_text("scenes:30") == "scenes:30"
    text = source_text("a, b", labels="l@1.csv", synsets="s.txt")
    assert parse(text) == Source("a, b", False, None, "l@1.csv", "s.txt") and divided(
        f"{text}@x,y"
    ) == (
        text,
        ["x", "y"],
    )
    assert parse(source_text(train="a", val="b")) == Source("a", True, "b")
    for name in ("a,val=b", "x@y", "a", "train=a"):
        (tmp_path / name).mkdir()
        assert parse(name) == Source(name) and divided(name) == (name, None)
    assert (
        absolute("train=a,val=x@y")
        == f"train={tmp_path / 'a'},val={tmp_path / 'x@y'}"
        != absolute("scenes:3")
        == "scenes:3"
    )
    assert absolute("a@cat,dog") == f"{tmp_path / 'a'}@cat,dog"
    for wrong in ("", "a,val=b,val=c", "a,labels=", "train="):
        (tmp_path / "a,val=b").exists() and (tmp_path / "a,val=b").rmdir()
        with pytest.raises(UsageError) as error:
            parse(wrong)
        sentence(error)
    for wrong in ({"data": "a", "train": "b"}, {"val": "a"}, {"data": "a", "synsets": "b"}):
        with pytest.raises(UsageError):
            source_text(**wrong)
    with pytest.raises(UsageError, match="no folder or zip"):
        np.save("x.h5", 1) or open_data(f"{write_h5(tmp_path)},val=a", 6)


def write_h5(path):
    (path / "b.h5").write_bytes(b"rawconv data set")
    return "b.h5"


def test_a_tenth_is_not_held_out_of_images_that_are_tested_whole(tmp_path, capsys):
    write(tmp_path, tree(1, ("",)))
    found = opened(tmp_path, whole=True)
    assert (
        found.val is found.train is found.test
        and len(found.val) == 2
        and capsys.readouterr() == ("", "")
    )
    assert folder.find(Source(str(tmp_path)), 0, True).tests
