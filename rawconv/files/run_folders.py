"""Where results go: folders with a name and a number, beside the run they belong to."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import typing

if typing.TYPE_CHECKING:
    from ..net import Net

Path = str | os.PathLike[str]


def result_folder(
    weights: Path, net: Net, source: str | None, what: str
) -> tuple[pathlib.Path, str]:
    """Return (root, stem) for `new_folder`: `what` in the folder of the run that wrote `weights`,
    else in runs/.

    source: the data set that the result is about.
    """
    run = next(
        (folder for folder in pathlib.Path(weights).parents[:2] if folder.parent.name == "runs"),
        None,
    )
    if run:
        return run, what
    data = pathlib.Path(source or "").stem.partition(":")[0]
    return pathlib.Path("runs"), clean(f"{net.model or 'net'}-{data or 'data'}-{what}")


def clean(name: str) -> str:
    """Replace in `name` what a file name should not contain by _."""
    return re.sub(r"[^\w.+-]+", "_", name)


def numbered(root: Path, stem: str) -> dict[int, pathlib.Path]:
    """Return {n: folder} of the folders <stem>-<n> in `root`, sorted by n."""
    names = os.listdir(root) if os.path.isdir(root) else []
    matches = (re.fullmatch(re.escape(stem) + r"-(\d+)", name) for name in names)
    return dict(
        sorted((int(match[1]), pathlib.Path(root) / match[0]) for match in matches if match)
    )


def new_folder(root: Path, stem: str) -> pathlib.Path:
    """Create `root`/<stem>-<n>/, n one above the largest there, and return it; no other process
    gets the same one.
    """
    root = pathlib.Path(root)
    root.mkdir(parents=True, exist_ok=True)
    number = max(numbered(root, stem), default=0)
    while True:
        number += 1
        folder = root / f"{stem}-{number}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
