"""ONNX files that are not taken: one sentence that names the node, its operator and what is taken;
no memory lost.
"""

import re

import numpy as np
import pytest

from rawconv.convert.read import import_net
from rawconv.errors import RawconvError

onnx = pytest.importorskip(
    "onnx", reason="onnx is not installed: no foreign nets (pip install 'rawconv[onnx]')"
)
files = pytest.importorskip("onnx_files")
Chain, LIGHT, finish, small = files.Chain, files.LIGHT, files.finish, files.small

REFUSED = {
    "sigmoid": (
        lambda c: c.add("Sigmoid"), r"'Sigmoid_t2' \(Sigmoid\): a sigmoid inside the net.*Conv, Relu, LRN, Max"),
    "SiLU": (
        lambda c: c.add("Sigmoid").add("Mul", c.nodes[1].output[0]), r"\(Sigmoid\): SiLU .* other than the ReLU; raw"),
    "hard swish": (lambda c: c.add("HardSwish"), r"\(HardSwish\): a hard sigmoid or swish"),
    "GELU": (lambda c: c.add("Erf"), r"\(Erf\): GELU, an activation other than the ReLU"),
    "leaky": (lambda c: c.add("LeakyRelu", alpha=0.1), r"\(LeakyRelu\): LeakyRelu, an activation other"),
    "product of maps": (lambda c: c.add("Mul", c.nodes[0].output[0]), r"\(Mul\).*a product of maps, as attention"),
    "difference": (lambda c: c.add("Sub", c.nodes[0].output[0]), r"\(Sub\).*the difference of two maps"),
    "attention": (
        lambda c: c.add("MatMul", c.nodes[0].output[0]), r"\(MatMul\).*with what the picture makes, as attention"),
    "transposed": (lambda c: c.add("ConvTranspose", c.weight(4, 4, 2, 2)), "an increase in resolution"),
    "a norm of its own": (lambda c: c.add("LayerNormalization", c.weight(10)), "a norm by each picture's own"),
    "control flow": (lambda c: c.add("Loop"), "control flow, a program"),
    "shuffle": (lambda c: c.add("Reshape", c.constant(np.array([1, 2, 2, 10, 10]))), "as ShuffleNet does"),
    "maps of unlike size": (
        lambda c: c.add("MaxPool", kernel_shape=[2, 2]).add("Add", c.nodes[1].output[0]), "maps of one shape"),
    "other bounds": (lambda c: c.add("Clip", c.constant(np.float32(-1)), c.constant(np.float32(1))), "below -1"),
    "reflected padding": (
        lambda c: c.add("Pad", c.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), mode="reflect"), "pads by 'reflect'"),
    "channels taken apart": (lambda c: c.add("Gather", c.constant(np.array([1])), axis=1), "takes some channels"),
    "dilated by nothing": (lambda c: c.conv(4, 4, 3, dilations=[0, 2]), r"\(Conv\).*dilations \[0, 2\]"),
    "dilated pool": (lambda c: c.add("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), "dilated"),
    "softmax in the middle": (lambda c: c.add("Softmax"), r"\(Softmax\).*one softmax over the classes"),
    "even norm": (lambda c: c.add("LRN", size=4), "must be odd"),
    "other channels": (lambda c: c.conv(4, 5, 3), r"\(Conv\).*does not fit 4 channels"),
    "window too large": (lambda c: c.add("MaxPool", kernel_shape=[20, 20]), "smaller than the window"),
    "integers": (lambda c: c.add("Conv", c.constant(np.ones((4, 4, 3, 3), np.int32))), "no floats"),
    "NaN": (lambda c: c.add("Conv", c.constant(np.full((4, 4, 1, 1), np.nan, np.float32))), "not finite"),
    "a mean of pictures": (lambda c: c.add("Sub", c.weight(1, 4, 10, 10)), "not one number a map"),
    "an unknown domain": (lambda c: c.add("Relu", domain="com.example"), r"\(Relu\); rawconv takes"),
    "wrong transposition": (lambda c: c.add("Transpose", perm=[0, 1, 3, 2]), "move the channels"),
    "three dimensions": (lambda c: c.add("Conv", c.weight(4, 4, 3)), "does not fit 4 channels"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_names_its_node_and_what_is_taken(what, tmp_path):
    change, message = REFUSED[what]
    chain = finish(change(small()), 4 * 100)
    path = tmp_path / "net.onnx"
    path.write_bytes(chain.model().SerializeToString())
    with pytest.raises(RawconvError) as refusal:
        import_net(path)
    assert re.search(message, str(refusal.value)), refusal.value
    assert str(refusal.value).startswith(str(path)) and "\n" not in str(refusal.value)


def test_after_the_softmax_nothing_follows(tmp_path):
    chain = finish(small()).add("Softmax").add("Relu")
    with pytest.raises(RawconvError, match=r"\(Relu\) after its softmax"):
        import_net(chain.save(tmp_path / "net.onnx"))


def test_what_shuffles_its_channels_is_refused_in_one_sentence():
    with pytest.raises(
        RawconvError, match=r"node 'n7' \(Reshape\).*as ShuffleNet does to shuffle them"
    ):
        import_net(LIGHT / "light_shufflenet.onnx")


@pytest.mark.parametrize(
    "kind, message", [("Add", "rawconv takes one that flattens"), ("Concat", "large constants")]
)
def test_constants_that_grow_without_end_are_refused(kind, message, tmp_path):
    """60 times x + x would take 2^60 steps if each asked for both; (x, x) often enough, more memory
    than there is.
    """
    chain, name, about = small(), "start", {"axis": 0} if kind == "Concat" else {}
    model = chain.model()
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(3, np.int64), name))
    for k in range(60 if kind == "Add" else 14):
        model.graph.node.append(onnx.helper.make_node(kind, [name, name], [f"grown{k}"], **about))
        name = f"grown{k}"
    model.graph.node.append(onnx.helper.make_node("Reshape", [chain.value, name], ["y"], "y"))
    model.graph.output[0].name = "y"
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(RawconvError, match=message):
        import_net(tmp_path / "net.onnx")


def test_a_huge_constant_of_shape_is_refused(tmp_path):
    chain = small()
    shape = chain.constant(np.array([1 << 20, 4, 10, 10]))
    chain.nodes.append(onnx.helper.make_node("ConstantOfShape", [shape], ["huge"]))
    model = chain.add("Conv", "huge").model()
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(
        RawconvError, match="asks for a constant of shape .* more than ten times the file's"
    ):
        import_net(tmp_path / "net.onnx")


def test_large_weights_serve_one_layer(tmp_path):
    chain = Chain().conv(80, 3, 3).add("Relu")
    name = chain.weight(80, 80, 3, 3)
    for _ in range(2):
        chain.add("Conv", name)
    with pytest.raises(RawconvError, match="another operator has them too"):
        import_net(finish(chain, 80 * 36).save(tmp_path / "net.onnx"))
