"""Nets that branch, from ONNX: each node equals PyTorch's module of the same name, and the scores
onnxruntime's.
"""

import copy
import io

import numpy as np
import pytest

from rawconv.convert import PIXELS, Wanted, onnx_net
from rawconv.convert.read import import_net
from rawconv.convert.to_onnx import export
from rawconv.convert.verify import verify
from rawconv.errors import RawconvError, UsageError
from rawconv.layers.add import Add
from rawconv.layers.average_pool import AveragePool
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net

onnx = pytest.importorskip(
    "onnx", reason="onnx is not installed: no foreign nets (pip install 'rawconv[onnx]')"
)
pytest.importorskip(
    "onnxruntime", reason="onnxruntime is not installed: no witness (pip install onnxruntime)"
)
torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: no exporter to read from (pip install torch)"
)
files = pytest.importorskip("onnx_files")
import torch_blocks  # noqa: E402

Chain = files.Chain
RAW = PIXELS["raw"]._asdict()  # so that a net's input is the file's, turned to channels last
SIDE = 32


def exported(net, path, dtype=torch.float32, newer=False, opset=13):
    x = torch.zeros(1, 3, SIDE, SIDE, dtype=dtype)
    if newer:
        pytest.importorskip(
            "onnxscript", reason="onnxscript is not installed: PyTorch's newer exporter needs it"
        )
        torch.onnx.export(net, (x,), str(path), dynamo=True, verbose=False)
    else:
        out = io.BytesIO()
        torch.onnx.export(net, x, out, dynamo=False, opset_version=opset, input_names=["x"])
        path.write_bytes(out.getvalue())
    return path


def images(count=2, side=SIDE, seed=4):
    return np.random.default_rng(seed).standard_normal((count, 3, side, side)).astype(np.float32)


def ours(net, x):
    """{name: what the node makes of x (N, C, H, W)}, (N, C, H, W)."""
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1), net.dtype) - net.pixel_mean.astype(net.dtype)
    return {name: y.transpose(0, 3, 1, 2) for name, y, _ in net.up(x, asked=net.nodes)}


def scores(net, x):
    return ours(net, x)[net.output].reshape(len(x), -1)


def distance(got, want):
    return np.abs(got - want).max() / np.abs(want).max()


def followed(name, found):
    """What our node `name` may be: the module's own output, or that of the batch norm after it,
    folded into it.
    """
    paths = list(found)
    place = paths.index(name)
    return [found[path].numpy() for path in paths[place : place + 2]]


@pytest.mark.filterwarnings("ignore")  # the exporter's own, about itself
@pytest.mark.parametrize("kind", torch_blocks.NETS)
def test_every_node_is_pytorch_s_in_double_precision(kind, tmp_path):
    net = torch_blocks.calibrated(torch_blocks.NETS[kind]()).double()
    found = import_net(
        exported(net, tmp_path / "net.onnx", torch.float64), Wanted(dtype="float64"), RAW
    )
    x = images().astype(np.float64)
    want, modules = torch_blocks.outputs(net, torch.from_numpy(x))
    made = ours(found.net, x)
    assert distance(made[found.net.output].reshape(2, -1), want.numpy()) < 1e-10
    known = [name for name in made if name in modules]
    norms = {
        path for path, module in net.named_modules() if isinstance(module, torch.nn.BatchNorm2d)
    }
    dropouts = 1 if kind in ("squeezenet", "googlenet", "mobilenet") else 0
    assert len(known) >= len(set(modules) - norms) - dropouts
    for name in known:
        same = [
            w
            for w in followed(name, modules)
            if w.reshape(*w.shape[:2], -1).size == made[name].size
        ]
        assert min(distance(made[name].reshape(w.shape), w) for w in same) < 1e-10, name


NAMES = {
    "resnet": ["layer1.0.conv1", "layer1.0.relu", "layer1.0.conv2", "layer1.0.add", "layer1.0.relu_1",
               "layer2.0.downsample.0", "maxpool", "avgpool", "fc"],
    "squeezenet": ["features.3.squeeze", "features.3.expand3x3_activation", "features.3.concat", "classifier.1"],
    "densenet": ["features.denseblock1.denselayer2.concat", "features.denseblock1.denselayer2.norm1", "relu",
                 "features.denseblock1.concat", "features.transition1.pool", "classifier"],
    "googlenet": ["conv1.conv", "conv1.relu", "inception3a.branch3.1.relu", "inception3a.avgpool",
                  "inception3b.concat"],
    "mobilenet": ["features.0.0", "features.2.conv.1.0", "features.3.conv.2", "features.3.add"],
}  # fmt: skip


