"""rawconv-experiment occlusion."""

import click

from ..common import command
from .shared import (
    carry_out,
    count_option,
    fill_option,
    label_option,
    named_or_first,
    need_files,
    shared_options,
)


@command("rawconv-experiment occlusion")
@click.argument("pictures", nargs=-1, metavar="[PICTURE]...")
@click.option(
    "--layer",
    default="conv5",
    show_default=True,
    metavar="LAYER",
    help="Layer whose strongest feature map is measured; in a net without conv5, the last below the classifier.",
)
@click.option(
    "--square",
    type=click.IntRange(1),
    metavar="PIXELS",
    help="Side of the square.  [a quarter of the picture's]",
)
@click.option(
    "--stride",
    type=click.IntRange(1),
    metavar="PIXELS",
    help="Distance between positions of the square.  [1/30 of the picture's side]",
)
@fill_option(default="128", help="Colour of the square.")
@label_option
@count_option(default=3)
@click.option(
    "--measured",
    default=24,
    show_default=True,
    type=click.IntRange(1),
    help="Number of validation pictures that the nulls and curves are about, if no PICTURE is named.",
)
@shared_options
def main(pictures, layer, square, stride, fill, label, count, measured, **where):
    """Repeat Figure 7: a grey square slides over a picture.

    Measures what that does to a feature map and to the class.

    Takes PICTUREs of your own, or else the first validation pictures of different classes that the net gets right.
    Pictures are cut to the centre square that the net sees.  PICTUREs need no data set if the net names none.

    Examples:

    \b
    rawconv-experiment occlusion
    rawconv-experiment occlusion --square 10 --fill mean cat.jpg
    """
    need_files(pictures, label)
    options = {"layer": layer, "square": square, "stride": stride, "fill": fill}
    options["measured"] = 0 if pictures else measured
    shows = named_or_first(pictures, label, count, wrong=1)
    carry_out("occlusion", options, where | {"images": pictures or None}, shows=shows)
