"""State dicts of nets that branch: every node is PyTorch's, wherever in its file the dict lies."""

import importlib.util

import numpy as np
import pytest

from rawconv.convert import PIXELS, Wanted
from rawconv.convert.architectures import ARCHITECTURES, misfit
from rawconv.convert.pytorch_net import scores
from rawconv.convert.read import import_net
from rawconv.errors import RawconvError

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: no witness for its files (pip install torch)"
)
import torch_blocks  # noqa: E402
import torch_nets  # noqa: E402
from torch_rules import Recorded, node_distances, way_down_distances  # noqa: E402

RAW = PIXELS["raw"]._asdict()  # so that a net's input is PyTorch's, turned to channels last
SIDE = 64


def dictionary(net, path, **wrapped):
    torch.save(wrapped or net.state_dict(), path)
    return path


def ours(net, x):
    """{name: what the node makes of x (N, C, H, W)}, (N, C, H, W)."""
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1), net.dtype)
    return {name: y.transpose(0, 3, 1, 2) for name, y, _ in net.up(x, asked=net.nodes)}


def distance(got, want):
    return np.abs(got.reshape(want.shape) - want).max() / np.abs(want).max()


def check(net, path, arch, side, limit=1e-10):
    """All nodes in double precision; the scores of the import, and those of its witness, in single."""
    wanted = Wanted(arch=arch, size=side)
    x = np.random.default_rng(3).standard_normal((1, 3, side, side)).astype(np.float32)
    dictionary(net, path)
    single = import_net(path, wanted, RAW).net
    theirs = scores(path, x, wanted)
    net = net.double()
    dictionary(net, path)
    double = import_net(path, wanted._replace(dtype="float64"), RAW).net
    want, modules = torch_blocks.outputs(net, torch.from_numpy(x.astype(np.float64)))
    made = ours(double, x)
    assert distance(made[double.output], want.numpy()) < limit
    paths, known = list(modules), [name for name in made if name in modules]
    assert len(known) > len(modules) / 3
    for name in known:
        place = paths.index(name)
        same = [
            w.numpy()
            for w in (modules[path] for path in paths[place : place + 2])
            if w.numel() == made[name].size
        ]
        assert min(distance(made[name], w) for w in same) < limit, name
    assert (
        distance(ours(single, x)[single.output], want.numpy()) < 1e-4
        and distance(theirs, want.numpy()) < 1e-4
    )
    return single


@pytest.mark.parametrize("arch", torch_blocks.WHOLE)
def test_every_node_is_pytorch_s_in_double_precision(arch, tmp_path):
    net = torch_blocks.calibrated(torch_blocks.WHOLE[arch](), SIDE)
    found = check(net, tmp_path / "net.pth", arch, SIDE)
    assert found.shapes[found.output] == (1, 1, 5)


CHAINS = {
    "alexnet": torch_nets.alexnet,
    "vgg11_bn": lambda: torch_nets.vgg("vgg11", True),
    "zfnet": torch_nets.ZFNet,
}


def values_of(net, x):
    """What PyTorch computes on the way up, in order."""
    with torch.no_grad(), Recorded() as recorded:
        net(x)
    return recorded.values


SLOW = [
    pytest.param(arch, marks=pytest.mark.long)
    for arch in ("densenet121", "resnext50_32x4d", "zfnet", "vgg11_bn", "alexnet")
]


@pytest.mark.parametrize("arch", ["resnet18", "squeezenet1_1", "mobilenet_v2", "googlenet", *SLOW])
def test_every_way_down_is_autograd_s(arch, tmp_path):
    """Of 20 units by the three rules; in single precision with the switches and masks of double."""
    side = 224 if arch in CHAINS else SIDE
    net = torch_blocks.calibrated((CHAINS | torch_blocks.WHOLE)[arch](), side)
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(3))
    wanted, path = Wanted(arch=arch, size=side), tmp_path / "net.pth"
    single = import_net(dictionary(net, path), wanted, RAW).net
    net = net.double()
    double = import_net(dictionary(net, path), wanted._replace(dtype="float64"), RAW).net
    far, places = node_distances(double, x, values_of(net, x.double()))
    assert far < 1e-10
    far, far_in_single = way_down_distances(net, double, single, x, places, layers=2)
    assert far < 1e-10 and far_in_single < 1e-5


# (newer exporter, opset)
EXPORTS = [
    *((False, opset) for opset in (9, 13, 20)),
    (True, 23),
    *(pytest.param(False, opset, marks=pytest.mark.long) for opset in (10, 11, 12, *range(14, 20))),
    *(pytest.param(True, opset, marks=pytest.mark.long) for opset in range(18, 23)),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("newer", "opset"), EXPORTS)
def test_every_node_that_pytorch_exports(newer, opset, tmp_path):
    """Of a net of each kind that branches, in double precision."""
    pytest.importorskip("onnx", reason="onnx is not installed (pip install 'rawconv[onnx]')")
    if newer:
        pytest.importorskip("onnxscript", reason="the newer exporter needs onnxscript")
    for kind in ("resnet",) if newer and opset == 23 else torch_blocks.NETS:
        net = torch_blocks.calibrated(torch_blocks.NETS[kind](), 32).double()
        x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
        more = {"external_data": False, "verbose": False} if newer else {}
        path = tmp_path / f"{kind}.onnx"
        torch.onnx.export(net, (x.double(),), path, dynamo=newer, opset_version=opset, **more)
        double = import_net(path, Wanted(dtype="float64"), RAW).net
        far, _ = node_distances(double, x, values_of(net, x.double()))
        # the newer exporter writes the constants of transform_input in single precision
        limit = 1e-6 if newer and kind == "googlenet" else 1e-10
        assert far < limit, kind


