"""The constants by which `auto` chooses (layers/cpu): each pass by every algorithm, for many shapes."""

import functools
import itertools
import json
import math
import pathlib
import statistics
import time
from typing import NamedTuple

import bench_auto_nets as nets
import click
import numpy as np
from bench_auto_fit import TRIED, WAYS, fit, loss, present
from bench_contention import FEWEST, disturbance, told
from bench_rounds import ROUND, clean_rounds, one_round
from bench_timing import conditions, json_option, machine

from rawconv.layers import Execution
from rawconv.layers.conv import Cache, Conv
from rawconv.layers.cpu import Shape, direct, winograd

FILTERS = ((1, 1), (3, 1), (3, 2), (5, 1), (5, 2))  # size, stride
CHANNELS = (16, 32, 48, 64, 96, 128, 256, 512)
MAPS = (4, 8, 13, 16, 32, 55)  # of the output
BATCHES = (1, 3, 8, 32)
# multiplications and additions of a pass: what is smaller or larger is left out
LEAST, MOST = 2e6, 2e9


@click.command()
@click.argument("earlier", nargs=-1, type=click.Path(exists=True, dir_okay=False))
@click.option("--rounds", type=click.IntRange(1), default=FEWEST, show_default=True)
@click.option("--only", default="", help="Rows whose names begin so: '3x3', '5x5', 'zf32 1'.")
@json_option
def main(earlier, rounds, only, path):
    """The time of each algorithm, and the constants of `auto` that lose least.

    A round takes some passes by every algorithm, so many that the kernel's counts tell what others
    took meanwhile.  A pass with fewer than 5 clean rounds is left out.  The convolutions of the small
    nets are timed within training steps.  EARLIER: JSON files of this command, whose rows count too,
    so that it can be run in parts.
    """
    rows, shares = [], []
    for measure in (nets_rows, grid_rows):
        for some, taken in measure(rounds, only):
            rows, shares = rows + some, shares + taken
    for file in earlier:
        rows += json.loads(pathlib.Path(file).read_text())["rows"]
    if not rows:
        raise click.ClickException(f"No ratios: {told(disturbance(shares))}.")
    report(rows)
    click.echo(f"{told(disturbance(shares))}; {conditions(about := machine())}")
    if path:
        about |= {"command": "auto", "rows": rows, **disturbance(shares)}
        pathlib.Path(path).write_text(json.dumps(about, indent=1))


def nets_rows(rounds, only):
    """Yield (rows, shares of others) of each of the nets; see bench_auto_nets.py."""
    for name, batch in itertools.product(nets.NETS, nets.BATCHES):
        title = f"{name} {batch}"
        if not title.startswith(only):
            continue
        net, steps = nets.steps_of(name, batch)
        steps()
        results, shares = clean_rounds(steps, rounds)
        click.echo(f"{title}: {told(disturbance(shares))}", err=True)
        rows = []
        for conv, layer, (height, width, channels) in nets.convolutions(net):
            weight = (*layer.window.size, channels, layer.filters)
            for what, figures in figures_of(Shape(batch, (height, width), weight, layer.window)):
                some = [one[conv, what] for one in results if (conv, what) in one]
                rows += times_of(f"{title} {conv} {what}", figures, some, net=True)
        yield rows, shares


def grid_rows(rounds, only):
    """Yield (rows, shares of others) of some passes of the grid after others."""
    begin, done = time.perf_counter(), 0
    found = [one for one in grid() if one.name.startswith(only)]
    for some in groups(found):
        results, shares = clean_rounds(
            lambda some=some: [
                one_round(one.ways, dict.fromkeys(one.ways, n), 0) for one, n in some
            ],
            rounds,
            say=False,
        )
        rows = []
        for number, (one, _) in enumerate(some):
            rows += times_of(one.name, one.figures, [times[number] for times in results])
        done += len(some)
        click.echo(
            f"{done} of {len(found)} passes, {time.perf_counter() - begin:.0f} s, "
            f"{told(disturbance(shares))}",
            err=True,
        )
        yield rows, shares


def times_of(name, figures, results, net=False):
    """A list of the row of a pass, empty where fewer than FEWEST rounds are clean; see bench_auto_fit.py.

    results: [{way: seconds}, ...] of the clean rounds.
    """
    if len(results) < FEWEST:
        return []
    kinds = {"median": statistics.median, "shortest": min}
    times = {
        kind: {way: of([one[way] for one in results]) for way in ("gemm", *figures)}
        for kind, of in kinds.items()
    }
    return [{"name": name, "net": net, "figures": figures, **times}]


