"""stdin, stdout and stderr as a shell may hand them over: closed, full, or for ASCII alone."""

import contextlib
import os
import sys

NAMES = ("stdin", "stdout", "stderr")


def provide():
    """A null device in the place of each stream that is closed; escapes for what an encoding does not have.

    A closed descriptor would be given to the next file that is opened, a checkpoint perhaps, and what a library prints
    would go into it.
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
    """A stream that drops what it cannot write: a bar of progress nobody sees is no reason to end a training."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        try:
            return self._stream.write(text)
        except OSError:
            _drop(self._stream)
            return len(text)

    def flush(self):
        try:
            self._stream.flush()
        except OSError:
            _drop(self._stream)


def settle():
    """What cannot be written to stdout or stderr is dropped, or Python complains at its end, with a code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _drop(stream)


def _drop(stream):
    """All that was and will be written to `stream` goes to the null device."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