HOW = [(kind, opset) for kind in torch_blocks.NETS for opset in (9, 20)]
HOW.append(("resnet", "newer"))
HOW += [pytest.param(kind, "newer", marks=pytest.mark.long) for kind in ("googlenet", "mobilenet")]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind, how", HOW)
def test_scores_are_onnxruntime_s_and_names_the_modules(kind, how, tmp_path):
    net = torch_blocks.calibrated(torch_blocks.NETS[kind]())
    path = exported(net, tmp_path / "net.onnx", newer=how == "newer", opset=how)
    found = import_net(path, None, RAW)
    x = images()
    with torch.no_grad():
        exact = copy.deepcopy(net).double()(torch.from_numpy(x).double()).numpy()
        pytorch = net(torch.from_numpy(x)).numpy()
    onnxruntime = np.concatenate([onnx_net.scores(path, one[None], Wanted()) for one in x])
    # on a processor without AVX-512, one of them may be three times nearer by chance than the other
    theirs = max(distance(given, exact) for given in (onnxruntime, pytorch))
    assert distance(scores(found.net, x), exact) <= max(3 * theirs, 3e-7)
    nodes = list(found.net.nodes)
    assert [name for name in NAMES.get(kind, ()) if name not in nodes] == []
    if kind == "resnet":
        assert [name for name in nodes if name.startswith("layer2.0.")][-1] == "layer2.0.relu_1"


# One operator after the other, against onnxruntime


def branches():
    """conv, ReLU: 4 maps of 10 x 10, each about half dead."""
    return Chain().conv(4, 3, 3).add("Relu")


def join(chain, operator, *values, **about):
    """The chain goes on with an operator over these values."""
    chain.value = values[0]
    return chain.add(operator, *values[1:], **about)


def agree(chain, path, tolerance=2e-6, wanted=None):
    """Import what ends in maps or scores: a fully connected layer is put on it."""
    chain.add("GlobalAveragePool").add("Flatten")
    chain.add("Gemm", chain.weight(5, _channels(chain, path)), chain.weight(5), transB=1)
    found = import_net(chain.save(path), wanted, RAW)
    x = images(3, 12)
    theirs = np.concatenate([onnx_net.scores(path, one[None], Wanted()) for one in x])
    assert distance(scores(found.net, x), theirs) <= tolerance
    return found.net


