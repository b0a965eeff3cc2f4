"""File systems that cannot lock (NFS, ENOLCK): HDF5's own lock, which would fail there, is never
asked for.
"""

import contextlib
import pathlib
import re

import pytest
from subjects import data_of, subject_of
from test_data_sources import tree, write

import rawconv
from rawconv.data import open_data, packing
from rawconv.experiments import features

fcntl = pytest.importorskip("fcntl", reason="this system locks no files that way")


@pytest.fixture
def locked():
    """A function: no process may lock this file any more, as on a file system that cannot."""
    with contextlib.ExitStack() as files:
        yield lambda path: fcntl.flock(files.enter_context(path.open("ab")), fcntl.LOCK_EX)


def test_a_data_set_is_packed_and_read(locked, tmp_path):
    locked(tmp_path / ".out.h5.partial.tmp")
    packing.pack(write(tmp_path / "in", tree()), tmp_path / "out.h5", 6, progress=False)
    locked(tmp_path / "out.h5")
    assert len(open_data(tmp_path / "out.h5", 6, progress=False).train) == 6


def test_features_are_written_and_read(locked, tmp_path):
    locked(tmp_path / ".f.h5.part")
    features.write(subject_of(data=data_of(4)), 1, "val", tmp_path / "f.h5", 4, False)
    assert len(features.read(tmp_path / "f.h5")[0]) == 4


def test_hdf5_is_opened_in_one_place():
    sources = pathlib.Path(rawconv.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if re.search(r"\bh5py\.File\(", path.read_text())] == [
        "storage.py"
    ]
