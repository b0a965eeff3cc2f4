"""Values in JSON's own types, and JSON text that a person can read."""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any


def plain(value: Any) -> Any:
    """Convert `value` to JSON's own types: paths to text, arrays to lists, NaN and infinity to null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, os.PathLike) else value


def json_text(value: Any) -> str:
    """Return `value` as indented JSON, a list of numbers on one line, every float with all its digits."""
    text = json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    numbers = r"\[\s+(-?[\d.]+(?:e[-+]?\d+)?(?:,\s+-?[\d.]+(?:e[-+]?\d+)?)*)\s+\]"
    text = re.sub(numbers, lambda match: "[" + re.sub(r"\s+", " ", match[1]) + "]", text)
    # of file names that are not UTF-8
    return re.sub("[\ud800-\udfff]", lambda byte: f"\\u{ord(byte[0]):04x}", text)
