"""The small nets that an experiment needs: trained once into runs/experiments/, found again by what
they are made of.

    path = trained("alex64", "scenes:8000", {"epochs": 10}, device=device, say=say, minutes=2)       its last.h5

They do not lie in runs/ itself, where every command takes the newest checkpoint for the user's own.
"""

import hashlib
from pathlib import Path

from .. import checkpoint
from ..errors import UsageError
from ..files.json_text import json_text
from ..files.locks import locked
from ..files.run_folders import clean
from ..machine.arrays import Device
from ..training import runs
from ..training.loop import train
from ..training.recipes import Recipe

ROOT = Path("runs/experiments")


def trained(
    model, data, changes, seed=0, device=None, allow=True, say=print, minutes=1, instead=""
):
    """Path of the last.h5 of such a net; one that was interrupted is trained to its end.

    changes: {field of Recipe: value}.  minutes: what it takes on two cores, to be said before it begins.
    UsageError where it is not there and `allow` is false; instead: what the user may do then.
    """
    device = device or Device()
    folder = place(model, data, changes, seed, device.tf32)
    file = folder / "last.h5"
    if is_finished(file):
        return file
    if not allow:
        raise UsageError(
            f"{model} trained on {data} is needed and not in {folder}; leave --no-train out{instead}."
        )
    say(f"Training {model} on {data}, about {minutes:g} min on 2 cores; it is kept in {folder}.")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        run = (
            runs.resume(file, {})
            if file.exists()
            else runs.start(model, data, seed=seed, changes=changes)
        )
        runs.train_run(run, folder, device, say)
    return file


def is_finished(file):
    if not file.exists():
        return False
    _, info, state = checkpoint.load(file)
    return state["progress"]["epoch"] >= info["recipe"]["epochs"]


def train_in(folder, begin, data, seed, device, workspace=None, **how):
    """Train a net in `folder` on a DataSet, going on from the last.h5 there; the net.

    begin: the function () -> (net, recipe) of a training that has not begun.
    workspace: of runs.limit_columns.  how: other arguments of training.loop.train.
    """
    file, state = Path(folder) / "last.h5", None
    if file.exists():
        net, info, state = checkpoint.load(file)
        recipe = Recipe.from_json(info["recipe"])
    else:
        net, recipe = begin()
    if workspace:
        runs.limit_columns(net, workspace)
    train(net, data, recipe, Path(folder), device, seed, state, **how)
    return net


def place(model, data, changes, seed=0, tf32=False):
    """The folder of such a net; one that was trained in TF32 has other weights."""
    made_of = {"model": model, "data": str(data), "changes": dict(changes), "seed": seed}
    made_of |= {"tf32": True} if tf32 else {}  # older folders are those of float32
    digest = hashlib.sha256(json_text(made_of).encode()).hexdigest()
    name = f"{model}-{Path(str(data)).name[:60]}-{digest[:8]}"
    return ROOT / clean(name)
