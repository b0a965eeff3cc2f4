"""A training run: epochs over a data set, and all that a user sees and keeps of it.

Everything random is a pure function of (seed, epoch, sample id), so that an interrupted run goes on bit for bit from
its checkpoint, which holds the weights, the momentum and the position in the epoch.
"""

import sys
import time

import numpy as np

from .. import checkpoint, soundness
from ..data.augment import prepare
from ..data.batches import batches
from ..data.colour import shifts
from ..data.identity import fingerprint
from ..data.sources import absolute
from ..errors import RawconvError
from ..files.progress import progress_bar
from ..files.signals import raise_again, stoppable
from ..layers.softmax import softmax_cross_entropy
from ..machine.arrays import HostToDevice, array_module, on_cpu, to_cpu
from . import diagnostics
from .evaluation import balanced_top1, per_class, write_classes
from .log import LISTS, line, read_log, write_log
from .memory_model import check_batch
from .optimizer import SGD, Schedule
from .parallel import SingleProcess

SNAPSHOTS = (1, 2, 5, 10, 20, 30, 40, 64)  # epochs kept for Fig. 4
METRICS = ("loss", "top1", "top5")
TIMES = ("seconds", "wait")  # of a row of the log: of an epoch, and the share of it spent waiting for pictures
READ = 10  # steps between two readings of the running sums, which wait for the device


@np.errstate(over="ignore", invalid="ignore")  # a loss that is no number is told in words
def train(
    net, data, recipe, folder, device, seed=0, resume=None, progress=True, say=print,
    ranks=None, minutes=10, watch=False,
):  # fmt: skip
    """Train `net` in place by `recipe`, writing checkpoints, log and curves into `folder`; returns the log's rows.

    resume: the state of a checkpoint that `train` wrote; the run then ends as if it had never been interrupted.
    progress=False: no bar and no line an epoch.
    ranks: the processes that share each batch (parallel.py); the first of them writes.  minutes: between checkpoints.
    watch: log the update ratio and the dead maps of every layer (diagnostics.py).
    UsageError where a batch does not fit into memory.  RawconvError where the loss is no longer a number.
    KeyboardInterrupt after a Ctrl-C, when all is saved.
    """
    diagnostics.check_data(data)
    diagnostics.warn_if_sorted(data.train, recipe.batch, seed, say)
    if not recipe.class_weights:
        diagnostics.warn_if_unbalanced(data.train, data.classes, say)
    check_batch(net, recipe, len(data.train), device, ranks or SingleProcess(), resume is not None)
    run = _Run(net.to(device), data, recipe, folder, device, seed, ranks or SingleProcess(), resume)
    run.ranks.same(net)
    total, done = recipe.epochs * len(data.train), run.at["epoch"] * len(data.train) + run.at["position"]
    words = "the first step compiles its loops on a new machine"
    bar = progress_bar(total, words, done=done, show=progress and run.writes, stay=True)
    with bar, stoppable() as stop:
        go_on = run.schedule.state["cuts"] < run.schedule.CUTS
        if go_on and run.at["epoch"] < recipe.epochs:
            run.save("last.h5")  # so that a run that is killed in its first epoch resumes as well, and keeps a new rate
        while go_on and not run.stopped and run.at["epoch"] < recipe.epochs:
            began = time.perf_counter()
            run.train_epoch(bar, stop, minutes * 60, say)
            waited = run.waited / (time.perf_counter() - began)
            if run.at["position"] < len(data.train):
                break
            row = run.finish_epoch(watch, say)
            diagnostics.refuse_divergence(row, run.rows, run.classes, folder, run.began())
            go_on = run.schedule.after_epoch(row["val_top1"])
            run.keep(row | {"seconds": round(time.perf_counter() - began, 3), "wait": round(waited, 4)})
            if progress and run.writes:
                bar.write(line(run.rows[-1], recipe.epochs), file=sys.stderr)
        if run.stopped:
            saved = "saved" if run.save_within_epoch() else "not saved, since the loss is far above that of guessing"
            say(f"Interrupted and {saved}; go on with: rawconv-train --resume {folder}")
    if run.stopped:
        run.ranks.interrupted = True
        raise_again(stop)
    if not go_on and run.at["epoch"] < recipe.epochs:
        say(_stopped_early(run.at["epoch"], recipe.epochs))
    return run.rows


