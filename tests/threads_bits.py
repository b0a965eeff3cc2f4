"""What a program prints on one, two and three threads."""

import os
import subprocess
import sys


def printed_on_threads(program):
    """[its output as bytes on 1 thread, on 2, on 3], each of a process of its own."""
    return [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"RAWCONV_NUM_THREADS": count},
            check=True,
            capture_output=True,
        ).stdout
        for count in ("1", "2", "3")
    ]
