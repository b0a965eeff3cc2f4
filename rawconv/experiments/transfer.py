"""Tables 4 to 6, figure 9: a new softmax on fixed layers, against the net from scratch.  Zeiler &
Fergus 2013, 5.2.

For each number of training pictures a class and each fold, the ways of transfer_ways.py learn from
the same pictures and are tried on the same (folds.py).
Accuracy is the mean over the classes (table 6: that of each class), as mean and standard error over
the folds.
"""

import numpy as np

from ..data.subset import take
from ..data.voc import MarkedSplit
from . import table_6
from .classifiers import shares
from .folds import drawn, enough, plus_minus, pool, summary
from .held_out import known, overlap
from .study import Result
from .transfer_page import PUBLISHED, WAYS, by_way, draw
from .transfer_ways import BATCH, scores_of


def run(subject, study, per_class=(5, 15, 30, 60), folds=5, test=50, steps=300, seed=0):
    """A study.Result.  per_class: numbers of training pictures a class.  test: most pictures of a
    class to be tried on.

    Pictures that may be of several classes are learnt and ranked by their own lists (table_6.py).
    RawconvError where a class has no more pictures than that.
    """
    if isinstance(subject.data.train, MarkedSplit):
        return table_6.run_marked(subject, study, steps, seed)
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
        guess = scores_of(way, subject, (few, held), study.place(key), steps, own).argmax(axis=1)
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
