"""Numba's compiler for the package's loops, and where their machine code is kept.

    @loop                         numba.njit(nogil=True), cached on disk for the next process
    @loop(error_model="numpy")
    @part                         for loops to call, which hold its machine code
    @uncounted                    a part that makes no arrays and returns none, for what is called block by block

The machine code is cached beside the package, or else in the user's own cache folder;
NUMBA_CACHE_DIR names another one.  A cached file that cannot be read, or is damaged, is compiled
again and replaced; where nothing can be written, one line names the folder, and the program goes
on.  Numba's own cache would end the program in each of these cases.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pathlib
import pickle
import re
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from ..files.messages import warn
from ..files.progress import watched
from . import environment

numba = environment.check()
from numba.core import compiler, serialize  # noqa: E402  (after the check, whose errors are one sentence)

from .numba_compiler import PrivateCopies  # noqa: E402

PACKAGE = pathlib.Path(__file__).absolute().parent.parent
# their text is inlined into loops elsewhere, or says how these are compiled
SHARED = [
    PACKAGE / "machine/numba_cache.py",
    PACKAGE / "machine/philox.py",
    PACKAGE / "machine/numba_compiler.py",
    PACKAGE / "machine/atomics.py",
    PACKAGE / "machine/handover.py",
    PACKAGE / "layers/relu.py",
    PACKAGE / "layers/cpu/simd.py",
    PACKAGE / "layers/cpu/products.py",
    PACKAGE / "layers/cpu/winograd_filters.py",
    PACKAGE / "layers/cpu/winograd_points.py",
    PACKAGE / "layers/cpu/winograd_tiles.py",
]
DIGEST = hashlib.sha256().digest_size
CALLED_BY_LOOPS = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}  # Python does not call them
TRIAL = 1 << 17  # bytes written as a trial: about the machine code of one loop


def loop(
    function: Callable[..., Any] | None = None,
    origin: Callable[..., Any] | None = None,
    **options: Any,
) -> Any:
    """Compile `function` with Numba, once for each combination of argument types.

    origin: of a closure, the function by which it is told from others of the same text.  options:
    those of numba.njit.
    """
    if function is None:
        return lambda function: loop(function, **options)
    # _nrt said aloud, or one that an uncounted part calls first would count nothing for its other callers either
    options = {
        "nogil": True,
        "no_cfunc_wrapper": True,
        "pipeline_class": PrivateCopies,
        "_nrt": True,
        **options,
    }
    compiled = numba.njit(**options)(function)
    compiled._cache = _Cache(origin or function, f".{function.__name__}" if origin else "")
    return compiled


def part(function: Callable[..., Any]) -> Any:
    """Compile `function` for the loops that call it; Python must not, since there is no code for that.

    It would take as long to compile again as all else.
    """
    return numba.njit(_nrt=True, **CALLED_BY_LOOPS)(function)  # _nrt as for loops


def uncounted(function: Callable[..., Any]) -> Any:
    """Compile a part that makes no arrays, returns none, and calls none that returns one.

    A part counts who holds its arrays at every call, by atomic operations on a number that all threads share, so that
    two threads wait for each other: a short product took up to twice as long.  Here nothing is counted, since the
    caller holds what it hands over.  An array that is returned all the same would be freed too early.
    """
    return numba.njit(_nrt=False, **CALLED_BY_LOOPS)(function)


def folders() -> list[pathlib.Path]:
    """Return the folders in which machine code may be cached, the best first."""
    name = f"rawconv_{hashlib.sha256(os.fsencode(PACKAGE)).hexdigest()[:16]}"
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return [pathlib.Path(chosen).absolute() / name]
    users = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(users):  # its standard says to ignore it then
        users = os.path.expanduser("~/.cache")
    return [PACKAGE / "__pycache__", *([pathlib.Path(users, name)] if os.path.isabs(users) else [])]


def why_unwritable(folder: pathlib.Path) -> str | None:
    """Return why nothing can be written into `folder`, or None where that works; creates the folder
    if need be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(TRIAL))
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return None


