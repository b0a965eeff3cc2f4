"""tools/environment.sh, which demo.sh and test.sh begin with: a Python that cannot serve is named in one
sentence, and no half-made .venv is left for the next run to stumble over.
"""

import os
import pathlib
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.posix
ROOT = pathlib.Path(__file__).parent.parent
TOO_OLD = "exit 1"  # of the question for its version
NO_PIP = 'mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo "no ensurepip" >&2; [ "$1" = -c ]'
NO_NETWORK = 'mkdir -p .venv/bin; cp "$0" .venv/bin/python; [ "$2" != pip ]'


def run(script, does, folder):
    """A script of tools in a folder, with a Python that does no more than that."""
    shutil.copytree(ROOT / "tools", folder / "tools", dirs_exist_ok=True)
    python = folder / "python3"
    python.write_text(f"#!/bin/sh\n{does}\n")
    python.chmod(0o755)
    return subprocess.run(
        [folder / "tools" / script],
        env=os.environ | {"PYTHON": str(python)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("script", ["demo.sh", "test.sh"])
@pytest.mark.parametrize(
    ("does", "says"),
    [(TOO_OLD, "rawconv needs Python 3.10 or newer, and "), (NO_PIP, "no ensurepip")],
)
def test_a_python_that_cannot_serve(does, says, script, tmp_path):
    for _ in range(2):
        done = run(script, does, tmp_path)
        assert done.returncode == 1 and done.stdout == ""
        assert says in done.stderr.splitlines()[0] and not (tmp_path / ".venv").exists()
    if does is TOO_OLD:
        assert done.stderr.count("\n") == 1 and f"PYTHON=python3.12 {tmp_path}" in done.stderr


@pytest.mark.parametrize("script", ["demo.sh", "test.sh"])
def test_who_waits_for_pip_knows_it(script, tmp_path):
    done = run(script, NO_NETWORK, tmp_path)
    assert done.returncode and done.stdout.startswith("Installing rawconv ")
    assert done.stdout.count("\n") == 1
