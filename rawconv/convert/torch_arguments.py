"""What from_torch is given, checked before PyTorch sees it: one sentence for each mistake."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping

import numpy as np

from ..errors import UsageError

LARGEST_UNIT = {
    "mean": 1.5,
    "std": 2.5,
}  # that pixels in [0, 1] may have, after changes of a model's own
LARGEST = 4096  # rows or columns of a picture, as those of rawconv-import --size


def check_model(model):
    """UsageError: `model` is not a torch.nn.Module."""
    import torch

    if isinstance(model, torch.nn.Module):
        return
    if isinstance(model, Mapping):
        how = "Load a state dict into its model first: model.load_state_dict(...)."
    else:
        how = "Give a module, such as torch.nn.Sequential(...)."
    raise UsageError(f"from_torch takes a torch.nn.Module, not a {type(model).__name__}. {how}")


def sides(size):
    """(rows, columns) of size=.  UsageError: it is not one or two whole numbers from 1 to 4096."""
    both = size if isinstance(size, tuple | list) else (size, size)
    if len(both) != 2 or not all(_is_side(side) for side in both):
        raise UsageError(
            f"size={size!r} is not the size of a picture; give one whole number from 1 to {LARGEST}, such as 224, or "
            "(rows, columns)."
        )
    return int(both[0]), int(both[1])


def check_stored(stored):
    """UsageError: stored= is neither None nor a whole number from 1 to 4096."""
    if stored is not None and not _is_side(stored):
        raise UsageError(
            f"stored={stored!r} is not the side of a picture; give a whole number from 1 to {LARGEST}, or leave it out."
        )


def check_classes(classes):
    """UsageError: classes= is not a list of names."""
    if isinstance(classes, str | bytes) or not isinstance(classes, Iterable):
        raise UsageError(
            f"classes={classes!r} is not a list of names; give one name a class, or leave it out."
        )
    if wrong := [name for name in classes if not isinstance(name, str)]:
        raise UsageError(
            f"classes= has {wrong[0]!r}, which is not a name; give a str for each class."
        )


def _is_side(side):
    return (
        isinstance(side, numbers.Integral) and not isinstance(side, bool) and 1 <= side <= LARGEST
    )


def normalization(mean, std):
    """(mean, std) as arrays (C,), C of 1 or 3.  UsageError: they are not one number a channel, or a std is not > 0."""
    mean, std = _a_channel("mean", mean), _a_channel("std", std)
    if len(mean) != len(std):
        raise UsageError(
            f"mean= is of {len(mean)} channels and std= of {len(std)}; give one number a channel for both."
        )
    if not (std > 0).all():
        given = ", ".join(f"{number:g}" for number in std)
        raise UsageError(
            f"std=({given}) has a number that is not above 0; pixels are divided by it: give the deviation, or 1."
        )
    for name, values in (("mean", mean), ("std", std)):
        if np.abs(values).max() > LARGEST_UNIT[name]:
            given, unit = (
                ", ".join(f"{value:.4g}" for value in factor * values) for factor in (1, 1 / 255)
            )
            raise UsageError(
                f"{name}=({given}) is of pixels from 0 to 255, and from_torch counts them from 0 to 1, as torchvision "
                f"does; write {name}=({unit})."
            )
    return mean, std


def _a_channel(name, values):
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, RuntimeError):
        array = np.zeros(0)
    if array.shape not in ((1,), (3,)) or not np.isfinite(array).all():
        said = " ".join(repr(values).split())[:80]
        raise UsageError(
            f"{name}={said} is not one number a channel; give three of them, or one for a grey model, as in (0.5,)."
        )
    return array


def chosen(made, output, model):
    """The tensor of scores in what a model's forward made: itself, or what output= names in a tuple or dict.

    UsageError: it is not there, or several are and none is named.
    """
    import torch

    name = type(model).__name__
    if isinstance(made, torch.Tensor):
        if output is not None:
            raise UsageError(f"This {name} returns one tensor; leave output={output!r} out.")
        return made
    keys = _keys(made)
    if not keys:
        raise UsageError(
            f"This {name} returns a {type(made).__name__} instead of class scores, a tensor (N, K); wrap it in a "
            "module that returns them."
        )
    if output is None or isinstance(output, bool) or output not in keys:
        wrong = "" if output is None else f", which has no {output!r}"
        raise UsageError(
            f"This {name} returns a {type(made).__name__}{wrong}; name its class scores with output=, one of "
            f"{', '.join(map(repr, keys[:9]))}."
        )
    if not isinstance(made[output], torch.Tensor):
        raise UsageError(
            f"Output {output!r} of this {name} is a {type(made[output]).__name__}, not a tensor; name another with "
            "output=."
        )
    return made[output]


def _keys(made):
    """What a tuple, list or dict can be asked for; of other things nothing."""
    if isinstance(made, Mapping):
        return list(made)
    return list(range(len(made))) if isinstance(made, tuple | list) else []
