"""Look into a model of PyTorch.   python examples/look_into_a_torch_model.py [PICTURE] [UNIT]

The model is a small one with a shortcut, untrained: put your own in its place, with its size of pictures.
"""

import sys

import torch
from PIL import Image

import rawconv


class Net(torch.nn.Module):
    """Two convolutions and a shortcut around the second; five classes."""

    def __init__(self):
        super().__init__()
        self.low = torch.nn.Conv2d(3, 16, 5, stride=2, padding=2)
        self.high = torch.nn.Conv2d(16, 16, 3, padding=1)
        self.fc = torch.nn.Linear(16, 5)

    def forward(self, x):
        x = self.low(x).relu()
        x = (x + self.high(x)).relu()
        return self.fc(x.mean((2, 3)))


torch.manual_seed(0)
image, unit = (*sys.argv[1:], *("docs/pictures/scene.png", "high:3")[len(sys.argv) - 1 :])[:2]
net = rawconv.from_torch(Net(), size=64)
r = rawconv.project(net, image, unit)  # signed, (H, W, 3)
Image.fromarray(rawconv.display(r)).save("torch-unit.png")
print(f"torch-unit.png: {unit}, from {r.min():.3g} to {r.max():.3g}")
