"""The rows of Table 3, what the paper found for them, and what trainings of them found.

rows("zf64")                    {model: its Row}, twelve
table("zf64", trainings)        a dict for each row that was trained: means, intervals, beside the whole net
"""

from typing import NamedTuple

from .intervals import difference, over_seeds

BASES = {"zf64": ("alex64", "zf64", 256, 1024), "zfnet": ("alexnet", "zfnet", 2048, 8192)}
ERRORS = ("train_top1", "val_top1", "val_top5")
UPPER = 7  # rows that change Krizhevsky's net; the first of each half is the whole net


class Row(NamedTuple):
    """A line of the table: the model, as a pattern; what it is; the paper's ERRORS in per cent."""

    model: str
    what: str
    published: tuple


TABLE = (
    Row("{alex}-groups", "Krizhevsky's net, as he had it", (35.1, 40.5, 18.1)),
    Row("{alex}-without-34", "layers 3, 4 removed", (41.8, 45.4, 22.1)),
    Row("{alex}-without-7", "layer 7 removed", (27.4, 40.0, 18.4)),
    Row("{alex}-without-67", "layers 6, 7 removed", (27.4, 44.8, 22.4)),
    Row("{alex}-without-3467", "layers 3, 4, 6, 7 removed", (71.1, 71.3, 50.1)),
    Row("{alex}-fc{narrow}", "layers 6, 7: half as wide", (40.3, 41.7, 18.8)),
    Row("{alex}-fc{wide}", "layers 6, 7: twice as wide", (26.8, 40.0, 18.1)),
    Row("{zf}", "the paper's net", (33.1, 38.4, 16.5)),
    Row("{zf}-fc{narrow}", "layers 6, 7: half as wide", (38.2, 40.2, 17.6)),
    Row("{zf}-fc{wide}", "layers 6, 7: twice as wide", (22.0, 38.8, 17.0)),
    Row("{zf}-wide", "layers 3, 4, 5: wider", (18.8, 37.5, 16.0)),
    Row("{zf}-wide-fc{wide}", "layers 3 to 7: wider", (10.0, 38.3, 16.9)),
)


def rows(base="zf64"):
    """{model: its Row} of the table, in its order."""
    alex, zf, narrow, wide = BASES[base]
    return {row.model.format(alex=alex, zf=zf, narrow=narrow, wide=wide): row for row in TABLE}


PUBLISHED = {
    "source": "Zeiler & Fergus 2013, table 3: errors in per cent on ImageNet 2012",
    "columns": list(ERRORS),
    **{model: list(row.published) for model, row in rows("zfnet").items()},
}


class Training(NamedTuple):
    """A net at the end of its training: parameters, a number; errors, as shares, in the order of ERRORS."""

    model: str
    seed: int
    checkpoint: str
    parameters: int
    errors: tuple


def table(base, trainings):
    """[{"model", "what", ...}] of the rows that have trainings, in the table's order.

    trainings: [Training]; those of one model are one row, whose errors are their means.
    """
    groups = {model: [] for model in rows(base)}
    for training in sorted(trainings, key=lambda training: training.seed):
        groups[training.model].append(training)
    names, papers, entries = list(groups), list(rows("zfnet")), []
    for number, (model, row) in enumerate(rows(base).items()):
        if groups[model]:
            whole = 0 if number < UPPER else UPPER
            entry = _entry(row, groups[model], groups[names[whole]])
            entries.append(entry | _paper(papers[number], papers[whole]))
    return entries


def _entry(row, members, whole):
    """A row of the table: means over its trainings, their intervals, and what they are beside those
    of the whole net.
    """
    errors, of_whole = _errors(members), _errors(whole)
    intervals = {name: over_seeds(values) for name, values in errors.items()}
    means = {name: interval["mean"] for name, interval in intervals.items()}
    relative, minus_whole = {}, {}
    for name, values in errors.items():
        if sum(of_whole[name]):
            mean = sum(of_whole[name]) / len(of_whole[name])
            relative[name] = over_seeds([value / mean for value in values])
            minus_whole[name] = difference(values, of_whole[name])
    return {
        "model": members[0].model, "what": row.what, "parameters": members[0].parameters, **means,
        "checkpoint": members[0].checkpoint, "seeds": [member.seed for member in members],
        "trainings": [_errors_of(member) for member in members], "intervals": intervals, "relative": relative,
        "minus_whole": minus_whole,
    }  # fmt: skip


def _errors(trainings):
    """{name of ERRORS: [that of each training]}."""
    return {name: [training.errors[k] for training in trainings] for k, name in enumerate(ERRORS)}


def _errors_of(training):
    errors = dict(zip(ERRORS, training.errors, strict=True))
    return {"seed": training.seed, **errors, "checkpoint": training.checkpoint}


def _paper(model, whole):
    """The model of the paper that a row stands for, and its errors as shares of the whole net's."""
    shares = zip(PUBLISHED[model], PUBLISHED[whole], strict=True)
    return {
        "paper": model,
        "paper_relative": {name: a / b for name, (a, b) in zip(ERRORS, shares, strict=True)},
    }


def line(entry):
    """A row of the CSV file."""
    plain = {key: value for key, value in entry.items() if isinstance(value, str | int | float)}
    val, relative = entry["intervals"]["val_top1"], entry["relative"].get("val_top1", {})
    return plain | {
        "seeds": " ".join(map(str, entry["seeds"])),
        "val_top1_low": val.get("low", ""),
        "val_top1_high": val.get("high", ""),
        "relative": relative.get("mean", ""),
        "paper_relative": entry["paper_relative"]["val_top1"],
        **dict(zip((f"paper_{name}" for name in ERRORS), PUBLISHED[entry["paper"]], strict=True)),
    }
