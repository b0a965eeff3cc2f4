"""Test a checkpoint on a split of a data set: loss, top-1, top-5, and which classes it confuses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checkpoint, soundness
from ..data.class_match import matched
from ..data.preprocessing import preprocess
from ..data.sources import absolute
from ..data.subset import together
from ..errors import RawconvError
from ..files.run_folders import new_folder, result_folder
from . import evaluation
from .runs import choose_conv, limit_columns
from .trained_on import data_of

if TYPE_CHECKING:
    import os

    from ..data import DataSet
    from ..data.dataset import Split
    from ..files.messages import Say
    from ..machine.arrays import Device
    from ..machine.communicator import Ranks
    from ..net import Net


SPLITS = {
    "train": "training pictures",
    "val": "validation pictures",
    "test": "test pictures",
    "all": "pictures, all",
}


def test_checkpoint(
    weights: str | os.PathLike[str] | None,
    data: str | None,
    device: Device,
    say: Say = print,
    workspace: int = 256,
    conv: str = "auto",
    views: int = 1,
    out: str | os.PathLike[str] | None = None,
    ranks: Ranks | None = None,
    split: str | None = None,
) -> dict[str, Any]:
    """Test a checkpoint (by default the newest) on its own data set, or on another with the same classes.

    split: "train", "val", "test" or "all" of its images; by default those for validation; of a folder that
    has none, and that the net was not trained on, all. The results are written into the new
    folder `out`, by default beside the checkpoint; see evaluation.write.
    """
    file = weights or checkpoint.default()
    saved = checkpoint.load(file)
    soundness.check_scores(saved.net)
    own = data is None or absolute(data) == absolute(saved.info.get("data", ""))
    whole, test = split not in ("train", "val") and not own, split in ("test", "all")
    images = matched(
        data_of(saved.net, file, saved.info, data, whole, test), saved.net.classes, file,
        wnids=saved.info.get("wnids", ()),
    )  # fmt: skip
    split = split or ("all" if images.val is images.train else "val")
    tested = _tested_split(images, split)
    soundness.check_net(saved.net)
    choose_conv(saved.net, conv, device)
    limit_columns(saved.net, workspace)
    answers = evaluation.answer(saved.net.to(device), tested, device, views, ranks, progress=True)
    _check_answers(saved.net, tested, answers)
    results: dict[str, Any] = {
        "checkpoint": str(file),
        "data": images.source,
        "split": split,
        "pictures": len(tested),
    }
    accuracies = evaluation.per_class(tested.labels, answers.above < 1, len(images.classes))
    results |= {"views": views} | evaluation.measures(answers)
    results |= {"balanced_top1": evaluation.balanced_top1(accuracies)}
    results["per_class"] = dict(zip(images.classes, accuracies, strict=True))
    say(f"{file} on the {len(tested)} {SPLITS[split]} of {images.source}, views: {views}")
    say("loss {loss:.4f}  top-1 {top1:.2%}  top-5 {top5:.2%}".format(**results))
    say(evaluation.lowest(images.classes, accuracies))
    for k, j, count in evaluation.confused(
        evaluation.confusion(tested.labels, answers, len(images.classes))
    ):
        say(f"{images.classes[k]} taken for {images.classes[j]}: {count}")
    if ranks and ranks.rank:
        return results
    folder = (
        Path(out) if out else new_folder(*result_folder(file, saved.net, images.source, "test"))
    )
    folder.mkdir(parents=True, exist_ok=True)
    return (
        {"folder": str(folder)}
        | results
        | evaluation.write(folder, tested, images.classes, answers, results)
    )


def _check_answers(net: Net, split: Split, answers: evaluation.Answers) -> None:
    """RawconvError: an answer is not finite; it names the layer where that began."""
    odd = np.flatnonzero(~np.isfinite(answers.own))[:1]
    soundness.check_finite(net, answers.own, preprocess(net, split.read(odd)) if len(odd) else None)


def _tested_split(data: DataSet, split: str) -> Split:
    """Return the Split to be tested.  RawconvError: the data have no such split."""
    if split == "all":
        parts = [part for part in dict.fromkeys((data.train, data.val, data.test)) if part]
        return together(parts) if len(parts) > 1 else parts[0]
    chosen = getattr(data, split)
    if chosen is None:
        raise RawconvError(
            f"{data.source} has no pictures for tests; name --split train, val or all."
        )
    return chosen
