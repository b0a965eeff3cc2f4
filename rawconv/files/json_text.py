"""What goes into JSON files and how it is written there."""

import json
import math
import os
import re


def plain(value):
    """`value` in JSON's own types: paths as text, arrays as lists, NaN and infinity as null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, os.PathLike) else value


def json_text(value):
    """`value` as JSON by lines, but a list of numbers on one; every float in full."""
    text = json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    numbers = r"\[\s+(-?[\d.]+(?:e[-+]?\d+)?(?:,\s+-?[\d.]+(?:e[-+]?\d+)?)*)\s+\]"
    text = re.sub(numbers, lambda found: "[" + re.sub(r"\s+", " ", found[1]) + "]", text)
    return re.sub("[\ud800-\udfff]", lambda byte: f"\\u{ord(byte[0]):04x}", text)  # of file names that are not UTF-8
