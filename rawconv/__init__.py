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
    optimizer.py   gradient descent with the paper's filter renormalisation;  recipes.py  how each net is trained
    training.py    a training run;  runs.py  how a command begins, resumes or tests one;  runlog.py  its log
    evaluation.py  how well a net answers, and where it is wrong
    health.py      what goes wrong in training;  interrupts.py  Ctrl-C;  parallel.py  several processes as one
    checkpoint.py  a net in a file;  storage.py  files that are whole or not there;  folders.py  where results go
    data/          pictures in, packed if many, augmented batches out;  convert/  nets of other libraries in, ONNX out
    report/        figures;  experiments/  those of the paper;  cli/  the commands
    doctor.py      what works on this machine;  memory.py  what a training step takes
    arrays.py      NumPy or CuPy;  buffers.py  their memory, used again;  philox.py  random numbers
    threads.py     the CPU's cores;  simd.py  their vectors;  compiled.py  loops, and where they are kept
    limits.py      what a container grants;  environment.py  what variables ask for;  json_text.py;  errors.py

    import rawconv
    net = rawconv.load("weights/scenes.h5")
    r = rawconv.project(net, picture, "conv4:17")      # picture: uint8 (H, W, 3); r: float (H, W, 3)
"""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:  # for type checkers and editors; at run time a command's --help need not wait for NumPy
    import numpy as np

    from . import checkpoint, data, deconvnet, experiments, geometry, models, topk  # noqa: F401
    from .data import Split
    from .layers import Rules
    from .net import Net
    from .topk import Strongest


def load(path) -> Net:
    """The Net in a checkpoint file.  UsageError: no such file.  RawconvError: it is not a sound checkpoint."""
    from . import checkpoint

    return checkpoint.load(path).net


def project(net: Net, picture: np.ndarray, unit: str, rules: Rules | None = None) -> np.ndarray:
    """Bring one unit of `net`, e.g. "conv4:17", down to the pixels of `picture`; see deconvnet.project."""
    from . import deconvnet, layers

    return deconvnet.project(net, picture, unit, rules or layers.PAPER)


def scan(net: Net, split: Split, layers: list[str], k: int = 9, **options) -> dict[str, Strongest]:
    """The k strongest units of every map of some layers over a data set's split; see topk.scan."""
    from . import topk

    return topk.scan(net, split, layers, k, **options)


def __getattr__(name):
    import importlib

    if name in ("models", "topk", "deconvnet", "geometry", "checkpoint", "data", "experiments"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'rawconv' has no attribute {name!r}")
