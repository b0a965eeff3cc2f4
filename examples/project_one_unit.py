"""What does one unit of a net see in your picture?   python examples/project_one_unit.py [PICTURE] [UNIT]"""

import sys

import numpy as np
from PIL import Image

import rawconv
from rawconv.visualize.images import display

path, unit = (*sys.argv[1:], *("docs/pictures/scene.png", "conv4:17")[len(sys.argv) - 1 :])[:2]
net = rawconv.load()
image = np.asarray(Image.open(path).convert("RGB"))
r = rawconv.project(net, image, unit)  # signed, (H, W, 3)
Image.fromarray(display(r)).resize((512, 512)).save("one-unit.png")
print(f"one-unit.png: {unit}, from {r.min():.3g} to {r.max():.3g}")
