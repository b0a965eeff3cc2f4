"""What a feature map likes: its nine strongest patches of the data set, each with its projection.

The scan that they come from is read from the folders beside the net, where there is one, and else made
in the background and left there.
"""

from __future__ import annotations

import logging
import pathlib
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RawconvError, UsageError
from ..files.run_folders import new_folder
from ..visualize.earlier_scans import recorded
from ..visualize.forward_pass import passes_of_units
from ..visualize.images import crop, display
from ..visualize.projection import project
from ..visualize.scan_record import data_key, fingerprint, save
from ..visualize.units import layer_names, layer_object, user_name
from .held import Held
from .images import png_text
from .strongest import COUNT, Scan

if TYPE_CHECKING:
    from ..net import Net
    from .pictures import Pictures

LOG = logging.getLogger(__name__)
SPLIT = "val"  # whose pictures are scanned
HELD_BYTES = 32 << 20  # of patches and projections, drawn


class Likes:
    """What the maps of a net like in the data set of its pictures.

    root: the folder in whose folders the records of scans are; None: none are read or written.
    wanted: whether anybody has asked yet; nothing is scanned before.
    """

    def __init__(self, net: Net, pictures: Pictures, root: pathlib.Path | None) -> None:
        self.net, self.pictures, self.root = net, pictures, root
        self.wanted = False
        self.trouble = ""  # a sentence on why there is no scan
        self._scan: Scan | None = None
        self._drawn = Held(HELD_BYTES)

    def step(self) -> bool:
        """Scan a little more, if anybody asked and the data set is open; return whether there is more to do.

        Opening it may take long, so that is done elsewhere: where a request waits for nothing else.
        """
        if not self.wanted or self.trouble or not self.pictures.settled:
            return False
        try:
            return self._step()
        except (RawconvError, UsageError) as error:
            self.trouble = str(error)
            return False
        except Exception as error:
            LOG.exception("The scan of the data set has failed.")
            why = type(error).__name__
            self.trouble = f"The data set could not be looked through ({why}); see the terminal."
            return False

    def _step(self) -> bool:
        if self._scan is None:
            split = self.pictures.split(SPLIT)
            records = {}
            if self.root:
                names = list(layer_names(self.net))
                source = self.pictures.data.source
                records = recorded(self.net, source, split, names, COUNT, self.root)
            self._scan = Scan(self.net, split, records)
        more = self._scan.step()
        if not more and self._scan.unrecorded and self.root:
            self._keep(self._scan)
        return more

    def _keep(self, scan: Scan) -> None:
        """Leave what a scan found where the next command looks for it."""
        assert self.root
        folder, data = new_folder(self.root, "explore"), self.pictures.data
        save(folder / "topk.hdf5", scan.tops, fingerprint(self.net), data_key(data.source, scan.split))  # fmt: skip
        scan.unrecorded = []

    def ready(self, layer: str) -> dict[str, Any] | None:
        """None where the patches of a layer can be drawn; else how far the scan is: {"ready", "done", "total"}.

        Asking begins it.  RawconvError: there can be none, and why.
        """
        self.wanted = True
        name = layer_object(self.net, layer)
        if name not in layer_names(self.net).values():
            raise UsageError(f"{layer[:80]!r} is not among the layers that are scanned.")
        if self._scan and name in self._scan.tops:
            return None
        if self.trouble:
            raise RawconvError(self.trouble)
        if self._scan is None:
            return {"ready": False, "done": 0, "total": None}
        return {"ready": False, "done": self._scan.position, "total": len(self._scan.split)}

    def rank(self, name: str, channel: int, value: float, picture: str) -> dict[str, Any] | None:
        """{"at", "of", "data"}: a value's rank among the strongest that the pictures of the data set have.

        None while they are not all known.
        """
        self.wanted = self.wanted or self.pictures.has_data
        if self._scan is None or name not in layer_names(self.net).values():
            return None
        own = re.fullmatch(rf"{SPLIT}:(\d+)", picture)
        place = self._scan.rank(name, channel, value, int(own[1]) if own else None)
        if place is None:
            return None
        return {"at": place[0], "of": place[1], "data": f"{self.pictures.data.name} {SPLIT}"}

    def patches(self, layer: str, channel: int, count: int = COUNT) -> list[dict[str, Any]]:
        """Draw the strongest patches of a map and what the unit saw of each; the layer must be ready."""
        name = layer_object(self.net, layer)
        assert self._scan is not None
        best = self._scan.tops[name]
        if channel >= len(best.value):
            raise UsageError(f"Layer {layer[:80]} has {len(best.value)} maps, 0 to {len(best.value) - 1}.")  # fmt: skip
        drawn = self._drawn.get((name, channel))
        if drawn is None:
            drawn = self._draw(name, channel)
            size = sum(len(patch["png"]) + len(patch["projection"]) for patch in drawn)
            self._drawn.put((name, channel), drawn, size)
        return drawn[:count]

    def _draw(self, name: str, channel: int) -> list[dict[str, Any]]:
        assert self._scan is not None
        split, best = self._scan.split, self._scan.tops[name]
        units = best.units(user_name(self.net, name), [channel])
        patches = {}
        for passed, pairs, _ in passes_of_units(self.net, split, units):
            images = passed.center_crops()
            for (unit, here), projection in zip(
                pairs, project(passed, [here for _, here in pairs]), strict=True
            ):
                patches[unit] = self._patch(unit, projection, images[here.image])
        labels = best.label[channel]
        classes = [self.pictures.class_of(int(label)) for label in labels]
        return [
            {"number": unit.image, "id": f"{SPLIT}:{unit.image}", "class": label, "name": split.names[unit.image]}
            | patches[unit]
            for unit, label in zip(units, classes, strict=True)
        ]  # fmt: skip

    def _patch(self, unit: Any, projection: Any, image: np.ndarray) -> dict[str, Any]:
        box = projection.shown_box
        return {
            "value": projection.value, "unit": str(unit), "box": projection.box, "dead": projection.dead,
            "png": png_text(crop(image, box)),
            "projection": png_text(display(crop(projection.pixels, box, 0))),
        }  # fmt: skip
