"""A batch that cannot be trained on is refused before the first step: larger than memory, or too
small for all.
"""

import numpy as np
import pytest
from click.testing import CliRunner

from rawconv import models
from rawconv.cli.train import _check_batch, main
from rawconv.errors import UsageError
from rawconv.layers.add import Add
from rawconv.layers.conv import Conv
from rawconv.layers.relu import ReLU
from rawconv.machine import buffers, limits
from rawconv.machine.arrays import Device
from rawconv.machine.communicator import SingleProcess
from rawconv.net import Net
from rawconv.training import memory_model, recipes, runs
from rawconv.training.optimizer import SGD
from rawconv.training.step import train_step


class Ranks(SingleProcess):
    """As many processes, all on one machine."""

    def __init__(self, size):
        self.size = self.beside = size


def needed(model, batch, processes=1):
    found = memory_model.training_memory(model, -(-batch // processes), 12, 2)
    return found["peak"] - found["peak_parts"]["parameters"]


def test_what_a_step_takes_on_the_cpu_is_foretold(monkeypatch):
    """Arrays of less than 256 kB are not counted where they are made, so the witness falls a little short."""
    net, ids = models.build("zf32", 12, pixel_mean=np.zeros((32, 32, 3), "float32")), np.arange(256)
    pool = buffers._Pool()
    monkeypatch.setattr(buffers, "_pool", pool)
    images = np.zeros((256, 32, 32, 3), "uint8")
    train_step(net, images, ids % 12, (0, 0, ids), "pad4", SGD(net), 0.001)
    assert pool.most == pytest.approx(needed("zf32", 256), rel=0.25)


def test_of_a_net_with_branches_less_than_it_takes_is_foretold(monkeypatch):
    """At least the inputs of its four convolutions, relu1 once for two: the pixels, and two maps of
    64x64x8.
    """
    layers = [
        ("conv1", Conv(8, 3, pad=1)), ("relu1", ReLU()), ("left", Conv(8, 1)), ("right", Conv(8, 3, pad=1), "relu1"),
        ("sum", Add(), "left", "right"), ("relu2", ReLU()), ("fc", Conv(2, None)),
    ]  # fmt: skip
    net, ids, pool = Net((64, 64, 3), layers, ["cat", "dog"]), np.arange(16), buffers._Pool()
    monkeypatch.setattr(buffers, "_pool", pool)
    train_step(
        net, np.zeros((16, 64, 64, 3), "uint8"), ids % 2, (0, 0, ids), "pad4", SGD(net), 0.001
    )
    weights = sum(value.size for value in net.params.values())
    foretold = 4 * (16 * 64 * 64 * (3 + 8 + 8) + 2 * weights)
    assert pool.most > 4 * 16 * 64 * 64 * (8 + 8)
    recipe = recipes.recipe_of(net)._replace(batch=16)
    monkeypatch.setattr(limits, "free_memory", lambda: foretold)
    memory_model.check_batch(net, recipe, 100, Device(), SingleProcess())
    monkeypatch.setattr(limits, "free_memory", lambda: foretold - 1)
    with pytest.raises(UsageError, match="8 would fit"):
        memory_model.check_batch(net, recipe, 100, Device(), SingleProcess())


@pytest.fixture(scope="module")
def run():
    return runs.start("lenet", "scenes:600", changes={"batch": 512})


@pytest.mark.parametrize("processes", [1, 2])
def test_a_batch_larger_than_memory_is_refused_with_one_that_fits(run, processes, monkeypatch):
    enough = needed("lenet", 512, processes)
    monkeypatch.setattr(limits, "free_memory", lambda: processes * enough)
    _check_batch(run, Device(), Ranks(processes))
    monkeypatch.setattr(limits, "free_memory", lambda: processes * enough - processes)
    with pytest.raises(
        UsageError,
        match=r"batch of 512 pictures takes about \S+ GB of .*process.*: 256 would fit\.$",
    ):
        _check_batch(run, Device(), Ranks(processes))
    monkeypatch.setattr(limits, "free_memory", lambda: 1000)
    with pytest.raises(UsageError, match="use a smaller --model"):
        _check_batch(run, Device(), Ranks(processes))
    with pytest.raises(UsageError, match="go on with it where there is more memory"):
        _check_batch(run._replace(state={"progress": {}}), Device(), Ranks(processes))


def test_a_batch_of_all_images_is_no_larger_than_those(run, monkeypatch):
    """However large the number: one step an epoch."""
    monkeypatch.setattr(limits, "free_memory", lambda: needed("lenet", 600))
    _check_batch(run._replace(recipe=run.recipe._replace(batch=10**30)), Device(), SingleProcess())


def test_a_gpu_counts_its_own_memory(run, monkeypatch):
    monkeypatch.setattr(Device, "free_memory", lambda self: 1 << 20)
    with pytest.raises(UsageError, match="and gpu:1 has 0.00105 GB for it"):
        _check_batch(run, Device(1), SingleProcess())


def test_the_command_refuses_before_it_makes_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(limits, "free_memory", lambda: 100_000_000)
    words = ["--model", "lenet", "--data", "scenes:1200", "--batch", "100000", "--device", "cpu"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and result.stderr.startswith(
        "Error: A step over a batch of 1200 pictures takes about"
    )
    assert not list(tmp_path.iterdir())


def test_a_batch_of_fewer_images_than_processes_is_refused_unless_the_run_began_so(run):
    small = run._replace(recipe=run.recipe._replace(batch=2))
    _check_batch(small, Device(), Ranks(2))
    with pytest.raises(UsageError, match="--batch 2 is fewer pictures than the 3 processes"):
        _check_batch(small, Device(), Ranks(3))
    _check_batch(small._replace(state={"progress": {}}), Device(), Ranks(3))


def test_what_the_system_has_free_counts(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:  99999 kB\nMemAvailable:     7 kB\n")
    assert limits.free_memory(tmp_path) == 7 * 1024
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("4096\n")
    assert limits.free_memory(tmp_path) == 4096
    (tmp_path / "proc/meminfo").unlink()
    assert limits.free_memory(tmp_path) == 4096


def test_whatever_trains_looks_at_memory_first(run, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "free_memory", lambda: 1 << 20)
    with pytest.raises(UsageError, match="A step over a batch of 512 pictures"):
        runs.train_run(run, tmp_path, Device(), progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--batch", "1" + 30 * "0"),
        ("--epochs", "1" + 30 * "0"),
        ("--lr", "1e40"),
        ("--decay", "1e40"),
    ],
)
def test_numbers_that_no_checkpoint_can_keep_are_refused(option, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(
        main, ["--device", "cpu", "--model", "lenet", "--data", "scenes:24", option, value]
    )
    assert (
        result.exit_code == 2
        and f"Error: {option} is 1" in result.stderr
        and not list(tmp_path.iterdir())
    )
    assert "number from " in result.stderr and result.stderr.count("\n") == 1
