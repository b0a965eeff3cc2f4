"""Locks: only one process at a time may work in a folder, or write a file.

    with locked("runs/mine"): ...        creates runs/mine/.lock; for a file, present or future: .<its name>.lock
    holder("runs/mine")                  the other Process that works there; None where there is none

A lock is a file created with O_EXCL, which is atomic on every file system, and names its process.
The lock of a process that has ended is taken over.  Whether a process on another machine still runs
cannot be told from here: its lock stays until that process, or the user, removes it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator

from ..errors import RawconvError
from .processes import Process, gone, read_text, this

NAME = ".lock"
BEING_WRITTEN = 10  # seconds; an older lock without content was left by a process that was killed

_held: Counter[str] = Counter()  # {lock file: how often this process took it}

Path = str | os.PathLike[str]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the folder or file `path`; this process may take the same lock several times.

    RawconvError, which names the other process: another one holds the lock.
    """
    file = take(path)
    try:
        yield
    finally:
        release(file)


def take(path: Path) -> str:
    """Take the lock of `path` until `release` or the end of the process; return the name of the lock's file.

    RawconvError: as in `locked`.
    """
    file = _file(path)
    if not _held[file]:
        _make(file, path)
    _held[file] += 1
    return file


def release(file: str, wholly: bool = False) -> None:
    """Undo one `take` of a lock file, or all of them (wholly)."""
    _held[file] -= 1
    if wholly or _held[file] <= 0:
        _remove(file)


def holder(path: Path) -> Process | None:
    """Return the other Process that holds the lock of `path`; None where there is none."""
    process = _read(_file(path))
    return process if process and process != this() and not gone(process) else None


def refuse_held(path: Path) -> None:
    """RawconvError, which names the other process: another one holds the lock of `path`."""
    if other := holder(path):
        raise _refusal(_file(path), path, other)


def _file(path: Path) -> str:
    path = os.path.realpath(path)
    return (
        os.path.join(path, NAME)
        if os.path.isdir(path)
        else "{}/.{}{}".format(*os.path.split(path), NAME)
    )


def _make(file: str, path: Path) -> None:
    text = json.dumps(this()._asdict()).encode()
    while True:
        try:
            descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            other = _read(file)
            if other and not gone(other):
                raise _refusal(file, path, other) from None
            _take_away(file, other)
            continue
        except OSError as error:
            raise _unwritten(path, error) from error
        try:
            with open(descriptor, "wb") as out:
                out.write(text)
        except BaseException as error:
            _unlink(file)
            if isinstance(error, OSError):
                raise _unwritten(path, error) from error
            raise
        return


def _read(file: str) -> Process | None:
    """Return the Process that a lock file names; None where there is no file, or it names none."""
    try:
        process = Process(**json.loads(read_text(file)))
    except (ValueError, TypeError):
        return None
    kinds = {"pid": int}
    return (
        process
        if all(type(part) is kinds.get(name, str) for name, part in process._asdict().items())
        else None
    )


def _take_away(file: str, other: Process | None) -> None:
    """Remove the lock of a process that has ended (other None: of a lock that names none), unless
    it was replaced.

    A second lock guards the removal: otherwise two processes could see the old lock, and the slower
    one would remove the new lock of the faster one.
    """
    with contextlib.suppress(FileExistsError, FileNotFoundError):
        if other is None and time.time() - os.stat(file).st_mtime < BEING_WRITTEN:
            time.sleep(0.02)
            return
        guard = f"{file}.gone"
        if os.path.exists(guard) and time.time() - os.stat(guard).st_mtime > BEING_WRITTEN:
            os.unlink(guard)  # a process was killed between the lines below
        os.close(os.open(guard, os.O_CREAT | os.O_EXCL, 0o666))
        try:
            if _read(file) == other:
                os.unlink(file)
        finally:
            _unlink(guard)
        return
    time.sleep(0.02)


def _remove(file: str) -> None:
    del _held[file]
    if _read(file) == this():  # false in a fork, and where another process replaced the lock
        _unlink(file)


def _unlink(file: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(file)


@atexit.register
def _remove_all() -> None:
    for file in list(_held):
        _remove(file)


def _refusal(file: str, path: Path, other: Process) -> RawconvError:
    since = ""
    with contextlib.suppress(OSError):
        since = time.strftime(" since %Y-%m-%d %H:%M", time.localtime(os.stat(file).st_mtime))
    remedy = "Wait for it, or name another place."
    if (other.host, other.machine, other.space) != (this().host, this().machine, this().space):
        remedy = f"Wait for it, or name another place; if it is no longer running, remove {file}."
    return RawconvError(
        f"Process {other.pid} on {other.host} is at work on {path}{since}. {remedy}"
    )


def _unwritten(path: Path, error: OSError) -> RawconvError:
    # not at the top: it imports h5py, which a command's --help need not wait for
    from .storage import unwritten

    return unwritten(path, error)
