"""Checkpoints in HDF5: the file alone rebuilds the net and resumes the run.

    bytes 0-511            a line of text: version, SHA-256 of all that follows (HDF5 skips such a block)
    /                      attributes format, version, model, shape (H, W, C), stored (H, W) of the stored picture
    /info                  JSON
    /input/mean            (H, W, C) of the stored picture, or (C,)
    /labels                the names of the classes, UTF-8
    /layers/00_conv1       attributes type, settings (JSON), inputs (JSON: the names of the layers it takes the outputs
                           of, "" the picture; not there: the layer before); of a Conv: weight (KH, KW, C // groups, F),
                           bias (F,).  A name's %, / and : are written %25, %2F and %3A
    /optimizer/00_conv1    momentum, in the shapes of weight and bias
    /optimizer/progress    JSON

Version 1 does not say `stored`, and its settings have older names: version_1.py.

What rawconv-train keeps in /info: data (the source, with its whole path), pictures {train, val:
numbers, sha256: of data.identity.fingerprint}, recipe (the fields of recipes.Recipe), seed, history
[a row of the log for each epoch], options {conv, workspace (MB), tf32}: how the net is computed, where
that changes bits, release {rawconv, auto}: by which versions (files before 2026-11-29 name none).
In /optimizer/progress: epoch and position (whole epochs and pictures that are done), sums (loss,
top-1, top-5 of this epoch), best (top-1), schedule {best, waited, cuts, since (epochs; when the rate
was set by hand)} of optimizer.Schedule.

Equal content gives equal bytes.  The checksum finds chance damage before HDF5 reads a byte; against
malice every size, link and type is checked before anything is allocated, and nothing in the file is
executed.
"""

from __future__ import annotations

import importlib.resources
import io
import json
import os
import pathlib
import re
from typing import NamedTuple

import h5py
import numpy as np

from ..errors import RawconvError, UsageError
from ..files import schema
from ..files.messages import escaped
from ..files.schema import NEWER, parse
from ..files.storage import (  # fmt: skip
    SEAL,
    Group,
    Wrong,
    check_seal,
    fixed_text,
    hdf5,
    open_file,
    replace_file,
    write_seal,
)
from ..net import Net
from ..training.recipes import Recipe
from . import version_1
from .nodes import (  # fmt: skip
    LARGEST_SIDE,
    MOST_LAYERS,
    check_layer,
    check_room,
    check_shape,
    floats,
    read_momentum,
    read_nodes,
    write_momentum,
    write_nodes,
)

__all__ = [
    "MOST_LAYERS", "Checkpoint", "RawconvError", "check_layer", "default", "load", "newest", "save", "seal", "shipped",
]  # fmt: skip

KIND, VERSION = "checkpoint", 2
REMEDY = "Use another checkpoint (--weights FILE), or train again with rawconv-train."

FOREIGN = (
    ".onnx",
    ".pth",
    ".pt",
    ".caffemodel",
    ".safetensors",
)  # what rawconv-import reads is called so


class Checkpoint(NamedTuple):
    """net; info: what `save` was given; state: {"momentum": {(layer, parameter): array},
    "progress": dict}, or None.
    """

    net: Net
    info: dict
    state: dict | None


# Writing


def save(path: str | os.PathLike[str], net: Net, info: dict, state: dict | None = None) -> None:
    """Write net, info and state to `path`, all or nothing: a crash at any instant leaves the old
    file or the new one.

    info: a dict for JSON (data source, options, metrics, provenance, epoch).  state, for resuming:
    {"momentum": {(layer name, parameter name): array}, "progress": a dict for JSON}.  Arrays may be
    on the GPU. Takes the size of the file in memory.  RawconvError where it cannot be written.
    """
    texts = _check(net, info, state)
    image = io.BytesIO()
    # v108 is one fixed dialect, with checksums on all metadata: a newer HDF5 writes it too, and any
    # since 1.8 reads it.
    with hdf5(image, "w", libver=("v108", "v108"), userblock_size=SEAL) as file:
        _write_net(file, net, texts["info"])
        if state is not None:
            _write_state(file.create_group("optimizer"), net, state["momentum"], texts["progress"])
    write_seal(image, KIND, VERSION)
    replace_file(path, image.getbuffer())


