"""A fingerprint of a data set: enough to tell whether a resumed run sees the same images.

fingerprint(data)                       {"train": 300, "val": 2000, "sha256": "..."}
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .dataset import DataSet

SOME = 16  # pictures of a split that are looked at


def fingerprint(data: DataSet) -> dict[str, int | str]:
    """Return {"train", "val": numbers of images, "sha256"} of a DataSet.

    The digest covers all labels, SOME images of each split, and the order in which epochs visit
    them: data sets with equal digests train alike to the last bit.  Names do not count, so that a
    folder may be moved.
    """
    digest = hashlib.sha256(np.asarray(data.train.order(0, 0), "<i8").tobytes())
    for split in (data.train, data.val):
        digest.update(np.asarray(split.labels, "<i8").tobytes())
        some = np.unique(np.linspace(0, max(0, len(split) - 1), min(SOME, len(split))).astype(int))
        digest.update(np.ascontiguousarray(split.read(some)).tobytes() if len(some) else b"")
    return {"train": len(data.train), "val": len(data.val), "sha256": digest.hexdigest()}
