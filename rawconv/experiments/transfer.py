"""Tables 4 to 6, figure 9: a new softmax on fixed layers, against the net from scratch.  Zeiler &
Fergus 2013, 5.2.

For each number of training pictures a class and each fold, both learn from the same pictures and
are tried on the same:

    fixed     all layers but the last stay as they are; one centre crop a picture, a softmax as in classifiers.py
    scratch   the net with new random weights, trained by the recipe of its pretraining for `steps` steps of BATCH
              pictures, cropped and mirrored anew each time

Accuracy is the mean over the classes (table 6: that of each class), as mean and standard deviation
over the folds.
"""

import numpy as np

from ..data import DataSet, mean_image
from ..data.subset import take
from ..report.charts import CYCLE, GREY, png, sheet, short, styled
from ..training.recipes import Recipe, recipe_of
from ..training.runs import new_classifier
from ..visualize.controls import untrained
from .classifiers import answers, shares
from .features import feature_layers
from .folds import drawn, enough, plus_minus, spread
from .held_out import origin
from .study import Result
from .subject import features, over, probabilities
from .trained import train_in

BATCH = 32  # small, since the pictures are few: more steps for the same work
WARMUP = 0.1  # of the training
MOST_BARS = 20  # classes drawn
WAYS = {"fixed": "pretrained, layers fixed", "scratch": "from scratch"}
PUBLISHED = {  # per cent, and standard deviation over the folds, by training pictures a class
    "source": "Zeiler & Fergus 2013, tables 4 and 5, figure 9",
    "Caltech-101": {
        "pretrained": {"15": [83.8, 0.5], "30": [86.5, 0.5]},
        "from scratch": {"15": [22.8, 1.5], "30": [46.5, 1.7]},
        "Bo 2013": {"30": [81.4, 0.33]},
        "Jianchao 2009": {"15": [73.2, None], "30": [84.3, None]},
    },
    "Caltech-256": {
        "pretrained": {"15": [65.7, 0.2], "30": [70.6, 0.2], "45": [72.7, 0.4], "60": [74.2, 0.3]},
        "from scratch": {"15": [9.0, 1.4], "30": [22.5, 0.7], "45": [31.2, 0.5], "60": [38.8, 1.4]},
        "Sohn 2011": {
            "15": [35.1, None],
            "30": [42.1, None],
            "45": [45.7, None],
            "60": [47.9, None],
        },
        "Bo 2013": {"15": [40.5, 0.4], "30": [48.0, 0.2], "45": [51.9, 0.2], "60": [55.2, 0.3]},
    },
}


def run(subject, study, per_class=(5, 15, 30, 60), folds=5, test=50, steps=300, seed=0):
    """A study.Result.  per_class: numbers of training pictures a class.  test: most validation
    pictures a class.

    RawconvError where a class has fewer training pictures than that.
    """
    enough(subject.data, max(per_class))
    cells = {
        f"{count} a class, fold {fold}": (count, fold)
        for count in per_class
        for fold in range(folds)
    }

    def right(key):
        way, _, cell = key.partition(": ")
        count, fold = cells[cell]
        few, held = drawn(subject.data, count, test, seed, fold)
        if way == "fixed":
            guess = _fixed(subject, few, held)
        else:
            guess = _scratch(subject, few, held, study.place(key), steps, (seed + fold) % 2**32)
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


def _fixed(subject, few, held):
    """Labels for the pictures `held`, by a softmax on the features of the last layer below the scores."""
    layer = list(feature_layers(subject.net).values())[-1]
    x, others = (
        over(split, lambda pictures, _: features(subject.net, pictures, layer))
        for split in (few, held)
    )
    return answers("softmax", x, few.labels, others, len(subject.data.classes))[0]


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
    means, classes = np.nanmean(right, axis=1), right.mean(axis=0)
    return {
        "way": way, "per_class": count, "accuracy": float(means.mean()), "std": spread(means), "folds": means.tolist(),
        "by_class": dict(zip(subject.data.classes, classes.tolist(), strict=True)),
    }  # fmt: skip


def _result(subject, table, test, steps):
    classes = subject.data.classes
    numbers = {
        "classes": classes,
        "chance": 1 / len(classes),
        "most_test_pictures": test,
        "table": table,
    }
    numbers |= {"pictures_from_scratch": steps * BATCH}
    rows = [
        {k: v for k, v in row.items() if k not in ("folds", "by_class")} | row["by_class"]
        for row in table
    ]
    sentences = []
    for entry, other in zip(*_both(table), strict=True):
        values = (plus_minus(row["accuracy"], row["std"]) for row in (entry, other))
        sentences.append(
            "{} a class: layers fixed {} %, from scratch {} %.".format(entry["per_class"], *values)
        )
    return Result(numbers, rows, _figure(subject, table), sentences, PUBLISHED)


def _both(table):
    """The rows of either way, by number of pictures."""
    return [[row for row in table if row["way"] == way] for way in WAYS]


@styled
def _figure(subject, table):
    title = "Tables 4 to 6, figure 9: a new classifier on fixed layers, against a net trained from scratch"
    figure, axes = sheet(1, 3, title, origin(subject), (4.2, 4.4))
    ours, paper, bars = axes[0]
    for number, rows in enumerate(_both(table)):
        points = {row["per_class"]: (100 * row["accuracy"], 100 * row["std"]) for row in rows}
        _curve(ours, points, "-", CYCLE[number], WAYS[rows[0]["way"]])
    ours.axhline(100 / len(subject.data.classes), color=GREY, lw=1, ls=":", label="chance")
    ours.set_title("ours")
    for where, style in (("Caltech-256", "-"), ("Caltech-101", "--")):
        _published(paper, where, style)
    paper.set_title("the paper's, from ImageNet's 1000 classes")
    most = max(row["per_class"] for row in table)
    for panel, last in ((ours, most), (paper, 60)):
        panel.set(
            xlabel="training pictures a class", ylabel="mean per-class accuracy, %", ylim=(0, 100)
        )
        panel.set_xlim(0, 1.05 * last)
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=7.5)
    _bars(bars, [rows[-1] for rows in _both(table)])
    return png(figure)


def _published(axes, where, style):
    """The paper's curves on one of its data sets."""
    for number, (name, points) in enumerate(PUBLISHED[where].items()):
        points = {int(count): (mean, std or 0) for count, (mean, std) in points.items()}
        _curve(axes, points, style, CYCLE[number] if number < 2 else GREY, f"{name}, {where}")


def _curve(axes, points, style, color, label):
    """{pictures: (per cent, deviation)}."""
    y, errors = zip(*points.values(), strict=True)
    look = {"ls": style, "marker": "o", "color": color, "ms": 4, "capsize": 2}
    axes.errorbar(list(points), y, np.nan_to_num(errors), label=label, **look)


def _bars(axes, rows):
    """Each class, as table 6 has them."""
    names = list(rows[0]["by_class"])[:MOST_BARS]
    for number, row in enumerate(rows):
        y = np.arange(len(names)) + 0.4 * number - 0.2
        values = [100 * row["by_class"][name] for name in names]
        axes.barh(y, values, 0.36, color=CYCLE[number], label=WAYS[row["way"]])
    title = f"each class, {rows[0]['per_class']} training pictures"
    axes.set(
        title=title,
        yticks=range(len(names)),
        yticklabels=list(map(short, names)),
        xlim=(0, 100),
        xlabel="accuracy, %",
    )
    axes.invert_yaxis()
