"""Table 3: twelve nets with layers removed or resized, trained in the same way.  Zeiler & Fergus
2013, section 5.1.

    result = run(open_data("framed:40000", 64), study, base="zf64", changes={"epochs": 10, "lr": 0.005}, dropout=0)

The upper seven rows change Krizhevsky's net, the lower five the paper's.  Layers that are removed
take their ReLU and dropout with them; what stood above reads what stood below.  Base zf64 has the
same rows with every width in the table's ratios.  Errors are those of one centre crop at the end of
the training, on the training pictures too.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from .. import checkpoint, models
from ..data import mean_image
from ..errors import UsageError
from ..machine.arrays import Device
from ..report.charts import BLUE, GREEN, ORANGE, png, sheet, styled
from ..training.diagnostics import check_data
from ..training.evaluation import evaluate
from .study import Result
from .trained import train_in

BASES = {"zf64": ("alex64", "zf64", 256, 1024), "zfnet": ("alexnet", "zfnet", 2048, 8192)}
ERRORS = ("train_top1", "val_top1", "val_top5")


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


def run(
    data, study, base="zf64", only=(), changes=(), seed=0, device=None, workspace=256, say=print, dropout=None
):  # fmt: skip
    """A study.Result; the nets are kept in the study's folder as <model>.h5.

    data: a DataSet of pictures as large as the base's recipe stores them.  only: models of the
    table, all if empty.
    changes: {field of Recipe: value}.  dropout: of all nets, if not each model's own.  UsageError
    where `only` names another model; RawconvError where nothing can be learnt from the data.
    """
    table, device = rows(base), device or Device()
    for model in only:
        if model not in table:
            raise UsageError(
                f"{model} is not in the table of {base}; its models are {', '.join(table)}."
            )
    check_data(data)
    chosen = [model for model in table if not only or model in only]

    def measure(model):
        say(f"{model}, net {chosen.index(model) + 1} of {len(chosen)}: {table[model].what}.")
        begin = partial(_begin, model, data, dict(changes), seed, dropout)
        net = train_in(study.place(model), begin, data, seed, device, workspace, say=say)
        return _measure(model, net, data, device, study)

    measured = study.each(chosen, measure, "ablation", "nets")
    return _result(base, dict(zip(chosen, measured, strict=True)), data)


def _begin(model, data, changes, seed, dropout):
    """(net, recipe) of a training that has not begun."""
    net = models.build(model, data.classes, None, mean_image(data.train), seed)
    if dropout is not None:
        models.drop(net, dropout)
    return net, models.recipe(model).changed(changes)


def _measure(model, net, data, device, study):
    """Keep a trained net; its parameters and its errors."""
    train, val = (evaluate(net, split, device) for split in (data.train, data.val))
    checkpoint.save(
        study.folder / f"{model}.h5", net, checkpoint.load(study.place(model) / "last.h5").info
    )
    errors = 1 - train["top1"], 1 - val["top1"], 1 - val["top5"]
    return {"parameters": sum(value.size for value in net.params.values()), "errors": errors}


def _result(base, measured, data):
    """found: {model: {"parameters", "errors"}}."""
    table, names = [], list(rows("zfnet"))
    for (model, row), theirs in zip(rows(base).items(), names, strict=True):
        if model in measured:
            errors = dict(zip(ERRORS, measured[model]["errors"].tolist(), strict=True))
            entry = {
                "model": model,
                "what": row.what,
                "parameters": int(measured[model]["parameters"]),
                **errors,
            }
            table.append(entry | {"checkpoint": f"{model}.h5", "paper": theirs})
    numbers = {
        "base": base,
        "classes": data.classes,
        "chance": 1 - 1 / len(data.classes),
        "table": table,
    }
    lines = [
        entry
        | {
            f"paper_{name}": value
            for name, value in zip(ERRORS, PUBLISHED[entry["paper"]], strict=True)
        }
        for entry in table
    ]
    return Result(
        numbers, lines, _figure(base, table, data), [_sentence(entry) for entry in table], PUBLISHED
    )


def _sentence(entry):
    parameters = f"{entry['parameters'] / 1e6:.2f} million parameters"
    train, val, five = (f"{100 * entry[name]:.1f}" for name in ERRORS)
    paper = PUBLISHED[entry["paper"]][1]
    return f"{entry['model']}: {parameters}, error {val} % (train {train}, top-5 {five}); the paper's {paper} %."


@styled
def _figure(base, table, data):
    title = (
        f"Table 3: nets with layers removed or resized, {len(data.classes)} classes of {data.name}"
    )
    under = "Error of one centre crop at the end of equal trainings, beside the paper's on ImageNet 2012."
    figure, axes = sheet(1, 2, title, under, (6.0, 0.42 * len(table) + 1.6), sharey=True)
    ours, paper = axes[0]
    _bars(ours, [[100 * entry[name] for name in ERRORS] for entry in table])
    _bars(paper, [PUBLISHED[entry["paper"]] for entry in table])
    labels = [
        f"{entry['what']}\n{entry['model']}, {entry['parameters'] / 1e6:.2f} M" for entry in table
    ]
    ours.set(title=f"ours, {base}", yticks=range(len(table)), yticklabels=labels)
    paper.set(title="the paper's, zfnet")
    ours.invert_yaxis()
    figure.legend(*ours.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return png(figure)


def _bars(axes, errors):
    """errors: rows of ERRORS in per cent."""
    train, val, five = zip(*errors, strict=True)
    y = np.arange(len(errors))
    axes.barh(y, val, 0.62, color=BLUE, alpha=0.8, label="validation, top-1")
    axes.plot(train, y, "o", color=ORANGE, ms=5, label="training, top-1")
    axes.plot(five, y, "D", color=GREEN, ms=4, label="validation, top-5")
    right = 1.22 * max(max(val), max(train), 1)
    for place, value in zip(y, val, strict=True):
        axes.text(
            max(value, train[place]) + 0.015 * right, place, f"{value:.1f}", va="center", fontsize=8
        )
    axes.set(xlabel="error, %", xlim=(0, right))
    axes.grid(False, axis="y")
