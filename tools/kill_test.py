"""Kill a small training again and again at any moment, resume it each time, and compare with an
undisturbed run.

    python tools/kill_test.py              100 kills at random moments (some minutes); --kills 5 for a short one

Exit code 0 where the weights, the momentum and the log are the undisturbed run's bit for bit, and
no file was left damaged at any time.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import click
import numpy as np

from rawconv import checkpoint
from rawconv.errors import RawconvError, UsageError
from rawconv.training.loop import TIMES

WORDS = ["--model", "lenet", "--data", "scenes:240", "--batch", "16", "--schedule", "cosine"]


def command(folder, epochs):
    """Begin, or resume what is there."""
    train = [sys.executable, "-m", "rawconv.cli.train", "--save-every", "0.005"]
    if (folder / "last.h5").exists():
        return [*train, "--resume", folder]
    return [*train, *WORDS, "--epochs", str(epochs), "--out", folder]


def check_files(folder):
    """Every checkpoint and log line that lies there is sound, whatever was happening when the
    process died.
    """
    for path in folder.rglob("*.h5"):
        checkpoint.load(path)
    for path in folder.glob("log.jsonl"):
        [json.loads(line) for line in path.read_text().splitlines()]


def result(folder):
    """All that must be equal: weights, momentum, position, and the log without its times."""
    found = checkpoint.load(folder / "last.h5")
    log = [
        json.loads(line) | dict.fromkeys(TIMES, 0)
        for line in (folder / "log.jsonl").read_text().splitlines()
    ]
    return found.net.params, found.state["momentum"], found.state["progress"], log


def differences(one, other):
    """The names of what differs between two results."""
    found = [
        f"{what} of {key}"
        for what, a, b in zip(("weights", "momentum"), one, other, strict=False)
        for key in sorted(a.keys() | b.keys())
        if key not in a or key not in b or not np.array_equal(a[key], b[key])
    ]
    return found + [
        what for what, a, b in zip(("position", "log"), one[2:], other[2:], strict=True) if a != b
    ]


@click.command()
@click.option("--kills", type=click.IntRange(1), default=100, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the moments.")
def main(kills, seed):
    """Kill, resume, compare."""
    dice, epochs, done = random.Random(seed), 10 + 4 * kills, 0
    with tempfile.TemporaryDirectory() as place:
        undisturbed, killed = pathlib.Path(place, "undisturbed"), pathlib.Path(place, "killed")
        began = time.monotonic()
        subprocess.run(command(undisturbed, epochs), check=True, capture_output=True)
        print(f"undisturbed: {epochs} epochs in {time.monotonic() - began:.0f} s", flush=True)
        while done < kills:
            process = subprocess.Popen(
                command(killed, epochs), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
            try:
                process.wait(dice.uniform(0, 3))  # a process takes about a second to begin
                break  # it came to its end
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            done += 1
            try:
                check_files(killed)
            except (RawconvError, UsageError, ValueError) as error:
                sys.exit(f"after {done} kills a file is damaged: {error}")
        subprocess.run(command(killed, epochs), check=True, capture_output=True)
        if found := differences(result(undisturbed), result(killed)):
            sys.exit(
                f"after {done} kills the run ended otherwise than the undisturbed one: {', '.join(found)}"
            )
    print(
        f"{done} kills; weights, momentum, position and log are those of the undisturbed run, bit for bit"
    )


if __name__ == "__main__":
    main()
