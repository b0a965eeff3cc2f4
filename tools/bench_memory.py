"""The peak memory of one way, in a process of its own, above what that held when all was loaded."""

import pathlib
import subprocess
import sys

BENCH = pathlib.Path(__file__).with_name("bench.py")


def peaks(command, ways):
    """{way: bytes} of `bench.py COMMAND... --peak-of WAY`, which prints above_loaded, for each way."""
    words = [sys.executable, str(BENCH), *map(str, command), "--peak-of"]
    return {
        way: int(subprocess.run([*words, way], check=True, stdout=subprocess.PIPE).stdout)
        for way in ways
    }


def above_loaded(work):
    """Bytes that two calls of work() take at most, beyond those in memory now (Linux)."""
    before = _status("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    work()
    work()
    return max(0, _status("VmHWM") - before)


def _status(name):
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))
