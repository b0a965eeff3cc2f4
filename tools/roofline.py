"""What each layer must compute and move, by arithmetic, and the time below which no card can do it
(its roofline).

floor = max(operations / peak, bytes / bandwidth).  Operations are those of the convolution as
written: a library that computes it by Winograd's products may seem to pass the peak.  Bytes are
counted twice: as rawconv's kernels move them (a convolution writes and reads its columns), and the
least possible (every input, weight and output once), which is what an implicit product, one that
never writes columns, could reach.  A ReLU above a convolution costs nothing on the way up: it is
done where the bias is added.  The sum over the rows of dy, a bias's gradient, is a row of its own.

The instructions of our kernels, most of which find out where an element lies, have a time of their
own: as many threads as the card has lanes execute one each a cycle.  And since the kernels beside a
product run before and after it, not at the same time, `apart` adds up what each of them takes at
least.
"""

import math
from typing import NamedTuple

from rawconv.layers.add import Add
from rawconv.layers.average_pool import AveragePool
from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU

FLOAT = 4
CARDS = {  # float32 TFLOP/s without tensor cores, GB/s, and TF32 TFLOP/s (dense), from the makers' data sheets
    "h100": (66.9, 3350, 494.7), "h200": (66.9, 4800, 494.7), "b200": (75, 7700, 1125), "a100": (19.5, 2039, 156),
    "l40s": (91.6, 864, 183), "rtx4090": (82.6, 1008, 82.6), "t4": (8.1, 320, 8.1), "mi300x": (163.4, 5300, 653.7),
}  # fmt: skip
# Instructions an element, for any number of channels and for a multiple of four, as tools/sass.py counts them for
# sm_90: for the element, for each row of windows (or of a window) that it visits, and for each cell.
INSTRUCTIONS = {
    "im2col": ((38, 0, 0), (9.75, 0, 0)),
    "col2im": ((81, 20, 7), (20, 3.2, 2.6)),
    "add_bias": ((17, 0, 0), (7.25, 0, 0)),
    "pool": ((65, 17, 10), (18.2, 4, 6.6)),
    "unpool": ((147.5, 0, 0), (47.4, 0, 0)),
    "lrn": ((137, 0, 0), (137, 0, 0)),
    "lrn_back": ((221.5, 0, 0), (221.5, 0, 0)),
    "sum_rows": ((3, 0, 0), (3, 0, 0)),
}


class Work(NamedTuple):
    """One layer in one direction: floating-point operations, bytes as our kernels move them, least
    bytes, the instructions of our kernels, and the bytes that kernels beside a product move.
    """

    layer: str
    direction: str
    operations: int
    moved: int
    least: int
    instructions: int = 0
    beside: int = 0

    def floors(self, tflops, gbs):
        """(seconds as our kernels move the bytes, seconds with the least bytes)."""
        return tuple(
            max(self.operations / tflops / 1e12, size / gbs / 1e9)
            for size in (self.moved, self.least)
        )

    def index_seconds(self, tflops):
        """How long the instructions take: a lane that multiplies and adds in a cycle, two
        operations, executes one of them.
        """
        return self.instructions / (tflops * 1e12 / 2)

    def apart(self, tflops, gbs):
        """Seconds of the product, and of the kernels beside it after one another."""
        inside = (self.moved - self.beside) / gbs / 1e9
        product, index = max(self.operations / tflops / 1e12, inside), self.index_seconds(tflops)
        return product + max(self.beside / gbs / 1e9, index) if self.beside else max(product, index)


