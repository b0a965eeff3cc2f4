"""The SHA-256 of parts of a file; that of a large file may be begun before it is needed, beside other work.

begin("w.h5", (512, None))                      in a thread, which lets Python go on
digest(file, (512, None))                       waits for that one, where the file is the same and unchanged
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from concurrent.futures import Future
from typing import IO

BLOCK = 4 << 20  # bytes: hashing them takes longer than to be given Python's lock again

_futures: dict[tuple[object, ...], Future[str]] = {}


def digest(file: IO[bytes], *parts: tuple[int, int | None]) -> str:
    """Return the SHA-256 of parts of an open file in hex; a part is (first byte, last byte + 1 or
    None for the end).
    """
    future = None
    with contextlib.suppress(OSError):  # what only memory holds has no number
        future = _futures.pop((*_stamp(file), *parts), None)
    return future.result() if future else _digest(file, *parts)


def begin(path: str | os.PathLike[str], *parts: tuple[int, int | None]) -> None:
    """Begin to compute `digest` of a file, for who asks next.  Nothing, where it cannot be read."""
    if not os.path.isfile(path):
        return
    try:
        file = open(path, "rb")  # noqa: SIM115  closed by the thread
    except OSError:
        return
    future: Future[str] = Future()

    def compute() -> None:
        with file:
            try:
                future.set_result(_digest(file, *parts))
            except Exception as error:
                future.set_exception(error)

    key = *_stamp(file), *parts
    threading.Thread(target=compute, name="rawconv-digest", daemon=True).start()
    _futures[key] = future


def _digest(file: IO[bytes], *parts: tuple[int, int | None]) -> str:
    sha, block = hashlib.sha256(), memoryview(bytearray(BLOCK))
    for start, end in parts:
        file.seek(start)
        at = start
        while end is None or at < end:
            count = file.readinto(block[: BLOCK if end is None else min(BLOCK, end - at)])  # type: ignore[attr-defined]
            if not count:
                break
            sha.update(block[:count])
            at += count
    return sha.hexdigest()


def _stamp(file: IO[bytes]) -> tuple[int, ...]:
    """What changes when a file is replaced or written."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
