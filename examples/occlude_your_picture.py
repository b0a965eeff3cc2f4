"""Where does the net look?  Cover each place and see what becomes of the class.   ... [PICTURE]"""

import sys

import numpy as np
from PIL import Image

import rawconv
from rawconv.data.preprocessing import preprocess, stored_image
from rawconv.layers.softmax import softmax

SIDE, STEP = 16, 4  # pixels of the grey square, and between its places
net = rawconv.load()
image = stored_image(
    net, np.asarray(Image.open((sys.argv[1:] or ["docs/pictures/scene.png"])[0]).convert("RGB"))
)
places = range(0, image.shape[0] - SIDE + 1, STEP)
covered = np.stack([image] * (len(places) ** 2 + 1))
for k, (y, x) in enumerate((y, x) for y in places for x in places):
    covered[k, y : y + SIDE, x : x + SIDE] = 128
p = softmax(net.forward(preprocess(net, covered), keep=False)[0]).reshape(len(covered), -1)
best = int(p[-1].argmax())
kept = p[:-1, best].reshape(len(places), -1)
Image.fromarray(np.uint8(255 * kept)).resize((512, 512), Image.Resampling.NEAREST).save(
    "occluded.png"
)
y, x = np.unravel_index(kept.argmin(), kept.shape)
print(
    f"{net.classes[best]} {p[-1, best]:.0%}; covered at row {y * STEP}, column {x * STEP}: {kept.min():.0%}"
)
