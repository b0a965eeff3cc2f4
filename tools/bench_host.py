"""The host's time for a training step, without a card: on the software GPU, with launches that do nothing.

$RAWCONV_SOFTGPU run --venv .venv-gpu -- python tools/bench.py host
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

HERE = Path(__file__).parent
MODELS = {"zf64": 128, "zfnet": 128}  # and their batches


@click.command()
@click.option("--model", "names", multiple=True, type=click.Choice(list(MODELS)), help="[all]")
@click.option("--rounds", type=click.IntRange(1), default=30, show_default=True)
@click.option("--inside", is_flag=True, hidden=True)
@click.option("--json", "path", type=click.Path(dir_okay=False), help="Write the results there.")
def main(names, rounds, inside, path):
    """Milliseconds of processor time that the host takes to ask for a training step, as the median.

    A preload (null_device.cpp) answers every launch at once.  On a card, `bench.py gpu` measures it
    beside the device's own time.
    """
    names = names or list(MODELS)
    if inside:
        click.echo(json.dumps({model: measured(model, rounds) for model in names}))
        return
    words = [word for name in names for word in ("--model", name)]
    found = in_a_null_device("--inside", "--rounds", str(rounds), *words)
    for model, ms in found.items():
        click.echo(f"{model}, {MODELS[model]} images: {ms:.2f} ms of the host a step")
    if path:
        Path(path).write_text(json.dumps(found, indent=1))


def measured(model, rounds):
    """The median of some steps after two that compile; their images are on the device already."""
    from gpu_parts import step_of

    _, step = step_of(model, MODELS[model])
    times = []
    for turn in range(rounds + 2):
        begin = time.thread_time()
        step(turn)
        times.append(time.thread_time() - begin)
    return float(np.median(times[2:])) * 1e3


def in_a_null_device(*words):
    """What `bench.py host` prints last, in a process of its own that has the preload."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "null_device.so")
        source = str(HERE / "null_device.cpp")
        command = ["g++", "-O1", "-shared", "-fPIC", "-o", str(library), source]
        subprocess.run(command, check=True)
        preload = ":".join([str(library), *filter(None, [os.environ.get("LD_PRELOAD")])])
        done = subprocess.run(
            [sys.executable, str(HERE / "bench.py"), "host", *words],
            env=os.environ | {"LD_PRELOAD": preload}, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])
