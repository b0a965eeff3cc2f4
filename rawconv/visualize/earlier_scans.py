"""A scan that takes over what earlier ones found: of the same net and images, complete or interrupted.

found, spared = scan_once(net, "scenes", data.val, ["conv4"], 9, "runs/zf64-scenes-1/visualize-2")
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..files.locks import holder, locked
from ..machine.communicator import Ranks, SingleProcess
from .scan_record import data_key, fingerprint, load, save
from .top_activations import TopActivations, scan
from .units import layer_object

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..data.dataset import Split
    from ..files.messages import Say
    from ..net import Net


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
    ranks: Ranks | None = None,
) -> tuple[dict[str, TopActivations], Path | None]:
    """`scan`, but what an earlier visualisation of the same weights and pictures found is read from
    its topk.hdf5.

    Looks in `folder`, which must exist, and in the folders beside it; leaves all it knows in
    topk.hdf5 in `folder`. A scan that was interrupted goes on where it stopped, which `say` is
    told.
    source: names the data set.  Returns ({layer object: TopActivations}, the file that spared the
    scan, or None).
    ranks: processes that share the scan, as in `scan`; the first one reads and writes.
    RawconvError where another process is at work in `folder`, or the ranks look into different nets
    or images.
    """
    ranks = ranks or SingleProcess()
    names = list(dict.fromkeys(layer_object(net, layer) for layer in layers))
    k, weights, key = min(k, len(split)), fingerprint(net), data_key(source, split)
    job = _Job(net, split, k, batch, progress, Path(folder), weights, key, say, ranks)
    ranks.check_same(
        (weights, key),
        "The processes look into different nets or pictures; give all the same options and the same files.",
    )
    with contextlib.nullcontext() if ranks.rank else locked(folder):
        return _scan_once(job, names)


def recorded(
    net: Net, source: str, split: Split, layers: Sequence[str], k: int, root: Any
) -> dict[str, TopActivations]:
    """Read what earlier scans of the same net and pictures found, from topk.hdf5 in the folders of `root`.

    {layer object: TopActivations} of those of `layers` that were scanned for `k` at least.
    """
    names = list(dict.fromkeys(layer_object(net, layer) for layer in layers))
    k, weights, key = min(k, len(split)), fingerprint(net), data_key(source, split)
    folder = Path(root) / "none"  # only the folders beside it are looked into
    job = _Job(net, split, k, 0, False, folder, weights, key, lambda _: None, SingleProcess())
    known, _, _ = _recorded(job, names, folder / "topk.hdf5")
    missing = job.missing(names, known)
    return {name: known[name].first(k) for name in names if name not in missing}


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
    ranks: Ranks

    def of_first(self, function, *arguments):
        """What the function returns in the first process, in every process: it reads files."""
        ranks = self.ranks
        return ranks.broadcast(None if ranks.rank else function(self, *arguments))

    def missing(self, names, known):
        return [name for name in names if name not in known or known[name].value.shape[1] < self.k]

    def part(self, position):
        """The key of the record of an interrupted scan."""
        return f"{self.key}, of these the first {position}, {self.k} each, by {self.batch}"


def _scan_once(job, names):
    own, records = job.folder / "topk.hdf5", []
    known, used, troubles = job.of_first(_recorded, names, own)
    if wanted := job.missing(names, known):
        for sentence in troubles[:1]:
            job.say(sentence)
        tops, records = _scan_or_resume(job, wanted)
        known |= tops
    if job.ranks.rank == 0:
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


def _scan_or_resume(job, wanted):
    """`scan`, from where an interrupted one of the same layers stopped: (what was found, the records
    to be removed when that is kept).
    """
    resume_from, used = job.of_first(_interrupted, wanted)
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
        job.net, job.split, wanted, job.k, job.batch, job.progress, resume_from, checkpoint_callback, job.ranks
    ), kept  # fmt: skip


def _interrupted(job, wanted):
    """((position, TopActivations), the record, scan-<position>.hdf5) of the scan of these layers that
    came furthest; ((0, {}), None) where there is none.
    """
    resume_from, used = (0, {}), None
    for path in sorted(job.folder.parent.glob("*/scan-*.hdf5")):
        position = int(path.stem[5:]) if path.stem[5:].isdecimal() else 0
        if position <= resume_from[0] or holder(path.parent):  # that scan is under way
            continue
        tops = load(path, job.net, job.weights, job.part(position), job.split, job.say)
        if set(tops) == set(wanted):
            resume_from, used = (position, tops), path
    return resume_from, used
