"""rawconv-experiment layers."""

import click

from ..common import command
from ..options import seed_option
from .shared import carry_out, defaults, new_class_options, shared_options


@defaults(
    weights="a small net that is trained on half of the classes",
    data="the built-in scenes",
)
@command("rawconv-experiment layers")
@click.option(
    "--per-class",
    multiple=True,
    type=click.IntRange(1),
    help="Number of training pictures of each class; repeatable.  [30, 60]",
)
@click.option("--classifier", type=click.Choice(("both", "svm", "softmax")), default="both", show_default=True,
              help="Classifier that is trained on the features.")  # fmt: skip
@new_class_options
@seed_option
@shared_options
def main(per_class, folds, test, classifier, seed, epochs, all_classes, no_train, quick, **where):
    """Repeat Table 7: what the features of each layer are worth.

    Trains a linear SVM and a softmax on the features of layers 1..n, for classes the net has not seen.

    Without --weights, a small net is pretrained on the first half of the classes of --data (of the built-in scenes, six
    of twelve, in about a minute and a half on 2 cores), and kept; the other half are the new classes.

    Examples:

    \b
    rawconv-experiment layers
    rawconv-experiment layers --weights weights/photos.h5 --data my-pictures/ --per-class 15
    """
    from ...experiments.classifiers import check

    options = {
        "per_class": sorted(set(per_class)) or ([10] if quick else [30, 60]),
        "folds": min(folds, 2) if quick else folds,
        "test": test,
        "classifiers": ["svm", "softmax"] if classifier == "both" else [classifier],
        "seed": seed,
    }
    check(options["classifiers"])  # before a net is trained for them
    new = {"least": max(options["per_class"]), "epochs": epochs, "seed": seed, "quick": quick}
    carry_out(
        "layers",
        options,
        where,
        "pool",
        new=new | {"all_classes": all_classes, "no_train": no_train},
    )
