"""Tables 4 to 6, figure 9: a new softmax on fixed layers, against the net from scratch.  Zeiler &
Fergus 2013, 5.2.

For each number of training pictures a class and each fold, all learn from the same pictures and are
tried on the same (folds.py):

    fixed      all layers but the last stay as they are; one centre crop a picture, a softmax as in classifiers.py
    untrained  the same on the layers of a net as before training, another one in each fold: what any net is worth
    scratch    the net with new random weights, trained by the recipe of its pretraining for `steps` steps of BATCH
               pictures, cropped and mirrored anew each time

Accuracy is the mean over the classes (table 6: that of each class), as mean and standard error over
the folds.
"""

import numpy as np

from ..data import DataSet, mean_image
from ..data.subset import take
from ..training.recipes import Recipe, recipe_of
from ..training.runs import new_classifier
from ..visualize.controls import untrained
from .classifiers import answers, shares
from .features import feature_layers
from .folds import drawn, enough, plus_minus, pool, summary
from .held_out import known, overlap
from .study import Result
from .subject import features, over, probabilities
from .trained import train_in
from .transfer_page import PUBLISHED, WAYS, by_way, draw

BATCH = 32  # small, since the pictures are few: more steps for the same work
WARMUP = 0.1  # of the training


def run(subject, study, per_class=(5, 15, 30, 60), folds=5, test=50, steps=300, seed=0):
    """A study.Result.  per_class: numbers of training pictures a class.  test: most pictures of a
    class to be tried on.

    RawconvError where a class has no more pictures than that.
    """
    enough(subject.data, max(per_class))
    images = pool(subject.data)
    cells = {
        f"{count} a class, fold {fold}": (count, fold)
        for count in per_class
        for fold in range(folds)
    }

    def right(key):
        way, _, cell = key.partition(": ")
        count, fold = cells[cell]
        ids = drawn(images, count, test, seed, fold, max(per_class))
        few, held = (take(images, some) for some in ids)
        own = (seed + fold) % 2**32
        if way == "scratch":
            guess = _scratch(subject, few, held, study.place(key), steps, own)
        else:
            net = subject.net if way == "fixed" else untrained(subject.net, own)
            guess = _fixed(net, few, held, len(subject.data.classes))
        return {"right": shares(guess, held.labels, len(subject.data.classes))}

    table = []
    for way, name in WAYS.items():
        right_answers = study.each([f"{way}: {cell}" for cell in cells], right, name, "nets")
        right_answers = np.stack([step["right"] for step in right_answers]).reshape(
            len(per_class), folds, -1
        )
        table += [
            _row(subject, way, count, each)
            for count, each in zip(per_class, right_answers, strict=True)
        ]
    return _result(subject, table, test, steps)


def _fixed(net, few, held, classes):
    """Labels for the pictures `held`, by a softmax on the features of the last layer below the scores."""
    layer = list(feature_layers(net).values())[-1]
    x, others = (
        over(split, lambda pictures, _: features(net, pictures, layer)) for split in (few, held)
    )
    return answers("softmax", x, few.labels, others, classes)[0]


def _scratch(subject, few, held, folder, steps, seed):
    """The same by a net of the same layers that has seen nothing but the pictures `few`.

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
    guess = over(held, lambda pictures, _: probabilities(net, pictures)).argmax(axis=1)
    return guess


def _row(subject, way, count, right):
    """right: the shares (folds, classes) that are right; NaN where a class has no test pictures."""
    by_class = dict(zip(subject.data.classes, right.mean(axis=0).tolist(), strict=True))
    return (
        {"way": way, "per_class": count}
        | summary(np.nanmean(right, axis=1))
        | {"by_class": by_class}
    )


def _result(subject, table, test, steps):
    classes = subject.data.classes
    numbers = {
        "classes": classes, "known_classes": list(known(subject)), "chance": 1 / len(classes),
        "most_test_pictures": test, "table": table, "pictures_from_scratch": steps * BATCH,
    }  # fmt: skip
    rows = [
        {k: v for k, v in row.items() if k not in ("folds", "by_class")} | row["by_class"]
        for row in table
    ]
    sentences = []
    for entries in zip(*by_way(table), strict=True):
        values = (plus_minus(row["accuracy"], row["standard_error"]) for row in entries)
        sentences.append(
            "{} a class: layers fixed {} %, untrained and fixed {} %, from scratch {} %; chance {:.1f} %.".format(
                entries[0]["per_class"], *values, 100 / len(classes)
            )
        )
    sentences += [overlap(subject)] if known(subject) else []
    return Result(numbers, rows, draw(subject, table), sentences, PUBLISHED)
