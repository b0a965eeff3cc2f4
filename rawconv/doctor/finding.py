"""What rawconv-doctor finds about one part of the machine."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """The state of one part.  state: "ok", "missing" (rawconv works without it) or "broken".
    remedy: the command that mends it.
    """

    name: str
    state: str
    text: str
    remedy: str | None = None


def line_of(error: BaseException) -> str:
    """Return the message of an error as one line; its type's name where it has none."""
    return " ".join(f"{error}".split()) or type(error).__name__
