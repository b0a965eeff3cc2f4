"""ONNX files for the tests: chains of operators with random weights, and the model zoo's own graphs
made narrow.
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# the model zoo's graphs, weights left out
LIGHT = pathlib.Path(onnx.__file__).parent / "backend/test/data/light"


class Chain:
    """Writes a chain of nodes: each `add` takes what the one before made.  value: the tensor's name."""

    def __init__(self, shape=(1, 3, 12, 12), opset=13, seed=0):
        self.rng, self.opset, self.shape = np.random.default_rng(seed), opset, shape
        self.nodes, self.weights, self.value = [], [], "x"

    def weight(self, *shape, scale=None):
        """The name of a new random initialiser; scale: of its numbers, by default one that keeps
        signals alive.
        """
        scale = scale or 1 / np.sqrt(max(1, np.prod(shape[1:])))
        return self.constant((scale * self.rng.standard_normal(shape)).astype(np.float32))

    def constant(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, operator, *inputs, **about):
        out = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, [self.value, *inputs], [out], f"{operator}_{out}", **about)
        )
        self.value = out
        return self

    def conv(self, filters, channels, size, groups=1, bias=True, **about):
        inputs = [self.weight(filters, channels // groups, size, size)]
        # > 0: not all are dead
        inputs += [self.constant(self.rng.random(filters).astype(np.float32))] if bias else []
        return self.add("Conv", *inputs, group=groups, **about)

    def model(self, producer="", metadata=()):
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)
        out = helper.make_tensor_value_info(self.value, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "g", [given], [out], self.weights)
        opset = helper.make_opsetid("", self.opset)
        model = helper.make_model(
            graph, opset_imports=[opset], ir_version=8, producer_name=producer
        )
        helper.set_model_props(model, dict(metadata))
        return model

    def save(self, path, **about):
        onnx.save(self.model(**about), path)
        return path


def small(opset=13):
    """conv, ReLU: 12 x 12 pictures, 4 maps of 10 x 10."""
    return Chain(opset=opset).conv(4, 3, 3).add("Relu")


def finish(chain, inputs=400):
    """A fully connected layer of 4 classes on it."""
    return chain.add("Flatten").add("Gemm", chain.weight(4, inputs), transB=1)


def random_chain(seed, opset):
    """A chain of random operators, geometries and weights, that ends in scores."""
    rng = np.random.default_rng(seed)

    def pick(*choices):
        return choices[rng.integers(len(choices))]

    side, channels = int(rng.integers(14, 24)), pick(3, 3, 1)
    chain = Chain((1, channels, side, side), opset, seed)
    if rng.random() < 0.3:
        chain.add(
            pick("Sub", "Add"),
            chain.constant(rng.uniform(90, 140, (channels, 1, 1)).astype(np.float32)),
        )
        chain.add(pick("Mul", "Div"), chain.constant(np.float32(rng.uniform(0.3, 3))))
    for _ in range(int(rng.integers(1, 4))):
        chain, side, channels = _block(chain, rng, pick, side, channels)
    keep = 1
    if rng.random() < 0.3:
        if opset >= 18 and rng.random() < 0.7:
            keep = pick(0, 1)
            chain.add("ReduceMean", chain.constant(np.array([2, 3])), keepdims=keep)
        else:
            chain.add("GlobalAveragePool")
        side = 1
    classes = int(rng.integers(3, 8))
    if side == 1 and keep and rng.random() < 0.5:
        chain.conv(classes, channels, 1)
        chain.add("Flatten")
    else:
        chain.add(
            "Reshape", chain.constant(np.array(pick([1, -1], [0, -1], [1, side * side * channels])))
        )
        fully(chain, pick, classes, side * side * channels)
    if rng.random() < 0.4:
        chain.add(pick("Softmax", "LogSoftmax"), axis=1)
    return chain


def _block(chain, rng, pick, side, channels):
    """A convolution, what may follow it, and a pool."""
    groups = pick(1, 1, channels)
    filters, size, stride = groups * int(rng.integers(1, 4)), int(rng.integers(1, 4)), pick(1, 1, 2)
    about = {"strides": [stride, stride]}
    pads, auto = (
        [int(n) for n in rng.integers(0, 3, 4)],
        pick("", "", "SAME_UPPER", "SAME_LOWER", "VALID"),
    )
    about |= {"auto_pad": auto} if auto else {"pads": [pads[0], pads[1], pads[0] + 1, pads[1] + 1]}
    rows = (
        -(-side // stride)
        if "SAME" in auto
        else (side + (0 if auto else 2 * pads[0] + 1) - size) // stride + 1
    )
    columns = (
        -(-side // stride)
        if "SAME" in auto
        else (side + (0 if auto else 2 * pads[1] + 1) - size) // stride + 1
    )
    if rows != columns:
        about["pads"][1] = about["pads"][3] = pads[0]
        about["pads"][3] += 1
        columns = rows
    chain.conv(filters, channels, size, groups, pick(True, False), **about)
    if rng.random() < 0.4:
        rest = [chain.weight(filters, scale=0.3) for _ in range(2)]
        variance = chain.constant(rng.uniform(0.5, 2, filters).astype(np.float32))
        chain.add(
            "BatchNormalization", chain.weight(filters, scale=2.0), *rest, variance, epsilon=1e-3
        )
    if rng.random() < 0.2:
        chain.add("Add", chain.constant(rng.standard_normal((1, filters, 1, 1)).astype(np.float32)))
    chain.add("Relu")
    norm = {"size": pick(3, 5), "alpha": 0.01, "beta": pick(0.75, 0.5), "bias": pick(1.0, 2.0)}
    first = rng.random() < 0.5
    if first:
        chain.add("LRN", **norm)
    size, stride = pick(2, 3), pick(1, 2, 3)
    if rows >= 4:
        about = {"kernel_shape": [size, size], "strides": [stride, stride]}
        if rng.random() < 0.6:
            pad = pick(0, 1)
            ceil = chain.opset >= 10 and rng.random() < 0.5
            chain.add("MaxPool", pads=[pad] * 4, **about, **({"ceil_mode": 1} if ceil else {}))
            rows = pool_size(rows, size, stride, pad, ceil)
        elif rng.random() < 0.7:
            chain.add("AveragePool", pads=[1, 1, 0, 0], count_include_pad=1, **about)
            rows = (rows + 1 - size) // stride + 1
    if not first and rng.random() < 0.5:
        chain.add("LRN", **norm)
    if rng.random() < 0.2:
        chain.add("Dropout" if chain.opset >= 7 else "Identity")
    return chain, rows, filters


def pool_size(length, size, stride, pad, ceil):
    room = length + 2 * pad - size
    count = 1 + (-(-room // stride) if ceil else room // stride)
    return count - 1 if ceil and (count - 1) * stride >= length + pad else count


def fully(chain, pick, outputs, inputs):
    kind = pick("transB", "plain", "matmul", "no bias" if chain.opset >= 11 else "plain", "scaled")
    weight = (chain.rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
    bias = chain.rng.standard_normal(outputs).astype(np.float32)
    if kind == "matmul":
        return chain.add("MatMul", chain.constant(weight.T)).add("Add", chain.constant(bias))
    if kind == "transB":
        return chain.add("Gemm", chain.constant(weight), chain.constant(bias[None]), transB=1)
    if kind == "scaled":
        return chain.add(
            "Gemm", chain.constant(weight.T), chain.constant(bias), alpha=0.5, beta=2.0
        )
    return chain.add(
        "Gemm", chain.constant(weight.T), *([chain.constant(bias)] if kind == "plain" else [])
    )


def zoo(name, path, narrow=8, seed=0):
    """A graph of the model zoo with random weights, a `narrow`-th as wide; its initialisers are
    inside then.
    """
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    rng, graph = np.random.default_rng(seed), model.graph
    sizes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    fills = [node for node in graph.node if node.op_type == "ConstantOfShape"]
    keep = [t for t in graph.initializer if not t.name.endswith("__SHAPE")]
    made = []
    for node in fills:
        shape = [int(n) for n in sizes[node.input[0]]]
        first, last = shape[1:2] == [3], "fc8" in node.output[0]
        shape[0] = shape[0] if last else shape[0] // narrow
        if len(shape) > 1 and not first:
            shape[1] //= narrow
        scale = 0.1 if len(shape) == 1 else np.sqrt(2 / np.prod(shape[1:])) / (100 if first else 1)
        made.append(
            numpy_helper.from_array(
                (scale * rng.standard_normal(shape)).astype(np.float32), node.output[0]
            )
        )
    flat = next(t for t in keep if t.name == "OC2_DUMMY_1")
    flat.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(flat) // [1, narrow], flat.name))
    others = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    given = [value for value in graph.input if not value.name.endswith("__SHAPE")]
    for field, values in (("initializer", keep + made), ("node", others), ("input", given)):
        graph.ClearField(field)
        getattr(graph, field).extend(values)
    onnx.save(model, path)
    return path
