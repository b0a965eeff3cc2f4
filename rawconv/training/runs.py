"""From a user's words to a training run: which data, which net, which recipe; begin, resume, train.

run = start(model="zf64", data="photos/")           a Run: net, data, recipe
results = train_run(run, pathlib.Path("runs/mine"), choose_device("auto"))
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import checkpoint, models, soundness
from ..data import DataSet, mean_image, open_data
from ..data.class_match import matched
from ..data.colour import principal
from ..data.identity import fingerprint
from ..data.preprocessing import stored_size
from ..errors import RawconvError, UsageError
from ..files.locks import locked
from ..layers.conv import Conv
from ..net import Net
from .loop import options, train
from .optimizer import Schedule
from .recipes import Recipe, recipe_of
from .release import tell_other_release
from .trained_on import open_named

if TYPE_CHECKING:
    import os

    from ..files.messages import Say
    from ..machine.arrays import Device


class Run(NamedTuple):
    """Everything that decides the result.  folder, state: of a run that is resumed, else None."""

    net: Net
    data: DataSet
    recipe: Recipe
    seed: int
    folder: Path | None = None
    state: dict[str, Any] | None = None


def start(
    model: str | None = None,
    data: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
    changes: Mapping[str, Any] = {},
    dtype: str = "float32",
    fine_tune: bool = False,
) -> Run:
    """Return a new Run.

    changes: {field of Recipe: value}; class_weights may be "balanced".
    weights: a checkpoint to start from, which decides the model.
    fine_tune: replace its last layer by a new one, for the classes of the data.
    UsageError: model and weights disagree, or fine_tune has no weights.  RawconvError: the data's
    classes are not those of the weights.
    """
    if fine_tune and not weights:
        raise UsageError("--fine-tune needs --weights, the checkpoint to start from.")
    first = _first(weights, model) if weights else None
    model = model or "zf64"
    changes, weigh = _without_weights(changes)
    chosen = (recipe_of(first) if first else models.recipe(model)).changed(changes)
    if first:
        first.stored = (chosen.stored, chosen.stored)
    images = open_data("scenes" if data is None else data, chosen.stored, seed=0)
    chosen = _fitted(chosen, images, weigh)
    if first is None:
        net = models.build(model, images.classes, None, mean_image(images.train, True), seed, dtype)
    elif fine_tune:
        net = new_classifier(first, images.classes, seed)
    else:
        net, images = (
            first,
            matched(images, first.classes, weights, " or, for training, add --fine-tune"),
        )
    return Run(net, images, chosen, seed)


def _without_weights(changes: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return (the changes without class_weights, that: "balanced" or None)."""
    rest = dict(changes)
    weigh = rest.pop("class_weights", None)
    if weigh not in (None, "balanced"):
        raise UsageError(f"class_weights {weigh!r} are not known; there is only balanced.")
    return rest, weigh


def _first(weights: str | os.PathLike[str], model: str | None) -> Net:
    """Return the net to start from.  UsageError: it is not of the `model` that was asked for."""
    net = checkpoint.load(weights).net
    if model not in (None, net.model):
        raise UsageError(f"--weights {weights} is a {net.model}, not a {model}; leave --model out.")
    soundness.check_scores(net)
    return net


def _fitted(recipe: Recipe, images: DataSet, weigh: str | None) -> Recipe:
    """Return the recipe with what it takes from the training images: weights of classes, directions
    of colour.
    """
    if weigh:
        recipe = recipe._replace(class_weights=balanced(images.train.labels, len(images.classes)))
    if recipe.pca_strength:
        recipe = recipe._replace(
            pca_jitter=(recipe.pca_strength * principal(images.train)).tolist()
        )
    return recipe


def resume(path: str | os.PathLike[str], options_given: Mapping[str, Any], say: Say = print) -> Run:
    """Return the interrupted Run in `path`, its folder or its last.h5.

    options_given: {option: value} of the command line.  lr is the rate from the next step on, data
    is where the same images are now; all others must be None, else UsageError.
    RawconvError: the file holds no state, or the images differ.
    """
    path, options_given = (
        Path(path),
        {name: value for name, value in options_given.items() if value is not None},
    )
    data, lr = options_given.pop("data", None), options_given.pop("lr", None)
    if options_given:
        names = ", ".join(name if name.startswith("--") else f"--{name}" for name in options_given)
        raise UsageError(
            f"--resume takes everything but --lr and --data from the run; leave {names} out."
        )
    file = path / "last.h5" if path.is_dir() else path
    saved = checkpoint.load(file)
    if saved.state is None:
        raise RawconvError(
            f"{file} holds no training state; resume from the last.h5 of its run's folder."
        )
    tell_other_release(file, saved.info, say)
    chosen = Recipe.from_json(saved.info["recipe"])
    if chosen.stored != stored_size(saved.net):
        raise RawconvError(
            f"{file} is damaged: it keeps pictures in {stored_size(saved.net)} pixels, and its recipe in "
            f"{chosen.stored}. {checkpoint.REMEDY}"
        )
    images = matched(open_named(file, saved.info, data, chosen.stored), saved.net.classes, file)
    _check_same_images(saved, images, file, data, say)
    kept = options(saved.net) | saved.info.get("options", {})
    choose_conv(saved.net, kept["conv"])
    limit_columns(saved.net, kept["workspace"])
    saved.net.execution = saved.net.execution._replace(tf32=kept.get("tf32", False))
    run = Run(saved.net, images, chosen, saved.info["seed"], file.parent, saved.state)
    return run if lr is None else _with_rate(run, lr, file, say)


