"""`rawconv` and `python -m rawconv` list the commands, and run them."""

import configparser
import pathlib
import subprocess
import sys

import pytest
from click.testing import CliRunner

from rawconv.cli.rawconv import main

ROOT = pathlib.Path(__file__).parent.parent


def test_it_has_every_command_that_is_installed():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    scripts = dict(
        line.split(" = ")
        for line in config["options.entry_points"]["console_scripts"].split("\n")
        if line
    )
    assert scripts.pop("rawconv") == "rawconv.cli.rawconv:main"
    assert {f"rawconv-{name}": f"{module}:main" for name, module in main.modules.items()} == scripts


def test_it_lists_them_with_what_they_do():
    done = subprocess.run(
        [sys.executable, "-m", "rawconv", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "Usage: rawconv [OPTIONS] COMMAND" in done.stdout
    for name, line in [
        ("train", "Train a net."),
        ("info", ""),
        ("experiment", "Repeat the experiments"),
    ]:
        assert f"  {name} " in done.stdout and line in done.stdout


@pytest.mark.parametrize("words, code", [
    (["info", "nowhere.h5"], 2), (["data", "info", "nowhere"], 2), (["experiment", "filters", "--help"], 0), (["x"], 2),
])  # fmt: skip
def test_a_subcommand_ends_as_the_command_does(words, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(main, words)
    assert found.exit_code == code and "Traceback" not in found.output
    assert ("nowhere" in found.stderr) == ("nowhere" in " ".join(words))
    assert found.stderr.count("Error:") == (code == 2)
