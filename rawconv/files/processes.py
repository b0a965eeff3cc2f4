"""Processes that others can ask after: whether the one that left a lock or a temporary file is still at work.

this()                                 this Process, to be written down
gone(process)                          whether it is known to have ended
mark(), is_left_behind(path, mark)     the same for the names of temporary files
"""

import contextlib
import hashlib
import os
import socket
import time
from typing import NamedTuple

LARGEST = 1 << 16  # bytes of a lock or of what a kernel says of a process
A_DAY = 24 * 3600  # seconds after which another machine's temporary file is left behind


class Process(NamedTuple):
    """host, machine: its name and identity; boot: its kernel's present run; space: whose process numbers are meant, a
    container's or the machine's; pid; started: when, in the kernel's words.  "" is unknown."""

    host: str
    machine: str
    boot: str
    space: str
    pid: int
    started: str


def this():
    """This Process."""
    machine, boot = read_text("/etc/machine-id"), read_text("/proc/sys/kernel/random/boot_id")
    return Process(socket.gethostname(), machine, boot, _space(), os.getpid(), started(os.getpid()) or "")


def gone(process):
    """Whether this Process is known to have ended: it ran on this machine, and it, or the machine, does no more."""
    here = this()
    if (process.host, process.machine) != (here.host, here.machine):
        return False
    if process.boot and here.boot and process.boot != here.boot:
        return True
    if process.space != here.space:
        return False
    now = started(process.pid)
    return now is None or bool(now and process.started and now != process.started)


def started(pid):
    """When a process started, in the kernel's words; "" where that is not known, None where it has ended."""
    stat = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if stat:
        return None if stat[0] in "ZX" else stat[19]  # Z: it ended, and nobody asked how
    try:
        os.kill(pid, 0)
    except PermissionError:
        return ""
    except (OSError, OverflowError):
        return None
    return ""


def _space():
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def read_text(path):
    """The text of a small file without the white space around it; "" where it cannot be read, as what is no file."""
    with contextlib.suppress(OSError), open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        return file.read(LARGEST).decode(errors="replace").strip()
    return ""


# Temporary files


def mark():
    """What the name of a temporary file says of this process."""
    own = this()
    return f"{machine_mark(own)}.{own.pid}.{own.started or 0}"


def is_left_behind(path, mark):
    """Whether the process that named a temporary file so has ended.

    Of another machine's nobody knows: it has in a day.  So have those of older versions, which named the process alone.
    """
    own, (machine, _, process) = this(), mark.partition(".")
    if machine == machine_mark(own):
        pid, _, started = process.partition(".")
        return gone(own._replace(pid=int(pid), started="" if started == "0" else started))
    with contextlib.suppress(OSError):
        return time.time() - os.stat(path).st_mtime > A_DAY
    return False


def machine_mark(process):
    return hashlib.sha256(repr(process[:4]).encode()).hexdigest()[:8]