def locked_run(path: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
    """Keep other processes from continuing the run in `path`, its folder or its last.h5, in this context."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    return locked(folder) if folder.is_dir() else contextlib.nullcontext()


def _check_same_images(
    saved: checkpoint.Checkpoint, data: DataSet, file: Path, moved: str | None, say: Say
) -> None:
    """RawconvError: the data differ from those of the run.  Of these, older files hold the classes only."""
    state: Any = saved.state
    now: dict[str, Any] = fingerprint(data)
    position = state["progress"]["position"]
    kept = {"train": max(position, now["train"])} | (saved.info.get("pictures") or {})
    if any(kept.get(key, now[key]) != now[key] for key in ("train", "val")):
        least, val = max(position, kept["train"]), kept.get("val", now["val"])
        wrong = (
            f"{now['train']} training and {now['val']} validation pictures, not {least} and {val}"
        )
    elif kept.get("sha256", now["sha256"]) == now["sha256"]:
        return
    elif moved:
        wrong = "other pictures, or the same in another order"
    else:
        say(
            f"{data.source} no longer holds the same pictures; the weights will not be those of an undisturbed run."
        )
        return
    raise RawconvError(
        f"{data.source} holds {wrong} as when {file} was written. Name the same pictures with --data, or begin a new "
        f"run with --weights {file}."
    )


def _with_rate(run: Run, lr: float, file: Path, say: Say) -> Run:
    """Return the run with rate `lr` from its next step on; cosine and step fall from there, plateau
    counts from 0.
    """
    state: Any = run.state
    progress = state["progress"]
    since = progress["epoch"] + progress["position"] / len(run.data.train)
    if since >= run.recipe.epochs:
        raise UsageError(f"{file} has done all its {run.recipe.epochs} epochs; leave --lr out.")
    before = Schedule(run.recipe.schedule, run.recipe.lr, run.recipe.epochs, run.recipe.warmup)
    before.state = progress["schedule"]
    where = f"epoch {progress['epoch'] + 1}, picture {progress['position'] + 1}"
    say(f"The learning rate is {lr:.3g} from {where} on; it was {before.rate(since):.3g}.")
    schedule = Schedule(run.recipe.schedule, lr, run.recipe.epochs, since=since).state
    state = state | {"progress": progress | {"schedule": schedule}}
    return run._replace(recipe=run.recipe._replace(lr=lr, warmup=0.0), state=state)


def train_run(
    run: Run,
    folder: str | os.PathLike[str],
    device: Device,
    say: Say = print,
    progress: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Train; return the accuracies of the last epoch and the paths of what was written.

    options: the other arguments of loop.train.
    """
    first = not (options.get("ranks") and options["ranks"].rank)
    with locked(folder) if first else contextlib.nullcontext():
        rows = train(
            run.net,
            run.data,
            run.recipe,
            Path(folder),
            device,
            run.seed,
            run.state,
            progress,
            say,
            **options,
        )
    state: Any = run.state
    # all epochs were done, and the log is gone
    last = rows[-1] if rows else {"epoch": state["progress"]["epoch"]}
    return {
        "checkpoint": f"{folder}/last.h5",
        "best": f"{folder}/best.h5",
        "curves": f"{folder}/curves.png",
        "classes": f"{folder}/classes.csv",
        "stopped_early": last["epoch"] < run.recipe.epochs,
        **last,
    }


def balanced(labels: np.ndarray, classes: int) -> list[float]:
    """Return n / (K n_k) of each class: n images, n_k of class k, K classes that have any.

    A class without images gets 0.  All others then have the same share in the loss, and the mean
    weight of an image is 1; scikit-learn's "balanced".
    """
    counts = np.bincount(labels, minlength=classes)
    return [
        len(labels) / (np.count_nonzero(counts) * count) if count else 0.0
        for count in counts.tolist()
    ]


def choose_conv(net: Net, conv: str | None = None, device: Device | None = None) -> None:
    """Set the algorithm of every convolution (None: leave it).  UsageError: the device does not have it."""
    how = conv or net.execution.algorithm
    home = {"winograd": "the CPU", "direct": "the CPU", "implicit": "a GPU"}.get(how)
    if home and device is not None and (device.index is None) != (home == "the CPU"):
        other = "cpu" if home == "the CPU" else "gpu"
        remedy = "use auto or gemm" if conv else f"go on with --device {other}"
        raise UsageError(f"--conv {how} is for {home}, and this is {device}; {remedy}.")
    net.execution = net.execution._replace(algorithm=how)


def choose_dropout(net: Net, rate: float) -> None:
    """Set the rate of all dropout layers.  UsageError: the net has none."""
    if not models.drop(net, rate):
        raise UsageError(f"A {net.model} has no dropout; leave --dropout out.")


def limit_columns(net: Net, megabytes: int) -> None:
    """Limit the memory of a convolution's columns on a GPU, in MB of 2^20 bytes."""
    net.execution = net.execution._replace(workspace=megabytes << 20)


def new_classifier(net: Net, classes: Sequence[str], seed: int) -> Net:
    """Return the net with its last convolution or fully connected layer made new, for other classes."""
    last = [name for name, layer in net.layers if layer.params][-1]
    fresh = Conv(**net[last].settings | {"filters": len(classes), "groups": 1, "init_std": 0.01})
    layers = [
        (name, fresh if name == last else layer, *inputs)
        for name, layer, inputs in net.nodes.values()
    ]
    twin = Net(net.shape, layers, classes, net.pixel_mean, net.model, seed, net.dtype, net.stored)
    twin.execution = net.execution
    return twin
