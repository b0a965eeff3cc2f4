"""Two at once: a file that says which process is at work where only one may be.

    with locked("runs/mine"): ...        runs/mine/.lock; beside a file, or where one is to be: .<its name>.lock
    holder("runs/mine")                  the Process that is at work there, if it is another one; else None

The file is made with O_EXCL, which every file system keeps, and names its process.  One whose process is gone is taken
over.  Of a process on another machine nobody can tell here: its lock stays until it, or the user, removes it.
"""

import atexit
import contextlib
import json
import os
import time
from collections import Counter

from ..errors import RawconvError
from .processes import Process, gone, read_text, this

NAME = ".lock"
BEING_WRITTEN = 10  # seconds after which a lock that says nothing is what a killed process left

_held = Counter()  # of this process: {file: how often it was taken}


@contextlib.contextmanager
def locked(path):
    """Alone in the folder `path`, or with the file `path`, among all that ask; again within this process is no matter.

    RawconvError, which says who is at work there, where another process is.
    """
    file = take(path)
    try:
        yield
    finally:
        release(file)


def take(path):
    """As `locked`, until `release` of what is returned, the lock's file, or the end of the process."""
    file = _file(path)
    if not _held[file]:
        _make(file, path)
    _held[file] += 1
    return file


def release(file, wholly=False):
    """Undo one `take`, or (wholly) all there were."""
    _held[file] -= 1
    if wholly or _held[file] <= 0:
        _remove(file)


def holder(path):
    """The other Process that is at work in the folder, or with the file, `path`; None where there is none."""
    found = _read(_file(path))
    return found if found and found != this() and not gone(found) else None


def refuse_held(path):
    """RawconvError where another process is at work there."""
    if other := holder(path):
        raise _refusal(_file(path), path, other)


def _file(path):
    path = os.path.realpath(path)
    return os.path.join(path, NAME) if os.path.isdir(path) else "{}/.{}{}".format(*os.path.split(path), NAME)


def _make(file, path):
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


def _read(file):
    """The Process that a lock names; None where there is no lock, or nothing that names one."""
    try:
        found = Process(**json.loads(read_text(file)))
    except (ValueError, TypeError):
        return None
    kinds = {"pid": int}
    return found if all(type(part) is kinds.get(name, str) for name, part in found._asdict().items()) else None


def _take_away(file, other):
    """Remove a lock whose process is gone (or, None, that names none), unless somebody else just did.

    Under a lock of its own: or two could see the old lock, and the slower of them remove the other's new one.
    """
    with contextlib.suppress(FileExistsError, FileNotFoundError):
        if other is None and time.time() - os.stat(file).st_mtime < BEING_WRITTEN:
            time.sleep(0.02)
            return
        guard = f"{file}.gone"
        if os.path.exists(guard) and time.time() - os.stat(guard).st_mtime > BEING_WRITTEN:
            os.unlink(guard)  # its process was killed in these few lines
        os.close(os.open(guard, os.O_CREAT | os.O_EXCL, 0o666))
        try:
            if _read(file) == other:
                os.unlink(file)
        finally:
            _unlink(guard)
        return
    time.sleep(0.02)


def _remove(file):
    del _held[file]
    if _read(file) == this():  # not in a fork, nor where somebody replaced it
        _unlink(file)


def _unlink(file):
    with contextlib.suppress(OSError):
        os.unlink(file)


@atexit.register
def _remove_all():
    for file in list(_held):
        _remove(file)


def _refusal(file, path, other):
    since = ""
    with contextlib.suppress(OSError):
        since = time.strftime(" since %Y-%m-%d %H:%M", time.localtime(os.stat(file).st_mtime))
    remedy = "Wait for it, or name another place."
    if (other.host, other.machine, other.space) != (this().host, this().machine, this().space):
        remedy = f"Wait for it, or name another place; if it is no longer running, remove {file}."
    return RawconvError(f"Process {other.pid} on {other.host} is at work on {path}{since}. {remedy}")


def _unwritten(path, error):
    from .storage import unwritten  # here, since it brings HDF5 along, which a command's --help need not wait for

    return unwritten(path, error)