def _stopped_early(epoch, epochs):
    """What there is not because of it, in words."""
    missing = [str(number) for number in SNAPSHOTS if epoch < number <= epochs]
    text = f"Stopped early, after epoch {epoch} of {epochs}: the learning rate was cut three times without a better "
    text += "validation accuracy."
    if missing:
        text += f" There will be no snapshots of epochs {', '.join(missing)}; --schedule step goes on to the end."
    return text


class _Run:
    """What changes during `train`: the optimiser, the schedule, the log's rows, and `at`, the place in the run."""

    def __init__(self, net, data, recipe, folder, device, seed, ranks, resume):
        self.net, self.data, self.recipe, self.folder = net, data, recipe, folder
        self.device, self.seed, self.ranks, self.writes = device, seed, ranks, ranks.rank == 0
        self.optimizer = SGD(net, recipe.momentum, recipe.decay, recipe.renorm, recipe.layer_rates(net))
        if len(recipe.class_weights) not in (0, len(data.classes)):
            raise RawconvError(f"There are {len(recipe.class_weights)} class weights for {len(data.classes)} classes.")
        self.weights = device.put(np.array(recipe.class_weights, net.dtype)) if recipe.class_weights else None
        self.schedule = Schedule(recipe.schedule, recipe.lr, recipe.epochs, recipe.warmup)
        self.at = {"epoch": 0, "position": 0, "sums": [0.0, 0.0, 0.0], "best": -1.0, "schedule": self.schedule.state}
        self.classes = len(data.classes)
        self.stopped, self.waited = False, 0.0  # waited: seconds of this epoch for pictures that were not read yet
        if resume:
            self.at.update(resume["progress"])
            self.schedule.state = self.at["schedule"]
            self.optimizer.velocity = {key: device.put(value) for key, value in resume["momentum"].items()}
        self.rows = read_log(folder, self.at["epoch"])
        self.first = self.at["sums"][0] / max(1, self.at["position"])  # the loss of the first pictures of this epoch
        self.epochs = []  # (training loss, update ratios) of those that this process trained
        self.pictures = fingerprint(data) if self.writes else None

    def save(self, name, state=True):
        """A checkpoint in the run's folder, written by the first process; state=False: the net alone."""
        if not self.writes:
            return
        rows = [{key: row[key] for key in row if key not in (*TIMES, *LISTS)} for row in self.rows]
        info = {"data": absolute(self.data.source), "recipe": self.recipe._asdict(), "seed": self.seed}
        info |= {"history": rows, "options": options(self.net), "pictures": self.pictures}
        info |= {"wnids": list(self.data.wnids)} if any(self.data.wnids) else {}
        state = {"momentum": self.optimizer.velocity, "progress": self.at} if state else None
        checkpoint.save(self.folder / name, self.net, info, state)

    def save_within_epoch(self):
        """last.h5; False where it stays as it was, since by the epoch's mean loss so far the run diverges."""
        sound = self.at["sums"][0] <= diagnostics.bound(self.classes, self.began()) * self.at["position"]
        if sound:
            self.save("last.h5")
        return sound

    def train_epoch(self, bar, stop, seconds, say):
        """The steps from at["position"] to the end of the epoch, or to an interruption."""
        at, split, size = self.at, self.data.train, self.recipe.batch
        order, waiting, saved = (self.seed, at["epoch"]), [], time.monotonic()
        upload = HostToDevice(self.device)
        for ids, images, labels in self._timed(batches(split, size, order, at["position"], share=self.ranks.share)):
            rate = self._rate(at["position"])
            count = min(size, len(split) - at["position"])  # of the whole batch, over all processes
            images, labels, rng_key = upload(images), self.device.put(labels), (*order, ids)
            sums = train_step(
                self.net, images, labels, rng_key, self.recipe.crop, self.optimizer, rate, self.ranks, count,
                self.recipe.colours, self.weights,
            )  # fmt: skip
            waiting.append(sums)
            at["position"] += count
            bar.desc = ""
            bar.update(count)
            self.stopped, due = self.ranks.any_rank([bool(stop), time.monotonic() - saved > seconds])
            step = at["position"] // size
            if step % READ == 0 or at["position"] == len(split) or self.stopped or due:
                self._read(waiting, images, rate)
                loss, top1, _ = (value / at["position"] for value in at["sums"])
                text = f"epoch {at['epoch'] + 1}/{self.recipe.epochs} loss {loss:.3f} top-1 {top1:.1%}"
                bar.set_postfix_str(text, refresh=False)
                if step == diagnostics.PATIENCE:
                    diagnostics.warn_if_stuck(loss, len(self.net.classes), say)
            if self.stopped:
                break
            if due:
                self.save_within_epoch()
                saved = time.monotonic()

    def _rate(self, position):
        """The learning rate of the step that begins at this picture of the epoch."""
        return self.schedule.rate(self.at["epoch"] + position / len(self.data.train))

    def _timed(self, items):
        """The items of an iterator; `waited` is how long it kept the step waiting."""
        self.waited, items = 0.0, iter(items)
        while True:
            began = time.perf_counter()
            item = next(items, None)
            self.waited += time.perf_counter() - began
            if item is None:
                return
            yield item

    def _read(self, waiting, images, rate):
        """Add the sums of the last steps, one by one, over all processes; refuse a loss that is not a number.

        Step by step, so that the sum has one order wherever the run was interrupted.
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
        raise diagnostics.diverged(what, rate, self.rows, self.classes, self.folder, self.began())

    def began(self):
        """The loss that this run began with, as far as its bound is concerned: 0 if the first epoch came below that."""
        if not self.rows:
            return float(self.first) if np.isfinite(self.first) else 0.0
        return self.rows[0]["train_loss"] if self.rows[0]["val_loss"] > diagnostics.bound(self.classes) else 0.0

    def _first_broken(self, images):
        return soundness.first_broken(self.net, prepare(images, self.net.mean, self.net.shape[0], dtype=self.net.dtype))

    def finish_epoch(self, watch, say):
        """Validate, look after the net's health, and set the position to the next epoch; the log's row."""
        at, net, size = self.at, self.net, self.recipe.batch
        row = {"epoch": at["epoch"] + 1, "lr": self._rate((len(self.data.train) - 1) // size * size)}  # the last step's
        row |= {f"train_{name}": value / len(self.data.train) for name, value in zip(METRICS, at["sums"], strict=True)}
        if (since := self.schedule.state.get("since", 0)) > 0 and int(since) == at["epoch"]:
            row["lr_set_to"] = self.recipe.lr  # by hand, in this epoch
        found = evaluate(net, self.data.val, self.device, self.ranks)
        found["per_class"] = [share if share is None else round(share, 4) for share in found["per_class"]]
        row |= {f"val_{name}": value for name, value in found.items()}
        at.update(epoch=at["epoch"] + 1, position=0, sums=[0.0, 0.0, 0.0])
        some = self.device.put(self.data.val.read(range(min(64, len(self.data.val)))))
        dead = diagnostics.dead_maps(net, prepare(some, net.mean, net.shape[0], dtype=net.dtype))
        ratios = diagnostics.update_ratios(net, self.optimizer.velocity)
        self.epochs.append((row["train_loss"], ratios))
        diagnostics.warn(net, self.epochs, dead, say)
        if at["epoch"] > 1:
            diagnostics.warn_if_stuck(row["train_loss"], len(net.classes), say)
        if watch:
            row |= {f"update_{name}": value for name, value in ratios.items()}
            row |= {f"dead_{name}": value for name, value in dead.items()}
        return row

    def keep(self, row):
        """The log and the table of classes; best.h5 where the validation top-1 is the best yet; the snapshots of Fig.
        4; and last.h5 at the end, since a run resumes from it: killed before, it writes the others again."""
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


def options(net):
    """{"conv", "workspace" (MB)}: how the net is computed, where that changes bits; see runs.execute."""
    layer = next(layer for _, layer in net.layers if layer.params)
    return {"conv": layer.conv, "workspace": layer.workspace >> 20}


def train_step(
    net, images, labels, rng_key, crop, optimizer, rate, ranks=None, count=None, colours=(), weights=None,
):  # fmt: skip
    """One batch up, its gradient back, one update; the sums over its pictures of loss, top-1 and top-5 hits (3,).

    ranks, count: the processes that share the batch, and how many pictures it has over all of them.
    colours: directions along which a picture's colours vary, see data.colour.shifts.  weights: of the classes in the
    loss, on the device; the gradient is still divided by the number of pictures.
    """
    ranks = ranks or SingleProcess()
    if not len(images):
        sums, grads = zero_gradients(net, ranks.add, optimizer.lowest)
    else:
        x = prepare(images, net.mean, net.shape[0], rng_key, crop, net.dtype)
        if len(colours):
            x += array_module(x).asarray(shifts(rng_key, colours), x.dtype)[:, None, None]
        scores, caches = net.forward(x, rng_key=rng_key)
        loss, dscores = softmax_cross_entropy(scores, labels, weights)
        sums = _sums(loss, _above(scores, labels))
        _, grads = net.backward(dscores, caches, ranks.add, optimizer.lowest)
    ranks.finish()
    if not on_cpu(sums) or np.isfinite(sums[0]):  # or NaN is everywhere before anybody asks where it began
        optimizer.update(grads, rate, 1 / (count or len(labels)))
    return sums


def zero_gradients(net, on_grads, stop):
    """What a step over no pictures finds: (the sums, all 0; the gradients, all 0).

    on_grads is called as Net.backward calls it, layer by layer in the same order: processes sum them together.
    """
    grads = {}
    for name, layer, _ in reversed(net.path(net.output)):
        grads[name] = {key: array_module(value).zeros_like(value) for key, value in layer.params.items()}
        if grads[name]:
            on_grads(name, grads[name])
        if name == stop:
            break
    return array_module(next(iter(net.params.values()))).zeros(len(METRICS)), grads


def _sums(loss, above):
    """(loss, top-1 hits, top-5 hits), float64 (3,), on their device."""
    xp = array_module(above)
    return xp.stack([xp.asarray(value, np.float64) for value in (loss, (above < 1).sum(), (above < 5).sum())])


def hits(scores, labels):
    """How many of the labels are the first, and among the first five, of the scores (N, ..., K).  A NaN is a miss."""
    above = _above(scores, labels)
    return (above < 1).sum(), (above < 5).sum()


def _above(scores, labels):
    """How many other classes have no lower score than the label's, of each picture: (N,) on the device.

    scores (N, ..., K).  A NaN has as many above it as there are: a miss.
    """
    scores = scores.reshape(len(labels), -1)
    xp = array_module(scores)
    own = scores[xp.arange(len(labels)), labels][:, None]
    return (~(scores < own)).sum(axis=1) - 1


def evaluate(net, split, device, ranks=None, batch=250):
    """{"loss", "top1", "top5"} over a split, one centre crop a picture, means over the pictures; "balanced_top1", the
    mean of the classes' top-1, and "per_class", those, a list with None where a class has no picture."""
    ranks, sums, upload = ranks or SingleProcess(), device.put(np.zeros(3)), HostToDevice(device)
    answered = []  # (ids, how many classes are above each picture's own, on the device: reading waits for it)
    for ids, images, labels in batches(split, batch, share=ranks.share):
        if not len(labels):
            continue  # the other processes have them all
        labels = device.put(labels)
        scores, _ = net.forward(prepare(upload(images), net.mean, net.shape[0], dtype=net.dtype), keep=False)
        above = _above(scores, labels)
        sums += _sums(softmax_cross_entropy(scores, labels)[0], above)
        answered.append((ids, above))
    right = np.zeros(len(split), np.int64)
    for ids, above in answered:
        right[ids] = to_cpu(above) < 1
    means = dict(zip(METRICS, (ranks.sum(to_cpu(sums)) / len(split)).tolist(), strict=True))
    accuracies = per_class(split.labels, ranks.sum(right), net.shapes[net.output][2])
    return means | {"balanced_top1": balanced_top1(accuracies), "per_class": accuracies}
