"""A page of the small net on random pictures, and what stands in it: for the tests of the report."""

import base64
import io
import json
import re

import numpy as np
from PIL import Image
from test_deconvnet import image
from test_visualize_cli import small_net

from rawconv.data import DataSet, Split
from rawconv.report import html
from rawconv.report.look import LOOK
from rawconv.report.winners import project_winners
from rawconv.visualize.top_activations import scan
from rawconv.visualize.units import layer_object

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)> & 'quotes' \u2028 {{data}}"
)
CLASSES = ["n02129165_lion", HOSTILE]
HISTORY = [
    {"epoch": k, "lr": 0.01, **{f"{part}_{what}": 1 / k if what == "loss" else 1 - 1 / (k + 1)
     for part in ("train", "val") for what in ("loss", "top1", "top5")}} for k in range(1, 6)
]  # fmt: skip
INFO = {
    "data": "somewhere/pictures",
    "recipe": {"epochs": 5, "lr": 0.01},
    "seed": 3,
    "history": HISTORY,
}


def net_of(seed=0):
    net = small_net(seed)
    net.classes = CLASSES
    return net


def data_of(count=12, names=None):
    images = np.stack([image(seed=k) for k in range(count)])
    names = names or [f"picture {k}" for k in range(count)]
    split = Split(images.__getitem__, np.arange(count) % 2, names, (26, 26, 3))
    return DataSet("random", "nowhere", CLASSES, split, split)


def make(
    net=None, layers=("conv1", "conv2", "scores"), maps=None, look=LOOK, info=INFO, data=None, count=4,
    **more,
):  # fmt: skip
    net, data = net or net_of(), data or data_of()
    found = scan(
        net, data.val, [layer_object(net, layer) for layer in layers], count, progress=False
    )
    wanted = html.units_of_page(net, found, maps, count)
    _, ways = project_winners(net, data.val, found, [], look, wanted)
    return html.report(
        net, info, data, data.val, html.Shown(found, maps or {}, ways), look, count, **more
    ), found


def data_in(page):
    return json.loads(
        re.search(rb'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1]
    )


def pixels(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
