"""rawconv-experiment evolution."""

import click

from ...errors import UsageError
from ..common import command, say
from .shared import (
    carry_out,
    defaults,
    need_one_process,
    no_train_option,
    refuse_in_use,
    shared_options,
)

SCENES, QUICK = "scenes:4000", "scenes:600"  # the pictures of the net that is trained
RATE = 450  # pictures a second in training zf64 on two cores


@defaults(
    weights="the newest in runs/, else a small net that is trained",
    data="what the net learned from; to train: scenes:4000",
)
@command("rawconv-experiment evolution")
@click.option(
    "--maps",
    default=4,
    show_default=True,
    type=click.IntRange(1, 32),
    help="Number of feature maps of each layer, drawn at random.",
)
@click.option(
    "--epochs",
    type=click.IntRange(2),
    help="Number of epochs of the training, if no --weights are named.  [20]",
)
@click.option(
    "--train-twin",
    is_flag=True,
    help="Train the net of --weights once more with its data in another order, as the null.",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Train two epochs on few pictures, to try the command; the numbers mean nothing.",
)
@no_train_option
@shared_options
def main(maps, epochs, train_twin, quick, no_train, **where):
    """Repeat Figure 4: how feature maps become what they are.

    Draws the strongest unit of each map, epoch by epoch, from the snapshots that training leaves.

    --weights names a checkpoint of a run, whose folder must hold snapshots/.  The default is the newest run in runs/.
    If that has no snapshots, or if --data, --epochs or --quick is given, a small net and its twin are trained on --data
    or on the built-in scenes.

    Examples:

    \b
    rawconv-experiment evolution
    rawconv-experiment evolution --weights runs/mine/last.h5 --train-twin
    rawconv-experiment evolution --data my-pictures/ --epochs 10
    """
    ours = epochs or quick
    if where["weights"] and ours:
        raise UsageError(
            "--epochs and --quick are of a net that is trained here; leave them or --weights out."
        )
    need_one_process("evolution")
    refuse_in_use(where["out"])
    if not where["weights"]:
        newest = None if where["data"] or ours else _newest()
        train_twin = train_twin or not newest
        where["weights"] = newest or _trained(where, epochs, quick, not no_train)

    def needs(subject):
        from ...experiments.evolution import snapshots
        from ...experiments.twins import twin

        if not train_twin:
            return {"twin": []}
        files = snapshots(subject.weights)
        return {"twin": [str(twin(subject, files[min(files)], not no_train, say))]}

    carry_out("evolution", {"maps": maps}, where, "train", needs=needs)


def _newest():
    """The newest checkpoint in runs/ if its run has snapshots, else None."""
    from ... import checkpoint
    from ...errors import RawconvError
    from ...experiments.evolution import snapshots

    newest = checkpoint.newest()
    try:
        return newest if newest and snapshots(newest) else None
    except RawconvError:
        return None


def _trained(where, epochs, quick, allow):
    """The last.h5 of the net that is trained for this."""
    from ...data import open_data
    from ...experiments.trained import trained
    from ...machine.arrays import choose_device
    from ...models import recipe

    source, epochs = where["data"] or (QUICK if quick else SCENES), epochs or (2 if quick else 20)
    pictures = len(open_data(source, recipe("zf64").stored, progress=False).train)
    minutes = max(0.05, round(pictures * epochs / RATE / 60, 1))
    with choose_device(where["device"], say, where["tf32"]) as device:
        instead = ", or name a run with --weights FILE"
        if allow:
            say(f"A net and its twin are needed, about {2 * minutes:.2g} min on 2 cores for both.")
        changes = {"epochs": epochs}
        return trained("zf64", source, changes, 0, device, allow, say, minutes, instead)
