"""What an architecture is made of, as a literal list of (name, step, *inputs) from the bottom up.

name: that of the module in PyTorch, which is that of its tensors without ".weight" and ".bias".
inputs: the names of the steps it takes, "" the picture; by default the one before.  Nets round down
where nothing is said.
"""

from typing import NamedTuple

DEPTHWISE = 0  # as the groups of Filters: a filter a channel


class Filters(NamedTuple):
    """A convolution.  norm, epsilon: the name of its batch norm, if it has one, and its constant.
    pad: as Conv's.
    """

    filters: int | None
    size: int | tuple
    stride: int = 1
    pad: int | tuple = 0
    groups: int = 1
    norm: str = ""
    bias: bool = True
    epsilon: float = 1e-5


class Dense(NamedTuple):
    """A fully connected layer of so many outputs; None: one a class."""

    outputs: int | None


class Scale(NamedTuple):
    """A batch norm that follows no convolution."""

    epsilon: float = 1e-5


class Norm(NamedTuple):
    """LRN, alpha divided by size."""

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0


class Pool(NamedTuple):
    """Max pooling."""

    size: int
    stride: int
    ceil_mode: bool = False
    pad: int = 0


class Average(NamedTuple):
    """Average pooling, its padding counted; size None: over the whole map."""

    size: int | None = None
    stride: int = 1
    pad: int = 0


class Flat(NamedTuple):
    """Here the maps are of size x size (an adaptive average pool to that size does nothing), and
    become one row.
    """

    size: int


class Drop(NamedTuple):
    rate: float = 0.5


class Rectify(NamedTuple):
    """ReLU."""

    ceiling: float | None = None


class Sum(NamedTuple):
    """The sum of several maps."""


class Join(NamedTuple):
    """Several maps side by side."""


class Architecture(NamedTuple):
    """library: whose.  steps: see above.  size: rows and columns of its pictures; stored: before
    their centre is cut out.  heads: the beginnings of the names of tensors that are for training
    alone.  centred: whether the released weights take pixels in -1 .. 1 (torchvision's
    transform_input).
    """

    library: str
    steps: list
    size: int = 224
    stored: int = 256
    heads: tuple = ()
    centred: bool = False
