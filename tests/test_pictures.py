"""What a user brings: paths, Pillow pictures, arrays, several of them; and what is refused, each in
one sentence.
"""

import pathlib
import warnings

import numpy as np
import pytest
from PIL import Image
from test_deconvnet import square_net

import rawconv
from rawconv.data.decode import resize_center_crop
from rawconv.data.images import stored_batch, stored_image
from rawconv.data.preprocessing import preprocess
from rawconv.errors import RawconvError, UsageError
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.projection import project as projections
from rawconv.visualize.shortcuts import project
from rawconv.visualize.top_activations import scan

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (40, 33, 3), np.uint8)
GREY, SEE_THROUGH = RGB[..., 0].copy(), np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
UNIT = "conv2:3"


@pytest.fixture
def file(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def ways(file):
    """The same picture, as different users have it."""
    return {
        "path": file, "text": str(file), "Pillow": Image.open(file), "array": RGB, "opaque": SEE_THROUGH,
        "turned around": RGB[::-1, ::-1].copy()[::-1, ::-1], "Fortran's order": np.asfortranarray(RGB),
        "with a palette as wide": Image.fromarray(RGB).convert("RGBA"),
    }  # fmt: skip


def test_every_way_to_bring_a_image_is_the_same_image(file):
    net = square_net()
    want, classes = resize_center_crop(Image.fromarray(RGB), 26), rawconv.classify(net, RGB)
    r, best = (
        rawconv.project(net, RGB, UNIT),
        rawconv.scan(net, [RGB], ["conv2"], 1, progress=False)["conv2"],
    )
    for name, given in ways(file).items():
        np.testing.assert_array_equal(stored_image(given, 26), want, err_msg=name)
        np.testing.assert_array_equal(rawconv.project(net, given, UNIT), r, err_msg=name)
        assert rawconv.classify(net, given) == classes
        found = rawconv.scan(net, given, ["conv2"], 1, progress=False)["conv2"]
        assert all(np.array_equal(one, other) for one, other in zip(found, best, strict=True)), name
        one, two = (
            next(projections(forward_pass(net, image), [UNIT])).steps() for image in (given, RGB)
        )
        np.testing.assert_array_equal(one[0].r, two[0].r)
    assert [round(sum(p for _, p in classes), 5), len(classes)] == [1, 4] and classes[0][
        1
    ] >= classes[1][1]


def test_grey_is_three_times_grey_and_what_is_seen_through_is_grey():
    want = resize_center_crop(Image.fromarray(np.dstack([GREY] * 3)), 26)
    for given in (GREY, GREY[..., None], Image.fromarray(GREY)):
        np.testing.assert_array_equal(stored_image(given, 26), want)
    clear = SEE_THROUGH.copy()
    clear[..., 3] = 0
    assert (stored_image(clear, 26) == 128).all()


def test_several_images(file):
    net, other = square_net(), RGB[::-1].copy()
    alone = [rawconv.project(net, one, UNIT) for one in (RGB, other)]
    for batch in (np.stack([RGB, other]), [RGB, other], (file, Image.fromarray(other))):
        np.testing.assert_array_equal(rawconv.project(net, batch, UNIT), alone)
        both = rawconv.classify(net, batch, 2)
        for one, image in zip(both, (RGB, other), strict=True):
            assert [name for name, _ in one] == [
                name for name, _ in rawconv.classify(net, image, 2)
            ]
            assert [p for _, p in one] == pytest.approx(
                [p for _, p in rawconv.classify(net, image, 2)], abs=1e-6
            )
        found = rawconv.scan(net, batch, ["conv2"], 5, progress=False)["conv2"]
        assert (
            found.value.shape == (7, 2)
            and set(found.image.ravel()) == {0, 1}
            and (found.label == -1).all()
        )
    assert rawconv.project(net, RGB[None], UNIT).shape == (1, 24, 24, 3)
    assert len(rawconv.classify(net, [RGB])) == 1


FLOATS = RGB / 255
REFUSED = {
    "floats up to 1": (FLOATS, "numpy.uint8(numpy.rint(255.0 * picture))"),
    "float32 up to 1": (FLOATS.astype(np.float32), "numpy.uint8(numpy.rint(255.0 * picture))"),
    "a batch of them": (FLOATS[None], "numpy.uint8(numpy.rint(255.0 * picture))"),
    "floats up to 255": (RGB.astype(float), "numpy.uint8(numpy.rint(picture))"),
    "minus the mean": (RGB.astype(float) - 120, "its values go from -1"),
    "not a number": (np.full((9, 9, 3), np.nan), "its values are not all numbers"),
    "whole numbers": (RGB.astype(np.int64), "numpy.uint8(numpy.rint(picture))"),
    "16 bits": (RGB.astype(np.uint16) * 257, "numpy.uint8(picture // 257)"),
    "black or white": (RGB > 99, "numpy.uint8(numpy.rint(255.0 * picture))"),
    "objects": (RGB.astype(object), "not object"),
    "words": (np.array([["a"]]), "not <U1"),
    "channels first": (RGB.transpose(2, 0, 1), "picture.transpose(1, 2, 0)"),
    "two channels": (RGB[..., :2], "40x33x2"),
    "one row": (RGB[0, :, 0], "shape 33"),
    "a number": (np.uint8(3), "uint8"),
    "five axes": (RGB[None, None], "1x1x40x33x3"),
    "no pixels": (RGB[:0], "no pixels"),
    "an empty batch": (RGB[None][:0], "no pictures"),
    "an empty list": ([], "no pictures"),
    "lists": (RGB.tolist(), "numpy.array(picture, numpy.uint8)"),
    "a list of numbers": ([1, 2], "numpy.array(picture, numpy.uint8)"),
    "None": (None, "NoneType"),
    "17": (17, "An int"),
    "bytes": (b"GIF89a", "A bytes"),
    "Pillow's floats": (Image.new("F", (9, 9)), "picture.convert('RGB')"),
    "Pillow's nothing": (Image.new("RGB", (0, 9)), "no pixels"),
    "no file": ("nothing.png", "There is no picture nothing.png"),
    "several, one of them missing": ([RGB, "nothing.png"], "There is no picture nothing.png"),
}


@pytest.mark.parametrize(("given", "says"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_no_image_is_refused_in_one_sentence(given, says):
    net = square_net()
    asks = [lambda: rawconv.project(net, given, UNIT), lambda: rawconv.classify(net, given)]
    if not isinstance(given, str):  # to a scan that is the name of a data set
        asks.append(lambda: rawconv.scan(net, given, ["conv2"], progress=False))
    for ask in asks:
        with pytest.raises(UsageError) as caught:
            ask()
        assert_one_sentence(caught, says)


def assert_one_sentence(caught, says):
    text = str(caught.value)
    assert (
        says in text
        and "\n" not in text
        and text.endswith(".")
        and ". " not in text
        and len(text) < 260
    ), text


def test_files_that_are_no_images(tmp_path):
    net = square_net()
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(RawconvError, match=r"text.png is not a picture that can be read") as caught:
        rawconv.project(net, tmp_path / "text.png", UNIT)
    assert_one_sentence(caught, "JPEG, PNG")
    with pytest.raises(UsageError, match="is a folder"):
        rawconv.classify(net, tmp_path)


def test_a_tilde_is_the_home_but_where_a_file_is_called_so(file, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(stored_image("~/a.png", 26), stored_image(RGB, 26))
    Image.fromarray(GREY).save("~a.png")
    np.testing.assert_array_equal(stored_image("~a.png", 26), stored_image(GREY, 26))


def test_a_scan_takes_a_folder_and_refuses_a_whole_data_set(tmp_path):
    net = square_net()
    for k in range(6):
        for split in ("train", "val"):
            for name in ("cat", "dog"):
                (tmp_path / split / name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(RNG.integers(0, 256, (26, 26, 3), np.uint8)).save(
                    tmp_path / split / name / f"{k}.png"
                )
    data = rawconv.open_data(tmp_path, 26, progress=False)
    want = rawconv.scan(net, data.val, ["conv2"], 3, progress=False)["conv2"]
    found = rawconv.scan(net, tmp_path, ["conv2"], 3, progress=False)["conv2"]
    assert all(np.array_equal(one, other) for one, other in zip(found, want, strict=True))
    with pytest.raises(UsageError, match=r"data\.val or data\.train"):
        rawconv.scan(net, data, ["conv2"])
    with pytest.raises(UsageError, match="nothing does not exist"):
        rawconv.scan(net, "nothing", ["conv2"])


def test_a_scan_answers_under_the_names_it_was_asked_by():
    net = square_net()
    found = scan(
        net, np.stack([RGB, RGB[::-1]]), ["conv2", 1, "relu1", "scores", "fc3"], 1, progress=False
    )
    assert list(found) == ["conv2", 1, "relu1", "scores", "fc3"]
    for one, other in ((1, "relu1"), ("scores", "fc3")):
        np.testing.assert_array_equal(found[one].value, found[other].value)
    assert found["conv2"].value.shape == (7, 1) and found[1].value.shape == (5, 1)
    assert list(scan(net, RGB, "conv2", progress=False)) == ["conv2"], (
        "one layer is no list of letters"
    )


@pytest.mark.parametrize(
    "x",
    [np.zeros((1, 24, 24, 3), np.uint8), np.zeros((1, 24, 24, 3)), np.zeros((1, 24, 24, 3), np.float16),
     np.zeros((24, 24, 3), np.float32), [[0.0]]],
    ids=["uint8", "float64", "float16", "one picture", "list"],
)  # fmt: skip
def test_a_net_refuses_other_arrays_in_one_sentence(x):
    net = square_net()
    passed, caches = net.forward(np.zeros((1, 24, 24, 3), np.float32), "relu1")
    for walk in (
        lambda: net.forward(x),
        lambda: net.deconv(x, caches),
        lambda: net.backward(x, caches),
    ):
        with pytest.raises(ValueError, match=r"^This net takes [^\n]*\.$"):
            walk()
    with pytest.raises(ValueError, match="preprocessing.preprocess"):
        net.forward(x)
    assert net.deconv(passed, caches).dtype == np.float32


def test_the_name_of_a_rule_is_no_rules():
    with pytest.raises(
        UsageError,
        match=r"^rules are a rawconv\.layers\.Rules, as Rules\('guided'\), not 'guided'\.$",
    ):
        rawconv.project(square_net(), RGB, UNIT, rules="guided")


def test_a_path_is_no_net_and_no_count_is_below_one():
    for net in ("rawconv/scenes.h5", None):
        for call in (
            lambda net=net: rawconv.classify(net, RGB), lambda net=net: rawconv.project(net, RGB, UNIT),
            lambda net=net: rawconv.scan(net, RGB, ["conv2"]),
        ):  # fmt: skip
            with pytest.raises(
                UsageError, match=rf"^{net!r} is no net; rawconv\.load makes one [^\n]*\.$"
            ):
                call()
    net = square_net()
    for count in (0, -1, 2.5, "2", None):
        for name, call in (
            ("count", lambda count=count: rawconv.classify(net, RGB, count)),
            ("k", lambda count=count: rawconv.scan(net, RGB, ["conv2"], count)),
        ):
            with pytest.raises(
                UsageError, match=rf"^{name} is {count!r}; give a whole number from 1 on\.$"
            ):
                call()
    assert len(rawconv.classify(net, RGB, np.int64(2))) == 2


@pytest.mark.parametrize("number", ["\u00b2", "\u2460", "9" * 5000])
def test_a_number_that_python_does_not_read_is_no_unit(number):
    for unit in (f"conv2:{number}", f"conv2:1:{number}:0"):
        with pytest.raises(UsageError, match="is not a unit"):
            rawconv.project(square_net(), RGB, unit)
    with pytest.raises(UsageError, match="scenes"):
        rawconv.open_data(f"scenes:{number}", 64)


# ---------------------------------------------------------------------------------------------- dead units


def net_with_dead_units():
    """Of conv2 map 2 is always 0, map 3 is 0 but in the upper left corner of its map."""
    net = square_net()
    net["conv2"].weight[..., 2:4], net["conv2"].bias[2] = 0, -1
    net["conv2"].weight[1, 1, 0, 3] = 1
    x = preprocess(net, stored_batch(RGB, 26))
    y = net.forward(x, "norm1")[0][0, :, :, 0]
    net["conv2"].bias[3] = -np.sort(y.ravel())[-2]
    return net, y


def test_a_dead_unit_is_said_to_be_dead_with_its_strongest_place():
    net, y = net_with_dead_units()
    top, left = (int(i) for i in np.unravel_index(y.argmax(), y.shape))
    value = y.max() + net["conv2"].bias[3]
    other = f"conv2:3:{5 - top}:{5 - left}"
    with pytest.warns(UserWarning) as told:
        r = rawconv.project(net, RGB, other)
    assert (
        len(told) == 1 and pathlib.Path(told[0].filename) == pathlib.Path(__file__) and not r.any()
    )
    assert str(told[0].message) == forward_pass(net, RGB).dead(other) == (
        f"{other} is 0 in this picture: it is dead there and its projection is empty; the strongest place of its map "
        f"is conv2:3:{top}:{left}, with {value:.4g}."
    )  # fmt: skip
    for unit in ("conv2:2", "conv2:2:*", "conv2:2:1:1"):
        with pytest.warns(UserWarning, match="^conv2:2 is 0 everywhere in this picture"):
            assert not project(net, RGB, unit).any()


def test_of_units_that_are_alive_and_of_scores_nothing_is_said():
    net, _ = net_with_dead_units()
    net["fc3"].weight[..., 1] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for unit in ("conv2:3", "conv2:3:*", "scores:0"):
            project(net, RGB, unit)
            assert forward_pass(net, RGB).dead(unit) == ""
    with pytest.warns(UserWarning, match="Nothing comes down of scores:dog: "):  # its filter is 0
        project(net, RGB, "scores:1")
    assert forward_pass(net, RGB).dead("scores:1") == "", "a score is never dead"


# ---------------------------------------------------------------------------------------------- names


def test_the_public_names():
    names = [
        "__version__",
        "build",
        "classify",
        "display",
        "explore",
        "figure",
        "from_torch",
        "load",
        "open_data",
        "project",
        "scan",
        "train",
    ]
    assert sorted(rawconv.__all__) == names and set(names) < set(dir(rawconv))
    assert all(callable(getattr(rawconv, name)) for name in names if name != "__version__")
    assert rawconv.__version__[0].isdigit() and rawconv.models.build is rawconv.build
    with pytest.raises(AttributeError, match="no attribute 'paint'"):
        rawconv.paint  # noqa: B018
    assert isinstance(rawconv.build("lenet", classes=3), rawconv.net.Net)
    assert rawconv.display(np.zeros((2, 2, 3))).dtype == np.uint8
