"""All that a checkpoint of version 1 says otherwise, or does not say."""

from __future__ import annotations

from typing import Any

# settings that it called otherwise: (today's name, {value: the value of today}); any other stays
RENAMED = {
    "rounding": ("ceil_mode", {"ceil": True, "floor": False}), "std": ("init_std", {}),
}  # fmt: skip
DROPPED = ("in_place",)  # of ReLUs; the net's own decision now
# sides of stored pictures by models; others: 256
STORED = {"zf64": 64, "alex64": 64, "zf32": 32, "lenet": 28}


def settings(old: dict[str, Any]) -> dict[str, Any]:
    """Return a layer's settings by their names of today."""
    now = {}
    for name, value in old.items():
        new, values = RENAMED.get(name, (name, {}))
        now[new] = values.get(value, value) if isinstance(value, str) else value
    return {name: value for name, value in now.items() if name not in DROPPED}


def stored(model: str, mean: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return (H, W) of the stored picture of a model that sees `shape`; mean: its mean's shape."""
    if len(mean) == 3:
        return mean[:2]
    size = STORED.get(model.partition("-")[0], 256)
    return max(size, shape[0]), max(size, shape[1])
