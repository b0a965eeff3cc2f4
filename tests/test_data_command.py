"""rawconv-data: what it prints, writes and refuses; and training from a packed file, interrupted or not."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from laws import assert_same
from pets import photos
from PIL import Image

from rawconv import checkpoint
from rawconv.cli.data import main
from rawconv.cli.train import main as train
from rawconv.data import packed, packing


def call(*words, code=0, command=main):
    done = CliRunner().invoke(command, [str(word) for word in words])
    assert done.exit_code == code, (done.output, done.exception)
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with pets/ and what pack made of it, pets.h5."""
    folder = tmp_path_factory.mktemp("data")
    photos(folder / "pets", 30, 40)
    done = call("pack", folder / "pets", folder / "pets.h5", "--size", 32, "--json")
    facts = json.loads(done.stdout)
    assert (
        facts["train"] + facts["val"] == 91
        and len(facts["unreadable"]) == 2
        and facts["images_a_second"] > 0
    )
    return folder


@pytest.fixture(autouse=True)
def there(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_pack_says_what_it_did(tmp_path):
    done = call("pack", "pets", tmp_path / "out.h5", "--size", 8)
    assert done.stdout.splitlines() == [str(tmp_path / "out.h5")]
    assert (
        "images/s" in done.stderr
        and "no readable pictures, left out" in done.stderr
        and "Copies" in done.stderr
    )
    assert "exists" in call("pack", "pets", tmp_path / "out.h5", code=2).stderr
    call("pack", "pets", tmp_path / "out.h5", "--size", 8, "--force")


def test_info_of_a_packed_file_and_of_any_other_source():
    done = call("info", "pets.h5")
    assert (
        "pets.h5: 82 training and 9 validation pictures of 32x32" in done.stdout
        and "a/broken.jpg" in done.stdout
    )
    facts = json.loads(call("info", "pets.h5", "--json").stdout)
    assert (
        sum(facts["train_by_class"]) == 82
        and facts["classes"] == ["a", "b", "c"]
        and facts["packed"]["duplicates"]
    )
    other = json.loads(call("info", "pets", "--size", 32, "--json").stdout)
    assert other["train_by_class"] == facts["train_by_class"] and "packed" not in other


def test_verify(tmp_path):
    assert (
        "all 91 pictures and their mean are as they were packed" in call("verify", "pets.h5").stdout
    )
    data = bytearray(Path("pets.h5").read_bytes())
    data[packed.START + 32 * 32 * 3 + 5] ^= 1
    (tmp_path / "bad.h5").write_bytes(data)
    name = packed.load("pets.h5").names[1]
    assert (
        f"1 of 91 pictures of {tmp_path / 'bad.h5'} are damaged ({name})"
        in call("verify", tmp_path / "bad.h5", code=1).stderr
    )
    assert json.loads(call("verify", tmp_path / "bad.h5", "--json", code=1).stdout)["damaged"] == [
        name
    ]


def test_mean(tmp_path):
    found = packed.load("pets.h5").mean
    done = call("mean", "pets.h5", "--out", tmp_path / "mean.npy")
    assert done.stdout.splitlines()[-1] == str(tmp_path / "mean.npy")
    assert_same(np.load(tmp_path / "mean.npy"), found)
    assert json.loads(call("mean", "pets", "--size", 32, "--json").stdout)["mean"] == pytest.approx(
        found.mean((0, 1)).tolist()
    )
    call("mean", "pets.h5", "--out", tmp_path / "mean.png")
    with Image.open(tmp_path / "mean.png") as image:
        assert np.abs(np.asarray(image, float) - found).max() <= 0.5


def test_show_draws_the_images_it_names(tmp_path):
    call("show", "pets.h5", "--count", 12, "--out", tmp_path / "a.png")
    call("show", "pets.h5", "--count", 12, "--out", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    call("show", "pets.h5", "--class", "c", "--split", "val", "--out", tmp_path / "c.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > image.height and len(image.getcolors(1 << 24)) > 1000


@pytest.mark.parametrize(
    "words, code, message",
    [
        (["pack", "nowhere", "o.h5"], 2, "nowhere does not exist"),
        (["pack", "pets", "no/o.h5"], 2, "no is no folder"),
        (["pack", "pets", "o.h5", "--val", "nowhere"], 2, "nowhere does not exist"),
        (["pack", "pets/a", "o.h5"], 1, "holds no class folders"),
        (["verify", "nowhere.h5"], 2, "does not exist"),
        (["verify", "pets/a/1.png"], 1, "is not a rawconv data set"),
        (["info", "nowhere"], 2, "nowhere does not exist"),
        (["mean", "pets.h5", "--out", "x.txt"], 2, "neither a .png nor a .npy"),
        (["show", "pets.h5", "--class", "zebra"], 2, "has no class 'zebra'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(words, code, message):
    error = call(*words, code=code).stderr.splitlines()
    assert error[-1].startswith("Error: ") and message in error[-1] and not os.path.exists("o.h5")


def test_a_full_disk_is_said_and_what_was_done_is_kept(tmp_path, monkeypatch):
    write, places = packing._write, []

    def full(file, data, place):
        places.append(place)
        if len(places) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(file, data, place)

    monkeypatch.setattr(packing, "SYNC", 0)
    monkeypatch.setattr(packing, "_write", full)
    words = ["pack", "pets", tmp_path / "out.h5", "--size", 32]
    assert "No space left on device; free some space" in call(*words, code=1).stderr
    call(*words)
    assert places.count(places[0]) == 1, "the first block was not written again"
    assert (tmp_path / "out.h5").read_bytes() == Path("pets.h5").read_bytes()


# ---------------------------------------------------------------------------------------------- training from it

WORDS = ["--data", "pets.h5", "--model", "zf32", "--batch", "8", "--epochs", "3"]


def test_training_from_a_packed_file_is_the_same_on_any_number_of_threads_and_after_a_kill(
    tmp_path,
):
    """Mid-epoch: killed by SIGKILL right after a checkpoint within an epoch."""
    command = [sys.executable, "-m", "rawconv.cli.train", *WORDS, "--save-every", "0.0001", "--out"]
    one = os.environ | {"RAWCONV_NUM_THREADS": "1"}
    subprocess.run([*command, tmp_path / "one"], check=True, capture_output=True, env=one)
    process = subprocess.Popen(
        [*command, tmp_path / "two"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    last, began = tmp_path / "two/last.h5", time.monotonic()
    while process.poll() is None and time.monotonic() - began < 60:
        if last.exists() and checkpoint.load(last).state["progress"]["position"]:
            process.kill()
            break
        time.sleep(0.005)
    process.wait()
    call("--resume", tmp_path / "two", command=train)
    one, two = (checkpoint.load(tmp_path / name / "last.h5") for name in ("one", "two"))
    for key, value in one.net.params.items():
        assert_same(two.net.params[key], value)
        assert_same(two.state["momentum"][key], one.state["momentum"][key])
    assert one.state["progress"] == two.state["progress"]
