"""The nets, as literal lists of layers: the paper's (Fig. 3), Krizhevsky's, LeNet, and two small
ones of the same kind.

`build("zfnet", classes=1000)` makes one.  Comments give the rows (= columns) of the maps after the line.
Names: `conv4` is the convolution, `relu4` its ReLU, and so on; what a user calls layer 4 is the
output of relu4.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np

from .errors import UsageError
from .layers.conv import Conv
from .layers.dropout import Dropout
from .layers.lrn import LRN
from .layers.max_pool import MaxPool
from .layers.relu import ReLU
from .machine.arrays import Array
from .net import Net
from .training.recipes import Recipe, recipe_for

# the shape (H, W, C) of the input, [(name, layer)]
Description = tuple[tuple[int, int, int], list[tuple[str, Any]]]


def zfnet(
    classes: int, maps: tuple[int, int, int] = (384, 384, 256), fc: int = 4096
) -> Description:
    """Zeiler & Fergus 2013, Fig. 3: 7x7/2 filters, norm after pool, 62,357,608 parameters at 1000 classes."""
    return (224, 224, 3), [
        ("conv1", Conv(96, 7, stride=2)), ("relu1", ReLU()),
        ("pool1", MaxPool(3, 2)), ("norm1", LRN()),  # 110, 55
        ("conv2", Conv(256, 5, stride=2)), ("relu2", ReLU()),
        ("pool2", MaxPool(3, 2)), ("norm2", LRN()),  # 26, 13
        ("conv3", Conv(maps[0], 3, pad=1)), ("relu3", ReLU()),  # 13
        ("conv4", Conv(maps[1], 3, pad=1)), ("relu4", ReLU()),  # 13
        ("conv5", Conv(maps[2], 3, pad=1)), ("relu5", ReLU()), ("pool5", MaxPool(3, 2)),  # 13, 6
        ("fc6", Conv(fc, None)), ("relu6", ReLU()), ("drop6", Dropout(0.5, stream=6)),
        ("fc7", Conv(fc, None)), ("relu7", ReLU()), ("drop7", Dropout(0.5, stream=7)),
        ("fc8", Conv(classes, None)),
    ]  # fmt: skip


def alexnet(classes: int, fc: int = 4096, groups: int = 1) -> Description:
    """Krizhevsky 2012: 11x11/4 filters, norm before pool.  Ungrouped as the paper's own copy;
    groups=2 is the original.
    """
    return (224, 224, 3), [
        ("conv1", Conv(96, 11, stride=4)), ("relu1", ReLU()),
        ("norm1", LRN()), ("pool1", MaxPool(3, 2)),  # 55, 27
        ("conv2", Conv(256, 5, pad=2, groups=groups)), ("relu2", ReLU()),
        ("norm2", LRN()), ("pool2", MaxPool(3, 2)),  # 13
        ("conv3", Conv(384, 3, pad=1)), ("relu3", ReLU()),  # 13
        ("conv4", Conv(384, 3, pad=1, groups=groups)), ("relu4", ReLU()),  # 13
        # 13, 6
        ("conv5", Conv(256, 3, pad=1, groups=groups)), ("relu5", ReLU()), ("pool5", MaxPool(3, 2)),
        ("fc6", Conv(fc, None)), ("relu6", ReLU()), ("drop6", Dropout(0.5, stream=6)),
        ("fc7", Conv(fc, None)), ("relu7", ReLU()), ("drop7", Dropout(0.5, stream=7)),
        ("fc8", Conv(classes, None)),
    ]  # fmt: skip


def zf64(classes: int, maps: tuple[int, int, int] = (128, 128, 96), fc: int = 512) -> Description:
    """zfnet made small for 64x64 images: conv4 sees 59 pixels, 1.5 million parameters at 64 classes.

    Less dropout than the paper: its fully connected layers are eight times narrower.
    """
    return (64, 64, 3), [
        ("conv1", Conv(48, 7, stride=2, pad=2, init_std=0.002)), ("relu1", ReLU()),
        ("pool1", MaxPool(3, 2)), ("norm1", LRN()),
        ("conv2", Conv(96, 3, pad=1, init_std="he")), ("relu2", ReLU()),
        ("pool2", MaxPool(3, 2)), ("norm2", LRN()),  # 16, 8
        ("conv3", Conv(maps[0], 3, pad=1, init_std="he")), ("relu3", ReLU()),  # 8
        ("conv4", Conv(maps[1], 3, pad=1, init_std="he")), ("relu4", ReLU()),  # 8
        # 8, 4
        ("conv5", Conv(maps[2], 3, pad=1, init_std="he")), ("relu5", ReLU()), ("pool5", MaxPool(3, 2)),
        ("fc6", Conv(fc, None, init_std="he")), ("relu6", ReLU()), ("drop6", Dropout(0.3, stream=6)),
        ("fc7", Conv(fc, None, init_std="he")), ("relu7", ReLU()), ("drop7", Dropout(0.3, stream=7)),
        ("fc8", Conv(classes, None)),
    ]  # fmt: skip


def alex64(classes: int, fc: int = 512, groups: int = 1) -> Description:
    """Krizhevsky's net made small in the same way: 11x11/4 filters, norm before pool, the widths of zf64."""
    return (64, 64, 3), [
        ("conv1", Conv(48, 11, stride=4, pad=3, init_std=0.002)), ("relu1", ReLU()),
        ("norm1", LRN()), ("pool1", MaxPool(3, 2)),  # 16, 8
        ("conv2", Conv(96, 5, pad=2, groups=groups, init_std="he")), ("relu2", ReLU()),
        ("norm2", LRN()), ("pool2", MaxPool(3, 2)),  # 8, 4
        ("conv3", Conv(128, 3, pad=1, init_std="he")), ("relu3", ReLU()),  # 4
        ("conv4", Conv(128, 3, pad=1, groups=groups, init_std="he")), ("relu4", ReLU()),  # 4
        # 4,2
        ("conv5", Conv(96, 3, pad=1, groups=groups, init_std="he")), ("relu5", ReLU()), ("pool5", MaxPool(3, 2)),
        ("fc6", Conv(fc, None, init_std="he")), ("relu6", ReLU()), ("drop6", Dropout(0.3, stream=6)),
        ("fc7", Conv(fc, None, init_std="he")), ("relu7", ReLU()), ("drop7", Dropout(0.3, stream=7)),
        ("fc8", Conv(classes, None)),
    ]  # fmt: skip


