"""rawconv.from_torch: a PyTorch model in memory becomes a net of ours, which computes the same."""

import logging
import os
import warnings

import numpy as np
import pytest

import rawconv
from rawconv.convert import from_torch as module
from rawconv.errors import RawconvError, UsageError

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
    (nn.Sequential(nn.Conv2d(5, 4, 3)), "This Sequential cannot be run on a picture of shape .* expected input"),
    (nn.Sequential(nn.Conv2d(3, 4, 3), nn.LocalResponseNorm(4), nn.Flatten(), nn.Linear(144, 2)),
     "^This Sequential has node .*, the end of an LRN over 4 channels, and rawconv takes odd numbers of them"),
    (Odd(), "differ from the model's by"),
])  # fmt: skip
def test_what_is_refused(model, message):
    with pytest.raises(RawconvError, match=message):
        rawconv.from_torch(model, 8)


class Branching(nn.Module):
    """Another layer for a dark picture; with `same`, the same layer."""

    def __init__(self, same=False):
        super().__init__()
        self.bright, self.dark = nn.Linear(192, 3), nn.Linear(192, 3)
        if same:
            self.dark.load_state_dict(self.bright.state_dict())

    def forward(self, x):
        x = x.flatten(1)
        return self.bright(x) if x.mean() > 0 else self.dark(x)


class Returning(nn.Module):
    """What `returned` makes of the scores."""

    def __init__(self, returned):
        super().__init__()
        self.net, self.returned = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), returned

    def forward(self, x):
        return self.returned(self.net(x))


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 3))


@pytest.mark.parametrize("change, message", [
    ({"model": linear().state_dict()}, r"takes a torch.nn.Module, not a \w*Dict. Load a state dict into its model"),
    ({"model": torch.relu}, "takes a torch.nn.Module, not a builtin"),
    ({"model": Returning(lambda y: {"logits": y})}, "returns a dict; name its class scores with output=, one of 'log"),
    ({"model": Returning(lambda y: (y, 2 * y))}, "returns a tuple; name its class scores with output=, one of 0, 1"),
    ({"model": Returning(lambda y: (y, 2 * y)), "output": 2}, "returns a tuple, which has no 2; name"),
    ({"model": Returning(lambda y: None)}, "returns a NoneType instead of class scores"),
    ({"output": 0}, "returns one tensor; leave output=0 out"),
    *(({"size": size}, "size=.* is not the size of a picture; give") for size in ("8", 8.0, (8, 8, 3), -8, True, 0)),
    *(({"mean": mean}, "mean=.* is not one number a channel") for mean in ((1, 2), 0.5, "abc", (1, 2, float("nan")))),
    *(({"std": std}, "above 0") for std in ((0, 1, 1), (-1, 1, 1))),
    ({"std": (1,)}, "mean= is of 3 channels and std= of 1"),
    *(({"classes": classes}, "classes=.*not a") for classes in (3, "abc", [0, 1, 2])),
    ({"stored": 8.5}, "stored=8.5 is not the side of a picture"),
])  # fmt: skip
def test_what_is_wrong_with_an_argument(change, message):
    with pytest.raises(UsageError, match=message):
        rawconv.from_torch(**{"model": linear(), "size": 8, **change})


@pytest.mark.parametrize("change, message", [
    ({"classes": ["a"]}, r"3 scores, and there are 1 class names\. Mend classes=\.$"),
    ({"stored": 4}, r"Name another stored=\.$"),
    ({"model": nn.Sequential(nn.Flatten())}, "[^-]*$"),
])  # fmt: skip
def test_remedies_are_arguments_and_not_options_or_another_file(change, message):
    with pytest.raises(RawconvError, match=message) as caught:
        rawconv.from_torch(**{"model": linear(), "size": 8, **change})
    assert "--" not in str(caught.value) and "Fetch" not in str(caught.value)


@pytest.mark.parametrize("returned, output", [
    (lambda y: (2 * y + 1, y), 1), (lambda y: {"aux": 2 * y + 1, "logits": y}, "logits"),
])  # fmt: skip
def test_one_output_of_several(returned, output):
    model = Returning(returned).eval()
    net = rawconv.from_torch(model, 8, (0,) * 3, (1,) * 3, output=output)
    image = np.random.default_rng(2).integers(0, 256, (8, 8, 3), np.uint8)
    x = torch.tensor((image / 255).transpose(2, 0, 1)[None], dtype=torch.float32)
    with torch.no_grad():
        theirs = model.net(x)[0].softmax(0).numpy()
    names = dict(rawconv.classify(net, image))
    np.testing.assert_allclose([names[name] for name in "012"], theirs, atol=1e-5)
    assert not isinstance(model(x), torch.Tensor)  # it returns all of them again


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_model_in_16_bits_is_compared_in_float32_and_left_as_it_is(kind):
    torch.manual_seed(0)
    model = linear().to(kind)
    net = rawconv.from_torch(model, 8, (0,) * 3, (1,) * 3)
    assert {one.dtype for one in model.parameters()} == {kind}
    weight = next(layer for _, layer in net.layers if layer.params).weight
    ours = np.sort(255 * weight.ravel())
    np.testing.assert_allclose(
        ours, np.sort(model[1].weight.detach().float().numpy().ravel()), rtol=1e-5
    )


def test_a_decision_by_the_picture_is_told_and_compared_on_a_dark_and_a_bright_one():
    torch.manual_seed(0)
    with pytest.raises(
        RawconvError, match="On a black picture .* The model decides by the numbers"
    ):
        rawconv.from_torch(Branching(), 8)
    with pytest.warns(
        UserWarning, match="This Branching may decide by .*in test_from_torch.py, line"
    ):
        rawconv.from_torch(Branching(same=True), 8)


class Once(nn.Module):
    """Runs on three pictures, and then no more; says so wherever one can."""

    def __init__(self):
        super().__init__()
        self.net, self.calls = linear(), 0

    def forward(self, x):
        self.calls += 1
        if self.calls > 3:
            print("printed")
            os.write(2, b"written")
            logging.getLogger("torch").error("logged")
            warnings.warn("warned", stacklevel=1)
            raise ValueError("tired")
        return self.net(x)


def test_exporters_say_nothing_but_in_the_sentence(capfd, recwarn):
    with pytest.raises(RawconvError, match="cannot export this Once to ONNX .*tired"):
        rawconv.from_torch(Once(), 8)
    assert capfd.readouterr() == ("", "") and not recwarn.list
    print("after")
    assert capfd.readouterr().out == "after\n"