def work_of(net, batch):
    """[Work, ...] of every layer up, back and down, and of its bias's gradient; then of what else a
    training step does.
    """
    rows = []
    for name, layer, inputs in net.nodes.values():
        shapes = [net.shapes.get(below, net.shape) for below in inputs]
        x = batch * sum(math.prod(shape) for shape in shapes)
        out, fused = net.shapes[name], inputs[0] in net.fused_ceilings
        sizes = x, batch * math.prod(out), batch * math.prod(out[:2])
        found = _counts(layer, *sizes, shapes[0][-1], lowest=not rows)
        if fused:
            found.pop("up", None)
        rows += [Work(name, direction, *counts) for direction, counts in found.items()]
    scores, pixels = batch * len(net.classes), batch * math.prod(net.shape)
    parameters = sum(value.size for value in net.params.values())
    return [
        *rows,
        Work("loss", "step", 6 * scores, *[2 * scores * FLOAT] * 2),
        Work("crops", "step", pixels, *[pixels * (1 + FLOAT)] * 2),
        Work("update", "step", 6 * parameters, *[5 * parameters * FLOAT] * 2),
    ]


def _counts(layer, x, y, places, channels, lowest):
    """{direction: the numbers of a Work} of a layer from x to y numbers.

    places: of its output, less channels.  channels: of its input.
    """
    operations, floats, instructions = y, {"up": x + y, "back": x + y, "down": x + y}, {}
    if isinstance(layer, Conv):
        return _conv(layer, x, y, places, channels, lowest)
    if isinstance(layer, MaxPool):
        cells = layer.window.size
        operations, floats = y * math.prod(cells), dict.fromkeys(floats, x + y * 5 / 4)
        down = _instructions("unpool", x, channels)
        instructions = {
            "up": _instructions("pool", y, channels, *cells),
            "back": down,
            "down": down,
        }
    elif isinstance(layer, AveragePool):
        operations = y * math.prod(layer.window.size) if layer.window else x
    elif isinstance(layer, LRN):  # down it is the identity
        operations, floats = y * (2 * layer.size + 5), {"up": 2 * y, "back": 3 * y}
        instructions = {
            "up": _instructions("lrn", y, channels),
            "back": _instructions("lrn_back", y, channels),
        }
    elif isinstance(layer, ReLU):
        floats = {"up": 2 * y, "back": 3 * y, "down": 2 * y}
    elif isinstance(layer, Dropout):
        floats = {"up": 2 * y, "back": 2 * y}
    elif isinstance(layer, Add):  # on the way down both branches get the same array
        floats = {"up": x + y}
    return {
        direction: (operations, *[int(count * FLOAT)] * 2, instructions.get(direction, 0))
        for direction, count in floats.items()
    }


def _conv(layer, x, y, places, channels, lowest):
    """The columns are written once and read once.  The lowest layer has no way back to the pixels."""
    kh, kw, own, filters = layer.weight.shape
    length, (sh, sw) = kh * kw * own, layer.window.stride
    operations, least = 2 * places * length * filters, (x + y + layer.weight.size) * FLOAT
    # one window is the whole input: x itself is the columns
    covers = places * length * layer.groups == x
    count = 0 if covers else places * length * layer.groups
    # written by one kernel and read by another; one of the two reads or writes x
    columns, side = 2 * count * FLOAT, 0 if covers else (count + x) * FLOAT
    bias = 2 * y * FLOAT  # a second pass over y, which does the ReLU above as well
    ways = 1 if lowest else 2
    up = _instructions("im2col", count, channels)
    down = 0 if covers else _instructions("col2im", x, channels, kh / sh, kw / sw)
    added = _instructions("add_bias", y, filters)
    back = (ways * operations, ways * (least + columns), ways * least, up + down * (ways - 1))
    return {
        "up": (operations, least + columns + bias, least, up + added, side + bias),
        "back": (*back, ways * side),
        "bias": (y, y * FLOAT, 0, _instructions("sum_rows", y, filters)),
        "down": (operations, least + columns, least, down, side),
    }


def _instructions(kernel, elements, channels, rows=0, columns=0):
    """Of a kernel over so many elements, each of which visits rows by columns of cells."""
    each, row, cell = INSTRUCTIONS[kernel][channels % 4 == 0]
    return int(elements * (each + rows * (row + columns * cell)))
