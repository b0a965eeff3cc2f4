"""Table 2: the mean of the softmax outputs of several nets, each looking once or ten times at a picture.

    result = run(subject, study, others=["runs/two/last.h5", "runs/three/last.h5"])

The paper's rows are one net, five nets of one architecture, one net with wider layers, and all six.
Here each architecture among the nets gives a row of one net, the mean over them, and a row of all
of them together, and all nets the last row.  Ten views: the corners and the centre, as they are and
mirrored, as in Krizhevsky 2012.
"""

import numpy as np

from ..data.subset import take
from ..errors import RawconvError
from ..machine.threads import cut
from ..report import charts
from ..training.step import hits
from .study import Result
from .subject import beside, class_numbers, over, probabilities

VIEWS = (1, 10)
PART = 64  # pictures of a step
BATCH = 16  # pictures at a time: 160 with ten views
PUBLISHED = [  # errors in %, ImageNet 2012: validation top-1 and top-5, test top-5
    {"nets": "Krizhevsky 2012, 1 net", "top1_error": 40.7, "top5_error": 18.2},
    {
        "nets": "Krizhevsky 2012, 5 nets",
        "top1_error": 38.1,
        "top5_error": 16.4,
        "test_top5_error": 16.4,
    },
    {"nets": "the paper's copy of it, 1 net", "top1_error": 40.5, "top5_error": 18.1},
    {"nets": "the paper, 1 net", "top1_error": 38.4, "top5_error": 16.5},
    {
        "nets": "(a) the paper, 5 nets",
        "top1_error": 36.7,
        "top5_error": 15.3,
        "test_top5_error": 15.3,
    },
    {
        "nets": "(b) the paper, 1 net, wide",
        "top1_error": 37.5,
        "top5_error": 16.0,
        "test_top5_error": 16.1,
    },
    {"nets": "(a) + (b), 6 nets", "top1_error": 36.0, "top5_error": 14.7, "test_top5_error": 14.8},
]


def run(subject, study, others=(), pictures=1000):
    """A study.Result on the net and those in the files `others`, over the first validation pictures.

    RawconvError where the nets do not know the same classes, or not those of the data.
    """
    subjects = [subject, *(beside(subject, path) for path in others)]
    _check_classes(subjects)
    count = min(pictures, len(subject.data.val))
    table = rows_of([member.net.model or "net" for member in subjects])
    prefixes = [(f"the first {k}", tuple(range(k))) for k in range(1, len(subjects) + 1)]
    singles = [(str(member.weights), (k,)) for k, member in enumerate(subjects)]
    sets = list(dict.fromkeys(nets for _, nets in [*singles, *prefixes, *table]))
    parts = {f"pictures {part.start} to {part.stop}": part for part in cut(count, PART)}
    steps = study.each(
        list(parts),
        lambda key: {"hits": count_hits(subjects, sets, parts[key])},
        "ensemble",
        "parts",
    )
    error = dict(zip(sets, 100 * (1 - sum(step["hits"] for step in steps) / count), strict=True))
    return _result(subject, count, table, singles, prefixes, error)


def _check_classes(subjects):
    first = subjects[0]
    for member in subjects:
        if sorted(member.net.classes) != sorted(first.net.classes):
            raise RawconvError(
                f"{member.weights} and {first.weights} do not know the same classes, so the mean of their "
                "probabilities says nothing; choose nets that were trained on the same data set."
            )


def rows_of(models):
    """[(words, numbers of the nets)]: of each model its nets, then all; "1 net" of several stands
    for their mean.
    """
    rows, groups = (
        [],
        {model: [k for k, m in enumerate(models) if m == model] for model in dict.fromkeys(models)},
    )
    for model, nets in groups.items():
        rows.append((f"{len(nets)} {'nets' if len(nets) > 1 else 'net'} of {model}", tuple(nets)))
    if len(groups) > 1:
        rows.append((f"all {len(models)} nets", tuple(range(len(models)))))
    return rows


def count_hits(subjects, sets, part):
    """(sets, 2, 2): how many pictures of a part have their class first, and among the first five,
    of the mean probabilities of each set of nets, with one view and with ten."""
    ids = np.arange(part.start, part.stop)
    labels = class_numbers(subjects[0])[subjects[0].data.val.labels[ids]]
    order = [
        [member.net.classes.index(name) for name in subjects[0].net.classes] for member in subjects
    ]
    looks = (
        [_looks(member, ids, views)[:, k] for views in VIEWS]
        for member, k in zip(subjects, order, strict=True)
    )
    # net, views, picture, class of the first net
    p = np.stack([np.stack(views) for views in looks])
    return [
        [hits(p[list(nets), v].mean(axis=0), labels) for v in range(len(VIEWS))] for nets in sets
    ]


def _looks(subject, ids, views):
    split = take(subject.data.val, ids)
    return over(split, lambda pictures, _: probabilities(subject.net, pictures, views), BATCH)


# ---------------------------------------------------------------------------------------------- what it shows


