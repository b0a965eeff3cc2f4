"""Table 3 of nets that rawconv-train trained: the same numbers as by the experiment's own trainings,
and no table of nets that cannot be compared.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from rawconv import checkpoint, models
from rawconv.cli import train
from rawconv.cli.experiments import main
from rawconv.data import open_data
from rawconv.errors import RawconvError, UsageError
from rawconv.experiments import ablation_nets
from rawconv.training.recipes import recipe_of

TWO = ["alex64-without-34", "alex64-without-3467"]
HOW = ["--data", "scenes:24", "--epochs", "1", "--batch", "8", "--lr", "0.005", "--device", "cpu"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 24)
    return tmp_path


def ablation(*words, code=0):
    result = CliRunner().invoke(main, ["ablation", *map(str, words), "--device", "cpu"])
    told = result.stdout + result.stderr
    assert result.exit_code == code and "Traceback" not in told, told
    return result


def errors(about):
    return {
        (row["model"], one["seed"]): [one[name] for name in ("train_top1", "val_top1", "val_top5")]
        for row in about["numbers"]["table"]
        for one in row["trainings"]
    }


def test_nets_trained_elsewhere_give_the_table_of_its_own_trainings(folder):
    for model, seed in ((TWO[1], 0), (TWO[0], 1), (TWO[0], 0)):
        dropout = ["--dropout", "0"] if model == TWO[0] else []
        words = ["--model", model, *HOW, "--seed", str(seed), "--out", f"{model}-{seed}", *dropout]
        done = CliRunner().invoke(train.main, words)
        assert done.exit_code == 0, done.output
    paths = f"{TWO[1]}-0", f"{TWO[0]}-1/last.h5", f"{TWO[0]}-0"
    about = json.loads(ablation(*paths, "--json").stdout)
    assert [row["seeds"] for row in about["numbers"]["table"]] == [[0, 1], [0]]
    assert (
        about["numbers"]["epochs"] == 1
        and about["numbers"]["table"][1]["checkpoint"] == f"{TWO[1]}-0/last.h5"
    )
    assert [net["seed"] for net in about["options"]["nets"]] == [0, 0, 1]
    own = ["--only", TWO[0], "--only", TWO[1], *HOW[:-2], "--dropout", 0, "--json"]
    wanted = errors(json.loads(ablation(*own, "--seeds", 2).stdout))
    found = errors(about)
    assert len(found) == 3 and found == {key: wanted[key] for key in found}
    again = json.loads(ablation(paths[0], "--data", "scenes:24", "--json").stdout)
    assert errors(again) == {(TWO[1], 0): found[TWO[1], 0]}
    refused = ablation(*paths, "--seeds", 2, "--only", TWO[0], code=2).stderr
    assert "leave --only, --seeds out" in refused
    moved = ablation(paths[0], "--data", "scenes:30", code=1).stderr
    assert "scenes:30 does not hold the pictures that" in moved
    runs = sorted(path.name for path in pathlib.Path("runs").iterdir())
    assert runs == ["zf64-scenes-ablation-1", "zf64-scenes-ablation-2", "zf64-scenes-ablation-3"]


def kept(path, model="alex64-groups", changes=(), rate=0, seed=0, epochs=5, classes="abc", **more):
    """A checkpoint as rawconv-train leaves it at its end, of a net that learned nothing."""
    net = models.build(model, list(classes))
    models.drop(net, rate)
    recipe = recipe_of(net).changed({"epochs": 5} | dict(changes))
    history = [{"epoch": k + 1, "val_top1": 0.5} for k in range(epochs)]
    pictures = {"train": 9, "val": 3, "sha256": "0" * 64}
    row = {
        "lr": 0.1,
        "train_loss": 1,
        "train_top1": 0,
        "train_top5": 0,
        "val_loss": 1,
        "val_top5": 1,
    }
    info = {
        "data": "scenes:9", "recipe": recipe.to_json(), "seed": seed, "pictures": pictures,
        "history": [row | one for one in history],
    }  # fmt: skip
    checkpoint.save(path, net, info | more)
    return str(path)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"seed": 0}, "are both alex64-groups trained with seed 0"),
        ({"model": "lenet"}, "is a lenet, which is no row of Table 3; the rows are alex64-groups,"),
        ({"model": "alexnet-without-3467"}, "of base zf64 and alexnet-without-3467 of base zfnet"),
        ({"changes": {"lr": 0.25}}, "trained differently: lr 0.01 and 0.25"),
        ({"changes": {"batch": 64, "epochs": 7}, "epochs": 7}, "epochs 5 and 7, batch 128 and 64"),
        ({"rate": 0.5}, "dropout 0 and 0.5"),
        ({"classes": "abd"}, "know different classes, 3 and 3"),
        ({"pictures": {"train": 9, "val": 3, "sha256": "1" * 64}}, "trained on different pictures"),
        ({"epochs": 3}, "is of epoch 3 of 5; train it to its end"),
    ],
)
def test_nets_that_cannot_be_compared_are_refused(tmp_path, other, told):
    one = kept(tmp_path / "one.h5")
    two = kept(tmp_path / "two.h5", **({"seed": 1} | other))
    with pytest.raises(RawconvError, match=told):
        ablation_nets.read([one, two])


def test_nets_that_differ_in_their_layers_and_seeds_alone_are_taken(tmp_path):
    """A net without dropout goes with nets of any; files of older versions know no pictures."""
    made = [
        {"model": "zf64", "rate": 0.3}, {"model": "alex64-without-67", "seed": 2},
        {"model": "alex64-groups", "seed": 1, "rate": 0.3, "pictures": None},
        {"model": "alex64-groups", "rate": 0.3},
    ]  # fmt: skip
    paths = []
    for number, about in enumerate(made):
        more = {key: value for key, value in about.items() if value is not None}
        paths.append(kept(tmp_path / f"{number}.h5", **more))
    nets = ablation_nets.read(paths)
    order = [("alex64-groups", 0), ("zf64", 0), ("alex64-groups", 1), ("alex64-without-67", 2)]
    assert [(net.model, net.seed) for net in nets] == order
    with pytest.raises(UsageError, match="named twice"):
        ablation_nets.read([paths[0], os.path.join(tmp_path, ".", "0.h5")])
    with pytest.raises(UsageError, match="nothing.h5"):
        ablation_nets.read([tmp_path / "nothing.h5"])
    bare = tmp_path / "bare.h5"
    checkpoint.save(bare, models.build("zf64", ["a", "b"]), {})
    with pytest.raises(RawconvError, match="does not say how it was trained"):
        ablation_nets.read([bare])


@pytest.mark.long
def test_a_net_of_two_processes_stands_beside_one_of_one(folder, monkeypatch):
    """Trained under mpirun, it has the same recipe, pictures and classes, and errors that are alike."""
    pytest.importorskip("mpi4py")
    beside = pathlib.Path(sys.executable).with_name("mpirun")
    mpirun = str(beside) if beside.exists() else shutil.which("mpirun")
    if not mpirun:
        pytest.skip("there is no mpirun")
    how = ["--data", "scenes:600", "--epochs", "2", "--device", "cpu", "--model", TWO[1]]
    for count, seed in ((1, 0), (2, 1)):
        words = [
            sys.executable,
            "-m",
            "rawconv",
            "train",
            *how,
            "--seed",
            str(seed),
            "--out",
            str(seed),
        ]
        subprocess.run([mpirun, "-n", str(count), *words], check=True, cwd=folder)
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    (row,) = json.loads(ablation("0", "1", "--json").stdout)["numbers"]["table"]
    assert row["seeds"] == [0, 1]
    both = [one["val_top1"] for one in row["trainings"]]
    assert np.ptp(both) < 0.2 and max(both) < 1 - 1 / len(open_data("scenes:24", 64).classes)
