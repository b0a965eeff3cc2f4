"""Table 7: a linear SVM and a softmax on the features of layers 1..n of a fixed net.  Zeiler &
Fergus 2013, 5.3.

For each layer, number of training pictures a class, and fold: pictures to learn from and up to `test`
of the rest are drawn anew from all of a class (folds.py); one centre crop a picture; each feature
standardised over all pictures, without their labels (kernel.py); C chosen by hold-out, as
classifiers.py says.  The same of a net as before training, which is what any net of these layers is
worth.  Accuracy is the mean over the classes, given as mean and standard error over the folds.
"""

import itertools

import numpy as np

from ..data.voc import MarkedSplit
from ..errors import RawconvError
from ..report.charts import CYCLE, GREY, name_ends, png, sheet, styled
from ..visualize.controls import untrained
from ..visualize.units import layer_numbers, user_name
from .classifiers import accuracy, check
from .features import feature_layer, feature_layers
from .folds import drawn, enough, plus_minus, pool, summary
from .held_out import known, origin, overlap
from .kernel import compact_kernel
from .layer_kernels import LayerKernels
from .study import Result

NETS = ("trained", "untrained")
NAMES = {"svm": "SVM", "softmax": "softmax"}
PUBLISHED = {  # per cent, and what stands behind the paper's ±
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
    """A study.Result.  per_class: numbers of training pictures a class.  test: most pictures of a
    class to be tried on.

    RawconvError where a class has no more pictures than that, the disk or --workspace is too small,
    or the SVM's library is missing.
    """
    check(classifiers)
    if isinstance(subject.data.train, MarkedSplit):
        raise RawconvError(
            f"{subject.data.source} has pictures of several classes, and table 7 takes those of one class each; "
            "rawconv-experiment transfer takes such pictures."
        )
    enough(subject.data, max(per_class))
    layers, images = feature_layers(subject.net), pool(subject.data)
    draws = {
        (count, fold): drawn(images, count, test, seed, fold, max(per_class))
        for count, fold in itertools.product(per_class, range(folds))
    }
    keys = {
        f"{net}, layer {layer}, {count} a class, fold {fold}": (net, layer, count, fold)
        for net, layer, (count, fold) in itertools.product(NETS, layers, draws)
    }
    nets = dict(zip(NETS, (subject.net, untrained(subject.net, seed)), strict=True))
    ids = np.unique(np.concatenate(list(itertools.chain(*draws.values()))))
    kernels = LayerKernels(nets, layers, images, ids, study.place("features"))
    kernels.check(draws.values())

    def compute(key):
        net, layer, *draw = keys[key]
        train, tried = draws[tuple(draw)]
        places = (kernels.places(part) for part in (train, tried))
        x, others = compact_kernel(kernels.of(net, layer), *places)
        true = images.labels[train], images.labels[tried]
        return {
            name: np.array(accuracy(name, x, true[0], others, true[1], len(subject.data.classes)))
            for name in classifiers
        }

    steps = dict(zip(keys.values(), study.each(list(keys), compute, "classifiers"), strict=True))
    table = [
        _cell((net, layer, layers[layer], name, count), [steps[net, layer, count, fold][name] for fold in range(folds)])
        for net, name, count, layer in itertools.product(NETS, classifiers, per_class, layers)
    ]  # fmt: skip
    return _result(subject, table, test)


def _cell(what, accuracies):
    return (
        dict(zip(("net", "layer", "object", "classifier", "per_class"), what, strict=True))
        | summary([value for value, _ in accuracies])
        | {"regularisation": [float(choice) for _, choice in accuracies]}
    )


def _result(subject, table, test):
    classes = subject.data.classes
    numbers = {
        "classes": classes,
        "known_classes": list(known(subject)),
        "chance": 1 / len(classes),
        "most_test_pictures": test,
        "table": table,
    }
    rows = [
        {k: v for k, v in cell.items() if k not in ("folds", "regularisation")} for cell in table
    ]
    sentences = []
    for (net, name, count), cells in _groups(table).items():
        values = ", ".join(
            f"({_name(subject.net, cell)}) {plus_minus(cell['accuracy'], cell['standard_error'])}"
            for cell in cells
        )
        bare = "" if net == "trained" else " of the untrained net"
        sentences.append(f"{NAMES[name]}, {count} a class, layers 1..n{bare}: {values} %.")
    sentences.append(f"Chance is {100 / len(classes):.1f} %.")
    sentences += [overlap(subject)] if known(subject) else []
    return Result(numbers, rows, _figure(subject, table), sentences, PUBLISHED)


def _groups(table):
    """{(net, classifier, pictures a class): its cells}."""
    groups = {}
    for cell in table:
        groups.setdefault((cell["net"], cell["classifier"], cell["per_class"]), []).append(cell)
    return groups


def _name(net, cell):
    """A layer's number, and its name where that is not by the number."""
    number, name = str(cell["layer"]), cell["object"]
    by_number = number in layer_numbers(net) and feature_layer(net, number) == name
    return number if by_number else f"{number} {user_name(net, name)}"


@styled
def _figure(subject, table):
    classes = subject.data.classes
    title = "Table 7: what the features of each layer are worth for new classes"
    figure, axes = sheet(1, 3, title, origin(subject), (5, 4.2))
    *ours, paper = axes[0]
    groups = _groups(table)
    counts = list(dict.fromkeys(count for _, _, count in groups))
    for panel, net, head in zip(ours, NETS, ("ours", "ours, untrained net"), strict=True):
        for (own, name, count), cells in groups.items():
            if own == net:
                _curve(panel, _points(cells), name, counts.index(count), f"{count} a class")
        panel.axhline(100 / len(classes), color=GREY, lw=1, ls=":", label="chance")
        panel.set_title(head)
    for number, (where, published) in enumerate(list(PUBLISHED.items())[1:]):
        for name, values in published.items():
            _curve(
                paper, {int(layer): value for layer, value in values.items()}, name, number, where
            )
    paper.set_title("the paper's, ImageNet's 1000 classes to Caltech's")
    last = max(cell["layer"] for cell in table)
    for panel, top in ((ours[0], last), (ours[1], last), (paper, 7)):
        panel.set(
            xlabel="layers 1..n kept",
            ylabel="mean per-class accuracy, %",
            ylim=(0, 100),
            xticks=range(1, top + 1),
        )
        name_ends(panel)
    return png(figure)


def _points(cells):
    """{layer: (per cent, what stands behind ±)}."""
    return {cell["layer"]: (100 * cell["accuracy"], 100 * cell["standard_error"]) for cell in cells}


def _curve(axes, points, classifier, number, label):
    """{layer: (per cent, what stands behind ±)} of a classifier; one colour for each number of pictures."""
    y, errors = zip(*points.values(), strict=True)
    style = "-" if classifier == "svm" else "--"
    look = {"ls": style, "marker": "o", "color": CYCLE[number % len(CYCLE)], "ms": 4, "capsize": 2}
    axes.errorbar(
        list(points), y, np.nan_to_num(errors), label=f"{NAMES[classifier]}, {label}", **look
    )
