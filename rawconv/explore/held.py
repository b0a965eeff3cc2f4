"""What a session keeps: values by key, bounded by bytes; the one not asked for longest goes first.

held = Held(512 << 20)
held.put(("val:17", ""), passed, bytes_of(passed.maps, passed.caches))
held.get(("val:17", ""))                        the value, or None where it is gone
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from ..errors import UsageError


class Missing(UsageError):
    """What a request asks for is not there, or no longer."""


class Held:
    """Values by key that take at most `most` bytes together; the newest is kept however large it is."""

    def __init__(self, most: int) -> None:
        self.most, self.used = most, 0
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> Any:
        """Return the value of a key, None where there is none; it goes last from here on."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keep a value of so many bytes; drop those that were not asked for longest, for its room."""
        self.used -= self._values.pop(key, (None, 0))[1]
        self._values[key] = value, size
        self.used += size
        while self.used > self.most and len(self._values) > 1:
            _, (_, freed) = self._values.popitem(last=False)
            self.used -= freed

    def clear(self) -> None:
        """Drop all values."""
        self._values.clear()
        self.used = 0


def bytes_of(*values: Any) -> int:
    """Return the bytes of all arrays in dicts, tuples and lists; an array that stands there twice counts once."""
    return sum(_sizes(values, {}).values())


def _sizes(value: Any, sizes: dict[int, int]) -> dict[int, int]:
    if hasattr(value, "nbytes"):
        base = value.base if getattr(value, "base", None) is not None else value
        sizes[id(base)] = max(value.nbytes, getattr(base, "nbytes", 0))
    elif isinstance(value, dict):
        _sizes(tuple(value.values()), sizes)
    elif isinstance(value, (tuple, list)):
        for part in value:
            _sizes(part, sizes)
    return sizes
