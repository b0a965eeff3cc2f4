"""Environment variables and limits, checked before anything heavy is imported; each fault is one sentence."""

from __future__ import annotations

import os
import re
import types
import warnings

from ..errors import RawconvError, UsageError
from . import limits

MOST = 4096  # threads: more than any machine has processors
# bytes of address space: with less, the libraries hang or crash while they are loaded
LEAST = 1 << 30


def check() -> types.ModuleType:
    """Check the environment now rather than in the middle of a training, and return the module numba.

    UsageError: an environment variable has a value that cannot work.
    RawconvError: ulimit -v leaves too little memory, or Numba does not load.
    """
    if limits.address_space() < LEAST:
        granted = f"{int(limits.address_space()) >> 20} MB of address space"
        raise RawconvError(
            f"ulimit -v grants {granted}, and rawconv needs {LEAST >> 20} MB; raise it."
        )
    threads("RAWCONV_NUM_THREADS")
    return load_numba()


def load_numba() -> types.ModuleType:
    """Import and return the module numba.

    UsageError: one of Numba's own variables has a value that it does not take, or keeps it from compiling.
    RawconvError: Numba does not load.
    """
    for name in [
        name for name, value in os.environ.items() if name.startswith("NUMBA_") and not value
    ]:
        del os.environ[name]  # to Numba an empty value is a wrong one, not an unset one
    threads("NUMBA_NUM_THREADS")
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        raise UsageError("rawconv's loops need Numba's compiler; unset NUMBA_DISABLE_JIT.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            import numba
        except Exception as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())
            raise RawconvError(
                f"Numba does not load ({why}); rawconv-doctor may know the remedy."
            ) from error
    for warning in caught:  # Numba's own message about a variable is a page long
        message = str(warning.message)
        match = re.match(
            r"Environment variable '(\w+)' is defined but its associated value '(.*)' ", message
        )
        if match:
            raise UsageError(f"{match[1]}={match[2]!r} is not what Numba takes; unset it.")
    return numba


def threads(name: str) -> int | None:
    """Return the number of threads in the environment variable `name`; None where it is unset or empty.

    UsageError: it is not a whole number from 1 to MOST.
    """
    asked = os.environ.get(name, "")
    if not asked:
        return None
    if not re.fullmatch("0*[1-9][0-9]{0,3}", asked) or int(asked) > MOST:
        raise UsageError(
            f"{name}={asked!r} is not a whole number from 1 to {MOST}; unset it or give one."
        )
    return int(asked)