def _channels(chain, path):
    """Of the maps that the chain ends in, as onnxruntime says."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(chain.save(path)), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": images(1, 12)})[0].reshape(1, -1).shape[1]


def kinds(net):
    return [type(layer) for _, layer in net.layers]


def test_sums_of_several_and_of_one_twice(tmp_path):
    chain = branches()
    a = chain.value
    b = chain.conv(4, 4, 1).value
    net = agree(join(chain, "Sum", a, b, a), tmp_path / "net.onnx")
    assert kinds(net).count(Add) == 1 and [
        n.inputs for n in net.nodes.values() if len(n.inputs) == 3
    ]
    chain = branches()
    agree(chain.add("Add", chain.value), tmp_path / "net.onnx")


def batch_norm(chain, maps):
    arrays = [chain.rng.uniform(0.5, 1.5, maps).astype(np.float32) for _ in range(4)]
    return chain.add("BatchNormalization", *map(chain.constant, arrays), epsilon=1e-3)


def test_a_batch_norm_is_folded_only_where_it_alone_follows_a_convolution(tmp_path):
    folded = agree(batch_norm(Chain().conv(4, 3, 3), 4).add("Relu"), tmp_path / "net.onnx")
    assert kinds(folded) == [Conv, ReLU, AveragePool, Conv]
    above = agree(batch_norm(branches(), 4), tmp_path / "net.onnx")
    (name,) = [
        name for name, layer in above.layers if isinstance(layer, Conv) and layer.groups == 4
    ]
    assert above[name].window.size == (1, 1) and kinds(above)[:3] == [Conv, ReLU, Conv]
    chain = Chain().conv(4, 3, 3)
    bare = chain.value
    normed = batch_norm(chain, 4).value
    shared = agree(join(chain, "Add", bare, normed), tmp_path / "net.onnx")
    # what else takes the convolution's output must not see the norm
    assert kinds(shared).count(Conv) == 3


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
def test_a_scale_or_shift_per_map_anywhere(operator, tmp_path):
    chain = branches()
    agree(chain.add(operator, chain.constant(chain.rng.uniform(0.5, 2, (4, 1, 1)).astype(np.float32))).add("Relu"),
          tmp_path / "net.onnx")  # fmt: skip


@pytest.mark.parametrize("after", ["Conv", "MaxPool", "AveragePool", "Relu"])
@pytest.mark.parametrize("signed", [False, True])
def test_padding_of_its_own(after, signed, tmp_path):
    """Zeros around what is below 0 must win a maximum there; around what is not, they are as good as none."""
    chain = Chain().conv(4, 3, 3) if signed else branches()
    chain.add("Pad", chain.constant(np.array([0, 0, 1, 2, 0, 0, 1, 0])))
    if after == "Conv":
        chain.conv(3, 4, 3, pads=[1, 0, 0, 1])
    elif after == "Relu":
        chain.add("Relu")
    else:
        chain.add(after, kernel_shape=[3, 3], strides=[2, 2])
    net = agree(chain, tmp_path / "net.onnx")
    assert len(net.nodes) == (5 if after == "Relu" or (after == "MaxPool" and signed) else 4) + (
        not signed
    )


@pytest.mark.parametrize(
    "about", [{"dilations": [2, 3]}, {"dilations": [2, 1], "pads": [2, 0, 1, 1]}]
)
def test_dilation(about, tmp_path):
    net = agree(branches().conv(6, 4, 3, 2, **about), tmp_path / "net.onnx")
    assert [layer.window.dilation for _, layer in net.layers if isinstance(layer, Conv)][
        1
    ] == tuple(about["dilations"])


def test_padding_of_the_image_and_before_a_maximum(tmp_path):
    chain = Chain()
    agree(
        chain.add("Pad", chain.constant(np.array([0, 0, 1, 1, 0, 0, 2, 2]))).conv(4, 3, 3),
        tmp_path / "net.onnx",
    )
    chain = Chain().conv(4, 3, 3)
    pads, least = (
        chain.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])),
        chain.constant(np.float32(-np.inf)),
    )
    agree(chain.add("Pad", pads, least).add("MaxPool", kernel_shape=[3, 3]), tmp_path / "net.onnx")


@pytest.mark.parametrize("opset", [9, 13])
def test_ceilings(opset, tmp_path):
    chain = Chain(opset=opset)
    bounds = {"min": 0.0, "max": 0.6} if opset == 9 else {}
    chain.conv(4, 3, 3).add(
        "Clip", *([] if bounds else map(chain.constant, (np.float32(0), np.float32(0.6)))), **bounds
    )
    net = agree(chain, tmp_path / "net.onnx")
    assert [layer.ceiling for _, layer in net.layers if isinstance(layer, ReLU)] == [
        pytest.approx(0.6)
    ]
    chain = Chain().conv(4, 3, 3)
    chain.add("Max", chain.constant(np.float32(0))).add("Min", chain.constant(np.float32(0.5)))
    assert kinds(agree(chain, tmp_path / "net.onnx"))[:2] == [Conv, ReLU]
    chain = branches()
    rectified = chain.value
    below = chain.add("Min", chain.constant(np.float32(0.5))).value
    # the ReLU has another consumer
    with pytest.raises(RawconvError, match=r"\(Min\).*it is no ReLU"):
        agree(join(chain, "Add", rectified, below), tmp_path / "net.onnx")


@pytest.mark.parametrize("about", [
    {"pads": [1, 1, 1, 1]}, {"pads": [1, 0, 1, 1], "count_include_pad": 1}, {"strides": [3, 3], "ceil_mode": 1},
    {"strides": [3, 3], "ceil_mode": 1, "pads": [1, 1, 1, 1]}, {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
])  # fmt: skip
def test_averages(about, tmp_path):
    net = agree(branches().add("AveragePool", kernel_shape=[3, 3], **about), tmp_path / "net.onnx")
    assert kinds(net).count(AveragePool) == 2


@pytest.mark.parametrize("operator", ["GlobalMaxPool", "ReduceMax", "ReduceMean"])
def test_pools_of_whole_maps(operator, tmp_path):
    net = agree(branches().add(operator, **({} if operator == "GlobalMaxPool" else {"axes": [2, 3]})),
                tmp_path / "net.onnx")  # fmt: skip
    assert (MaxPool in kinds(net)) == (operator != "ReduceMean")


def test_what_does_nothing(tmp_path):
    """Identity, a cast, an average over 1x1, an upsampling by 1: no layers."""
    chain = branches().add("Identity").add("AveragePool", kernel_shape=[1, 1])
    chain.add(
        "Resize", chain.constant(np.zeros(0, np.float32)), chain.constant(np.ones(4, np.float32))
    )
    chain.add("Cast", to=1)
    assert kinds(agree(chain, tmp_path / "net.onnx")) == [Conv, ReLU, AveragePool, Conv]


def test_a_grey_net_with_the_channels_last_branches_too(tmp_path):
    chain = Chain((1, 12, 12, 1)).add("Transpose", perm=[0, 3, 1, 2]).conv(4, 1, 3).add("Relu")
    chain.add("Transpose", perm=[0, 2, 3, 1])
    last = chain.value
    chain.add("Transpose", perm=[0, 3, 1, 2]).conv(4, 4, 1).add("Transpose", perm=[0, 2, 3, 1])
    chain.add("Add", last).add("ReduceMean", axes=[1, 2], keepdims=0).add(
        "MatMul", chain.weight(4, 5)
    )
    path = chain.add("Sigmoid").save(tmp_path / "net.onnx")
    found = import_net(path, None, {"std": (100.0,)})
    assert found.foreign.softmax == "sigmoid" and found.net.shape == (12, 12, 3)
    x = images(3, 12)[:, :1]
    theirs = np.concatenate([onnx_net.scores(path, one[None], Wanted()) for one in x])
    rgb = np.repeat(100 * x, 3, axis=1)  # the luma of three equal channels is their value
    np.testing.assert_allclose(1 / (1 + np.exp(-scores(found.net, rgb))), theirs, rtol=2e-5)


def test_one_output_of_several(tmp_path):
    chain = branches()
    chain.add("GlobalAveragePool").add("Flatten")
    pooled = chain.value
    main = chain.add("Gemm", chain.weight(5, 4), transB=1).value
    side = join(chain, "Gemm", pooled, chain.weight(3, 4), transB=1).value
    model = chain.model()
    model.graph.output.append(onnx.helper.make_tensor_value_info(main, 1, None))
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(
        RawconvError, match=f"2 outputs .*'{side}', '{main}'. Name one with --output"
    ):
        import_net(tmp_path / "net.onnx")
    with pytest.raises(UsageError, match="no output 'other'; its outputs are"):
        import_net(tmp_path / "net.onnx", Wanted(output="other"))
    for name, classes in ((main, 5), (side, 3)):
        found = import_net(tmp_path / "net.onnx", Wanted(output=name), RAW)
        theirs = onnx_net.scores(tmp_path / "net.onnx", images(1, 12), found.wanted)
        assert (
            theirs.shape == (1, classes)
            and distance(scores(found.net, images(1, 12)), theirs) < 2e-6
        )
        assert found.info["imported"]["conventions"]["output"] == name


@pytest.mark.parametrize("side", [(12, 20), (20, 12)])
def test_a_trunk_of_images_that_are_not_square(side, tmp_path):
    """It ends in maps, so it has no classes, and no scores that could be mistaken for some."""
    chain = Chain((1, 3, *side)).add("Sub", "mean").conv(4, 3, 3, strides=[2, 1]).add("Relu")
    mean = chain.rng.uniform(90, 140, (1, 3, *side)).astype(np.float32)
    chain.weights.append(files.numpy_helper.from_array(mean, "mean"))
    first = chain.value
    path = join(chain, "Concat", first, chain.conv(2, 4, 1).value, axis=1).save(
        tmp_path / "net.onnx"
    )
    found = import_net(path)
    net = found.net
    assert (
        net.shape == (*side, 3)
        and net.stored == (20, 20)
        and net.classes == []
        and not net.has_scores
    )
    from PIL import Image

    image = np.random.default_rng(1).integers(0, 256, (20, 20, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "picture.png")
    checked = verify(found, tmp_path / "picture.png")
    assert (
        checked["difference"] < 1e-5
        and checked["ours"] == checked["theirs"]
        and checked["ours"][:4] == "map "
    )
    with pytest.raises(RawconvError, match="which have no class names"):
        import_net(path, classes=["cat"])


def test_half_precision_is_read_and_run(tmp_path):
    """The whole file in float16, its input too."""
    chain = branches()
    chain.add("Add", chain.nodes[0].output[0]).add("GlobalAveragePool").add("Flatten").add("Gemm", chain.weight(5, 4),
                                                                                           transB=1)  # fmt: skip
    model = chain.model()
    for tensor in model.graph.initializer:
        half = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(half, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, tmp_path / "net.onnx")
    found = import_net(tmp_path / "net.onnx", None, RAW)
    theirs = onnx_net.scores(tmp_path / "net.onnx", images(1, 12), found.wanted)
    assert (
        found.net.dtype == np.float32 and distance(scores(found.net, images(1, 12)), theirs) < 3e-3
    )


@pytest.mark.parametrize(
    "name", ["resnet50", "squeezenet", "densenet121", "inception_v1", "inception_v2"]
)
def test_the_model_zoo_s_graphs(name):
    """With the equal weights that their light files have: their layers and names."""
    net = import_net(files.LIGHT / f"light_{name}.onnx").net
    assert net.shapes[net.output] == (1, 1, 1000) and len(net.nodes) > 60
    some = {
        "resnet50": "gpu_0/res2_0_branch2a",
        "squeezenet": "fire2/squeeze1x1",
        "densenet121": "conv2_1/x1",
    }
    assert some.get(name, net.output) in net.nodes


@pytest.mark.filterwarnings("ignore")
def test_export_and_import_again_keep_names_and_bits(tmp_path):
    path = exported(
        torch_blocks.calibrated(torch_blocks.NETS["squeezenet"]()), tmp_path / "net.onnx"
    )
    net = import_net(path).net
    # names as other libraries give them
    nodes = {"conv1": "features.0", "fire2/concat": "features.3.concat"}
    names = {given: ours for ours, given in nodes.items()}
    layers = [
        (names.get(n, n), layer, *(names.get(i, i) for i in inputs))
        for n, layer, inputs in net.nodes.values()
    ]
    net = Net(net.shape, layers, net.classes, net.pixel_mean)
    export(net, tmp_path / "again.onnx")
    again = import_net(tmp_path / "again.onnx").net
    assert list(again.nodes) == list(net.nodes)
    np.testing.assert_array_equal(scores(again, images()), scores(net, images()))


def test_what_is_no_graph_of_one_image(tmp_path):
    """A circle, one tensor made twice, what nothing makes, and what does not depend on the picture."""
    for change, message in (
        (lambda g: g.node[2].input.__setitem__(1, "t3"), "its graph goes round in a circle"),
        (lambda g: g.node[1].output.__setitem__(0, "t0"), "it makes 't0' twice"),
        (lambda g: g.initializer[0].__setattr__("name", "t1"), "it makes 't1' twice"),
        (lambda g: g.initializer.append(g.initializer[0]), "it makes 'w0' twice"),
        (lambda g: g.node[1].input.__setitem__(0, "nowhere"), "nothing makes 'nowhere'"),
        (lambda g: g.output[0].__setattr__("name", "w0"), "takes 0 inputs"),
    ):
        chain = branches()
        model = files.finish(chain.add("Add", "t0").add("Relu")).model()
        change(model.graph)
        (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(RawconvError, match=message):
            import_net(tmp_path / "net.onnx")


def test_a_image_prepared_in_two_ways_is_refused(tmp_path):
    chain = Chain()
    first = chain.add("Mul", chain.constant(np.float32(0.5))).conv(4, 3, 3).value
    second = join(chain, "Mul", "x", chain.constant(np.float32(0.25))).conv(4, 3, 3).value
    with pytest.raises(RawconvError, match="prepared in another way"):
        import_net(files.finish(join(chain, "Add", first, second)).save(tmp_path / "net.onnx"))


def test_two_convolutions_take_the_image_s_scale_in(tmp_path):
    """Pixels that are not ours are folded into every layer that sees them, or into one before them all."""
    for pooled in (False, True):
        chain = Chain()
        first = chain.conv(4, 3, 3, pads=[1, 1, 1, 1]).value
        chain.value = "x"
        chain.add("MaxPool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]) if pooled else chain.conv(
            3, 3, 3, pads=[1] * 4
        )
        path = files.finish(join(chain, "Concat", first, chain.value, axis=1), 7 * 144).save(
            tmp_path / "net.onnx"
        )
        found = import_net(
            path, None, {"order": "bgr", "mean": (10.0, 20.0, 30.0), "std": (2.0, 3.0, 4.0)}
        )
        image = np.random.default_rng(1).integers(0, 256, (12, 12, 3), np.uint8)
        from PIL import Image

        Image.fromarray(image).save(tmp_path / "picture.png")
        assert verify(found, tmp_path / "picture.png")["difference"] < 1e-5
        assert ("pixels" in found.net.nodes) == pooled
