"""Which class of a data set is which class of a net.

images = matched(data, net.classes, "net.h5")      the DataSet, its classes named and ordered as the net's
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from ..errors import RawconvError
from ..files.messages import composed, few, warn
from . import splits
from .subset import in_order
from .synonyms import NUMBER_OF

if TYPE_CHECKING:
    from .dataset import DataSet


def matched(
    data: DataSet,
    classes: Sequence[str],
    net: object,
    or_else: str = "",
    wnids: Sequence[str] = (),
) -> DataSet:
    """Return the DataSet with the classes of a net, in their order.

    classes: the net's.  Two classes are the same if their names are, else if both begin with the
    same WordNet number, else if their names are the same but for underscores and capitals
    ("great_white_shark" is "Great white shark"), else if synonyms.py gives both names one number
    ("red_panda" is "lesser_panda").  A net whose classes are only numbered takes
    those of the data in their order, which is said.
    net: what a message calls the net.  or_else: what else a message offers.  wnids: the WordNet
    numbers of the net's classes, where they are known beside their names.
    RawconvError: the classes differ; it names them.
    """
    if in_their_order(data, classes):
        warn(how_ordered(data, net))
        return data
    data = data._replace(classes=renamed(data, classes, wnids))
    lacks, knows = _without(classes, data.classes), _without(data.classes, classes)
    words = [f"{data.source} lacks {few(lacks, counted=True, longest=40)}"] if lacks else []
    words += [f"{net} does not know {few(knows, counted=True, longest=40)}"] if knows else []
    if words:
        raise RawconvError(
            f"The classes must be the same: {' and '.join(words)}; choose other --data{or_else}."
        )
    return data if list(classes) == list(data.classes) else in_order(data, classes)


def in_their_order(data: DataSet, classes: Sequence[str]) -> bool:
    """Whether a net's classes are only numbered, and as many as those of the data, which lend their names."""
    alike = len(classes) == len(data.classes) and set(classes) - set(data.classes)
    return _only_numbered(classes) and bool(alike)


def how_ordered(data: DataSet, net: object) -> str:
    """Say how a net's numbered classes are taken."""
    return (
        f"{net} numbers its classes and does not name them: they are taken in the order of {data.source}, "
        f"0 is {data.classes[0]}."
    )


def _only_numbered(classes: Sequence[str]) -> bool:
    return list(classes) == [str(number) for number in range(len(classes))]


def renamed(data: DataSet, classes: Sequence[str], wnids: Sequence[str] = ()) -> list[str]:
    """Return the names of the data's classes, those of `classes` where they mean the same."""
    ours, names = set(classes), list(data.classes)
    number_of = dict(zip(classes, wnids, strict=False))
    for identity in (_spelling, _number, _plain, _synonym):
        free = defaultdict(list)
        for name in _without(classes, names):
            free[identity(name, number_of.get(name, ""))].append(name)
        for k, (name, wnid) in enumerate(zip(names, data.wnids or [""] * len(names), strict=True)):
            same = free.get(identity(name, wnid), [])
            if name not in ours and len(same) == 1:
                names[k] = same.pop()
    return names


def _spelling(name: str, wnid: str) -> Hashable:
    return composed(name)


def _number(name: str, wnid: str) -> Hashable:
    return wnid or splits.wnid(name.replace(" ", "_")) or object()


def _plain(name: str, wnid: str) -> Hashable:
    return composed(name).replace("_", " ").casefold()


def _synonym(name: str, wnid: str) -> Hashable:
    return wnid or NUMBER_OF.get(str(_plain(name, wnid)), object())


def _without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    there = set(others)
    return [name for name in names if name not in there]
