"""rawconv-info: what a checkpoint holds."""

import click

from .common import command, echo, finish, say
from .options import json_option


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
    from ..visualize.layer_table import describe

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


def _print(facts):
    from ..visualize.layer_table import HEADS, LEFT, rows, size_text

    classes = f"{len(facts['classes'])} classes, " if facts["classes"] else ""
    echo(
        f"{facts['file']}: {facts['model'] or 'a net'}, pictures {size_text(facts['shape'])}, {classes}{facts['dtype']}"
    )
    echo("")
    _table([HEADS, *rows(facts)], left=LEFT)
    for title, value in (("info", facts["info"]), ("resumes from", facts["progress"])):
        if value:
            echo("")
            echo(title)
            _table(list(_flat(value)), left=2)
    if facts["classes"]:
        echo("")
        echo("classes")
        echo(f"  {_shorten(', '.join(facts['classes']), 500)}")


def _table(lines, left):
    """Columns two blanks apart; the first `left` are set left, the others right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for row in lines:
        cells = [text.ljust(w) for text, w in zip(row[:left], widths[:left], strict=True)]
        cells += [text.rjust(w) for text, w in zip(row[left:], widths[left:], strict=True)]
        echo("  " + "  ".join(cells).rstrip())


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
