"""Table 3: twelve nets of the right kind, each trained once, to the same end wherever it was interrupted."""

import json
import pathlib

import numpy as np
import pytest
from click.testing import CliRunner
from test_visualize_cli import place  # noqa: F401

from rawconv import checkpoint, models
from rawconv.cli.experiments import main
from rawconv.data import open_data
from rawconv.data.subset import only, take
from rawconv.errors import RawconvError, UsageError
from rawconv.experiments import ablation
from rawconv.experiments.ablation import run
from rawconv.experiments.ablation_table import BASES, PUBLISHED, rows
from rawconv.experiments.study import begin
from rawconv.machine.arrays import Device
from rawconv.training.evaluation import evaluate

quiet = {"say": lambda line: None}
TWO = ["alex64-without-34", "alex64-without-3467"]


@pytest.fixture
def few(monkeypatch):
    """Twenty-four scenes to learn from, as many to be tried on."""
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 24)
    return open_data("scenes:24", 64)


def settings(model):
    """{layer: its settings} of all that learn, the classifier left out."""
    layers = [(name, layer) for name, layer in models.MODELS[model](12)[1] if layer.params]
    return {name: layer.settings for name, layer in layers[:-1]}


def widths(model):
    """{layer: how many maps or units it has}, the classifier left out."""
    return {name: about["filters"] for name, about in settings(model).items()}


@pytest.mark.parametrize("base", BASES)
def test_a_row_changes_what_it_says_and_nothing_else(base):
    """Paper, section 5.1: the upper rows change "the architecture of" Krizhevsky, which has groups."""
    alex, zf, _, wide = BASES[base]
    table = rows(base)
    assert [list(table)[k] for k in (0, 7, 11)] == [f"{alex}-groups", zf, f"{zf}-wide-fc{wide}"]
    for number, (model, row) in enumerate(table.items()):
        whole, ours = settings(f"{alex}-groups" if number < 7 else zf), settings(model)
        missing = {name[-1] for name in whole.keys() - ours.keys()}
        changed = {name[-1] for name in ours if ours[name] != whole[name]}
        said = (
            set("34567")
            if "3 to 7" in row.what
            else {letter for letter in row.what if letter.isdigit()}
        )
        assert (missing if "removed" in row.what else changed) == said and not (missing and changed)


def test_small_widths_are_in_the_table_s_ratios():
    for small, large in zip(rows("zf64"), rows("zfnet"), strict=True):
        family = [model.partition("-")[0] for model in (small, large)]
        (ours, whole), (theirs, paper) = (
            (widths(m), widths(f)) for m, f in zip((small, large), family, strict=True)
        )
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert ours[name] / whole[name] == pytest.approx(theirs[name] / paper[name], rel=0.01)


def test_the_paper_s_numbers_are_those_of_table_3():
    assert PUBLISHED["alexnet-without-3467"] == [71.1, 71.3, 50.1] and PUBLISHED["zfnet"] == [
        33.1,
        38.4,
        16.5,
    ]
    assert len(PUBLISHED) == 2 + 12 and set(rows("zfnet")) <= set(PUBLISHED)


def test_a_row_is_the_net_that_is_kept(few, tmp_path):
    study = begin("it", {}, tmp_path, "it")
    about = study.finish(run(few, study, only=TWO, changes={"epochs": 1, "batch": 8}, **quiet))
    assert [row["model"] for row in about["numbers"]["table"]] == TWO
    for row in about["numbers"]["table"]:
        found = checkpoint.load(study.folder / row["checkpoint"])
        assert (
            found.net.model == row["model"]
            and found.state is None
            and len(found.info["history"]) == 1
        )
        values = evaluate(found.net, few.val, Device())
        assert row["val_top1"] == pytest.approx(1 - values["top1"])
        assert row["val_top5"] == pytest.approx(1 - values["top5"])
        assert row["train_top1"] == pytest.approx(
            1 - evaluate(found.net, few.train, Device())["top1"]
        )
        assert row["parameters"] == sum(value.size for value in found.net.params.values())
    assert [row["paper"] for row in about["numbers"]["table"]] == [
        "alexnet-without-34",
        "alexnet-without-3467",
    ]
    lines = (study.folder / "it.csv").read_text().splitlines()
    assert lines[0].endswith("paper_train_top1,paper_val_top1,paper_val_top5") and lines[
        2
    ].endswith(",71.1,71.3,50.1")
    assert sorted(path.name for path in study.folder.iterdir()) == sorted(
        ["it.csv", "it.json", "it.png", *(f"{name}.h5" for name in TWO)]
    )


