"""What a user gets wrong: one sentence that names the thing and the remedy, the right exit code,
and nothing lost.
"""

import os
import re
import subprocess
import sys

import h5py
import pytest
from commands import called
from PIL import Image

from rawconv import checkpoint, models


def command(folder, name, *words):
    result = subprocess.run(
        [sys.executable, "-m", f"rawconv.cli.{name}", *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return result.returncode, " ".join(result.stderr.split())


def images(folder, classes, count=4):
    for k, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for n in range(count):
            Image.new("RGB", (70, 70), (90 * k + 20, 20 * n, 90)).save(folder / name / f"{n}.png")
    return folder


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def bad(tmp_path):
    """A folder of things that are not what they should be."""
    checkpoint.save(tmp_path / "good.h5", models.build("lenet", ["a", "b"]), {"data": "scenes"})
    good = (tmp_path / "good.h5").read_bytes()
    (tmp_path / "truncated.h5").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.h5").write_text("not HDF5 at all\n")
    (tmp_path / "newer.h5").write_bytes(re.sub(rb"version \d+", b"version 9", good, count=1))
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = [1, 2, 3]
    (tmp_path / "empty").mkdir()
    images(tmp_path / "one", ["only"])
    images(tmp_path / "unreadable", ["a", "b"])
    for path in (tmp_path / "unreadable").rglob("*.png"):
        path.with_suffix(".jpg").write_text("I am a text.")
        path.unlink()
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and then nothing")
    (tmp_path / "text.jpg").write_text("I am a text.")
    return tmp_path


@pytest.mark.parametrize(
    "name, words, code, message",
    [
        ("train", ["--data", "nowhere"], 2, r"nowhere does not exist"),
        ("train", ["--data", "empty"], 1, r"empty"),
        ("train", ["--data", "one"], 1, r"one .*class"),
        ("train", ["--data", "unreadable"], 1, r"unreadable"),
        ("train", ["--data", "broken.zip"], 1, r"broken\.zip"),
        ("train", ["--weights", "truncated.h5"], 1, r"truncated\.h5"),
        ("train", ["--weights", "newer.h5"], 1, r"newer\.h5 .*version 9"),
        ("train", ["--resume", "foreign.h5"], 1, r"foreign\.h5 .*another program"),
        ("train", ["--resume", "good.h5"], 1, r"good\.h5 holds no training state"),
        ("train", ["--resume", "empty"], 2, r"last\.h5"),
        ("train", ["--out", "one"], 2, r"one exists"),
        ("train", ["--weights", "good.h5", "--data", "scenes:30"], 1, r"must be the same"),
        (
            "train",
            ["--test-only", "--weights", "text.h5"],
            1,
            r"text\.h5 .*not a rawconv checkpoint",
        ),
        ("visualize", ["--weights", "nowhere.h5"], 2, r"nowhere\.h5"),
        ("visualize", ["--weights", "truncated.h5"], 1, r"truncated\.h5"),
        (
            "visualize",
            ["--weights", "good.h5", "--layer", "conv9"],
            2,
            r"conv9.*conv1, pool1, conv2",
        ),
        ("visualize", ["--weights", "good.h5", "--layer", "1", "nowhere.jpg"], 2, r"nowhere\.jpg"),
        (
            "visualize",
            ["--weights", "good.h5", "--layer", "1", "text.jpg"],
            1,
            r"text\.jpg is not a picture",
        ),
        ("visualize", ["--weights", "good.h5", "--data", "empty"], 1, r"empty"),
        ("info", ["foreign.h5"], 1, r"foreign\.h5"),
        ("info", ["nowhere.h5"], 2, r"nowhere\.h5"),
    ],
)
def test_one_sentence_and_the_right_exit_code(bad, monkeypatch, name, words, code, message):
    before = files(bad)
    found, text = called(monkeypatch, bad, name, *words)
    assert (found, "Traceback" in text) == (code, False), text
    assert re.search(message, text), text
    assert files(bad) == before


@pytest.mark.parametrize(
    "name, words, code, message",
    [
        ("visualize", ["--weights", "nowhere.h5"], 2, "nowhere.h5"),
        ("info", ["foreign.h5"], 1, "foreign.h5"),
    ],
)
def test_a_process_says_it_to_stderr(bad, name, words, code, message):
    found, text = command(bad, name, *words)
    assert (found, "Traceback" in text) == (code, False) and message in text


def test_a_folder_that_cannot_be_written(bad):
    """A file where the folder should be: root may write anywhere else."""
    code, text = command(
        bad,
        "train",
        "--model",
        "lenet",
        "--data",
        "scenes:24",
        "--epochs",
        "1",
        "--out",
        "text.h5/x",
    )
    assert code == 1 and "Traceback" not in text and "text.h5" in text


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="root may write into a read-only folder"
)
def test_a_folder_without_write_permission(bad):
    (bad / "empty").chmod(0o500)
    code, text = command(
        bad, "train", "--model", "lenet", "--data", "scenes:24", "--epochs", "1", "--out", "empty/x"
    )
    assert code == 1 and "Traceback" not in text and "ermission" in text


@pytest.mark.parametrize("name", ["train", "visualize", "info", "import_", "export", "data"])
def test_help_answers_without_heavy_imports(name):
    """Half a second is the limit; what costs it would be NumPy, Numba, h5py or Pillow."""
    listing = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"rawconv.cli.{name}", "--help"],
        capture_output=True,
        text=True,
    )
    assert listing.returncode == 0
    for module in ("numpy", "numba", "h5py", "PIL", "tqdm"):
        assert not re.search(rf"\| +{module}$", listing.stderr, re.MULTILINE)
