"""Small nets in PyTorch, with the structure and the names of torchvision's AlexNet and VGG and of
pytorchcv's ZFNet.
"""

import torch
from torch import nn


class Vision(nn.Module):
    """torchvision's form: features, an adaptive average pool, classifier."""

    def __init__(self, features, size, classifier):
        super().__init__()
        self.features, self.avgpool, self.classifier = (
            features,
            nn.AdaptiveAvgPool2d(size),
            classifier,
        )

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def alexnet(maps=(8, 9, 10, 11, 12), fc=16, classes=5):
    a, b, c, d, e = maps
    return Vision(
        nn.Sequential(
            nn.Conv2d(3, a, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(b, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, d, 3, padding=1), nn.ReLU(),
            nn.Conv2d(d, e, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        ),
        6,
        nn.Sequential(
            nn.Dropout(), nn.Linear(e * 36, fc), nn.ReLU(), nn.Dropout(), nn.Linear(fc, fc + 1), nn.ReLU(),
            nn.Linear(fc + 1, classes),
        ),
    )  # fmt: skip


CONFIGURATIONS = {
    "vgg11": "1 P 2 P 33 P 44 P 44 P", "vgg13": "11 P 22 P 33 P 44 P 44 P",
    "vgg16": "11 P 22 P 333 P 444 P 444 P", "vgg19": "11 P 22 P 3333 P 4444 P 4444 P",
}  # fmt: skip


def vgg(name, norm=False, maps=(4, 5, 6, 7), fc=16, classes=5):
    layers, channels = [], 3
    for letter in CONFIGURATIONS[name].replace(" ", ""):
        if letter == "P":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        filters = maps[int(letter) - 1]
        layers += [
            nn.Conv2d(channels, filters, 3, padding=1),
            *([nn.BatchNorm2d(filters)] if norm else []),
            nn.ReLU(),
        ]
        channels = filters
    classifier = nn.Sequential(
        nn.Linear(channels * 49, fc), nn.ReLU(), nn.Dropout(), nn.Linear(fc, fc), nn.ReLU(), nn.Dropout(),
        nn.Linear(fc, classes),
    )  # fmt: skip
    return Vision(nn.Sequential(*layers), 7, classifier)


class Unit(nn.Module):
    def __init__(self, channels, filters, size, stride, pad, norm):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, filters, size, stride, pad), norm

    def forward(self, x):
        x = self.conv(x).relu()
        return nn.functional.local_response_norm(x, 5, k=2.0) if self.norm else x


class Dense(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.fc(x).relu()


class ZFNet(nn.Module):
    """pytorchcv's zfnet and zfnetb: features.stage1.unit1.conv ... output.fc3."""

    def __init__(self, maps=(8, 9, 10, 11, 12), fc=16, classes=5):
        super().__init__()
        a, b, c, d, e = maps
        stages = [
            [Unit(3, a, 7, 2, 1, True)],
            [Unit(a, b, 5, 2, 0, True)],
            [Unit(b, c, 3, 1, 1, False), Unit(c, d, 3, 1, 1, False), Unit(d, e, 3, 1, 1, False)],
        ]
        self.features = nn.Sequential()
        for i, units in enumerate(stages, 1):
            stage = nn.Sequential()
            for j, unit in enumerate(units, 1):
                stage.add_module(f"unit{j}", unit)
            stage.add_module(f"pool{i}", nn.MaxPool2d(3, 2, ceil_mode=True))
            self.features.add_module(f"stage{i}", stage)
        self.output = nn.Module()
        self.output.fc1, self.output.fc2, self.output.fc3 = (
            Dense(36 * e, fc),
            Dense(fc, fc),
            nn.Linear(fc, classes),
        )

    def forward(self, x):
        return self.output.fc3(self.output.fc2(self.output.fc1(self.features(x).flatten(1))))


def random(net, seed=0):
    """`net` in eval mode with weights of a size that keeps its maps near 1, and batch norms that do
    something.
    """
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
            nn.init.normal_(module.bias, std=0.3)
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.bias, module.running_mean):
                nn.init.normal_(tensor, std=0.3)
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.5, 2)
    return net.eval()
