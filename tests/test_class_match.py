"""Classes of a data set are found again in a net that spells or orders them otherwise."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rawconv import checkpoint, models
from rawconv.cli.visualize import main as visualize
from rawconv.data import open_data
from rawconv.data.class_match import matched
from rawconv.errors import RawconvError


def folder_of(path, classes, images=1):
    """Class folders in which every picture is grey, as bright as its class's place in `classes`."""
    for k, name in enumerate(classes):
        (path / name).mkdir(parents=True)
        for i in range(images):
            Image.new("RGB", (8, 8), (10 * k, 10 * k, 10 * k)).save(path / name / f"{i}.png")
    return path


def opened(path):
    return open_data(str(path), 8, progress=False, whole=True)


@pytest.mark.parametrize(
    "folders, names, labels",
    [
        (["cat", "dog", "eel"], ["eel", "cat", "dog"], [1, 2, 0]),
        (["n01440764_tench", "n02127052_lynx"], ["n02127052", "n01440764"], [1, 0]),
        (["n01440764_tench", "n02127052_lynx"], ["n02127052 wildcat", "n01440764 fish"], [1, 0]),
        (["n02509815_red_panda", "lighthouse", "ox"], ["ox", "beacon", "lesser_panda"], [2, 1, 0]),
        (["great_white_shark", "red_fox"], ["Red fox", "Great White Shark"], [1, 0]),
        (["n02012849_crane", "n03126707_crane", "ox"], ["ox", "n03126707", "n02012849"], [2, 1, 0]),
    ],
)
def test_a_picture_keeps_its_class(folders, names, labels, tmp_path):
    data = opened(folder_of(tmp_path, folders))
    same = matched(data, names, "net.h5")
    assert list(same.classes) == names
    number_of_folder = data.train.read(np.arange(len(folders)))[:, 0, 0, 0] // 10
    assert same.train.labels.tolist() == [labels[k] for k in number_of_folder]


def test_a_net_that_only_numbers_its_classes_takes_those_of_the_data(tmp_path, capsys):
    data = opened(folder_of(tmp_path, ["n01440764_tench", "n01443537_goldfish"]))
    same = matched(data, ["0", "1"], "net.h5")
    assert list(same.classes) == ["tench", "goldfish"] and same.train.labels.tolist() == [0, 1]
    assert capsys.readouterr().err.endswith(f"in the order of {tmp_path}, 0 is tench.\n")
    with pytest.raises(
        RawconvError, match="lacks 0, 1, 2 and net.h5 does not know tench, goldfish"
    ):
        matched(data, ["0", "1", "2"], "net.h5")


@pytest.mark.parametrize("names", [["red fox", "ox"], ["Red Fox", "red fox", "ox"]])
def test_classes_that_are_not_the_same_are_refused(names, tmp_path):
    data = opened(folder_of(tmp_path, ["red_fox", "yak"]))
    with pytest.raises(RawconvError, match="The classes must be the same: .* lacks .*ox"):
        matched(data, names, "net.h5")


def test_a_net_from_elsewhere_is_looked_into_on_one_picture_a_class(tmp_path):
    folder_of(tmp_path / "pictures", ["cat", "dog", "eel"])
    net = models.build("zf32", ["cat", "dog", "eel"])
    checkpoint.save(tmp_path / "net.h5", net, {})
    words = ["--layer", "1", "--weights", str(tmp_path / "net.h5"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(visualize, [*words, "--data", str(tmp_path / "pictures")])
    assert done.exit_code == 0, done.output
    assert '"pictures": 3' in (tmp_path / "out/index.json").read_text()
