"""Nets whose state dicts rawconv knows: a state dict holds weights under names, and nothing of what lies between them.

    torchvision   alexnet (Krizhevsky 2014, "One weird trick"), vgg11 ... vgg19, with and without _bn (Simonyan 2014)
    pytorchcv     zfnet (the paper's net), zfnetb (its wide variant, Table 3)

Each is a literal list from the bottom up, of pictures of 224x224.  `key` is the name of a layer's tensors without
".weight" and ".bias".  They round down where nothing is said.
"""

from typing import NamedTuple

SIZE = 224


class Filters(NamedTuple):
    """A convolution of `filters` filters.  norm: the key of its batch norm, if it has one."""

    key: str
    filters: int
    size: int
    stride: int = 1
    pad: int = 0
    norm: str = ""


class Dense(NamedTuple):
    """A fully connected layer of so many outputs; None: one a class."""

    key: str
    outputs: int | None


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


class Flat(NamedTuple):
    """Here the maps are of size x size (an adaptive average pool to that size does nothing), and become one row."""

    size: int


class Drop(NamedTuple):
    rate: float = 0.5


class Rectify(NamedTuple):
    """ReLU."""


class Architecture(NamedTuple):
    library: str
    steps: list


def alexnet():
    return [
        Filters("features.0", 64, 11, 4, 2), Rectify(), Pool(3, 2),  # 55, 27
        Filters("features.3", 192, 5, 1, 2), Rectify(), Pool(3, 2),  # 27, 13
        Filters("features.6", 384, 3, 1, 1), Rectify(),
        Filters("features.8", 256, 3, 1, 1), Rectify(),
        Filters("features.10", 256, 3, 1, 1), Rectify(), Pool(3, 2), Flat(6),  # 13, 6
        Drop(), Dense("classifier.1", 4096), Rectify(),
        Drop(), Dense("classifier.4", 4096), Rectify(), Dense("classifier.6", None),
    ]  # fmt: skip


def vgg(*blocks, norm=False):
    """blocks: how many 3x3 convolutions there are before each pool; the layers are counted through."""
    steps, place = [], 0
    for filters, count in zip((64, 128, 256, 512, 512), blocks, strict=True):
        for _ in range(count):
            steps += [Filters(f"features.{place}", filters, 3, 1, 1, f"features.{place + 1}" if norm else "")]
            steps += [Rectify()]
            place += 3 if norm else 2
        steps.append(Pool(2, 2))
        place += 1
    return [
        *steps, Flat(7), Dense("classifier.0", 4096), Rectify(), Drop(),
        Dense("classifier.3", 4096), Rectify(), Drop(), Dense("classifier.6", None),
    ]  # fmt: skip


def zfnet(*maps):
    """maps: of the last three convolutions.  Norm before pool, other than in the paper, and a padding of 1."""
    unit, last = "features.stage{}.unit{}.conv", "features.stage3.unit{}.conv"
    return [
        Filters(unit.format(1, 1), 96, 7, 2, 1), Rectify(), Norm(), Pool(3, 2, True),  # 110, 55
        Filters(unit.format(2, 1), 256, 5, 2), Rectify(), Norm(), Pool(3, 2, True),  # 26, 13
        Filters(last.format(1), maps[0], 3, 1, 1), Rectify(),
        Filters(last.format(2), maps[1], 3, 1, 1), Rectify(),
        Filters(last.format(3), maps[2], 3, 1, 1), Rectify(), Pool(3, 2, True), Flat(6),  # 13, 6
        Dense("output.fc1.fc", 4096), Rectify(), Drop(), Dense("output.fc2.fc", 4096), Rectify(), Drop(),
        Dense("output.fc3", None),
    ]  # fmt: skip


VGG = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
ARCHITECTURES = {
    "alexnet": Architecture("torchvision", alexnet()),
    **{name: Architecture("torchvision", vgg(*blocks)) for name, blocks in VGG.items()},
    **{f"{name}_bn": Architecture("torchvision", vgg(*blocks, norm=True)) for name, blocks in VGG.items()},
    "zfnet": Architecture("pytorchcv", zfnet(384, 384, 256)),
    "zfnetb": Architecture("pytorchcv", zfnet(512, 1024, 512)),
}


def expected(steps, shapes, widths=True):
    """{name: shape} of the tensors of these steps.  widths: the architecture's own, else those of `shapes`."""
    channels, found = 3, {}
    for step in steps:
        if isinstance(step, Flat):
            channels *= step.size**2
        if not isinstance(step, (Filters, Dense)):
            continue
        outputs, window = (step.filters, (step.size, step.size)) if isinstance(step, Filters) else (step.outputs, ())
        if not (widths and outputs):
            outputs = (shapes.get(f"{step.key}.weight") or (1,))[0]
        found[f"{step.key}.weight"], found[f"{step.key}.bias"] = (outputs, channels, *window), (outputs,)
        if norm := getattr(step, "norm", ""):
            found |= {f"{norm}.{name}": (outputs,) for name in ("weight", "bias", "running_mean", "running_var")}
        channels = outputs
    return found


def misfit(steps, shapes, widths=True):
    """What of {name: shape} does not fit the steps, as the end of a sentence; None where all does."""
    wanted = expected(steps, shapes, widths)
    for name, shape in wanted.items():
        if name not in shapes:
            return f"it holds no {name}"
        if shapes[name] != shape:
            return f"{name} is of {_size(shapes[name])}, not {_size(shape)}"
    more = [name for name in shapes if name not in wanted]
    return f"it holds {more[0]:.80} too" if more else None


def _size(shape):
    return "x".join(map(str, shape)) or "one number"
