"""The data set scanned in the background: the strongest pictures of every map, and the rank of a value.

scan = Scan(net, data.val, records)
while scan.step(): ...                          a few pictures at a time, between requests
scan.tops["relu4"]                              TopActivations, when all have been seen
scan.rank("relu4", 17, 3.2)                     (how many pictures excite map 17 more, of how many)
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from ..machine.arrays import to_cpu
from ..visualize.top_activations import TopActivations, scan_batch
from ..visualize.units import layer_names

if TYPE_CHECKING:
    from ..data.dataset import Split
    from ..net import Net

COUNT = 9  # strongest pictures of a map
STEP_SECONDS = 0.08  # that a request may have to wait for a step
MOST_AT_ONCE = 128
PEAKS_BYTES = 256 << 20  # of the largest values of all maps in all pictures


class Scan:
    """All layers of a net that users name, over one split.

    records: {layer object: TopActivations} that earlier scans found; these are there at once.
    tops: {layer object: TopActivations} of what is known.  position: pictures seen so far.
    """

    def __init__(
        self, net: Net, split: Split, records: dict[str, TopActivations] | None = None
    ) -> None:
        self.net, self.split, self.position = net, split, 0
        self.tops: dict[str, TopActivations] = dict(records or {})
        names = list(dict.fromkeys(layer_names(net).values()))
        self.unrecorded = [name for name in names if name not in self.tops]
        self._strongest: dict[str, TopActivations | None] = dict.fromkeys(names)
        maps = sum(net.shapes[name][2] for name in names)
        # of a data set too large, every second picture or third, ..., counts for ranks
        self._every = max(1, -(-4 * maps * len(split) // PEAKS_BYTES))
        kept = -(-len(split) // self._every)
        self._peaks = {name: np.empty((kept, net.shapes[name][2]), np.float32) for name in names}
        self._at_once = 1

    @property
    def done(self) -> bool:
        """Whether all pictures have been seen."""
        return self.position >= len(self.split)

    def step(self) -> bool:
        """Scan a few pictures more, about STEP_SECONDS; return whether any are left."""
        if self.done:
            return False
        began = time.monotonic()
        ids = np.arange(self.position, min(self.position + self._at_once, len(self.split)))
        images, labels = self.split.read(ids), self.split.labels[ids]
        kept = ids % self._every == 0

        def watch(name: str, peaks: np.ndarray) -> None:
            self._peaks[name][ids[kept] // self._every] = to_cpu(peaks)[kept]

        self._strongest = scan_batch(self.net, images, ids, labels, self._strongest, COUNT, watch)
        self.position += len(ids)
        seconds = time.monotonic() - began
        if seconds < STEP_SECONDS / 2:
            self._at_once = min(2 * self._at_once, MOST_AT_ONCE)
        elif seconds > STEP_SECONDS:
            self._at_once = max(1, self._at_once // 2)
        if self.done:
            self.tops = {**self._strongest, **self.tops}  # type: ignore[dict-item]
        return not self.done

    def rank(
        self, name: str, channel: int, value: float, without: int | None = None
    ) -> tuple[int, int] | None:
        """Compare a value of map `channel` with the largest that the pictures have: (its rank from 1
        on, of how many pictures); None until all have been seen.

        without: a picture's number, which is left out: the value's own.
        """
        if not self.done:
            return None
        peaks = self._peaks[name][:, channel]
        above, count = peaks > value, len(peaks)
        if without is not None and without % self._every == 0:
            return 1 + int(above.sum()) - int(above[without // self._every]), count
        return 1 + int(above.sum()), count + 1
