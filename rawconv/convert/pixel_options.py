"""What a user says of a net's pixels beside what its file says: for colour and for grey, and never in [0, 1]."""

import numpy as np

from ..errors import UsageError
from . import PIXELS

UNIT_MEAN = 1.5  # a mean up to here is one of pixels in [0, 1], or their deviation from it


def pixel_changes(channels, pixels=None, order=None, mean=None, std=None):
    """{field of Pixels: value} of the options that were given, for a net of 1 or 3 channels.

    pixels: a name in PIXELS.  order: "rgb", "bgr" or "grey".  mean, std: tuples of 1 or 3 numbers.
    UsageError: they are for other channels, or look like those of pixels in [0, 1].
    """
    changes = _preset(channels, pixels) | ({"order": order} if order else {})
    for name, numbers in (("mean", mean), ("std", std)):
        if not numbers:
            continue
        if len(numbers) not in (1, channels):
            raise UsageError(
                f"--{name} has {len(numbers)} numbers, and this net takes grey pictures, of one channel; give one."
            )
        _refuse_unit(name, numbers)
        changes[name] = numbers
    return changes


def _preset(channels, pixels):
    if not pixels:
        return {}
    found = PIXELS[pixels]
    if channels == 3:
        return found._asdict()
    if len({*found.mean}) > 1 or len({*found.std}) > 1:
        raise UsageError(
            f"--pixels {pixels} has numbers for three channels, and this net takes grey pictures; say --mean and "
            "--std, one number each."
        )
    return {"order": "grey", "mean": found.mean[:1], "std": found.std[:1]}


def _refuse_unit(name, numbers):
    """UsageError where no pixels from 0 to 255 have this mean or deviation, but those from 0 to 1 do."""
    size = np.abs(numbers)
    unit = 0 < size.max() <= 1 if name == "mean" else size.max() < 1
    if unit:
        scaled = ",".join(f"{255 * number:g}" for number in numbers)
        given = ",".join(f"{number:g}" for number in numbers)
        raise UsageError(
            f"--{name} {given} is of pixels from 0 to 1, and rawconv counts them from 0 to 255; write "
            f"--{name} {scaled}."
        )


def check_range(pixels, inside):
    """UsageError where `pixels`, a name in PIXELS or None, is of another range than the file itself says.

    inside: (mean, scale) that the file applies to its input, None where it does not.
    """
    if inside is None or pixels is None:
        return
    largest = float(np.abs(inside[0]).max())
    if pixels == "raw" and 0 < largest <= UNIT_MEAN:
        raise UsageError(
            f"The file itself takes a mean of up to {largest:g} off its input, as of pixels from 0 to 1; say "
            "--pixels unit."
        )
    if pixels in ("unit", "torch") and largest > UNIT_MEAN:
        raise UsageError(
            f"The file itself takes a mean of up to {largest:g} off its input, as of pixels from 0 to 255; say "
            "--pixels raw."
        )
