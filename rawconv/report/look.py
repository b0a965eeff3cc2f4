"""How projections are drawn: rules of the way down, contrast, with the image's own pixels beside
them or without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..layers import PAPER, Rules
from ..visualize.controls import Control
from ..visualize.images import crop, display
from ..visualize.projection import Projection
from .figures import Tile


class Look(NamedTuple):
    """How things are drawn.

    rules: of the way down.  percentile: of |value|, which is drawn with full contrast.
    patches: whether the image's own pixels stand beside a projection.
    control: a controls.Control, what is exchanged, or None.
    """

    rules: Rules = PAPER
    percentile: float = 99.5
    patches: bool = True
    control: Control | None = None

    def sentence(self, tiles: Sequence[Tile] = ()) -> str:
        """What a figure's legend says of it, and of how many of its tiles a control put another map into."""
        rules = self.rules
        full = (
            "largest |value|"
            if self.percentile == 100
            else f"{self.percentile:g}th percentile of |value|"
        )
        return (
            f"Grey is 0, full contrast the {full} of each projection by itself. "
            f"Rule {rules.relu}, shared switches {rules.shared_switches}, LRN {rules.lrn}."
            + (f" {self.control.sentence}" if self.control else "")
            + self._taken(tiles)
        )

    def _taken(self, tiles: Sequence[Tile]) -> str:
        count = sum(tile.replaced for tile in tiles)
        if self.control is None or self.control.name == "other-unit" or not count:
            return ""
        return f" So it is with {count} of the {len(tiles)} units here."

    def tile(self, projection: Projection, image: np.ndarray) -> Tile:
        """A Projection, cut to what is shown of its unit and then scaled, so that only what is
        shown sets the contrast.

        image: what it is of, as the net sees it, uint8 (H, W, 3).
        """
        box = projection.shown_box
        drawn = display(crop(projection.pixels, box, 0), self.percentile)
        patch = crop(image, box) if self.patches else None
        return Tile(drawn, patch, projection.dead, projection.empty, projection.replaced)


LOOK = Look()
