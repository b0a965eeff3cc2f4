"""rawconv.from_torch: a PyTorch model in memory becomes a net of ours, which computes the same."""

import numpy as np
import pytest

import rawconv
from rawconv.convert import from_torch as module
from rawconv.errors import RawconvError

pytest.importorskip(
    "onnx", reason="onnx is not installed: no foreign nets (pip install 'rawconv[onnx]')"
)
torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: no model to take (pip install torch)"
)
import torch_blocks  # noqa: E402

nn = torch.nn


@pytest.mark.parametrize("kind", ["resnet", "mobilenet"])
def test_scores_are_the_model_s_and_the_model_is_left_as_it_was(kind):
    model = torch_blocks.calibrated(torch_blocks.NETS[kind]())
    model.fc.train() if kind == "resnet" else model.train()
    modes = [part.training for part in model.modules()]
    net = rawconv.from_torch(model, size=32, classes=list("abcde"))
    assert [part.training for part in model.modules()] == modes and net.classes == list("abcde")
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    mean, std = (np.reshape(numbers, 3) for numbers in module.IMAGENET)
    x = torch.tensor(((image / 255 - mean) / std).transpose(2, 0, 1)[None], dtype=torch.float32)
    with torch.no_grad():
        theirs = model.eval()(x)[0].softmax(0).numpy()
    names = {name: probability for name, probability in rawconv.classify(net, image)}
    np.testing.assert_allclose([names[name] for name in "abcde"], theirs, atol=1e-5)
    layer = "layer1.0" if kind == "resnet" else "features.1"
    assert rawconv.project(net, image, f"{layer}:1").shape == (32, 32, 3)


def test_a_grey_model():
    layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 3), nn.Softmax(1)
    model = torch_blocks.calibrated(nn.Sequential(*layers), 12, channels=1)
    net = rawconv.from_torch(model, 12, (0.13,), (0.31,))
    assert net.shape == (12, 12, 3)


class Odd(nn.Module):
    """Another function at each call, which no export can be."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.net(x) + self.calls


@pytest.mark.parametrize("model, message", [
    (nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(144, 2)),
     r"^This Sequential has node .* SiLU .*other than the ReLU"),
    (nn.Sequential(nn.Conv2d(5, 4, 3)), "PyTorch cannot export this Sequential to ONNX"),
    (Odd(), "differ from the model's by"),
])  # fmt: skip
def test_what_is_refused(model, message):
    with pytest.raises(RawconvError, match=message):
        rawconv.from_torch(model, 8)
