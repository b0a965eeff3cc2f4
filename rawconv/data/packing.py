"""Folders of images -> one packed file (packed.py), on all cores, with progress kept on the disk.

While it is written it is called OUT.partial: each image is written at its final position, and
OUT.partial.npz says, about once a minute, how far all that has reached the disk.  HDF5's own
structures are written last, around the images, so that a process that dies at any moment loses a
minute's work and damages nothing. Equal images, in whatever number of attempts, give equal bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..errors import RawconvError
from ..files.locks import locked
from ..files.messages import few, warn
from ..files.positioned import write_at
from ..files.progress import progress_bar
from ..files.signals import raise_again, stoppable
from ..files.storage import open_regular, replace_file, sync_folder
from ..machine.threads import thread_count
from . import decode, folder, splits
from .batches import permutation
from .dataset import check_classes
from .image_file import reasons, why
from .levels import Levels
from .packed import START, UNFINISHED, VERSION, Packed, images_per_chunk, write_seal
from .packed_structure import structure
from .sources import parse

if TYPE_CHECKING:
    from .sources import Source

BLOCK = 8  # files that a thread decodes at one go
SYNC = 60  # seconds between two notes of how far it came


def pack(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    size: int = 256,
    seed: int = 0,
    val: str | None = None,
    force: bool = False,
    progress: bool = True,
    say: Callable[[str], object] = print,
) -> dict[str, Any]:
    """Decode the images of a folder or zip of class folders into the file `out`; return a dict of
    what became of them.

    The smallest side is resized to `size` and the centre cut out (decode.py).  Training images are
    stored in random order, so that neighbours are of different classes.  An interrupted packing of
    the same files is continued.
    source, val: as in sources.py.  seed: of the order and of the tenth held out.
    force: discard an unfinished packing of other files.
    RawconvError: images are missing, the disk is too small, the unfinished packing is of other
    files, or another process is packing into `out`.
    """
    with locked(out):
        named = parse(str(source))
        plan = _Plan(named._replace(val=str(val)) if val else named, size, seed)
        return _work_off(_Work(plan, Path(out), force), progress, say)


def _work_off(work: _Work, progress: bool, say: Callable[[str], object]) -> dict[str, Any]:
    """Decode what is left and finish the file; return what became of the images.
    KeyboardInterrupt: saved before.
    """
    plan = work.plan
    began = time.perf_counter()
    with stoppable() as stop, open(work.partial, "r+b", buffering=0) as file:
        before = work.done
        work.fill(file, stop, progress)
        seconds = time.perf_counter() - began
        if stop:
            say(
                f"Interrupted and saved after {work.done} of {plan.count} files; the same command goes on."
            )
        else:
            facts = work.finish(file)
    if stop:
        raise_again(stop)
    return facts | {
        "files": plan.count,
        "seconds": seconds,
        "images_a_second": (plan.count - before) / seconds,
    }


class _Plan:
    """Which files become which images.  first: so many are for training.  key: tells this packing
    from others.
    """

    def __init__(self, source: Source, size: int, seed: int) -> None:
        self.source, self.size, self.seed, self.levels = (
            Path(source.path),
            size,
            seed,
            Levels.of(source.range),
        )
        contents = folder.find(source, seed)
        self.train, held = contents.train, contents.val
        self.wnids = [splits.wnid(name) for name in self.train.classes]
        (paths, labels), (others, more) = folder.flat(self.train), folder.flat(held)
        order = permutation(len(paths), seed, 0)
        self.files = [(self.train, paths[i]) for i in order] + [(held, path) for path in others]
        self.labels = np.array([labels[i] for i in order] + more, np.int32)
        self.first, self.count = len(paths), len(self.files)
        self.names = ["/".join(path) for _, path in self.files]
        self.classes = folder.class_names(list(self.train.classes))
        check_classes(source, self.classes)
        identity = [VERSION, size, self.first, self.names, self.labels.tolist(), self.classes]
        text = json.dumps(identity + [source.range] * bool(source.range))
        self.key = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()

    def decode(
        self, ids: Sequence[int]
    ) -> tuple[np.ndarray, list[int], dict[int, str], list[np.ndarray], np.ndarray]:
        """Decode files by number: (images uint8 (n, S, S, 3), their ids, {id of what is no image:
        why}, SHA-256 of each, the sum of those for training).
        """
        images = np.empty((len(ids), self.size, self.size, 3), np.uint8)
        kept: list[int] = []
        failed: dict[int, str] = {}
        for i in ids:
            files, path = self.files[i]
            try:
                with files.open_file(path) as file:
                    images[len(kept)] = decode.decode(file, self.size, self.levels)
                kept.append(i)
            except Exception as error:  # whatever a decoder stumbles over in a broken file
                failed[i] = why(error)
        images = images[: len(kept)]
        sha256 = [np.frombuffer(hashlib.sha256(image.data).digest(), np.uint8) for image in images]
        return (
            images,
            kept,
            failed,
            sha256,
            images[np.array(kept, int) < self.first].sum(axis=0, dtype=np.uint16),
        )


class _Work:
    """An unfinished packing: `done` files were tried; `kept`: those that are images; `failed`: why
    others are not.

    total: the sum of the training images, for the mean.
    """

    def __init__(self, plan: _Plan, out: Path, force: bool) -> None:
        self.plan, self.out = plan, out
        self.partial, self.note = Path(f"{out}.partial"), Path(f"{out}.partial.npz")
        self.bytes = plan.size * plan.size * 3
        self.done, self.total = 0, np.zeros((plan.size, plan.size, 3), np.int64)
        self.kept, self.sha256 = np.empty(0, np.int64), np.empty((0, 32), np.uint8)
        self.failed: dict[int, str] = {}
        if not self._resume(force):
            self.note.unlink(missing_ok=True)  # first: or it would be believed of the new file
            self.partial.write_bytes(UNFINISHED)
        self._check_space()

    def _resume(self, force: bool) -> bool:
        """Continue from the note; False where there is none."""
        if not (self.partial.exists() and self.note.exists()):
            return False
        with (
            contextlib.suppress(Exception),
            open_regular(self.note) as opened,
            np.load(opened) as note,
        ):
            if note["key"].item() == self.plan.key:
                if self.partial.stat().st_size < START + len(note["kept"]) * self.bytes:
                    return False  # the file was truncated
                self.failed = dict(
                    zip(note["failed"].tolist(), note["reasons"].tolist(), strict=True)
                )
                self.done, self.total = note["done"].item(), note["total"]
                self.kept, self.sha256 = note["kept"], note["sha256"]
                return True
        if not force:
            raise RawconvError(
                f"{self.partial} is the unfinished packing of other files or another size; finish that one, "
                "or add --force to throw it away."
            )
        return False

    def _check_space(self) -> None:
        """RawconvError now rather than hours later: the disk is too small."""
        here = self.partial.stat().st_size
        wanted, free = (
            START + self.plan.count * (self.bytes + 200) - here,
            shutil.disk_usage(self.out.parent).free,
        )
        if wanted > free:
            raise RawconvError(
                f"{self.plan.count} pictures of {self.plan.size}x{self.plan.size} take {wanted / 1e9:.1f} GB, and "
                f"{self.out.parent} has {free / 1e9:.1f} GB free; name a file on a larger disk, or a smaller --size."
            )

    def fill(self, file: IO[bytes], stop: list[int], progress: bool) -> None:
        """Decode the remaining files, until the end or until `stop` holds a signal; both leave a note."""
        saved = time.monotonic()
        kept: list[int] = []
        sha256: list[np.ndarray] = []
        with progress_bar(self.plan.count, "pack", done=self.done, show=progress, stay=True) as bar:
            for images, ids, failed, digests, total in self._decoded():
                _write(file, images, START + (len(self.kept) + len(kept)) * self.bytes)
                kept += ids
                sha256 += digests
                self.failed |= failed
                self.total += total
                self.done += len(ids) + len(failed)
                bar.update(len(ids) + len(failed))
                bar.set_postfix_str(
                    f"{len(self.failed)} unreadable" if self.failed else "", refresh=False
                )
                if stop:
                    break
                if time.monotonic() - saved > SYNC:
                    kept, sha256 = self._save(file, kept, sha256)
                    saved = time.monotonic()
            self._save(file, kept, sha256)

    def _decoded(
        self,
    ) -> Iterator[tuple[np.ndarray, list[int], dict[int, str], list[np.ndarray], np.ndarray]]:
        """Yield the results of _Plan.decode for all remaining blocks, in order, while a few more
        are being decoded.
        """
        waiting: deque[Future[Any]] = deque()
        pool = decode.pool()
        try:
            for start in range(self.done, self.plan.count, BLOCK):
                waiting.append(
                    pool.submit(self.plan.decode, range(start, min(start + BLOCK, self.plan.count)))
                )
                if len(waiting) > 4 * thread_count():
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                if not future.cancel():
                    future.exception()  # waits, so that nothing is read any more

    def _save(
        self, file: IO[bytes], kept: list[int], sha256: list[np.ndarray]
    ) -> tuple[list[int], list[np.ndarray]]:
        """Sync the images to the disk, then write the note; return two empty lists."""
        self.kept = np.concatenate([self.kept, np.array(kept, np.int64)])
        self.sha256 = np.concatenate([self.sha256, np.array(sha256, np.uint8).reshape(-1, 32)])
        os.fsync(file.fileno())
        note = io.BytesIO()
        np.savez(
            note, key=self.plan.key, done=self.done, total=self.total, kept=self.kept, sha256=self.sha256,
            failed=np.array(list(self.failed), np.int64), reasons=np.array(list(self.failed.values()), str),
        )  # fmt: skip
        replace_file(self.note, note.getbuffer())
        return [], []

    def _reasons(self) -> dict[str, str]:
        """Return {name of a file that is no image: why}."""
        return {self.plan.names[i]: reason for i, reason in self.failed.items()}

    def finish(self, file: IO[bytes]) -> dict[str, Any]:
        """Write HDF5's structures around the images and the seal, rename the file, and return the
        user's facts.
        """
        plan, train = self.plan, int((self.kept < self.plan.first).sum())
        try:
            folder.check_present(plan.source, plan.train, plan.labels[self.kept[:train]])
        except RawconvError as error:
            raise RawconvError(f"{error} {reasons(self._reasons().items())}.") from None
        if train == len(self.kept):
            raise RawconvError(
                f"{plan.source} has no readable validation picture; name others with --val."
            )
        names = [plan.names[i] for i in self.kept]
        labels, twice = plan.labels[self.kept], _duplicates(self.sha256)
        facts = {
            "source": plan.source.resolve().name, "seed": plan.seed,
            "unreadable": [plan.names[i] for i in self.failed],
            "duplicates": [[names[i] for i in group] for group in twice],
            **({"wnids": plan.wnids} if any(plan.wnids) else {}),
        }  # fmt: skip
        end = (
            START
            + -(-len(names) // images_per_chunk(plan.size))
            * images_per_chunk(plan.size)
            * self.bytes
        )
        file.truncate(START + len(names) * self.bytes)
        file.truncate(end)
        mean = (self.total / train).astype(np.float32)
        packed = Packed(
            str(self.out), plan.size, train, labels, plan.classes, names, self.sha256, mean, facts
        )
        head, tail = structure(self.partial, end, packed)
        _write(file, head, 0)
        _write(file, tail, end)
        with open(self.partial, "r+b") as sealed:
            write_seal(sealed, end)
        os.fsync(file.fileno())
        file.close()  # Windows does not rename an open file
        os.replace(self.partial, self.out)
        self.note.unlink()
        sync_folder(self.out.parent)
        parts = {
            "advice": plan.levels.advice(),
            "reasons": self._reasons(),
            "in_both_splits": sum(group[0] < train <= group[-1] for group in twice),
            "in_two_classes": sum(len(set(labels[group].tolist())) > 1 for group in twice),
        }
        return facts | parts | {"file": str(self.out), "train": train, "val": len(names) - train}


def _write(file: IO[bytes], data: Any, position: int) -> None:
    """Write all of `data`, an array or bytes, at this byte of an unbuffered file."""
    rest: Any = memoryview(data).cast("B") if len(data) else b""
    while rest:
        count = write_at(file.fileno(), rest, position)
        position, rest = position + count, rest[count:]


def _duplicates(sha256: np.ndarray) -> list[list[int]]:
    """Return [[numbers of images that are equal to the last byte], ...]."""
    numbers = defaultdict(list)
    for i, digest in enumerate(sha256):
        numbers[digest.tobytes()].append(i)
    return [group for group in numbers.values() if len(group) > 1]


def report(facts: dict[str, Any], say: Callable[[str], object] = warn) -> None:
    """Print what a user should know of a packing: files left out, and images that are there more
    than once.
    """
    unreadable, twice = facts["unreadable"], facts["duplicates"]
    if unreadable:
        why_not = reasons(facts["reasons"].items())
        say(
            f"{len(unreadable)} of {facts['files']} files are no readable pictures, left out: {why_not}."
        )
    if facts["advice"]:
        say(facts["advice"])
    if twice:
        extra = sum(map(len, twice)) - len(twice)
        say(
            f"Copies of other pictures, kept: {extra} ({few([' = '.join(group) for group in twice])})"
        )
    if facts["in_both_splits"]:
        say(
            f"Of these in training and in validation: {facts['in_both_splits']}; accuracies will be too good."
        )
    if facts["in_two_classes"]:
        say(f"Of these in two classes: {facts['in_two_classes']}; one of the labels is wrong.")
