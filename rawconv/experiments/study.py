"""One run of an experiment: a folder, steps that are remembered, and results in files.

    study = begin("occlusion", options, root)                          a new folder, or that of the interrupted run
    maps = study.each(keys, compute)                                   [compute(key), ...]; those known are read
    about = study.finish(Result(numbers, rows, figure, published))     occlusion.png, occlusion.csv, occlusion.json

`options` is all that decides the numbers.  A run that was interrupted is found again by them: same
options, same run.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from ..errors import UsageError
from ..files.csv_text import csv_text
from ..files.json_text import json_text
from ..files.locks import NAME as LOCK
from ..files.locks import holder, refuse_held, release, take
from ..files.progress import progress_bar
from ..files.run_folders import clean, new_folder, numbered
from ..files.storage import open_regular, replace_file
from ..machine.communicator import SingleProcess

# the folder of the steps done so far; at the end it is renamed, and then removed
UNFINISHED = "unfinished"
WHOLE = ".finished"  # what it is called when the results are whole


class Result(NamedTuple):
    """What an experiment found.

    numbers: for the JSON file, in JSON's types or NumPy's.  rows: [{column: value}] for the CSV
    file.  figure: a PNG, bytes.  sentences: what it shows, in words, for the terminal.  published:
    the paper's numbers for the same table or figure, {} where it gives none.
    """

    numbers: dict
    rows: list
    figure: bytes
    sentences: list
    published: dict = {}


class Study:
    """The experiment `name` with `options`, at work in `folder`, which no other process is until it
    is finished.

    ranks: the processes that share its steps; the first one reads and writes.
    known: what `finish` returned to a process that was killed at its very end; else None.
    """

    def __init__(self, name, options, folder, ranks=None):
        """RawconvError where another process is at work there."""
        self.name, self.options, self.folder = name, options, Path(folder)
        self.ranks, self.steps = ranks or SingleProcess(), self.folder / UNFINISHED
        self.known = None
        if self.ranks.rank == 0:
            self._begin()
        self.known = self.ranks.broadcast(self.known)

    def _begin(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = take(self.folder)
        self.known = _known(self.folder, self.name, self.options)
        shutil.rmtree(self.folder / WHOLE, ignore_errors=True)
        if self.known:
            release(self.lock, wholly=True)
            return
        self.steps.mkdir(exist_ok=True)
        replace_file(self.steps / "options.json", json_text(self.options).encode())

    def each(self, keys, compute, what="", unit="steps"):
        """[compute(key) for key in keys], each a {name: array}; what an interrupted run computed is read.

        keys: texts that name a step within this experiment for good.  A step should take about a
        second: it is the most that an interruption loses.
        """
        ranks, known = self.ranks, {}
        with (
            progress_bar(len(keys), what or self.name, unit) as bar,
            ranks.interruptible() as stopped,
        ):
            for start in range(0, len(keys), ranks.size):
                known |= self._round(keys[start : start + ranks.size], compute)
                bar.update(min(ranks.size, len(keys) - start))
                if stopped():
                    break
        return [known[key] for key in keys]

    def _round(self, keys, compute):
        """The results of at most one step for each process, {key: {name: array}}, in every process."""
        ranks = self.ranks
        known = ranks.broadcast(None if ranks.rank else self._kept(keys))
        own = [
            key for number, key in enumerate(keys) if ranks.has_turn(number) and key not in known
        ]
        for part in ranks.gather({key: _arrays(compute(key)) for key in own}):
            if ranks.rank == 0:
                for key, results in part.items():
                    self._keep(key, results)
            known |= part
        return known

    def _kept(self, keys):
        """The results of those steps that were done."""
        results = ((key, _read(self._file(key))) for key in keys)
        return {key: arrays for key, arrays in results if arrays is not None}

    def _keep(self, key, results):
        packed = io.BytesIO()
        np.savez(packed, **results)
        replace_file(self._file(key), packed.getvalue())
        # its `place`, needed until now
        shutil.rmtree(self.steps / clean(key), ignore_errors=True)

    def _file(self, key):
        return self.steps / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"

    def place(self, key):
        """A folder for the step `key` that keeps its own files until it is done, as a training does."""
        folder = self.steps / clean(key)
        folder.mkdir(exist_ok=True)
        return folder

    def withdraw(self):
        """Remove the folder of a run that was refused before its first step."""
        if self.ranks.rank:
            return
        release(self.lock, wholly=True)
        if [path.name for path in self.steps.iterdir()] == ["options.json"]:
            shutil.rmtree(self.steps)
            with contextlib.suppress(OSError):  # it holds something else
                self.folder.rmdir()

    def finish(self, result):
        """Write the files, forget the steps; what --json prints.  A `known` result is there already."""
        if self.known:
            return self.known
        files = {kind: f"{self.name}.{kind}" for kind in ("png", "csv", "json")}
        content = {"experiment": self.name, "options": self.options, "numbers": result.numbers}
        content |= {"published": result.published, "sentences": result.sentences, "files": files}
        replace_file(self.folder / files["png"], result.figure)
        replace_file(self.folder / files["csv"], table(result.rows).encode())
        replace_file(self.folder / files["json"], json_text(content).encode())
        os.rename(self.steps, self.folder / WHOLE)
        shutil.rmtree(self.folder / WHOLE)
        release(self.lock, wholly=True)
        return content


def begin(name, options, root, stem, out=None, force=False, ranks=None):
    """The Study of these options: the interrupted one in `root`/`stem`-<n>, or a new one there, or
    in the folder `out`.  ranks: processes that share its steps.

    UsageError where `out` holds something else and `force` is not given; RawconvError where another
    process is at work there.
    """
    ranks = ranks or SingleProcess()
    folder = ranks.broadcast(
        None if ranks.rank else _folder(name, options, (root, stem), out, force)
    )
    return Study(name, options, folder, ranks)


def _folder(name, options, place, out, force):
    """The folder of `begin`.  place: root and stem."""
    if out is None:
        folders = list(numbered(*place).values())
        again = (f for f in folders if _same(f, name, options))
        blank = (f for f in folders if _is_blank(f) and not holder(f))
        return next(again, None) or next(blank, None) or new_folder(*place)
    out = Path(out)
    refuse_held(out)
    if not _same(out, name, options):
        _clear(out, force)
    return out


def _clear(out, force):
    """Remove the steps of another study from a folder that may be used."""
    if not force and out.exists() and not _is_blank(out):
        raise UsageError(f"{out} exists; name another --out, or add --force to overwrite it.")
    for old in (UNFINISHED, WHOLE):
        shutil.rmtree(out / old, ignore_errors=True)


def table(rows):
    """Rows [{column: value}] as the text of a CSV file; a column that a row lacks is empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return csv_text(
        [columns, *([_short(row.get(column, "")) for column in columns] for row in rows)]
    )


