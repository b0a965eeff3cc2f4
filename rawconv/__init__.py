"""rawconv: convolutional nets with every pass written by hand, and the deconvnet that looks inside them.

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (2013).  In reading order:

    layers/        what a layer is (the contract), and one file for each;  layers/cpu/, layers/gpu/  ways to convolve
    net.py         layers as nodes with named inputs, and the three passes: up (forward), back (backward), down (deconv)
    stages.py      a forward pass that keeps nothing, in less memory
    models.py      the nets, as literal lists of layers
    visualize/     looking into a net: units, projections, the images that excite each feature map most
    training/      a run: recipes, steps, evaluation
    checkpoint/    a net in a file;  files/  files that are whole or not there, what they may hold, where results go
    data/          images in, packed if many, augmented batches out;  convert/  nets of other libraries in, ONNX out
    report/        figures and the page;  experiments/  those of the paper
    explore/       the same live, in a browser;  cli/  the commands
    machine/       arrays of NumPy or CuPy, their memory, threads, several processes;  doctor/  what works here
    soundness.py   whether a net can be trusted;  errors.py  the two kinds of error that a user can mend

    import rawconv
    net = rawconv.load()
    rawconv.classify(net, "cat.jpg")                    # [(class, probability), ...]
    r = rawconv.project(net, "cat.jpg", "conv4:17")     # signed, float (H, W, 3); rawconv.display(r): uint8
    rawconv.figure(net, "scenes", "conv4")              # figure 2 of the paper, a Pillow picture
    found = rawconv.scan(net, rawconv.open_data("scenes").val, ["conv4"])["conv4"]
    rawconv.explore(net, "cat.jpg")                     # the same live, in the cell of a notebook
    net = rawconv.from_torch(model)                     # a torch.nn.Module; rawconv-import reads files

A picture is a path, a Pillow picture or a uint8 array.  build, train and the rest: see their own help.
"""

from __future__ import annotations

import os
import typing

# for type checkers and editors; at run time a command's --help need not wait for NumPy
if typing.TYPE_CHECKING:
    from . import checkpoint, data, experiments, models, training, visualize  # noqa: F401
    from .convert.from_torch import from_torch
    from .data import open_data
    from .explore.notebook import explore
    from .models import build
    from .net import Net
    from .report.figure2 import figure
    from .training.loop import train
    from .visualize.images import display
    from .visualize.shortcuts import classify, project
    from .visualize.top_activations import scan

    __version__: str


def load(path: str | os.PathLike[str] | None = None) -> Net:
    """Read the Net in a checkpoint file; without `path` the one that comes with rawconv, trained on
    its scenes.

    UsageError: no such file.  RawconvError: it is not a sound checkpoint.
    """
    from . import checkpoint

    return checkpoint.load(checkpoint.shipped() if path is None else path).net


_MODULES = ("checkpoint", "data", "experiments", "explore", "models", "training", "visualize")
_FUNCTIONS = {
    "build": "models", "classify": "visualize.shortcuts", "display": "visualize.images",
    "figure": "report.figure2", "from_torch": "convert.from_torch", "open_data": "data",
    "project": "visualize.shortcuts", "scan": "visualize.top_activations", "train": "training.loop",
}  # fmt: skip
__all__ = [  # spelt out, since type checkers read it
    "__version__", "build", "classify", "display", "explore", "figure", "from_torch", "load", "open_data", "project",
    "scan", "train",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Import a function or module of the package when it is first asked for."""
    import importlib

    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f".{_FUNCTIONS[name]}", __name__), name)
    if name == "__version__":
        from .files.version import version

        return version()
    raise AttributeError(f"module 'rawconv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
