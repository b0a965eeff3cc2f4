"""HDF5's own structures of a packed file (packed.py), laid around its images: packing.py writes them last.

head, tail = structure(partial, end, packed)        the bytes before the images, and after them
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import h5py
import numpy as np

from ..errors import RawconvError
from ..files.storage import fixed_text, hdf5
from .packed import BEGIN, START, VERSION, Packed, images_per_chunk


def structure(partial: Path, end: int, packed: Packed) -> tuple[bytes, bytes]:
    """Return what HDF5 writes before and after the images, taken from a file beside `partial` with
    a hole in their place.
    """
    # always this name: what a killed process left is overwritten
    hollow = partial.with_name(f".{partial.name}.tmp")
    names, chunk = packed.names, (images_per_chunk(len(packed.mean)), *packed.mean.shape)
    try:
        with hdf5(
            hollow, "w", libver=("v110", "v110"), userblock_size=BEGIN, alignment_threshold=1 << 19,
            alignment_interval=BEGIN,
        ) as file:  # fmt: skip
            _hole(file, len(names), chunk)
            file.attrs.update(
                format=fixed_text("rawconv data set"), version=VERSION, train=packed.train
            )
            file["labels"], file["sha256"], file["mean"] = packed.labels, packed.sha256, packed.mean
            text = "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape")
            file["names"] = np.frombuffer(text, np.uint8)
            words = [word.encode("utf-8", "surrogateescape") for word in packed.classes]
            file["classes"] = np.array(words, h5py.string_dtype("utf-8", max(map(len, words))))
            file["info"] = fixed_text(json.dumps(packed.info))
        with hdf5(hollow) as file, open(hollow, "rb") as raw:
            last = (len(names) - 1) // chunk[0] * chunk[0]
            first, last = (
                file["pictures"].id.get_chunk_info_by_coord((k, 0, 0, 0)) for k in (0, last)
            )
            if (first.byte_offset, last.byte_offset + last.size) != (START, end):
                raise RawconvError(
                    f"This HDF5 ({h5py.version.hdf5_version}) lays files out in an unforeseen way."
                )
            head = raw.read(START)
            raw.seek(end)
            return head, raw.read()
    finally:
        with contextlib.suppress(OSError):
            hollow.unlink()


def _hole(file: h5py.File, count: int, chunk: tuple[int, ...]) -> None:
    """Create the dataset /pictures with its space allocated and none of it written."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk(chunk)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)
    room = -(-count // chunk[0]) * chunk[0]
    space = h5py.h5s.create_simple((count, *chunk[1:]), (room, *chunk[1:]))
    h5py.h5d.create(file.id, b"pictures", h5py.h5t.STD_U8LE, space, layout)
