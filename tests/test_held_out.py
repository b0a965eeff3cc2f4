"""A net and classes it has not seen: what is pretrained, what is left out, and what is refused
before any training.
"""

import numpy as np
import pytest
from subjects import data_of, subject_of
from test_visualize_cli import place, small_net  # noqa: F401

from rawconv import checkpoint
from rawconv.data import DataSet
from rawconv.data.subset import only, take
from rawconv.errors import RawconvError, UsageError
from rawconv.experiments import held_out
from rawconv.experiments.folds import drawn, enough, plus_minus, pool, spread, summary


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """load(...) of a lenet, pretrained on the first six classes of 48 scenes; what it says in .said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(held_out, "MODEL", "lenet")
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 24)
    said = []

    def load(data="scenes:48", **options):
        return held_out.load(data=data, quick=True, say=said.append, **options)

    load.said = said
    return load


def test_the_first_half_of_the_classes_is_learned_and_the_second_is_new(quick):
    about = quick()
    assert (
        about.net.classes == ["face", "cat", "car", "house", "fish", "bird"]
        and about.net.model == "lenet"
    )
    assert about.data.classes == ["butterfly", "flower", "tree", "clock", "cup", "boat"]
    assert (
        about.info["data"] == "scenes:48@face,cat,car,house,fish,bird"
        and len(about.data.train) == 24
    )
    assert not set(about.info["data"].rpartition("@")[2].split(",")) & set(about.data.classes)
    assert len(quick.said) >= 1 and quick.said[0].startswith("Training lenet on scenes:48@face")
    again = quick(no_train=True)  # found, not trained
    assert again.weights == about.weights
    other = quick(seed=1)
    assert other.weights != about.weights and not np.array_equal(
        other.net["fc4"].weight, about.net["fc4"].weight
    )
    assert held_out.origin(about).startswith(
        "lenet pretrained on 6 classes (face, cat, car, house, fish, bird), tried"
    )


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"no_train": True}, UsageError, "leave --no-train out, or name a net with --weights"),
        (
            {"data": "scenes:48@cat,car,cup"},
            RawconvError,
            "3 classes.*needs four; name a net with --weights",
        ),
        (
            {"least": 6},
            RawconvError,
            "Class butterfly .* has 6 pictures, and 6 to learn .* choose --per-class 5 at most",
        ),
        ({"data": "nowhere"}, UsageError, "nowhere does not exist"),
    ],
)
def test_refused_before_anything_is_trained(quick, tmp_path, options, error, says):
    with pytest.raises(error, match=says):
        quick(**options)
    assert not list(tmp_path.iterdir())


def test_classes_that_a_checkpoint_knows_are_left_out(place):  # noqa: F811
    file, said = "runs/tiny-pictures-1/last.h5", []
    with pytest.raises(UsageError, match="name them with --data"):
        held_out.load(file, say=said.append)
    with pytest.raises(RawconvError, match="2 of the 2 classes .* or add --all-classes"):
        held_out.load(file, "pictures", say=said.append)
    assert held_out.load(file, "pictures", all_classes=True, say=said.append).data.classes == [
        "cat",
        "sea dog",
    ]
    assert not said
    net = small_net()
    net.classes = ["sea dog", "cow"]
    checkpoint.save("other.h5", net, {"data": "x"})
    (place / "pictures/goat").mkdir()
    for k in range(3):
        (place / f"pictures/goat/{k}.png").write_bytes((place / "a.png").read_bytes())
    about = held_out.load("other.h5", "pictures", say=said.append)
    assert about.data.classes == ["cat", "goat"] and about.data.source == "pictures@cat,goat"
    assert said == ["Left out, since other.h5 was trained on these classes: sea dog."]


def test_what_cannot_be_told_apart_or_is_too_few_is_refused():
    data = data_of(12)
    enough(data, 5)
    with pytest.raises(
        RawconvError,
        match=r"Class cat of nowhere has 6 pictures, and 6 to learn from leave none .* --per-class 5 at most",
    ):
        enough(data, 6)
    lonely = data._replace(train=take(data.train, [0, 2, 1]), val=take(data.val, []))
    with pytest.raises(RawconvError, match="Class sea dog of nowhere has 1 picture, .*; add some"):
        enough(lonely, 1)
    with pytest.raises(RawconvError, match="0 pictures, .*; add some"):
        enough(data._replace(train=take(data.train, [0, 2]), val=take(data.val, [4])), 1)
    with pytest.raises(RawconvError, match="one class"):
        enough(only(data, ["cat"]), 1)
    none = take(data.val, [])
    with pytest.raises(RawconvError, match="no training pictures"):
        enough(DataSet("d", "d", data.classes, none, none), 1)


def test_folds_are_drawn_anew_and_fewer_are_part_of_more():
    data = data_of(40)
    images = pool(data)
    (train, test), (less, same), (other, _) = (
        drawn(images, n, 4, 7, fold, 8) for n, fold in ((8, 0), (3, 0), (8, 1))
    )
    labels = images.labels
    assert np.bincount(labels[train]).tolist() == [8, 8] and np.bincount(labels[test]).tolist() == [
        4,
        4,
    ]
    assert set(less) < set(train) and same.tolist() == test.tolist() and set(other) != set(train)
    assert not set(train) & set(test) and len(set(train)) == 16


def test_images_are_drawn_from_all_of_a_class_and_30_of_31_leave_one():
    whole = data_of(62)
    data = whole._replace(train=take(whole.train, range(40)), val=take(whole.train, range(40, 62)))
    enough(data, 30)
    images, seen = pool(data), set()
    assert len(images) == 62 and images.names == whole.train.names
    np.testing.assert_array_equal(images.read([0, 45]), whole.train.read([0, 45]))
    for fold in range(9):
        train, test = drawn(images, 30, 50, 0, fold)
        assert sorted([*train, *test]) == list(range(62)) and len(test) == 2
        seen |= set(test)
    assert min(seen) < 40 <= max(seen)  # whatever the data set calls validation
    assert pool(whole) is whole.train  # whose splits are one and the same


def test_a_net_without_numbers_knows_a_class_by_its_other_name():
    net, data = small_net(), data_of(12)
    net.classes = ["lesser_panda", "cow"]
    data = data._replace(classes=["red_panda", "sea dog"], wnids=["n02509815", ""])
    about = subject_of(net, data)
    assert held_out.known(about) == {"red_panda": "lesser_panda"}
    assert "(red_panda (the net's lesser_panda))" in held_out.overlap(about)
    numbered = about._replace(info={"wnids": ["n02510455", "n01887787"]})
    assert held_out.known(numbered) == {} and held_out.overlap(numbered) == ""


def test_deviation_is_the_samples():
    assert spread([1.0, 2.0, 6.0]) == pytest.approx(np.sqrt(7)) and np.isnan(spread([1.0]))
    found = summary([0.1, 0.2, 0.6])
    assert found["standard_error"] == pytest.approx(np.sqrt(0.07 / 3)) and found[
        "accuracy"
    ] == pytest.approx(0.3)
    assert plus_minus(0.712, 0.0081) == "71.2 ± 0.8" and plus_minus(0.5, float("nan")) == "50.0"
