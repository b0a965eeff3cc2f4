"""Krizhevsky's net (2014, "One weird trick"), Simonyan's (2014), and the paper's own as pytorchcv has it."""

from .steps import Architecture, Dense, Drop, Filters, Flat, Norm, Pool, Rectify


def alexnet():
    return [
        # 55, 27
        ("features.0", Filters(64, 11, 4, 2)), ("features.1", Rectify()), ("features.2", Pool(3, 2)),
        # 27, 13
        ("features.3", Filters(192, 5, 1, 2)), ("features.4", Rectify()), ("features.5", Pool(3, 2)),
        ("features.6", Filters(384, 3, 1, 1)), ("features.7", Rectify()),
        ("features.8", Filters(256, 3, 1, 1)), ("features.9", Rectify()),
        ("features.10", Filters(256, 3, 1, 1)), ("features.11", Rectify()),
        ("features.12", Pool(3, 2)), ("avgpool", Flat(6)),  # 13, 6
        ("classifier.0", Drop()), ("classifier.1", Dense(4096)), ("classifier.2", Rectify()),
        ("classifier.3", Drop()), ("classifier.4", Dense(4096)), ("classifier.5", Rectify()),
        ("classifier.6", Dense(None)),
    ]  # fmt: skip


def vgg(*blocks, norm=False):
    """blocks: how many 3x3 convolutions there are before each pool; the layers are counted through."""
    steps, place = [], 0
    for filters, count in zip((64, 128, 256, 512, 512), blocks, strict=True):
        for _ in range(count):
            normed = f"features.{place + 1}" if norm else ""
            steps.append((f"features.{place}", Filters(filters, 3, 1, 1, norm=normed)))
            place += 3 if norm else 2
            steps.append((f"features.{place - 1}", Rectify()))
        steps.append((f"features.{place}", Pool(2, 2)))
        place += 1
    return [
        *steps, ("avgpool", Flat(7)),
        ("classifier.0", Dense(4096)), ("classifier.1", Rectify()), ("classifier.2", Drop()),
        ("classifier.3", Dense(4096)), ("classifier.4", Rectify()), ("classifier.5", Drop()),
        ("classifier.6", Dense(None)),
    ]  # fmt: skip


def zfnet(*maps):
    """maps: of the last three convolutions.  Norm before pool, other than in the paper, and a
    padding of 1.
    """
    unit, last = "features.stage{}.unit1.{}", "features.stage3.unit{}.{}"
    return [
        (unit.format(1, "conv"), Filters(96, 7, 2, 1)), (unit.format(1, "activ"), Rectify()),
        (unit.format(1, "norm"), Norm()), ("features.stage1.pool1", Pool(3, 2, True)),  # 110, 55
        (unit.format(2, "conv"), Filters(256, 5, 2)), (unit.format(2, "activ"), Rectify()),
        (unit.format(2, "norm"), Norm()), ("features.stage2.pool2", Pool(3, 2, True)),  # 26, 13
        (last.format(1, "conv"), Filters(maps[0], 3, 1, 1)), (last.format(1, "activ"), Rectify()),
        (last.format(2, "conv"), Filters(maps[1], 3, 1, 1)), (last.format(2, "activ"), Rectify()),
        (last.format(3, "conv"), Filters(maps[2], 3, 1, 1)), (last.format(3, "activ"), Rectify()),
        ("features.stage3.pool3", Pool(3, 2, True)), ("flatten", Flat(6)),  # 13, 6
        ("output.fc1.fc", Dense(4096)), ("output.fc1.activ", Rectify()), ("output.fc1.dropout", Drop()),
        ("output.fc2.fc", Dense(4096)), ("output.fc2.activ", Rectify()), ("output.fc2.dropout", Drop()),
        ("output.fc3", Dense(None)),
    ]  # fmt: skip


VGG = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
CHAINS = {
    "alexnet": Architecture("torchvision", alexnet()),
    **{name: Architecture("torchvision", vgg(*blocks)) for name, blocks in VGG.items()},
    **{
        f"{name}_bn": Architecture("torchvision", vgg(*blocks, norm=True))
        for name, blocks in VGG.items()
    },
    "zfnet": Architecture("pytorchcv", zfnet(384, 384, 256)),
    "zfnetb": Architecture("pytorchcv", zfnet(512, 1024, 512)),
}
