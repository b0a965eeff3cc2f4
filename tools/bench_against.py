"""This rawconv against another checkout, as of the commit before a change: two processes that take turns."""

import itertools
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

import click
from bench_contention import FEWEST, disturbance, told
from bench_rounds import clean_rounds
from bench_timing import conditions, json_option, machine

HERE = pathlib.Path(__file__).resolve().parent
SHORTEST = 0.02  # seconds of a turn: shorter work is repeated


@click.command()
@click.argument("tree", type=click.Path(exists=True, file_okay=False))
@click.option("--rounds", type=click.IntRange(2), default=30, show_default=True)
@click.option("--only", default="", help="Work whose name holds one of these, e.g. '3x3 1,zf64'.")
@json_option
def main(tree, rounds, only, path):
    """Convolutions and training steps: the time here over the time in TREE, at batches of 1, 3, 32 and 128.

    Of each round's ratio the median and its 95 % interval; of all rounds the ratio of the shortest.
    The same of the processor's time, which other programs disturb less.
    """
    with _start(HERE.parent, only) as here, _start(pathlib.Path(tree).resolve(), only) as there:
        times, shares = _take_turns(here, there, rounds)
    if len(next(iter(times.values()))[0]) < FEWEST:
        raise click.ClickException(f"No ratios: {told(disturbance(shares))}.")
    head = f"{'ratio':>8}{'95 %':>14}{'shortest':>10}"
    click.echo(f"{'':22}{'ms there':>10}{head}    CPU{head}")
    rows = [{"work": name, **compare(*sides)} for name, sides in times.items()]
    for row in rows:
        click.echo(line(row))
    click.echo(f"{told(disturbance(shares))}; {conditions(about := machine())}")
    if path:
        pathlib.Path(path).write_text(
            json.dumps({"command": "against", "rows": rows, **about}, indent=1)
        )


def _take_turns(here, there, rounds):
    """({work: ([(seconds, CPU seconds) of each clean round here], [there])}, the others' shares);
    who begins changes from round to round.
    """
    names, _ = (json.loads(worker.stdout.readline()) for worker in (here, there))
    repeats = {
        name: max(1, min(50, math.ceil(SHORTEST / _ask(there, name, 1)[0]))) for name in names
    }
    order = itertools.cycle([(0, 1), (1, 0)])

    def once():
        sides = next(order)
        return {
            name: [seconds for _, seconds in sorted(
                (side, _ask((here, there)[side], name, repeats[name])) for side in sides
            )]
            for name in names
        }  # fmt: skip

    results, shares = clean_rounds(once, rounds)
    return {
        name: tuple([one[name][side] for one in results] for side in (0, 1)) for name in names
    }, shares


def _start(tree, only):
    command = [sys.executable, str(HERE / "bench_worker.py"), *filter(None, only.split(","))]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _ask(worker, name, repeats):
    """(seconds, CPU seconds) of one repeat."""
    worker.stdin.write(f"{name} {repeats}\n")
    worker.stdin.flush()
    return tuple(map(float, worker.stdout.readline().split()))


def compare(here, there):
    """The median there, and the ratios: {"there", "ratio", "interval", "shortest", "cpu_ratio", ...}.

    here, there: [(seconds, CPU seconds), ...] of the rounds.
    """
    found = {"there": statistics.median(seconds for seconds, _ in there)}
    for which, prefix in enumerate(("", "cpu_")):
        ours, theirs = ([times[which] for times in side] for side in (here, there))
        ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
        # of the median, by its rank
        low = max(0, math.floor(len(ratios) / 2 - 0.98 * math.sqrt(len(ratios))))
        found[f"{prefix}ratio"] = statistics.median(ratios)
        found[f"{prefix}interval"] = (ratios[low], ratios[-1 - low])
        found[f"{prefix}shortest"] = min(ours) / min(theirs)
    return found


def line(row):
    text = f"{row['work']:22}{1e3 * row['there']:10.3f}"
    for prefix, width in (("", 8), ("cpu_", 15)):
        low, high = row[f"{prefix}interval"]
        text += f"{row[f'{prefix}ratio']:{width}.3f}{f'{low:.2f}-{high:.2f}':>14}{row[f'{prefix}shortest']:10.3f}"
    return text


if __name__ == "__main__":
    main()
