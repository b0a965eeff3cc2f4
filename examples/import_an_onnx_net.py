"""Look inside a net of another program.   python examples/import_an_onnx_net.py [NET.onnx] [PICTURE] [UNIT]

Without arguments: the shipped net, written as ONNX first, as if it came from elsewhere.
"""

import sys

import numpy as np
from PIL import Image

import rawconv
from rawconv import checkpoint
from rawconv.convert.read import import_net
from rawconv.convert.to_onnx import export
from rawconv.data.preprocessing import preprocess, stored_image
from rawconv.layers.softmax import softmax
from rawconv.visualize.images import display

path, image, unit = (
    *sys.argv[1:],
    *("scenes.onnx", "docs/pictures/scene.png", "conv4:17")[len(sys.argv) - 1 :],
)[:3]
if len(sys.argv) == 1:
    export(rawconv.load(), path)
found = import_net(path)  # RGB pixels in [0, 255] go in, whatever the file itself expects
print(f"{path} expects pixels {found.info['imported']['pixels']}")
checkpoint.save("imported.h5", found.net, found.info)  # for rawconv-visualize --weights imported.h5
pixels = np.asarray(Image.open(image).convert("RGB"))
scores, _ = found.net.forward(
    preprocess(found.net, stored_image(found.net, pixels)[None]), keep=False
)
p = softmax(scores).reshape(-1)
print(f"{image}: {found.net.classes[int(p.argmax())]} {p.max():.0%}")
r = rawconv.project(found.net, pixels, unit)
Image.fromarray(display(r)).resize((512, 512)).save("imported-unit.png")
print(f"imported-unit.png: {unit}, from {r.min():.3g} to {r.max():.3g}")
