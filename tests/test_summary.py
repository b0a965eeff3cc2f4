"""What rawconv-data says and shows of a data set, against words and pictures made by hand."""

import numpy as np
import pytest
from PIL import Image

from rawconv.data import DataSet, Split, summary


def made_up(counts=(9, 4)):
    """Pictures of one grey each, its number; red 10 and blue 20 levels above green; classes in turn."""
    splits, first = [], 0
    for count in counts:
        grey = (first + np.arange(count))[:, None, None, None] + np.zeros((1, 6, 6, 1), int)
        images = np.concatenate([grey + 10, grey, grey + 20], 3).astype(np.uint8)
        names = [f"folder/{first + k}.png" for k in range(count)]
        splits.append(Split(images.__getitem__, (np.arange(count) * 2) % 3, names, (6, 6, 3)))
        first += 100
    return DataSet("pets", "pets/", ["cat", "dog", "hippopotamus"], *splits)


@pytest.fixture(autouse=True)
def there(monkeypatch):
    monkeypatch.setattr(summary, "open_data", lambda source, size: made_up())


def test_the_summary_counts_images_of_each_split_and_class():
    facts = summary.summary("pets/")
    assert facts == {
        "name": "pets", "source": "pets/", "size": 6, "classes": ["cat", "dog", "hippopotamus"], "train": 9, "val": 4,
        "train_by_class": [3, 3, 3], "val_by_class": [2, 1, 1],
    }  # fmt: skip
    assert list(summary.lines(facts)) == [
        "pets/: 9 training and 4 validation pictures of 6x6",
        "3 classes, training + validation pictures:",
        "  cat                3 + 2",
        "  dog                3 + 1",
        "  hippopotamus       3 + 1",
    ]


def test_what_packing_left_out_is_told_five_at_most():
    facts = summary.summary("pets/") | {
        "bytes": 12_345_678, "mean": [10.04, 20.06, 30.0],
        "packed": {"source": "photos", "unreadable": list("abcde"),
                   "duplicates": [["x", "y"], ["p", "q", "r"], ["1", "2"], ["3", "4"], ["5", "6"], ["7", "8"]]},
    }  # fmt: skip
    assert list(summary.lines(facts))[1:4] == [
        "packed from photos, 12.3 MB, mean 10.0 20.1 30.0",
        "left out, no pictures: 5 (a, b, c, d, e)",
        "there more than once: 6 (x = y, p = q = r, 1 = 2, 3 = 4, 5 = 6, ...)",
    ]


def test_the_mean_is_red_green_blue(tmp_path):
    assert summary.mean("pets/", 6, str(tmp_path / "mean.png")) == pytest.approx([14, 4, 24])
    with Image.open(tmp_path / "mean.png") as image:
        assert image.getpixel((2, 3)) == (14, 4, 24) and image.size == (6, 6)


@pytest.mark.parametrize(("split", "first", "words"), [
    ("train", 0, "5 of 9 training pictures of 6x6"), ("val", 100, "4 of 4 validation pictures of 6x6"),
])  # fmt: skip
def test_the_images_shown_are_drawn_by_seed_and_stand_class_by_class(
    split, first, words, monkeypatch
):
    from rawconv.report import gallery

    seen = []

    def kept(tiles, title, subtitle, legend):
        seen.append((tiles, title, subtitle))
        return Image.new("RGB", (3, 2))

    monkeypatch.setattr(gallery, "gallery", kept)
    draws = [summary.show("pets/", 6, split, 5, [], seed) for seed in (1, 1, 2)]
    assert draws[0][0] == "pets" and draws[0][1].size == (3, 2)
    (tiles, title, subtitle), again, other = seen
    numbers = [int(tile[0][0, 0, 1]) - first for tile in tiles]
    assert len(set(numbers)) == len(tiles) == min(5, len(numbers)) and title == "pets"
    assert [tile[1:] for tile in tiles] == [
        (["cat", "dog", "hippopotamus"][2 * n % 3], f"{first + n}.png") for n in numbers
    ]
    assert [2 * n % 3 for n in numbers] == sorted(2 * n % 3 for n in numbers)
    assert subtitle == f"{words}, drawn at random (seed 1)" and other[2].endswith("(seed 2)")
    assert [tile[2] for tile in again[0]] == [tile[2] for tile in tiles]
    if split == "train":
        assert {tile[2] for tile in other[0]} != {tile[2] for tile in tiles}
        summary.show("pets/", 6, split, 40, ["hippopotamus", "cat"], 1)
        assert [tile[1] for tile in seen[-1][0]] == ["hippopotamus"] * 3 + ["cat"] * 3
