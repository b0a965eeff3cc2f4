"""The constants by which `auto` chooses Winograd (layers/cpu/winograd.py): each pass both ways, for
many shapes.
"""

import functools
import itertools
import json
import math
import operator
import statistics
from typing import NamedTuple

import click
import numpy as np
from bench_contention import FEWEST, disturbance, told
from bench_rounds import ROUND, clean_rounds, one_round, ratios
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
@click.option("--rounds", type=click.IntRange(1), default=FEWEST, show_default=True)
@json_option
def main(rounds, path):
    """Winograd's time over the product's, and the constants of `auto` that lose least.

    A round takes some passes both ways, so many that the kernel's counts tell what others took
    meanwhile.  A pass with fewer than 5 clean rounds is left out.
    """
    found, shares = [], []
    for some in groups(grid()):
        results, taken = clean_rounds(lambda some=some: [times(*one) for one in some], rounds)
        shares += taken
        found += with_ratios([one for one, _ in some], results)
    if not found:
        raise click.ClickException(f"No ratios: {told(disturbance(shares))}.")
    report(found)
    click.echo(f"{told(disturbance(shares))}; {conditions(about := machine())}")
    if path:
        with open(path, "w") as file:
            json.dump({"found": found, **disturbance(shares), **about}, file)


class Pass(NamedTuple):
    """A pass of a layer.  figures: winograd.figures.  ways: the functions of Winograd and of the product."""

    name: str
    figures: tuple
    ways: dict


def grid():
    """The passes of every shape that is neither too small nor too large."""
    for (size, stride), batch, side, channels in itertools.product(
        FILTERS, BATCHES, MAPS, CHANNELS
    ):
        if LEAST <= 2 * batch * (side * channels * size) ** 2 <= MOST:
            yield from passes(Conv(channels, size, stride, size // 2), batch, side * stride)


def passes(layer, batch, side):
    """The three Passes of one layer on random numbers."""
    rng, size = np.random.default_rng(0), (side, side)
    layer.build((*size, layer.filters), rng)
    x = rng.standard_normal((batch, *size, layer.filters), np.float32)
    dy = rng.standard_normal((batch, *layer.out_shape(x.shape[1:])), np.float32)
    shape, strided = (
        Shape(batch, size, layer.weight.shape, layer.window),
        layer.window.stride != (1, 1),
    )
    functions = {
        "up": (lambda execution: layer.forward(x, execution=execution), False),
        "back to x": (lambda execution: layer.transpose(dy, size, execution), strided),
        "back to weight": (
            lambda execution: layer.parameter_gradients(dy, Cache(x, execution)),
            False,
        ),
    }
    for name, (function, transposed) in functions.items():
        ways = {way: functools.partial(function, Execution(way)) for way in ("winograd", "gemm")}
        (height, width), (stride, _) = layer.window.size, layer.window.stride
        yield Pass(
            f"{height}x{width} stride {stride} {name}", winograd.figures(shape, transposed), ways
        )


def groups(found):
    """Lists of (Pass, how often it is repeated), so many that all take ROUND seconds both ways; each
    ran twice before, to compile and to be timed.
    """
    group, total = [], 0.0
    for one in found:
        times(one, 1)
        total += sum(times(one, 1))
        group.append(one)
        if total >= ROUND:
            yield [(one, 1) for one in group]
            group, total = [], 0.0
    if group:
        yield [(one, math.ceil(ROUND / total)) for one in group]


def with_ratios(group, results):
    """[(name, figures, ratio of the medians, ratio of the shortest rounds)] of the Passes of a group.

    results: [[their times, ...] of each clean round].  Those with too few rounds are left out.
    """
    found = []
    for number, one in enumerate(group):
        both = ratios(*zip(*(times[number] for times in results), strict=True)) if results else ()
        if both and None not in both:
            found.append((one.name, one.figures, *both))
    return found


def times(one, repeats):
    """Seconds of a Pass by Winograd and by the product."""
    return tuple(one_round(one.ways, dict.fromkeys(one.ways, repeats), pause=0).values())


def report(found):
    """Print the ratios by shape, and what constants lose: of the medians, and of the shortest rounds."""
    shortest = [(name, figures, ratio) for name, figures, _, ratio in found]
    found = [(name, figures, ratio) for name, figures, ratio, _ in found]
    for what, some in (("medians", found), ("shortest rounds", shortest)):
        click.echo(f"Of the {what}:\n{table(some)}\n")
    present = tuple(getattr(winograd, name) for name in TRIED)
    best = min(itertools.product(*TRIED.values()), key=lambda constants: loss(found, constants))
    for what, constants in (
        ("now", present),
        ("least loss", best),
        ("always", (0,) * 4),
        ("never", (math.inf,) * 4),
    ):
        named = ", ".join(f"{name} {value}" for name, value in zip(TRIED, constants, strict=True))
        click.echo(
            f"{what:12}{loss(found, constants):7.1%} slower than the faster way, by the shortest rounds "
            f"{loss(shortest, constants):.1%}    {named}"
        )


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
