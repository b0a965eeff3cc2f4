"""Fields of a layer that Caffe does not have: misspelt in a text, or a fork's own in a binary file.

protobuf passes over what it does not know, and a stride that is written `strides: 2` would be 1.
"""

import difflib
import re

from .caffe_schema import MESSAGES, SILENT
from .formats import fields_of

TOKEN = re.compile(
    r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{}<>\[\]:;,]|[^\s{}<>\[\]:;,#"']+"""
)
# The message of its own that a layer of each type has.
PARAMETERS = {
    "Convolution": "convolution_param", "InnerProduct": "inner_product_param", "ReLU": "relu_param", "LRN": "lrn_param",
    "Pooling": "pooling_param", "Dropout": "dropout_param", "BatchNorm": "batch_norm_param", "Scale": "scale_param",
    "Eltwise": "eltwise_param", "Concat": "concat_param", "Flatten": "flatten_param", "Softmax": "softmax_param",
}  # fmt: skip
GRAPH = ("name", "type", "bottom", "top", "include", "exclude")
LAYERS = {"layer": "LayerParameter", "layers": "V1LayerParameter"}


def unknown_in_text(text):
    """(names that a NetParameter in text form has and Caffe's has not, {(field, number): [(where, name,
    message)]} of its layers).

    field: "layer" or "layers", number: which of them, where: the names of the messages around the
    unknown name, message: of which it is no field.  text: what protobuf has taken for a net.
    """
    counts, layers, net = dict.fromkeys(LAYERS, -1), {}, _tree(text)
    for name, inner in net:
        if name in LAYERS and inner is not None:
            counts[name] += 1
            layers[name, counts[name]] = list(_unknown(inner, LAYERS[name]))
    return [name for name, _ in net if name not in _names("NetParameter")], layers


def unknown_in_binary(about):
    """The numbers of fields in a message that Caffe does not have there, or whose value it does not know."""
    title = about.DESCRIPTOR.name
    known = {descriptor.number for descriptor, _ in about.ListFields()}
    known |= {int(part.split()[1]) for part in SILENT.get(title, "").split(", ") if part}
    written = {number for number, _ in fields_of(about.SerializeToString())}
    return sorted(written - known)


def meant(name, title):
    """The end of a sentence, "; 'stride' may be meant", where a field of a message is spelt like `name`."""
    close = difflib.get_close_matches(name, _names(title), 1)
    return f"; {close[0]!r} may be meant" if close else ""


def is_of_the_graph(name):
    """Whether a name is spelt like a field that says where a layer stands in its net."""
    return bool(difflib.get_close_matches(name, GRAPH, 1, 0.8))


def _names(title):
    listed = f"{MESSAGES[title]}, {SILENT.get(title, '')}".split(", ")
    return [part.split()[0] for part in listed if part]


def _kinds(title):
    """{field: the message in it}."""
    parts = (part.split() for part in MESSAGES[title].split(", "))
    return {name: kind.removesuffix("*") for name, kind, *_ in parts if kind.strip("*") in MESSAGES}


def _unknown(fields, title, where=()):
    names, kinds = _names(title), _kinds(title)
    for name, inner in fields:
        if name not in names:
            yield where, name, title
        elif inner is not None and name in kinds:
            yield from _unknown(inner, kinds[name], (*where, name))


def _tree(text):
    """[(field, the same of the message in it, or None of a number or a word)] of protobuf's text form.

    A name stands before a colon or a brace, and not behind a colon.
    """
    tokens = [token for token in TOKEN.findall(text) if not token.startswith("#")]
    stack, name = [[]], ""
    for before, token, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        if token in "{<":
            inner = []
            stack[-1].append((name, inner))
            stack.append(inner)
        elif token in "}>":
            stack.pop()
        elif before in (":", "["):
            stack[-1].append((name, None))
        elif after in (":", "{", "<"):
            name = token
    return stack[0]