def zf32(classes: int) -> Description:
    """zf64 for 32x32 images (CIFAR): 5x5/1 filters first, so that nothing small is lost."""
    return (32, 32, 3), [
        ("conv1", Conv(32, 5, pad=2, init_std=0.002)), ("relu1", ReLU()),
        ("pool1", MaxPool(3, 2)), ("norm1", LRN()),  # 32, 16
        ("conv2", Conv(64, 5, pad=2, init_std="he")), ("relu2", ReLU()),
        ("pool2", MaxPool(3, 2)), ("norm2", LRN()),  # 16, 8
        ("conv3", Conv(96, 3, pad=1, init_std="he")), ("relu3", ReLU()),  # 8
        ("conv4", Conv(96, 3, pad=1, init_std="he")), ("relu4", ReLU()),  # 8
        # 8, 4
        ("conv5", Conv(64, 3, pad=1, init_std="he")), ("relu5", ReLU()), ("pool5", MaxPool(3, 2)),
        ("fc6", Conv(256, None, init_std="he")), ("relu6", ReLU()), ("drop6", Dropout(0.5, stream=6)),
        ("fc7", Conv(256, None, init_std="he")), ("relu7", ReLU()), ("drop7", Dropout(0.5, stream=7)),
        ("fc8", Conv(classes, None)),
    ]  # fmt: skip


def lenet(classes: int) -> Description:
    """LeNet in Caffe's form (LeCun 1998 with max pooling and ReLU, which a deconvnet needs), for
    28x28 images.
    """
    return (28, 28, 3), [
        ("conv1", Conv(20, 5, init_std=0.002)), ("relu1", ReLU()),
        ("pool1", MaxPool(2, 2)),  # 24, 12
        ("conv2", Conv(50, 5, init_std="he")), ("relu2", ReLU()),
        ("pool2", MaxPool(2, 2)),  # 8, 4
        ("fc3", Conv(500, None, init_std="he")), ("relu3", ReLU()),
        ("fc4", Conv(classes, None)),
    ]  # fmt: skip


WIDE, WIDE64 = (512, 1024, 512), (171, 341, 192)  # the second: 128, 128, 96 in the same ratios

