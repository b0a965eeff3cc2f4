"""One pass over a data set: the strongest units of every map.  Zeiler & Fergus 2013, figure 2.

    found = scan(net, data.val, ["conv4"], k=9)["conv4"]
    found.value[17], found.image[17]          the nine strongest activations of map 17, and where they are

Of each picture only the strongest place of a map counts, so the k are k different pictures.  Ranked
on the layer's output as projections see it (after the ReLU): by value, ties by picture.  Memory
does not grow with the data set.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data.dataset import Split
from ..data.images import check_count, split_of
from ..data.preprocessing import preprocess, stored_size
from ..errors import RawconvError, UsageError
from ..files.locks import holder, locked
from ..files.progress import progress_bar
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
from ..machine.arrays import array_module, to_cpu
from ..net import Net
from ..soundness import check_finite
from .units import Unit, layer_object

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..data.images import ImagesLike
    from ..files.messages import Say

FORMAT, KIND, VERSION = "rawconv-topk", "scan record", 2
DTYPES = {"image": "<i8", "y": "<i4", "x": "<i4", "label": "<i8"}
MOST_LAYERS = 1 << 10
KEEP_SECONDS = 30  # between two records of a scan that is under way


class TopActivations(NamedTuple):
    """Of one layer with F maps, strongest first, all (F, k): the activation, the picture's id, its
    place, its label.
    """

    value: np.ndarray
    image: np.ndarray
    y: np.ndarray
    x: np.ndarray
    label: np.ndarray

    def first(self, k: int) -> TopActivations:
        """Return the k strongest of them."""
        return TopActivations(*(column[:, :k] for column in self))

    def units(
        self, layer: str, channels: Iterable[int] | None = None, count: int | None = None
    ) -> list[Unit]:
        """Return the `count` strongest units of each of `channels`, by default all; their `image`
        is the sample's number.

        layer: the layer that was scanned, as users name it.
        """
        channels, count = (
            range(len(self.value)) if channels is None else channels,
            count or self.value.shape[1],
        )
        return [
            Unit(int(self.image[m, rank]), layer, int(m), int(self.y[m, rank]), int(self.x[m, rank]))
            for m in channels for rank in range(min(count, self.value.shape[1]))
        ]  # fmt: skip


def scan(
    net: Net,
    split: Split | ImagesLike,
    layers: str | Sequence[str],
    k: int = 9,
    batch: int = 128,
    progress: bool = True,
    resume_from: tuple[int, dict[str, Any]] = (0, {}),
    checkpoint_callback: Callable[[int, dict[str, Any]], object] = lambda position, tops: None,
) -> dict[str, TopActivations]:
    """Find the k images and positions that excite each feature map most: {layer as given: TopActivations}.

    split: of a data set; or a data set's name or folder, of which the validation images are taken;
    or images, one or several, as in images.py (label -1).  It is read in its own order.
    layers: names or objects; the deepest one ends the forward pass.  k: cut to the number of images.
    resume_from: (position, TopActivations) that an interrupted scan passed to checkpoint_callback,
    which is called every KEEP_SECONDS.
    UsageError: k or a layer does not exist.  RawconvError: there are no images.
    """
    from ..data.batches import batches

    check_count(k, "k")
    layers = [layers] if isinstance(layers, str) else layers
    split = split_of(split, stored_size(net))
    # How many pictures were seen and what was found in them: one value, or an interruption could
    # come between the two.
    state = resume_from[0], {layer_object(net, layer): None for layer in layers} | resume_from[1]
    last = time.monotonic()
    if not len(split):
        raise RawconvError("The data set has no pictures to scan.")
    with progress_bar(len(split), "scan", done=state[0], show=progress, stay=True) as bar:
        try:
            for ids, images, labels in batches(split, batch, start=state[0]):
                state = state[0] + len(ids), _scan_batch(net, images, ids, labels, state[1], k)
                bar.update(len(ids))
                if time.monotonic() - last > KEEP_SECONDS:
                    checkpoint_callback(*state)
                    last = time.monotonic()
        except KeyboardInterrupt:
            if state[0]:
                checkpoint_callback(*state)
            raise
    return {layer: state[1][layer_object(net, layer)] for layer in layers}


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is told in words
def _scan_batch(net, images, ids, labels, tops, k):
    """Return {layer object: TopActivations} of `tops` and one more batch."""
    new = {}
    for name, y, _ in net.up(preprocess(net, images), asked=tops):
        if name in tops:
            new[name] = _merge(tops[name], y, ids, labels, k)
            check_finite(net, new[name].value, preprocess(net, images))
            if len(new) == len(tops):
                break
    return new


def _merge(best, y, ids, labels, k):
    """The k strongest of `best` and a batch y (N, H, W, F).  Places are looked up for those alone
    that enter.
    """
    width, maps = y.shape[2:]
    flat = y.reshape(len(y), -1, maps)
    new = to_cpu(flat.max(axis=1)).T  # (F, N)
    old = np.empty((maps, 0), new.dtype) if best is None else best.value
    values = np.concatenate([old, new], axis=1)
    # earlier pictures stand first, so they win ties
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    fresh = order >= old.shape[1]
    map_of, rows = np.nonzero(fresh)[0], order[fresh] - old.shape[1]
    xp = array_module(y)
    # first in reading order
    place = to_cpu(flat[xp.asarray(rows), :, xp.asarray(map_of)].argmax(axis=1))

    def column(kept, entering, dtype):
        out = np.empty(order.shape, dtype)
        if best is not None:
            out[~fresh] = np.take_along_axis(kept, np.where(fresh, 0, order), axis=1)[~fresh]
        out[fresh] = entering
        return out

    _, image, top, left, label = best or [None] * 5
    return TopActivations(
        np.take_along_axis(values, order, axis=1),
        column(image, ids[rows], np.int64),
        column(top, place // width, np.int32),
        column(left, place % width, np.int32),
        column(label, labels[rows], np.int64),
    )


# ---------------------------------------------------------------------------------------------- kept for the next time


def fingerprint(net: Net) -> str:
    """SHA-256 of all that a scan depends on in a net: its sizes, layers, settings, weights and mean."""
    layers = [(name, type(layer).__name__, layer.settings) for name, layer in net.layers]
    digest = hashlib.sha256(repr((net.shape, net.stored, layers)).encode())
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
                file.create_dataset(f"{name}/{field}", data=column)
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
) -> dict[str, TopActivations] | None:
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
    for name in root.names(MOST_LAYERS):
        if name not in net.shapes:
            raise Wrong(f"is damaged: the net has no layer {name!r:.80}")
        columns[name] = _columns(root.group(name), net.shapes[name][2], len(split))
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


def _scan_or_resume(job, wanted):
    """`scan`, from where an interrupted one of the same layers stopped; its record is
    scan-<pictures seen>.hdf5.

    (What was found, the records to be removed when that is kept.)
    """
    resume_from, used = (0, {}), None
    for path in sorted(job.folder.parent.glob("*/scan-*.hdf5")):
        position = int(path.stem[5:]) if path.stem[5:].isdecimal() else 0
        if position <= resume_from[0] or holder(path.parent):  # that scan is under way
            continue
        tops = load(path, job.net, job.weights, job.part(position), job.split, job.say)
        if set(tops) == set(wanted):
            resume_from, used = (position, tops), path
    if used:
        job.say(f"Going on with the scan that was interrupted after {resume_from[0]:,} pictures.")
    kept = [used] if used else []

    def checkpoint_callback(position, tops):
        path = job.folder.resolve() / f"scan-{position}.hdf5"
        save(path, tops, job.weights, job.part(position))
        for other in kept:
            if other.resolve() != path:  # it is the same when nothing was added since
                other.unlink(missing_ok=True)
        kept[:] = [path]

    return scan(
        job.net, job.split, wanted, job.k, job.batch, job.progress, resume_from, checkpoint_callback
    ), kept


def scan_once(
    net: Net,
    source: str,
    split: Split,
    layers: Sequence[str],
    k: int,
    folder: Any,
    progress: bool = True,
    batch: int = 128,
    say: Say = lambda sentence: None,
) -> tuple[dict[str, TopActivations], Path | None]:
    """`scan`, but what an earlier visualisation of the same weights and pictures found is read from
    its topk.hdf5.

    Looks in `folder`, which must exist, and in the folders beside it; leaves all it knows in
    topk.hdf5 in `folder`. A scan that was interrupted goes on where it stopped, which `say` is
    told.
    source: names the data set.  Returns ({layer object: TopActivations}, the file that spared the
    scan, or None).
    RawconvError where another process is at work in `folder`.
    """
    names = list(dict.fromkeys(layer_object(net, layer) for layer in layers))
    k, weights, key = min(k, len(split)), fingerprint(net), data_key(source, split)
    job = _Job(net, split, k, batch, progress, Path(folder), weights, key, say)
    with locked(folder):
        return _scan_once(job, names)


class _Job(NamedTuple):
    """A scan whose record is kept in `folder`.  weights, key: what tells it from scans of other
    nets and pictures.
    """

    net: Net
    split: Split
    k: int
    batch: int
    progress: bool
    folder: Path
    weights: str
    key: str
    say: Callable[[str], object]

    def missing(self, names, known):
        return [name for name in names if name not in known or known[name].value.shape[1] < self.k]

    def part(self, position):
        """The key of the record of an interrupted scan."""
        return f"{self.key}, of these the first {position}, {self.k} each, by {self.batch}"


def _scan_once(job, names):
    own, records = job.folder / "topk.hdf5", []
    known, used, troubles = _recorded(job, names, own)
    if wanted := job.missing(names, known):
        for sentence in troubles[:1]:
            job.say(sentence)
        tops, records = _scan_or_resume(job, wanted)
        known |= tops
    save(own, known, job.weights, job.key)
    for path in records:
        path.unlink(missing_ok=True)
    return {name: known[name].first(job.k) for name in names}, used


def _recorded(job, names, own):
    """(what records tell, the one after which nothing was missing or None, sentences on those that
    could not be read).

    own: the record in the folder itself, of which all layers are taken.
    """
    known, troubles = {}, []
    for path in [own, *sorted(job.folder.parent.glob("*/topk.hdf5"))]:
        for name, tops in load(
            path, job.net, job.weights, job.key, job.split, troubles.append
        ).items():
            wider = name not in known or known[name].value.shape[1] < tops.value.shape[1]
            if wider and (name in names or path == own):
                known[name] = tops
        if not job.missing(names, known):
            return known, path, troubles
    return known, None, troubles
