"""Figure 7's map of P(true class), batched, against Captum's Occlusion (pip install torch captum)."""

import json
import statistics
import time

import bench_rival
import bench_torchvision
import click
import numpy as np
import torch
from bench_contention import disturbance, told
from bench_rounds import ratios, take_turns
from bench_timing import conditions, machine, ratio_text
from bench_visualize import noise, paper_net

from rawconv.convert.from_torch import IMAGENET
from rawconv.data.preprocessing import preprocess
from rawconv.experiments.occlusion import AT_ONCE, changes
from rawconv.experiments.subject import filling
from rawconv.layers.softmax import softmax
from rawconv.machine.arrays import to_cpu
from rawconv.machine.threads import cut
from rawconv.visualize import perturbed
from rawconv.visualize.forward_pass import ForwardPass

SQUARE = 50
BATCHES = (4, 16, 64)  # of Captum, with the channels first and last: the fastest is used


@click.command()
@click.option("--quick", is_flag=True, help="Every 29th pixel and 1 round: to see that it runs.")
@click.option("--rounds", type=click.IntRange(1), help="[5; quick: 1]")
@click.option("--net", "name", default="zfnet", show_default=True, help="Or a torchvision model.")
@click.option("--stride", type=click.IntRange(1), default=6, show_default=True, help="Pixels.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
def main(quick, rounds, name, stride, as_json):
    """P(one class) with a square of 50 pixels slid over a picture of 224: at 900 places, every 6
    pixels, through all of ZFNet, or of a torchvision model with its batch norm folded.

    Random weights, whose scores are scaled so that P varies, and random pixels.  Ours computes
    again what the square reaches; whole: ours through whole pictures; Captum at the best of three
    batch sizes and two memory layouts.
    """
    stride, rounds = 29 if quick else stride, rounds or (1 if quick else 5)
    if name == "zfnet":
        net = paper_net()
        net[net.output].weight *= np.float32(0.2)
        theirs, scale = rival(net), np.float32(1)
    else:
        net, theirs = bench_torchvision.pair(name)
        scale = 255 * np.array(IMAGENET[1], np.float32)
    image, boxes = noise(1).read([0])[0], windows(net.shape[0], stride)
    label = int(net.forward(preprocess(net, image[None]))[0].argmax())
    captum = Captum(net, theirs, scale, image, label)
    batch, layout = captum.fastest()
    ways = {
        "ours": lambda: ours(net, image, boxes, label),
        "whole": lambda: whole(net, image, boxes[:: len(boxes) // 32][:32], label),
        "captum": lambda: captum.map(stride, batch, layout),
    }
    found = {}
    timed = take_turns(
        {way: lambda way=way: found.update({way: ways[way]()}) for way in ways}, rounds
    )
    results = summary(found, timed, len(boxes)) | {"captum_batch": batch, "captum_layout": layout}
    click.echo(json.dumps(results) if as_json else lines(results))


def windows(length, stride):
    """Boxes (n, 4) inside a picture, as Captum places them."""
    tops = np.arange(0, length - SQUARE + 1, stride)
    tops = np.stack(np.meshgrid(tops, tops, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.hstack([tops, tops + SQUARE])


def ours(net, image, boxes, label):
    x, grey = (preprocess(net, p[None]) for p in (image, filling(net, "128")))
    maps = ForwardPass(net, x).maps
    scores = [
        perturbed.forward(net, maps, *changes(x, grey, boxes[p]), [net.output])[net.output]
        for p in cut(len(boxes), AT_ONCE)
    ]
    return to_cpu(softmax(np.concatenate(scores))).reshape(len(boxes), -1)[:, label]


def whole(net, image, boxes, label):
    x, grey = (preprocess(net, p[None]) for p in (image, filling(net, "128")))
    x = np.repeat(x, len(boxes), axis=0)
    for one, (top, left, bottom, right) in zip(x, boxes, strict=True):
        one[top:bottom, left:right] = grey[0, top:bottom, left:right]
    return to_cpu(softmax(net.forward(x, keep=False)[0])).reshape(len(boxes), -1)[:, label]


def rival(net):
    """The net in PyTorch: zeros exactly where ours has them, and products where a filter covers its
    whole input.
    """
    modules, shape = [], net.shape
    for name, layer in net.layers:
        covers = getattr(layer, "window", None) and layer.window.size == shape[:2]
        if covers and shape[:2] != (1, 1):
            modules.append(torch.nn.Flatten())
        modules.append(
            bench_rival.linear(layer, shape)
            if covers
            else bench_rival.module(layer, shape, exact=True)
        )
        shape = net.shapes[name]
    return torch.nn.Sequential(*modules).eval()


class Captum:
    """A module of PyTorch, and what it said at every place of the square.  scale: of its pixels over ours."""

    def __init__(self, net, module, scale, image, label):
        self.net, self.label, self.seen = module, label, []
        self.x, self.grey = (preprocess(net, p[None]) / scale for p in (image, filling(net, "128")))

    def _probabilities(self, x):
        p = self.net(x).flatten(1).softmax(1)
        self.seen.append(p[:, self.label].numpy().copy())
        return p

    def map(self, stride, batch, layout):
        from captum.attr import Occlusion

        self.net.to(memory_format=bench_rival.LAYOUTS[layout])
        self.seen = []
        x, grey = (bench_rival.tensor(one, layout) for one in (self.x, self.grey))
        with torch.no_grad():
            Occlusion(self._probabilities).attribute(
                x,
                (3, SQUARE, SQUARE),
                (3, stride, stride),
                grey,
                self.label,
                perturbations_per_eval=batch,
            )
        p = np.concatenate(self.seen[1:])  # the first is of the picture as it is
        side = round(len(p) ** 0.5)
        return p.reshape(side, side).T.ravel()  # Captum goes down the columns

    def fastest(self):
        """(batch, layout) that takes least for 64 places."""
        seconds = {}
        for layout in bench_rival.LAYOUTS:
            for batch in BATCHES:
                begin = time.perf_counter()
                self.map(25, batch, layout)
                seconds[batch, layout] = time.perf_counter() - begin
        return min(seconds, key=seconds.get)


def summary(found, timed, places):
    import captum

    each = {way: [s / len(found[way]) for s in taken] for way, taken in timed.seconds.items()}
    median, shortest = ratios(each["captum"], each["ours"])
    return {
        "places": places, "places_a_second": {way: [1 / s for s in taken] for way, taken in each.items()},
        "times_captum": median, "times_captum_shortest": shortest, **disturbance(timed.shares),
        "largest_difference": float(np.abs(found["ours"] - found["captum"]).max()),
        "p": [float(found["captum"].min()), float(found["captum"].max())],
        **machine(), "captum": captum.__version__,
    }  # fmt: skip


def lines(r):
    text = [f"{'way':10}{'places/s':>10}{'lowest':>9}{'highest':>9}"]
    for way, rates in r["places_a_second"].items():
        text.append(f"{way:10}{statistics.median(rates):10.2f}{min(rates):9.2f}{max(rates):9.2f}")
    times = f"{ratio_text(r['times_captum'])} ({ratio_text(r['times_captum_shortest'])})"
    p = "{:.3f} to {:.3f}".format(*r["p"])
    text.append(
        f"ours / captum {times}, of medians (of the shortest rounds) in turns over {r['places']} places, "
        f"{told(r)}; "
        f"captum by {r['captum_batch']}, {r['captum_layout']}; P from {p}, "
        f"largest difference {r['largest_difference']:.1e}; "
        f"{conditions(r)}, Captum {r['captum']}"
    )
    return "\n".join(text)
