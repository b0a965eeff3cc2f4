"""The pictures that a net was trained on, or others in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..data import DataSet, open_data
from ..data.preprocessing import stored_size
from ..errors import UsageError

if TYPE_CHECKING:
    from ..net import Net


def data_of(
    net: Net,
    weights: object,
    info: Mapping[str, Any],
    data: str | None = None,
    whole: bool = False,
    test: bool = False,
) -> DataSet:
    """Open the data set called `data`, or the one that `info` names, in the size of a net's images.

    weights, info: the checkpoint's path and what it says of its training.
    whole, test: as in open_data.
    """
    return open_named(weights, info, data, stored_size(net), whole, test)


def open_named(
    weights: object,
    info: Mapping[str, Any],
    data: str | None,
    size: int,
    whole: bool = False,
    test: bool = False,
) -> DataSet:
    """Open the data set called `data`, or the one that `info` names, as pictures of `size` pixels.

    UsageError: neither names one, or it is not there.
    """
    source = data or info.get("data")
    if not source:
        raise UsageError(f"{weights} does not name its data set; name one with --data.")
    try:
        return open_data(source, size, whole=whole, test=test)
    except UsageError as error:
        if data:
            raise
        raise UsageError(
            f"{weights} was trained on {source:.1000}, which is not here; name it, or other pictures, with --data."
        ) from error
