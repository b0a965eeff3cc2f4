"""A training run: epochs over a data set, and everything that the user sees and that is written.

All random numbers are functions of (seed, epoch, sample id), so that an interrupted run continues
bit for bit from its checkpoint, which holds the weights, the momentum and the position in the
epoch.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checkpoint, soundness
from ..data.augment import prepare
from ..data.batches import batches
from ..data.identity import fingerprint
from ..data.sources import absolute
from ..errors import RawconvError
from ..files.progress import progress_bar
from ..files.signals import raise_again, stoppable
from ..machine.arrays import HostToDevice, array_module, to_cpu
from ..machine.communicator import SingleProcess
from . import diagnostics
from .evaluation import evaluate, write_classes
from .log import LISTS, line, read_log, write_log
from .memory_model import check_batch
from .optimizer import SGD, Schedule
from .release import release
from .step import METRICS, train_step
from .step_graph import StepGraph, check_graph

if TYPE_CHECKING:
    from pathlib import Path

    from tqdm import tqdm

    from ..data.dataset import DataSet
    from ..files.messages import Say
    from ..machine.arrays import Array, Device
    from ..machine.communicator import Ranks
    from ..net import Net
    from .log import Row
    from .recipes import Recipe

SNAPSHOTS = (1, 2, 5, 10, 20, 30, 40, 64)  # epochs kept for Fig. 4
# of a row of the log: of an epoch, and the share of it spent waiting for pictures
TIMES = ("seconds", "wait")
READ = 10  # steps between two readings of the running sums, which wait for the device


@np.errstate(over="ignore", invalid="ignore")  # a loss that is no number is told in words
def train(
    net: Net,
    data: DataSet,
    recipe: Recipe,
    folder: Path,
    device: Device,
    seed: int = 0,
    resume: dict[str, Any] | None = None,
    progress: bool = True,
    say: Say = print,
    ranks: Ranks | None = None,
    minutes: float = 10,
    watch: bool = False,
    graph: bool = False,
) -> list[Row]:
    """Train `net` in place by `recipe`; write checkpoints, log and curves into `folder`; return the
    rows of the log.

    data: its train and val splits are used.  device: where the net is moved to.
    seed: of the order of the images, the crops and the dropout masks.
    resume: the state of a checkpoint that `train` wrote; the run then ends as if it had never been
    interrupted.
    progress: False shows no bar, and no line after an epoch.
    say: called with each message.  minutes: between two checkpoints.
    ranks: the processes that share each batch (communicator.py); the first one writes.
    watch: log the update ratio and the dead channels of every layer (diagnostics.py).
    graph: on a GPU, launch most of a step as one CUDA graph (step_graph.py).
    UsageError: a batch does not fit into memory.  RawconvError: the loss is no longer a number, or
    grows without bound.
    KeyboardInterrupt: after Ctrl-C, when everything is saved.
    """
    diagnostics.check_data(data)
    diagnostics.warn_if_sorted(data.train, recipe.batch, seed, say)
    if not recipe.class_weights:
        diagnostics.warn_if_unbalanced(data.train, data.classes, say)
    ranks = ranks or SingleProcess()
    check_batch(net, recipe, len(data.train), device, ranks, resume is not None)
    run = _Run(net.to(device), data, recipe, folder, device, seed, ranks)
    run.begin(resume)
    if graph:
        check_graph(device, ranks)
        run.gradients = StepGraph(say)
    ranks.check_same(
        weights_digest(net),
        "The processes begin with different weights; give all the same options and the same --resume file.",
    )
    total, done = (
        recipe.epochs * len(data.train),
        run.at["epoch"] * len(data.train) + run.at["position"],
    )
    shown, words = progress and run.writes, "the first step compiles its loops on a new machine"
    bar = progress_bar(total, words, done=done, show=shown, stay=True)
    with bar, stoppable() as stop:
        if run.goes_on():
            # so that a run that is killed in its first epoch resumes as well, and keeps a new rate
            run.save("last.h5")
        while run.goes_on() and not run.stopped:
            row = run.epoch(bar, stop, minutes * 60, watch, say)
            if row and shown:
                bar.write(line(row, recipe.epochs), file=sys.stderr)
        if run.stopped:
            saved = (
                "saved"
                if run.save_within_epoch()
                else "not saved, since the loss is far above that of guessing"
            )
            say(f"Interrupted and {saved}; go on with: rawconv-train --resume {folder}")
    if run.stopped:
        ranks.interrupted = True
        raise_again(stop)
    if run.at["epoch"] < recipe.epochs:
        say(_stopped_early(run.at["epoch"], recipe.epochs))
    return run.rows


def _stopped_early(epoch: int, epochs: int) -> str:
    """Return the message for a run that stops early, which names the snapshots that are missing for it."""
    missing = [str(number) for number in SNAPSHOTS if epoch < number <= epochs]
    text = f"Stopped early, after epoch {epoch} of {epochs}: the learning rate was cut three times without a better "
    text += "validation accuracy."
    if missing:
        text += f" There will be no snapshots of epochs {', '.join(missing)}; --schedule step goes on to the end."
    return text


class _Run:
    """What changes during `train`: the optimiser, the schedule, the rows of the log, and `at`, the
    position in the run.
    """

    def __init__(
        self,
        net: Net,
        data: DataSet,
        recipe: Recipe,
        folder: Path,
        device: Device,
        seed: int,
        ranks: Ranks,
    ) -> None:
        self.net, self.data, self.recipe, self.folder = net, data, recipe, folder
        self.device, self.seed, self.ranks, self.writes = device, seed, ranks, ranks.rank == 0
        self.optimizer = SGD(
            net,
            recipe.momentum,
            recipe.weight_decay,
            recipe.max_filter_rms,
            recipe.layer_rates(net),
        )
        if len(recipe.class_weights) not in (0, len(data.classes)):
            raise RawconvError(
                f"There are {len(recipe.class_weights)} class weights for {len(data.classes)} classes."
            )
        self.weights = (
            device.put(np.array(recipe.class_weights, net.dtype)) if recipe.class_weights else None
        )
        self.schedule = Schedule(recipe.schedule, recipe.lr, recipe.epochs, recipe.warmup)
        self.at: dict[str, Any] = {
            "epoch": 0,
            "position": 0,
            "sums": [0.0, 0.0, 0.0],
            "best": -1.0,
            "schedule": self.schedule.state,
        }
        self.classes = len(data.classes)
        # waited: seconds of this epoch for pictures that were not read yet
        self.stopped, self.waited = False, 0.0
        self.gradients: StepGraph | None = None
        self.going = True
        self.rows: list[Row] = []
        self.first = 0.0  # the loss of the first images of this epoch
        self.epochs: list[
            tuple[float, dict[str, float]]
        ] = []  # (training loss, update ratios) of those that this process trained
        self.images = fingerprint(data) if self.writes else None

    def begin(self, resume: dict[str, Any] | None) -> None:
        """Take the state of a run that is resumed, if there is one, and its log."""
        if resume:
            self.at.update(resume["progress"])
            self.schedule.state = self.at["schedule"]
            self.optimizer.velocity = {
                key: self.device.put(value) for key, value in resume["momentum"].items()
            }
        self.going = self.schedule.state["cuts"] < self.schedule.CUTS
        self.rows = read_log(self.folder, self.at["epoch"])
        self.first = self.at["sums"][0] / max(1, self.at["position"])

    def save(self, name: str, state: bool = True) -> None:
        """Write a checkpoint into the run's folder, from the first process; state=False: the net alone."""
        if not self.writes:
            return
        rows = [{key: row[key] for key in row if key not in (*TIMES, *LISTS)} for row in self.rows]
        info = {
            "data": absolute(self.data.source),
            "recipe": self.recipe.to_json(),
            "seed": self.seed,
        }
        info |= {"history": rows, "options": options(self.net), "pictures": self.images}
        info["release"] = release()
        info |= {"wnids": list(self.data.wnids)} if any(self.data.wnids) else {}
        kept = {"momentum": self.optimizer.velocity, "progress": self.at} if state else None
        checkpoint.save(self.folder / name, self.net, info, kept)

    def save_within_epoch(self) -> bool:
        """Write last.h5 and return True; if the mean loss of the epoch so far diverges, leave it as
        it is and return False.
        """
        sound = (
            self.at["sums"][0]
            <= diagnostics.bound(self.classes, self.initial_loss()) * self.at["position"]
        )
        if sound:
            self.save("last.h5")
        return sound

    def goes_on(self) -> bool:
        """Return whether there are epochs left, and the schedule has not ended the run."""
        return self.going and self.at["epoch"] < self.recipe.epochs

    def epoch(
        self, bar: tqdm, stop: list[int], seconds: float, watch: bool, say: Say
    ) -> Row | None:
        """Train what is left of an epoch; test, log and save.  Return its row of the log, None if
        interrupted.
        """
        started = time.perf_counter()
        self.train_epoch(bar, stop, seconds, say)
        waited = self.waited / (time.perf_counter() - started)
        if self.at["position"] < len(self.data.train):
            return None
        row = self.finish_epoch(watch, say)
        diagnostics.refuse_divergence(
            row, self.rows, self.classes, self.folder, self.initial_loss()
        )
        self.going = self.schedule.after_epoch(row["val_top1"])
        self.log_epoch(
            row | {"seconds": round(time.perf_counter() - started, 3), "wait": round(waited, 4)}
        )
        return self.rows[-1]

    def train_epoch(self, bar: tqdm, stop: list[int], seconds: float, say: Say) -> None:
        """Take the steps from at["position"] to the end of the epoch, or to an interruption."""
        at, split, size = self.at, self.data.train, self.recipe.batch
        order, waiting, saved = (self.seed, at["epoch"]), [], time.monotonic()
        upload = HostToDevice(self.device)
        for ids, images, labels in self._timed(
            batches(split, size, order, at["position"], shard=self.ranks.shard)
        ):
            rate = self._rate(at["position"])
            count = min(size, len(split) - at["position"])  # of the whole batch, over all processes
            images, labels, rng_key = upload(images), self.device.put(labels), (*order, ids)
            sums = train_step(
                self.net, images, labels, rng_key, self.recipe.crop, self.optimizer, rate, self.ranks, count,
                self.recipe.pca_jitter, self.weights, self.gradients,
            )  # fmt: skip
            waiting.append(sums)
            at["position"] += count
            bar.desc = ""
            bar.update(count)
            self.stopped, due = self.ranks.any_rank(
                [bool(stop), time.monotonic() - saved > seconds]
            )
            step = at["position"] // size
            if step % READ == 0 or at["position"] == len(split) or self.stopped or due:
                self._read(waiting, images, rate)
                loss, top1, _ = (value / at["position"] for value in at["sums"])
                text = (
                    f"epoch {at['epoch'] + 1}/{self.recipe.epochs} loss {loss:.3f} top-1 {top1:.1%}"
                )
                bar.set_postfix_str(text, refresh=False)
                if step == diagnostics.PATIENCE:
                    diagnostics.warn_if_stuck(loss, len(self.net.classes), say)
            if self.stopped:
                break
            if due:
                self.save_within_epoch()
                saved = time.monotonic()

    def _rate(self, position: int) -> float:
        """Return the learning rate of the step that begins at this image of the epoch."""
        return self.schedule.rate(self.at["epoch"] + position / len(self.data.train))

    def _timed(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield the items; `waited` is how many seconds the steps waited for them."""
        self.waited, items = 0.0, iter(items)
        while True:
            started = time.perf_counter()
            item = next(items, None)
            self.waited += time.perf_counter() - started
            if item is None:
                return
            yield item

    def _read(self, waiting: list[Array], images: Array, rate: float) -> None:
        """Add the sums of the last steps, one by one, over all processes.  RawconvError: the loss
        is not a number.

        Step by step, so that the order of the summation does not depend on interruptions.
        """
        steps = self.ranks.sum(to_cpu(array_module(waiting[0]).stack(waiting)))
        waiting.clear()
        if not self.at["epoch"] and not self.first:
            self.first = steps[0, 0] / min(self.recipe.batch, len(self.data.train))
        for step in steps.tolist():
            self.at["sums"] = [old + new for old, new in zip(self.at["sums"], step, strict=True)]
        if np.isfinite(self.at["sums"][0]):
            return
        where = self._first_broken(images) if len(images) else ""
        after = f"in epoch {self.at['epoch'] + 1} after {self.at['position']} pictures"
        what = f"The loss became {self.at['sums'][0]} {after}{where}"
        raise diagnostics.diverged(
            what, rate, self.rows, self.classes, self.folder, self.initial_loss()
        )

    def initial_loss(self) -> float:
        """Return the loss with which this run began, for its bound; 0 once the first epoch has
        ended below that.
        """
        if not self.rows:
            return float(self.first) if np.isfinite(self.first) else 0.0
        return (
            self.rows[0]["train_loss"]
            if self.rows[0]["val_loss"] > diagnostics.bound(self.classes)
            else 0.0
        )

    def _first_broken(self, images: Array) -> str:
        return soundness.first_broken(
            self.net, prepare(images, self.net.pixel_mean, self.net.shape[:2], dtype=self.net.dtype)
        )

    def finish_epoch(self, watch: bool, say: Say) -> Row:
        """Validate, run the diagnostics, and move the position to the next epoch; return the row of
        the log.
        """
        at, net, size = self.at, self.net, self.recipe.batch
        # the last step's
        row = {
            "epoch": at["epoch"] + 1,
            "lr": self._rate((len(self.data.train) - 1) // size * size),
        }
        row |= {
            f"train_{name}": value / len(self.data.train)
            for name, value in zip(METRICS, at["sums"], strict=True)
        }
        if (since := self.schedule.state.get("since", 0)) > 0 and int(since) == at["epoch"]:
            row["lr_set_to"] = self.recipe.lr  # by hand, in this epoch
        row |= self._validation()
        at.update(epoch=at["epoch"] + 1, position=0, sums=[0.0, 0.0, 0.0])
        some = self.device.put(self.data.val.read(range(min(64, len(self.data.val)))))
        dead = diagnostics.dead_maps(
            net, prepare(some, net.pixel_mean, net.shape[:2], dtype=net.dtype)
        )
        ratios = diagnostics.update_ratios(net, self.optimizer.velocity)
        self.epochs.append((row["train_loss"], ratios))
        diagnostics.warn(net, self.epochs, dead, say)
        if at["epoch"] > 1:
            diagnostics.warn_if_stuck(row["train_loss"], len(net.classes), say)
        if watch:
            row |= {f"update_{name}": value for name, value in ratios.items()}
            row |= {f"dead_{name}": value for name, value in dead.items()}
        return row

    def _validation(self) -> Row:
        """Return the part of the log's row that is of the validation images."""
        measured = evaluate(self.net, self.data.val, self.device, self.ranks)
        measured["per_class"] = [
            share if share is None else round(share, 4) for share in measured["per_class"]
        ]
        return {f"val_{name}": value for name, value in measured.items()}

    def log_epoch(self, row: Row) -> None:
        """Append a row to the log and write everything that an epoch leaves: the tables, best.h5 if
        the validation top-1 is the best so far, and the snapshots of Fig. 4.

        last.h5 comes last.  A run that is killed before that resumes from the epoch before, and
        writes the other files again.
        """
        self.rows.append(row)
        if not self.writes:
            return
        write_log(self.folder, self.rows, self.recipe.epochs)
        accuracies, splits = row["val_per_class"], {"train": self.data.train, "val": self.data.val}
        write_classes(self.folder / "classes.csv", self.data.classes, accuracies, **splits)
        if row["val_top1"] > self.at["best"]:
            self.at["best"] = row["val_top1"]
            self.save("best.h5", state=False)
        if row["epoch"] in SNAPSHOTS:
            (self.folder / "snapshots").mkdir(exist_ok=True)
            self.save(f"snapshots/epoch-{row['epoch']:03d}.h5", state=False)
        self.save("last.h5")


def weights_digest(net: Net) -> bytes:
    """Return the SHA-256 of all weights."""
    return hashlib.sha256(
        b"".join(to_cpu(value).tobytes() for value in net.params.values())
    ).digest()


def options(net: Net) -> dict[str, Any]:
    """Return {"conv", "workspace" (MB)}, and "tf32" where it is on: how the net is computed, as far
    as that changes bits.
    """
    how = {"conv": net.execution.algorithm, "workspace": net.execution.workspace >> 20}
    return how | ({"tf32": True} if net.execution.tf32 else {})
