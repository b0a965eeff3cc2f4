"""What a layer is stands with its class: who else asks for its class, by a look at the syntax
trees; and every fact.
"""

import ast
import pathlib

import numpy as np
import pytest

from rawconv.experiments.features import feature_layers
from rawconv.files import schema
from rawconv.layers import Execution, Layer, Rules, registry
from rawconv.layers.add import Add
from rawconv.layers.average_pool import AveragePool
from rawconv.layers.concat import Concat
from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.layers.gpu import im2col
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import Cache, MaxPool
from rawconv.layers.memory import Memory, Step
from rawconv.layers.relu import ReLU
from rawconv.net import Net
from rawconv.visualize import units

PACKAGE = pathlib.Path(__file__).parent.parent / "rawconv"
# places outside layers/ and convert/ that ask for a class of layers, each argued in a comment
# beside it
MOST = 5
# which others have too
FACTS = {name for name in vars(Layer) if not name.startswith("_")} - {"build"}
SPELT = ("conv", "fc", "pool", "relu", "norm", "drop")  # how names of layers begin in our own nets
LAYERS = [
    Conv(4, 3, pad=1),
    ReLU(),
    ReLU(6),
    LRN(),
    MaxPool(3, 2),
    AveragePool(3, 2),
    Dropout(0.5),
    Add(),
    Concat(),
]


