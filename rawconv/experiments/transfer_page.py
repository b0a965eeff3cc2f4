"""The figure of transfer.py, and what the paper found: tables 4 and 5, figure 9."""

import numpy as np

from ..report.charts import CYCLE, GREY, name_ends, png, sheet, short, styled
from .held_out import origin

MOST_BARS = 20  # classes drawn
WAYS = {
    "fixed": "pretrained, layers fixed",
    "untrained": "untrained, layers fixed",
    "scratch": "from scratch",
}
PAPERS = (GREY, "#c4c4cc", CYCLE[0])  # of the columns of table 6
COLORS = {"fixed": CYCLE[0], "untrained": CYCLE[2], "scratch": CYCLE[1]}
PUBLISHED = {  # per cent, and what stands behind the paper's ±, by training pictures a class
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


def by_way(table):
    """The rows of each way, by number of pictures."""
    return [[row for row in table if row["way"] == way] for way in WAYS]


@styled
def draw(subject, table):
    """The figure of a table of transfer.run, a PNG: our curves, the paper's, and each class."""
    title = "Tables 4 to 6, figure 9: a new classifier on fixed layers, against a net trained from scratch"
    figure, axes = sheet(1, 3, title, origin(subject), (4.8, 4.4))
    ours, paper, bars = axes[0]
    for rows in by_way(table):
        way = rows[0]["way"]
        points = {
            row["per_class"]: (100 * row["accuracy"], 100 * row["standard_error"]) for row in rows
        }
        _curve(ours, points, "-", COLORS[way], WAYS[way])
    ours.axhline(100 / len(subject.data.classes), color=GREY, lw=1, ls=":", label="chance")
    ours.set_title("ours")
    for where, style in (("Caltech-256", "-"), ("Caltech-101", "--")):
        _published(paper, where, style)
    paper.set_title("the paper's, from ImageNet to Caltech-101 and 256")
    most = max(row["per_class"] for row in table)
    for panel, last in ((ours, most), (paper, 60)):
        panel.set(
            xlabel="training pictures a class", ylabel="mean per-class accuracy, %", ylim=(0, 100)
        )
        panel.set_xlim(0, 1.05 * last)
        name_ends(panel)
    _bars(bars, [rows[-1] for rows in by_way(table)])
    return png(figure)


def _published(axes, where, style):
    """The paper's curves on one of its data sets."""
    for number, (name, points) in enumerate(PUBLISHED[where].items()):
        points = {int(count): (mean, std or 0) for count, (mean, std) in points.items()}
        _curve(axes, points, style, CYCLE[number] if number < 2 else GREY, f"{name}, {where[-3:]}")


def _curve(axes, points, style, color, label):
    """{pictures: (per cent, what stands behind ±)}."""
    y, errors = zip(*points.values(), strict=True)
    look = {"ls": style, "marker": "o", "color": color, "ms": 4, "capsize": 2}
    axes.errorbar(list(points), y, np.nan_to_num(errors), label=label, **look)


def _bars(axes, rows):
    """Each class, as table 6 has them."""
    names = list(rows[0]["by_class"])[:MOST_BARS]
    for number, row in enumerate(rows):
        points = {place: 100 * row["by_class"][name] for place, name in enumerate(names)}
        _band(axes, points, number, COLORS[row["way"]], WAYS[row["way"]])
    title = f"each class, {rows[0]['per_class']} training pictures"
    axes.set(
        title=title,
        yticks=range(len(names)),
        yticklabels=list(map(short, names)),
        xlim=(0, 100),
        xlabel="accuracy, %",
    )
    axes.invert_yaxis()


@styled
def draw_marked(subject, table, by_chance, published):
    """The figure of table 6, a PNG: the average precision of each class, ours and the paper's.

    by_chance: {class: what an order by chance gives}.  published: the paper's table.
    """
    title = "Table 6: a new classifier on fixed layers, for pictures of several classes"
    names = list(table[0]["by_class"])[:MOST_BARS]
    height = 1.2 + 0.3 * (len(names) + 1)
    figure, axes = sheet(1, 2, title, origin(subject), (5.4, height))
    ours, paper = axes[0]
    labels, rows = [*map(short, names), "mean"], [*names, "mean"]
    for k, row in enumerate(table):
        values = row["by_class"] | {"mean": row["mean"]}
        points = {place: 100 * values[name] for place, name in enumerate(rows)}
        _band(ours, points, k, COLORS[row["way"]], WAYS[row["way"]])
    ours.plot(
        [100 * by_chance[name] for name in rows],
        range(len(rows)),
        "|",
        color="black",
        ms=11,
        label="chance",
    )
    for k, (column, color) in enumerate(zip(published["columns"], PAPERS, strict=True)):
        points = {place: published[name][k] for place, name in enumerate(rows) if name in published}
        _band(paper, points, k, color, column)
    ours.set_title("ours")
    paper.set_title("the paper's, PASCAL VOC 2012")
    for panel in (ours, paper):
        panel.set(yticks=range(len(rows)), yticklabels=labels, xlim=(0, 100), ylim=(len(labels) - 0.5, -0.5),
                  xlabel="average precision, %")  # fmt: skip
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, fontsize=7.5)
    return png(figure)


def _band(axes, points, number, color, label):
    """The bars {row: per cent} of the way numbered 0, 1 or 2, beside each other in a row."""
    y = [place + 0.28 * (number - 1) for place in points]
    axes.barh(y, list(points.values()), 0.26, color=color, label=label)