def damaged(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the files of cached loops in `folder` that cannot be read, or differ from what was written."""
    files = sorted(folder.glob("*.nbc")) if os.access(folder, os.R_OK | os.X_OK) else []
    return [
        path
        for path in files
        if re.search(r"-[0-9a-f]{16}\.nbc$", path.name) and _content(path) is None
    ]


def _content(path: pathlib.Path) -> bytes | None:
    """Return what was written to `path`; None where the file is missing, unreadable or incomplete."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data[DIGEST:] if hashlib.sha256(data[DIGEST:]).digest() == data[:DIGEST] else None


def _replace(path: pathlib.Path, data: bytes) -> None:
    """Write `data` to the file `path`: all of it, or nothing.  OSError where that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(hashlib.sha256(data).digest() + data)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


@functools.cache
def _stamp(source: pathlib.Path) -> str:
    """Return a digest that changes when cached loops of `source` are stale: its text, what it
    inlines, the compiler.
    """
    texts = [path.read_bytes() for path in (source, *SHARED) if path.exists()]
    return hashlib.sha256(b"".join([numba.__version__.encode(), *texts])).hexdigest()


class _Cache:
    """The cache of one function, with the methods that Numba's dispatcher calls: a file for each
    signature.
    """

    def __init__(self, function: Callable[..., Any], more: str = "") -> None:
        self.source = pathlib.Path(function.__code__.co_filename)
        # Windows has no < in the names of its files
        name = function.__qualname__.replace("<locals>.", "")
        self.name = f"{function.__module__}.{name}-{function.__code__.co_firstlineno}{more}"

    def _paths(self, signature: Any, codegen: Any) -> tuple[list[pathlib.Path], tuple[str, str]]:
        """Return the files, the best first, and the facts by which their content is recognised."""
        key = f"{signature!r} {codegen.magic_tuple()} {sys.implementation.cache_tag}"
        name = f"{self.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.nbc"
        return [folder / name for folder in folders()], (key, _stamp(self.source))

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return the compiled function, or None where there is none in the cache."""
        target.refresh()
        paths, facts = self._paths(signature, target.codegen())
        for content in filter(None, map(_content, paths)):
            with contextlib.suppress(Exception):  # written by another version, perhaps
                written_for, parts = pickle.loads(content)
                if written_for == facts:
                    return compiler.CompileResult._rebuild(target, *parts)
        _say_once_that_it_compiles()
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Write a compiled function to the first folder that can be written; warn, once, where none can."""
        if result.lifted or result.library.has_dynamic_globals:  # addresses of this process
            return
        paths, facts = self._paths(signature, result.library.codegen)
        content = serialize.dumps((facts, result._reduce()))
        for path in paths:
            try:
                return _replace(path, content)
            except OSError as error:
                last = path.parent, error.strerror or str(error)
        _warn_once(*last)

    cache_path = None  # in Numba's statistics

    def flush(self) -> None:
        """Do nothing: Numba calls it before it compiles again, and the new files replace the old."""


_told: list[bool] = []  # not empty: whoever waits knows why


def _say_once_that_it_compiles() -> None:
    """Say why nothing seems to happen, before the first loop that is not kept; only where someone watches."""
    if not _told and watched():
        _told.append(True)
        warn(
            "Compiling loops for this machine, which takes half a minute or more; "
            "they are kept for the next run ..."
        )


_warned: list[pathlib.Path] = []  # the folder of the warning, once it was given


def _warn_once(folder: pathlib.Path, why: str) -> None:
    if not _warned:
        _warned.append(folder)
        warn(
            f"Compiled loops cannot be kept in {folder} ({why}), so each command compiles its own, for up to half a "
            "minute; free some space there, or set NUMBA_CACHE_DIR to a folder that you may write to."
        )