def _check(net, info, state):
    """The JSON {"info", "progress"}; ValueError, before anything is written, where `load` would refuse it."""
    values = {"info": info} | ({"progress": state["progress"]} if state else {})
    # NumPy's
    texts = {
        name: json.dumps(value, default=lambda number: number.item())
        for name, value in values.items()
    }
    try:
        _check_names(net)
        parsed = {
            name: parse(text, getattr(schema, name.upper()), name) for name, text in texts.items()
        }
        if state:
            _check_training(net, **parsed)
    except Wrong as wrong:
        raise ValueError(f"A checkpoint cannot be written of this net: it {wrong}.") from None
    return texts


def _write_net(file, net, info):
    file.attrs.update(format=fixed_text("rawconv"), version=VERSION, model=fixed_text(net.model))
    file.attrs.update(shape=net.shape, stored=net.stored)
    file["info"] = fixed_text(info)
    # a group that a path makes on the way would keep the time
    file.create_group("input")["mean"] = floats(net.pixel_mean)
    names = [escaped(name).encode() for name in net.classes]
    file["labels"] = np.array(names, h5py.string_dtype("utf-8", max(map(len, [b"-", *names]))))
    write_nodes(file.create_group("layers"), net)


def _write_state(group, net, momentum, progress):
    group["progress"] = fixed_text(progress)
    write_momentum(group, net, momentum)


def seal(path: str | os.PathLike[str]) -> None:
    """Renew the checksum of a checkpoint that was edited by hand, which `load` would otherwise take
    for damage.
    """
    with open(path, "r+b") as file:
        match = re.match(rb"rawconv checkpoint, version (\d{1,9}),", file.read(SEAL))
        write_seal(file, KIND, int(match[1]) if match else VERSION)


# Reading


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint: -> Checkpoint(net, info, state), state None where the file holds none.

    The net is of the file's dtype, and nothing larger than the file is allocated.
    UsageError: there is no such file.  RawconvError: it is no checkpoint, is damaged, or is of
    another version.
    """
    try:
        with open_file(path, "runs/zf64-scenes-1/last.h5") as file:
            size = check_seal(file, KIND, _check_version)
            with hdf5(file) as root:
                return _read(Group(root, size))
    except UsageError:
        raise
    except Wrong as wrong:
        raise RawconvError(f"{path} {wrong}. {wrong.remedy or _remedy(path)}") from wrong
    except PermissionError as error:
        raise RawconvError(
            f"{path} may not be read. Change its permissions, or copy it."
        ) from error
    except Exception as error:  # HDF5 complains in every type there is
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise RawconvError(f"{path} is damaged or cannot be read ({what}). {REMEDY}") from error


def _remedy(path: str | os.PathLike[str]) -> str:
    """Return what to do about a file that is no checkpoint: import it, where another library's is called so."""
    path = os.fspath(path)
    return (
        f"Make a checkpoint of it: rawconv-import {path} OUT.h5."
        if path.lower().endswith(FOREIGN)
        else REMEDY
    )


def _check_version(version):
    if not 1 <= version <= VERSION:
        raise Wrong(
            f"is a checkpoint of version {version}, and this rawconv reads versions 1 to {VERSION}",
            NEWER,
        )


