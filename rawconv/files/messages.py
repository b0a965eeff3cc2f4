"""Messages for a person, and names made safe to show: a name in a file or folder may come from anyone."""

import contextlib
import sys
import unicodedata

_silent = []  # not empty: nothing is said


@contextlib.contextmanager
def silenced():
    """While this is entered `warn` says nothing: of several processes one says it for all."""
    _silent.append(True)
    try:
        yield
    finally:
        _silent.pop()


def printable(text):
    """`text` on one line, without what could steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def warn(sentence):
    """A message to stderr, for what has no command to tell it."""
    if sys.stderr is not None and not _silent:  # without it print would take stdout
        with contextlib.suppress(OSError):
            print(printable(sentence), file=sys.stderr, flush=True)


def escaped(name):
    r"""`name` as text that can be stored, drawn and told apart: what is not UTF-8 as \xe9, control codes as \x1b."""
    return "".join(c if _shows(c) else _escape(c) for c in name)


def composed(name):
    """`name` with an accent and its letter in one character, as people type them; file names may have them apart."""
    return unicodedata.normalize("NFC", name)


def shown(text, longest=500):
    """`text`, one line of a figure, escaped and cut with dots to so many characters."""
    return escaped(text if len(text) <= longest else text[: longest - 1] + "…")


def _shows(c):
    joins = "\u200c\u200d"  # parts of words in Persian and Hindi
    return c.isprintable() or unicodedata.category(c) == "Zs" or c in joins


def _escape(c):
    byte = ord(c) - 0xDC00  # how Python keeps a byte of a file name that is not UTF-8
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else c.encode("unicode_escape").decode()
