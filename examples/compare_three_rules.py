"""The same unit by the three rules, side by side.   python examples/compare_three_rules.py [PICTURE] [UNIT]"""

import sys

import numpy as np
from PIL import Image

import rawconv
from rawconv.layers import Rules
from rawconv.visualize.images import display

path, unit = (*sys.argv[1:], *("docs/pictures/scene.png", "conv4:17")[len(sys.argv) - 1 :])[:2]
net = rawconv.load()
image = np.asarray(Image.open(path).convert("RGB"))
rules = {
    "gradient": Rules(relu="gradient", lrn="gradient"),  # Simonyan 2013
    "deconv": Rules(),  # Zeiler & Fergus 2013
    "guided": Rules(relu="guided"),  # Springenberg 2014
}
found = {name: rawconv.project(net, image, unit, rules=rule) for name, rule in rules.items()}
Image.fromarray(np.hstack([display(r) for r in found.values()])).save("three-rules.png")
for name, r in found.items():
    print(f"{name:9s} not zero in {np.mean(r != 0):.0%} of the picture")
