"""The features of any layer for every picture of a split, in an HDF5 file.

    /features   float32 (N, d), a row per picture in the split's order: (H, W, C) flattened
    /labels     int64 (N,)          /names, /classes   UTF-8
    attributes  format, version, layer (the user's name), object, shape (H, W, C), model, weights, weights_sha256,
                data, split, data_key, device

The rows are written as they come into .<name>.part beside the file, which takes its name when it is
complete: a file is whole or not there, memory does not grow with N, and what was interrupted goes
on.
"""

import os
import time
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from ..data.batches import batches
from ..data.dataset import Split
from ..data.preprocessing import preprocess
from ..errors import RawconvError, UsageError
from ..files.json_text import json_text
from ..files.locks import locked
from ..files.progress import progress_bar
from ..files.storage import fixed_text, hdf5, open_regular, replace_file, unwritten
from ..machine.arrays import array_module, to_cpu
from ..net import Net
from ..visualize.default_layer import modules
from ..visualize.scan_record import data_key, fingerprint
from ..visualize.units import layer_numbers, layer_object

FORMAT, VERSION = "rawconv-features", 1
KEEP_SECONDS = 10  # between two notes of how far it is


def feature_layer(net, layer):
    """The layer object whose output is the features of `layer`, a number or any name.

    A number N: convN or fcN after its ReLU, and after the pool and the norm above that where there are any.
    UsageError where there is none.
    """
    name = layer_object(net, layer)
    while (
        str(layer).isdigit()
        and len(above := net.consumers[name]) == 1
        and _goes_along(net[above[0]])
    ):
        name = above[0]
    return name


def _goes_along(layer):
    """Whether it belongs to the layer with weights below it; dropout does nothing in a trained net."""
    return not (layer.params or layer.joins or layer.passive)


def feature_layers(net):
    """{number: layer object} of all layers of features, the scores left out.

    A net whose layers have other names has its modules below the classifier, counted from 1.
    """
    numbers, weighted = layer_numbers(net), [name for name, layer in net.layers if layer.params]
    if set(weighted) <= {*numbers.values(), net.output}:
        layers = {int(number): feature_layer(net, number) for number in numbers}
        return {number: name for number, name in layers.items() if name != net.output}
    places = {name: place for place, name in enumerate(net.nodes)}
    objects = dict.fromkeys(feature_layer(net, module) for module in modules(net))
    below = [name for name in objects if places[name] < places[weighted[-1]]]
    return dict(enumerate(below, 1))


def write(subject, layer, split, path, batch=128, progress=True):
    """Write the features of a layer for `split` ("train" or "val") to `path`; the attributes of the
    file, a dict.
    """
    net, pictures, path = subject.net, getattr(subject.data, split), Path(path)
    if not len(pictures):
        raise RawconvError(f"{subject.data.source} has no {split} pictures.")
    name = feature_layer(net, layer)
    origin = {
        "format": FORMAT, "version": VERSION, "layer": str(layer), "object": name, "shape": list(net.shapes[name]),
        "model": net.model, "weights": str(subject.weights), "weights_sha256": fingerprint(net),
        "data": subject.data.source, "split": split, "data_key": data_key(subject.data.source, pictures),
        "device": str(subject.device),
    }  # fmt: skip
    with locked(path):
        return _write(
            _Source(net, name, pictures, subject.data.classes), origin, path, batch, progress
        )


class _Source(NamedTuple):
    """Where features come from: a net, its layer object, a Split and the names of its classes."""

    net: Net
    layer: str
    images: Split
    classes: list


def _write(source, origin, path, batch, progress):
    part, note = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.json")
    try:
        done = _noted(part, note, origin)
        if done is None:
            done = 0
            note.unlink(missing_ok=True)  # first: or it would be believed of the new file
            _begin(part, origin, source.images, source.classes)
        with hdf5(part, "r+", libver=("v108", "v108")) as file:
            _fill(file, note, origin, done, source, batch, progress)
        with open(part, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        note.unlink(missing_ok=True)
    except OSError as error:
        raise unwritten(path, error) from error
    return origin | {"pictures": len(source.images)}


def _begin(part, origin, pictures, classes):
    """The file with all but its features, whose place is reserved: from here on only rows are
    written into it.
    """
    with hdf5(part, "w", libver=("v108", "v108")) as file:
        for key, value in origin.items():
            file.attrs[key] = fixed_text(value) if isinstance(value, str) else value
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((len(pictures), int(np.prod(origin["shape"]))))
        h5py.h5d.create(file.id, b"features", h5py.h5t.IEEE_F32LE, space, plist)
        file["labels"] = pictures.labels.astype("<i8")
        file["names"], file["classes"] = _texts(pictures.names), _texts(classes)


def _texts(names):
    names = [name.encode("utf-8", "surrogateescape") for name in names]
    return np.array(names, h5py.string_dtype("utf-8", max(map(len, [b"-", *names]))))


def _noted(part, note, origin):
    """How many rows an interrupted run with the same attributes has written; None without one."""
    try:
        with open_regular(note, "r") as file:
            head, _, done = file.read().rpartition("\n")
    except OSError:
        return None
    return int(done) if head == json_text(origin) and done.isdecimal() and part.is_file() else None


def _fill(file, note, origin, done, source, batch, progress):
    rows, last = file["features"], time.monotonic()

    def keep():
        file.flush()
        replace_file(note, f"{json_text(origin)}\n{done}".encode())

    with progress_bar(len(source.images), source.layer, done=done, show=progress, stay=True) as bar:
        try:
            for _, some, _ in batches(source.images, batch, start=done):
                rows[done : done + len(some)] = _rows(source.net, some, source.layer)
                done += len(some)
                bar.update(len(some))
                if time.monotonic() - last > KEEP_SECONDS:
                    keep()
                    last = time.monotonic()
        finally:
            keep()


def _rows(net, pictures, name):
    y, _ = net.forward(preprocess(net, pictures), name, keep=False)
    return to_cpu(y.reshape(len(pictures), -1).astype(array_module(y).float32))


def read(path):
    """(features (N, d), labels, names, classes, attributes) of such a file, for a notebook.

    UsageError where it is not there, RawconvError where it is something else.
    """
    if not os.path.isfile(path):
        raise UsageError(f"There is no file {path}; write one with rawconv-experiment features.")
    try:
        with hdf5(path) as file:
            if file.attrs.get("format") != FORMAT.encode():
                raise RawconvError(
                    f"{path} holds no features; write one with rawconv-experiment features."
                )
            texts = [
                [name.decode("utf-8", "surrogateescape") for name in file[key]]
                for key in ("names", "classes")
            ]
            origin = {
                k: v.decode() if isinstance(v, bytes) else np.asarray(v).tolist()
                for k, v in file.attrs.items()
            }
            return file["features"][...], file["labels"][...], *texts, origin
    except (OSError, KeyError) as error:
        raise RawconvError(
            f"{path} is damaged or no HDF5 file ({error}); write it again."
        ) from error