def figures_of(shape):
    """(pass, {algorithm: what `auto` goes by}) of the three passes of a Shape."""
    turned = shape.turned()
    for what, asked, transposed in (
        ("up", shape, False),
        ("back to x", turned or shape, turned is None),
        ("back to weight", shape, False),
    ):
        figures = {"winograd": winograd.figures(asked, transposed)}
        if direct.supports(asked, forced=True) and not transposed:  # else it takes columns
            figures["direct"] = (math.prod(asked.weight),)
        yield what, {way: some for way, some in figures.items() if some}


class Pass(NamedTuple):
    """A pass of a layer.  figures: see bench_auto_fit.py.  ways: {algorithm: function}."""

    name: str
    figures: dict
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
    functions = {
        "up": lambda execution: layer.forward(x, execution=execution),
        "back to x": lambda execution: layer.transpose(dy, size, execution),
        "back to weight": lambda execution: layer._weight_gradient(dy, Cache(x, execution)),
    }
    (height, width), (stride, _) = layer.window.size, layer.window.stride
    for what, figures in figures_of(Shape(batch, size, layer.weight.shape, layer.window)):
        ways = {
            way: functools.partial(functions[what], Execution(way)) for way in ("gemm", *figures)
        }
        yield Pass(f"{height}x{width} stride {stride} {what}", figures, ways)


def groups(found):
    """Lists of (Pass, how often it is repeated), so many that all take ROUND seconds every way; each
    ran twice before, to compile and to be timed.
    """
    group, total = [], 0.0
    for one in found:
        once = dict.fromkeys(one.ways, 1)
        one_round(one.ways, once, 0)
        total += sum(one_round(one.ways, once, 0).values())
        group.append(one)
        if total >= ROUND:
            yield [(one, 1) for one in group]
            group, total = [], 0.0
    if group:
        yield [(one, math.ceil(ROUND / total)) for one in group]


def report(rows):
    """Print how often each algorithm is the fastest, and what constants lose: by the medians, and by
    the shortest rounds.
    """
    click.echo(table(rows))
    sets = {"now": present(), "least loss": fit(rows), "of the shortest": fit(rows, "shortest")}
    sets["columns"] = {way: (math.inf,) * len(names) for way, names in TRIED.items()}
    sets["columns"]["direct"] = (-1,)
    for what, constants in sets.items():
        some = ", ".join(
            f"{name} {value:g}"
            for way, values in constants.items()
            for name, value in zip(TRIED[way], values, strict=True)
        )
        lost = "".join(f"{number:16}" for number in map(_percents, _losses(rows, constants)))
        click.echo(f"{what:16}{lost}    {some}")


def _losses(rows, constants):
    """((by the medians, by the shortest) of the rows within nets, of the grid)."""
    for net in (True, False):
        some = [row for row in rows if row["net"] == net]
        yield [loss(some, constants, which) if some else None for which in ("median", "shortest")]


def _percents(pair):
    return ", ".join("-" if one is None else f"{one:.1%}" for one in pair)


def table(rows):
    """A line a pass within a net, and for the others one a kind: milliseconds, and the fastest."""
    lines = [f"{'':26}" + "".join(f"{way:>10}" for way in WAYS) + "   ms, medians"]
    for row in rows:
        if row["net"]:
            times = (row["median"].get(way) for way in WAYS)
            cells = "".join(f"{1e3 * t:10.3f}" if t else f"{'-':>10}" for t in times)
            lines.append(f"{row['name']:26}{cells}")
    alone = sorted((row for row in rows if not row["net"]), key=lambda row: row["name"])
    for name, some in itertools.groupby(alone, key=lambda row: row["name"]):
        fastest = [min(row["median"], key=row["median"].get) for row in some]
        lines.append(f"{name:26}" + "".join(f"{fastest.count(way):10}" for way in WAYS))
    lines += ["   (the last lines: how many shapes each is the fastest for)", ""]
    head = "".join(f"{what:16}" for what in ("nets lose", "grid loses"))
    return "\n".join(lines) + f"\n{'':16}{head}    (by the medians, by the shortest rounds)"
