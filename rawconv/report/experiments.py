"""The experiments that a report shows: those done on the same net, found where their commands leave them.

    found = experiments(net, data.source, "runs/mine/last.h5")        for html.report(..., experiments=found)

An experiment belongs to a net by the SHA-256 of its weights, which its options record, wherever the
checkpoint's file lies now.  One that is about no single net, as the ablation, belongs to nets on
the same data.  Of several with the same options the newest counts.  What a file says may come from
anyone: it becomes text, cut to a length, or is left out.
"""

import csv
import json
from pathlib import Path

from ..files.csv_text import read_csv
from ..files.html_text import data_uri
from ..files.schema import RESULT, parse
from ..files.storage import Wrong, open_regular
from ..visualize.scan_record import fingerprint

ROWS = 60  # of a table; all are in the CSV file
LENGTH = 200  # characters of a value
LARGEST = 4 << 20  # bytes of a file that the page takes in
TYPES = {"json": "application/json", "csv": "text/csv"}
PNG = b"\x89PNG\r\n\x1a\n"


def experiments(net, source, weights, root="runs"):
    """[what the page shows of each], by name; in `root` and in the folder of the checkpoint's run."""
    own, newest = fingerprint(net), {}
    for path in _result_files(Path(root), Path(weights).parent):
        about = _read(path)
        if about and _belongs(about["options"], own, source):
            newest.setdefault(
                (about["experiment"], json.dumps(about["options"], sort_keys=True)), (path, about)
            )
    return [
        shown for path, about in map(newest.get, sorted(newest)) if (shown := _shown(path, about))
    ]


def _result_files(root, run):
    """NAME.json in folders NAME-<n> and the like, newest first; of equally old ones, in the order
    of their names.
    """
    found = {
        path.resolve() for pattern in ("*/*.json", "*/*/*.json") for path in root.glob(pattern)
    }
    found |= {path.resolve() for path in run.glob("*/*.json")}
    return sorted(
        (path for path in found if path.is_file()),
        key=lambda path: (-path.stat().st_mtime_ns, str(path)),
    )


def _read(path):
    """What an experiment wrote, or None where this is something else."""
    try:
        if path.stat().st_size > LARGEST:
            return None
        with open_regular(path) as file:
            about = parse(file.read(), RESULT, path.name)
    except (OSError, Wrong):
        return None
    return about if about["experiment"] == path.stem else None


def _belongs(options, own, source):
    hashes = [value for key, value in options.items() if key.endswith("sha256")]
    hashes = [one for value in hashes for one in (value if isinstance(value, list) else [value])]
    return own in hashes or (not hashes and str(options.get("data")).startswith(f"{source} "))


def _shown(path, about):
    """For the page: figure, sentences, table, options, published numbers and the files; None
    without a figure.
    """
    files = {kind: _bytes(path.with_suffix(f".{kind}")) for kind in ("png", *TYPES)}
    if not files["png"].startswith(PNG):
        return None
    sentences = [_text(one) for one in about["sentences"]]
    columns, rows = _table(files["csv"])
    return {
        "name": path.stem, "folder": str(Path(path.parent.parent.name, path.parent.name)), "sentences": sentences,
        "figure": data_uri("image/png", files["png"]),
        "alt": f"The figure of rawconv-experiment {path.stem}. {' '.join(sentences)}"[:600],
        "options": _facts(about["options"]), "published": _facts(about.get("published")),
        "columns": columns, "rows": rows[:ROWS], "count": len(rows),
        "files": [
            {"name": f"{path.stem}.{k}", "uri": data_uri(mime, files[k])} for k, mime in TYPES.items() if files[k]
        ],
    }  # fmt: skip


def _bytes(path):
    """A file's content; nothing where it is not there or too large to be taken in."""
    try:
        with open_regular(path) as file:
            return file.read() if path.stat().st_size <= LARGEST else b""
    except OSError:
        return b""


def _table(data):
    """(columns, [texts of a row]) of a CSV file."""
    try:
        columns, *rows = [[_text(cell) for cell in row] for row in read_csv(data.decode("utf-8"))]
    except (ValueError, csv.Error):
        return [], []
    return columns, [row for row in rows if len(row) == len(columns)]


def _facts(value, name=""):
    """[[name, text], ...] of nested dicts; a list of dicts gives a fact for each."""
    if isinstance(value, dict):
        return [
            fact for key, item in value.items() for fact in _facts(item, f"{name} {key}".strip())
        ]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [[_text(name), _in_a_line(item)] for item in value]
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return [] if value in (None, "") else [[_text(name).replace("_", " "), _text(value)]]


def _in_a_line(value):
    return _text(", ".join(" ".join(fact) for fact in _facts(value)))


def _text(value):
    text = str(value)
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"
