"""The ways to learn new classes from a few pictures that transfer.py compares:

fixed      all layers but the last stay as they are; one centre crop a picture, a softmax as in classifiers.py
untrained  the same on the layers of a net as before training, another one in each fold: what any net is worth
scratch    the net with new random weights, trained by the recipe of its pretraining for `steps` steps of BATCH
           pictures, cropped and mirrored anew each time
"""

import numpy as np

from ..data import DataSet, mean_image
from ..data.subset import take
from ..training.recipes import Recipe, recipe_of
from ..training.runs import new_classifier
from ..visualize.controls import untrained
from .classifiers import chosen, compact, softmax_scores, standardised
from .features import feature_layers
from .subject import features, over, probabilities
from .trained import train_in

BATCH = 32  # small, since the pictures are few: more steps for the same work
WARMUP = 0.1  # of the training


def scores_of(way, subject, splits, folder, steps, seed):
    """(N, classes): what one of the ways says of pictures it has not seen.

    splits: (those to learn from, the N others).  folder: for the checkpoint of a net.
    """
    few, held = splits
    if way == "scratch":
        return _scratch(subject, few, held, folder, steps, seed)
    net = subject.net if way == "fixed" else untrained(subject.net, seed)
    return _fixed(net, few, held, len(subject.data.classes))


def _fixed(net, few, held, classes):
    """Scores for the pictures `held`, by a softmax on the features of the last layer below the scores."""
    layer = list(feature_layers(net).values())[-1]
    raw = (over(split, lambda pictures, _: features(net, pictures, layer)) for split in (few, held))
    x, others = compact(*standardised(*raw))
    penalty = chosen("softmax", x, few.labels, classes)
    return softmax_scores(x, few.labels, classes, penalty)(others)


def _scratch(subject, few, held, folder, steps, seed):
    """The same by a net of the same layers that has seen nothing but the pictures `few`: probabilities.

    They are gone over again and again in one long epoch, so that there is one validation.  folder:
    for its checkpoint.
    """
    again = take(few, np.resize(np.arange(len(few)), steps * BATCH))
    data = DataSet("few", "few", subject.data.classes, again, held)

    def begin():
        net = untrained(new_classifier(subject.net, data.classes, seed), seed)
        net.pixel_mean = mean_image(few)
        how = (
            Recipe.from_json(subject.info["recipe"])
            if subject.info.get("recipe")
            else recipe_of(net)
        )
        # with the full rate a net of so few pictures may die
        rate = how.lr * (BATCH / how.batch) ** 0.5
        return net, how._replace(
            epochs=1, batch=BATCH, lr=rate, schedule="cosine", warmup=WARMUP, frozen="", lr_multipliers={}
        )  # fmt: skip

    net = train_in(folder, begin, data, seed, subject.device, progress=False, say=lambda line: None)
    return over(held, lambda pictures, _: probabilities(net, pictures))
