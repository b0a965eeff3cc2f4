"""The nets of PyTorch beside which the GPU benchmark times ours: the same numbers, and failures told."""

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from laws import assert_close

from rawconv import models

sys.path.append(str(Path(__file__).parent.parent / "tools"))
torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
bench_rival, gpu_rivals = (importlib.import_module(name) for name in ("bench_rival", "gpu_rivals"))
torch_blocks = importlib.import_module("torch_blocks")


@pytest.mark.parametrize("name", ["zf32", "alexnet-groups"])
def test_the_twin_computes_what_the_net_does(name):
    net = models.build(name, 7, size=63 if name == "alexnet-groups" else None)
    x = gpu_rivals.random_input(net, 2)
    modules = bench_rival.twin(net, exact=True).eval()
    with torch.inference_mode():
        theirs = modules(bench_rival.tensor(x, "channels_last")).numpy()
    ours = net.forward(x, keep=False)[0]
    assert_close(ours.reshape(2, 7), theirs.reshape(2, 7), 1e-4)


@pytest.mark.parametrize("name", list(gpu_rivals.VISION))
def test_nets_of_torchvision_come_with_their_weights(name, monkeypatch):
    """The same seed gives the same weights in both; pixels are divided by the std in theirs alone."""
    module = ModuleType("torchvision")
    module.models = SimpleNamespace(
        squeezenet1_1=lambda weights: torch_blocks.squeezenet1_1(),
        resnet18=lambda weights: torch_blocks.resnet18(),
    )
    monkeypatch.setitem(sys.modules, "torchvision", module)
    (net, model), (again, _) = gpu_rivals.vision(name, seed=3), gpu_rivals.vision(name, seed=3)
    assert all((again.params[key] == value).all() for key, value in net.params.items())
    x = gpu_rivals.random_input(net, 1)
    std = np.array([58.395, 57.12, 57.375], np.float32)
    with torch.inference_mode():
        theirs = model(bench_rival.tensor(x / std, "channels_last")).numpy()
    assert_close(net.forward(x, keep=False)[0].reshape(theirs.shape), theirs, 1e-3)


def test_a_way_that_fails_is_told_and_the_next_is_timed(monkeypatch):
    """Each way is timed with the TF32 that it asks for."""
    seen = []

    def work():
        seen.append(torch.backends.cuda.matmul.allow_tf32)

    def make(layout, compiled, lrn):
        if compiled:
            raise RuntimeError("no C++ compiler\nmore")
        return work

    monkeypatch.setattr(gpu_rivals, "timed", lambda work: work() or {"ms": 1.0, "host_ms": 0.5})
    found = gpu_rivals._times(gpu_rivals.WAYS["all"], make)
    assert found["compiled"] == {"why": "RuntimeError: no C++ compiler"}
    assert found["no LRN"]["host_ms"] == 0.5 and found.keys() == gpu_rivals.WAYS["all"].keys()
    assert seen == [False, False, True, False, True]
