"""What the environment asks for and grants: looked at before anything heavy is imported, refused in one sentence."""

import os
import re
import warnings

from ..errors import RawconvError, UsageError
from . import limits

MOST = 4096  # threads: more than any machine has processors
LEAST = 1 << 30  # bytes of address space: with less, the libraries hang or crash while they are loaded


def check():
    """Numba.  Refuse what rawconv cannot work with; better than in the middle of a training.

    UsageError: a variable asks for the impossible.  RawconvError: ulimit -v leaves too little memory.
    """
    if limits.address_space() < LEAST:
        granted = f"{limits.address_space() >> 20} MB of address space"
        raise RawconvError(f"ulimit -v grants {granted}, and rawconv needs {LEAST >> 20} MB; raise it.")
    threads("RAWCONV_NUM_THREADS")
    return load_numba()


def load_numba():
    """Numba.  UsageError: a variable of its own is not what it takes, or keeps it from compiling."""
    for name in [name for name, value in os.environ.items() if name.startswith("NUMBA_") and not value]:
        del os.environ[name]  # as if it were unset, which Numba does not see
    threads("NUMBA_NUM_THREADS")
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        raise UsageError("rawconv's loops need Numba's compiler; unset NUMBA_DISABLE_JIT.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            import numba
        except Exception as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())
            raise RawconvError(f"Numba does not load ({why}); rawconv-doctor may know the remedy.") from error
    for warning in caught:  # what Numba says of a variable is a page long
        said = str(warning.message)
        found = re.match(r"Environment variable '(\w+)' is defined but its associated value '(.*)' ", said)
        if found:
            raise UsageError(f"{found[1]}={found[2]!r} is not what Numba takes; unset it.")
    return numba


def threads(name):
    """The number of threads that the variable `name` asks for; None where it is unset or empty."""
    asked = os.environ.get(name, "")
    if not asked:
        return None
    if not re.fullmatch("0*[1-9][0-9]{0,3}", asked) or int(asked) > MOST:
        raise UsageError(f"{name}={asked!r} is not a whole number from 1 to {MOST}; unset it or give one.")
    return int(asked)
