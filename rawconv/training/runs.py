"""From a user's words to a training run: which data, which net, which recipe; begin, resume, test, check.

run = start(model="zf64", data="photos/")           a Run: net, data, recipe
results = go(run, pathlib.Path("runs/mine"), choose_device("auto"))
"""

import contextlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import checkpoint, models, soundness
from ..data import DataSet, mean_image, open_data
from ..data.augment import prepare
from ..data.colour import principal
from ..data.identity import fingerprint
from ..data.preprocessing import preprocess, stored_size
from ..data.sources import absolute
from ..data.subset import in_order, together
from ..errors import RawconvError, UsageError
from ..files.locks import locked
from ..files.messages import composed
from ..files.run_folders import new_folder, result_folder
from ..layers.conv import Conv
from ..layers.softmax import softmax_cross_entropy
from ..net import Net
from . import evaluation
from .loop import options, train
from .optimizer import Schedule
from .recipes import Recipe, recipe_of


class Run(NamedTuple):
    """All that decides the result; `folder` and `state` only for a run that goes on."""

    net: Net
    data: DataSet
    recipe: Recipe
    seed: int
    folder: Path | None = None
    state: dict | None = None


def start(model=None, data=None, weights=None, seed=0, changes=(), dtype="float32", fine_tune=False):
    """A new Run.  changes: {field of Recipe: value}.  weights: a checkpoint to start from, whose model rules.

    fine_tune: give it a new last layer, for the classes of the data.
    UsageError where model and weights disagree, or fine_tune lacks weights; RawconvError where the data's classes are
    not those of the weights.
    """
    if fine_tune and not weights:
        raise UsageError("--fine-tune needs --weights, the checkpoint to start from.")
    first = checkpoint.load(weights) if weights else None
    if first and model not in (None, first.net.model):
        raise UsageError(f"--weights {weights} is a {first.net.model}, not a {model}; leave --model out.")
    model = first.net.model if first else model or "zf64"
    changes = dict(changes)
    weigh = changes.pop("class_weights", None)
    if weigh not in (None, "balanced"):
        raise UsageError(f"class_weights {weigh!r} are not known; there is only balanced.")
    chosen = (recipe_of(first.net) if first else models.recipe(model)).changed(changes)
    if first:
        first.net.stored = (chosen.stored, chosen.stored)
    images = open_data("scenes" if data is None else data, chosen.stored, seed=0)
    if weigh:
        chosen = chosen._replace(class_weights=balanced(images.train.labels, len(images.classes)))
    if chosen.colour:
        chosen = chosen._replace(colours=(chosen.colour * principal(images.train)).tolist())
    if first and fine_tune:
        return Run(new_classifier(first.net, images.classes, seed), images, chosen, seed)
    if first:
        images = _same_classes(first.net, images, weights, " or, for training, add --fine-tune")
        return Run(first.net, images, chosen, seed)
    net = models.build(model, images.classes, None, mean_image(images.train, True), seed, dtype)
    return Run(net, images, chosen, seed)


def resume(path, given, say=print):
    """The interrupted Run in `path`, its folder or its last.h5.

    given: {option: value} of others.  lr is the rate from the next step on, data is where the same pictures lie now,
    and the rest must all be None: UsageError.  RawconvError where the file holds no state, or the pictures differ.
    """
    path, given = Path(path), {name: value for name, value in given.items() if value is not None}
    data, lr = given.pop("data", None), given.pop("lr", None)
    if given:
        names = ", ".join(name if name.startswith("--") else f"--{name}" for name in given)
        raise UsageError(f"--resume takes everything but --lr and --data from the run; leave {names} out.")
    file = path / "last.h5" if path.is_dir() else path
    found = checkpoint.load(file)
    if found.state is None:
        raise RawconvError(f"{file} holds no training state; resume from the last.h5 of its run's folder.")
    chosen = Recipe(**found.info["recipe"])
    if chosen.stored != stored_size(found.net):
        raise RawconvError(
            f"{file} is damaged: it keeps pictures in {stored_size(found.net)} pixels, and its recipe in "
            f"{chosen.stored}. {checkpoint.REMEDY}"
        )
    images = _same_classes(found.net, _open(file, found.info, data, chosen.stored), file)
    _same_pictures(found, images, file, data, say)
    kept = options(found.net) | found.info.get("options", {})
    choose_conv(found.net, kept["conv"])
    limit_columns(found.net, kept["workspace"])
    run = Run(found.net, images, chosen, found.info["seed"], file.parent, found.state)
    return run if lr is None else _with_rate(run, lr, file, say)


