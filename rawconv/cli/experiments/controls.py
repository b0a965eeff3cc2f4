"""rawconv-experiment controls."""

import click

from ..common import command
from .shared import carry_out, shared_options


@command("rawconv-experiment controls")
@click.option(
    "--layer",
    default="conv4",
    show_default=True,
    metavar="LAYER",
    help="Layer of the units: 4, conv4, pool5, fc6.",
)
@click.option(
    "--units",
    type=click.IntRange(1),
    metavar="MAPS",
    help="Number of feature maps measured, the strongest ones.  [all that are ever above 0]",
)
@click.option(
    "--rows",
    default=6,
    show_default=True,
    type=click.IntRange(1, 24),
    help="Number of units drawn.",
)
@shared_options
def main(layer, units, rows, **where):
    """Measure what a projection owes to each ingredient.

    Draws the strongest units of each feature map of a layer, projected as in the paper and with one thing exchanged:
    untrained nets up and down, another unit, mismatched filters, another picture's switches or none, the whole map,
    the rules gradient and guided, and max or overwrite for shared switches.

    Examples:

    \b
    rawconv-experiment controls
    rawconv-experiment controls --layer 5 --weights runs/mine/last.h5
    """
    carry_out("controls", {"layer": layer, "units": units, "rows": rows}, where)
