"""Processors and memory of a container, from control groups written by hand as the kernel shows them."""

import math
import os
import sys

import pytest

from rawconv.machine import limits

HUGE = 9223372036854771712  # how version 1 says that there is no bound


@pytest.fixture
def machine(tmp_path):
    """machine(own groups, {path below /sys/fs/cgroup: text}): the folder that stands for "/"."""

    def pretend(groups, files):
        for name, text in [
            ("proc/self/cgroup", groups),
            *((f"sys/fs/cgroup/{n}", t) for n, t in files.items()),
        ]:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"{text}\n")
        return tmp_path

    return pretend


def first(quota, period):
    return {"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": period}


def below(folder, files):
    return {f"{folder}/{name}": text for name, text in files.items()}


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/", {"cpu.max": "max 100000"}, math.inf),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        ("0::/a/b", {"a/b/cpu.max": "50000 100000", "a/cpu.max": "300000 100000"}, 0.5),
        ("0::/of/the/host", {"cpu.max": "200000 100000"}, 2),
        ("0::/../../outside", {"cpu.max": "200000 100000"}, math.inf),
        ("4:cpu,cpuacct:/a\n0::/", below("cpu/a", first(400000, 100000)), 4),
        ("4:cpu:/docker/0123\n1:name=systemd:/x", below("cpu", first(25000, 50000)), 0.5),
        ("4:cpu:/", below("cpu", first(-1, 100000)), math.inf),
        ("4:cpu:/", below("cpu", first(100000, 0)), math.inf),
        ("4:cpuacct:/", {}, math.inf),
        ("", {"cpu.max": "100000 100000"}, 1),
        ("nonsense", {"cpu.max": "nonsense"}, math.inf),
        ("0::/", {"cpu.max": ""}, math.inf),
    ],
)
def test_the_smallest_quota_on_the_way_up_holds(groups, files, quota, machine):
    root = machine(groups, files)
    assert limits.cpu_quota(root) == quota
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert limits.cpus(root) == min(cores, max(1, math.ceil(min(quota, 1e9))))


@pytest.mark.parametrize(
    ("groups", "files", "bound"),
    [
        ("0::/", {"memory.max": "max"}, None),
        ("0::/a", {"memory.max": "5000000", "a/memory.max": "max"}, 5_000_000),
        (
            "7:memory:/a",
            {"memory/a/memory.limit_in_bytes": "4096", "memory/memory.limit_in_bytes": HUGE},
            4096,
        ),
        ("7:memory:/a", {"memory/memory.limit_in_bytes": HUGE}, None),
    ],
)
def test_memory(groups, files, bound, machine):
    pytest.importorskip("resource")
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert limits.memory_limit(machine(groups, files)) == (bound or physical)


def test_a_machine_without_control_groups(tmp_path):
    assert limits.cpu_quota(tmp_path) == math.inf and limits.cpus(tmp_path) >= 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="macOS bounds no address space")
def test_the_bound_of_ulimit():
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (physical - 4096, before[1]))
    try:
        assert limits.memory_limit("/nowhere") == physical - 4096
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
