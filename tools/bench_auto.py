"""The constants by which `auto` chooses Winograd (layers/cpu/winograd.py): each pass both ways, for
many shapes.
"""

import functools
import itertools
import json
import math
import operator
import statistics

import click
import numpy as np
from bench_contention import others, reading
from bench_rounds import one_round
from bench_timing import conditions, json_option, machine

from rawconv.layers import Execution
from rawconv.layers.conv import Cache, Conv
from rawconv.layers.cpu import Shape, winograd

FILTERS = ((3, 1), (5, 1), (5, 2))  # size, stride
CHANNELS = (8, 16, 32, 64, 96, 128, 256, 512)
MAPS = (4, 6, 8, 13, 16, 27, 32, 64)  # of the output
BATCHES = (1, 3, 8, 32, 128)
# additions and multiplications of a pass: what is smaller or larger is left out
LEAST, MOST = 2e6, 6e9
TRIED = {  # the constants, in the order of winograd.figures
    "FEWEST_CHANNELS": (1, 16, 24, 40, 80, 112),
    "FEWEST_POSITIONS": (1, 64, 128, 192, 256, 384, 512, 768, 1024),
    "LEAST_WORK": (0, 2e6, 4e6, 6e6, 8e6, 12e6, 16e6),
    "GAIN": (1, 1.6, 2, 2.5),
}


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@json_option
def main(rounds, path):
    """Winograd's time over the product's, and the constants of `auto` that lose least."""
    found, before = [], reading()
    for (size, stride), batch, side, channels in itertools.product(
        FILTERS, BATCHES, MAPS, CHANNELS
    ):
        if LEAST <= 2 * batch * (side * channels * size) ** 2 <= MOST:
            found += measured(Conv(channels, size, stride, size // 2), batch, side * stride, rounds)
    click.echo(table(found))
    click.echo(f"others took {others(before, reading()):.1%} of the processors meanwhile")
    present = tuple(getattr(winograd, name) for name in TRIED)
    best = min(itertools.product(*TRIED.values()), key=lambda constants: loss(found, constants))
    for what, constants in (
        ("now", present),
        ("least loss", best),
        ("always", (0,) * 4),
        ("never", (math.inf,) * 4),
    ):
        named = ", ".join(f"{name} {value}" for name, value in zip(TRIED, constants, strict=True))
        click.echo(f"{what:12}{loss(found, constants):7.1%} slower than the faster way    {named}")
    click.echo(conditions(about := machine()))
    if path:
        with open(path, "w") as file:
            json.dump({"found": found, **about}, file)


def measured(layer, batch, side, rounds):
    """[(name, winograd.figures, ratio of the medians)] of the passes of one layer on random numbers."""
    rng, size = np.random.default_rng(0), (side, side)
    layer.build((*size, layer.filters), rng)
    x = rng.standard_normal((batch, *size, layer.filters), np.float32)
    dy = rng.standard_normal((batch, *layer.out_shape(x.shape[1:])), np.float32)
    shape = Shape(batch, size, layer.weight.shape, layer.window)
    passes = {
        "up": (lambda execution: layer.forward(x, execution=execution), False),
        "back to x": (
            lambda execution: layer.transpose(dy, size, execution),
            layer.window.stride != (1, 1),
        ),
        "back to weight": (
            lambda execution: layer.parameter_gradients(dy, Cache(x, execution)),
            False,
        ),
    }
    found = []
    for name, (function, transposed) in passes.items():
        ways = {way: functools.partial(function, Execution(way)) for way in ("winograd", "gemm")}
        once = dict.fromkeys(ways, 1)
        times = [one_round(ways, once, pause=0) for _ in range(rounds + 1)][1:]
        figures = winograd.figures(shape, transposed)
        seconds = [statistics.median(one[way] for one in times) for way in ways]
        found.append(
            (
                f"{layer.window.size[0]}x{layer.window.size[1]} stride {layer.window.stride[0]} {name}",
                figures,
                seconds[0] / seconds[1],
            )
        )
    return found


def loss(found, constants):
    """By how much these constants' choices are slower than the faster way, in the (geometric) mean
    of all passes.
    """
    logs = [
        math.log(ratio if all(map(operator.ge, figures, constants)) else 1)
        - math.log(min(ratio, 1))
        for _, figures, ratio in found
    ]
    return math.exp(statistics.mean(logs)) - 1


def table(found):
    """Medians by positions and channels, a block for each filter and pass."""
    lines = []
    for name, rows in itertools.groupby(sorted(found), key=lambda row: row[0]):
        cells = {}
        for _, (channels, positions, _, _), ratio in rows:
            cells.setdefault(2 ** round(math.log2(positions)), {}).setdefault(channels, []).append(
                ratio
            )
        lines.append(
            f"\n{name}\n{'positions':>8}"
            + "".join(f"{f'C {channels}':>7}" for channels in CHANNELS)
        )
        for positions in sorted(cells):
            medians = (cells[positions].get(channels) for channels in CHANNELS)
            lines.append(
                f"{positions:8}"
                + "".join(f"{statistics.median(m):7.2f}" if m else " " * 7 for m in medians)
            )
    return "\n".join(lines)
