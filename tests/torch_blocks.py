"""The blocks of nets that branch, small, in PyTorch: with the operators and the names of torchvision's."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F


class Basic(nn.Module):
    """ResNet's block: two convolutions beside nothing, or beside a convolution of 1x1."""

    def __init__(self, channels, filters, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(filters), nn.ReLU()
        self.conv2, self.bn2 = (
            nn.Conv2d(filters, filters, 3, 1, 1, bias=False),
            nn.BatchNorm2d(filters),
        )
        short = nn.Sequential(
            nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
        )
        self.downsample = short if stride > 1 or channels != filters else None

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """ResNet-50's and, in groups, ResNeXt's."""

    def __init__(self, channels, width, stride=1, groups=1, short=True):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
        self.bn2, self.relu = nn.BatchNorm2d(width), nn.ReLU()
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        conv = nn.Conv2d(channels, 4 * width, 1, stride, bias=False)
        self.downsample = nn.Sequential(conv, nn.BatchNorm2d(4 * width)) if short else None

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(out)))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, *layers, classes=5, maps=16):
        super().__init__()
        self.conv1, self.bn1, self.relu = (
            nn.Conv2d(3, 6, 7, 2, 3, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
        )
        self.maxpool, self.avgpool = nn.MaxPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(1)
        for number, layer in enumerate(layers, 1):
            setattr(self, f"layer{number}", layer)
        self.layers = len(layers)
        self.fc = nn.Linear(maps, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for number in range(1, self.layers + 1):
            x = getattr(self, f"layer{number}")(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Fire(nn.Module):
    def __init__(self, channels, squeeze, expand):
        super().__init__()
        self.squeeze, self.squeeze_activation = nn.Conv2d(channels, squeeze, 1), nn.ReLU()
        self.expand1x1, self.expand1x1_activation = nn.Conv2d(squeeze, expand, 1), nn.ReLU()
        self.expand3x3, self.expand3x3_activation = (
            nn.Conv2d(squeeze, expand, 3, padding=1),
            nn.ReLU(),
        )

    def forward(self, x):
        x = self.squeeze_activation(self.squeeze(x))
        parts = (
            self.expand1x1_activation(self.expand1x1(x)),
            self.expand3x3_activation(self.expand3x3(x)),
        )
        return torch.cat(parts, 1)


class Squeeze(nn.Module):
    """Its scores are an average above a ReLU."""

    def __init__(self, classes=5):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(6, 3, 4), Fire(8, 3, 5),
            nn.MaxPool2d(3, 2, ceil_mode=True), Fire(10, 4, 6),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(12, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        )

    def forward(self, x):
        return torch.flatten(self.classifier(self.features(x)), 1)


class DenseLayer(nn.Module):
    """Batch norm before the ReLU and before the convolution."""

    def __init__(self, channels, growth):
        super().__init__()
        self.norm1, self.relu1 = nn.BatchNorm2d(channels), nn.ReLU()
        self.conv1 = nn.Conv2d(channels, 2 * growth, 1, bias=False)
        self.norm2, self.relu2 = nn.BatchNorm2d(2 * growth), nn.ReLU()
        self.conv2 = nn.Conv2d(2 * growth, growth, 3, padding=1, bias=False)

    def forward(self, features):
        x = self.conv1(self.relu1(self.norm1(torch.cat(features, 1))))
        return self.conv2(self.relu2(self.norm2(x)))


class DenseBlock(nn.ModuleDict):
    def __init__(self, count, channels, growth):
        super().__init__(
            {f"denselayer{k + 1}": DenseLayer(channels + k * growth, growth) for k in range(count)}
        )

    def forward(self, x):
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


class Transition(nn.Sequential):
    def __init__(self, channels, filters):
        super().__init__()
        self.norm, self.relu = nn.BatchNorm2d(channels), nn.ReLU()
        self.conv, self.pool = nn.Conv2d(channels, filters, 1, bias=False), nn.AvgPool2d(2, 2)


class Dense(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        parts = {
            "conv0": nn.Conv2d(3, 6, 7, 2, 3, bias=False), "norm0": nn.BatchNorm2d(6), "relu0": nn.ReLU(),
            "pool0": nn.MaxPool2d(3, 2, 1), "denseblock1": DenseBlock(2, 6, 3), "transition1": Transition(12, 6),
            "denseblock2": DenseBlock(2, 6, 3), "norm5": nn.BatchNorm2d(12),
        }  # fmt: skip
        self.features, self.classifier = nn.Sequential(OrderedDict(parts)), nn.Linear(12, classes)

    def forward(self, x):
        x = F.adaptive_avg_pool2d(F.relu(self.features(x)), (1, 1))
        return self.classifier(torch.flatten(x, 1))


class Unit(nn.Module):
    """GoogLeNet's and Inception's BasicConv2d."""

    def __init__(self, channels, filters, size, **about):
        super().__init__()
        self.conv, self.bn = (
            nn.Conv2d(channels, filters, size, bias=False, **about),
            nn.BatchNorm2d(filters, eps=1e-3),
        )

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.branch1 = Unit(channels, 3, 1)
        self.branch2 = nn.Sequential(Unit(channels, 3, 1), Unit(3, 4, 3, padding=1))
        self.branch3 = nn.Sequential(
            Unit(channels, 3, (1, 7), padding=(0, 3)), Unit(3, 3, (7, 1), padding=(3, 0))
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), Unit(channels, 2, 1))
        self.branch_pool = Unit(channels, 2, 1)

    def forward(self, x):
        pooled = self.branch_pool(F.avg_pool2d(x, 3, 1, 1))
        return torch.cat(
            [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x), pooled], 1
        )


class Google(nn.Module):
    """transform_input takes ImageNet's mean and deviation back, a channel at a time; a head more
    while training.
    """

    def __init__(self, classes=5):
        super().__init__()
        self.conv1, self.maxpool1 = (
            Unit(3, 6, 7, stride=2, padding=3),
            nn.MaxPool2d(3, 2, ceil_mode=True),
        )
        self.inception3a, self.inception3b = Inception(6), Inception(14)
        self.avgpool, self.dropout, self.fc = (
            nn.AdaptiveAvgPool2d(1),
            nn.Dropout(0.2),
            nn.Linear(14, classes),
        )
        self.aux1 = nn.Linear(14, classes)

    def forward(self, x):
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        x = torch.cat(
            [
                torch.unsqueeze(x[:, c], 1) * (std[c] / 0.5) + (mean[c] - 0.5) / 0.5
                for c in range(3)
            ],
            1,
        )
        x = self.inception3b(self.inception3a(self.maxpool1(self.conv1(x))))
        scores = self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
        return (scores, self.aux1(x.mean((2, 3)))) if self.training else scores


class Inverted(nn.Module):
    """MobileNetV2's block: wide inside, filters of one channel, and no ReLU at its end."""

    def __init__(self, channels, filters, stride, expand=3):
        super().__init__()
        hidden = expand * channels
        self.adds = stride == 1 and channels == filters
        first = [
            nn.Sequential(
                nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()
            )
        ]
        wide = nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False)
        self.conv = nn.Sequential(
            *(first if expand > 1 else []), nn.Sequential(wide, nn.BatchNorm2d(hidden), nn.ReLU6()),
            nn.Conv2d(hidden, filters, 1, bias=False), nn.BatchNorm2d(filters),
        )  # fmt: skip

    def forward(self, x):
        return x + self.conv(x) if self.adds else self.conv(x)


class Mobile(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU6())
        self.features = nn.Sequential(
            stem, Inverted(6, 4, 1, 1), Inverted(4, 6, 2), Inverted(6, 6, 1)
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(6, classes))

    def forward(self, x):
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), (1, 1)).flatten(1))


