"""Everything that needs a real card, in one run of at most five minutes; tools/gpu_check.sh starts it.

    tools/gpu_check.sh                                writes docs/gpu-results/<card>.json and <card>.md
    OUT=folder tools/gpu_check.sh                     writes these there, and the log
    tools/gpu_check.sh --only doctor --only tests     some parts
    tools/gpu_check.sh --rehearse                     small sizes, into a temporary folder

The parts stand in order of worth (gpu_plan.py).  Each is a program of its own with a time limit of
its own: one that fails, or is late, is told, and the next one goes on.  The results are written
after each part, so that a run which is ended from outside leaves what it has.
"""

import contextlib
import datetime
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import click
import gpu_plan
import gpu_reports

ROOT = Path(__file__).parent.parent
LIMIT, REHEARSAL = 295, 1200  # seconds in all
LEAST = 8  # seconds: a part is not started with less than that
LAST_LINES = 6  # of a program that failed, which are kept
PACKAGES = ("torch", "torchvision", "numpy", "numba", "pytest", "hypothesis", "h5py")


@click.command()
@click.option("--only", multiple=True, metavar="PART", help="Some parts alone.  Repeatable.")
@click.option("--rehearse", is_flag=True, help="Small sizes, for a machine without a card.")
@click.option(
    "--out", type=click.Path(file_okay=False), envvar="OUT", help="Folder.  [docs/gpu-results]"
)
@click.option(
    "--work",
    type=click.Path(file_okay=False),
    help="Folder of what is not kept.  [a temporary one]",
)
@click.option("--limit", type=click.IntRange(1), help="Seconds in all.  [295; rehearsal: 1200]")
def main(only, rehearse, out, work, limit):
    """Doctor, device tests, sanitizers, benchmarks, a training, determinism, uploads, rates, counters.

    The last line names the table.  Exit code 1: a part failed or was late; what a missing program
    left out is no failure.
    """
    work = Path(work or tempfile.mkdtemp())
    folder = Path(out or (tempfile.mkdtemp() if rehearse else ROOT / "docs/gpu-results"))
    parts = gpu_plan.parts(rehearse, max(2, (os.cpu_count() or 2) - 4))
    if unknown := set(only) - {part.name for part in parts}:
        names = ", ".join(part.name for part in parts)
        raise click.UsageError(f"There is no part {min(unknown)!r}; the parts are {names}.")
    chosen = [part for part in parts if not only or part.name in only]
    results = Results(folder, work, keeps_log=bool(out))
    end = time.monotonic() + (limit or (REHEARSAL if rehearse else LIMIT))
    for group in groups(chosen):
        with ThreadPoolExecutor(len(group)) as pool:
            for part, found in zip(
                group, pool.map(lambda p: run(p, work, end), group), strict=True
            ):
                results.add(part, found)
    click.echo(results.table)
    click.echo(results.path(".md"))
    if any(found["state"] in ("failed", "late") for found in results.parts.values()):
        raise SystemExit(1)


def groups(parts):
    """[[parts that run side by side], ...]."""
    found = []
    for part in parts:
        if part.beside and found:
            found[-1].append(part)
        else:
            found.append([part])
    return found


def run(part, work, end):
    """{"state", "seconds", "limit", and "results" or "why"} of one part.

    state: "done"; "missing", what it needs is not there; "failed"; "late", it was ended at its
    limit; "not run", there was no time left.
    """
    left = end - time.monotonic()
    found = {"seconds": 0.0, "limit": part.seconds}
    if lacks := [name for name in part.needs if not is_there(name)]:
        return found | {"state": "missing", "why": f"not on this machine: {', '.join(lacks)}"}
    if left < LEAST:
        return found | {"state": "not run", "why": "no time was left"}
    begin, log, file = time.monotonic(), work / f"{part.name}.log", work / f"{part.name}.out"
    command = [word.replace(gpu_plan.OUT, str(file)) for word in part.command]
    code = timed_out(command, log, min(part.seconds, left))
    text = log.read_text(errors="replace")
    found["seconds"] = time.monotonic() - begin
    with contextlib.suppress(Exception):  # what it wrote before it failed
        found["results"] = part.read(file, text)
    if code is None:
        return found | {
            "state": "late",
            "why": f"ended after {found['seconds']:.0f} s: {ending(text)}",
        }
    if code or "results" not in found:
        return found | {"state": "failed", "why": f"exit code {code}: {ending(text)}"}
    return found | {"state": "done"}


def is_there(name):
    """Whether there is such a program on the PATH, or such a module."""
    return shutil.which(name) is not None or importlib.util.find_spec(name) is not None


def timed_out(command, log, seconds):
    """The exit code of a program, None where it was ended with all it started."""
    with open(log, "wb") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        end(process)


def end(process):
    """Kill a program with all it started; on Windows, which has no groups of processes, itself alone."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def ending(text):
    """The last lines of what a program printed, as one."""
    return " / ".join(line.strip() for line in text.splitlines()[-LAST_LINES:] if line.strip())[
        -600:
    ]


class Results:
    """What was found so far, written anew after each part."""

    def __init__(self, folder, work, keeps_log):
        self.folder, self.work, self.keeps_log = folder, work, keeps_log
        self.card, self.parts, self.versions = card(), {}, versions()
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, ending):
        """docs/gpu-results/nvidia-h200.json"""
        return self.folder / (re.sub(r"[^a-z0-9]+", "-", self.card.lower()).strip("-") + ending)

    @property
    def table(self):
        return gpu_reports.table(self.as_json())

    def as_json(self):
        today = datetime.date.today().isoformat()
        return {"card": self.card, "date": today, "versions": self.versions, "parts": self.parts}

    def add(self, part, found):
        self.parts[part.name] = found
        click.echo(f"{part.name}: {found['state']}, {found['seconds']:.0f} s", err=True)
        self.path(".json").write_text(json.dumps(self.as_json(), indent=1, default=float) + "\n")
        self.path(".md").write_text(self.table)
        log = self.work / f"{part.name}.log"
        if self.keeps_log and log.exists():
            with open(self.path(".log"), "a") as file:
                file.write(f"=== {part.name}\n{log.read_text(errors='replace')}\n")


def card():
    """The name of the card, or why there is none."""
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    except Exception:
        return "no card"


def versions():
    """{what: its version} of what the results depend on."""
    found = {"Python": platform.python_version(), "processor": f"{os.cpu_count()} cores"}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    with contextlib.suppress(Exception):
        import cupy

        runtime = cupy.cuda.runtime
        found |= {
            "cupy": cupy.__version__,
            "CUDA runtime": runtime.runtimeGetVersion(),
            "driver": runtime.driverGetVersion(),
        }
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "rev-parse", "--short", "HEAD"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        found["commit"] = done.stdout.strip()
    return found


if __name__ == "__main__":
    main()
