"""A run that is watched while it trains: its log as it grows, its net when last.h5 is replaced.

watch = RunWatch("runs/zf64-scenes-1", load)
watch.changes()                                 what changed since it was last asked, twice a second
watch.facts(net)                                curves, first-layer filters, the runs beside it
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..errors import RawconvError, UsageError
from ..files.schema import ROW, parse
from ..files.storage import Wrong, open_regular
from ..machine.arrays import to_cpu
from ..net import Net
from ..training.log import LISTS
from ..visualize.images import display
from .images import png_text

LOG_BYTES = 64 << 20  # of a log, at most: a row has a few hundred
MOST_RUNS = 12  # beside the one that is watched
COLUMNS = 8  # of the sheet of filters
CHANGED = "The net of this run has another architecture now; start rawconv-explore again."


class Change(NamedTuple):
    """What changed in a run's folder.

    kind: "log", "net" or "trouble".  net, info: of a "net", as checkpoint.load has them.
    sentence: of a "trouble", why the net could not be read.
    """

    kind: str
    net: Net | None = None
    info: dict[str, Any] | None = None
    sentence: str = ""


class RunWatch:
    """The folder of a run.  load: the function path -> (a sound Net on its device, its info)."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        load: Callable[[pathlib.Path], tuple[Net, dict[str, Any]]],
    ) -> None:
        self.folder, self._load = pathlib.Path(folder), load
        self._before = {name: self._stamp(name) for name in ("log.jsonl", "last.h5")}

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.folder.resolve().name

    def changes(self) -> list[Change]:
        """Return what changed since the last call; a net that is new is loaded."""
        changed = []
        for name, before in self._before.items():
            stamp = self._stamp(name)
            # a file that is gone is about to be written, or stays gone
            if stamp not in (before, None):
                self._before[name] = stamp
                changed.append(self._read_net() if name == "last.h5" else Change("log"))
        return changed

    def _stamp(self, name: str) -> tuple[int, int, int] | None:
        try:
            status = (self.folder / name).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read_net(self) -> Change:
        try:
            return Change("net", *self._load(self.folder / "last.h5"))
        except (RawconvError, UsageError, OSError) as error:
            return Change("trouble", sentence=str(error))
        except MemoryError:  # CuPy's too: the training may have the card
            return Change(
                "trouble",
                sentence="There is not enough memory for the run's new net; the old one stays.",
            )

    def facts(self, net: Net) -> dict[str, Any]:
        """{"name", "epochs": rows of the log, "checkpoints", "filters", "other": [{"name", "epochs"}]}."""
        own = self.folder.resolve()
        beside = [path for path in own.parent.glob("*/log.jsonl") if path.parent != own]
        newest = sorted(beside, key=_age, reverse=True)[:MOST_RUNS]
        return {
            "name": self.name, "epochs": rows_of(self.folder / "log.jsonl"),
            "checkpoints": sorted(path.name for path in self.folder.glob("*.h5")), "filters": filters(net),
            "other": [{"name": path.parent.name, "epochs": rows_of(path)} for path in newest],
        }  # fmt: skip


def _age(path: pathlib.Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def rows_of(path: pathlib.Path) -> list[dict[str, Any]]:
    """Return the rows of a log, without its lists; a line that is no row, or not whole yet, is left out."""
    try:
        with open_regular(path) as file:
            lines = file.read(LOG_BYTES).splitlines()
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            row = parse(line, ROW, "line")
        except Wrong:
            continue
        rows.append({key: value for key, value in row.items() if key not in LISTS})
    return rows


def filters(net: Net) -> dict[str, Any] | None:
    """Draw the first layer's filters, each scaled by itself, COLUMNS in a row: {"layer", "count", "tile",
    "columns", "png"}; None where they do not look at colours.
    """
    name, layer = next(((name, layer) for name, layer in net.layers if layer.params), ("", None))
    if layer is None or np.ndim(layer.weight) != 4 or layer.weight.shape[2] != 3:
        return None
    tiles = display(np.moveaxis(to_cpu(layer.weight), 3, 0))
    count, height, width = tiles.shape[:3]
    rows = -(-count // COLUMNS)
    cells = np.full((rows * COLUMNS, height, width, 3), 128, np.uint8)
    cells[:count] = tiles
    cells = cells.reshape(rows, COLUMNS, height, width, 3).transpose(0, 2, 1, 3, 4)
    drawn = png_text(cells.reshape(rows * height, COLUMNS * width, 3))
    return {
        "layer": name,
        "count": count,
        "tile": [height, width],
        "columns": COLUMNS,
        "png": drawn,
    }


def check_same(old: Net, new: Net) -> None:
    """RawconvError: the nets differ in more than their weights: pictures and units of one are none of the other."""
    before, now = ((net.shape, net.stored, net.classes, net.shapes) for net in (old, new))
    if before != now:
        raise RawconvError(CHANGED)
