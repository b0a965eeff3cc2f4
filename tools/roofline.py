"""What each layer must compute and move, by arithmetic, and the time below which no card can do it
(its roofline).

floor = max(operations / peak, bytes / bandwidth).  Bytes are counted twice: as rawconv's kernels
move them (a convolution writes and reads its columns), and the least possible (every input, weight
and output once), which is what an implicit product, one that never writes columns, could reach.  A
ReLU above a convolution costs nothing on the way
up: it is done where the bias is added.
"""

import math
from typing import NamedTuple

from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU

FLOAT = 4
CARDS = {  # float32 TFLOP/s without tensor cores, and GB/s, from the makers' data sheets
    "h100": (66.9, 3350), "a100": (19.5, 2039), "l40s": (91.6, 864), "t4": (8.1, 320), "mi300x": (163.4, 5300),
}  # fmt: skip


class Work(NamedTuple):
    """One layer in one direction: floating-point operations, bytes as our kernels move them, least bytes."""

    layer: str
    direction: str
    operations: int
    moved: int
    least: int

    def floors(self, tflops, gbs):
        """(seconds as our kernels move the bytes, seconds with the least bytes)."""
        return tuple(
            max(self.operations / tflops / 1e12, size / gbs / 1e9)
            for size in (self.moved, self.least)
        )


def work_of(net, batch):
    """[Work, ...] of every layer up, back and down, then of what else a training step does."""
    rows, shape, below = [], net.shape, ""
    for name, layer in net.layers:
        out = net.shapes[name]
        sizes = [batch * math.prod(size) for size in (shape, out)]
        found = _counts(layer, *sizes, batch * math.prod(out[:2]), lowest=not rows)
        if below in net.fused_ceilings:
            del found["up"]
        rows += [Work(name, direction, *counts) for direction, counts in found.items()]
        shape, below = out, name
    scores, pixels = batch * len(net.classes), batch * math.prod(net.shape)
    parameters = sum(value.size for value in net.params.values())
    return [
        *rows,
        Work("loss", "step", 6 * scores, *[2 * scores * FLOAT] * 2),
        Work("crops", "step", pixels, *[pixels * (1 + FLOAT)] * 2),
        Work("update", "step", 6 * parameters, *[5 * parameters * FLOAT] * 2),
    ]


def _counts(layer, x, y, places, lowest):
    """{direction: (operations, moved, least)} of a layer from x to y numbers; places: of its
    output, less channels.
    """
    if isinstance(layer, Conv):
        return _conv(layer, x, y, places, lowest)
    if isinstance(layer, MaxPool):
        operations, floats = (
            y * math.prod(layer.window.size),
            dict.fromkeys(("up", "back", "down"), x + y * 5 / 4),
        )
    elif isinstance(layer, LRN):  # down it is the identity
        operations, floats = y * (2 * layer.size + 5), {"up": 2 * y, "back": 3 * y}
    elif isinstance(layer, ReLU):
        operations, floats = y, {"up": 2 * y, "back": 3 * y, "down": 2 * y}
    elif isinstance(layer, Dropout):
        operations, floats = y, {"up": 2 * y, "back": 2 * y}
    return {
        direction: (operations, *[int(count * FLOAT)] * 2) for direction, count in floats.items()
    }


def _conv(layer, x, y, places, lowest):
    """The columns are written once and read once.  The lowest layer has no way back to the pixels."""
    kh, kw, channels, filters = layer.weight.shape
    length = kh * kw * channels
    operations, least = 2 * places * length * filters, (x + y + layer.weight.size) * FLOAT
    # one window is the whole input: x itself is the columns
    covers = places * length * layer.groups == x
    columns = 0 if covers else 2 * places * length * layer.groups * FLOAT
    bias = 2 * y * FLOAT  # a second pass over y, which does the ReLU above as well
    ways = 1 if lowest else 2
    return {
        "up": (operations, least + columns + bias, least),
        "back": tuple(ways * count for count in (operations, least + columns, least)),
        "down": (operations, least + columns, least),
    }