NETS = {
    "resnet": lambda: ResNet(nn.Sequential(Basic(6, 6), Basic(6, 6)), nn.Sequential(Basic(6, 16, 2), Basic(16, 16))),
    "bottleneck": lambda: ResNet(nn.Sequential(Bottleneck(6, 4), Bottleneck(16, 4, 2))),
    "resnext": lambda: ResNet(nn.Sequential(Bottleneck(6, 4, 2, groups=2))),
    "squeezenet": Squeeze, "densenet": Dense, "googlenet": Google, "mobilenet": Mobile,
}  # fmt: skip


# The whole nets, narrow


def resnet18(classes=5):
    pairs = [(6, 6, 1), (6, 7, 2), (7, 8, 2), (8, 9, 2)]
    return ResNet(
        *(nn.Sequential(Basic(c, f, s), Basic(f, f)) for c, f, s in pairs), classes=classes, maps=9
    )


def resnext(counts=(3, 4, 6, 3), classes=5):
    """resnext50_32x4d: 32 groups of one channel each."""
    layers, channels = [], 6
    for count, stride in zip(counts, (1, 2, 2, 2), strict=True):
        blocks = [Bottleneck(channels, 32, stride, 32)]
        blocks += [Bottleneck(128, 32, 1, 32, short=False) for _ in range(count - 1)]
        layers, channels = [*layers, nn.Sequential(*blocks)], 128
    return ResNet(*layers, classes=classes, maps=128)


