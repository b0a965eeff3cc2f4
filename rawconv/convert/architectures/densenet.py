"""DenseNet (Huang et al. 2016): each layer takes all before it in its block; batch norm comes
before convolutions.
"""

from .steps import Architecture, Average, Dense, Filters, Join, Pool, Rectify, Scale


def dense_layer(name, growth, inputs):
    norm = f"{name}.norm2"
    join = [(f"{name}.concat", Join(), *inputs)] if len(inputs) > 1 else []
    below = [] if join else inputs
    return [
        *join, (f"{name}.norm1", Scale(), *below), (f"{name}.relu1", Rectify()),
        (f"{name}.conv1", Filters(4 * growth, 1, norm=norm, bias=False)), (f"{name}.relu2", Rectify()),
        (f"{name}.conv2", Filters(growth, 3, 1, 1, bias=False)),
    ]  # fmt: skip


def densenet(growth, counts, first):
    """growth: maps that each layer adds.  counts: layers of each block.  first: maps of the first
    convolution.
    """
    steps = [
        ("features.conv0", Filters(first, 7, 2, 3, norm="features.norm0", bias=False)),
        ("features.relu0", Rectify()), ("features.pool0", Pool(3, 2, pad=1)),
    ]  # fmt: skip
    maps = first
    for number, count in enumerate(counts, 1):
        block, inputs = f"features.denseblock{number}", [steps[-1][0]]
        for layer in range(1, count + 1):
            steps += dense_layer(f"{block}.denselayer{layer}", growth, inputs)
            inputs = [*inputs, steps[-1][0]]
        steps.append((f"{block}.concat", Join(), *inputs))
        maps += count * growth
        if number < len(counts):
            name, maps = f"features.transition{number}", maps // 2
            steps += [
                (f"{name}.norm", Scale()), (f"{name}.relu", Rectify()), (f"{name}.conv", Filters(maps, 1, bias=False)),
                (f"{name}.pool", Average(2, 2)),
            ]  # fmt: skip
    return [
        *steps,
        ("features.norm5", Scale()),
        ("relu", Rectify()),
        ("avgpool", Average()),
        ("classifier", Dense(None)),
    ]


DENSENETS = {
    name: Architecture("torchvision", densenet(*about))
    for name, *about in (
        ("densenet121", 32, (6, 12, 24, 16), 64),
        ("densenet161", 48, (6, 12, 36, 24), 96),
        ("densenet169", 32, (6, 12, 32, 32), 64),
        ("densenet201", 32, (6, 12, 48, 32), 64),
    )
}
