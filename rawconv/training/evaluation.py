"""How well a net answers: accuracies from 1 or 10 crops, which class it takes for which, and where
it is most wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data.augment import prepare, ten_views
from ..data.batches import batches, in_turn
from ..files.csv_text import csv_text
from ..files.png import write_png
from ..files.progress import progress_bar
from ..files.storage import replace_file
from ..layers.softmax import loss_and_hits, sum_of_images
from ..machine.arrays import HostToDevice, to_cpu
from ..machine.communicator import SingleProcess
from .step import METRICS

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import numpy.typing as npt

    from ..data.dataset import Split
    from ..machine.arrays import Device
    from ..machine.communicator import Ranks
    from ..net import Net

WORST = 40  # mistakes that are drawn
VIEWS: dict[int, Callable[..., Any]] = {1: prepare, 10: ten_views}


def evaluate(
    net: Net, split: Split, device: Device, ranks: Ranks | None = None, batch: int = 250
) -> dict[str, Any]:
    """Return {"loss", "top1", "top5"} of a split, from the centre crop of each image, means over
    the images; "balanced_top1", the mean of the classes' top-1; and "per_class", the top-1 of each
    class, None where a class has no image.
    """
    ranks, sums, upload = ranks or SingleProcess(), device.put(np.zeros(3)), HostToDevice(device)
    answered = []  # (ids, what is told of each image, on the device: reading waits for it)
    for ids, images, labels in batches(split, batch, shard=ranks.shard):
        if not len(labels):
            continue  # the other processes have them all
        images, labels = upload(images), device.put(labels)
        logits, _ = net.forward(
            prepare(images, net.mean_for(images), net.shape[:2], dtype=net.dtype), keep=False
        )
        told, _ = loss_and_hits(logits, labels)
        sums += sum_of_images(told)
        answered.append((ids, told))
    right = np.zeros(len(split), np.int64)
    for ids, told in answered:
        right[ids] = to_cpu(told)[:, 1]
    means = dict(zip(METRICS, (ranks.sum(to_cpu(sums)) / len(split)).tolist(), strict=True))
    accuracies = per_class(split.labels, ranks.sum(right), net.shapes[net.output][2])
    return means | {"balanced_top1": balanced_top1(accuracies), "per_class": accuracies}


class Answers(NamedTuple):
    """Of every image of a split, (N,) each.

    own: log p of its class.  best: the class answered; sure: its log p.  above: how many classes
    have a higher p than its own.  own and sure are float64, best and above int64.
    """

    own: np.ndarray
    best: np.ndarray
    sure: np.ndarray
    above: np.ndarray


@np.errstate(over="ignore", invalid="ignore")  # runs.test tells in words what is not finite
def answer(
    net: Net,
    split: Split,
    device: Device,
    views: int = 1,
    ranks: Ranks | None = None,
    progress: bool = False,
) -> Answers:
    """Ask the net, which is on `device`, for the class of every image of a split.

    views: 1, the centre crop, or 10, the corners, the centre and their mirror images, whose
    probabilities are averaged (Krizhevsky 2012; Zeiler & Fergus 2013, section 4.1).  ranks:
    processes that share the images; they find what one finds, bit for bit.
    """
    ranks, table, size = ranks or SingleProcess(), np.zeros((4, len(split))), 250 // views
    parts = batches(split, size, prefetch=2 * ranks.size, shard=in_turn(ranks, size))
    with progress_bar(len(split), "test", show=progress) as bar:
        for number, (ids, images, labels) in enumerate(parts):
            bar.update(min(size, len(split) - number * size))
            if not len(ids):
                continue  # another process has this batch
            x = VIEWS[views](device.put(images), net.pixel_mean, net.shape[:2], dtype=net.dtype)
            logits, _ = net.forward(x, keep=False)
            table[:, ids] = _answers(to_cpu(logits).reshape(len(ids), views, -1), labels)
    own, best, sure, above = ranks.sum(table)
    return Answers(own, best.astype(np.int64), sure, above.astype(np.int64))


def _answers(
    logits: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the four rows of Answers from logits (n, views, K) and labels (n,)."""
    logits = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        logs = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
        # of the mean probability
        logs = np.logaddexp.reduce(logs, axis=1) - np.log(logits.shape[1])
    rows, best = np.arange(len(labels)), logs.argmax(axis=1)
    own = logs[rows, labels]
    above = (~(logs < own[:, None])).sum(axis=1) - 1  # a NaN is a miss
    return own, best, logs[rows, best], above


def measures(answers: Answers) -> dict[str, float]:
    """Return {"loss", "top1", "top5"}, means over the images."""
    means = {
        "loss": -answers.own.mean(),
        "top1": (answers.above < 1).mean(),
        "top5": (answers.above < 5).mean(),
    }
    return {name: float(value) for name, value in means.items()}