def _result(subject, count, table, singles, prefixes, error):
    rows = []
    for words, nets in table:
        alone = np.stack([error[(k,)] for k in nets])
        if len(nets) > 1 and not words.startswith("all"):
            rows += _rows(
                f"1 net of {words.partition(' of ')[2]}, mean of {len(nets)}",
                1,
                alone.mean(0),
                alone.std(0),
            )
        rows += _rows(words, len(nets), error[nets])
    numbers = {
        "pictures": count, "rows": rows,
        "single": [row for words, nets in singles for row in _rows(words, 1, error[nets])],
        "first": [row for words, nets in prefixes for row in _rows(words, len(nets), error[nets])],
    }  # fmt: skip
    best, last = min(error[nets][1, 0] for _, nets in singles), rows[-1]["top1_error"]
    sentences = [
        f"Top-1 error with 10 views: {rows[-1]['row']} {last:.1f} %, the best single net {best:.1f} %, "
        f"over {count:,} validation pictures of {subject.data.name}.",
        "The paper, on ImageNet 2012: one net 38.4 %, five 36.7 %, six 36.0 %.",
    ]
    return Result(
        numbers,
        rows,
        _draw(subject, numbers, singles, prefixes, error),
        sentences,
        {"rows": PUBLISHED},
    )


def _rows(words, nets, error, std=None):
    """A row for one view and one for ten.  error, std: (2, 2) of views and top-1, top-5, in %."""
    rows = []
    for v, views in enumerate(VIEWS):
        row = {"row": words, "nets": nets, "views": views}
        row |= {f"{top}_error": float(error[v, k]) for k, top in enumerate(("top1", "top5"))}
        if std is not None:
            row |= {f"{top}_std": float(std[v, k]) for k, top in enumerate(("top1", "top5"))}
        rows.append(row)
    return rows


@charts.styled
def _draw(subject, numbers, singles, prefixes, error):
    rows = numbers["rows"]
    figure, axes = charts.sheet(
        2, 2, "Table 2: several nets are right more often than one",
        f"Errors of the mean of softmax outputs over {numbers['pictures']:,} validation pictures of "
        f"{subject.data.name}, and the published ones.", panel=(5.2, 3.1),
    )  # fmt: skip
    words = list(dict.fromkeys(row["row"] for row in rows))
    for v, (views, shade) in enumerate(zip(VIEWS, (0.5, 1), strict=True)):
        of = [row for row in rows if row["views"] == views]
        label = f", {views} view" + "s" * (views > 1)
        _bars(axes[0, 0], words, of, (v - 0.5) * 0.4, 0.36, label, shade)
    axes[0, 0].set(title="our nets", xlabel="error, %")
    _bars(axes[0, 1], [row["nets"] for row in PUBLISHED], PUBLISHED, 0, 0.6, "", 1)
    axes[0, 1].set(title="published: ImageNet 2012, validation", xlabel="error, %")
    for k, (top, colour) in enumerate((("top-1", charts.BLUE), ("top-5", charts.ORANGE))):
        _curve(axes[1, k], k, top, colour, singles, prefixes, error)
    return charts.png(figure)


def _bars(axes, words, rows, shift, height, label, alpha):
    """Top-1 and, inside it, top-5; the numbers at their ends."""
    places = np.arange(len(words)) + shift
    for top, colour in (("top1", charts.BLUE), ("top5", charts.ORANGE)):
        values = [row[f"{top}_error"] for row in rows]
        axes.barh(places, values, height, color=colour, alpha=alpha, label=f"top-{top[3]}{label}")
        for place, value in zip(places, values, strict=True):
            axes.text(value, place, f" {value:.1f}", va="center", fontsize=7.5)
    axes.set_yticks(range(len(words)), words)
    axes.set_ylim(len(words) - 0.5, -0.5)
    axes.set_xlim(0, 1.7 * max(row["top1_error"] for row in rows))
    axes.grid(False, axis="y")
    axes.legend(loc="lower right", fontsize=7.5)


def _curve(axes, k, top, colour, singles, prefixes, error):
    """Error k of the mean of the first n nets against n, and that of the n-th net alone."""
    for v, (views, style) in enumerate(zip(VIEWS, ("--", "-"), strict=True)):
        values = [error[nets][v, k] for _, nets in prefixes]
        axes.plot(
            range(1, len(values) + 1),
            values,
            style,
            marker=".",
            color=colour,
            label=f"{views} view" + "s" * v,
        )
        alone = [error[nets][v, k] for _, nets in singles]
        axes.plot(np.arange(1, len(alone) + 1), alone, "o" if v else "x", color=charts.GREY, ms=4,
                  label=f"net n alone, {views} view" + "s" * v)  # fmt: skip
    axes.set(
        title=f"{top}: mean of the first n nets", xlabel="n", ylabel="error, %", ylim=(0, None)
    )
    axes.set_xticks(range(1, len(prefixes) + 1))
    axes.legend(fontsize=7.5, handlelength=5)  # room for the dashes on both sides of the marker
