"""Read and write at a position of an open file, from several threads at once.

    read_at(descriptor, buffer, position)        how many bytes came in; 0 at the file's end
    write_at(descriptor, data, position)         how many bytes went out

Where the system has no call that does both in one (Windows), one thread at a time seeks and then
reads or writes.
"""

from __future__ import annotations

import os
import threading

_seeking = threading.Lock()


def read_at(descriptor: int, buffer: memoryview, position: int) -> int:
    """Fill `buffer` with what stands at byte `position`; return how many bytes there were, possibly
    fewer.
    """
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [buffer], position)
    if hasattr(os, "pread"):
        data = os.pread(descriptor, len(buffer), position)
    else:
        with _seeking:
            os.lseek(descriptor, position, os.SEEK_SET)
            data = os.read(descriptor, len(buffer))
    buffer[: len(data)] = data
    return len(data)


def write_at(descriptor: int, data: memoryview, position: int) -> int:
    """Write `data` at byte `position`; return how many bytes were written, possibly fewer."""
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, data, position)
    with _seeking:
        os.lseek(descriptor, position, os.SEEK_SET)
        return os.write(descriptor, data)
