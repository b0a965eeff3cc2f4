"""rawconv-experiment ablation."""

import click

from ..common import command, say, seed_option, where_options
from .shared import conclude

# the pictures of a base where --data names none
SCENES = {"zf64": "framed:40000", "zfnet": "scenes"}


@command("rawconv-experiment ablation")
@click.option(
    "--base",
    type=click.Choice(("zf64", "zfnet")),
    default="zf64",
    show_default=True,
    help="Model whose variants are trained.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="MODEL",
    help="Model of the table to train; repeatable.  [all twelve]",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="Number of epochs of each training.  [10; zfnet: 70, as in the paper]",
)
@click.option("--batch", type=click.IntRange(1), help="Number of pictures in a step.  [128]")
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    help="Highest learning rate.  [0.005; zfnet: 0.01]",
)
@click.option(
    "--dropout",
    type=click.FloatRange(0, 1, max_open=True),
    help="Dropout rate of fc6 and fc7.  [0; zfnet: 0.5]",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Train one epoch on a few pictures, to try the command; the numbers mean nothing.",
)
@seed_option
@where_options
def main(
    base,
    only,
    epochs,
    batch,
    lr,
    dropout,
    quick,
    seed,
    data,
    out,
    device,
    tf32,
    workspace,
    force,
    as_json,
):
    """Table 3: twelve nets with layers removed or resized, trained in the same way.

    Without --data on 40,000 built-in scenes in coloured frames (framed:40000; base zfnet: on plain ones), one to two
    hours on 2 cores.  Each training goes on where it was interrupted; the nets are kept beside the table.

    \b
    rawconv-experiment ablation --quick
    rawconv-experiment ablation --only alex64-without-34 --only alex64-without-3467 --data my-pictures/
    rawconv-experiment ablation --base zfnet --data imagenet/ --device gpu
    """
    from pathlib import Path

    from ...data import open_data
    from ...data.subset import few, take
    from ...errors import RawconvError, UsageError
    from ...experiments import ablation, study
    from ...files.run_folders import clean
    from ...machine.arrays import choose_device
    from ...models import recipe
    from ...visualize.scan_record import data_key

    changes = _changes(base, quick, {"epochs": epochs, "batch": batch, "lr": lr})
    dropout = 0 if base == "zf64" and dropout is None else dropout
    source = data or ("framed:48" if quick else SCENES[base])
    pictures = open_data(source, recipe(base).stored)
    if quick:
        some = few(pictures.val.labels, 5, len(pictures.classes), seed)
        pictures = pictures._replace(val=take(pictures.val, some))
    with choose_device(device, say, tf32) as where:
        options = {
            "base": base,
            "only": sorted(set(only)),
            "changes": changes,
            "seed": seed,
            "dropout": dropout,
        }
        identity = options | {
            "data": data_key(pictures.source, pictures.train),
            "device": str(where),
        }
        identity |= {"held_out": data_key(pictures.source, pictures.val)}
        steps = study.begin(
            "ablation",
            identity,
            Path("runs"),
            clean(f"{base}-{pictures.name}-ablation"),
            out,
            force,
        )
        try:
            how = {"device": where, "workspace": workspace, "say": say}
            result = None if steps.known else ablation.run(pictures, steps, **options, **how)
        except (RawconvError, UsageError):
            steps.withdraw()
            raise
    conclude(steps, result, as_json)


def _changes(base, quick, chosen):
    """Return {field of Recipe: value} for all trainings: the options, else what --quick and the base say."""
    usual = {"epochs": 10, "lr": 0.005} if base == "zf64" else {}
    short = {"epochs": 1, "batch": 16} if quick else {}
    return usual | short | {name: value for name, value in chosen.items() if value}
