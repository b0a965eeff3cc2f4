"""ResNet (He et al. 2015), ResNeXt (Xie et al. 2016: its middle layer in groups), Wide ResNet
(Zagoruyko 2016).
"""

from .steps import Architecture, Average, Dense, Filters, Pool, Rectify, Sum


def basic(name, below, short, planes, stride, **_):
    return [
        (f"{name}.conv1", Filters(planes, 3, stride, 1, norm=f"{name}.bn1", bias=False), below),
        (f"{name}.relu", Rectify()),
        (f"{name}.conv2", Filters(planes, 3, 1, 1, norm=f"{name}.bn2", bias=False)),
        *_shortcut(name, below, short, planes, stride),
        (f"{name}.add", Sum(), f"{name}.conv2", f"{name}.downsample.0" if short else below),
        (f"{name}.relu_1", Rectify()),
    ]


def bottleneck(name, below, short, planes, stride, width=64, groups=1):
    """The stride is that of the middle layer, as in torchvision."""
    inner = planes * width // 64 * groups
    return [
        (f"{name}.conv1", Filters(inner, 1, norm=f"{name}.bn1", bias=False), below),
        (f"{name}.relu", Rectify()),
        (f"{name}.conv2", Filters(inner, 3, stride, 1, groups, f"{name}.bn2", False)),
        (f"{name}.relu_1", Rectify()),
        (f"{name}.conv3", Filters(4 * planes, 1, norm=f"{name}.bn3", bias=False)),
        *_shortcut(name, below, short, 4 * planes, stride),
        (f"{name}.add", Sum(), f"{name}.conv3", f"{name}.downsample.0" if short else below),
        (f"{name}.relu_2", Rectify()),
    ]


def _shortcut(name, below, short, filters, stride):
    if not short:
        return []
    step = Filters(filters, 1, stride, norm=f"{name}.downsample.1", bias=False)
    return [(f"{name}.downsample.0", step, below)]


def resnet(block, *counts, **about):
    """counts: how many blocks each of the four stages has."""
    steps = [
        ("conv1", Filters(64, 7, 2, 3, norm="bn1", bias=False)),
        ("relu", Rectify()),
        ("maxpool", Pool(3, 2, pad=1)),
    ]
    for stage, count in enumerate(counts):
        for number in range(count):
            stride = 2 if stage and not number else 1
            short = not number and (stage > 0 or block is bottleneck)
            steps += block(
                f"layer{stage + 1}.{number}", steps[-1][0], short, 64 << stage, stride, **about
            )
    return [*steps, ("avgpool", Average()), ("fc", Dense(None))]


RESNETS = {
    name: Architecture("torchvision", resnet(*about, **more))
    for name, about, more in (
        ("resnet18", (basic, 2, 2, 2, 2), {}),
        ("resnet34", (basic, 3, 4, 6, 3), {}),
        ("resnet50", (bottleneck, 3, 4, 6, 3), {}),
        ("resnet101", (bottleneck, 3, 4, 23, 3), {}),
        ("resnet152", (bottleneck, 3, 8, 36, 3), {}),
        ("resnext50_32x4d", (bottleneck, 3, 4, 6, 3), {"width": 4, "groups": 32}),
        ("resnext101_32x8d", (bottleneck, 3, 4, 23, 3), {"width": 8, "groups": 32}),
        ("resnext101_64x4d", (bottleneck, 3, 4, 23, 3), {"width": 4, "groups": 64}),
        ("wide_resnet50_2", (bottleneck, 3, 4, 6, 3), {"width": 128}),
        ("wide_resnet101_2", (bottleneck, 3, 4, 23, 3), {"width": 128}),
    )
}
