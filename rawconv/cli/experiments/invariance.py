"""rawconv-experiment invariance."""

import click

from ..common import command
from .shared import (
    carry_out,
    count_option,
    fill_option,
    label_option,
    need_files,
    shared_options,
)


@command("rawconv-experiment invariance")
@click.argument("pictures", nargs=-1, metavar="[PICTURE]...")
@click.option("--low", default="1", show_default=True, metavar="LAYER", help="Low layer.")
@click.option("--high", default="7", show_default=True, metavar="LAYER", help="High layer.")
@click.option(
    "--shift",
    type=click.IntRange(1),
    metavar="PIXELS",
    help="Largest shift up and down.  [60 of 224]",
)
@click.option(
    "--scale",
    default=1.8,
    show_default=True,
    type=click.FloatRange(1, 16, min_open=True),
    help="Largest scale.",
)
@click.option("--distance", default="unit", show_default=True, type=click.Choice(("raw", "relative", "unit")),
              help="Distance that is drawn; the files hold all of them.")  # fmt: skip
@fill_option(default="mean", help="Colour of what enters the picture from outside.")
@label_option
@count_option(default=5)
@click.option(
    "--measured",
    default=24,
    show_default=True,
    type=click.IntRange(1),
    help="Number of validation pictures that the numbers are about, if no PICTURE is named; at least --count.",
)
@shared_options
def main(pictures, low, high, shift, scale, distance, fill, label, count, measured, **where):
    """Repeat Figure 5: a picture is moved, enlarged and turned.

    Measures how far its features go, and whether its class stays.

    Takes PICTUREs of your own, or else the first validation pictures of different classes that the net gets right: it
    draws --count of them, and measures --measured.

    Examples:

    \b
    rawconv-experiment invariance
    rawconv-experiment invariance --low 2 --high 5 --label cat cat.jpg tiger.jpg
    """
    need_files(pictures, label)
    options = {
        "low": low,
        "high": high,
        "shift": shift,
        "scale": scale,
        "distance": distance,
        "fill": fill,
    }
    options["drawn"] = len(pictures) or count

    def shows(subject):
        from ...experiments.subject import shown

        some = shown(subject, pictures, label, count)
        names = {first.name for first in some}
        others = [] if pictures else shown(subject, count=max(count, measured))
        return (
            some + [more for more in others if more.name not in names][: max(0, measured - count)]
        )

    carry_out("invariance", options, where | {"images": pictures or None}, shows=shows)