NAMES = {
    "resnet18": [
        "layer1.0.conv1",
        "layer1.0.relu_1",
        "layer2.0.add",
        "layer2.0.downsample.0",
        "fc",
    ],
    "squeezenet1_1": ["features.3.squeeze_activation", "features.12.concat", "classifier.3"],
    "densenet121": [
        "features.denseblock1.denselayer1.norm1",
        "features.denseblock4.concat",
        "features.norm5",
        "relu",
    ],
    "mobilenet_v2": ["features.0.0", "features.3.add", "features.18.2", "classifier.1"],
    "googlenet": ["conv1.conv", "inception3a.branch2.1.relu", "inception5b.concat", "fc"],
}


@pytest.mark.parametrize("arch", NAMES)
def test_nodes_are_called_as_the_modules(arch):
    names = [name for name, *_ in ARCHITECTURES[arch].steps]
    assert len(set(names)) == len(names) and set(NAMES[arch]) <= set(names)


WRAPPED = {
    "state_dict": lambda s: {"epoch": 3, "best_acc1": torch.tensor(71.5), "state_dict": s},
    "model_state_dict": lambda s: {"model_state_dict": s, "loss": torch.tensor([1.0, 2.0])},
    "model": lambda s: {"model": s, "optimizer": {"state": {}, "param_groups": []}},
    "ema": lambda s: {"ema": s, "best_acc1": torch.tensor(71.5)},
    "module.": lambda s: {f"module.{name}": t for name, t in s.items()},
    "lightning": lambda s: {"state_dict": {f"model.{name}": t for name, t in s.items()}},
    "twice": lambda s: {"model": {f"module._orig_mod.{name}": t for name, t in s.items()}},
    "net.": lambda s: {f"net.{name}": t for name, t in s.items()},
    "backbone.": lambda s: {f"backbone.{name}": t for name, t in s.items()},
    "features.module.": lambda s: {
        name.replace("features.", "features.module."): t for name, t in s.items()
    },
}


@pytest.mark.parametrize("how", WRAPPED)
def test_wherever_the_dict_lies(how, tmp_path):
    net = torch_blocks.calibrated(torch_blocks.squeezenet1_1(), SIDE)
    path, wanted = tmp_path / "net.pth", Wanted(arch="squeezenet1_1", size=SIDE)
    dictionary(net, path, **WRAPPED[how](net.state_dict()))
    x = np.random.default_rng(3).standard_normal((1, 3, SIDE, SIDE)).astype(np.float32)
    with torch.no_grad():
        want = net(torch.from_numpy(x)).numpy()
    found = import_net(path, wanted, RAW).net
    assert (
        distance(ours(found, x)[found.output], want) < 1e-5
        and distance(scores(path, x, wanted), want) < 1e-5
    )


def test_names_of_old_densenets(tmp_path):
    """The released files call norm1 norm.1."""
    net = torch_blocks.calibrated(torch_blocks.densenet121(), SIDE)
    new = dictionary(net, tmp_path / "new.pth")
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): t
        for name, t in net.state_dict().items()
    }
    nets = [
        import_net(p, Wanted("densenet121")).net
        for p in (new, dictionary(net, tmp_path / "old.pth", **old))
    ]
    for key, value in nets[0].params.items():
        np.testing.assert_array_equal(nets[1].params[key], value)


def test_pixels_of_the_released_weights_and_heads_of_training(tmp_path):
    """googlenet's and inception_v3's take pixels from -1 to 1; torchvision's others ImageNet's mean
    and deviation.
    """
    net = torch_blocks.calibrated(torch_blocks.GoogLeNet(), SIDE)
    found = import_net(dictionary(net, tmp_path / "net.pth"), Wanted("googlenet"))
    said = found.info["imported"]["conventions"]
    assert (
        found.pixels.mean == found.pixels.std == (127.5,) * 3
        and said["auxiliary heads"] == "left out"
    )
    assert (
        "transform_input" in said["pixels"]
        and found.net.shape == (224, 224, 3)
        and found.net.stored == (256, 256)
    )
    assert ARCHITECTURES["inception_v3"].size == 299 and ARCHITECTURES["inception_v3"].stored == 342
    narrow = import_net(tmp_path / "net.pth", Wanted("googlenet", size=64)).net
    assert narrow.stored == (64, 64), "the whole picture, and not the middle of 256 pixels"
    with pytest.raises(RawconvError, match="is no resnet18: it holds no conv1.weight"):
        import_net(tmp_path / "net.pth", Wanted("resnet18"))


# torchvision's own nets, where they can be imported


@pytest.fixture(scope="module")
def torchvision():
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip(
            "torchvision is not installed: its nets are no witness (pip install torchvision)"
        )
    return pytest.importorskip("torchvision.models")


@pytest.mark.parametrize(
    "arch", [name for name, about in ARCHITECTURES.items() if about.library == "torchvision"]
)
def test_each_architecture_is_known_by_torchvision_s_tensors(arch, torchvision):
    with torch.device("meta"):
        net = getattr(torchvision, arch)(weights=None, num_classes=7)
    shapes = {
        name: tuple(t.shape) for name, t in net.state_dict().items() if "num_batches" not in name
    }

    def own(about):
        return {name: shape for name, shape in shapes.items() if not name.startswith(about.heads)}

    assert [
        name for name, about in ARCHITECTURES.items() if misfit(about.steps, own(about)) is None
    ] == [arch]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "arch", ["squeezenet1_0", "resnet50", "googlenet", "densenet121", "inception_v3"]
)
def test_torchvision_s_nodes_in_double_precision(arch, torchvision, tmp_path):
    net = getattr(torchvision, arch)(weights=None)
    for module in net.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    side = ARCHITECTURES[arch].size
    check(torch_blocks.calibrated(net, side), tmp_path / "net.pth", None, side)
