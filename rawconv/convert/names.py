"""What the nodes of an imported net are called: what their file calls them, so that a user finds
`layer2.0` again.

In the order of preference: the scope of a node (the module of PyTorch's that it is, which both of
its exporters write down), the name of its weight, its own name or that of what it makes; else its
kind and number: `conv4`, `add2`. Chains are not named here: their layers are counted (see
assemble.py).
"""

import ast
import re
from collections import Counter
from operator import itemgetter

from ..files.messages import printable
from ..layers.add import Add
from ..layers.average_pool import AveragePool
from ..layers.concat import Concat
from ..layers.conv import Conv
from ..layers.dropout import Dropout
from ..layers.lrn import LRN
from ..layers.max_pool import MaxPool
from ..layers.relu import ReLU

KINDS = {
    Conv: "conv", ReLU: "relu", MaxPool: "maxpool", AveragePool: "avgpool", LRN: "norm", Dropout: "dropout",
    Add: "add", Concat: "concat",
}  # fmt: skip
LONGEST = 200  # characters of a name
OF_WEIGHTS = re.compile(
    r"(.+?)[./_](?:weight|kernel|gamma|scale|filter|w)(?:_\d+)?(?::\d+)?", re.IGNORECASE
)
# names that exporters give to tensors without one
AUTOMATIC = re.compile(r"\D?\d*|.*(?:::|getitem|_output_\d).*")
TENSORFLOW = "Conv2D|convolution|depthwise|BiasAdd|FusedBatchNorm.*|BatchNorm.*|Relu6?|MaxPool.*|AvgPool.*|Mean|MatMul"
OF_TENSORFLOW = re.compile(rf"(.+)/(?:{TENSORFLOW})(?:_?\d+)?(?:__\d+)?", re.IGNORECASE)


def kind(layer):
    """What a layer is called where nothing else is known of it."""
    return KINDS.get(type(layer)) or type(layer).__name__.lower()


def path_of(node, weight=""):
    """Where an ONNX node stands in the net that was exported: "layer2.0.conv1"; "" for its
    outermost level, None where the file does not say.  weight: the name of the tensor that is its
    weight, if it has one.
    """
    scopes = next(
        (entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"),
        "",
    )
    name, weight, made = (text[:LONGEST] for text in (node.name, weight, *node.output[:1]))
    given = OF_WEIGHTS.fullmatch(weight)
    # PyTorch's newer exporter: from the outermost module to the operation itself
    if scopes.startswith("["):
        # A convolution into which it folded a batch norm stands at that norm's place: its weight
        # knows better.
        return given.group(1) if given else _last_but_one(scopes)
    if name.startswith("/"):  # PyTorch's older one
        return _joined(name.split("/")[1:-1])
    return given.group(1) if given else _given_name((name, made), node.op_type)


def _given_name(texts, operator):
    """The first of the texts that somebody chose, without what TensorFlow appends; None where none
    is chosen.
    """
    own = [text for text in texts if not AUTOMATIC.fullmatch(text) and not _counted(text, operator)]
    if not own:
        return None
    shorter = OF_TENSORFLOW.fullmatch(own[0])
    return shorter.group(1) if shorter else own[0]


def _counted(name, operator):
    """Whether a name is that of the operator, with a number or without: `Conv_12`."""
    return name.startswith(operator) and re.fullmatch(r"_?\d*", name[len(operator) :])


def _last_but_one(text):
    try:
        scopes = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    good = isinstance(scopes, list) and all(isinstance(scope, str) for scope in scopes)
    return scopes[-2] if good and len(scopes) > 1 else None


def _joined(parts):
    """["layer1", "layer1.0", "conv1"] -> "layer1.0.conv1": children of a Sequential repeat its name."""
    path = []
    for part in parts:
        if path and part.startswith(f"{path[-1]}."):
            path.pop()
        path.append(part)
    return ".".join(path)


def names(found):
    """A name for each (path, layer), all different.

    A path that holds others, or layers of several kinds, is that of a module with several: the kind
    is put after it.
    """
    found = [
        (None if path is None else printable(path)[:LONGEST], kind(layer)) for path, layer in found
    ]
    holds = {
        path[: place.start()] for path, _ in found if path for place in re.finditer("[./]", path)
    }
    modules = (
        holds
        | {""}
        | {path for path, count in Counter(map(itemgetter(0), set(found))).items() if count > 1}
    )
    counts, taken, result = Counter(), {}, []
    for path, what in found:
        counts[what] += 1
        result.append(fresh(_own_name(path, what, counts[what], modules), taken))
    return result


def _own_name(path, what, number, modules):
    """The name of a layer of this kind, the file's `number`th; modules: paths that are those of
    several layers.
    """
    if path is None:
        return f"{what}{number}"
    if path not in modules:
        return path
    return f"{path}{'/' if '/' in path else '.'}{what}" if path else what


def fresh(name, taken):
    """`name`, or with the next number that makes it another than those taken: `relu`, `relu_1`, `relu_2`.

    taken: {name: how many were asked for}, to which it is added.
    """
    fresh = name
    while fresh in taken:
        taken[name] += 1
        fresh = f"{name}_{taken[name]}"
    taken[fresh] = 0
    return fresh