def test_dropout_is_what_was_asked(few, tmp_path):
    for asked, rate in ((None, 0.3), (0, 0), (0.6, 0.6)):
        study = begin(f"it{asked}", {}, tmp_path, f"it{asked}")
        run(few, study, only=TWO[:1], changes={"epochs": 1, "batch": 8}, dropout=asked, **quiet)
        net = checkpoint.load(study.folder / f"{TWO[0]}.h5").net
        assert [layer.rate for name, layer in net.layers if name.startswith("drop")] == [rate, rate]


def test_interrupted_in_a_training_it_ends_the_same(few, tmp_path, monkeypatch):
    """Two seeds of two rows: stopped after the first training, then in the second, then whole."""
    made = {"only": TWO, "changes": {"epochs": 2, "batch": 8}, "seed": 4, "seeds": 2, **quiet}
    results = []
    for name, interrupt in (("a", False), ("b", True)):
        study = begin(name, {}, tmp_path, name)
        if interrupt:
            with monkeypatch.context() as patch:
                real, done = ablation.evaluate, []

                def stops(*arguments, real=real, done=done):
                    if len(done) == 2:  # the first net is done
                        raise KeyboardInterrupt
                    done.append(1)
                    return real(*arguments)

                patch.setattr(ablation, "evaluate", stops)
                with pytest.raises(KeyboardInterrupt):
                    run(few, study, **made)
            before = (study.folder / f"{TWO[0]}-4.h5").stat().st_mtime_ns
            with monkeypatch.context() as patch:
                patch.setattr("rawconv.training.loop.write_log", _interrupt)
                (study.place(f"{TWO[1]}, seed 4") / "last.h5").unlink()
                with pytest.raises(KeyboardInterrupt):
                    run(few, study, **made)  # in the second net's first epoch
            study = begin(name, {}, tmp_path, name)
        results.append(study.finish(run(few, study, **made))["numbers"])
    assert results[0] == results[1]
    assert (study.folder / f"{TWO[0]}-4.h5").stat().st_mtime_ns == before
    table = results[0]["table"]
    assert [row["seeds"] for row in table] == [[4, 5], [4, 5]]
    kept = [[one["checkpoint"] for one in row["trainings"]] for row in table]
    assert kept == [[f"{model}-{seed}.h5" for seed in (4, 5)] for model in TWO]
    weights = [checkpoint.load(study.folder / file).net["conv1"].weight for file in kept[0]]
    assert not np.array_equal(*weights), "another seed is another training"


def _interrupt(*arguments):
    raise KeyboardInterrupt


def test_refusals(few, tmp_path):
    study = begin("it", {}, tmp_path, "it")
    with pytest.raises(
        UsageError, match="alexnet is not in the table of zf64; its models are alex64-groups, "
    ):
        run(few, study, only=["alexnet"])
    with pytest.raises(RawconvError, match="one class"):
        run(only(few, ["cat"]), study)


def command(*words, code=0):
    result = CliRunner().invoke(main, ["ablation", *map(str, words), "--device", "cpu"])
    told = result.stdout + result.stderr
    assert result.exit_code == code and "Traceback" not in told, told
    return result


def test_the_quick_command_has_the_table_s_form(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 24)
    about = json.loads(command("--quick", "--data", "scenes:12", "--json").stdout)
    table = about["numbers"]["table"]
    assert [row["model"] for row in table] == list(rows("zf64"))
    assert all(
        0 <= row[name] <= 1 for row in table for name in ("train_top1", "val_top1", "val_top5")
    )
    assert about["folder"] == "runs/zf64-scenes-ablation-1"
    assert (
        about["options"]["changes"] == {"epochs": 1, "batch": 16, "lr": 0.005}
        and about["options"]["dropout"] == 0
    )
    assert [row["seeds"] for row in table] == [[0]] * 12
    assert pathlib.Path(about["folder"], "ablation.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "words, data",
    (((), "framed:40000"), (("--quick",), "framed:48"), (("--base", "zfnet"), "scenes")),
)
def test_without_data_it_takes_scenes_that_need_depth(words, data, tmp_path, monkeypatch):
    def opened(source, size):
        raise RawconvError(f"asked for {source}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rawconv.data.open_data", opened)
    assert command(*words, code=1).stderr == f"Error: asked for {data}\n"


def test_the_command_takes_rate_and_dropout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 24)
    words = (
        "--data",
        "framed:24",
        "--epochs",
        1,
        "--batch",
        8,
        "--only",
        TWO[0],
        "--lr",
        0.002,
        "--dropout",
    )
    about = json.loads(command(*words, 0, "--json").stdout)
    assert about["options"]["changes"]["lr"] == 0.002 and about["options"]["dropout"] == 0
    found = checkpoint.load(pathlib.Path(about["folder"], f"{TWO[0]}.h5"))
    assert dict(found.net.layers)["drop6"].rate == 0 and found.info["recipe"]["lr"] == 0.002
    assert "dropout" in command(*words, 1, code=2).stderr


