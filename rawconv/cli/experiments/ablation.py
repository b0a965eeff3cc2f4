"""rawconv-experiment ablation."""

import click

from ...errors import RawconvError, UsageError
from ..common import command, say
from ..options import options_given, seed_option, where_options
from .shared import conclude, defaults

# the pictures of a base where --data names none
SCENES = {"zf64": "framed:40000", "zfnet": "scenes"}
# options of trainings, which nets that are trained already have behind them
OF_TRAININGS = ("base", "only", "epochs", "batch", "lr", "dropout", "quick", "seed", "seeds")


@defaults(data="framed:40000; zfnet: scenes; of CHECKPOINTs: what they learned from")
@command("rawconv-experiment ablation")
@click.argument("checkpoints", nargs=-1, metavar="[CHECKPOINT]...")
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
@click.option(
    "--seeds",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Number of trainings of each row: by --seed, by the next seed, and so on.",
)
@click.option(
    "--views",
    type=click.Choice(("1", "10")),
    default="1",
    show_default=True,
    help="Number of crops of each picture whose answers are averaged.",
)
@seed_option
@where_options
def main(
    checkpoints,
    base,
    only,
    epochs,
    batch,
    lr,
    dropout,
    quick,
    seeds,
    views,
    seed,
    **where,
):
    """Repeat Table 3: nets with layers removed or resized.

    Trains twelve nets in the same way, which takes about 70 minutes on 2 cores for each seed.

    Without --data they learn 40,000 built-in scenes in coloured frames, a task made so that depth counts.  Each
    training goes on where it was interrupted; the nets are kept beside the table.  Given CHECKPOINTs, files or run
    folders of rawconv-train, it makes the table of these nets.

    Examples:

    \b
    rawconv-experiment ablation --quick
    rawconv-experiment ablation --only alex64-without-34 --only alex64-without-3467 --seeds 3 --data my-pictures/
    rawconv-experiment ablation runs/alex64-groups-photos-1 runs/alex64-without-67-photos-1 --views 10
    rawconv-experiment ablation --base zfnet --data imagenet/ --device gpu
    """
    from ...machine.arrays import choose_device

    named = [name for name in OF_TRAININGS if name in options_given()]
    if checkpoints and named:
        raise UsageError(
            f"CHECKPOINTs are trained already; leave --{', --'.join(named)} out, or the CHECKPOINTs."
        )
    if seed + seeds > 2**32:
        raise UsageError(
            f"--seeds {seeds} from --seed {seed} on go beyond the last seed, {2**32 - 1}."
        )
    with choose_device(where["device"], say, where["tf32"]) as device:
        if checkpoints:
            steps, result = _measure(checkpoints, int(views), where, device)
        else:
            dropout = 0 if base == "zf64" and dropout is None else dropout
            options = {
                "base": base,
                "only": sorted(set(only)),
                "changes": _changes(base, quick, {"epochs": epochs, "batch": batch, "lr": lr}),
                "seed": seed,
                "seeds": seeds,
                "views": int(views),
                "dropout": dropout,
            }
            pictures = _pictures(base, quick, seed, where["data"])
            steps, result = _train(pictures, options, where, device)
    conclude(steps, result, where["as_json"])


def _pictures(base, quick, seed, data):
    """The DataSet of a base's trainings; of --quick a few of its validation pictures."""
    from ...data import open_data
    from ...data.subset import few, take
    from ...models import recipe

    pictures = open_data(data or ("framed:48" if quick else SCENES[base]), recipe(base).stored)
    if not quick:
        return pictures
    some = few(pictures.val.labels, 5, len(pictures.classes), seed)
    return pictures._replace(val=take(pictures.val, some))


def _train(pictures, options, where, device):
    """(the study, its Result) of trainings; None where the results are known already."""
    from ...experiments import ablation

    def run(study):
        how = {"device": device, "workspace": where["workspace"], "say": say}
        return ablation.run(pictures, study, **options, **how)

    return _in_study(options["base"], pictures, options, where, device, run)


def _measure(paths, views, where, device):
    """(the study, its Result) of nets that are trained already."""
    from ...experiments import ablation, ablation_nets

    nets = ablation_nets.read(paths)
    pictures = ablation_nets.pictures(nets, where["data"])

    def run(study):
        return ablation.measure(nets, pictures, study, views, device, where["workspace"])

    base = ablation_nets.base_of(nets[0].model)
    options = {"base": base, "nets": [net.identity() for net in nets], "views": views}
    return _in_study(base, pictures, options, where, device, run)


def _in_study(base, pictures, options, where, device, run):
    """(the study of these options on these pictures, its Result by `run`)."""
    from pathlib import Path

    from ...experiments import study
    from ...files.run_folders import clean
    from ...visualize.scan_record import data_key

    identity = options | {
        "data": data_key(pictures.source, pictures.train),
        "held_out": data_key(pictures.source, pictures.val),
        "device": str(device),
    }
    stem = clean(f"{base}-{pictures.name}-ablation")
    steps = study.begin("ablation", identity, Path("runs"), stem, where["out"], where["force"])
    try:
        return steps, None if steps.known else run(steps)
    except (RawconvError, UsageError):
        steps.withdraw()
        raise


def _changes(base, quick, chosen):
    """{field of Recipe: value} for all trainings: the options, else what --quick and the base say."""
    usual = {"epochs": 10, "lr": 0.005} if base == "zf64" else {}
    short = {"epochs": 1, "batch": 16} if quick else {}
    return usual | short | {name: value for name, value in chosen.items() if value}
