"""What a scan found, in a file: topk.hdf5, sealed as checkpoints are.

    save("out/topk.hdf5", tops, fingerprint(net), data_key("scenes", split))
    tops = load("out/topk.hdf5", net, fingerprint(net), data_key("scenes", split), split)      {} if of other ones

Equal results are equal bytes.  Nothing that the file says is trusted.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UsageError
from ..files.hdf5_names import escape_name, plain_name
from ..files.storage import (
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
from ..machine.arrays import to_cpu
from ..net import IMAGE
from .top_activations import TopActivations

if TYPE_CHECKING:
    import os

    from ..data.dataset import Split
    from ..files.messages import Say
    from ..net import Net

FORMAT, KIND, VERSION = "rawconv-topk", "scan record", 2
DTYPES = {"image": "<i8", "y": "<i4", "x": "<i4", "label": "<i8"}
MOST_LAYERS = 1 << 10


def fingerprint(net: Net) -> str:
    """SHA-256 of all that a scan depends on in a net: its sizes, layers, what they take that is not
    the one before, settings, weights and mean.
    """
    layers = [(name, type(layer).__name__, layer.settings) for name, layer in net.layers]
    digest = hashlib.sha256(repr((net.shape, net.stored, layers)).encode())
    befores = [IMAGE, *net.nodes]
    for (name, _, inputs), before in zip(net.nodes.values(), befores, strict=False):
        if inputs != (before,):
            digest.update(repr((name, inputs)).encode())
    for key, value in [*net.params.items(), ("mean", net.pixel_mean)]:
        value = np.ascontiguousarray(to_cpu(value))
        digest.update(repr((key, value.shape, value.dtype.str)).encode() + value.tobytes())
    return digest.hexdigest()


def data_key(source: str, split: Split) -> str:
    """Return what identifies the scanned images: the source, their number, and a SHA-256 of their
    names and labels.
    """
    digest = hashlib.sha256(
        "\n".join(split.names).encode("utf-8", "surrogatepass")
        + np.asarray(split.labels, "<i8").tobytes()
    )
    return f"{source} {len(split)} {digest.hexdigest()}"


def save(
    path: str | os.PathLike[str], tops: dict[str, TopActivations], weights: str, data: str
) -> None:
    """Write the TopActivations of some layers to `path` (HDF5, sealed as checkpoints are), whole or
    not at all.
    """
    image = io.BytesIO()
    # fixed: equal results, equal bytes
    with hdf5(image, "w", libver=("v108", "v108"), userblock_size=SEAL) as file:
        file.attrs.update(
            {key: fixed_text(text) for key, text in _facts(weights, data).items()}, version=VERSION
        )
        for name, strongest in sorted(tops.items()):
            for field, column in strongest._asdict().items():
                file.create_dataset(f"{escape_name(name)}/{field}", data=column)
    write_seal(image, KIND, VERSION)
    replace_file(path, image.getbuffer())


def _facts(weights, data):
    return {"format": FORMAT, "weights": weights, "data": data}


def load(
    path: str | os.PathLike[str],
    net: Net,
    weights: str,
    data: str,
    split: Split,
    say: Say = lambda sentence: None,
) -> dict[str, TopActivations]:
    """{layer object: TopActivations} of an earlier scan of these weights and these pictures; {} if of others.

    A file that is damaged, or of an older rawconv, counts as none, which `say` is told: a scan can
    be made again.
    """
    try:
        with open_file(path, "topk.hdf5") as file:
            size = check_seal(file, KIND, _check_version)
            with hdf5(file) as root:
                return _read(Group(root, size), net, split, _facts(weights, data))
    except UsageError:  # there is none
        return {}
    except Exception as error:  # HDF5 complains in every type there is
        what = (
            str(error)
            if isinstance(error, Wrong)
            else f"cannot be read ({' '.join(str(error).split())[:200]})"
        )
        say(f"{path} {what}; the pictures are scanned anew.")
        return {}


def _check_version(version):
    if version != VERSION:
        raise Wrong(
            f"is a scan record of version {version}, and this rawconv reads version {VERSION}"
        )


def _read(root, net, split, facts):
    _check_version(root.integers("version", ()))
    if any(root.text(key) != text for key, text in facts.items()):
        return {}
    columns, tops = {}, {}
    for group in root.names(MOST_LAYERS):
        name = plain_name(group)
        if name not in net.shapes:
            raise Wrong(f"is damaged: the net has no layer {name!r:.80}")
        columns[name] = _columns(root.group(group), net.shapes[name][2], len(split))
    root.check_total()
    for name, parts in columns.items():
        tops[name] = TopActivations(*(part.read() for part in parts))
        if not _sound(tops[name], net.shapes[name], split):
            raise Wrong(f"is damaged: the pictures or places of {name} cannot be")
    return tops


def _columns(group, maps, count):
    """The datasets of a layer with so many maps, over `count` images, as a TopActivations."""
    value = group.numbers("value")
    if len(value.shape) != 2 or value.shape[0] != maps or not 1 <= value.shape[1] <= count:
        raise Wrong(f"is damaged: it has {value.name} of shape {value.shape}")
    others = [group.numbers(field, value.shape, np.dtype(dtype)) for field, dtype in DTYPES.items()]
    return TopActivations(value, *others)


def _sound(tops, shape, split):
    limits = zip((tops.image, tops.y, tops.x), (len(split), *shape[:2]), strict=True)
    inside = all((part >= 0).all() and (part < limit).all() for part, limit in limits)
    sorted_ = (tops.value[:, :-1] >= tops.value[:, 1:]).all()  # not so where there is a NaN
    return inside and sorted_ and (tops.label == split.labels[tops.image]).all()
