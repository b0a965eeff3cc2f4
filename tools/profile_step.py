#!/usr/bin/env python3
"""Where a training step of the small nets spends its time, without hardware counters.

python tools/profile_step.py --json

A step is timed as it is, and in turns with that with a clock around each piece of work that is
handed to threads: so what stands between them is Python and NumPy.  Rounds in which others
took more than 3 % of the processors do not count (bench_contention.py).
"""

import collections
import functools
import itertools
import json
import math
import pathlib
import statistics
import sys
import time

import click
import numpy as np
from bench_contention import disturbance, is_clean, others, reading
from bench_rounds import MOST_ROUNDS, ROUND

MODELS, BATCHES, ROUNDS = ("zf32", "zf64"), (1, 3, 32, 128), 5
PARTS = {  # by the module whose loops and blocks they are
    "direct": "direct", "winograd_images": "winograd",
    "gemm": "gemm", "dense": "dense", "dense_images": "dense", "update": "update",
}  # fmt: skip
KEPT = ("direct", "winograd", "gemm", "columns", "dense", "update", "loops", "python")


@click.command()
@click.option(
    "--batch", "batches", type=click.IntRange(1), multiple=True, default=BATCHES, show_default=True
)
@click.option("--functions", is_flag=True, help="How often each function is called, and no times.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(batches, functions, as_json):
    """Profile steps of zf32 and zf64: shares of the time by what is computed, and Python calls."""
    if functions:
        for model, n in itertools.product(MODELS, batches):
            step = step_of(model, n)
            step()
            click.echo(f"{model} {n}: {calls_of(step)} calls")
            for name, count in functions_of(step).most_common():
                click.echo(f"{count:6} {name}")
        return
    found = {model: {f"b{n}": profile(model, n) for n in batches} for model in MODELS}
    found |= {"handover": handover(), **about()}
    click.echo(json.dumps(found) if as_json else json.dumps(found, indent=1))


def about():
    from bench_timing import machine

    return machine()


def step_of(model, batch):
    """A function that takes one training step on random images."""
    from rawconv import models
    from rawconv.training.optimizer import SGD
    from rawconv.training.step import train_step

    net = models.build(model, [str(label) for label in range(10 if model == "zf32" else 64)])
    optimizer, rng, ids = SGD(net), np.random.default_rng(0), np.arange(batch)
    images = rng.integers(0, 256, (batch, *net.stored, 3), np.uint8)
    labels = rng.integers(0, len(net.classes), batch)
    return lambda: train_step(net, images, labels, (0, 0, ids), "pad4", optimizer, 1e-5)


def profile(model, batch):
    """{"ms", "calls", each of KEPT: its share, "others", "clean", "dropped"}, medians of clean rounds."""
    step = step_of(model, batch)
    for _ in range(3):
        step()
    calls = calls_of(step)
    plain, parts, shares = [], [], []
    begin = time.perf_counter()
    step()
    repeats = max(1, round(ROUND / 2 / (time.perf_counter() - begin)))
    while len(plain) < ROUNDS and len(shares) < MOST_ROUNDS * ROUNDS:
        before = reading()
        seconds = timed(step, repeats)
        with Clocks() as clocks:
            whole = timed(step, repeats)
        shares.append(others(before, reading()))
        click.echo(f"{model} {batch}: others {shares[-1]:.1%}", err=True)
        if is_clean(shares[-1]):
            plain.append(seconds)
            parts.append({part: clocks.seconds[part] / repeats / whole for part in KEPT[:-1]})
    if not plain:
        raise click.ClickException(f"{model} {batch}: others were at work in every round.")
    median = {part: statistics.median(one[part] for one in parts) for part in KEPT[:-1]}
    median["python"] = 1 - sum(median.values())
    return {
        "ms": 1e3 * statistics.median(plain),
        "calls": calls,
        **median,
        **disturbance(shares),
    }


def calls_of(step):
    """How many Python functions one step calls on this thread."""
    return functions_of(step).total()


def functions_of(step):
    """{function: how often one step calls it on this thread}."""
    calls = collections.Counter()

    def count(frame, event, _):
        if event == "call":
            calls[f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}"] += 1

    sys.setprofile(count)
    step()
    sys.setprofile(None)
    return calls


def timed(step, repeats):
    """Seconds of one step, the mean."""
    begin = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - begin) / repeats


class Clocks:
    """Around run_blocks and run_ranges wherever they are called; seconds: {part: sum}."""

    def __enter__(self):
        from rawconv.layers.cpu import gemm
        from rawconv.machine import threads

        self.seconds, self.inside, self.restore = collections.Counter(), collections.Counter(), []
        for name in ("run_blocks", "run_ranges"):
            self._replace(getattr(threads, name), self._around(getattr(threads, name)))
        self._replace(gemm.columns, self._counted(gemm.columns, "columns"))
        return self

    def __exit__(self, *_):
        for module, name, function in self.restore:
            setattr(module, name, function)

    def _replace(self, function, other):
        name = function.__name__
        # by their names there, since mpi4py puts an object without one among them
        for place, module in list(sys.modules.items()):
            if place.startswith("rawconv.") and getattr(module, name, None) is function:
                self.restore.append((module, name, function))
                setattr(module, name, other)

    def _around(self, run):
        @functools.wraps(run)
        def clocked(function, *rest, **more):
            part = PARTS.get(function.__module__.rpartition(".")[2], "loops")
            if part == "gemm" and run.__name__ == "run_ranges":
                part = "loops"  # the gradient of the bias
            self.inside.clear()
            work = self._counted(function, "block") if part == "gemm" else function
            begin = time.perf_counter()
            run(work, *rest, **more)
            seconds = time.perf_counter() - begin
            columns = seconds * self.inside["columns"] / max(self.inside["block"], 1e-9)
            self.seconds["columns"] += columns
            self.seconds[part] += seconds - columns

        return clocked

    def _counted(self, function, name):
        def clocked(*arguments):
            begin = time.perf_counter()
            result = function(*arguments)
            self.inside[name] += time.perf_counter() - begin
            return result

        return clocked


def handover():
    """{"awake", "python"}: microseconds that handing two pieces to two threads adds, by run_ranges to a
    helper that is awake and by run_blocks; the least of many.
    """
    from rawconv.layers.relu import relu_pieces
    from rawconv.machine.threads import run_blocks, run_ranges

    x = np.zeros(2, np.float32)
    ranges = functools.partial(run_ranges, relu_pieces, 2, 1, (np.float32(9), x, x))
    blocks = functools.partial(run_blocks, lambda block: None, range(2))
    return {
        name: 1e6 * (least(functools.partial(run, math.inf)) - least(functools.partial(run, 0)))
        for name, run in (("awake", ranges), ("python", blocks))
    }


def least(function, rounds=3000):
    return min(timed(function, 1) for _ in range(rounds))


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main()
