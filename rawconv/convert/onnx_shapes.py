"""The operators of ONNX that make no layer: they change how a tensor lies, or say what a net's
scores end as.
"""

import math

import numpy as np

from .onnx_walk import Prepared


def maps(x):
    """(H, W, C) where the operator needs maps, channels first: refuses what was flattened."""
    if x.flat or x.last or (x.prepared and x.prepared.row):
        raise ValueError("it needs (picture, channel, row, column)")
    return x.shape


def spatial_axes(x):
    """The axes of rows and columns."""
    return (1, 2) if x.last else (2, 3)


def row(bias):
    """A bias of shape (F,), (1, F), (1,) or () as one row."""
    if bias.ndim > 1 and bias.shape[0] != 1:
        raise ValueError(f"a bias of shape {bias.shape} is not one number a class")
    return bias.reshape(-1).astype(np.float64)


def _flatten(walk, node, about, x):
    if about.get("axis", 1) not in (1, 1 - len(walk.dims(x))):
        raise ValueError("it does not keep pictures apart")
    return _flat(walk, node, x)


def _flat(walk, node, x):
    return walk.settled(x, node)._replace(flat=True)


def _reshape(walk, node, about, x):
    have = walk.dims(x)
    shape, flat = _asked(walk, node, about, have), math.prod(have[1:])
    if _keeps(shape, have):
        return x
    if x.flat and shape[1:] == [flat, 1, 1] and x.shape[:2] == (1, 1):
        return x._replace(flat=False, last=False)
    if len(shape) == 5:
        raise ValueError("it splits the channels into groups, as ShuffleNet does to shuffle them")
    if len(shape) != 2 or not (
        shape[1] == flat or (shape[1] == -1 and shape[0] in (1, walk.batch))
    ):
        raise ValueError(f"to {shape}; rawconv takes one that flattens {have} to (picture, {flat})")
    return _flat(walk, node, x)


def _asked(walk, node, about, have):
    """The lengths that a Reshape asks for; 0 keeps a length."""
    given = walk.constant(node, 1)
    shape = [int(n) for n in (about["shape"] if given is None else given)]
    return [have[i] if n == 0 and i < len(have) else n for i, n in enumerate(shape)]


def _keeps(shape, have):
    """Whether a Reshape to `shape`, -1 for any length, leaves maps as they are."""
    return len(shape) == len(have) == 4 and all(
        n in (-1, h) for n, h in zip(shape[1:], have[1:], strict=True)
    )


def _squeeze(walk, node, about, x):
    axes = _squeezed(walk, node, about)
    if x.prepared and axes == (1,) and x.shape[2] == 1 and not x.last:
        return x._replace(prepared=x.prepared._replace(row=True))
    if x.flat or x.shape[:2] != (1, 1) or axes != spatial_axes(x):
        raise ValueError("it removes other than the rows and columns of 1x1 maps")
    return _flat(walk, node, x)


def _squeezed(walk, node, about):
    """The axes that a Squeeze removes, from 0 to 3; None where it removes all of length 1."""
    axes = about.get("axes") if len(node.input) < 2 else walk.constant(node, 1)
    return None if axes is None else tuple(sorted(int(n) % 4 for n in axes))


def _unsqueeze(walk, node, about, x):
    axes = [int(n) for n in (about.get("axes") if len(node.input) < 2 else walk.constant(node, 1))]
    if x.prepared and x.prepared.row and axes in ([1], [-3]):
        return x._replace(prepared=x.prepared._replace(row=False))
    if x.flat and x.shape[:2] == (1, 1) and sorted(n % 4 for n in axes) == [2, 3]:
        return x._replace(flat=False, last=False)
    raise ValueError("it adds others than the rows and columns of 1x1 maps")


def _transpose(walk, node, about, x):
    perm = tuple(about.get("perm", ()))
    if x.flat or perm != ((0, 3, 1, 2) if x.last else (0, 2, 3, 1)):
        raise ValueError(
            f"to {perm}; rawconv takes those that move the channels to the front or back"
        )
    return x._replace(last=not x.last)


def _gather(walk, node, about, x):
    """One channel of the picture, as nets take it that prepare each by itself."""
    place = walk.constant(node, 1)
    if not x.prepared or x.last or about.get("axis", 0) not in (1, -3) or place.size != 1:
        raise ValueError("it takes some channels, rows or columns apart from the others")
    found = _channels(x, [int(place.reshape(()))])
    return found._replace(prepared=found.prepared._replace(row=place.ndim == 0))


def _slice(walk, node, about, x):
    starts, ends, axes, steps = _slice_bounds(walk, node, about)
    single = all(len(part) == 1 for part in (starts, ends) if part is not None)
    if not x.prepared or x.last or not single or axes is None or int(axes[0]) not in (1, -3):
        raise ValueError("it takes some channels, rows or columns apart from the others")
    step = 1 if steps is None else int(steps[0])
    return _channels(x, range(x.shape[2])[int(starts[0]) : int(ends[0]) : step])


def _slice_bounds(walk, node, about):
    """(starts, ends, axes, steps), of which the last two may be None."""
    keys = ("starts", "ends", "axes", "steps")
    if len(node.input) < 2:
        return [about.get(key) for key in keys]
    return [walk.constant(node, place) for place in range(1, 1 + len(keys))]


def _channels(x, places):
    """The picture's channels at these places."""
    places = [place % x.shape[2] for place in places]
    channels, mean, scale, _ = x.prepared
    if not places or mean.ndim > 1:
        raise ValueError(
            "it takes no channel of the picture, or one from which a picture was subtracted"
        )
    mean, scale = (np.broadcast_to(numbers, (x.shape[2],))[places] for numbers in (mean, scale))
    prepared = Prepared(tuple(channels[place] for place in places), mean, scale)
    return x._replace(shape=(*x.shape[:2], len(places)), prepared=prepared)


def _resize(walk, node, about, x):
    """To the size that is there: what exporters write for an AdaptiveAvgPool that has nothing to do."""
    numbers = [walk.constant(node, place) for place in range(1, len(node.input))]
    numbers = [found for found in numbers if found is not None and found.size == 4]
    same = [np.array_equal(found, walk.dims(x)) or (found == 1).all() for found in numbers]
    if not same or not all(same):
        raise ValueError("it changes the size of maps")
    return x


def _softmax(walk, node, about, x):
    rank = len(walk.dims(x))
    axis = about.get("axis", 1 if walk.graph.opset() < 13 else -1) % rank
    if x.ending or x.shape[:2] != (1, 1) or axis != (rank - 1 if x.flat or x.last else 1):
        raise ValueError("it is not one softmax over the classes at the end")
    return x._replace(ending="log" if node.op_type == "LogSoftmax" else "softmax")


def _sigmoid(walk, node, about, x):
    return x._replace(ending="sigmoid")


SHAPES = {
    "Flatten": _flatten, "Reshape": _reshape, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Transpose": _transpose,
    "Gather": _gather, "Slice": _slice, "Resize": _resize, "Upsample": _resize,
    "Identity": lambda walk, node, about, x: x, "Cast": lambda walk, node, about, x: x,
    "Softmax": _softmax, "LogSoftmax": _softmax, "Sigmoid": _sigmoid,
}  # fmt: skip
