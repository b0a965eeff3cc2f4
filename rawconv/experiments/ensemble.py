"""Table 2: the mean of the softmax outputs of several nets, each looking once or ten times at a picture.

    result = run(subject, study, others=["runs/two/last.h5", "runs/three/last.h5"])

The paper's rows are one net, five nets of one architecture, one net with wider layers, and all six.
Here each architecture among the nets gives a row of one net, the mean over them, and a row of all
of them together, and all nets the last row.  Ten views: the corners and the centre, as they are and
mirrored, as in Krizhevsky 2012.

Intervals are by the bootstrap over pictures, and over the nets where a row is the mean of several.
Rows are compared on the same pictures: `differences` are those of each picture's two errors, so that
pictures that are hard for all nets cancel.
"""

import numpy as np

from ..data.subset import take
from ..errors import RawconvError
from ..machine.threads import cut
from ..report import charts
from . import intervals
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
        lambda key: {"wrong": wrong(subjects, sets, parts[key])},
        "ensemble",
        "parts",
    )
    errors = 100 * np.concatenate([step["wrong"] for step in steps], axis=3)
    return _result(subject, count, table, singles, prefixes, dict(zip(sets, errors, strict=True)))


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


def wrong(subjects, sets, part):
    """bool (sets, 2, 2, n): of which of a part's n pictures the class is not first, and not among the
    first five, of the mean probabilities of each set of nets, with one view and with ten."""
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
    return np.array(
        [
            [_misses(p[list(nets), v].mean(axis=0), labels) for v in range(len(VIEWS))]
            for nets in sets
        ]
    )


def _misses(p, labels):
    """(2, n): whether one other class, or five others, are no less probable than the label's; a NaN is a miss."""
    own = p[np.arange(len(labels)), labels][:, None]
    above = (~(p < own)).sum(axis=1) - 1
    return above >= 1, above >= 5


def _looks(subject, ids, views):
    split = take(subject.data.val, ids)
    return over(split, lambda pictures, _: probabilities(subject.net, pictures, views), BATCH)


# ---------------------------------------------------------------------------------------------- what it shows


def _result(subject, count, table, singles, prefixes, wrong):
    """The Result; wrong: {nets: (2, 2, n)} of one view and ten, top-1 and top-5, 100 where a picture is wrong."""
    groups = _groups(table, wrong)
    rows = [row for words, (nets, values) in groups.items() for row in _rows(words, nets, values)]
    numbers = {
        "pictures": count, "rows": rows, "differences": _differences(groups),
        "ten_views": [_difference(words, "1 view", values[:, 1] - values[:, 0])
                      for words, (_, values) in groups.items()],
        "single": [row for words, nets in singles for row in _rows(words, 1, wrong[nets][None])],
        "first": [row for words, nets in prefixes for row in _rows(words, len(nets), wrong[nets][None])],
    }  # fmt: skip
    error = {nets: values.mean(axis=-1) for nets, values in wrong.items()}
    return Result(
        numbers,
        rows,
        _draw(subject, numbers, singles, prefixes, error),
        _sentences(subject, numbers, singles, error),
        {"rows": PUBLISHED},
    )


def _groups(table, wrong):
    """{row: (how many nets' mean it is, (N, 2, 2, n) of N such sets)}: of several nets of a kind each alone, too."""
    groups = {}
    for words, nets in table:
        if len(nets) > 1 and not words.startswith("all"):
            single = f"1 net of {words.partition(' of ')[2]}, mean of {len(nets)}"
            groups[single] = 1, np.stack([wrong[(k,)] for k in nets])
        groups[words] = len(nets), wrong[nets][None]
    return groups


def _sentences(subject, numbers, singles, error):
    best, last = min(error[nets][1, 0] for _, nets in singles), numbers["rows"][-1]
    told = [
        f"Top-1 error with 10 views: {last['row']} {last['top1_error']:.1f} % ({last['top1_low']:.1f} to "
        f"{last['top1_high']:.1f}), the best single net {best:.1f} %, over {numbers['pictures']:,} validation pictures "
        f"of {subject.data.name}."
    ]
    told += [
        f"{entry['row']} minus {entry['minus']}, on the same pictures: "
        f"{intervals.text(entry['top1'], '+.1f')} points{_verdict(entry['top1'])}."
        for entry in numbers["differences"] if entry["views"] == 10
    ]  # fmt: skip
    return [*told, "The paper, on ImageNet 2012: one net 38.4 %, five 36.7 %, six 36.0 %."]


def _verdict(interval):
    """What a difference of errors says: nothing where its interval holds 0."""
    if not intervals.is_known(interval) or interval["low"] <= 0 <= interval["high"]:
        return ", no difference that these pictures show"
    return ", fewer errors" if interval["high"] < 0 else ", more errors"


def _differences(groups):
    """Of each row but the first, its errors minus those of the first: [{row, minus, views, top1, top5}]."""
    (first, (_, before)), *others = groups.items()
    return [
        {"row": words, "minus": first, "views": views}
        | _difference(words, first, values[:, v] - before[:, v])
        for words, (_, values) in others for v, views in enumerate(VIEWS)
    ]  # fmt: skip


def _difference(words, minus, values):
    """{row, minus, top1, top5} of differences (N, 2, n)."""
    by_rank = {
        top: intervals.mean(values[:, k], np.arange(values.shape[-1]))
        for k, top in enumerate(("top1", "top5"))
    }
    return {"row": words, "minus": minus} | by_rank


def _rows(words, nets, wrong):
    """A row for one view and one for ten.  wrong: (N, 2, 2, n) of N nets, views, top-1 and top-5, pictures."""
    rows = []
    for v, views in enumerate(VIEWS):
        row = {"row": words, "nets": nets, "views": views}
        for k, top in enumerate(("top1", "top5")):
            error = intervals.mean(wrong[:, v, k], np.arange(wrong.shape[-1]))
            row |= {f"{top}_error": error["mean"]}
            row |= {f"{top}_low": error["low"], f"{top}_high": error["high"]}
            if len(wrong) > 1:
                row |= {f"{top}_std": float(wrong[:, v, k].mean(axis=-1).std())}
        rows.append(row)
    return rows


@charts.styled
def _draw(subject, numbers, singles, prefixes, error):
    rows = numbers["rows"]
    figure, axes = charts.sheet(
        2, 2, "Table 2: several nets are right more often than one",
        f"Errors of the mean of softmax outputs over {numbers['pictures']:,} validation pictures of "
        f"{subject.data.name}, with 95 % intervals, and the published ones.",
        panel=(5.2, 3.1),
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
        for place, row in zip(places, rows, strict=True):
            value, low, high = (row.get(f"{top}_{end}", np.nan) for end in ("error", "low", "high"))
            axes.plot([low, high], [place, place], color="#55555e", lw=1)
            axes.text(np.nanmax([value, high]), place, f" {value:.1f}", va="center", fontsize=7.5)
    axes.set_yticks(range(len(words)), words)
    axes.set_ylim(len(words) - 0.5, -0.5)
    axes.set_xlim(0, 1.25 * max(row.get("top1_high", row["top1_error"]) for row in rows))
    axes.grid(False, axis="y")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=7.5)


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
        title=f"{top}: mean of the first n nets", xlabel="n", ylabel="error, %",
        ylim=(0, 1.05 * max(1, *(values[v, k] for values in error.values() for v in range(len(VIEWS))))),
    )  # fmt: skip
    axes.set_xticks(range(1, len(prefixes) + 1))
    charts.name_ends(axes)
