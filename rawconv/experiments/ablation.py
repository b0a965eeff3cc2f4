"""Table 3: twelve nets with layers removed or resized, trained in the same way.  Zeiler & Fergus
2013, section 5.1.

    result = run(open_data("framed:40000", 64), study, base="zf64", changes={"epochs": 10, "lr": 0.005}, dropout=0)
    result = measure(nets, data, study)                  of nets that rawconv-train trained: ablation_nets.py

The upper seven rows change Krizhevsky's net, the lower five the paper's.  Layers that are removed
take their ReLU and dropout with them; what stood above reads what stood below.  Base zf64 has the
same rows with every width in the table's ratios.  Errors are those at the end of the training, on
the training pictures too, of one centre crop or of ten views.  Several seeds of a row are trainings
that differ in nothing else; ablation_page.py draws them.
"""

from functools import partial
from typing import NamedTuple

from .. import checkpoint, models
from ..data import DataSet, mean_image
from ..errors import UsageError
from ..machine.arrays import Device
from ..training.diagnostics import check_data
from ..training.evaluation import answer, evaluate, measures
from ..training.runs import limit_columns
from . import ablation_page
from .ablation_table import BASES, PUBLISHED, Training, line, rows, table
from .study import Result
from .trained import train_in

# Milliseconds that a picture takes in a step of training: the rows in their order, on two cores of an
# AVX-512 machine, 2026-11-29.
STEP = {
    "zf64": (0.57, 0.43, 0.52, 0.49, 0.44, 0.61, 0.65, 0.95, 0.95, 1.0, 1.6, 1.9),
    "zfnet": (27, 24, 27, 25, 18, 29, 36, 33, 33, 46, 73, 91),
}


class Setting(NamedTuple):
    """What all nets of a table share.  views: 1 or 10 crops of a picture, whose answers are averaged."""

    base: str
    data: DataSet
    epochs: int
    views: int
    device: Device


def run(
    data, study, base="zf64", only=(), changes=(), seed=0, seeds=1, views=1, device=None, workspace=256, say=print,
    dropout=None,
):  # fmt: skip
    """A study.Result; the nets are kept in the study's folder as <model>.h5, of several seeds as
    <model>-<seed>.h5.

    data: a DataSet of pictures as large as the base's recipe stores them.  only: models of the
    table, all if empty.  changes: {field of Recipe: value}.  dropout: of all nets, if not each
    model's own.  seeds: how many trainings each row has, by seed, seed + 1, ...
    UsageError where `only` names another model; RawconvError where nothing can be learnt from the data.
    """
    known, changes, chosen = rows(base), dict(changes), _chosen(base, only)
    check_data(data)
    epochs = models.recipe(chosen[0]).changed(changes).epochs
    setting = Setting(base, data, epochs, views, device or Device())
    nets = {f"{model}, seed {k}": (model, k) for k in range(seed, seed + seeds) for model in chosen}
    say(_announce(setting, [model for model, _ in nets.values()]))

    def train(key):
        model, own = nets[key]
        say(f"{key}, net {list(nets).index(key) + 1} of {len(nets)}: {known[model].what}.")
        begin = partial(_begin, model, data, changes, own, dropout)
        net = train_in(study.place(key), begin, data, own, setting.device, workspace, say=say)
        info = checkpoint.load(study.place(key) / "last.h5").info
        checkpoint.save(study.folder / _file(model, own, seeds), net, info)
        return _measured(net, setting)

    measured = study.each(list(nets), train, "ablation", "nets")
    trainings = [
        _training(model, own, _file(model, own, seeds), arrays)
        for (model, own), arrays in zip(nets.values(), measured, strict=True)
    ]
    return _result(setting, trainings)


def _chosen(base, only):
    """The models of the table that are trained, in its order."""
    known = rows(base)
    for model in only:
        if model not in known:
            raise UsageError(
                f"{model} is not in the table of {base}; its models are {', '.join(known)}."
            )
    return [model for model in known if not only or model in only]


def measure(nets, data, study, views=1, device=None, workspace=256):
    """A study.Result of nets that were trained elsewhere.

    nets: [ablation_nets.TrainedNet], of equal trainings; data: the DataSet that they were trained on.
    """
    base = next(base for base in BASES if nets[0].model in rows(base))
    setting = Setting(base, data, nets[0].recipe.epochs, views, device or Device())
    keys = {f"{trained.model}, seed {trained.seed}": trained for trained in nets}

    def test(key):
        net = checkpoint.load(keys[key].file).net
        limit_columns(net, workspace)
        return _measured(net.to(setting.device), setting)

    measured = study.each(list(keys), test, "ablation", "nets")
    trainings = [
        _training(trained.model, trained.seed, str(trained.file), arrays)
        for trained, arrays in zip(nets, measured, strict=True)
    ]
    return _result(setting, trainings)


def _announce(setting, chosen):
    """A sentence: what is trained, and how many minutes that takes.  A forward alone is a third of a step."""
    train, val = len(setting.data.train), len(setting.data.val)
    milliseconds = dict(zip(rows(setting.base), STEP[setting.base], strict=True))
    looked_at = setting.epochs * val + setting.views * (train + val)
    pictures = setting.epochs * train + looked_at / 3
    minutes = sum(milliseconds[model] for model in chosen) * pictures / 60_000
    nets = f"{len(chosen)} net" + "s" * (len(chosen) > 1)
    return (
        f"Training {nets} on {train:,} pictures of {setting.data.name}, {setting.epochs} "
        f"epoch{'s' * (setting.epochs > 1)} each: about {max(1, round(minutes)):,} min on 2 cores."
    )


def _file(model, seed, seeds):
    return f"{model}.h5" if seeds == 1 else f"{model}-{seed}.h5"


def _begin(model, data, changes, seed, dropout):
    """(net, recipe) of a training that has not begun."""
    net = models.build(model, data.classes, None, mean_image(data.train), seed)
    if dropout is not None:
        models.drop(net, dropout)
    return net, models.recipe(model).changed(changes)


def _measured(net, setting):
    """A net's parameters and its errors."""
    data, device, views = setting.data, setting.device, setting.views
    train, val = (
        evaluate(net, split, device) if views == 1 else measures(answer(net, split, device, views))
        for split in (data.train, data.val)
    )
    errors = 1 - train["top1"], 1 - val["top1"], 1 - val["top5"]
    return {"parameters": sum(value.size for value in net.params.values()), "errors": errors}


def _training(model, seed, file, measured):
    return Training(
        model, seed, file, int(measured["parameters"]), tuple(measured["errors"].tolist())
    )


# ---------------------------------------------------------------------------------------------- what it shows


def _result(setting, trainings):
    """trainings: [Training]; those of one model are one row."""
    data, entries = setting.data, table(setting.base, trainings)
    numbers = {
        "base": setting.base, "task": ablation_page.task(data), "classes": data.classes,
        "chance": 1 - 1 / len(data.classes), "views": setting.views, "epochs": setting.epochs,
        "pictures": {"train": len(data.train), "val": len(data.val)},
        "sampling": 1.96 * (0.25 / len(data.val)) ** 0.5, "table": entries,
    }  # fmt: skip
    return Result(
        numbers, [line(entry) for entry in entries], ablation_page.draw(numbers), ablation_page.sentences(numbers),
        PUBLISHED,
    )  # fmt: skip
