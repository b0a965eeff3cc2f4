"""MobileNetV2 (Sandler et al. 2018): wide inside, filters of one channel, ReLU6, and no ReLU where
its blocks end.
"""

from .steps import DEPTHWISE, Architecture, Average, Dense, Drop, Filters, Rectify, Sum


def unit(name, filters, size=1, stride=1, groups=1, below=()):
    """A convolution with batch norm, and its ReLU6."""
    step = Filters(filters, size, stride, size // 2, groups, f"{name}.1", False)
    return [(f"{name}.0", step, *below), (f"{name}.2", Rectify(6.0))]


def inverted(name, below, channels, filters, stride, expand):
    hidden, steps = channels * expand, []
    if expand > 1:
        steps += unit(f"{name}.conv.0", hidden, below=[below])
    place = int(expand > 1)
    steps += unit(f"{name}.conv.{place}", hidden, 3, stride, DEPTHWISE)
    end = f"{name}.conv.{place + 1}"
    steps.append((end, Filters(filters, 1, norm=f"{name}.conv.{place + 2}", bias=False)))
    return (
        [*steps, (f"{name}.add", Sum(), below, end)]
        if stride == 1 and channels == filters
        else steps
    )


def mobilenet_v2():
    steps, channels, place = unit("features.0", 32, 3, 2), 32, 0
    for expand, filters, count, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for number in range(count):
            place += 1
            about = channels, filters, 1 if number else stride, expand
            steps += inverted(f"features.{place}", steps[-1][0], *about)
            channels = filters
    steps += unit("features.18", 1280)
    return [
        *steps,
        ("avgpool", Average()),
        ("classifier.0", Drop(0.2)),
        ("classifier.1", Dense(None)),
    ]


MOBILENETS = {"mobilenet_v2": Architecture("torchvision", mobilenet_v2())}