def asking(source):
    """[(line, what is asked)] of a module: isinstance and type tests on classes of layers, and
    facts by getattr.
    """
    tree, classes, found = ast.parse(source), set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and "layers." in (node.module or ""):
            classes |= {
                alias.asname or alias.name for alias in node.names if alias.name[0].isupper()
            }
    for node in ast.walk(tree):
        parts = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            words = {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
            if (node.func.id in ("isinstance", "issubclass") and parts & classes) or (
                node.func.id in ("getattr", "hasattr") and words & FACTS
            ):
                found.append((node.lineno, ast.unparse(node)))
        by_class = isinstance(node, ast.Compare) and parts & classes
        if (by_class or isinstance(node, ast.Subscript)) and any(map(is_type, ast.walk(node))):
            found.append((node.lineno, ast.unparse(node)))
    return found


def is_type(node):
    """Whether it is type(x)."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "type" and len(node.args) == 1


def spelling(source):
    """[(line, call)] of a module: tests of how a name begins or ends that layers have, and patterns
    over such names.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            words = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            asks = node.func.attr in ("startswith", "endswith", "removeprefix", "removesuffix")
            if asks and any(isinstance(word, str) and word.startswith(SPELT) for word in words):
                found.append((node.lineno, ast.unparse(node)))
    return found


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        if not {"layers", "convert"} & set(path.relative_to(PACKAGE).parts):
            yield path, path.read_text()


def test_few_ask_for_the_class_of_a_layer_and_each_says_why():
    found = [(path, line, what) for path, source in modules() for line, what in asking(source)]
    assert len(found) <= MOST, "\n".join(f"{path}:{line}: {what}" for path, line, what in found)
    for path, line, what in found:
        lines = path.read_text().splitlines()
        assert any("#" in text for text in lines[max(0, line - 3) : line]), (
            f"{path}:{line}: {what}: no comment says why"
        )


def test_nobody_asks_how_a_name_is_spelt():
    assert not [(path, *one) for path, source in modules() for one in spelling(source)]


@pytest.mark.parametrize("line", [
    "isinstance(layer, Conv)", "isinstance(layer, Conv | MaxPool)", "isinstance(cache, (tuple, Cache))",
    "type(layer) is Conv", "type(layer) in (Conv, MaxPool)", "WORDS[type(layer)]", "getattr(layer, 'window', None)",
    "hasattr(layer, 'window')",
])  # fmt: skip
def test_such_a_question_is_seen(line):
    head = "from ..layers.conv import Conv\nfrom ..layers.max_pool import Cache, MaxPool\n"
    assert len(asking(head + line)) == 1 and not asking(
        head + "isinstance(x, int); type(layer).__name__; WORDS[x]"
    )
    assert spelling("name.startswith('conv')") and not spelling("name.startswith('gpu')")


def test_every_class_is_found_by_its_name():
    kinds = {type(layer) for layer in LAYERS}
    assert kinds <= set(registry.by_name().values()) and all(
        issubclass(k, Layer) for k in registry.by_name().values()
    )
    assert all(registry.by_name()[kind.__name__] is kind for kind in kinds)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_the_facts_are_true(layer):
    """Each against what the layer does."""
    shape, rng = (8, 9, 4), np.random.default_rng(0)
    if layer.build:
        layer.build(shape, rng)
    x = 8 * rng.standard_normal((2, *shape)).astype(np.float32)  # beyond a ceiling of 6
    y, cache = layer.forward(x, x) if layer.joins else layer.forward(x)
    r = rng.standard_normal(y.shape).astype(np.float32)
    assert (
        layer.verb and schema.check(layer.limits, {}, "x") is None if not layer.settings else True
    )
    assert layer.params.keys() == (layer.param_shapes(shape) if layer.params else {}).keys()
    if not layer.joins:
        ways = [
            np.asarray(layer.deconv(r, cache, rules))
            for rules in (Rules(), Rules("gradient", "gradient"))
        ]
        assert layer.passive == all(np.array_equal(way, r) for way in ways)
        assert bool(layer.rule in ("relu", "lrn")) == (not np.array_equal(*ways))
    up = [layer.forward(*[part] * (2 if layer.joins else 1))[0] for part in (x, -2 * x, 0 * x)]
    assert layer.linear == np.allclose(up[1] - up[2], -2 * (up[0] - up[2]), atol=1e-4)
    if layer.relu_ceiling is not None:
        assert np.array_equal(y, np.clip(x, 0, layer.relu_ceiling)) and y.max() == min(
            x.max(), layer.relu_ceiling
        )
    assert layer.switches == isinstance(cache, Cache) and layer.rectifier == isinstance(layer, ReLU)
    if layer.fuses_relu:
        for ceiling in (6.0, np.inf):
            assert np.array_equal(layer.forward(x, fuse_relu=ceiling)[0], np.clip(y, 0, ceiling))
    if layer.in_place:
        dy = r.copy()
        assert layer.backward(dy, cache, in_place=True)[0] is not None and not np.array_equal(dy, r)
    if layer.memory:
        needs = layer.memory(Step(shape, y.shape[1:], 2))
        kept = any(part is x for part in (cache if isinstance(cache, tuple) else (cache,)))
        assert isinstance(needs, Memory) and (needs.keeps == "input") == kept


@pytest.mark.parametrize("rule", ["deconv", "gradient", "guided"])
def test_the_rules_by_which_a_cache_is_read(rule):
    x, r = np.random.default_rng(1).standard_normal((2, 2, 3, 4, 8))
    for layer in (ReLU(), ReLU(0.5), LRN(alpha=0.5)):
        rules = Rules(rule, "identity" if rule == "deconv" else "gradient")
        cache = layer.forward(x)[1]
        same = np.array_equal(
            layer.deconv(r, cache, rules), layer.deconv(r, np.roll(cache, 1, axis=1), rules)
        )
        assert same == (getattr(rules, layer.rule) not in layer.cached_rules)


def test_what_the_names_of_nodes_mean_to_a_user():
    """Conv, Add and Concat mean the ReLU that alone follows, pools their own output; others have no name."""
    net = Net((12, 12, 3), [
        ("conv1", Conv(4, 3)), ("relu1", ReLU(6)), ("norm1", LRN()), ("pool1", MaxPool(2, 2)), ("relu2", ReLU()),
        ("conv2", Conv(4, 1)), ("pool2", MaxPool(1, 1)),
        ("conv3", Conv(4, 1)), ("left", ReLU()), ("right", ReLU(), "conv3"), ("sum", Add(), "left", "right"),
        ("relu4", ReLU()), ("mean", AveragePool(2, 1)), ("drop", Dropout()), ("both", Concat(), "drop", "drop"),
        ("relu5", ReLU()), ("fc6", Conv(2, None)), ("relu6", ReLU()), ("fc7", Conv(2, None)),
    ])  # fmt: skip
    own, above = (
        ("conv2", "conv3", "pool1", "pool2", "mean"),
        {"conv1": "relu1", "sum": "relu4", "both": "relu5"},
    )
    names = {name: name for name in own} | above
    assert units.layer_names(net) == names | {"fc6": "relu6", "scores": "fc7"}
    assert units.layer_numbers(net) == {
        "1": "conv1",
        "2": "conv2",
        "3": "conv3",
        "6": "fc6",
        "7": "fc7",
    }
    assert units.is_score(net, "fc7") and not units.is_score(net, "relu6")
    assert net.convolutions == ["conv1", "conv2", "conv3"] and net.fused_ceilings == {
        "conv1": 6.0,
        "fc6": np.inf,
    }
    assert feature_layers(net) == {1: "relu2", 2: "pool2", 3: "conv3", 6: "relu6"}


@pytest.mark.parametrize("dilation", [1, 4])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_columns_of_a_step_are_those_of_the_largest_block(stride, dilation, monkeypatch):
    """Four rows of columns fit, fewer than a dilated filter spans: the bytes that im2col makes."""
    layer, shape, blocks = Conv(4, 3, stride, pad=4, dilation=dilation), (32, 8, 5), []
    layer.build(shape, np.random.default_rng(0))
    out = layer.out_shape(shape)
    workspace = 4 * out[1] * 9 * shape[2] * 4
    monkeypatch.setattr(im2col, "add_columns", lambda columns, *_: blocks.append(columns.nbytes))
    dy, dx = np.zeros((2, *out), np.float32), np.zeros((2, *shape), np.float32)
    im2col.transpose(dy, layer.weight, layer.window, dx, Execution(workspace=workspace))
    assert max(blocks) >= workspace and len(blocks) > 4
    assert layer.memory(Step(shape, out, 2, workspace)).columns == max(blocks)