def _read(root):
    if root.text("format") != "rawconv":
        raise Wrong("was not written by rawconv")
    version = root.integers("version", ())
    _check_version(version)
    shape = tuple(root.integers("shape", (3,)))
    check_shape(shape, "its pictures")
    check_room(shape, root.size, "its pictures")
    nodes, weights = read_nodes(root.group("layers"), shape, version)
    mean = root.group("input").numbers("mean")
    _check_mean(mean.shape, shape)
    stored = _read_stored(root, version, shape, mean.shape)
    labels, info = root.texts("labels", 1), root.texts("info", 0)
    resumes = "optimizer" in root
    if resumes:
        momentum = read_momentum(root.group("optimizer"), nodes, weights)
        progress = root.group("optimizer").texts("progress", 0)
    root.check_total()

    # From here on memory is allocated.
    layers = {name: layer for name, layer, *_ in nodes}
    for (name, key), data in weights.items():
        setattr(layers[name], key, data.read())
    classes = [escaped(label.decode("utf-8", "surrogateescape")) for label in labels.read()]
    net = Net(shape, nodes, classes, mean.read(), root.text("model"), stored=stored)
    _check_names(net)
    info, state = parse(info.read().item(), schema.INFO, "info"), None
    if resumes:
        arrays = {key: data.read() for key, data in momentum.items()}
        state = {
            "momentum": arrays,
            "progress": parse(progress.read().item(), schema.PROGRESS, "progress"),
        }
        _check_training(net, info, state["progress"])
    return Checkpoint(net, info, state)


def _check_mean(mean, shape):
    if mean != shape[2:] and (len(mean) != 3 or mean[2] != shape[2]):
        raise Wrong(f"has a mean of shape {mean} for pictures of {shape}")


def _read_stored(root, version, shape, mean):
    """(H, W) of the stored picture, of which a net of `shape` sees the centre; mean: the mean's shape."""
    if version == 1:
        stored = version_1.stored(root.text("model"), mean, shape)
    else:
        height, width = root.integers("stored", (2,))
        stored = height, width
    fits = all(low <= side <= LARGEST_SIDE for low, side in zip(shape[:2], stored, strict=True))
    if not fits or (len(mean) == 3 and mean[:2] != stored):
        raise Wrong(
            f"has stored pictures of {stored} and a mean of {mean} for a net that sees {shape}"
        )
    check_room((*stored, shape[2]), root.size, "its stored pictures")
    return stored


def _check_training(net, info, progress):
    """Wrong where a training of this net could not go on from info and progress."""
    schema.check_training(info, progress)
    try:
        Recipe.from_json(info["recipe"]).layer_rates(net)
    except UsageError as error:
        raise Wrong(
            f"is damaged: info.recipe does not fit the layers ({str(error).rstrip('.')})"
        ) from error


def _check_names(net):
    scores = net.shapes[net.output][2]
    if len(net.classes) not in (0, scores):
        raise Wrong(f"has {len(net.classes)} class names for {scores} scores")
    schema.check_names("class", net.classes)
    schema.check_names("layer", [name for name, _ in net.layers])
    schema.check_names("model", [net.model])


# Finding


def newest(folder: str | os.PathLike[str] = "runs") -> pathlib.Path | None:
    """Return the newest checkpoint in a folder of runs; None where there is none."""
    files_by_age = []
    for run in pathlib.Path(folder).glob("*/"):
        files = [file for file in run.glob("*.h5") if file.is_file()]
        files = [file for file in files if file.name == "last.h5"] or files
        files_by_age += [(file.stat().st_mtime_ns, str(file), file) for file in files]
    return max(files_by_age)[2] if files_by_age else None


def default() -> pathlib.Path:
    """Return the newest checkpoint in runs/, or else the one that comes with the package, as a Path."""
    file = newest() or shipped()
    if not file.is_file():
        where = "There is no checkpoint in runs/ and none in the package"
        raise RawconvError(
            f"{where}. Train one with rawconv-train, or name one with --weights FILE."
        )
    return file


def shipped() -> pathlib.Path:
    """Where the checkpoint is that comes with the package, installed or in a checkout."""
    return pathlib.Path(str(importlib.resources.files("rawconv") / "scenes.h5"))
