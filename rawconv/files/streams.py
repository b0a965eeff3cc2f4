"""stdin, stdout and stderr as a shell may pass them on: closed, on a full disk, or in an ASCII encoding."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

NAMES = ("stdin", "stdout", "stderr")


def provide() -> None:
    """Open the null device in place of each closed stream; write escapes for what an encoding does not have.

    The number of a closed stream would be given to the next file that is opened, a checkpoint
    perhaps, and whatever a library prints would go into that file.
    """
    for number, name in enumerate(NAMES):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None and stream.errors != "backslashreplace":
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is sys.__stderr__:
        sys.stderr = _Unfailing(sys.stderr)


class _Unfailing:
    """A stream that drops what it cannot write: a progress bar that cannot be shown must not end a
    training.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError:
            _drop(self._stream)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            _drop(self._stream)


def settle() -> None:
    """Flush stdout and stderr, and drop what cannot be written: Python would otherwise exit with a
    code of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _drop(stream)


def _drop(stream: Any) -> None:
    """Redirect `stream`, with what it has buffered, to the null device."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
