"""How much memory a layer takes in a training step, by arithmetic: what training/memory_model.py adds up.

All figures are bytes, of float32, and on a GPU.
"""

import math
from typing import Any, NamedTuple

from .window import Window

FLOAT = 4


class Step(NamedTuple):
    """What a layer is asked about: a step over `batch` images, `shape` of its input and `out` of
    its output, (H, W, C).

    workspace: bytes that the columns may take.  lowest: nothing stands below it, so that no dx is asked for.
    fused: the layer below does its work.
    """

    shape: tuple[int, ...]
    out: tuple[int, ...]
    batch: int
    workspace: int = 0
    lowest: bool = False
    fused: bool = False

    @property
    def inputs(self) -> int:
        """How many numbers go in."""
        return self.batch * math.prod(self.shape)

    @property
    def outputs(self) -> int:
        """How many numbers come out."""
        return self.batch * math.prod(self.out)


class Memory(NamedTuple):
    """What a layer takes.  keeps: "input", "output" or neither.  in_place: its output is its input.

    own: kept besides.  parameters; columns: the largest block of them.  up: needed beside input and
    output, back: beside dy and dx; less than 0 where dx is dy.
    """

    keeps: str = ""
    in_place: bool = False
    own: int = 0
    parameters: int = 0
    columns: int = 0
    up: int = 0
    back: int = 0


def convolution_memory(layer: Any, step: Step, parts: int) -> Memory:
    """The Memory of a Conv: its columns are the largest block of the three passes, as gpu/im2col.py makes them.

    parts: through how many products its groups go; 0: through none, as depthwise filters do, which
    need no columns.
    """
    settings = layer.settings
    window = Window.of(
        settings["size"] or step.shape[:2], settings["stride"], settings["pad"],
        settings["ceil_mode"], settings.get("dilation", 1),
    )  # fmt: skip
    (kh, kw), stride, span = window.size, window.stride[0], window.span[0]
    height, width, filters = step.out
    parameters = (kh * kw * (step.shape[2] // layer.groups) + 1) * filters * FLOAT
    given, made = step.inputs * FLOAT, step.outputs * FLOAT
    # copies of parts
    up, back = (given // parts + made, made // parts + given) if parts > 1 else (0, 0)
    if not parts or window.covers(step.shape) or window.is_pointwise:
        return Memory("input", parameters=parameters, up=up, back=back + parameters)
    channels = -(-step.shape[2] // parts)
    line = width * kh * kw * channels * FLOAT  # the columns of one output row
    fit = max(1, step.workspace // line)
    forward = min(fit, step.batch * height) * line
    if step.lowest:
        transpose = 0
    elif fit >= height:
        transpose = min(fit // height, step.batch) * height * line
    else:
        reach = max(1, fit * stride - span + 1)  # rows of dx in a block
        transpose = min(height, (reach + span - 2) // stride + 1) * line
    product = kh * kw * channels * -(-filters // parts) * FLOAT
    # the sum, and the next block's product
    sums = (1 if fit >= step.batch * height else 2) * product
    columns = max(forward, transpose)
    back += max(transpose, forward + sums)
    return Memory("input", parameters=parameters, columns=columns, up=up + forward, back=back)
