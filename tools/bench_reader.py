"""How fast packed pictures are read: into batches, and on into a net's crops, from files the system
has in memory.
"""

import os
import pathlib
import tempfile

import click
import numpy as np
from bench_contention import disturbance, told
from bench_rounds import take_turns
from bench_timing import machine, need_a_clean_round, rounds_option, spread
from PIL import Image

from rawconv.data import open_data, packed, packing, scenes
from rawconv.data.augment import prepare
from rawconv.data.batches import batches

SIZE, CROP, BATCH, DIFFERENT = 256, 224, 128, 96


@click.command()
@click.option(
    "--pictures",
    "images",
    type=click.IntRange(BATCH),
    default=14_000,
    show_default=True,
    help="1,400 fill the window.",
)
@click.option(
    "--file",
    type=click.Path(dir_okay=False),
    help="Packed before: read this one.  [made, and removed]",
)
@click.option(
    "--keep", type=click.Path(dir_okay=False), help="Only make the file, and leave it there."
)
@rounds_option
def main(images, file, keep, rounds):
    """Images a second and memory over epochs of packed 256x256 pictures, far more than the window
    they are mixed in.

    read: batches of 128, uint8, in the seeded order, by the thread that reads ahead.  uint8: and
    each picture cut to one of its ten crops, 224x224.  float32: the same minus the mean, as a
    training step on the CPU begins.  The pictures are JPEGs of 500x375, packed by rawconv-data,
    whose own rate is told as well.
    """
    with tempfile.TemporaryDirectory() as place:
        if not file:
            file = keep or pathlib.Path(place, "pictures.h5")
            facts = packing.pack(
                photos(pathlib.Path(place, "photos"), images), file, SIZE, say=lambda line: None
            )
            click.echo(f"pack: {facts['images_a_second']:.0f} images/s from 500x375 JPEGs")
        if not keep:
            measure(open_data(file, SIZE).train, rounds)


def photos(folder, count):
    """A folder of two classes with `count` JPEGs, links to DIFFERENT pictures of the usual size."""
    for label in "ab":
        (folder / label).mkdir(parents=True)
    pixels, _ = scenes.draw(np.arange(DIFFERENT), 128)
    for i, one in enumerate(pixels):
        Image.fromarray(one).resize((500, 375)).save(folder / f"{i}.jpg", quality=90)
    for i in range(count):
        os.link(folder / f"{i % DIFFERENT}.jpg", folder / "ab"[i % 2] / f"{i}.jpg")
    return folder


def measure(split, rounds):
    memory, epoch = [], iter(range(1 << 20))

    def read():
        order = (0, next(epoch))
        for number, _ in enumerate(batches(split, BATCH, order)):
            if number % 10 == 0 and order == (0, 0):
                memory.append(resident())

    def crops(mean, dtype):
        order = (0, next(epoch))
        for ids, images, _ in batches(split, BATCH, order):
            prepare(images, mean, CROP, (*order, ids), "ten", dtype)

    ways = {
        "uint8": lambda: crops(np.zeros(3), np.uint8),
        "float32": lambda: crops(split.mean, np.float32),
    }
    timed = take_turns({"read": read} | ways, rounds)
    need_a_clean_round("reading", timed)
    for way, times in timed.seconds.items():
        found = spread([len(split) / time for time in times])
        click.echo(
            f"{way:7} {found['median']:7.0f} images/s  [{found['low']:.0f} {found['high']:.0f}]"
        )
    size, window = len(split) * SIZE * SIZE * 3, packed.WINDOW
    click.echo(
        f"{size / 1e9:.1f} GB, {size / window:.0f} times the window; resident memory {memory[1] / 1e6:.0f} MB after "
        f"ten batches of the first epoch, at most {max(memory) / 1e6:.0f} MB until its end"
    )
    about = machine()
    click.echo(
        f"{told(disturbance(timed.shares))}; {about['cpu']}, {about['threads']} threads; "
        f"Python {about['python']}; {about['date']}"
    )


def resident():
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
