"""A training step as a CUDA graph: the same bits; where it cannot be captured, a sentence and the
step without it.

The software GPU captures nothing, so that a stand-in repeats the work at each launch: what is tested
here is that all a step depends on reaches the graph.  A real card captures.
"""

import numpy as np
import pytest
from click.testing import CliRunner

from rawconv import models
from rawconv.cli.train import main
from rawconv.errors import UsageError
from rawconv.machine.arrays import Device, to_cpu
from rawconv.machine.communicator import SingleProcess
from rawconv.training import step_graph
from rawconv.training.optimizer import SGD
from rawconv.training.step import train_step


class Repeated:
    """What machine.graphs.Graph promises: results that stay where they are, new values at each launch."""

    made = 0

    def __init__(self, work):
        Repeated.made += 1
        self.work, self.results = work, work()
        self.results[0].fill(7)  # nobody may read them before a launch

    def launch(self):
        (sums, grads), (kept, kept_grads) = self.work(), self.results
        kept[...] = sums
        for layer, found in grads.items():
            for name, value in found.items():
                kept_grads[layer][name][...] = value


def trained(xp, gradients, weights=None):
    """(every weight, the sums of every step) after two epochs of two steps of 4 images and one of 3."""
    net, rng = (
        models.build("zf32", classes=5, size=16, seed=1).to(Device(0)),
        np.random.default_rng(2),
    )
    optimizer, sums = SGD(net), []
    for epoch in range(2):
        for ids in (np.arange(4), np.arange(4, 8), np.arange(8, 11)):
            images = xp.asarray(rng.integers(0, 256, (len(ids), 16, 16, 3), np.uint8))
            labels = xp.asarray(rng.integers(0, 5, len(ids)))
            key, rate = (3, epoch, ids), 1e-4 * (1 + epoch)
            sums.append(
                train_step(
                    net,
                    images,
                    labels,
                    key,
                    "pad4",
                    optimizer,
                    rate,
                    weights=weights,
                    gradients=gradients,
                )
            )
    return [to_cpu(value) for value in (*net.params.values(), *sums)]


@pytest.fixture
def gpu(xp):
    if xp is np:
        pytest.skip("a CPU has no graphs: pytest --device gpu")
    return xp


@pytest.mark.parametrize("weighted", [False, True])
def test_a_gpu_s_steps_are_the_same_bits(weighted, gpu, monkeypatch):
    if gpu.cuda.runtime.is_hip:
        monkeypatch.setattr(step_graph, "Graph", Repeated)
    weights = gpu.asarray([0.5, 1, 2, 1, 1], "float32") if weighted else None
    said, Repeated.made = [], 0
    given = step_graph.StepGraph(said.append)
    for got, want in zip(trained(gpu, given, weights), trained(gpu, None, weights), strict=True):
        np.testing.assert_array_equal(got, want)
    assert not said
    assert Repeated.made in (0, 2), "one an epoch: dropout draws from it"


def test_a_gpu_without_graphs_says_so_once_and_goes_on(gpu):
    if not gpu.cuda.runtime.is_hip:
        pytest.skip("this GPU captures")
    said = []
    given = step_graph.StepGraph(said.append)
    for got, want in zip(trained(gpu, given), trained(gpu, None), strict=True):
        np.testing.assert_array_equal(got, want)
    (sentence,) = said
    assert sentence.startswith("CUDA graphs do not work here (hipErrorNotSupported")
    assert sentence.endswith("; each kernel is launched by itself.")


def test_a_cpu_refuses(tmp_path):
    words = ["--graph", "--device", "cpu", "--data", "scenes:50", "--out", str(tmp_path / "run")]
    found = CliRunner().invoke(main, words)
    assert not (tmp_path / "run").exists()
    assert found.exit_code == 2 and "--graph is for a GPU" in found.stderr


def test_several_processes_refuse():
    ranks = SingleProcess()
    ranks.size = 2
    with pytest.raises(UsageError, match="--graph is for one process"):
        step_graph.check_graph(Device(0), ranks)
