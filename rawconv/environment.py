"""What the environment asks for and grants: looked at before anything heavy is imported, refused in one sentence."""

import os
import re

from . import limits
from .errors import RawconvError, UsageError

MOST = 4096  # threads: more than any machine has processors
LEAST = 1 << 30  # bytes of address space: with less, the libraries hang or crash while they are loaded


def check():
    """Refuse what rawconv cannot work with; better than in the middle of a training.

    UsageError: a variable asks for the impossible.  RawconvError: ulimit -v leaves too little memory.
    """
    if limits.address_space() < LEAST:
        text = (
            f"ulimit -v grants {limits.address_space() >> 20} MB of address space, and rawconv needs 1024 MB; raise it."
        )
        raise RawconvError(text)
    for name in [name for name, value in os.environ.items() if name.startswith("NUMBA_") and not value]:
        del os.environ[name]  # as if it were unset, which Numba does not see
    threads("RAWCONV_NUM_THREADS")
    threads("NUMBA_NUM_THREADS")
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        raise UsageError("rawconv's loops need Numba's compiler; unset NUMBA_DISABLE_JIT.")


def threads(name):
    """The number of threads that the variable `name` asks for; None where it is unset or empty."""
    asked = os.environ.get(name, "")
    if not asked:
        return None
    if not re.fullmatch("0*[1-9][0-9]{0,3}", asked) or int(asked) > MOST:
        raise UsageError(f"{name}={asked!r} is not a whole number from 1 to {MOST}; unset it or give one.")
    return int(asked)
