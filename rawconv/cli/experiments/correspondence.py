"""rawconv-experiment correspondence."""

import click

from ..common import command
from ..options import result_options, seed_option, weights_option
from .shared import carry_out, fill_option


@command("rawconv-experiment correspondence")
@click.argument("parts", required=False, metavar="[PARTS.json]")
@click.option(
    "--layer",
    "layers",
    multiple=True,
    default=("5", "7"),
    show_default=True,
    help="Layer to measure; repeatable.",
)
@click.option(
    "--size",
    type=click.IntRange(1),
    metavar="PIXELS",
    help="Side of a square.  [0.3 of the picture's]",
)
@click.option(
    "--draws",
    default=20,
    show_default=True,
    type=click.IntRange(2, 1000),
    help="Number of draws of built-in faces, positions and untrained weights.",
)
@fill_option(default="128", help="Colour of the square.")
@click.option(
    "--count",
    default=5,
    show_default=True,
    type=click.IntRange(2, 100),
    help="Number of built-in faces in a draw.",
)
@seed_option
@weights_option
@result_options
def main(parts, layers, size, draws, fill, count, seed, **where):
    """Repeat Table 1: hide the same part of several pictures.

    Measures whether that changes the same features.

    PARTS.json names pictures and the rows and columns of their parts, in pixels.  If you like, it also gives the
    object's "box": [top, left, bottom, right], in which random positions are drawn.  Without PARTS.json, built-in faces
    are taken, new ones in each draw.

    \b
    {"pictures": [{"file": "rex.jpg", "parts": {"nose": [120, 88], "left eye": [70, 61]}}, ...]}

    Examples:

    \b
    rawconv-experiment correspondence
    rawconv-experiment correspondence dogs.json --layer 3 --layer 5
    """

    def shows(subject):
        from ...experiments.marked_parts import marked

        return marked(subject.net, parts) if parts else []

    options = {"layers": list(layers), "size": size, "draws": draws, "seed": seed, "fill": fill}
    # the pictures are in PARTS.json or built in: no data set is named, nor asked for
    where |= {"data": None, "images": ()}
    carry_out("correspondence", options | {"count": count}, where, shows=shows)
