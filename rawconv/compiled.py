"""Where Numba keeps the loops it has compiled.

Beside the package, or else in the user's own cache folder, as Numba does.  Where neither can be written, as in a
container without a home, it would refuse to import; then it gets a temporary folder, and every process compiles for
itself.
"""

import atexit
import os
import pathlib
import shutil
import tempfile


def provide_folder():
    """Set NUMBA_CACHE_DIR to a temporary folder, gone at the end of the process, if there is no other."""
    users = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if not any(map(_writable, [pathlib.Path(__file__).parent, users, *([pathlib.Path(chosen)] if chosen else [])])):
        os.environ["NUMBA_CACHE_DIR"] = folder = tempfile.mkdtemp(prefix="rawconv-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _writable(folder):
    """Whether `folder` can be written, or made."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return there.is_dir() and os.access(there, os.W_OK)
