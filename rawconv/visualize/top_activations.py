"""One pass over a data set: the strongest units of every map.  Zeiler & Fergus 2013, figure 2.

    found = scan(net, data.val, ["conv4"], k=9)["conv4"]
    found.value[17], found.image[17]          the nine strongest activations of map 17, and where they are

Of each picture only the strongest place of a map counts, so the k are k different pictures.  Ranked
on the layer's output as projections see it (after the ReLU): by value, ties by picture.  Memory
does not grow with the data set.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data.dataset import Split
from ..data.images import check_count, split_of
from ..data.preprocessing import preprocess, stored_size
from ..errors import RawconvError
from ..files.progress import progress_bar
from ..machine.arrays import on_cpu, to_cpu
from ..machine.communicator import SingleProcess
from ..net import Net
from ..soundness import check_finite
from . import notebook_html
from .units import Unit, layer_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..data.images import ImagesLike
    from ..machine.communicator import Ranks

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

    def __repr__(self) -> str:
        return f"<TopActivations of {notebook_html.top_line(self)}>"

    def _repr_html_(self) -> str:
        return notebook_html.top_html(self)

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
    ranks: Ranks | None = None,
) -> dict[str, TopActivations]:
    """Find the k images and positions that excite each feature map most: {layer as given: TopActivations}.

    split: of a data set; or a data set's name or folder, of which the validation images are taken;
    or images, one or several, as in images.py (label -1).  It is read in its own order.
    layers: names or objects; the deepest one ends the forward pass.  k: cut to the number of images.
    resume_from: (position, TopActivations) that an interrupted scan passed to checkpoint_callback,
    which is called every KEEP_SECONDS.
    ranks: processes that take the batches in turn and find, each of them, what one finds, bit for
    bit; checkpoint_callback is called in the first.
    UsageError: k or a layer does not exist.  RawconvError: there are no images.
    """
    from ..data.batches import batches, in_turn

    check_count(k, "k")
    layers = [layers] if isinstance(layers, str) else layers
    ranks, split = ranks or SingleProcess(), split_of(split, stored_size(net))
    earlier = {} if ranks.rank else resume_from[1]
    start, tops = resume_from[0], {layer_object(net, layer): None for layer in layers} | earlier
    if not len(split):
        raise RawconvError("The data set has no pictures to scan.")
    parts = batches(split, batch, None, start, 2 * ranks.size, in_turn(ranks, batch))
    ends = _ends(range(start, len(split), batch), len(split), ranks.size)
    job = _Scan(net, k, zip(parts, ends, strict=True), checkpoint_callback, ranks)
    with progress_bar(len(split), "scan", done=start, show=progress, stay=True) as bar:
        tops = ranks.broadcast(_collect(ranks, _scan_rest(job, (start, tops), bar), k))
    return {layer: tops[layer_object(net, layer)] for layer in layers}


class _Scan(NamedTuple):
    """What a scan goes by.  parts: (a batch, its end of _ends), those that are left."""

    net: Net
    k: int
    parts: Iterable
    checkpoint_callback: Callable
    ranks: Ranks


def _ends(starts, total, size):
    """Of each batch (the images that were seen after it, whether `size` processes have each had one)."""
    batch = starts.step
    for start in starts:
        end = min(start + batch, total)
        yield end, end == total or (start // batch + 1) % size == 0


def _scan_rest(job, state, bar):
    """What this process found: {layer object: TopActivations}.

    state: how many images were seen and what was found in them: one value, or an interruption could
    come between the two.
    """
    ranks, last = job.ranks, time.monotonic()
    with ranks.interruptible() as stopped:
        try:
            for (ids, images, labels), (end, together) in job.parts:
                state = end, scan_batch(job.net, images, ids, labels, state[1], job.k)
                bar.update(end - bar.n)
                if not together:
                    continue  # other processes are at their batches
                stop, due = stopped(), ranks.any_rank([time.monotonic() - last > KEEP_SECONDS])[0]
                if stop or due:
                    state = end, _collect(ranks, state[1], job.k)
                    if ranks.rank == 0:
                        job.checkpoint_callback(*state)
                    last = time.monotonic()
                if stop:
                    break
        except KeyboardInterrupt:
            if state[0] and ranks.size == 1:
                job.checkpoint_callback(*state)
            raise
    return state[1]


def _collect(ranks, tops, k):
    """The TopActivations of all processes as the first one's: the others go on from none, or an
    image would count twice.
    """
    parts = ranks.gather(tops)
    if ranks.rank:
        return dict.fromkeys(tops)
    return {name: _strongest([part[name] for part in parts], k) for name in tops}


def _strongest(parts, k):
    """The k strongest of several TopActivations, or None, of a layer: by value, ties by image."""
    parts = [part for part in parts if part is not None]
    if len(parts) < 2:
        return parts[0] if parts else None
    every = TopActivations(
        *(np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True))
    )
    order = np.lexsort((every.image, -every.value), axis=1)[:, :k]
    return TopActivations(*(np.take_along_axis(column, order, axis=1) for column in every))


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is told in words
def scan_batch(
    net: Net,
    images: np.ndarray,
    ids: np.ndarray,
    labels: np.ndarray,
    tops: dict[str, Any],
    k: int,
    watch: Callable[[str, np.ndarray], object] | None = None,
) -> dict[str, Any]:
    """Return {layer object: TopActivations} of `tops` and one more batch, which may be another
    process's: without images.

    images: stored, uint8 (N, S, S, 3).  ids: their numbers in the split, (N,).  labels: (N,).
    tops: of the batches before, with None for a layer that has seen none.  k: how many are kept.
    watch: the function watch(layer object, peaks (N, F)), told the largest value of each map.
    """
    if not len(ids):
        return tops
    x, waiting = preprocess(net, images), []
    new: dict[str, Any] = {}
    for name, y, _ in net.up(x, asked=tops):
        if name in tops:
            flat = y.reshape(len(y), -1, y.shape[3])
            if on_cpu(y):
                # places are looked up for those alone that enter
                peaks, places = flat.max(axis=1), functools.partial(_first_place, flat)
                if watch:
                    watch(name, peaks)
                new[name] = _merge(tops[name], peaks, places, y.shape[2], ids, labels, k)
                check_finite(net, new[name].value, x)
            else:
                waiting.append((name, flat.max(axis=1), flat.argmax(axis=1), y.shape[2]))
            if len(new) + len(waiting) == len(tops):
                break
    for name, best, where, width in waiting:  # read once all is asked for: reading waits
        peaks = to_cpu(best)
        if watch:
            watch(name, peaks)
        new[name] = _merge(tops[name], peaks, to_cpu(where).__getitem__, width, ids, labels, k)
        check_finite(net, new[name].value, x)
    return new


def _first_place(flat, images_and_maps):
    """Where the largest value of these images and maps is, the first in reading order."""
    images, maps = images_and_maps
    return flat[images, :, maps].argmax(axis=1)


def _merge(best, peaks, places, width, ids, labels, k):
    """The k strongest of `best` and a batch.

    peaks (N, F): the largest values of its maps.  places: (images, maps) -> where these are, as
    row * width + column.
    """
    new = peaks.T
    old = np.empty((len(new), 0), new.dtype) if best is None else best.value
    values = np.concatenate([old, new], axis=1)
    # earlier pictures stand first, so they win ties
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    fresh = order >= old.shape[1]
    map_of, rows = np.nonzero(fresh)[0], order[fresh] - old.shape[1]
    place = places((rows, map_of))

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
