"""Every layer of a net alone, every pass: up, back to its input, back to its parameters."""

import math

import bench_rival as rival
import click
import numpy as np
import torch
from bench_contention import told
from bench_rounds import take_turns
from bench_timing import json_option, report, rounds_option, row

from rawconv import models
from rawconv.layers import Execution
from rawconv.layers.conv import Conv
from rawconv.layers.relu import ReLU


@click.command()
@click.option("--model", type=click.Choice(list(models.MODELS)), default="zfnet", show_default=True)
@click.option("--batch", type=click.IntRange(1), help="[32 for pictures of 224 pixels, else 128]")
@click.option(
    "--only", default="", help="Layers whose names start with one of these, e.g. conv,pool."
)
@click.option("--algorithm", default="auto", show_default=True, help="rawconv's --conv.")
@rounds_option
@json_option
def main(model, batch, only, algorithm, rounds, path):
    """Milliseconds of every pass of every layer, against PyTorch in both memory formats."""
    net, rows = models.build(model), []
    shape, starts = net.shape, tuple(only.split(","))
    batch = batch or (32 if shape[0] == 224 else 128)
    for name, layer in net.layers:
        if name.startswith(starts):
            how = {"execution": Execution(algorithm)} if isinstance(layer, Conv) else {}
            rows += layer_rows(
                f"{model} {name}", layer, shape, batch, rounds, how, name == net.layers[0][0]
            )
        shape = net.shapes[name]
    report("layers", rows, path, model=model, batch=batch)


def layer_rows(name, layer, shape, batch, rounds, how, lowest):
    """The passes of one layer on random numbers; the lowest's way back to the pixels is not asked
    for in training.
    """
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *shape), np.float32)
    dy = rng.standard_normal((batch, *layer.out_shape(shape)), np.float32)
    ways = {"rawconv": ours(layer, x, dy, how)}
    ways |= {layout: torchs(layer, x, dy, layout) for layout in rival.LAYOUTS}
    flops = (
        2 * batch * math.prod(layer.out_shape(shape)) * math.prod(layer.weight.shape[:3])
        if layer.params
        else 0
    )
    rows = []
    for what in ways["rawconv"]:
        if what != "back to x" or not lowest:
            found = take_turns(
                {way: passes[what] for way, passes in ways.items()}, rounds, say=False
            )
            rows.append(row(f"{name} {what}", found, flops))
            click.echo(f"{rows[-1]['work']}: {told(rows[-1])}", err=True)
    return rows


def ours(layer, x, dy, how):
    """{pass: function}"""
    rng_key = (0, 0, range(len(x)))
    given = x.copy() if isinstance(layer, ReLU) else x  # it works in place
    cache = layer.forward(given, rng_key, **how)[1]
    if isinstance(layer, Conv):
        back = {
            "back to x": lambda: layer.transpose(dy, x.shape[1:3], **how),
            "back to weight": lambda: layer.parameter_gradients(dy, cache),
        }
    else:
        back = {"back to x": lambda: layer.backward(dy, cache)}
    return {"up": lambda: layer.forward(given, rng_key, **how), **back}


def torchs(layer, x, dy, layout):
    """The same passes; autograd computes only what is asked for."""
    covers = isinstance(layer, Conv) and layer.window.size == x.shape[1:3]
    shape = x.shape[1:]
    if covers:
        module, layout = rival.linear(layer, shape), "channels_first"
    else:
        module = rival.module(layer, shape).to(memory_format=rival.LAYOUTS[layout])
    inputs, dy = rival.tensor(x, layout), rival.tensor(dy, layout)
    if covers:
        inputs, dy = inputs.flatten(1), dy.flatten(1)
    inputs.requires_grad_()
    plain = torch.nn.ReLU() if isinstance(layer, ReLU) else module  # a leaf cannot be overwritten
    y = plain(inputs)
    detached = inputs.detach().clone()

    def back(*to):
        return lambda: torch.autograd.grad(y, to, dy, retain_graph=True)

    passes = {
        "up": lambda: module(detached if isinstance(layer, ReLU) else inputs),
        "back to x": back(inputs),
    }
    return passes | ({"back to weight": back(*module.parameters())} if layer.params else {})
