"""The layers of a net as facts and as a table: what rawconv-info prints and a notebook shows.

describe(net)["layers"]         [{"name", "type", "settings", "output", "size", ...}, ...]
rows(net)                       the texts of the table; HEADS are its heads
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..files import html_text
from ..files.messages import shape_text
from .receptive_field import fields

HEADS = ("layer", "type", "window", "output", "field", "stride", "start", "parameters")
LEFT = 3  # of the columns are set left
SHOWN = (*range(6), 7)  # in a notebook: all but `start`


def describe(net: Any) -> dict[str, Any]:
    """Facts about a net.  "layers": of each its output (H, W, C), and size, stride ("jump") and start of its field."""
    layers, fields_of = [], fields(net)
    for name, layer in net.layers:
        layers.append({
            "name": name, "type": type(layer).__name__, "settings": layer.settings, "output": net.shapes[name],
            **fields_of[name]._asdict(), "parameters": parameter_count(layer),
        })  # fmt: skip
    dtypes = [str(array.dtype) for array in net.params.values()]
    return {
        "model": net.model, "shape": net.shape, "dtype": next(iter(dtypes), None), "mean": list(net.pixel_mean.shape),
        "classes": net.classes, "parameters": sum(layer["parameters"] for layer in layers), "layers": layers,
    }  # fmt: skip


def parameter_count(holder: Any) -> int:
    """Return how many parameters a net or a layer has."""
    return sum(int(array.size) for array in holder.params.values())


def rows(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of the table of what `describe` found, the last with the sum of the parameters."""
    lines: list[tuple[str, ...]] = []
    for layer in facts["layers"]:
        sees = [size_text(layer[key]) for key in ("size", "jump", "start")]
        count = f"{layer['parameters']:,}" if layer["parameters"] else ""
        window = window_text(layer["settings"])
        lines.append(
            (layer["name"], layer["type"], window, size_text(layer["output"]), *sees, count)
        )
    return [*lines, ("", "", "", "", "", "", "total", f"{facts['parameters']:,}")]


def summary(net: Any) -> str:
    """Return a net in a line: "zf64, pictures 64x64x3, 23 layers, 1,503,104 parameters, 64 classes"."""
    parts = [net.model or "a net", f"pictures {shape_text(net.shape)}", f"{len(net.nodes)} layers"]
    parts += [
        f"{parameter_count(net):,} parameters",
        *([f"{len(net.classes)} classes"] if net.classes else []),
    ]
    return ", ".join(parts)


def net_html(net: Any) -> str:
    """Return the table of a net's layers as HTML, its classes below."""
    facts = describe(net)
    shown = [[row[column] for column in SHOWN] for row in rows(facts)[:-1]]
    heads = [HEADS[column] for column in SHOWN]
    words = "output: rows x columns x channels. field: pixels that a unit sees. stride: pixels between fields."
    classes = f"classes: {', '.join(net.classes)}" if net.classes else ""
    return (
        html_text.title("Net", summary(net))
        + html_text.table(heads, shown, LEFT)
        + html_text.note(words)
        + html_text.note(classes)
    )


def size_text(numbers: Iterable[int]) -> str:
    """Return 7x7 as "7", else rows x columns (x maps)."""
    numbers = list(numbers)
    return str(numbers[0]) if numbers == numbers[:1] * 2 else shape_text(numbers)


def window_text(settings: Mapping[str, Any]) -> str:
    """Return "7/2 p2" for a window of 7 by 7, stride 2, padding 2; of other layers, name=value."""
    if "size" not in settings or "stride" not in settings:
        return " ".join(
            f"{key}={value:g}" for key, value in settings.items() if not isinstance(value, bool)
        )
    pad, groups = settings["pad"], settings.get("groups", 1)
    parts = [f"{size_text(settings['size'])}/{size_text(settings['stride'])}"]
    parts += [f"p{pad[0] if len(set(pad)) == 1 else ','.join(map(str, pad))}"] if any(pad) else []
    parts += [f"groups {groups}"] if groups > 1 else []
    return " ".join(parts + ([] if settings["ceil_mode"] else ["floor"]))
