"""What environment variables ask for: looked at before anything heavy is imported, refused in one sentence."""

import os
import re

from .errors import UsageError

MOST = 4096  # threads: more than any machine has processors


def check():
    """UsageError where a variable asks for what rawconv cannot do; better than in the middle of a training."""
    threads("RAWCONV_NUM_THREADS")
    threads("NUMBA_NUM_THREADS")
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise UsageError("rawconv's loops need Numba's compiler; unset NUMBA_DISABLE_JIT.")


def threads(name):
    """The number of threads that the variable `name` asks for; None where it is unset or empty."""
    asked = os.environ.get(name, "")
    if not asked:
        return None
    if not re.fullmatch("0*[1-9][0-9]{0,3}", asked) or int(asked) > MOST:
        raise UsageError(f"{name}={asked!r} is not a whole number from 1 to {MOST}; unset it or give one.")
    return int(asked)