def _short(value):
    return f"{value:.6g}" if isinstance(value, float | np.floating) else value


def _same(folder, name, options):
    """Whether an interrupted study of these options is in `folder`."""
    with (
        contextlib.suppress(OSError),
        open_regular(folder / UNFINISHED / "options.json", "r") as file,
    ):
        return file.read() == json_text(options)
    return _known(folder, name, options) is not None


def _known(folder, name, options):
    """The results in `folder`, where they are of these options and their steps were about to be
    removed; else None.
    """
    with contextlib.suppress(OSError, ValueError):
        with open_regular(folder / f"{name}.json", "r") as file:
            content = json.load(file)
        if (folder / WHOLE).is_dir() and json_text(content["options"]) == json_text(options):
            return content
    return None


def _is_blank(folder):
    """Whether there is nothing in `folder` but what a process leaves that is killed before its first step."""
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".options.json.")}
    if names == {UNFINISHED} or names == {UNFINISHED, LOCK}:
        return all(
            path.name.startswith(".options.json.") for path in (folder / UNFINISHED).iterdir()
        )
    return names <= {LOCK}


def _arrays(results):
    return {name: np.asarray(value) for name, value in results.items()}


def _read(path):
    """The arrays of a step, or None where it was not done or its file is damaged."""
    try:
        with open_regular(path) as opened, np.load(opened, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, BadZipFile, KeyError):
        return None
