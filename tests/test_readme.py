"""The README is true: its links lead somewhere, and every command and every line of Python in it runs."""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import venv

import numpy as np
import pytest
from copies import share_loops
from PIL import Image

from rawconv import models

ROOT = pathlib.Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
QUICK = {  # what takes longer than half a minute runs with less to do
    "tools/demo.sh": "tools/demo.sh --quick",
    "rawconv-train --data my-pictures/ --model zf64 --epochs 20 --out runs/mine":
        "rawconv-train --data my-pictures/ --model zf64 --epochs 1 --out runs/mine",
}  # fmt: skip
ELSEWHERE = {"tools/test.sh": "this is what it runs", "pip install .": "tools/demo.sh does it"}


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the checkout's files that are in git or will be, with some pictures of a user beside them."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("weights", "docs", "tools", "rawconv"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    share_loops(folder)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    rng = np.random.default_rng(0)
    for label in ("left", "right"):
        (folder / "my-pictures" / label).mkdir(parents=True)
        for k in range(12):
            pixels = rng.integers(0, 100, (70, 80, 3), np.uint8)
            pixels[:, : 40 if label == "left" else 80] += 100
            Image.fromarray(pixels).save(folder / "my-pictures" / label / f"{k}.png")
    return folder


def test_the_layers_that_are_not_in_the_paper():
    """They are named, and the paper's net (with the loss that trains it) has all others of the table."""
    table = set(
        re.findall(
            r"^\| (\w+) \|", TEXT.split("## The three passes")[1].split("\n## ")[0], re.MULTILINE
        )
    )
    (named,) = re.findall(r"([\w, ]+) are not in the paper", TEXT)
    paper = {type(layer).__name__ for _, layer in models.build("zf64", classes=2).layers}
    assert table - {"layer"} - set(re.split(", | and ", named.strip())) == paper | {"Softmax"}


@pytest.mark.posix
@pytest.mark.skipif(
    not (pathlib.Path(sys.executable).parent / "rawconv-train").exists(),
    reason="rawconv is not installed",
)
def test_every_command_runs(folder, request):
    if not request.config.getoption("--long"):
        lend_packages(folder / ".venv")
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    for command in (command for command in COMMANDS if command not in ELSEWHERE):
        words = QUICK.get(command, command)
        environment = os.environ | {"PATH": path, "PYTHON": sys.executable}
        result = subprocess.run(
            words,
            shell=True,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=1200,
        )
        assert result.returncode == 0, f"{words}\n{result.stdout}\n{result.stderr}"


def lend_packages(environment):
    """Make the virtual environment that the commands would make, with the packages of this one: half a minute less."""
    venv.create(environment)
    (site,) = environment.glob("[Ll]ib/**/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_path("purelib"))


def test_the_demo_names_the_net_of_each_figure():
    """Without --weights its first figure would be of the net that an earlier demo trained, not of the shipped one."""
    figures = re.findall(r"rawconv-visualize.*", (ROOT / "tools/demo.sh").read_text())
    assert len(figures) == 2
    assert "--weights rawconv/scenes.h5" in figures[0] and '--weights "$run/' in figures[1]


def test_the_python_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    assert Image.open(folder / "conv4-17.png").size == (64, 64)


def test_links_and_images_are_there():
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_the_shipped_nets_are_those_that_their_page_names():
    text = (ROOT / "weights/README.md").read_text()
    for digest, name in re.findall(r"^([0-9a-f]{64})  (\S+)$", text, re.MULTILINE):
        path = ROOT / "weights" / name
        assert path.is_file() and not path.is_symlink()
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