def test_the_command_trains_several_seeds_and_looks_ten_times(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 24)
    words = "--data", "scenes:24", "--epochs", 1, "--batch", 8, "--only", TWO[1], "--seeds", 2
    done = command(*words, "--seed", 3, "--views", 10, "--json")
    about = json.loads(done.stdout)
    (row,) = about["numbers"]["table"]
    assert row["seeds"] == [3, 4] and about["options"]["seeds"] == 2
    assert about["options"]["views"] == about["numbers"]["views"] == 10
    told = "Training 2 nets on 24 pictures of scenes, 1 epoch each: about 1 min on 2 cores."
    assert told in done.stderr
    net = checkpoint.load(pathlib.Path(about["folder"], f"{TWO[1]}-4.h5")).net
    images = open_data("scenes:24", 64)
    error = 1 - np.mean(ten_times(net, images.val) == images.val.labels)
    assert row["trainings"][1]["val_top1"] == pytest.approx(error)
    assert "last seed" in command("--seeds", 2, "--seed", 2**32 - 1, code=2).stderr


def ten_times(net, split):
    """The class of each picture by the mean of the softmax outputs of ten views, in a plain loop."""
    answers = []
    for picture in split.read(np.arange(len(split))):
        padded = np.pad(picture - net.mean_for(picture[None]), ((4, 4), (4, 4), (0, 0)))
        views = []
        for top, left in ((0, 0), (0, 8), (8, 0), (8, 8), (4, 4)):
            crop = padded[top : top + 64, left : left + 64]
            views += [crop, crop[:, ::-1]]
        logits = net.forward(np.ascontiguousarray(views, np.float32), keep=False)[0].reshape(10, -1)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        answers.append((powers / powers.sum(axis=1, keepdims=True)).mean(axis=0).argmax())
    return np.array(answers)


def test_the_minutes_grow_with_nets_epochs_and_pictures(few):
    def minutes(models, epochs, count):
        data = few._replace(train=take(few.train, np.zeros(count, int)))
        setting = ablation.Setting("zf64", data, epochs, 1, Device())
        return int(ablation._announce(setting, models).split("about ")[1].split(" min")[0])

    one = minutes(TWO[:1], 100, 100_000)
    assert minutes(TWO[:1] * 3, 100, 100_000) == pytest.approx(3 * one, abs=2)
    assert minutes(TWO[:1], 200, 100_000) == pytest.approx(2 * one, rel=0.02)
    assert minutes(TWO[:1], 100, 200_000) == pytest.approx(2 * one, rel=0.02)
    assert minutes(["zf64-wide"], 100, 100_000) > 2 * minutes(["zf64"], 100, 100_000) / 1.5


def test_the_command_refuses(place):  # noqa: F811
    assert "not in the table" in command("--only", "lenet", "--data", "pictures", code=2).stderr
    assert not list(pathlib.Path("runs").glob("*ablation*"))
    assert "nowhere does not exist" in command("--data", "nowhere", code=2).stderr
    for k in range(10):
        pathlib.Path(f"pictures/sea dog/{k}.png").unlink()
    pathlib.Path("pictures/sea dog").rmdir()
    assert "one class" in command("--data", "pictures", code=1).stderr


@pytest.mark.long
def test_nets_without_layers_learn_the_scenes(tmp_path):
    """Every net of the upper rows with layers removed, by a shortened training of the command's."""
    names = list(rows("zf64"))[1:5]
    study = begin("it", {}, tmp_path, "it")
    found = run(
        open_data("scenes:3000", 64), study, only=names, changes={"epochs": 8}, **quiet
    ).numbers["table"]
    # chance: 0.92 and 0.58
    assert all(row["val_top1"] < 0.6 and row["val_top5"] < 0.2 for row in found), found


@pytest.mark.long
def test_removing_both_is_worst_where_object_and_frame_make_the_class(tmp_path):
    """Paper, section 5.1, on the mean of three seeds: either half of the depth makes up for the other."""
    names = list(rows("zf64"))[:5]
    data, made = (
        open_data("framed:40000", 64),
        {"changes": {"epochs": 10, "lr": 0.005}, "dropout": 0, **quiet},
    )
    errors = []
    for seed in range(3):
        study = begin("it", {"seed": seed}, tmp_path, f"it{seed}")
        table = run(data, study, only=names, seed=seed, **made).numbers["table"]
        errors.append([row["val_top1"] for row in table])
    *others, both = np.mean(errors, 0)
    assert names[-1].endswith("3467") and both > max(others), dict(
        zip(names, np.transpose(errors), strict=True)
    )
