"""How many processors and how much memory this process may use: its CPU affinity, ulimit, and its
container's limits.

Containers limit both through control groups, of version 1 (a folder for each resource) or 2 (one
tree).  The limits of every parent group hold as well, so the smallest one counts.  `root` is the
folder that stands for "/".
"""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import sys
from collections.abc import Callable, Iterator


def cpus(root: str | os.PathLike[str] = "/") -> int:
    """Return how many processors this process may keep busy, at least 1; a quota of 1.5 counts as 2."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, math.ceil(min(cores, cpu_quota(root))))


def cpu_quota(root: str | os.PathLike[str] = "/") -> float:
    """Return the CPU quota of the control groups in processors, perhaps a fraction; infinity where
    there is none.
    """
    quotas = [
        *_each(root, "", "cpu.max", _processors),
        *_each(root, "cpu", "cpu.cfs_quota_us", _processors),
    ]
    return min(quotas, default=math.inf)


def memory_limit(root: str | os.PathLike[str] = "/") -> float:
    """Return how many bytes this process may use: the machine's memory, or less by a control group
    or ulimit -v.

    Infinity where none of them is known.
    """
    bounds: list[float] = [*_each(root, "", "memory.max", _bytes)]
    bounds += _each(root, "memory", "memory.limit_in_bytes", _bytes)
    if sys.platform != "win32":
        with contextlib.suppress(ValueError, OSError):
            bounds.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min([*bounds, address_space()])


def free_memory(root: str | os.PathLike[str] = "/") -> float:
    """Return how many bytes this process may still use without swapping, at most `memory_limit`."""
    free: float = math.inf
    with contextlib.suppress(OSError, ValueError, StopIteration):  # another system than Linux
        lines = pathlib.Path(root, "proc/meminfo").read_text("utf-8").splitlines()
        free = next(
            int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")
        )
    return min(free, memory_limit(root))


def address_space() -> float:
    """Return the limit of ulimit -v in bytes; infinity where there is none."""
    if sys.platform == "win32":
        return math.inf
    try:
        import resource
    except ImportError:  # another system without it
        return math.inf
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return math.inf if soft == resource.RLIM_INFINITY else soft


def _each(
    root: str | os.PathLike[str], controller: str, name: str, read: Callable[[pathlib.Path], float]
) -> Iterator[float]:
    """Yield read(file) of every file `name` in this process's group and its parents; controller "":
    of version 2.
    """
    top = pathlib.Path(root, "sys/fs/cgroup", controller)
    try:
        lines = [
            line.split(":", 2)
            for line in pathlib.Path(root, "proc/self/cgroup").read_text("utf-8").splitlines()
        ]
    except OSError:
        lines = []
    inside = next(
        (line[2] for line in lines if len(line) == 3 and controller in line[1].split(",")), "/"
    )
    # may be a path of the host, not visible in here
    group = pathlib.Path(os.path.normpath(f"{top}/{inside}"))
    for folder in (group, *group.parents):
        if folder != top and top not in folder.parents:
            return
        try:
            yield read(folder / name)
        except (OSError, ValueError, IndexError):  # no such file, or it sets no limit
            continue


def _processors(file: pathlib.Path) -> float:
    """Return quota / period, both in microseconds: "200000 100000", or two files of version 1.

    ValueError: "max" or -1, which set no limit.
    """
    words = file.read_text("utf-8").split()
    if file.name == "cpu.cfs_quota_us":
        words.append((file.parent / "cpu.cfs_period_us").read_text("utf-8"))
    return _positive(words[0]) / _positive(words[1])


def _bytes(file: pathlib.Path) -> int:
    return _positive(file.read_text("utf-8"))


def _positive(text: str) -> int:
    if int(text) <= 0:
        raise ValueError(text)
    return int(text)
