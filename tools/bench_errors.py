"""How far convolutions in single precision are from double, by each algorithm and by PyTorch."""

import bench_rival as rival
import click
import numpy as np
import torch
from bench_timing import conditions, machine

from rawconv import models
from rawconv.layers import Execution
from rawconv.layers.conv import Conv
from rawconv.layers.cpu import CHOICES


@click.command()
@click.option("--model", type=click.Choice(list(models.MODELS)), default="zfnet", show_default=True)
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True)
def main(model, batch):
    """The largest error of every pass of every convolution, relative to the largest value, as a Markdown table.

    Of random numbers, those that go in without the negative ones.  In brackets: over PyTorch's error.
    """
    names = [name for name in CHOICES if name != "auto"]
    click.echo(f"| pass | PyTorch | {' | '.join(names)} |\n{'|---' * (2 + len(names))}|")
    net = models.build(model)
    shape = net.shape
    for name, layer in net.layers:
        if isinstance(layer, Conv) and layer.window.size != shape[:2]:
            for what, theirs, ours in errors(layer, shape, batch, names):
                cells = [f"{error:.1e} ({error / theirs:.1f})" for error in ours]
                click.echo(f"| {name} {what} | {theirs:.1e} | {' | '.join(cells)} |")
        shape = net.shapes[name]
    click.echo(conditions(machine()))


def errors(layer, shape, batch, algorithms):
    """[(pass, PyTorch's error, [ours by each algorithm])]"""
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((batch, *shape), np.float32), 0)
    dy = rng.standard_normal((batch, *layer.out_shape(shape)), np.float32)
    want = torchs(layer, x, dy, torch.float64)
    theirs = [
        distance(*both) for both in zip(torchs(layer, x, dy, torch.float32), want, strict=True)
    ]
    ours = []
    for name in algorithms:
        execution = Execution(name)
        y, cache = layer.forward(x, execution=execution)
        made = (
            y,
            layer.transpose(dy, shape[:2], execution),
            layer.parameter_gradients(dy, cache)["weight"],
        )
        ours.append([distance(*both) for both in zip(made, want, strict=True)])
    passes = ("up", "back to x", "back to weight")
    return [
        (what, own, [found[k] for found in ours])
        for k, (what, own) in enumerate(zip(passes, theirs, strict=True))
    ]


def torchs(layer, x, dy, dtype):
    """y, dx and dweight as arrays like ours, by PyTorch."""
    module = rival.module(layer, x.shape[1:], exact=True).to(
        dtype, memory_format=torch.channels_last
    )
    inputs = rival.tensor(x, "channels_last").to(dtype).requires_grad_()
    y, weight = module(inputs), module[1].weight
    dx, dweight = torch.autograd.grad(
        y, (inputs, weight), rival.tensor(dy, "channels_last").to(dtype)
    )
    return [
        one.detach().permute(order).numpy()
        for one, order in ((y, MAPS), (dx, MAPS), (dweight, FILTERS))
    ]


MAPS, FILTERS = (0, 2, 3, 1), (2, 3, 1, 0)  # from PyTorch's order of axes to ours


def distance(got, want):
    return float(np.abs(got - want).max() / np.abs(want).max())


if __name__ == "__main__":
    main()
