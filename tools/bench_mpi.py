"""Two processes with one thread each against one process with two threads, on the same global batch."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import click
import numpy as np
from bench_timing import machine, rounds_option

WARM = 5  # steps that are not timed


@click.command()
@click.option("--model", default="zf64", show_default=True)
@click.option(
    "--batch", type=click.IntRange(1), default=128, show_default=True, help="Over all processes."
)
@click.option("--processes", type=click.IntRange(2), default=2, show_default=True)
@click.option(
    "--steps", type=click.IntRange(1), default=20, show_default=True, help="Timed in each round."
)
@click.option("--worker", is_flag=True, hidden=True)
@rounds_option
def main(model, batch, processes, steps, worker, rounds):
    """Pictures a second of whole training steps: crops, forward, backward, reduction, update.

    Rounds take turns; in each, a process (or mpirun with its processes) starts, warms up and times its steps.
    """
    if worker:
        return work(model, batch, steps)
    words = [
        sys.executable,
        __file__,
        "--worker",
        "--model",
        model,
        "--batch",
        str(batch),
        "--steps",
        str(steps),
    ]
    mpirun = shutil.which(
        "mpirun",
        path=os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]),
    )
    if not mpirun:
        raise click.ClickException("There is no mpirun: pip install 'rawconv[mpi]'.")
    ways = {"one process": words, f"{processes} processes": [mpirun, "-n", str(processes), *words]}
    rates = {way: [] for way in ways}
    for number in range(rounds):
        for way, command in ways.items():
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rates[way].append(batch / statistics.median(json.loads(done.stdout)))
        click.echo(f"round {number + 1} of {rounds}", err=True)
    medians = {way: statistics.median(found) for way, found in rates.items()}
    for way, found in rates.items():
        click.echo(f"{way:12} {medians[way]:7.1f} pictures/s  [{min(found):.1f} {max(found):.1f}]")
    one, several = medians.values()
    about = machine()
    click.echo(
        f"ratio {several / one:.3f}; {model}, global batch {batch}, {steps} steps a round, {rounds} rounds; "
        f"{about['cpu']}, {about['threads']} threads; {about['date']}"
    )


def work(model, batch, steps):
    """One member: the first prints the seconds of each of its steps."""
    from rawconv import models
    from rawconv.training.loop import train_step
    from rawconv.training.optimizer import SGD
    from rawconv.training.parallel import init_distributed

    with init_distributed() as ranks:
        chosen, net = models.recipe(model), models.build(model)
        rng, seconds = np.random.default_rng(0), []
        images = rng.integers(0, 256, (batch, chosen.stored, chosen.stored, 3), np.uint8)
        labels, ids = rng.integers(0, len(net.classes) or 10, batch), ranks.shard(np.arange(batch))
        optimizer = SGD(
            net,
            chosen.momentum,
            chosen.weight_decay,
            chosen.max_filter_rms,
            chosen.layer_rates(net),
        )
        for number in range(WARM + steps):
            began = time.perf_counter()
            rng_key = (0, number, ids)
            train_step(
                net, images[ids], labels[ids], rng_key, chosen.crop, optimizer, 0.01, ranks, batch
            )
            if number >= WARM:
                seconds.append(time.perf_counter() - began)
        if ranks.rank == 0:
            print(json.dumps(seconds))


if __name__ == "__main__":
    main()
