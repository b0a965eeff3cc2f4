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


def settle():
    """What cannot be written to stdout or stderr is dropped, or Python complains at its end, with a code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
