"""rawconv-experiment features."""

import click

from ...files.locks import locked
from ..common import command, echo, finish, refuse_existing, say
from ..options import (
    data_option,
    device_option,
    force_option,
    json_option,
    tf32_option,
    weights_option,
    workspace_option,
)


@command("rawconv-experiment features")
@click.option(
    "--layer",
    required=True,
    metavar="LAYER",
    help="Layer: 5 (as Table 7 counts: pooled and normalised), conv4, pool5, fc6.",
)
@click.option("--out", required=True, metavar="FILE.h5", help="File to write.")
@click.option(
    "--split",
    default="val",
    show_default=True,
    type=click.Choice(("val", "train")),
    help="Split whose features are written.",
)
@click.option(
    "--batch",
    default=128,
    show_default=True,
    type=click.IntRange(1),
    help="Number of pictures at a time.",
)
@weights_option
@data_option
@device_option
@tf32_option
@workspace_option
@force_option
@json_option
def main(layer, out, split, batch, weights, data, device, tf32, workspace, force, as_json):
    """Write the features of a layer for a whole data set.

    The HDF5 file holds features (N, d), labels, names and classes, with what they were made from as attributes.  An
    interrupted run goes on where it stopped when it is started again in the same way.

    Examples:

    \b
    rawconv-experiment features --layer 5 --out features.h5
    rawconv-experiment features --layer fc6 --split train --data photos/ --weights weights/photos.h5 --out fc6.h5
    """
    from ...experiments import features, subject
    from ...machine.arrays import choose_device

    with choose_device(device, say, tf32) as device, locked(out):
        refuse_existing(out, force, [weights, data])
        loaded = subject.load(weights, data, device, workspace)
        written = features.write(loaded, layer, split, out, batch)
    size = " x ".join(map(str, written["shape"]))
    (say if as_json else echo)(
        f"{written['pictures']} pictures, {size} features each, of {written['object']}."
    )
    finish(out, {"file": str(out), **written}, as_json)
