"""10,000 broken checkpoints, packed files, scan records, logs and results: one sentence or read;
100 in every run.

They are broken from within: the JSON they hold, HDF5's attributes and datasets, checksums renewed.
What is read is also used: a run is taken up again up to its first step, a data set is described, a
report is made.
"""

import functools
import json

import mutations
import numpy as np
import pytest
from checkpoints import PROGRESS, RECIPE, ROW, momentum
from click.testing import CliRunner
from mutations_inside import hdf5_mutant, json_mutant
from PIL import Image

from rawconv import checkpoint
from rawconv.cli.info import main as info
from rawconv.data import open_data, packed, packing, summary
from rawconv.errors import RawconvError
from rawconv.files.storage import write_seal
from rawconv.layers.conv import Conv
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import Device
from rawconv.machine.communicator import SingleProcess
from rawconv.net import Net
from rawconv.report.experiments import experiments
from rawconv.training import loop, runs
from rawconv.training.log import read_log
from rawconv.visualize import earlier_scans, scan_record

COUNT, ALL, SLACK = 100, 10_000, 32 << 20
NOTHING = {"say": lambda line: None}


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Two classes of pictures of 8x8 pixels; the folder is the current one, which holds nothing else."""
    dice, root = np.random.default_rng(0), tmp_path / "pictures"
    for part in ("train/a", "train/b", "val/a", "val/b"):
        (root / part).mkdir(parents=True)
        for k in range(3):
            Image.fromarray(dice.integers(0, 256, (8, 8, 3), np.uint8)).save(
                root / part / f"{k}.png"
            )
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return root


def small_net():
    layers = [("conv1", Conv(2, 3)), ("relu1", ReLU()), ("pool1", MaxPool(2, 2)), ("norm1", LRN())]
    return Net(
        (8, 8, 3),
        [*layers, ("fc2", Conv(2, None))],
        ["a", "b"],
        np.full((8, 8, 3), 99, "f4"),
        "tiny",
    )


# Of each kind: (its bytes, path -> what a reader makes of it, how it is broken, what its file is
# called)


def a_checkpoint(images, folder):
    facts = {
        "data": str(images),
        "recipe": RECIPE | {"batch": 4, "rates": {"conv1": 0.5}},
        "seed": 5,
    }
    facts |= {
        "history": [ROW],
        "options": {"conv": "gemm", "workspace": 64},
        "note": {"by": ["me", 1.5]},
    }
    at = PROGRESS | {"position": 4, "sums": [3.0, 1.0, 2.0]}
    net = small_net()
    checkpoint.save(folder / "first.h5", net, facts, {"momentum": momentum(net), "progress": at})

    def read(path):
        found = checkpoint.load(path)
        said = CliRunner().invoke(info, [str(path)])
        assert said.exit_code == 0 and not said.exception, said.exception
        run = runs.resume(path, {}, **NOTHING)
        begun = loop._Run(
            run.net, run.data, run.recipe, run.folder, Device(), run.seed, SingleProcess()
        )
        begun.begin(run.state)
        begun._rate(begun.at["position"])
        return found

    seal = functools.partial(write_seal, kind=checkpoint.KIND, version=checkpoint.VERSION)
    return (folder / "first.h5").read_bytes(), read, hdf5_mutant(seal), "last.h5"


def a_pack(images, folder):
    out = folder / "first.h5"
    packing.pack(images, out, 8, progress=False, **NOTHING)
    data = out.read_bytes()
    end = int(data[:512].split(b" to ")[1].split(b",")[0])

    def read(path):
        list(summary.lines(summary.summary(str(path))))
        open_data(str(path), 8, progress=False).train.read(np.arange(2))

    return data, read, hdf5_mutant(lambda file: packed.write_seal(file, end)), "data.h5"


def a_scan(images, folder):
    net, split = small_net(), open_data(str(images), 8, progress=False).val
    (folder / "scan").mkdir()
    earlier_scans.scan_once(
        net, "here", split, ["conv1", "scores"], 3, folder / "scan", progress=False
    )
    weights, key = scan_record.fingerprint(net), scan_record.data_key("here", split)

    def read(path):
        said = []
        if not scan_record.load(path, net, weights, key, split, said.append):
            raise RawconvError(said[0] if said else f"{path} is of another scan.")

    seal = functools.partial(write_seal, kind=scan_record.KIND, version=scan_record.VERSION)
    return (folder / "scan/topk.hdf5").read_bytes(), read, hdf5_mutant(seal), "topk.hdf5"


def results(images, folder):
    net, place = small_net(), folder / "runs" / "occlusion-1"
    place.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(place / "occlusion.png")
    (place / "occlusion.csv").write_text("a,b\n1,2\n")
    about = {
        "experiment": "occlusion",
        "options": {"weights_sha256": scan_record.fingerprint(net), "data": "x", "boxes": [1, 2.5]},
        "numbers": {"best": [0.5, None]}, "published": {"t": {"a": 1}}, "sentences": ["It falls by 3."],
        "files": {"png": "occlusion.png"},
    }  # fmt: skip

    def read(path):
        if not experiments(net, "x", folder / "none" / "last.h5", folder / "runs"):
            raise RawconvError(f"{path} is left out.")

    return json.dumps(about).encode(), read, json_mutant, "runs/occlusion-1/occlusion.json"


def an_index(images, folder):
    """index.json of a visualisation lies where results do, and is none."""
    (folder / "runs" / "visualize-1").mkdir(parents=True)
    unit = {"map": 3, "y": 1, "x": 2, "value": 0.5, "box": [0, 0, 3, 3]}
    about = {
        "command": "rawconv-visualize",
        "weights": "net.h5",
        "layers": [{"layer": "conv1", "units": [unit]}],
    }

    def read(path):
        assert not experiments(small_net(), "x", folder / "none" / "last.h5", folder / "runs")

    return json.dumps(about).encode(), read, json_mutant, "runs/visualize-1/index.json"


def a_log(images, folder):
    return json.dumps(ROW | {"seconds": 3.5, "wait": 0.1}).encode(), lambda path: read_log(path.parent, 5) and None, \
        json_mutant, "log.jsonl"  # fmt: skip


KINDS = {
    "checkpoint": a_checkpoint, "pack": a_pack, "scan record": a_scan, "results": results, "index": an_index,
    "log": a_log,
}  # fmt: skip


def tried(kind, images, folder, count, first=0):
    data, read, mutate, name = KINDS[kind](images, folder)
    return mutations.check(data, read, folder, count, first, name, mutate, SLACK)


@pytest.mark.parametrize("kind", KINDS)
def test_files_broken_from_within(kind, images, tmp_path):
    outcomes = tried(kind, images, tmp_path, COUNT)
    assert outcomes["read"] and (outcomes["refused"] or kind == "index"), (
        f"both kinds are needed: {outcomes}"
    )


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_files_broken_from_within(kind, images, tmp_path):
    print(kind, tried(kind, images, tmp_path, ALL - COUNT, COUNT))


def test_mutants_from_within_are_a_function_of_their_number(images, tmp_path):
    for kind in ("checkpoint", "results"):
        data, _, mutate, _ = KINDS[kind](images, tmp_path)
        assert [mutate(data, k) for k in range(20)] == [mutate(data, k) for k in range(20)]
        assert len({mutate(data, k) for k in range(40)}) > 30
