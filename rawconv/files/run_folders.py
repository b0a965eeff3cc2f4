"""Where results go: folders with a name and a number, beside the run they belong to."""

import contextlib
import os
import pathlib
import re


def place(weights, net, source, what):
    """(folder, name of a result in it): `what` in the folder of the run that wrote `weights`, else in runs/."""
    run = next((folder for folder in pathlib.Path(weights).parents[:2] if folder.parent.name == "runs"), None)
    if run:
        return run, what
    data = pathlib.Path(source or "").stem.partition(":")[0]
    return pathlib.Path("runs"), clean(f"{net.model or 'net'}-{data or 'data'}-{what}")


def clean(name):
    """`name` with nothing in it that a file name should not have."""
    return re.sub(r"[^\w.+-]+", "_", name)


def numbered(root, stem):
    """{n: folder} of the folders <stem>-<n> in `root`, by n."""
    names = os.listdir(root) if os.path.isdir(root) else []
    found = (re.fullmatch(re.escape(stem) + r"-(\d+)", name) for name in names)
    return dict(sorted((int(match[1]), pathlib.Path(root) / match[0]) for match in found if match))


def new_folder(root, stem):
    """Create `root`/<stem>-<n>/ with n one above the largest there, for this process alone; its Path."""
    root = pathlib.Path(root)
    root.mkdir(parents=True, exist_ok=True)
    number = max(numbered(root, stem), default=0)
    while True:
        number += 1
        folder = root / f"{stem}-{number}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
