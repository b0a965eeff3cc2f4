"""Breaks that survive and harm nobody, each with the reason; tools/break_code.py lists them apart.

A row: the file and the broken text, as regular expressions, and the function between them, * for
any; then why its breaks change nothing a user sees.
"""

import re

HARMLESS = (
    ("rawconv/machine/threads.py", "_helpers", r"name=f", "a thread's name"),
    ("rawconv/convert/pytorch_net.py", "", r"\"arch\", \"size\"", "names of options, asked whether one is among them"),
    ("rawconv/experiments/features.py", "_rows", r"^False$", "memory: caches that nobody looks at"),
    ("rawconv/report/pages.py", "*", r"name, keep=False$", "memory: caches that nobody looks at"),
    ("rawconv/machine/communicator.py", "Communicator._reduce_on_gpu", "", "on several GPUs alone: tests/test_gpu.py"),
    ("rawconv/training/recipes.py", "", r"^0$", "no net sees 0 rows of a picture"),
    (r"rawconv/experiments/.*", "*", r"panel=\([\d., ]+\)$", "inches of a figure"),
)  # fmt: skip


def reason(one):
    """Why this Break is harmless, or None."""
    for path, scope, pattern, why in HARMLESS:
        if (
            re.fullmatch(path, one.path)
            and scope in ("*", one.scope)
            and re.search(pattern, one.was)
        ):
            return why
    return None
