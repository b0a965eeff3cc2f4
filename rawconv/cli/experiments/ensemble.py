"""rawconv-experiment ensemble."""

import click

from ...errors import UsageError
from ..common import command, say
from ..options import where_options
from .shared import carry_out, no_train_option, refuse_in_use


@command("rawconv-experiment ensemble")
@click.argument("checkpoints", nargs=-1, metavar="[CHECKPOINT]...")
@click.option(
    "--pictures",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    help="Number of validation pictures used.",
)
@no_train_option
@where_options
def main(checkpoints, pictures, no_train, **where):
    """Repeat Table 2: several nets, and ten views of a picture.

    Averages the softmax outputs of the nets, with one view of each picture and with ten.

    Without CHECKPOINTs, six small nets are trained on the built-in scenes: five of zf64 and one of zf64-wide, as the
    paper has five nets and one with wider layers.

    Examples:

    \b
    rawconv-experiment ensemble
    rawconv-experiment ensemble runs/zf64-photos-1/last.h5 runs/zf64-photos-2/last.h5
    """
    files = [str(file) for file in checkpoints]
    if len(set(files)) < len(files):
        raise UsageError(
            "A checkpoint is named twice; the mean with itself changes nothing, so name each once."
        )
    refuse_in_use(where["out"])
    files = files or _trained(where["device"], where["tf32"], not no_train)
    carry_out(
        "ensemble",
        {"pictures": pictures},
        where | {"weights": files[0]},
        needs=lambda _: {"others": files[1:]},
    )


def _trained(device, tf32, allow):
    """The files of the six nets, trained where they have to be."""
    from ...experiments.trained import trained
    from ...machine.arrays import choose_device

    with choose_device(device, say, tf32) as device:
        nets = [("zf64", seed, 0.5) for seed in range(5)] + [("zf64-wide", 5, 0.8)]
        how = "scenes:3000", {"epochs": 5}
        instead = ", or name the nets: rawconv-experiment ensemble CHECKPOINT CHECKPOINT"
        return [
            str(trained(model, *how, seed, device, allow, say, minutes, instead))
            for model, seed, minutes in nets
        ]
