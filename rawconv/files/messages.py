"""Messages for a person, and names made safe to show: a name in a file or folder may come from anyone."""

from __future__ import annotations

import contextlib
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

Say = Callable[[str], object]  # a function that shows a message to the user

_silent: list[bool] = []  # not empty: nothing is printed


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Print nothing in this context: of several processes, only the first speaks."""
    silence()
    try:
        yield
    finally:
        _silent.pop()


def silence() -> None:
    """Print nothing from here on."""
    _silent.append(True)


def is_silent() -> bool:
    """Whether messages, results and progress bars are suppressed."""
    return bool(_silent)


def printable(text: str) -> str:
    """Return `text` on one line, with ? for control characters, which could steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def warn(sentence: str) -> None:
    """Print a message to stderr, from code that no command passed a function for messages."""
    if sys.stderr is not None and not is_silent():  # for None, print would write to stdout
        with contextlib.suppress(OSError):
            print(printable(sentence), file=sys.stderr, flush=True)


def escaped(name: str) -> str:
    r"""Return `name` as text that can be stored and drawn: bytes that are not UTF-8 as \xe9,
    control codes as \x1b.
    """
    return "".join(c if _shows(c) else _escape(c) for c in name)


def composed(name: str) -> str:
    """Return `name` with a letter and its accent as one character, as people type it; some systems
    store two.
    """
    return unicodedata.normalize("NFC", name)


def shown(text: str, longest: int = 500) -> str:
    """Return `text` for one line of a figure: escaped, and cut with dots after `longest` characters."""
    return escaped(text if len(text) <= longest else text[: longest - 1] + "…")


def few(
    names: Sequence[str], most: int = 3, counted: bool = False, longest: int | None = None
) -> str:
    """Return the first `most` names and that there are others: "cat, dog, emu, ...".

    counted: say how many, "cat, dog, emu and 7 others".  longest: characters kept of a name.
    """
    first = [
        name if longest is None or len(name) <= longest else f"{name[: longest - 1]}…"
        for name in names[:most]
    ]
    others = len(names) - len(first)
    return ", ".join(first) + (f" and {others} others" if counted else ", ...") * (others > 0)


def shape_text(shape: Iterable[int]) -> str:
    """Return "3x3x64" for (3, 3, 64)."""
    return "x".join(map(str, shape))


def _shows(c: str) -> bool:
    joins = "\u200c\u200d"  # parts of words in Persian and Hindi
    return c.isprintable() or unicodedata.category(c) == "Zs" or c in joins


def _escape(c: str) -> str:
    # Python represents a byte of a file name that is not UTF-8 as U+DC00 + byte
    byte = ord(c) - 0xDC00
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else c.encode("unicode_escape").decode()
