"""GoogLeNet (Szegedy et al. 2014) and Inception v3 (2015), both as torchvision has them, with batch norm."""

from .steps import Architecture, Average, Dense, Drop, Filters, Join, Pool, Rectify


def unit(name, filters, size, stride=1, pad=0, below=None):
    """A convolution with batch norm, and its ReLU."""
    step = Filters(filters, size, stride, pad, norm=f"{name}.bn", bias=False, epsilon=1e-3)
    return [
        (f"{name}.conv", step, *([] if below is None else [below])),
        (f"{name}.relu", Rectify()),
    ]


def units(name, below, *branches):
    """Branches side by side, each [(name, filters, size, stride, pad)], and what puts their ends together."""
    steps, ends = [], []
    for branch in branches:
        here = below
        for part, *about in branch:
            steps += unit(f"{name}.{part}", *about, below=here)
            here = steps[-1][0]
        ends.append(here)
    return steps, ends


def inception(name, below, one, three, five, pooled):
    """three, five: (filters of 1x1, filters of 3x3); the second is the 5x5 of the paper, 3x3 in
    torchvision.
    """
    steps, ends = units(
        name, below, [("branch1", one, 1)],
        [("branch2.0", three[0], 1), ("branch2.1", three[1], 3, 1, 1)],
        [("branch3.0", five[0], 1), ("branch3.1", five[1], 3, 1, 1)],
    )  # fmt: skip
    pool = (f"{name}.branch4.0", Pool(3, 1, True, 1), below)
    return [
        *steps,
        pool,
        *unit(f"{name}.branch4.1", pooled, 1),
        (f"{name}.concat", Join(), *ends, f"{name}.branch4.1.relu"),
    ]


def googlenet():
    steps = [
        *unit("conv1", 64, 7, 2, 3), ("maxpool1", Pool(3, 2, True)),
        *unit("conv2", 64, 1), *unit("conv3", 192, 3, 1, 1), ("maxpool2", Pool(3, 2, True)),
    ]  # fmt: skip
    for name, *about in (
        ("3a", 64, (96, 128), (16, 32), 32), ("3b", 128, (128, 192), (32, 96), 64), ("maxpool3", 3),
        ("4a", 192, (96, 208), (16, 48), 64), ("4b", 160, (112, 224), (24, 64), 64),
        ("4c", 128, (128, 256), (24, 64), 64), ("4d", 112, (144, 288), (32, 64), 64),
        ("4e", 256, (160, 320), (32, 128), 128), ("maxpool4", 2),
        ("5a", 256, (160, 320), (32, 128), 128), ("5b", 384, (192, 384), (48, 128), 128),
    ):  # fmt: skip
        if name.startswith("maxpool"):
            steps.append((name, Pool(about[0], 2, True)))
        else:
            steps += inception(f"inception{name}", steps[-1][0], *about)
    return [*steps, ("avgpool", Average()), ("dropout", Drop(0.2)), ("fc", Dense(None))]


def _averaged(name, below, filters):
    return [(f"{name}.avgpool", Average(3, 1, 1), below), *unit(f"{name}.branch_pool", filters, 1)]


def block_a(name, below, pooled):
    steps, ends = units(
        name, below, [("branch1x1", 64, 1)], [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5, 1, 2)],
        [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3, 1, 1), ("branch3x3dbl_3", 96, 3, 1, 1)],
    )  # fmt: skip
    steps += _averaged(name, below, pooled)
    return [*steps, (f"{name}.concat", Join(), *ends, steps[-1][0])]


def block_b(name, below):
    steps, ends = units(
        name, below, [("branch3x3", 384, 3, 2)],
        [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3, 1, 1), ("branch3x3dbl_3", 96, 3, 2)],
    )  # fmt: skip
    pool = (f"{name}.maxpool", Pool(3, 2), below)
    return [*steps, pool, (f"{name}.concat", Join(), *ends, pool[0])]


ROW, COLUMN = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))


def block_c(name, below, inner):
    steps, ends = units(
        name, below, [("branch1x1", 192, 1)],
        [("branch7x7_1", inner, 1), ("branch7x7_2", inner, *ROW), ("branch7x7_3", 192, *COLUMN)],
        [("branch7x7dbl_1", inner, 1), ("branch7x7dbl_2", inner, *COLUMN), ("branch7x7dbl_3", inner, *ROW),
         ("branch7x7dbl_4", inner, *COLUMN), ("branch7x7dbl_5", 192, *ROW)],
    )  # fmt: skip
    steps += _averaged(name, below, 192)
    return [*steps, (f"{name}.concat", Join(), *ends, steps[-1][0])]


def block_d(name, below):
    steps, ends = units(
        name, below, [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2)],
        [("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, *ROW), ("branch7x7x3_3", 192, *COLUMN),
         ("branch7x7x3_4", 192, 3, 2)],
    )  # fmt: skip
    pool = (f"{name}.maxpool", Pool(3, 2), below)
    return [*steps, pool, (f"{name}.concat", Join(), *ends, pool[0])]


def block_e(name, below):
    """Two of its branches fork once more."""
    row, column = ((1, 3), 1, (0, 1)), ((3, 1), 1, (1, 0))
    steps, ends = units(
        name, below, [("branch1x1", 320, 1)], [("branch3x3_1", 384, 1)],
        [("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3, 1, 1)],
    )  # fmt: skip
    joined = [ends[0]]
    for branch, fork, number in (("branch3x3_2", ends[1], ""), ("branch3x3dbl_3", ends[2], "_1")):
        more, both = units(name, fork, [(f"{branch}a", 384, *row)], [(f"{branch}b", 384, *column)])
        joined.append(f"{name}.concat{number}")
        steps += [*more, (joined[-1], Join(), *both)]
    steps += _averaged(name, below, 192)
    return [*steps, (f"{name}.concat_2", Join(), *joined, steps[-1][0])]


def inception_v3():
    steps = [
        *unit("Conv2d_1a_3x3", 32, 3, 2), *unit("Conv2d_2a_3x3", 32, 3), *unit("Conv2d_2b_3x3", 64, 3, 1, 1),
        ("maxpool1", Pool(3, 2)), *unit("Conv2d_3b_1x1", 80, 1), *unit("Conv2d_4a_3x3", 192, 3),
        ("maxpool2", Pool(3, 2)),
    ]  # fmt: skip
    for name, block, *about in (
        ("5b", block_a, 32), ("5c", block_a, 64), ("5d", block_a, 64), ("6a", block_b), ("6b", block_c, 128),
        ("6c", block_c, 160), ("6d", block_c, 160), ("6e", block_c, 192), ("7a", block_d), ("7b", block_e),
        ("7c", block_e),
    ):  # fmt: skip
        steps += block(f"Mixed_{name}", steps[-1][0], *about)
    return [*steps, ("avgpool", Average()), ("dropout", Drop()), ("fc", Dense(None))]


INCEPTIONS = {
    "googlenet": Architecture("torchvision", googlenet(), heads=("aux1.", "aux2."), centred=True),
    "inception_v3": Architecture("torchvision", inception_v3(), 299, 342, ("AuxLogits.",), True),
}
