"""What this process is granted of the machine: processors and memory, by its affinity and by the container it is in.

Containers bound both through control groups, of version 1 (a folder for each resource) or 2 (one tree).  A group is
bound by those above it too, so the smallest of all bounds holds.  `root` is the folder that stands for "/".
"""

import contextlib
import math
import os
import pathlib


def cpus(root="/"):
    """How many processors this process may keep busy, at least 1; a quota of 1.5 counts as 2."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, cpu_quota(root))))


def cpu_quota(root="/"):
    """How many processors' time the control groups grant, which may be a fraction; infinity where they set no bound."""
    return min([*_each(root, "", "cpu.max", _share), *_each(root, "cpu", "cpu.cfs_quota_us", _share)], default=math.inf)


def memory(root="/"):
    """How many bytes this process may use at most: those of the machine, or less where a control group or ulimit -v
    says so; infinity where nobody says."""
    bounds = [*_each(root, "", "memory.max", _bytes), *_each(root, "memory", "memory.limit_in_bytes", _bytes)]
    with contextlib.suppress(AttributeError, ValueError, OSError):  # another system than Linux or macOS
        bounds.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min([*bounds, address_space()])


def free_memory(root="/"):
    """How many bytes this process may still use: what the system can give without swapping, within `memory`."""
    try:
        lines = pathlib.Path(root, "proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):  # another system than Linux
        free = math.inf
    return min(free, memory(root))


def address_space():
    """How many bytes of addresses ulimit -v grants; infinity where it does not bound them."""
    try:
        import resource
    except ImportError:  # Windows
        return math.inf
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return math.inf if soft == resource.RLIM_INFINITY else soft


def _each(root, controller, name, read):
    """read(file) of every file `name` in this process's group and those above it; controller "": of version 2."""
    top = pathlib.Path(root, "sys/fs/cgroup", controller)
    try:
        lines = [line.split(":", 2) for line in pathlib.Path(root, "proc/self/cgroup").read_text().splitlines()]
    except OSError:
        lines = []
    inside = next((line[2] for line in lines if len(line) == 3 and controller in line[1].split(",")), "/")
    group = pathlib.Path(os.path.normpath(f"{top}/{inside}"))  # of the host, perhaps, and then not to be seen here
    for folder in (group, *group.parents):
        if folder != top and top not in folder.parents:
            return
        try:
            yield read(folder / name)
        except (OSError, ValueError, IndexError):  # no such file, or nothing that bounds
            continue


def _share(file):
    """Quota / period in microseconds: "200000 100000" or, in version 1, of two files.  ValueError: "max" or -1."""
    words = file.read_text().split()
    if file.name == "cpu.cfs_quota_us":
        words.append((file.parent / "cpu.cfs_period_us").read_text())
    return _positive(words[0]) / _positive(words[1])


def _bytes(file):
    return _positive(file.read_text())


def _positive(text):
    if int(text) <= 0:
        raise ValueError(text)
    return int(text)
