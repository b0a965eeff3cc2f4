"""Numba's compiler for the package's loops, and where their machine code is kept.

    @loop                         numba.njit(nogil=True), kept for the next process
    @loop(error_model="numpy")

It is kept beside the package, or else in the user's own cache folder; NUMBA_CACHE_DIR names another one.  That is a
convenience: what cannot be read, or is damaged, is compiled anew and replaced; what cannot be written is done without,
after one line that names the folder.  Numba's own cache would end the program in each of these cases.
"""

import contextlib
import functools
import hashlib
import os
import pathlib
import pickle
import re
import sys
import tempfile

from ..files.messages import warn
from . import environment

numba = environment.check()
from numba.core import compiler, serialize  # noqa: E402  (after what may be refused in a sentence)

PACKAGE = pathlib.Path(__file__).absolute().parent.parent
SHARED = [PACKAGE / "machine/philox.py", PACKAGE / "layers/cpu/simd.py"]  # their text is inlined into loops elsewhere
DIGEST = hashlib.sha256().digest_size
TRIAL = 1 << 17  # bytes to write, in order to see whether there is room for one loop


def loop(function=None, **options):
    """Compile `function` when it is first called with arguments of some types; `options`: of numba.njit."""
    if function is None:
        return lambda function: loop(function, **options)
    compiled = numba.njit(nogil=True, **options)(function)
    compiled._cache = _Kept(function)
    return compiled


def folders():
    """Where the machine code may be kept, the best first."""
    name = f"rawconv_{hashlib.sha256(os.fsencode(PACKAGE)).hexdigest()[:16]}"
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return [pathlib.Path(chosen).absolute() / name]
    users = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(users):  # to be ignored then, says its standard
        users = os.path.expanduser("~/.cache")
    return [PACKAGE / "__pycache__", *([pathlib.Path(users, name)] if os.path.isabs(users) else [])]


def refusal(folder):
    """Why nothing can be kept in `folder`, which is made if it is not there; None where it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(TRIAL))
            file.flush()
    except OSError as error:
        return error.strerror or str(error)


def damaged(folder):
    """The files of kept loops in `folder` that cannot be read, or are not what was written."""
    found = sorted(folder.glob("*.nbc")) if os.access(folder, os.R_OK | os.X_OK) else []
    return [path for path in found if re.search(r"-[0-9a-f]{16}\.nbc$", path.name) and _content(path) is None]


def _content(path):
    """What was written to `path`; None where it is not there, not to be read, or not whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data[DIGEST:] if hashlib.sha256(data[DIGEST:]).digest() == data[:DIGEST] else None


def _replace(path, data):
    """All of `data` is in the file `path`, or nothing.  OSError where it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(hashlib.sha256(data).digest() + data)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


@functools.cache
def _stamp(source):
    """What makes kept loops of `source` stale: its text, what it inlines, and the compiler."""
    texts = [path.read_bytes() for path in (source, *SHARED) if path.exists()]
    return hashlib.sha256(b"".join([numba.__version__.encode(), *texts])).hexdigest()


class _Kept:
    """What Numba's dispatcher asks for as the cache of one function: a file for each signature."""

    def __init__(self, function):
        self.source = pathlib.Path(function.__code__.co_filename)
        self.name = f"{function.__module__}.{function.__qualname__}-{function.__code__.co_firstlineno}"

    def _paths(self, signature, codegen):
        """(the files, the best first, what distinguishes their content from any other)."""
        key = f"{signature!r} {codegen.magic_tuple()} {sys.implementation.cache_tag}"
        name = f"{self.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.nbc"
        return [folder / name for folder in folders()], (key, _stamp(self.source))

    def load_overload(self, signature, target):
        """The compiled function, or None."""
        target.refresh()
        paths, facts = self._paths(signature, target.codegen())
        for content in filter(None, map(_content, paths)):
            with contextlib.suppress(Exception):  # written by another version, perhaps
                kept, parts = pickle.loads(content)
                if kept == facts:
                    return compiler.CompileResult._rebuild(target, *parts)
        return None

    def save_overload(self, signature, result):
        if result.lifted or result.library.has_dynamic_globals:  # addresses of this process
            return
        paths, facts = self._paths(signature, result.library.codegen)
        content = serialize.dumps((facts, result._reduce()))
        for path in paths:
            try:
                return _replace(path, content)
            except OSError as error:
                last = path.parent, error.strerror or str(error)
        _say(*last)

    cache_path = None  # in Numba's statistics

    def flush(self):
        """Nothing to do: Numba asks for it before it compiles anew, and that replaces the files."""


_unkept = []  # the folder, once that is said


def _say(folder, why):
    if not _unkept:
        _unkept.append(folder)
        warn(
            f"Compiled loops cannot be kept in {folder} ({why}), so each command compiles its own, for up to half a "
            "minute; free some space there, or set NUMBA_CACHE_DIR to a folder that you may write to."
        )