def locked_run(path):
    """No other process may go on with the run in `path`, its folder or its last.h5, while this is entered."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    return locked(folder) if folder.is_dir() else contextlib.nullcontext()


def _same_pictures(found, data, file, moved, say):
    """RawconvError where the data differ from those of the run; of these, older files kept the classes alone."""
    now, position = fingerprint(data), found.state["progress"]["position"]
    kept = {"train": max(position, now["train"])} | (found.info.get("pictures") or {})
    if any(kept.get(key, now[key]) != now[key] for key in ("train", "val")):
        least, val = max(position, kept["train"]), kept.get("val", now["val"])
        wrong = f"{now['train']} training and {now['val']} validation pictures, not {least} and {val}"
    elif kept.get("sha256", now["sha256"]) == now["sha256"]:
        return
    elif moved:
        wrong = "other pictures, or the same in another order"
    else:
        say(f"{data.source} no longer holds the same pictures; the weights will not be those of an undisturbed run.")
        return
    raise RawconvError(
        f"{data.source} holds {wrong} as when {file} was written. Name the same pictures with --data, or begin a new "
        f"run with --weights {file}."
    )


def _with_rate(run, lr, file, say):
    """The run whose rate is `lr` from its next step on; cosine and step fall from there, plateau counts anew."""
    progress = run.state["progress"]
    since = progress["epoch"] + progress["position"] / len(run.data.train)
    if since >= run.recipe.epochs:
        raise UsageError(f"{file} has done all its {run.recipe.epochs} epochs; leave --lr out.")
    before = Schedule(run.recipe.schedule, run.recipe.lr, run.recipe.epochs, run.recipe.warmup)
    before.state = progress["schedule"]
    where = f"epoch {progress['epoch'] + 1}, picture {progress['position'] + 1}"
    say(f"The learning rate is {lr:.3g} from {where} on; it was {before.rate(since):.3g}.")
    schedule = Schedule(run.recipe.schedule, lr, run.recipe.epochs, since=since).state
    state = run.state | {"progress": progress | {"schedule": schedule}}
    return run._replace(recipe=run.recipe._replace(lr=lr, warmup=0.0), state=state)


def go(run, folder, device, say=print, progress=True, **how):
    """Train, and return what a user asks for first: accuracies of the last epoch and where everything lies.

    how: the other arguments of training.train.
    """
    first = not (how.get("ranks") and how["ranks"].rank)
    with locked(folder) if first else contextlib.nullcontext():
        rows = train(run.net, run.data, run.recipe, Path(folder), device, run.seed, run.state, progress, say, **how)
    last = rows[-1] if rows else {"epoch": run.state["progress"]["epoch"]}  # done before, and its log is not here
    return {
        "checkpoint": f"{folder}/last.h5",
        "best": f"{folder}/best.h5",
        "curves": f"{folder}/curves.png",
        "classes": f"{folder}/classes.csv",
        "stopped_early": last["epoch"] < run.recipe.epochs,
        **last,
    }


SPLITS = {"train": "training pictures", "val": "validation pictures", "test": "test pictures", "all": "pictures, all"}


def test(weights, data, device, say=print, workspace=256, conv="auto", views=1, out=None, ranks=None, split=None):
    """Test a checkpoint (by default the newest) on its own data set or another with the same classes.

    split: "train", "val", "test" or "all" of its pictures; by default those for validation, but all of a folder without
    any that the net was not trained on.
    What it finds is written into the new folder `out`, by default beside the checkpoint; see evaluation.write.
    """
    file = weights or checkpoint.default()
    found = checkpoint.load(file)
    own = data is None or absolute(data) == absolute(found.info.get("data", ""))
    whole, test = split not in ("train", "val") and not own, split in ("test", "all")
    images = _same_classes(found.net, data_of(found.net, file, found.info, data, whole, test), file)
    split = split or ("all" if images.val is images.train else "val")
    tested = _pictures(images, split)
    soundness.check_net(found.net)
    soundness.check_scores(found.net)
    choose_conv(found.net, conv, device)
    limit_columns(found.net, workspace)
    answers = evaluation.answer(found.net.to(device), tested, device, views, ranks, progress=True)
    odd = np.flatnonzero(~np.isfinite(answers.own))[:1]
    soundness.check_finite(found.net, answers.own, preprocess(found.net, tested.read(odd)) if len(odd) else None)
    results = {"checkpoint": str(file), "data": images.source, "split": split, "pictures": len(tested)}
    accuracies = evaluation.per_class(tested.labels, answers.above < 1, len(images.classes))
    results |= {"views": views} | evaluation.measures(answers)
    results |= {"balanced_top1": evaluation.balanced_top1(accuracies)}
    results["per_class"] = dict(zip(images.classes, accuracies, strict=True))
    say(f"{file} on the {len(tested)} {SPLITS[split]} of {images.source}, views: {views}")
    say("loss {loss:.4f}  top-1 {top1:.2%}  top-5 {top5:.2%}".format(**results))
    say(evaluation.lowest(images.classes, accuracies))
    for k, j, count in evaluation.confused(evaluation.confusion(tested.labels, answers, len(images.classes))):
        say(f"{images.classes[k]} taken for {images.classes[j]}: {count}")
    if ranks and ranks.rank:
        return results
    folder = Path(out) if out else new_folder(*result_folder(file, found.net, images.source, "test"))
    folder.mkdir(parents=True, exist_ok=True)
    return {"folder": str(folder)} | results | evaluation.write(folder, tested, images.classes, answers, results)


def _pictures(data, split):
    """The Split that is to be tested.  RawconvError where the data have none that is called so."""
    if split == "all":
        parts = [part for part in dict.fromkeys((data.train, data.val, data.test)) if part]
        return together(parts) if len(parts) > 1 else parts[0]
    found = getattr(data, split)
    if found is None:
        raise RawconvError(f"{data.source} has no pictures for tests; name --split train, val or all.")
    return found


def data_of(net, weights, info, data=None, whole=False, test=False):
    """The DataSet called `data`, else the one that a checkpoint's `info` names, in the size of the net's pictures.

    whole, test: as in open_data.
    """
    return _open(weights, info, data, stored_size(net), whole, test)


def _open(weights, info, data, size, whole=False, test=False):
    source = data or info.get("data")
    if not source:
        raise UsageError(f"{weights} does not name its data set; name one with --data.")
    try:
        return open_data(source, size, whole=whole, test=test)
    except UsageError as error:
        if data:
            raise
        raise UsageError(
            f"{weights} was trained on {source:.1000}, which is not here; name it, or other pictures, with --data."
        ) from error


def check_gradients(run, say=print, images=4, directions=2, step=1e-6, limit=1e-5):
    """Compare the gradient of the loss with (loss(w + h d) - loss(w - h d)) / 2h for every parameter, in float64.

    d: random directions.  Returns {"layer.parameter": relative error}; RawconvError where one exceeds `limit`.
    Biases that are zero are drawn first: in the zeros around a picture they would lie on the ReLU's kink.
    """
    rng = np.random.default_rng(0)
    net, ids = run.net.astype("float64"), np.arange(min(images, len(run.data.train)))
    rng_key, labels = (run.seed, 0, ids), run.data.train.labels[ids]
    weights = np.array(run.recipe.class_weights) if run.recipe.class_weights else None
    choose_conv(net, "gemm")
    for value in net.params.values():
        if not value.any():
            value += 0.1 * rng.standard_normal(value.shape)
    x = prepare(run.data.train.read(ids), net.mean, net.shape[0], rng_key, run.recipe.crop, "float64")

    def loss():
        return softmax_cross_entropy(net.forward(x, rng_key=rng_key, keep=False)[0], labels, weights)[0]

    scores, caches = net.forward(x, rng_key=rng_key)
    _, grads = net.backward(softmax_cross_entropy(scores, labels, weights)[1], caches, stop=next(iter(net.nodes)))
    errors = {}
    for (layer, name), value in net.params.items():
        worst = 0.0
        for _ in range(directions):
            direction = rng.standard_normal(value.shape) * value.std()
            value += step * direction
            up = loss()
            value -= 2 * step * direction
            slope = (up - loss()) / (2 * step)
            value += step * direction
            ours = float((grads[layer][name] * direction).sum())
            worst = max(worst, abs(slope - ours) / max(abs(slope), abs(ours), 1e-8))
        errors[f"{layer}.{name}"] = worst
        say(f"{layer + '.' + name:14s} relative error {worst:.1e}")
    if max(errors.values()) > limit:
        raise RawconvError(f"The gradients are wrong: relative error {max(errors.values()):.1e}, allowed {limit:.0e}.")
    return errors


def balanced(labels, classes):
    """[n / (K n_k)] of classes 0 .. `classes`-1: n pictures, n_k of class k, K classes that have any; 0 for the others.

    Every class then has the same share in the loss, and the mean weight of a picture is 1; scikit-learn's "balanced".
    """
    counts = np.bincount(labels, minlength=classes)
    return [len(labels) / (np.count_nonzero(counts) * count) if count else 0.0 for count in counts.tolist()]


def choose_conv(net, conv=None, device=None):
    """Set how every convolution is computed (None: as it is); UsageError where the device has no such way."""
    how = conv or options(net)["conv"]
    if how in ("winograd", "direct") and device is not None and device.index is not None:
        remedy = "use auto or gemm" if conv else "go on with --device cpu"
        raise UsageError(f"--conv {how} is for the CPU, and this is {device}; {remedy}.")
    for _, layer in net.layers:
        if layer.params:
            layer.conv = how


def choose_dropout(net, rate):
    """Set the share of units that all dropout layers set to zero; UsageError where the net has none."""
    if not models.drop(net, rate):
        raise UsageError(f"A {net.model} has no dropout; leave --dropout out.")


def limit_columns(net, megabytes):
    """Set how much memory the columns of a convolution may take on a GPU, in MB of 2^20 bytes."""
    for _, layer in net.layers:
        if layer.params:
            layer.workspace = megabytes << 20


def new_classifier(net, classes, seed):
    """The net with a new last layer for other classes; all below it is kept."""
    *below, (name, last, inputs) = [(name, layer, *inputs) for name, layer, inputs in net.nodes.values()]
    fresh = Conv(**last.settings | {"filters": len(classes), "groups": 1})  # an average has groups
    return Net(net.shape, [*below, (name, fresh, inputs)], classes, net.mean, net.model, seed, net.dtype, net.stored)


def _same_classes(net, data, file, or_else=""):
    """The data with its classes in the net's order.  RawconvError, naming those that differ, where they are others."""
    ours, theirs = set(net.classes), set(data.classes)
    named = {composed(name): name for name in net.classes if name not in theirs}
    data = data._replace(classes=[c if c in ours else named.pop(composed(c), c) for c in data.classes])
    theirs = set(data.classes)
    lacks, knows = [c for c in net.classes if c not in theirs], [c for c in data.classes if c not in ours]
    words = [f"{data.source} lacks {_some(lacks)}"] if lacks else []
    words += [f"{file} does not know {_some(knows)}"] if knows else []
    if words:
        raise RawconvError(f"The classes must be the same: {' and '.join(words)}; choose other --data{or_else}.")
    return data if list(net.classes) == list(data.classes) else in_order(data, net.classes)


def _some(names):
    """ "cat, dog, emu and 7 others"."""
    few = ", ".join(name if len(name) <= 40 else f"{name[:39]}…" for name in names[:3])
    return f"{few} and {len(names) - 3} others" if len(names) > 3 else few
