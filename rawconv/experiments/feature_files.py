"""The features of several layers for all pictures of a Split, in files: what table 7 needs at the
paper's size, where a picture takes 6.5 MB.

    files = FeatureFiles(net, ["norm1", "relu3"], images, folder)
    files.fill()                        one pass up; one that was interrupted goes on
    x = files.rows("norm1")             float32 (N, d), on the disk: a row a picture, (H, W, C) flattened

The files are .npy, beside them a note of how many rows are done.
"""

import time
from pathlib import Path

import numpy as np

from ..data.batches import batches
from ..data.preprocessing import preprocess
from ..files.json_text import json_text
from ..files.progress import progress_bar
from ..files.storage import open_regular, replace_file, unwritten
from ..machine.arrays import to_cpu
from ..visualize.forward_pass import at_once
from ..visualize.scan_record import fingerprint

KEEP_SECONDS = 10  # between two notes of how far it is
ITEM = np.dtype(np.float32).itemsize


class FeatureFiles:
    """net: the Net.  names: layer objects.  images: the Split.  folder: for the files."""

    def __init__(self, net, names, images, folder):
        self.net, self.names, self.images, self.folder = net, list(names), images, Path(folder)
        self.widths = {name: int(np.prod(net.shapes[name])) for name in self.names}
        self.note = self.folder / "features.json"

    def bytes(self):
        """What all files take."""
        return len(self.images) * ITEM * sum(self.widths.values())

    def fill(self):
        """Write the rows that are not there yet.  RawconvError where the disk takes them no longer."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._fill()
        except OSError as error:
            raise unwritten(self.folder, error) from error

    def rows(self, name):
        """float32 (N, d), which stays on the disk."""
        return np.load(self._file(name), mmap_mode="r")

    def remove(self):
        """Remove the files of whatever net they are of."""
        if self.folder.is_dir():
            self.note.unlink(missing_ok=True)  # first: or it would be believed of what is left
            for file in self.folder.glob("*.npy"):
                file.unlink()

    def _fill(self):
        done = self._noted()
        if done is None:
            self.remove()
        done, mode = done or 0, "w+" if done is None else "r+"
        opened = {
            name: np.lib.format.open_memmap(
                self._file(name), mode, np.float32, (len(self.images), width)
            )
            for name, width in self.widths.items()
        }
        batch = at_once(self.net, self.names, self.net.execution.workspace)
        last = time.monotonic()
        with progress_bar(len(self.images), "features", done=done) as bar:
            try:
                for _, some, _ in batches(self.images, batch, start=done):
                    for name, y, _ in self.net.up(preprocess(self.net, some), stop=self.names):
                        if name in opened:
                            opened[name][done : done + len(some)] = to_cpu(y).reshape(len(some), -1)
                    done += len(some)
                    bar.update(len(some))
                    if time.monotonic() - last > KEEP_SECONDS:
                        self._keep(opened, done)
                        last = time.monotonic()
            finally:
                self._keep(opened, done)

    def _keep(self, opened, done):
        for file in opened.values():
            file.flush()
        replace_file(self.note, f"{json_text(self._origin())}\n{done}".encode())

    def _noted(self):
        """How many rows an earlier run with the same net and layers has written; None without one."""
        try:
            with open_regular(self.note, "r") as file:
                head, _, done = file.read().rpartition("\n")
        except OSError:
            return None
        whole = all(self._file(name).is_file() for name in self.names)
        return (
            int(done) if whole and head == json_text(self._origin()) and done.isdecimal() else None
        )

    def _origin(self):
        return {
            "weights_sha256": fingerprint(self.net), "layers": self.names, "pictures": len(self.images),
        }  # fmt: skip

    def _file(self, name):
        return self.folder / f"{self.names.index(name)}.npy"
