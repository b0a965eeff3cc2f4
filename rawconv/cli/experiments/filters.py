"""rawconv-experiment filters."""

import click

from ..common import command, say
from .shared import (
    carry_out,
    defaults,
    need_one_process,
    no_train_option,
    refuse_in_use,
    shared_options,
)


@defaults(
    weights="twelve small nets that are trained",
    data="what the nets learned from; to train: scenes:4000",
)
@command("rawconv-experiment filters")
@click.option(
    "--against",
    multiple=True,
    metavar="FILE",
    help="Checkpoint to compare with; repeatable.  Nets that differ only in their seed form one arm.  [none]",
)
@click.option(
    "--pictures",
    default=2000,
    show_default=True,
    type=click.IntRange(1),
    help="Number of validation pictures used.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="Number of epochs of each training, if no --weights are named.  [3]",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Train one epoch on few pictures, to try the command; the numbers mean nothing.",
)
@no_train_option
@shared_options
def main(against, pictures, epochs, quick, no_train, **where):
    """Repeat Figure 6: dead, dominant and aliased filters.

    Draws and measures the first layers of several nets side by side.

    Without --weights and --against, two pairs of small nets are trained with three seeds each, on --data or on the
    built-in scenes: 7x7 filters every 2 pixels and 11x11 every 4; 7x7 with and without renormalisation.

    Examples:

    \b
    rawconv-experiment filters
    rawconv-experiment filters --data my-pictures/ --epochs 10
    rawconv-experiment filters --weights runs/with/last.h5 --against runs/without-renorm/last.h5
    """
    from ...errors import UsageError

    named = where["weights"] or against
    if named and (epochs or quick):
        raise UsageError(
            "--epochs and --quick are of nets that are trained here; leave them, or --weights and --against, out."
        )
    need_one_process("filters")
    if not named:
        refuse_in_use(where["out"])
        where["weights"], *against = _trained(where, epochs, quick, not no_train)
    carry_out("filters", {"pictures": pictures}, where, needs=lambda _: {"against": list(against)})


def _trained(where, epochs, quick, allow):
    """The files of the twelve nets, trained where they have to be."""
    from ...experiments.filter_trainings import trainings
    from ...machine.arrays import choose_device

    with choose_device(where["device"], say, where["tf32"]) as device:
        return trainings(where["data"], epochs, quick, device, allow, say)
