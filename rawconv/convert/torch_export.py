"""PyTorch's exporters to ONNX, without what they print."""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import os
import sys
import tempfile
import warnings

from ..errors import RawconvError


def exported(model, x):
    """(the bytes of an ONNX file, what tracing warned of), by PyTorch's older exporter, which needs
    no further package; else by its newer one.

    RawconvError: neither can.
    """
    import torch

    errors = []
    for newer in (False, True):
        out = io.BytesIO()
        try:
            with _silence(), warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                torch.onnx.export(model, (x,), out, dynamo=newer)
        except Exception as error:  # of any kind, from the model's own code as well
            errors.append(one_line(error))
            continue
        # all but these are the exporters' own, about themselves
        traced = [_told(one) for one in warned if issubclass(one.category, torch.jit.TracerWarning)]
        return out.getvalue(), traced
    raise RawconvError(f"PyTorch cannot export this {type(model).__name__} to ONNX ({errors[0]}).")


def _told(warned):
    """Where PyTorch warned of what, without its advice."""
    place = f"{os.path.basename(warned.filename)}, line {warned.lineno}"
    return f"PyTorch, in {place}: {one_line(warned.message).split('. ')[0]}"


def one_line(error):
    """What an error or a warning says, in a line of at most 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextlib.contextmanager
def _silence():
    """Nothing comes out of print, of logging, or of C++ code that writes to the terminal itself."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            _descriptors_away(),
        ):
            yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def _descriptors_away():
    """Standard output and standard error of the process lead into a file that is thrown away."""
    kept = {}
    with tempfile.TemporaryFile() as sink:
        _flush()
        try:
            for number in (1, 2):
                with contextlib.suppress(OSError):  # a process may have none
                    kept[number] = os.dup(number)
                    os.dup2(sink.fileno(), number)
            yield
        finally:
            _flush()
            for number, before in kept.items():
                os.dup2(before, number)
                os.close(before)


def _flush():
    """Write out what Python and C have in their buffers, where it belongs."""
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).fflush(None)
