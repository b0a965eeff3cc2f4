"""What JSON in checkpoints and packed files may be: everything else is one sentence that names the place."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest
from checkpoints import INFO, PROGRESS, RECIPE, ROW, edit, refused, state, tiny_net
from PIL import Image

from rawconv import checkpoint
from rawconv.convert import PIXELS, Foreign, parts
from rawconv.convert.assemble import assemble
from rawconv.data import open_data, packed, packing
from rawconv.errors import RawconvError
from rawconv.files import schema
from rawconv.files.storage import Wrong
from rawconv.training.recipes import RECIPES, Recipe

BAD_INFO = {
    "a list": ([], "info is .*place of a JSON object"),
    "data a number": (INFO | {"data": 7}, "info.data is 7, not a text"),
    "data a lone surrogate": (INFO | {"data": "\ud800"}, "info.data"),
    "seed negative": (INFO | {"seed": -1}, "info.seed is -1, not a whole number"),
    "seed a text": (INFO | {"seed": "0"}, "info.seed"),
    "seed true": (INFO | {"seed": True}, "info.seed"),
    "history a number": (INFO | {"history": 3}, "info.history is 3, not a list"),
    "history of numbers": (INFO | {"history": [1]}, r"info.history\[0\]"),
    "history without loss": (
        INFO | {"history": [{"epoch": 1, "lr": 0.1}]},
        r"info.history\[0\] has no train_loss",
    ),
    "history of texts": (
        INFO | {"history": [ROW | {"val_top1": "x"}]},
        r"info.history\[0\].val_top1",
    ),
    "recipe null": (INFO | {"recipe": None}, "info.recipe"),
    "no lr": (
        INFO | {"recipe": {key: RECIPE[key] for key in RECIPE if key != "lr"}},
        "info.recipe has no lr",
    ),
    "unknown": (
        INFO | {"recipe": RECIPE | {"lrr": 1}},
        "info.recipe has 'lrr', which this rawconv does not know.*newer",
    ),
    "no data to resume from": (
        {key: INFO[key] for key in INFO if key != "data"},
        "info has no data",
    ),
    "no seed to resume with": (
        {key: INFO[key] for key in INFO if key != "seed"},
        "info has no seed",
    ),
    "a note too deep": (INFO | {"note": json.loads("[" * 30 + "]" * 30)}, "info.note"),
    "a note with a huge number": (INFO | {"note": 10**400}, "info.note"),
}
BAD_RECIPES = {
    "epochs": (0, -1, 2.5, "3", None, True, 1 << 70, [1], float("inf")),
    "batch": (0, -128, 1e3, None),
    "lr": (-1, "fast", None, float("nan"), float("inf"), [0.1]),
    "schedule": ("linear", 3, None, ["plateau"]),
    "warmup": (-1, float("nan"), "0"),
    "first_lr": (-0.1, None),
    "momentum": (1, -0.5, float("nan")),
    "decay": (-1e-4, "x"),
    "renorm": (-0.1, "no", {}),
    "crop": ("nine", None, 10),
    "stored": (0, -64, 64.0, 1 << 40, None),
    "rates": ([], {"conv1": "x"}, {"conv1": -1}, {"\udce9" * 2000: 1.0}),
    "frozen": (3, None, "x" * 2000),
    "colour": (-1, None),
    "colours": (3, [[1, 2]], [["x"] * 3], [[float("nan")] * 3]),
}
BAD_PROGRESS = {
    "epoch": (-1, 1.5, "3", None, 1 << 60, 71),
    "position": (-1, 0.5, "0", 1 << 60, 10),  # 10: fewer than the hits so far
    "sums": ([], [1.0, 2.0], [1.0, 2.0, "3"], [-1.0, 0.0, 0.0], [1.0, 90.0, 70.0], [1.0, 2.0, 200.0], None),
    "best": (2, -7, "x", None, float("nan")),
    "schedule": ({}, None, PROGRESS["schedule"] | {"waited": -1}, PROGRESS["schedule"] | {"cuts": 99},
                 PROGRESS["schedule"] | {"best": "x"}, PROGRESS["schedule"] | {"kind": "cosine"}),
}  # fmt: skip


def put(name, value):
    def change(file):
        del file[name]
        file[name] = np.bytes_(value if isinstance(value, str) else json.dumps(value))

    return change


@pytest.fixture
def good(path):
    checkpoint.save(path, tiny_net(), INFO | {"history": [ROW]}, state(tiny_net()))
    return path


@pytest.mark.parametrize("name", BAD_INFO)
def test_info_that_cannot_be(good, name):
    value, match = BAD_INFO[name]
    edit(good, put("info", value))
    refused(good, match)


@pytest.mark.parametrize("key", BAD_RECIPES)
def test_a_recipe_that_cannot_be(good, key):
    for value in BAD_RECIPES[key]:
        edit(good, put("info", INFO | {"recipe": RECIPE | {key: value}}))
        refused(good, rf"is damaged: info\.recipe\.{key}\b")


@pytest.mark.parametrize("key", BAD_PROGRESS)
def test_progress_that_cannot_be(good, key):
    for value in BAD_PROGRESS[key]:
        edit(good, put("optimizer/progress", PROGRESS | {key: value}))
        refused(good, rf"is damaged: progress\.({key}\b|sums)")
    edit(
        good, put("optimizer/progress", {name: PROGRESS[name] for name in PROGRESS if name != key})
    )
    refused(good, f"is damaged: progress has no {key}")


def test_progress_with_an_unknown_name(good):
    edit(good, put("optimizer/progress", PROGRESS | {"x": 1}))
    refused(good, "progress has 'x', which this rawconv does not know.*newer")


@pytest.mark.parametrize("recipe, match", [
    ({"frozen": "conv9"}, "does not fit the layers .*'conv9'"), ({"rates": {"relu1": 1.0}}, "does not fit the layers"),
    ({"frozen": "fc2"}, "nothing learns"),
])  # fmt: skip
def test_a_recipe_that_does_not_fit_the_net(good, recipe, match):
    edit(good, put("info", INFO | {"recipe": RECIPE | recipe}))
    refused(good, match)


@pytest.mark.parametrize(
    "line", ["{", "3", json.dumps({"epoch": 1}), json.dumps(ROW | {"lr": "x"}), "\xff"]
)
def test_a_log_that_is_none(tmp_path, line):
    from rawconv.training.log import read_log

    (tmp_path / "log.jsonl").write_text(f"{json.dumps(ROW)}\n{line}\n", "latin-1")
    with pytest.raises(RawconvError, match=r"log.jsonl is damaged: line 2\b.*\. Delete it"):
        read_log(tmp_path, 5)
    (tmp_path / "log.jsonl").write_text(f"{json.dumps(ROW)}\n")
    assert read_log(tmp_path, 5) == [ROW] and read_log(tmp_path, 0) == []


def test_no_json_at_all(good):
    for text in (
        "{",
        "",
        "nan",
        "[" * 100_000,
        '{"seed": ' + "1" * 5000 + "}",
        "\ud800".encode("utf-8", "surrogatepass"),
    ):
        edit(
            good,
            lambda file, text=text: (
                file.__delitem__("info"),
                file.__setitem__("info", np.bytes_(text)),
            ),
        )
        refused(good, "damaged")


def test_every_recipe_of_ours_may_be_kept(path):
    for recipe in RECIPES.values():
        full = recipe._replace(
            lr_multipliers={"conv1": 0.5}, frozen="conv1", pca_strength=0.1, pca_jitter=np.eye(3).tolist(),
            max_filter_rms=None,
            class_weights=[0.5, 2.0],
        )  # fmt: skip
        for one in (recipe, full):
            checkpoint.save(
                path,
                tiny_net(),
                INFO | {"recipe": one.to_json(), "history": [ROW]},
                state(tiny_net()),
            )
            found = Recipe.from_json(checkpoint.load(path).info["recipe"])
            # JSON knows no tuples
            lists = {name: list(getattr(one, name)) for name in ("pca_jitter", "class_weights")}
            assert found == one._replace(**lists)


def test_the_schema_knows_every_field_of_a_recipe():
    assert {*schema.RECIPE.needed, *schema.RECIPE.optional} == set(Recipe().to_json())


def test_nothing_is_written_that_could_not_be_read(path):
    checkpoint.save(path, tiny_net(), {"n": 1})
    with pytest.raises(ValueError, match="info.seed"):
        checkpoint.save(path, tiny_net(), {"seed": "x"})
    net = tiny_net()
    net.classes[0] = "x" * 100_000
    with pytest.raises(ValueError, match="name of a class of 100,000 characters"):
        checkpoint.save(path, net, {})
    assert checkpoint.load(path).info == {"n": 1}


def test_names_are_bounded(path):
    """A class of 100,000 characters; a layer's and a model's name."""
    checkpoint.save(path, tiny_net(), {})
    edit(
        path,
        lambda file: (
            file.__delitem__("labels"),
            file.__setitem__("labels", np.array([b"a" * 10**5, b"b"])),
        ),
    )
    refused(path, "name of a class of 100,000 characters, more than 1,000")
    checkpoint.save(path, tiny_net(), {})
    edit(path, lambda file: file.move("layers/00_conv1", "layers/00_" + "x" * 3000))
    refused(path, "name of a layer of 3,000 characters")
    checkpoint.save(path, tiny_net(), {})
    edit(path, lambda file: file.attrs.__setitem__("model", np.bytes_("m" * 3000)))
    refused(path, "name of a model of 3,000 characters")


def png(shade):
    out = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(out, "png")
    return out.getvalue()


@pytest.mark.parametrize("name, match", [
    ("a" * 60_000, "name of a class of 60,000 characters, more than 1,000"),
    ("é" * 3, "no intact zip .*decode"),  # bytes that are half a pair of surrogates
])  # fmt: skip
def test_class_folders_in_a_zip(tmp_path, name, match):
    """Neither trained on nor packed."""
    file = tmp_path / "photos.zip"
    with zipfile.ZipFile(file, "w") as out:
        for where in (name, "b"):
            for k in range(4):
                out.writestr(f"{where}/{k}.png", png(20 * k))
    file.write_bytes(file.read_bytes().replace("é".encode() * 3, b"\xed\xa0\x80\xff\xff\xff"))
    for read in (
        lambda: open_data(str(file), 8, False),
        lambda: packing.pack(file, tmp_path / "out.h5", 8),
    ):
        with pytest.raises(RawconvError, match=match) as caught:
            read()
        assert "\n" not in str(caught.value) and str(file) in str(caught.value)
    assert not (tmp_path / "out.h5").exists()


def test_names_in_a_packed_file(tmp_path, path):
    """Bytes that are no text, and a class of 100,000 characters."""
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(4):
            (tmp_path / "photos" / name / f"{k}.png").write_bytes(png(20 * k))
    packing.pack(tmp_path / "photos", path, 8, progress=False, say=lambda line: None)
    end = int(path.read_bytes()[:512].split(b" to ")[1].split(b",")[0])

    def rename(first):
        with h5py.File(path, "r+") as file:
            del file["classes"]
            file["classes"] = np.array([first, b"b"])
        with open(path, "r+b") as file:
            packed.write_seal(file, end)

    rename(b"\xed\xa0\x80")
    assert packed.load(path).classes == [r"\xed\xa0\x80", "b"]
    rename(b"a" * 100_000)
    with pytest.raises(
        RawconvError, match="name of a class of 100,000 characters, more than 1,000"
    ):
        packed.load(path)


@pytest.mark.parametrize("name", ["a" * 100_000, "\ud800"])
def test_classes_that_an_import_brings(name):
    layers = [("fc", parts.fully_connected(np.ones((2, 192)), None, (8, 8, 3)))]
    with pytest.raises(Wrong, match="the name of a class|a name of a class of 100,000"):
        assemble(Foreign((8, 8, 3), layers), PIXELS["raw"], 8, [name, "b"], "m")


def test_bytes_that_are_no_text_are_kept(path):
    """As Python keeps the bytes of a file name in a path; in the name of a class as text that can
    be shown.
    """
    net = tiny_net()
    net.classes[0] = "caf\udce9"
    checkpoint.save(path, net, {"data": "/data/caf\udce9"})
    back = checkpoint.load(path)
    assert back.net.classes == [r"caf\xe9", "b"] and back.info["data"] == "/data/caf\udce9"


@pytest.mark.parametrize("settings, match", [
    ({"k": 0}, "norm1.k is 0, not a number above 0"), ({"k": -1.0}, "norm1.k"), ({"alpha": -1.0}, "norm1.alpha"),
])  # fmt: skip
def test_a_norm_that_divides_by_nothing(path, settings, match):
    checkpoint.save(path, tiny_net(), {})

    def change(file):
        group = file["layers/03_norm1"]
        group.attrs["settings"] = np.bytes_(
            json.dumps(json.loads(group.attrs["settings"]) | settings)
        )

    edit(path, change)
    refused(path, match)


def test_every_fault_is_named_in_order():
    record = schema.Record({"a": schema.whole(0, 3)}, {"b": schema.List(schema.FLAG, 1, 2)})
    assert list(schema.faults(record, {"a": 3, "b": [True]}, "x")) == []
    assert list(schema.faults(record, {"b": [], "c": 0}, "x")) == [
        "x has no a", "x.b is [], not a list of 1 to 2 values", "x has 'c', which this rawconv does not know",
    ]  # fmt: skip
    with pytest.raises(Wrong, match=r"is damaged: x\.a is 4, not a whole number from 0 to 3"):
        schema.check(record, {"a": 4}, "x")
