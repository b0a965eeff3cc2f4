"""rawconv-experiment transfer."""

import click

from ...errors import UsageError
from ..common import command
from ..options import options_given, seed_option
from .shared import carry_out, defaults, new_class_options, shared_options


@defaults(
    weights="a small net that is trained on half of the classes",
    data="the built-in scenes",
)
@command("rawconv-experiment transfer")
@click.option(
    "--per-class",
    multiple=True,
    type=click.IntRange(1),
    help="Number of training pictures of each class; repeatable.  [5, 15, 30, 60]",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    help="Number of steps, of 32 pictures each, of each net from scratch.  [300]",
)
@new_class_options
@seed_option
@shared_options
def main(per_class, steps, folds, test, seed, epochs, all_classes, no_train, quick, **where):
    """Repeat Tables 4 to 6 and Figure 9: a net on new classes.

    Trains a new softmax on fixed layers, and a net from scratch to compare with, on a few pictures of each of some
    classes that the net has not seen.

    Without --weights, a small net is pretrained on the first half of the classes of --data (of the built-in scenes, six
    of twelve, in about a minute and a half on 2 cores), and kept; the other half are the new classes.

    For a folder of PASCAL VOC (JPEGImages, ImageSets/Main) it makes Table 6: it learns from the list train, is tested
    on val, and measures the average precision.

    Examples:

    \b
    rawconv-experiment transfer
    rawconv-experiment transfer --weights weights/photos.h5 --data my-pictures/ --per-class 15 --per-class 30
    """
    from ...data import voc

    options = {
        "per_class": sorted(set(per_class)) or ([5, 10] if quick else [5, 15, 30, 60]),
        "folds": min(folds, 2) if quick else folds,
        "test": test,
        "steps": steps or (10 if quick else 300),
        "seed": seed,
    }
    new = {"least": max(options["per_class"]), "epochs": epochs, "seed": seed, "quick": quick}
    if where["data"] and voc.accepts(where["data"]):
        _refuse_draws(where["data"])
        options = {key: options[key] for key in ("steps", "seed")}
    carry_out(
        "transfer",
        options,
        where,
        "pool",
        new=new | {"all_classes": all_classes, "no_train": no_train},
    )


def _refuse_draws(data):
    """UsageError where options say how many pictures to draw, and the data's lists say it."""
    named = [name for name in ("per-class", "folds", "test") if name in options_given()]
    if named:
        raise UsageError(
            f"The lists of {data} say which pictures to train and to test on; leave --{named[0]} out."
        )
