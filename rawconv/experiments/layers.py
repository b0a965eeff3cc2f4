"""Table 7: a linear SVM and a softmax on the features of layers 1..n of a fixed net.  Zeiler &
Fergus 2013, 5.3.

For each layer, number of training pictures a class, and fold: the training pictures are drawn anew,
so are up to `test` validation pictures a class; one centre crop a picture; features standardised
and C chosen by hold-out, as classifiers.py says.  Accuracy is the mean over the classes, given as
mean and standard deviation over the folds.
"""

import numpy as np

from ..report.charts import CYCLE, GREY, png, sheet, styled
from ..visualize.units import layer_numbers, user_name
from .classifiers import accuracy, check
from .features import feature_layer, feature_layers
from .folds import drawn, enough, plus_minus, spread
from .held_out import origin
from .study import Result
from .subject import features, over

NAMES = {"svm": "SVM", "softmax": "softmax"}
PUBLISHED = {  # per cent, and standard deviation over the folds
    "source": "Zeiler & Fergus 2013, table 7",
    "Caltech-101, 30 a class": {
        "svm": {"1": [44.8, 0.7], "2": [66.2, 0.5], "3": [72.3, 0.4], "4": [76.6, 0.4], "5": [86.2, 0.8],
                "7": [85.5, 0.4]},
        "softmax": {"5": [82.9, 0.4], "7": [85.4, 0.4]},
    },
    "Caltech-256, 60 a class": {
        "svm": {"1": [24.6, 0.4], "2": [39.6, 0.3], "3": [46.0, 0.3], "4": [51.3, 0.1], "5": [65.6, 0.3],
                "7": [71.7, 0.2]},
        "softmax": {"5": [65.7, 0.5], "7": [72.6, 0.1]},
    },
}  # fmt: skip


def run(
    subject, study, per_class=(30, 60), folds=5, test=50, classifiers=("svm", "softmax"), seed=0
):
    """A study.Result.  per_class: numbers of training pictures a class.  test: most validation
    pictures a class.

    RawconvError where a class has fewer training pictures than that, or the SVM's library is missing.
    """
    check(classifiers)
    enough(subject.data, max(per_class))
    layers = feature_layers(subject.net)
    cells = [
        (layer, count, fold) for layer in layers for count in per_class for fold in range(folds)
    ]
    keys = {
        f"layer {layer}, {count} a class, fold {fold}": (layer, count, fold)
        for layer, count, fold in cells
    }

    def compute(key):
        layer, count, fold = keys[key]
        train, test_set = _drawn(subject, layers[layer], count, test, seed, fold)
        accuracies = {
            name: accuracy(name, *train, *test_set, len(subject.data.classes))
            for name in classifiers
        }
        return {name: np.array(value) for name, value in accuracies.items()}

    steps = dict(zip(cells, study.each(list(keys), compute, "classifiers"), strict=True))
    table = [
        _cell(layer, layers[layer], count, name, [steps[layer, count, fold][name] for fold in range(folds)])
        for name in classifiers for count in per_class for layer in layers
    ]  # fmt: skip
    return _result(subject, table, test)


def _drawn(subject, layer, count, test, seed, fold):
    """((features, labels) of the training pictures, those of the validation pictures) of a fold."""
    return [
        (over(some, lambda pictures, _: features(subject.net, pictures, layer)), some.labels)
        for some in drawn(subject.data, count, test, seed, fold)
    ]


def _cell(layer, name, count, classifier, accuracies):
    values = [float(value) for value, _ in accuracies]
    return {
        "layer": layer, "object": name, "classifier": classifier, "per_class": count,
        "accuracy": float(np.mean(values)), "std": spread(values), "folds": values,
        "regularisation": [float(choice) for _, choice in accuracies],
    }  # fmt: skip


def _result(subject, table, test):
    classes = subject.data.classes
    numbers = {
        "classes": classes,
        "chance": 1 / len(classes),
        "most_test_pictures": test,
        "table": table,
    }
    rows = [
        {k: v for k, v in cell.items() if k not in ("folds", "regularisation")} for cell in table
    ]
    sentences = []
    for name, count in dict.fromkeys((cell["classifier"], cell["per_class"]) for cell in table):
        cells = [cell for cell in table if (cell["classifier"], cell["per_class"]) == (name, count)]
        values = ", ".join(
            f"({_name(subject.net, cell)}) {plus_minus(cell['accuracy'], cell['std'])}"
            for cell in cells
        )
        sentences.append(f"{NAMES[name]}, {count} a class, layers 1..n: {values} %.")
    return Result(numbers, rows, _figure(subject, table), sentences, PUBLISHED)


def _name(net, cell):
    """A layer's number, and its name where that is not by the number."""
    number, name = str(cell["layer"]), cell["object"]
    by_number = number in layer_numbers(net) and feature_layer(net, number) == name
    return number if by_number else f"{number} {user_name(net, name)}"


@styled
def _figure(subject, table):
    classes = subject.data.classes
    title = "Table 7: what the features of each layer are worth for new classes"
    figure, axes = sheet(1, 2, title, origin(subject), (5.2, 4.2))
    ours, paper = axes[0]
    curves = _curves(table)
    counts = list(dict.fromkeys(count for _, count in curves))
    for (name, count), points in curves.items():
        _curve(ours, points, name, counts.index(count), f"{count} a class")
    ours.axhline(100 / len(classes), color=GREY, lw=1, ls=":", label="chance")
    ours.set_title("ours")
    for number, (where, published) in enumerate(list(PUBLISHED.items())[1:]):
        for name, values in published.items():
            _curve(
                paper, {int(layer): value for layer, value in values.items()}, name, number, where
            )
    paper.set_title("the paper's, ImageNet's 1000 classes to Caltech's")
    last = max(cell["layer"] for cell in table)
    for panel, top in ((ours, last), (paper, 7)):
        panel.set(
            xlabel="layers 1..n kept",
            ylabel="mean per-class accuracy, %",
            ylim=(0, 100),
            xticks=range(1, top + 1),
        )
        panel.legend(loc="lower right", fontsize=8)
    return png(figure)


def _curves(table):
    """{(classifier, pictures a class): {layer: (per cent, deviation)}}."""
    curves = {}
    for cell in table:
        points = curves.setdefault((cell["classifier"], cell["per_class"]), {})
        points[cell["layer"]] = 100 * cell["accuracy"], 100 * cell["std"]
    return curves


def _curve(axes, points, classifier, number, label):
    """{layer: (per cent, deviation)} of a classifier; one colour for each number of pictures."""
    y, errors = zip(*points.values(), strict=True)
    style = "-" if classifier == "svm" else "--"
    look = {"ls": style, "marker": "o", "color": CYCLE[number % len(CYCLE)], "ms": 4, "capsize": 2}
    axes.errorbar(
        list(points), y, np.nan_to_num(errors), label=f"{NAMES[classifier]}, {label}", **look
    )