def per_class(labels: np.ndarray, right: npt.ArrayLike, classes: int) -> list[float | None]:
    """Return the top-1 accuracy of the images of each class, None for a class without images.

    labels (N,); right (N,): whether the class answered is the image's own.
    """
    counts, hits = (
        np.bincount(labels, values, classes) for values in (None, np.asarray(right, np.float64))
    )
    return [
        hit / count if count else None
        for hit, count in zip(hits.tolist(), counts.tolist(), strict=True)
    ]


def balanced_top1(accuracies: Sequence[float | None]) -> float:
    """Return the mean of `per_class`, which cannot be raised by guessing the most common class."""
    return float(np.mean([accuracy for accuracy in accuracies if accuracy is not None]))


def write_classes(
    path: str | os.PathLike[str],
    names: Sequence[str],
    accuracies: Sequence[float | None],
    **splits: Split,
) -> None:
    """Write a table: a row for each class, its number of images in each split, its accuracy in the
    last one.
    """
    rows = [["class", *(f"{name}_pictures" for name in splits), "top1"]]
    counts = [np.bincount(split.labels, minlength=len(names)).tolist() for split in splits.values()]
    for name, *row, accuracy in zip(names, *counts, accuracies, strict=True):
        rows.append([name, *row, "" if accuracy is None else f"{accuracy:.4f}"])
    replace_file(path, csv_text(rows).encode())


def lowest(names: Sequence[str], accuracies: Sequence[float | None], most: int = 3) -> str:
    """Return a sentence that names the classes with the lowest accuracy."""
    known = [k for k, accuracy in enumerate(accuracies) if accuracy is not None]
    worst = sorted(known, key=lambda k: accuracies[k] or 0.0)[:most]
    return "lowest top-1 of a class: " + ", ".join(f"{names[k]} {accuracies[k]:.1%}" for k in worst)


def confusion(labels: np.ndarray, answers: Answers, classes: int) -> np.ndarray:
    """Return counts[k, j]: how many images of class k were taken for class j.  int64 (K, K)."""
    return np.bincount(labels * classes + answers.best, minlength=classes * classes).reshape(
        classes, classes
    )


def confused(counts: np.ndarray, most: int = 3) -> list[tuple[int, int, int]]:
    """Return [(class, taken for, how often)], the most frequent mistakes first."""
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    return [
        (k, j, int(wrong[k, j]))
        for k, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[k, j]
    ]


def mistakes(labels: np.ndarray, answers: Answers, most: int = WORST) -> np.ndarray:
    """Return the ids of images that were taken for another class, the least probability of their
    own class first.
    """
    wrong = np.flatnonzero(answers.best != labels)
    return wrong[np.argsort(answers.own[wrong], kind="stable")][:most]


def write(
    folder: Path, split: Split, classes: Sequence[str], answers: Answers, results: dict[str, Any]
) -> dict[str, str]:
    """Write test.json, confusion.csv, confusion.png, classes.csv and, if there are mistakes,
    mistakes.png into `folder`; return their paths.
    """
    from ..report.confusion import draw_confusion

    counts = confusion(split.labels, answers, len(classes))
    files = {
        "confusion": "confusion.csv",
        "confusion_picture": "confusion.png",
        "classes": "classes.csv",
    }
    write_classes(
        folder / "classes.csv",
        classes,
        per_class(split.labels, answers.above < 1, len(classes)),
        test=split,
    )
    rows = [[name, *row] for name, row in zip(classes, counts.tolist(), strict=True)]
    replace_file(
        folder / "confusion.csv", csv_text([["true class \\ answer", *classes], *rows]).encode()
    )
    replace_file(folder / "confusion.png", draw_confusion(counts, classes, results))
    worst = mistakes(split.labels, answers)
    if len(worst):
        files["mistakes"] = "mistakes.png"
        write_png(folder / "mistakes.png", _draw_mistakes(split, classes, answers, worst, results))
    paths = {name: str(folder / file) for name, file in files.items()}
    replace_file(folder / "test.json", json.dumps(results | paths, indent=1).encode())
    return paths


def _draw_mistakes(
    split: Split,
    classes: Sequence[str],
    answers: Answers,
    worst: np.ndarray,
    results: dict[str, Any],
) -> Any:
    from ..report.gallery import Tile, gallery

    tiles = [
        Tile(
            pixels,
            f"{classes[answers.best[i]]} {np.exp(answers.sure[i]):.0%}",
            f"is {classes[split.labels[i]]}",
        )
        for i, pixels in zip(worst, split.read(worst), strict=True)
    ]
    count = int((answers.best != split.labels).sum())
    subtitle = f"The {len(worst)} worst of {count} mistakes on {len(split)} pictures; top-1 {results['top1']:.1%}"
    legend = "Below each picture the class answered, with its probability, and the class it is. Most wrong first."
    return gallery(tiles, "Worst mistakes", subtitle, legend)