def squeezenet1_1(classes=5):
    net = Squeeze(classes)
    pool, fires = (
        lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
        [Fire(6, 3, 4), *(Fire(8, 3, 4) for _ in range(7))],
    )
    net.features = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2),
        nn.ReLU(),
        pool(),
        *fires[:2],
        pool(),
        *fires[2:4],
        pool(),
        *fires[4:],
    )
    net.classifier[1] = nn.Conv2d(8, classes, 1)
    return net


def densenet121(classes=5, growth=2):
    net, maps = Dense(classes), 6
    parts = list(net.features.named_children())[:4]
    for number, count in enumerate((6, 12, 24, 16), 1):
        parts.append((f"denseblock{number}", DenseBlock(count, maps, growth)))
        maps += count * growth
        if number < 4:
            parts.append((f"transition{number}", Transition(maps, maps // 2)))
            maps //= 2
    net.features = nn.Sequential(OrderedDict([*parts, ("norm5", nn.BatchNorm2d(maps))]))
    net.classifier = nn.Linear(maps, classes)
    return net


def mobilenet_v2(classes=5):
    net, channels = Mobile(classes), 6
    blocks = [net.features[0]]
    for expand, filters, count, stride in (
        (1, 4, 1, 1), (2, 5, 2, 2), (2, 5, 3, 2), (2, 6, 4, 2), (2, 7, 3, 1), (2, 8, 3, 2), (2, 9, 1, 1),
    ):  # fmt: skip
        for number in range(count):
            blocks.append(Inverted(channels, filters, 1 if number else stride, expand))
            channels = filters
    last = nn.Sequential(nn.Conv2d(9, 10, 1, bias=False), nn.BatchNorm2d(10), nn.ReLU6())
    net.features, net.classifier[1] = nn.Sequential(*blocks, last), nn.Linear(10, classes)
    return net


class Module(nn.Module):
    """GoogLeNet's own, of 4 * 3 maps."""

    def __init__(self, channels):
        super().__init__()
        self.branch1 = Unit(channels, 3, 1)
        self.branch2 = nn.Sequential(Unit(channels, 2, 1), Unit(2, 3, 3, padding=1))
        self.branch3 = nn.Sequential(Unit(channels, 2, 1), Unit(2, 3, 3, padding=1))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), Unit(channels, 3, 1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class GoogLeNet(nn.Module):
    """With the tensors of a head that only training uses."""

    def __init__(self, classes=5):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (
            Unit(3, 6, 7, stride=2, padding=3),
            Unit(6, 6, 1),
            Unit(6, 6, 3, padding=1),
        )
        self.pools, channels = {"3a": 3, "4a": 3, "5a": 2}, 6
        for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
            setattr(self, f"inception{name}", Module(channels))
            channels = 12
        self.aux1, self.fc = nn.Linear(12, classes), nn.Linear(12, classes)

    def forward(self, x):
        x = self.conv3(self.conv2(F.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)))
        for name, module in self.named_children():
            if name.startswith("inception"):
                size = self.pools.get(name[-2:])
                x = module(F.max_pool2d(x, size, 2, ceil_mode=True) if size else x)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


WHOLE = {
    "resnet18": resnet18, "resnext50_32x4d": resnext, "squeezenet1_1": squeezenet1_1, "densenet121": densenet121,
    "mobilenet_v2": mobilenet_v2, "googlenet": GoogLeNet,
}  # fmt: skip


def calibrated(net, side=32, seed=0, channels=3):
    """The net in eval mode, with weights that keep its maps alive and its batch norms' statistics
    those of a batch.
    """
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.1, 0.3)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            module.momentum = None  # the statistics are the mean over all batches, here of one
    norms = [module for module in net.eval().modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        module.reset_running_stats()
        module.train()  # alone: heads that only training has want larger images
    with torch.no_grad():
        net(torch.randn(8, channels, side, side))
    return net.eval()


def outputs(net, x):
    """(scores, {path of a module without children: what it made}); used again, a module is called
    path_1, path_2.
    """
    found = {}

    def hook(path):
        def keep(module, given, made):
            name, number = path, 0
            while name in found:
                number += 1
                name = f"{path}_{number}"
            found[name] = made.detach().clone()

        return keep

    hooks = [
        m.register_forward_hook(hook(path))
        for path, m in net.named_modules()
        if path and not list(m.children())
    ]
    with torch.no_grad():
        scores = net(x)
    for one in hooks:
        one.remove()
    return scores, found
