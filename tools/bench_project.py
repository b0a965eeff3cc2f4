"""Full-size projections: units of one layer down through whole maps to the pixels."""

import bench_rival as rival
import click
import numpy as np
import torch
from bench_rounds import take_turns
from bench_timing import json_option, report, rounds_option, row

from rawconv import models
from rawconv.layers import Rules

RULES = Rules("deconv", "gradient", "add")  # what a deconvnet by autograd computes


@click.command()
@click.option("--model", type=click.Choice(list(models.MODELS)), default="zfnet", show_default=True)
@click.option("--layer", default="relu5", show_default=True)
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True)
@rounds_option
@json_option
def main(model, layer, batch, rounds, path):
    """Milliseconds of `batch` pictures up to a layer, one unit of each kept, and all of them down
    to the pixels.

    The rival is PyTorch's autograd with a ReLU that is blind to its input on the way down, as
    Captum builds it, but for the whole batch at once.
    """
    net = models.build(model)
    x = np.random.default_rng(0).standard_normal((batch, *net.shape), np.float32) * 60
    seed = np.zeros((batch, *net.shapes[layer]), np.float32)
    middle = [size // 2 for size in net.shapes[layer][:2]]
    seed[np.arange(batch), middle[0], middle[1], np.arange(batch) % net.shapes[layer][2]] = 1

    def ours():
        net.deconv(seed, net.forward(x, layer)[1], RULES)

    ways = {"rawconv": ours} | {
        layout: torchs(net, x, seed, layer, layout) for layout in rival.LAYOUTS
    }
    report(
        "project", [row(f"{model} {batch} projection from {layer}", take_turns(ways, rounds))], path
    )


class Blind(torch.autograd.Function):
    """max(x, 0) up, max(r, 0) down."""

    @staticmethod
    def forward(ctx, x):
        return x.relu()

    @staticmethod
    def backward(ctx, r):
        return r.relu()


class BlindReLU(torch.nn.Module):
    def forward(self, x):
        return Blind.apply(x)


def torchs(net, x, seed, layer, layout):
    modules = rival.twin(net)[: list(net.shapes).index(layer) + 1].to(
        memory_format=rival.LAYOUTS[layout]
    )
    for i, module in enumerate(modules):
        if isinstance(module, torch.nn.ReLU):
            modules[i] = BlindReLU()
    modules.requires_grad_(False)
    x, seed = rival.tensor(x, layout).requires_grad_(), rival.tensor(seed, layout)
    return lambda: torch.autograd.grad(modules(x), x, seed)
