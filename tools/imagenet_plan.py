"""What the steps of docs/imagenet.md take: estimates from rates that are measured here, and from the floor of a card.

python tools/imagenet_plan.py            measures for a minute, and prints JSON

On the CPU: pictures packed a second, and pictures a second of ZFNet's training step and way up, times the numbers of
pictures of ILSVRC-2012; by processor time, so that others on the machine disturb little.  On a card: the floor of
roofline.py, by arithmetic, below which no such card can come; with several cards also the time in which the sum of the
gradients goes around a ring, and never less than the host needs.
"""

import json
import os
import pathlib
import statistics
import tempfile

import click
import numpy as np
from bench_reader import photos
from bench_timing import machine
from roofline import CARDS, work_of

from rawconv import models
from rawconv.data import packing
from rawconv.machine.threads import thread_count
from rawconv.training.loop import SNAPSHOTS
from rawconv.training.memory_model import training_memory
from rawconv.training.optimizer import SGD
from rawconv.training.step import train_step

MODEL, EPOCHS, BATCH = "zfnet", 70, 128  # as the paper trains it
TRAIN, VAL = 1_281_167, 50_000  # pictures
ARCHIVES = 147_897_477_120 + 6_744_924_160  # bytes of the tars of training and validation pictures
STORED, HOUR = 256, 3600
PLANNED, MANY = ("a100", "h100", "b200"), 8  # cards of roofline.CARDS, and how many of them
LINK = 300e9  # bytes a second between two cards of a machine, NVLink
WAYS_UP = {  # pictures that go up in each step, where these are what takes the time
    "test": 10 * VAL,
    "figure2": VAL,
    "evolution": len(SNAPSHOTS) * TRAIN,
    "features": VAL,
}
MORE = 6 + 12  # trainings: of table 2 and figure 6, and of table 3


def seconds(work, rounds):
    """How long a call takes on all processors, if nobody else uses them: the median of its processor time, divided."""
    work()  # compiles
    times = []
    for _ in range(rounds):
        before = os.times()[:4]
        work()
        times.append((sum(os.times()[:4]) - sum(before)) / thread_count())
    return statistics.median(times)


def packed_a_second(count, rounds):
    """JPEGs of 500x375 that `rawconv-data pack` takes in a second."""
    with tempfile.TemporaryDirectory() as place:
        folder, out = photos(pathlib.Path(place, "photos"), count), pathlib.Path(place, "out.h5")
        options = {"progress": False, "say": lambda line: None}

        def pack():
            out.unlink(missing_ok=True)
            packing.pack(folder, out, STORED, **options)

        return count / seconds(pack, rounds)


def pictures_a_second(net, rounds):
    """{"step", "up"}: of a training step and of the way up alone, in batches of BATCH."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, STORED, STORED, 3), np.uint8)
    labels = rng.integers(0, len(net.classes), BATCH)
    x = rng.standard_normal((BATCH, *net.shape), np.float32) * 60
    optimizer, key = SGD(net), (0, 0, np.arange(BATCH))
    ways = {
        "step": lambda: train_step(net, images, labels, key, "ten", optimizer, 1e-6),
        "up": lambda: net.forward(x, keep=False),
    }
    return {way: BATCH / seconds(work, rounds) for way, work in ways.items()}


def on_card(net, card, host):
    """The floors of one card and of MANY that share a batch: a step, an epoch, all epochs; and what only goes up."""
    tflops, gbs, _ = CARDS[card]

    def apart(batch, *directions):
        return sum(
            work.apart(tflops, gbs) for work in work_of(net, batch) if work.direction in directions
        )

    bytes_of_gradients = 4 * sum(value.size for value in net.params.values())
    ring = 2 * (MANY - 1) / MANY * bytes_of_gradients / LINK
    training = "up", "back", "bias", "step"
    steps = {
        "one": max(apart(BATCH, *training), host),
        "many": max(apart(BATCH // MANY, *training) + ring, host),
    }
    found = {
        name: {
            "step_ms": 1000 * step,
            "pictures": BATCH / step,
            "read_gbs": BATCH / step * STORED**2 * 3 / 1e9,
            "epoch_minutes": TRAIN / BATCH * step / 60,
            "hours": EPOCHS * TRAIN / BATCH * step / HOUR,
            "more_hours": MORE * EPOCHS * TRAIN / BATCH * step / HOUR,
        }
        for name, step in steps.items()
    }
    up = BATCH / apart(BATCH, "up")
    return found | {"minutes_up": {name: count / up / 60 for name, count in WAYS_UP.items()}}


def plan(packed, rates, net, host):
    """The estimates, from pictures packed a second and the pictures a second of `pictures_a_second`."""
    weights = 4 * sum(value.size for value in net.params.values())
    # last.h5 has the momentum too; best.h5 and each snapshot have the weights alone
    run = (2 + 1 + len(SNAPSHOTS)) * weights / 1e9
    return {
        "rates": {"pack": packed, **rates},
        "pack_hours": (TRAIN + VAL) / packed / HOUR,
        "archives_gb": ARCHIVES / 1e9,
        "packed_gb": (TRAIN + VAL) * STORED**2 * 3 / 1e9,
        "checkpoint_mb": weights / 1e6,
        "run_gb": run,
        "more_gb": MORE * run,
        "step_gb": {count: memory(BATCH // parts) for count, parts in (("one", 1), ("many", MANY))},
        "cpu": {
            "epoch_hours": TRAIN / rates["step"] / HOUR,
            "days": EPOCHS * TRAIN / rates["step"] / HOUR / 24,
            "more_days": MORE * EPOCHS * TRAIN / rates["step"] / HOUR / 24,
            "hours_up": {name: count / rates["up"] / HOUR for name, count in WAYS_UP.items()},
        },
        "cards": {card: on_card(net, card, host) for card in PLANNED},
        "host_ms": 1000 * host,
    }


def memory(batch):
    """Gigabytes of a training step of so many pictures."""
    return training_memory(MODEL, batch)["peak"] / 1e9


@click.command()
@click.option(
    "--count",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="Pictures that are packed.",
)
@click.option(
    "--rounds", type=click.IntRange(1), default=3, show_default=True, help="Calls that are timed."
)
@click.option(
    "--host", type=click.FloatRange(0), default=3.2, show_default=True, metavar="MS",
    help="Milliseconds of the processor for a step on a card, as tools/bench.py host measures them.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="In one line.")
def main(count, rounds, host, as_json):
    """Estimate what the steps of docs/imagenet.md take, from rates measured on this machine."""
    net = models.build(MODEL)
    packed = packed_a_second(count, rounds)
    found = plan(packed, pictures_a_second(net, rounds), net, host / 1000)
    about = machine()
    found["machine"] = {key: about[key] for key in ("cpu", "threads", "date")}
    click.echo(json.dumps(found, indent=None if as_json else 1))


if __name__ == "__main__":
    main()
