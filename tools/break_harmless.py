"""Breaks that survive and harm nobody, each with the reason; tools/break_code.py lists them apart.

A row: the file, the function (* for any), a regular expression of the broken text, why its breaks change nothing a user
sees.
"""

import re

HARMLESS = (
    ("rawconv/threads.py", "_helpers", r"name=f", "a thread's name"),
)  # fmt: skip


def reason(one):
    """Why this Break is harmless, or None."""
    for path, scope, pattern, why in HARMLESS:
        if one.path == path and scope in ("*", one.scope) and re.search(pattern, one.was):
            return why
    return None
