"""rawconv-experiment filters."""

import click

from ..common import command, say
from .shared import carry_out, no_train_option, shared_options


@command("rawconv-experiment filters")
@click.option(
    "--against",
    multiple=True,
    metavar="FILE",
    help="Checkpoint to compare with; repeatable.  [one is trained]",
)
@click.option(
    "--pictures",
    default=2000,
    show_default=True,
    type=click.IntRange(1),
    help="Number of validation pictures used.",
)
@no_train_option
@shared_options
def main(against, pictures, no_train, **where):
    """Figure 6: first-layer filters, dead, dominant or aliased, of several nets beside each other.

    Without --against a net with the other kind of first layer (11x11 filters every 4 pixels, or 7x7 every 2) is trained
    on the built-in scenes.

    \b
    rawconv-experiment filters
    rawconv-experiment filters --weights runs/with/last.h5 --against runs/without-renorm/last.h5
    """

    def needs(subject):
        from ...experiments.filters import other_net

        files = against or other_net(subject, allow=not no_train, say=say)
        return {"against": list(files)}

    carry_out("filters", {"pictures": pictures}, where, needs=needs)
