"""The strongest units of a scan, projected: their images go up once more, once for all layers,
figures and the page.

wanted = found["relu4"].units("conv4", channels, 9)
tiles, ways = project_winners(net, split, found, wanted)         tiles[wanted[0]]: a figures.Tile
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from ..errors import RawconvError
from ..files.progress import progress_bar
from ..layers.cutouts import put
from ..machine.arrays import to_cpu
from ..visualize.forward_pass import WORKSPACE, passes_of_units
from ..visualize.projection import project
from ..visualize.units import is_score, layer_object
from .figures import Tile
from .look import LOOK
from .places import shrink
from .sheets import fit
from .thumbnails import Thumbnails, thumbnails

TOLERANCE = 1e-4  # of the layer's largest activation


class Way(NamedTuple):
    """One unit's way down: its tile, and of every step

    energy, the sum of r squared, and share, of r that is not 0.  steps: the Thumbnails of every
    step; none but of the strongest unit of a map, if that is alive.  picture: all of what the net
    saw, uint8 (h, w, 3), small; None where pictures are not shown.
    """

    tile: Tile
    energy: list[float]
    share: list[float]
    steps: list[Thumbnails]
    picture: np.ndarray | None = None


def project_winners(net, split, found, units, look=LOOK, followed=None, workspace=WORKSPACE):
    """({Unit: Tile} of `units`, {Unit: Way} of `followed`).

    found: {layer object: TopActivations} of a scan of `split`.  units: of TopActivations.units.
    followed: {Unit: (rows, columns) of its tile on the page}.
    workspace: bytes that the maps of the images on their way together may take.
    RawconvError where an activation is not what the scan found.
    """
    figures, followed, tiles, ways = set(units), followed or {}, {}, {}
    every, check = list(dict.fromkeys([*units, *followed])), _Check(net, found, look)
    parts = passes_of_units(net, split, every, workspace, _beside(look, split))
    with progress_bar(len(every), "project", "units") as bar:
        for passed, pairs, others in parts:
            images, steps = (
                passed.center_crops(),
                _Steps(net, found, [unit for unit, _ in pairs], followed),
            )
            small = shrink(images) if look.patches else {}.get
            how = look.rules, look.control, others
            projections = project(
                passed, [here for _, here in pairs], *how, watch=steps.watch if followed else None
            )
            for k, ((unit, here), projection) in enumerate(zip(pairs, projections, strict=True)):
                check(unit, projection.value)
                tile = look.tile(projection, images[here.image])
                if unit in figures:
                    tiles[unit] = tile
                if unit in followed:
                    cut = Tile(*(fit(part, followed[unit]) for part in tile[:2]), *tile[2:])
                    ways[unit] = Way(cut, *steps.of.pop(k), small(here.image))
                bar.update()
    return tiles, ways


class _Steps:
    """What the page tells of each step down.  of: {number of a unit: ([energy], [share], [Thumbnails])}."""

    def __init__(self, net, found, units, followed):
        self.net = net
        self.of = {k: ([], [], []) for k, unit in enumerate(units) if unit in followed}
        self.drawn = {k for k in self.of if _leads(net, found, units[k])}

    def watch(self, node, below, windows):
        """Take note of a step: windowed.go_down calls it."""
        r, (height, width) = windows.r, self.net.shapes.get(below, self.net.shape)[:2]
        flat = r.reshape(len(r), -1)
        sums, left = (
            to_cpu((flat.astype(np.float64) ** 2).sum(axis=1)),
            to_cpu((flat != 0).sum(axis=1)),
        )
        for i, k in enumerate(windows.at.tolist()):
            if k in self.of:
                energy, share, drawn = self.of[k]
                energy.append(float(sums[i]))
                share.append(int(left[i]) / (height * width * r.shape[3]))
                if k in self.drawn:
                    drawn.append(
                        thumbnails(
                            to_cpu(put(r[i : i + 1], windows.corner[i : i + 1], (height, width))[0])
                        )
                    )


def _leads(net, found, unit):
    """Whether a unit is the strongest of its map, and alive."""
    name = layer_object(net, unit.layer)
    best = found[name]
    return best.image[unit.channel, 0] == unit.image and (
        best.value[unit.channel, 0] != 0 or is_score(net, name)
    )


class _Check:
    """RawconvError where an activation is not what the scan found.

    A control that sends something else up has activations of its own: of it nothing is asked.
    """

    def __init__(self, net, found, look):
        self.net, self.found = net, found
        self.exchanged = look.control is not None and look.control.sets_out
        self.largest = {name: np.abs(best.value).max() for name, best in found.items()}

    def __call__(self, unit, value):
        if self.exchanged:
            return
        name = layer_object(self.net, unit.layer)
        best = self.found[name]
        rank = int(np.flatnonzero(best.image[unit.channel] == unit.image)[0])
        before = best.value[unit.channel, rank]
        if not abs(value - before) <= TOLERANCE * self.largest[name]:
            raise RawconvError(
                f"Map {unit.channel} of {name} is {value:.6g} on picture {unit.image} of the data set, but the scan "
                f"found {before:.6g}: the data or the weights have changed since. Visualise into a new folder."
            )


def _beside(look, split):
    """For --control other-switches, the function from an image to another one: half the data set
    away, or the next from there that is not the same pixel for pixel; else None.

    The function raises RawconvError where all are the same.
    """
    if look.control is None or look.control.name != "other-switches":
        return None
    if len(split) < 2:
        raise RawconvError(
            "--control other-switches needs another picture; the data set has only one."
        )

    @functools.cache
    def beside(image):
        for away in range(len(split)):
            other = (image + len(split) // 2 + away) % len(split)
            if not np.array_equal(*split.read([image, other])):
                return other
        raise RawconvError(
            "--control other-switches needs another picture; all of the data set are the same."
        )

    return beside
