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
from bench_contention import disturbance, told
from bench_rounds import clean_rounds, ratios
from bench_timing import machine, ratio_text, rounds_option, spread

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

    def once():
        return {way: _step_seconds(command) for way, command in ways.items()}

    results, shares = clean_rounds(once, rounds)
    seconds = {way: [one[way] for one in results] for way in ways}
    for way, times in seconds.items():
        rates = spread([batch / one for one in times])
        click.echo("{:12} {median:7.1f} pictures/s  [{low:.1f} {high:.1f}]".format(way, **rates))
    medians, shortest = ratios(*seconds.values())
    about = machine()
    click.echo(
        f"ratio {ratio_text(medians)}, of the fastest {ratio_text(shortest)}; {told(disturbance(shares))}; "
        f"{model}, global batch {batch}, {steps} steps a round; "
        f"{about['cpu']}, {about['threads']} threads; {about['date']}"
    )


def _step_seconds(command):
    """The median of a step's seconds, of a run by this command."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return statistics.median(json.loads(done.stdout))


def work(model, batch, steps):
    """One member: the first prints the seconds of each of its steps."""
    from rawconv import models
    from rawconv.machine.distributed import init_distributed
    from rawconv.training.optimizer import SGD
    from rawconv.training.step import train_step

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
