"""A Caffe net as a graph: which of its layers are there when it is used, and what each of them takes.

A blob is a name, and a layer whose top has the name of its bottom (a ReLU, mostly) works in place:
from there on the name means what it has made.  So what a layer takes is not a name but the layer
that made it last, in the order of the file, in which Caffe runs them too.
"""

from typing import NamedTuple

from ..errors import UsageError
from ..files.storage import Wrong
from .caffe_schema import ENUMS

TYPES = {
    "INNER_PRODUCT": "InnerProduct", "LRN": "LRN", "RELU": "ReLU", "SOFTMAX_LOSS": "SoftmaxWithLoss", "DATA": "Data",
    "CONVOLUTION": "Convolution", "POOLING": "Pooling", "DROPOUT": "Dropout", "SOFTMAX": "Softmax", "SPLIT": "Split",
    "FLATTEN": "Flatten", "IMAGE_DATA": "ImageData", "MEMORY_DATA": "MemoryData", "ACCURACY": "Accuracy",
    "SILENCE": "Silence", "CONCAT": "Concat", "ELTWISE": "Eltwise", "SIGMOID": "Sigmoid", "TANH": "TanH",
    "POWER": "Power", "SLICE": "Slice", "DECONVOLUTION": "Deconvolution", "ABSVAL": "AbsVal", "EXP": "Exp",
    "DUMMY_DATA": "DummyData", "HDF5_DATA": "HDF5Data", "WINDOW_DATA": "WindowData", "HDF5_OUTPUT": "HDF5Output",
}  # fmt: skip
SILENT = ("Input", "DummyData")  # sources that say nothing of pixels
SOURCES = (*SILENT, "Data", "ImageData", "MemoryData", "HDF5Data", "WindowData")
WATCHING = ("Accuracy", "ArgMax", "Silence", "HDF5Output")  # and the losses
TEST = 1  # of the enumeration Phase
DEPLOY = "Name its deploy.prototxt with --prototxt, or say --size 227."
ORDER = "Caffe runs layers in the order of the file: put each below those that it takes."


def layers_of(net):
    """The layers of either version that a net has."""
    if any(layer.HasField("layer") for layer in net.layers):
        raise Wrong(
            "is of Caffe's first format",
            "Caffe's tool upgrade_net_proto_binary makes a newer one of it.",
        )
    if net.layer and net.layers:
        raise Wrong(
            "has layers of two versions, under `layer` and under `layers`, of which Caffe takes one"
        )
    return list(net.layer or net.layers)


def kind(layer):
    """The type of a layer, in the words of version 2: Convolution for V1's CONVOLUTION (4)."""
    if isinstance(layer.type, str):
        return layer.type
    name = ENUMS["V1Type"].split()[layer.type]
    return TYPES.get(name, name)


def label(layer):
    return f"a layer {layer.name!r:.80} of type {kind(layer):.40}"


def _watches(what):
    """Whether layers of this type only look at what others make, or measure it."""
    return what in WATCHING or what.upper().endswith("LOSS")


def is_used(layer):
    """Caffe's rules: a layer is there unless none of its includes holds for a net that is used, or an
    exclude does.
    """
    included = [_holds(rule) for rule in layer.include]
    return (any(included) or not included) and not any(map(_holds, layer.exclude))


def _holds(rule):
    """Whether it holds in the phase TEST, at level 0, in no stage."""
    phase = rule.phase == TEST or not rule.HasField("phase")
    level = rule.min_level <= 0 and not (rule.HasField("max_level") and rule.max_level < 0)
    return phase and level and not rule.stage


class Node(NamedTuple):
    """A layer of the file, the `place`th of its version; inputs: the numbers of the nodes that it takes,
    a name where that blob comes in from outside, None where nothing above makes it."""

    layer: object
    place: int
    inputs: tuple


class Graph:
    """The layers of a net that compute something when it is used, [Node] in the order of the file.

    blobs: {name: the number of the node that makes it, or made it last}.  sources: the names of what
    comes in from outside, the picture first.  taken: the numbers of nodes that other nodes take;
    seeing: of those that the picture reaches.
    """

    def __init__(self, net):
        self.nodes, self.sources, self.taken, self.seeing = [], list(net.input), set(), set()
        self.blobs = {name: name for name in net.input}
        for place, layer in enumerate(layers_of(net)):
            if is_used(layer):
                self._put(layer, place)
        if not self.sources:
            raise Wrong(
                "has no layer of data and no input, so nothing says where a picture goes in", DEPLOY
            )

    def _put(self, layer, place):
        what, inputs = kind(layer), tuple(self.blobs.get(name) for name in layer.bottom)
        if what in SOURCES:
            self.sources += layer.top
            self.blobs |= {name: name for name in layer.top}
        elif what == "Split" and len(inputs) == 1:
            self.blobs |= dict.fromkeys(layer.top, inputs[0])
        elif not _watches(what):
            self._check_tops(layer)
            self._append(Node(layer, place, inputs))

    def _check_tops(self, layer):
        """Wrong where it makes a blob once more, and not in place."""
        for name in layer.top:
            if name in self.blobs and name not in layer.bottom:
                raise Wrong(
                    f"is damaged: it makes {name!r:.80} twice, the second time by {label(layer)}"
                )

    def _append(self, node):
        number = len(self.nodes)
        self.nodes.append(node)
        self.blobs |= dict.fromkeys(node.layer.top, number)
        self.taken.update(one for one in node.inputs if isinstance(one, int))
        if any(one in self.seeing or one in self.sources[:1] for one in node.inputs):
            self.seeing.add(number)

    def output(self, wanted):
        """The number of the node that the net ends in: that which makes the blob `wanted`, or the only
        one made of the picture that no other takes.
        """
        last = sorted(self.seeing - self.taken)
        names = ", ".join(
            repr(name) for number in last[:5] for name in self.nodes[number].layer.top[:1]
        )
        if wanted is not None:
            if not isinstance(self.blobs.get(wanted), int):
                raise UsageError(f"There is no output {wanted!r}; its outputs are {names:.300}.")
            return self.blobs[wanted]
        if len(last) != 1:
            raise Wrong(
                f"has {len(last)} outputs that may be its scores{f', of {names:.300}' if last else ''}",
                "Name one with --output." if last else "",
            )
        return last[0]

    def below(self, number):
        """(the numbers of the nodes that node `number` is made of, itself last, and the names of what
        comes in from outside for them).
        """
        nodes, names, waiting = set(), set(), [number]
        while waiting:
            one = waiting.pop()
            if isinstance(one, str):
                names.add(one)
            elif one is not None and one not in nodes:
                nodes.add(one)
                waiting += self.nodes[one].inputs
        return sorted(nodes), names

    def check(self, number):
        """Wrong where something is missing of what a node takes."""
        layer, _, inputs = self.nodes[number]
        if None in inputs:
            name = layer.bottom[inputs.index(None)]
            raise Wrong(
                f"has {label(layer)} that takes {name!r:.80}, which no layer above it makes", ORDER
            )
