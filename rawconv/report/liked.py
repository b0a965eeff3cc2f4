"""What the feature maps of a net like: the patches of a data set that excite each of them most.

    liked = find_liked(net, data, "val", layers, folder)
    liked.patches([Unit(0, "conv5", 17)])                   {("conv5", 17): [uint8 (h, w, 3), ...]}

The scan is the one of figure 2; what an earlier one found is not scanned again.
"""

from typing import NamedTuple

from ..data.preprocessing import center_crop
from ..data.subset import take
from ..visualize.earlier_scans import recorded, scan_once
from ..visualize.images import crop
from ..visualize.receptive_field import fields
from ..visualize.units import cut_box, field_box, is_score, layer_object

SCANNED = 2000  # pictures, for figures of single ones: nobody waits for 50,000
COUNT = 9


class Liked(NamedTuple):
    """The strongest units of some layers over a data set.

    net, split: of the scan.  found: {layer object: TopActivations}; {} where there is none.
    words: which pictures they are from, "the 2,000 validation pictures of scenes"; "" where there are none.
    trouble: why there are none, a sentence; else "".
    """

    net: object
    split: object
    found: dict
    words: str = ""
    trouble: str = ""

    def patches(self, units):
        """{(layer, channel): the patches that excite the maps of `units` most, uint8 (h, w, 3)}; of a map
        that nothing excites, and of a layer that was not scanned, none.
        """
        wanted = dict.fromkeys((unit.layer, unit.channel) for unit in units)
        strongest = {pair: [unit for unit, _ in self._strongest(*pair)] for pair in wanted}
        ids = sorted({unit.image for some in strongest.values() for unit in some})
        seen = center_crop(self.net, self.split.read(ids)) if ids else []
        images, sizes, shape = dict(zip(ids, seen, strict=True)), fields(self.net), self.net.shape
        patches = {}
        for pair, some in strongest.items():
            field = sizes[layer_object(self.net, pair[0])]
            boxes = [cut_box(field_box(unit, field, shape), shape) for unit in some]
            patches[pair] = [
                crop(images[unit.image], box) for unit, box in zip(some, boxes, strict=True)
            ]
        return patches

    def names(self, unit):
        """[{"picture", "value"}] of the pictures that `patches` shows of a unit's map."""
        return [
            {"picture": self.split.names[one.image], "value": float(f"{value:.6g}")}
            for one, value in self._strongest(unit.layer, unit.channel)
        ]

    def _strongest(self, layer, channel):
        """[(Unit, its activation)] of a map, those above 0; of class scores all."""
        name = layer_object(self.net, layer)
        if name not in self.found:
            return []
        best, signed = self.found[name], is_score(self.net, name)
        pairs = zip(best.units(layer, [channel]), best.value[channel].tolist(), strict=True)
        return [(unit, value) for unit, value in pairs if signed or value > 0]


def find_liked(net, data, split, layers, folder, say=lambda sentence: None):
    """The Liked of layer objects over the pictures of `split`, of more than SCANNED the first ones.

    folder: where the record of the scan is left; a record beside it of all pictures is taken instead.
    """
    every = some = getattr(data, split)
    if len(every) > SCANNED:
        known = recorded(net, data.source, every, layers, COUNT, folder.parent)
        some = every if set(known) == set(layers) else take(every, range(SCANNED))
    found, spared = scan_once(net, data.source, some, layers, COUNT, folder, say=say)
    if spared:
        say(f"Read what the maps like from {spared}; no new scan was needed.")
    count = f"{len(some):,}" if some is every else f"first {len(some):,} of {len(every):,}"
    part = "training" if split == "train" else "validation"
    return Liked(net, some, found, f"the {count} {part} pictures of {data.name}")
