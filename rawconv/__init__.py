"""rawconv: convolutional nets with every pass written by hand, and the deconvnet that looks inside them.

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (2013).  In reading order:

    layers/        what a layer is (the contract), and the six: conv, relu, lrn, pool, dropout, softmax
    net.py         layers in a row, and the three walks: up (forward), back (backward), down (deconv)
    models.py      the nets, as literal lists of layers
    geometry.py    which pixels a unit sees
    deconvnet.py   one unit -> a picture;  windowed.py  many, through their receptive fields alone
    patched.py     up again where a picture has changed
    trace.py       that way in numbers, step by step;  controls.py  with an ingredient exchanged
    topk.py        the pictures that excite each map most;  visualize.py  figure 2 in files
    pictures.py    what a user brings, as stored pictures
    optimizer.py   gradient descent with the paper's filter renormalisation;  recipes.py  how each net is trained
    training.py    a training run;  runs.py  how a command begins, resumes or tests one;  runlog.py  its log
    evaluation.py  how well a net answers, and where it is wrong
    health.py      what goes wrong in training;  interrupts.py  Ctrl-C;  parallel.py  several processes as one
    checkpoint.py  a net in a file;  storage.py  files that are whole or not there;  folders.py  where results go
    data/          pictures in, packed if many, augmented batches out;  convert/  nets of other libraries in, ONNX out
    report/        figures;  experiments/  those of the paper;  cli/  the commands
    doctor.py      what works on this machine;  launchers.py  its MPI;  memory.py  what a training step takes
    arrays.py      NumPy or CuPy;  buffers.py  their memory, used again;  philox.py  random numbers
    threads.py     the CPU's cores;  simd.py  their vectors;  compiled.py  loops, and where they are kept
    limits.py      what a container grants;  environment.py  what variables ask for
    streams.py     stdout and stderr as a shell leaves them;  json_text.py;  errors.py

    import rawconv
    net = rawconv.load("weights/scenes.h5")
    rawconv.classify(net, "cat.jpg")                    # [(class, probability), ...]
    r = rawconv.project(net, "cat.jpg", "conv4:17")     # signed, float (H, W, 3); rawconv.display(r): uint8
    found = rawconv.scan(net, rawconv.open_data("scenes").val, ["conv4"])["conv4"]

A picture is a path, a Pillow picture or a uint8 array.  build, train and the rest: see their own help.
"""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:  # for type checkers and editors; at run time a command's --help need not wait for NumPy
    from . import checkpoint, data, deconvnet, experiments, geometry, models, topk  # noqa: F401
    from .data import open_data  # noqa: F401
    from .deconvnet import display, project  # noqa: F401
    from .models import build  # noqa: F401
    from .net import Net
    from .report.pages import classify  # noqa: F401
    from .topk import scan  # noqa: F401
    from .training import train  # noqa: F401

    __version__: str


def load(path) -> Net:
    """The Net in a checkpoint file.  UsageError: no such file.  RawconvError: it is not a sound checkpoint."""
    from . import checkpoint

    return checkpoint.load(path).net


_MODULES = ("checkpoint", "data", "deconvnet", "experiments", "geometry", "models", "topk")
_FUNCTIONS = {
    "build": "models", "classify": "report.pages", "display": "deconvnet", "open_data": "data", "project": "deconvnet",
    "scan": "topk", "train": "training",
}  # fmt: skip
__all__ = ["__version__", "load", *_FUNCTIONS]


def __getattr__(name):
    """The functions and modules of the package, imported as they are first asked for."""
    import importlib

    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f".{_FUNCTIONS[name]}", __name__), name)
    if name == "__version__":
        from importlib import metadata

        try:
            return metadata.version("rawconv")
        except metadata.PackageNotFoundError:
            return "0+source"
    raise AttributeError(f"module 'rawconv' has no attribute {name!r}")


def __dir__():
    return sorted([*__all__, *_MODULES])
