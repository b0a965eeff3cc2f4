"""rawconv-info: what a checkpoint holds."""

import click

from ..files.messages import shape_text
from .common import command, echo, finish, json_option, say


@command("rawconv-info")
@click.argument("file", metavar="FILE")
@json_option
def main(file, as_json):
    """Print the layers, accuracy and origin of a checkpoint.

    output: rows x columns x channels.  field: size of a unit's receptive field, in pixels.  stride: pixels between
    the fields of neighbouring units.  start: the first pixel in the field of unit (0, 0), < 0 in the padding.

    Examples:

    \b
    rawconv-info runs/zf64-scenes-1/last.h5
    rawconv-info --json rawconv/scenes.h5
    """
    from .. import checkpoint, soundness

    loaded = checkpoint.load(file)
    progress = loaded.state and loaded.state["progress"]
    facts = {"file": file, **describe(loaded.net), "info": loaded.info, "progress": progress}
    wrong = soundness.fault(loaded.net)
    if wrong:
        facts["fault"] = wrong
    if not as_json:
        _print(facts)
    if wrong:
        say(f"{wrong}: it cannot answer anything.")
    finish(None, facts, as_json)


def describe(net):
    """Facts about a net.  "layers": of each its output (H, W, C), and size, stride ("jump") and start of its field."""
    from ..visualize.receptive_field import fields

    layers, fields_of = [], fields(net)
    for name, layer in net.layers:
        count = sum(int(array.size) for array in layer.params.values())
        layers.append({
            "name": name, "type": type(layer).__name__, "settings": layer.settings, "output": net.shapes[name],
            **fields_of[name]._asdict(), "parameters": count,
        })  # fmt: skip
    dtypes = [str(array.dtype) for array in net.params.values()]
    return {
        "model": net.model, "shape": net.shape, "dtype": (dtypes or [None])[0], "mean": list(net.pixel_mean.shape),
        "classes": net.classes, "parameters": sum(layer["parameters"] for layer in layers), "layers": layers,
    }  # fmt: skip


def _print(facts):
    classes = f"{len(facts['classes'])} classes, " if facts["classes"] else ""
    echo(
        f"{facts['file']}: {facts['model'] or 'a net'}, pictures {_size(facts['shape'])}, {classes}{facts['dtype']}"
    )
    echo("")
    rows = [("layer", "type", "window", "output", "field", "stride", "start", "parameters")]
    for layer in facts["layers"]:
        sees = [_size(layer[key]) for key in ("size", "jump", "start")]
        count = f"{layer['parameters']:,}" if layer["parameters"] else ""
        rows.append(
            (
                layer["name"],
                layer["type"],
                _settings(layer["settings"]),
                _size(layer["output"]),
                *sees,
                count,
            )
        )
    rows.append(("", "", "", "", "", "", "total", f"{facts['parameters']:,}"))
    _table(rows, left=3)
    for title, value in (("info", facts["info"]), ("resumes from", facts["progress"])):
        if value:
            echo("")
            echo(title)
            _table(list(_flat(value)), left=2)
    if facts["classes"]:
        echo("")
        echo("classes")
        echo(f"  {_shorten(', '.join(facts['classes']), 500)}")


def _table(rows, left):
    """Columns two blanks apart; the first `left` are set left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [text.ljust(w) for text, w in zip(row[:left], widths[:left], strict=True)]
        cells += [text.rjust(w) for text, w in zip(row[left:], widths[left:], strict=True)]
        echo("  " + "  ".join(cells).rstrip())


def _size(numbers):
    """7x7 as 7, else rows x columns (x maps)."""
    numbers = list(numbers)
    return str(numbers[0]) if numbers == numbers[:1] * 2 else shape_text(numbers)


def _settings(settings):
    """7/2 p2: a window of 7 by 7, stride 2, padding 2; of other layers, name=value."""
    if "size" not in settings or "stride" not in settings:
        return " ".join(
            f"{key}={value:g}" for key, value in settings.items() if not isinstance(value, bool)
        )
    pad, groups = settings["pad"], settings.get("groups", 1)
    parts = [f"{_size(settings['size'])}/{_size(settings['stride'])}"]
    parts += [f"p{pad[0] if len(set(pad)) == 1 else ','.join(map(str, pad))}"] if any(pad) else []
    parts += [f"groups {groups}"] if groups > 1 else []
    return " ".join(parts + ([] if settings["ceil_mode"] else ["floor"]))


def _flat(value, name=""):
    """(dotted name, text) of every leaf of nested dicts."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, _shorten(f"{value:.6g}" if isinstance(value, float) else str(value), 90)


def _shorten(text, length):
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 4] + " ..."


if __name__ == "__main__":
    main()
