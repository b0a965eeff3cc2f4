"""Copies of the checkout in which its commands run."""

import os
import pathlib
import shutil

from rawconv.machine import numba_cache

PACKAGE = pathlib.Path(__file__).parent.parent / "rawconv"


def share_loops(folder):
    """Let a copy of the checkout in `folder` use, and add to, the loops that the checkout's own tests compiled.

    Only for a copy whose loops are as they were: their files bear the same names.
    """
    loops, copy = PACKAGE / "__pycache__", folder / "rawconv" / "__pycache__"
    loops.mkdir(exist_ok=True)
    if os.name == "posix":
        copy.symlink_to(loops)
    else:  # where links want a permission: what is compiled by now
        shutil.copytree(loops, copy, ignore=shutil.ignore_patterns("*.pyc"))


def hand_on_loops(folder):
    """Give the checkout the loops that it lacks of those compiled with `folder` as NUMBA_CACHE_DIR."""
    kept = numba_cache.folders()[0]
    kept.mkdir(parents=True, exist_ok=True)
    for path in folder.rglob("*.nbc"):
        if not (kept / path.name).exists():
            shutil.copy(path, kept / f"{path.name}.new")
            (kept / f"{path.name}.new").replace(kept / path.name)
