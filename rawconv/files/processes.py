"""Whether the process that created a lock or a temporary file is still running.

this()                                 this Process, to be written into a lock
gone(process)                          whether that process is known to have ended
mark(), is_left_behind(path, mark)     the same for the names of temporary files
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import time
from typing import Any, NamedTuple

LARGEST = 1 << 16  # bytes read of a lock, or of a file in /proc
A_DAY = 24 * 3600  # seconds after which a temporary file of another machine counts as left behind


class Process(NamedTuple):
    """What identifies a process; "" is unknown.

    host, machine: the machine's name and its /etc/machine-id.  boot: the boot id of its kernel.
    space: the namespace that `pid` belongs to, a container's or the machine's.  started: when the
    process started, in the kernel's ticks.
    """

    host: str
    machine: str
    boot: str
    space: str
    pid: int
    started: str


def this() -> Process:
    """Return this Process."""
    machine, boot = read_text("/etc/machine-id"), read_text("/proc/sys/kernel/random/boot_id")
    return Process(
        socket.gethostname(), machine, boot, _space(), os.getpid(), started(os.getpid()) or ""
    )


def gone(process: Process) -> bool:
    """Whether a Process is known to have ended: it ran on this machine, which was rebooted or no
    longer runs it.
    """
    here = this()
    if (process.host, process.machine) != (here.host, here.machine):
        return False
    if process.boot and here.boot and process.boot != here.boot:
        return True
    if process.space != here.space:
        return False
    now = started(process.pid)
    return now is None or bool(now and process.started and now != process.started)


def started(pid: int) -> str | None:
    """Return when a process started, in the kernel's ticks; "" where that is unknown, None where it
    has ended.
    """
    stat = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if stat:
        # Z: a zombie, whose parent has not asked for its exit code
        return None if stat[0] in "ZX" else stat[19]
    if sys.platform == "win32":
        return "" if _runs_on_windows(pid) else None
    try:
        os.kill(pid, 0)
    except PermissionError:
        return ""
    except (OSError, OverflowError):
        return None
    return ""


def _runs_on_windows(pid: int) -> bool:
    """Whether Windows knows a process that runs; there os.kill(pid, 0) would send it a Ctrl-C."""
    import ctypes

    windows: Any = ctypes  # whose windll is there on Windows alone
    kernel, synchronize, timed_out = windows.windll.kernel32, 0x00100000, 0x102
    handle = kernel.OpenProcess(synchronize, False, pid)
    if not handle:
        return False
    runs = kernel.WaitForSingleObject(handle, 0) == timed_out
    kernel.CloseHandle(handle)
    return bool(runs)


def _space() -> str:
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def read_text(path: str) -> str:
    """Return the text of a small file without the white space around it; "" where it cannot be read."""
    with (
        contextlib.suppress(OSError),
        open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file,
    ):
        return file.read(LARGEST).decode(errors="replace").strip()
    return ""


# Temporary files


def mark() -> str:
    """Return the part of a temporary file's name that identifies this process."""
    own = this()
    return f"{machine_mark(own)}.{own.pid}.{own.started or 0}"


def is_left_behind(path: str, mark: str) -> bool:
    """Whether the process that gave a temporary file this `mark` has ended.

    For another machine, and for marks of older versions, which hold the pid alone, that cannot be
    told: they count as left behind after a day.
    """
    own, (machine, _, process) = this(), mark.partition(".")
    if machine == machine_mark(own):
        pid, _, started = process.partition(".")
        return gone(own._replace(pid=int(pid), started="" if started == "0" else started))
    with contextlib.suppress(OSError):
        return time.time() - os.stat(path).st_mtime > A_DAY
    return False


def machine_mark(process: Process) -> str:
    """Return the part of `mark` that identifies the machine and its present boot."""
    return hashlib.sha256(repr(process[:4]).encode()).hexdigest()[:8]
