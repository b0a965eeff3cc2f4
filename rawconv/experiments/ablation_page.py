"""The figure of `ablation`: errors as shares of the whole net's, ours and the paper's on one axis."""

from ..report.charts import BLUE, ORANGE, png, sheet, styled
from .ablation_table import ERRORS, PUBLISHED, UPPER, rows
from .intervals import text

GAP = 0.7  # between the two halves of the table, in rows
PANELS = {"val_top1": "validation, top-1", "train_top1": "training, top-1"}


@styled
def draw(numbers):
    """PNG bytes: all twelve rows, those without a training with the paper's alone.

    numbers: of the JSON file, with "base", "task", "epochs", "views" and "table".
    """
    trained = {entry["model"]: entry for entry in numbers["table"]}
    names = rows(numbers["base"])
    places = dict(zip(names, [n + GAP * (n >= UPPER) for n in range(len(names))], strict=True))
    title = "Table 3: error of nets with layers removed or resized, as a share of the whole net's"
    figure, axes = sheet(
        1, 2, title, caption(numbers), (5.6, 6.2), sharey=True, sharex=True
    )  # fmt: skip
    for panel, (name, words) in zip(axes[0], PANELS.items(), strict=True):
        for row, (model, y) in enumerate(places.items()):
            _published(panel, row, name, y)
            if model in trained:
                _ours(panel, trained[model], name, y)
        _columns(panel, trained, places, name)
        panel.axvline(1, color="#9a9aa2", lw=0.8)
        panel.set(title=f"{words}: error / that of the whole net")
        panel.grid(False, axis="y")
    axes[0, 0].set_xlim(*_limits(axes[0]))
    axes[0, 0].set_yticks(list(places.values()), _labels(names, trained))
    axes[0, 0].set_ylim(max(places.values()) + 0.6, -1.1)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    entries = dict(zip(labels, handles, strict=True))  # each once
    figure.legend(entries.values(), entries, loc="outside lower center", ncols=4)
    return png(figure)


def _labels(names, trained):
    """What each row is, its model, and the size of the net; one seed is told where others have more."""
    several = any(len(entry["seeds"]) > 1 for entry in trained.values())
    labels = []
    for model, row in names.items():
        size = "not trained"
        if model in trained:
            size = f"{trained[model]['parameters'] / 1e6:.2f} M"
            size += ", one seed" * (several and len(trained[model]["seeds"]) == 1)
        labels.append(f"{row.what}\n{model}, {size}")
    return labels


def _ours(axes, entry, name, y):
    """Every training, and of several their mean with its interval; a single one is hollow."""
    if name not in entry["relative"]:
        return
    relative, whole = entry["relative"][name], entry[name] / entry["relative"][name]["mean"]
    each = [training[name] / whole for training in entry["trainings"]]
    if len(each) == 1:
        axes.plot(each, [y - 0.14], "o", color=BLUE, mfc="white", ms=6, label="ours: one seed")
        return
    ends = relative["low"], relative["high"]
    axes.plot(ends, [y - 0.14] * 2, color=BLUE, label="ours: mean of the seeds, 95 % interval")
    axes.plot(relative["mean"], y - 0.14, "|", color=BLUE, ms=12, mew=2)
    axes.plot(each, [y - 0.14] * len(each), "o", color=BLUE, ms=4, label="ours: each seed")


def _published(axes, row, name, y):
    theirs = list(rows("zfnet"))
    k, whole = ERRORS.index(name), theirs[UPPER if row >= UPPER else 0]
    share = PUBLISHED[theirs[row]][k] / PUBLISHED[whole][k]
    axes.plot(share, y + 0.2, "D", color=ORANGE, ms=5, label="the paper's, ImageNet 2012")


def _columns(axes, trained, places, name):
    """The errors themselves, in per cent, to the right of the axes."""
    k, to_the_right = ERRORS.index(name), axes.get_yaxis_transform()

    def write(x, y, words, **look):
        axes.text(x, y, words, transform=to_the_right, ha="right", va="center", fontsize=8, **look)

    write(1.1, -0.8, "ours, %", color=BLUE)
    write(1.24, -0.8, "paper's", color=ORANGE)
    for (model, y), theirs in zip(places.items(), rows("zfnet"), strict=True):
        write(1.1, y, f"{100 * trained[model][name]:.1f}" if model in trained else "–")
        write(1.24, y, f"{PUBLISHED[theirs][k]:.1f}")


def _limits(panels):
    """From 0, or a little below the lowest, to a little above the highest of all that is drawn."""
    drawn = [x for axes in panels for line in axes.lines for x in line.get_xdata()]
    return min(0, 1.02 * min(drawn)), 1.06 * max(drawn)


def task(data):
    """What the nets of a DataSet have to tell apart, in words."""
    if data.source.startswith("framed"):
        return "scenes in frames, a task made so that depth counts"
    return f"{len(data.classes)} classes of {data.name}"


def caption(numbers):
    """What the task is, how long was trained, and how many seeds there are, in a sentence or two."""
    counts = sorted({len(entry["seeds"]) for entry in numbers["table"]})
    seeds = " or ".join(map(str, counts)) + (" seed" if counts == [1] else " seeds") + " a row"
    epochs = f"{numbers['epochs']} epoch" + "s" * (numbers["epochs"] > 1)
    views = "one centre crop" if numbers["views"] == 1 else "the mean of ten views"
    return (
        f"Ours: {numbers['task']}; equal trainings of {epochs}, {seeds}; {views}. "
        "The paper's: ImageNet 2012, one training each."
    )


def sentences(numbers):
    """The caption, and a sentence for each row, in words for the terminal."""
    return [caption(numbers), *map(_sentence, numbers["table"])]


def _sentence(entry):
    parameters = f"{entry['parameters'] / 1e6:.2f} million parameters"
    train, val, five = (f"{100 * entry[name]:.1f}" for name in ERRORS)
    if len(entry["seeds"]) > 1:
        interval = {key: 100 * value for key, value in entry["intervals"]["val_top1"].items()}
        val = text(interval, ".1f")
    seeds = (
        f"seeds {', '.join(map(str, entry['seeds']))}" if len(entry["seeds"]) > 1 else "one seed"
    )
    shares = entry["relative"].get("val_top1"), entry["paper_relative"]["val_top1"]
    ours = f", {shares[0]['mean']:.2f} of the whole net's" if shares[0] else ""
    return (
        f"{entry['model']}: {parameters}, error {val} % (train {train}, top-5 {five}; {seeds}){ours}; "
        f"the paper's {PUBLISHED[entry['paper']][1]} %, {shares[1]:.2f}."
    )
