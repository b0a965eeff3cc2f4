"""docs/imagenet.md is rehearsed: its own commands, with a few pictures in archives of ILSVRC's shape."""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import click
import pytest
from ilsvrc import write_archives, write_caltech

from rawconv import checkpoint
from rawconv.cli import data, experiments, train, visualize
from rawconv.data import open_data

ROOT = pathlib.Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(
    not (ROOT / "docs").exists(), reason="the checkout's docs/ is not here: installed tests"
)
COMMANDS = {
    "rawconv-data": data.main, "rawconv-train": train.main, "rawconv-visualize": visualize.main,
    "rawconv-experiment": experiments.main,
}  # fmt: skip
SMALL = {  # what the rehearsal writes in place of what the page has, and nothing else
    "-n 8": "-n 2",
    "--device gpu": "--device cpu",
    "--epochs 70 --schedule constant": "--epochs 3 --batch 16 --schedule constant",
    "--epochs 70": "--epochs 1 --batch 16",
    "1 2 3 4": "1",
    "--pictures 50000": "--pictures 8",
    "--per-class 15 --per-class 30 --per-class 45 --per-class 60": "--per-class 3",
    "--per-class 60": "--per-class 3",
    "--units random:18": "--units random:2",
}
LESS = {  # what it adds to these commands
    "experiment evolution": "--maps 1",
    "experiment invariance": "--count 1",
    "experiment occlusion": "--count 1 --measured 1 --stride 80",
    "experiment correspondence": "--draws 2 --count 2",
    "experiment controls": "--units 2 --rows 1",
    "experiment filters": "--pictures 8",
    "experiment ablation": "--quick --only alexnet-without-3467",
    "experiment transfer": "--quick",
    "experiment layers": "--quick --classifier softmax",
}
LIMIT = 3600  # seconds of a command beside others


def lines():
    """The commands of the page, one a line."""
    blocks = re.findall(
        r"^```bash\n(.*?)^```", (ROOT / "docs/imagenet.md").read_text(), re.M | re.S
    )
    return [line for block in blocks for line in block.splitlines()]


def small(line):
    """A command of the page as it is rehearsed."""
    for whole, part in SMALL.items():
        line = line.replace(whole, part)
    for command, options in LESS.items():
        if f"rawconv-{command} " in line:
            line += f" {options}"
    return line


def rawconv_commands(line):
    """[(program, arguments)] of rawconv's commands in a line of the shell."""
    parts = [shlex.split(part) for part in re.split(r"; (?:do )?|&& ", line.replace("$seed", "1"))]
    return [
        (word, part[place + 1 :])
        for part in parts
        for place, word in enumerate(part)
        if word in COMMANDS
    ]


def accept(program, arguments):
    """The name of a command, whose arguments click has read; nothing runs."""
    command, name = COMMANDS[program], program
    if isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.get_command(click.Context(command), name)
        assert command is not None, name
    with command.make_context(program, list(arguments)):
        pass
    return name


@pytest.mark.parametrize("change", [str, small], ids=["page", "rehearsal"])
def test_every_command_of_the_page_has_its_options(change):
    names = [accept(*one) for line in lines() for one in rawconv_commands(change(line))]
    assert {"pack", "verify", *experiments.NAMES} <= set(names)
    assert len(names) == sum(line.count("rawconv-") for line in lines())


def test_the_rehearsal_changes_what_the_page_has():
    text = "\n".join(lines())
    for whole in SMALL:
        assert whole in text, whole
    for command in LESS:
        assert f"rawconv-{command} " in text, command


@pytest.mark.long
def test_the_commands_of_the_page_run_one_after_the_other(tmp_path):
    """Two processes; the first training is ended by Ctrl-C after its first epoch and goes on with a lower rate."""
    if not shutil.which("mpirun"):
        pytest.skip("there is no mpirun")
    write_archives(tmp_path)
    write_caltech(tmp_path)
    for number, line in enumerate(lines()):
        begin = time.monotonic()
        first = "--schedule constant" in line
        run(
            small(line), tmp_path, interrupt=tmp_path / "runs/imagenet/log.jsonl" if first else None
        )
        print(f"{time.monotonic() - begin:6.1f} s  {number}: {small(line)}", file=sys.stderr)
        if line.startswith("rawconv-data pack"):
            check_packed(tmp_path / "imagenet.h5")
    rates = [json.loads(row)["lr"] for row in (tmp_path / "runs/imagenet/log.jsonl").open()]
    assert rates[0] == 0.01 and rates[-1] == 0.001 and len(rates) == 3
    net = checkpoint.load(tmp_path / "runs/imagenet/last.h5").net
    assert net.model == "zfnet" and net.shape == (224, 224, 3)
    test = json.loads((tmp_path / "runs/imagenet-test/test.json").read_text())
    assert test["views"] == 10 and test["pictures"] == 16
    assert list((tmp_path / "runs/imagenet-figure2").glob("*.png"))
    shutil.rmtree(tmp_path / "runs")  # many nets, of 200 MB and more each


def check_packed(path):
    """Each validation picture has the class that its number in the kit says, whatever order that has."""
    found = open_data(str(path), 256)
    assert (len(found.train), len(found.val)) == (32, 16) and found.classes == found.wnids
    for name, label in zip(found.val.names, found.val.labels, strict=True):
        assert label == (int(re.search(r"val_(\d+)", name)[1]) - 1) % 4


def run(line, folder, interrupt=None):
    """Run a line of the shell.  interrupt: a log; when it has a row, everything gets Ctrl-C, as from a terminal."""
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    with open(folder / "output", "w+") as output:
        process = subprocess.Popen(
            ["bash", "-c", line], cwd=folder, env=os.environ | {"PATH": path}, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
        try:
            while interrupt and process.poll() is None and not rows(interrupt):
                time.sleep(0.1)
            if interrupt and process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            code = process.wait(LIMIT)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        output.seek(0)
        assert code == (130 if interrupt else 0), f"{line}\n{output.read()}"


def rows(log):
    return log.exists() and log.read_text().count("\n")
