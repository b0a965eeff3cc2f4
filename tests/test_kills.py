"""tools/kill_test.py itself, with one kill; a hundred of them with --long."""

import pathlib
import subprocess
import sys

import pytest

TOOL = pathlib.Path(__file__).parent.parent / "tools" / "kill_test.py"


@pytest.mark.parametrize("kills", [1, pytest.param(100, marks=pytest.mark.long)])
def test_killed_at_random_moments_and_resumed_the_run_ends_with_the_same_bits(kills):
    done = subprocess.run(
        [sys.executable, TOOL, "--kills", str(kills)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{kills} kills; weights, momentum" in done.stdout
