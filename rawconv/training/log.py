"""What a run writes for its reader after every epoch: log.jsonl, log.csv, curves.png, and a line on
the terminal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import RawconvError
from ..files.csv_text import csv_text
from ..files.schema import ROW, parse
from ..files.storage import Wrong, open_regular, replace_file
from ..report.curves import draw_curves

Row = dict[str, Any]  # of the log: {column: value} of an epoch
LISTS = ("val_per_class",)  # of a row: an accuracy for each class, in the order of the classes


def line(row: Row, epochs: int) -> str:
    """Return the line for the terminal."""
    return (
        f"epoch {row['epoch']:3d}/{epochs}  lr {row['lr']:.2g}  "
        f"train loss {row['train_loss']:.3f} top-1 {row['train_top1']:.1%} top-5 {row['train_top5']:.1%}  "
        f"val loss {row['val_loss']:.3f} top-1 {row['val_top1']:.1%} top-5 {row['val_top5']:.1%}  "
        f"{row['seconds']:.0f} s, {row['wait']:.0%} waiting for pictures"
    )


def read_log(folder: Path, epochs: int) -> list[Row]:
    """Return the rows of log.jsonl up to epoch `epochs`.  RawconvError: a line is not a row."""
    path = folder / "log.jsonl"
    lines = []
    if path.exists():
        with open_regular(path) as file:
            lines = file.read().splitlines()
    try:
        rows = [parse(line, ROW, f"line {number}") for number, line in enumerate(lines, 1)]
    except Wrong as wrong:
        raise RawconvError(
            f"{path} {wrong}. Delete it: the log then begins where the run goes on."
        ) from wrong
    return [row for row in rows if row["epoch"] <= epochs]


def write_log(folder: Path, rows: Sequence[Row], epochs: int) -> None:
    """Write log.jsonl, log.csv and curves.png, each replaced as a whole."""
    columns = [
        key for key in dict.fromkeys(key for row in rows for key in row) if key not in LISTS
    ]  # old rows have fewer
    cells = [[row.get(key, "") for key in columns] for row in rows]
    replace_file(folder / "log.csv", csv_text([columns, *cells]).encode())
    replace_file(folder / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    replace_file(folder / "curves.png", draw_curves(rows, epochs))
