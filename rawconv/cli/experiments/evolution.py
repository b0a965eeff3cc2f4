"""rawconv-experiment evolution."""

import click

from ..common import command, say
from .shared import carry_out, no_train_option, shared_options


@command("rawconv-experiment evolution")
@click.option(
    "--maps",
    default=4,
    show_default=True,
    type=click.IntRange(1, 32),
    help="Number of feature maps of each layer, drawn at random.",
)
@no_train_option
@shared_options
def main(maps, no_train, **where):
    """Figure 4: the strongest unit of each map, epoch by epoch, from the snapshots that training leaves.

    --weights names a checkpoint of a run; its folder must hold snapshots/.  By default the newest run in runs/, or,
    where that has none, a small net trained on the built-in scenes.

    \b
    rawconv-experiment evolution
    rawconv-experiment evolution --weights runs/mine/last.h5
    """
    if not where["weights"]:
        where["weights"] = _default(where["device"], where["tf32"], not no_train)
    carry_out("evolution", {"maps": maps}, where, "train")


def _default(device, tf32, allow):
    """The newest run in runs/ if it has snapshots, else a net trained for this."""
    from ... import checkpoint
    from ...errors import RawconvError
    from ...experiments.evolution import snapshots
    from ...experiments.trained import trained
    from ...machine.arrays import choose_device

    newest = checkpoint.newest()
    try:
        if newest and snapshots(newest):
            return newest
    except RawconvError:
        pass
    device = choose_device(device, say, tf32)
    with device:
        instead = ", or name a run with --weights FILE"
        return trained("zf64", "scenes:4000", {"epochs": 20}, 0, device, allow, say, 3, instead)