MODELS = {
    "lenet": lenet,
    "zf32": zf32,
    "zf64": zf64,
    "alex64": alex64,
    "alexnet": alexnet,
    "alexnet-groups": lambda classes: alexnet(classes, groups=2),
    "zfnet": zfnet,
    # Table 3, upper half: changes to Krizhevsky's net as he had it, in groups.
    "alexnet-without-34": lambda classes: without("34", alexnet(classes, groups=2)),
    "alexnet-without-7": lambda classes: without("7", alexnet(classes, groups=2)),
    "alexnet-without-67": lambda classes: without("67", alexnet(classes, groups=2)),
    "alexnet-without-3467": lambda classes: without("3467", alexnet(classes, groups=2)),
    "alexnet-fc2048": lambda classes: alexnet(classes, fc=2048, groups=2),
    "alexnet-fc8192": lambda classes: alexnet(classes, fc=8192, groups=2),
    # Table 3, lower half: changes to the paper's own.
    "zfnet-fc2048": lambda classes: zfnet(classes, fc=2048),
    "zfnet-fc8192": lambda classes: zfnet(classes, fc=8192),
    "zfnet-wide": lambda classes: zfnet(classes, maps=WIDE),
    "zfnet-wide-fc8192": lambda classes: zfnet(classes, maps=WIDE, fc=8192),
    # The same twelve, small.
    "alex64-groups": lambda classes: alex64(classes, groups=2),
    "alex64-without-34": lambda classes: without("34", alex64(classes, groups=2)),
    "alex64-without-7": lambda classes: without("7", alex64(classes, groups=2)),
    "alex64-without-67": lambda classes: without("67", alex64(classes, groups=2)),
    "alex64-without-3467": lambda classes: without("3467", alex64(classes, groups=2)),
    "alex64-fc256": lambda classes: alex64(classes, fc=256, groups=2),
    "alex64-fc1024": lambda classes: alex64(classes, fc=1024, groups=2),
    "zf64-fc256": lambda classes: zf64(classes, fc=256),
    "zf64-fc1024": lambda classes: zf64(classes, fc=1024),
    "zf64-wide": lambda classes: zf64(classes, maps=WIDE64),
    "zf64-wide-fc1024": lambda classes: zf64(classes, maps=WIDE64, fc=1024),
}


def without(numbers: str, net: Description) -> Description:
    """Remove whole layers by number, with their ReLU and dropout.  Paper, Table 3."""
    shape, layers = net
    return shape, [(name, layer) for name, layer in layers if name[-1] not in numbers]


def build(
    name: str, classes: int | list[str] = 1000, size: int | None = None, pixel_mean: Array | None = None,
    seed: int = 0, dtype: str = "float32",
) -> Net:  # fmt: skip
    """Build the Net called `name`.

    classes: their number or their names.  size: rows and columns of the input, if not the model's own.
    pixel_mean: of the data, float32 (H, W, 3) or (3,), subtracted from every image; zero by default.
    seed: of the initial weights.  dtype: "float32" or "float64". Stored images have the size of
    `mean` where that is an image, else the one in the model's recipe.
    UsageError: there is no such model, or there are no classes.
    """
    stored = recipe(name).stored
    names = _class_names(classes)
    shape, layers = MODELS[name](len(names))
    shape = shape if size is None else (size, size, shape[2])
    kept = (
        None
        if pixel_mean is not None and np.ndim(pixel_mean) == 3
        else (max(stored, shape[0]),) * 2
    )
    return Net(shape, layers, names, pixel_mean, name, seed, dtype, kept)


def _class_names(classes: int | Iterable[str]) -> list[str]:
    """Return the names of classes, 0, 1, ... if only their number is given.  UsageError: there are none."""
    names: list[str] = []
    if isinstance(classes, Integral) and not isinstance(classes, bool):
        names = [str(i) for i in range(int(classes))]
    elif isinstance(classes, Iterable) and not isinstance(classes, str):
        names = list(classes)
    if not names:
        raise UsageError(
            f"classes={classes!r} is no number of classes; give a whole number from 1, or a list of their names."
        )
    return names


def recipe(name: str) -> Recipe:
    """Return how the model called `name` is trained by default.  UsageError: there is no such model."""
    if name not in MODELS:
        raise UsageError(f"There is no model {name!r}; the models are {', '.join(MODELS)}.")
    (size, *_), _ = MODELS[name](1)
    return recipe_for(size)


def drop(net: Net, rate: float) -> int:
    """Set the dropout rate of every dropout layer; return how many there are."""
    # What is set is a rate, which nothing but a Dropout has.
    layers = [layer for _, layer in net.layers if isinstance(layer, Dropout)]
    for layer in layers:
        layer.rate = rate
    return len(layers)
