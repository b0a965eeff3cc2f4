"""LRN as PyTorch exports it: not as one operator but spelled out, x / (k + alpha * mean of x^2 over
channels)^beta.

x -> Mul(x, x) -> a map of depth C -> zeros at both its ends -> AveragePool over `size` channels ->
back to four dimensions -> Mul(alpha) -> Add(k) -> Pow(beta) -> Div(x, .)
"""

from ..files.storage import Wrong
from .onnx_graph import attributes, label
from .parts import lrn

STEPS = ("Reshape", "Unsqueeze", "Squeeze", "If", "Pad", "AveragePool", "Identity")
MOST_STEPS = 12


def spelled_out(graph, div):
    """The LRN that the node `div` is the end of; None where it is something else.  Wrong: it is of an even size."""
    power = graph.producers.get(div.input[1]) if len(div.input) == 2 else None
    x = div.input[0]
    if power is None or len(graph.shapes.get(x, ())) != 4:
        return None
    if (found := _constants(graph, power)) is None:
        return None
    tensor, alpha, k, beta = found
    size = _window(graph, tensor, x)
    if size and size % 2 == 0:
        raise Wrong(
            f"has {label(div)}, the end of an LRN over {size} channels, and rawconv takes odd numbers of them",
            "Train the net with an LRN of an odd size.",
        )
    return lrn(size, alpha, beta, k) if size else None


def _constants(graph, power):
    """(tensor that is averaged, alpha, k, beta) of Pow(Add(Mul(tensor, alpha), k), beta); None if
    it is not that.
    """
    tensor, numbers = power.output[0], []
    for operator in ("Pow", "Add", "Mul"):
        node = graph.producers.get(tensor)
        if node is None or node.op_type != operator or len(node.input) != 2:
            return None
        split = _operands(graph, node, operator)
        if split is None:
            return None
        tensor, number = split
        numbers.append(number)
    beta, k, alpha = numbers
    return tensor, alpha, k, beta


def _operands(graph, node, operator):
    """(the tensor, the number) that an operator takes; None if it does not take one of each, a Pow
    in this order.
    """
    given = [name for name in node.input if graph.is_constant(name)]
    rest = [name for name in node.input if name not in given]
    if len(given) != 1 or len(rest) != 1 or (operator == "Pow" and rest[0] != node.input[0]):
        return None
    value = graph.constant(given[0])
    return (rest[0], float(value.reshape(()))) if value.size == 1 else None


def _window(graph, tensor, x):
    """The number of channels averaged over, from what lies between Mul(x, x) and `tensor`; None if
    it is not that.
    """
    size, pads = None, [0, 0]
    for _ in range(MOST_STEPS):
        node = graph.producers.get(tensor)
        if node is None:
            return None
        if node.op_type == "Mul" and list(node.input) == [x, x]:
            return size if size and sorted(pads) == [(size - 1) // 2, size // 2] else None
        if node.op_type not in STEPS:
            return None
        about = attributes(node)
        size, pads = _after(graph, node, about, size, pads, x)
        if pads is None:
            return None
        tensor = _taken(node, about)
    return None


def _after(graph, node, about, size, pads, x):
    """(size, pads) with what a step of the average adds to them; pads is None where it is no such step."""
    if node.op_type == "AveragePool":
        size = None if size else _depth(about, pads)
        return size, pads if size else None
    if node.op_type == "Pad":
        return size, _ends(graph, about, node, pads)
    if node.op_type == "Reshape" and not _keeps_channels(graph, node, x):
        return size, None
    return size, pads


def _depth(about, pads):
    """The first length of a window of 1 x 1 places; its own padding goes into `pads`."""
    size, *places = about.get("kernel_shape", [0])
    strides, own = about.get("strides", [1]), about.get("pads", [0] * 2 * (1 + len(places)))
    if set(places) != {1} or set(strides) != {1} or sum(own) != own[0] + own[len(own) // 2]:
        return None
    if any(own) and not about.get("count_include_pad", 0):
        return None
    pads[0] += own[0]
    pads[1] += own[len(own) // 2]
    return size


def _ends(graph, about, node, pads):
    """Zeros that a Pad adds before and after the channels, on top of `pads`; None where it adds any
    elsewhere.
    """
    added = [int(n) for n in (about["pads"] if "pads" in about else graph.constant(node.input[1]))]
    rank = len(added) // 2
    depth = {5: 2, 4: 2}.get(rank)  # (N, 1, C, H, W), or (N, 1, C, H * W)
    if depth is None or sum(map(abs, added)) != added[depth] + added[depth + rank]:
        return None
    return [pads[0] + added[depth], pads[1] + added[depth + rank]]


def _keeps_channels(graph, node, x):
    """Whether a Reshape keeps the channels an axis of their own: (N, 1, C, ...) or (N, C, H, W)."""
    channels = graph.shapes[x][1]
    shape = [int(n) for n in graph.constant(node.input[1])]
    return len(shape) >= 4 and channels in shape[1:3] and (shape[1] == channels or shape[1] == 1)


def _taken(node, about):
    """The tensor that a step goes on from.  An If asks whether the axis it squeezes has length 1: it has."""
    if node.op_type != "If":
        return node.input[0]
    squeezes = [inner for inner in about["then_branch"].node if inner.op_type == "Squeeze"]
    return squeezes[0].input[0] if len(squeezes) == 1 else ""
