"""A training run: epochs over a data set, and all that a user sees and keeps of it.

Everything random is a pure function of (seed, epoch, sample id), so that an interrupted run goes on bit for bit from
its checkpoint, which holds the weights, the momentum and the position in the epoch.
"""

import contextlib
import csv
import io
import json
import math
import signal
import sys
import threading
import time

import numpy as np
from tqdm import tqdm

from . import checkpoint
from .arrays import array_module, to_cpu
from .data.augment import prepare
from .data.batches import batches
from .errors import RawconvError
from .layers.softmax import softmax_cross_entropy
from .optimizer import SGD, Schedule
from .report.curves import draw_curves
from .storage import replace_file

SNAPSHOTS = (1, 2, 5, 10, 20, 30, 40, 64)  # epochs kept for Fig. 4
METRICS = ("loss", "top1", "top5")


def train(net, data, recipe, folder, device, seed=0, resume=None, progress=True, say=print):
    """Train `net` in place by `recipe`, writing checkpoints, log and curves into `folder`; returns the log's rows.

    resume: the state of a checkpoint that `train` wrote; the run then ends as if it had never been interrupted.
    RawconvError where the loss is no longer a number.  KeyboardInterrupt after a Ctrl-C, when all is saved.
    """
    net.to(device)
    optimizer = SGD(net, recipe.momentum, recipe.decay, recipe.renorm, recipe.first_lr)
    schedule = Schedule(recipe.schedule, recipe.lr, recipe.epochs, recipe.warmup)
    at = {"epoch": 0, "position": 0, "sums": [0.0, 0.0, 0.0], "best": -1.0, "schedule": schedule.state}
    if resume:
        at.update(resume["progress"])
        schedule.state = at["schedule"]
        optimizer.velocity = {key: device.put(value) for key, value in resume["momentum"].items()}
    rows = _read_log(folder, at["epoch"])
    info = {"data": data.source, "recipe": recipe._asdict(), "seed": seed, "history": []}

    def save(name, state=True):
        info["history"] = [{key: row[key] for key in row if key != "seconds"} for row in rows]
        checkpoint.save(folder / name, net, info, {"momentum": optimizer.velocity, "progress": at} if state else None)

    total, done = recipe.epochs * len(data.train), at["epoch"] * len(data.train) + at["position"]
    hidden = None if progress else True  # None: hidden where stderr is no terminal
    bar = tqdm(total=total, initial=done, unit=" pictures", disable=hidden, smoothing=0.05)
    bar.desc = "the first step compiles its loops on a new machine"
    go_on = True
    with bar, _stoppable() as stop:
        while go_on and not stop and at["epoch"] < recipe.epochs:
            began = time.perf_counter()
            rate = _train_epoch(net, data.train, recipe, device, seed, optimizer, schedule, at, bar, stop)
            if at["position"] < len(data.train):
                break
            row = _finish_epoch(net, data, device, at, rate)
            go_on = schedule.after_epoch(row["val_top1"])
            rows.append(row | {"seconds": round(time.perf_counter() - began, 3)})
            _keep(save, folder, row, at)
            _write_log(folder, rows, recipe.epochs)
            tqdm.write(_line(rows[-1], recipe.epochs), file=sys.stderr)
            _warn_if_stuck(row, len(net.classes), say)
        if stop:
            save("last.h5")
            say(f"Interrupted and saved; go on with: rawconv-train --resume {folder}")
    if stop:
        signal.raise_signal(stop[0])
    if not go_on:
        say("Stopped: the learning rate was cut three times without a better validation accuracy.")
    return rows


def _train_epoch(net, split, recipe, device, seed, optimizer, schedule, at, bar, stop):
    """The steps from at["position"] to the end of the epoch (or to an interruption); returns the last learning rate."""
    order, rate = (seed, at["epoch"]), 0.0
    for ids, pictures, labels in batches(split, recipe.batch, order, at["position"]):
        rate = schedule.rate(at["epoch"] + at["position"] / len(split))
        sums = train_step(net, device.put(pictures), device.put(labels), (*order, ids), recipe.crop, optimizer, rate)
        at["position"] += len(ids)
        at["sums"] = [old + new for old, new in zip(at["sums"], sums, strict=True)]
        bar.desc = ""
        bar.update(len(ids))
        if at["position"] // recipe.batch % 10 == 0 or at["position"] == len(split):
            _read_sums(net, at, rate)
            loss, top1, _ = (value / at["position"] for value in at["sums"])
            bar.set_postfix_str(
                f"epoch {at['epoch'] + 1}/{recipe.epochs} loss {loss:.3f} top-1 {top1:.1%}", refresh=False
            )
        if stop:
            _read_sums(net, at, rate)
            break
    return rate


def train_step(net, pictures, labels, draw, crop, optimizer, rate):
    """One batch up, its gradient back, one update; returns the sums over its pictures of loss, top-1 and top-5 hits."""
    x = prepare(pictures, net.mean, net.shape[0], draw, crop, net.dtype)
    scores, caches = net.forward(x, draw=draw)
    loss, dscores = softmax_cross_entropy(scores, labels)
    _, grads = net.backward(dscores, caches, pixels=False)
    optimizer.update(grads, rate, 1 / len(labels))
    return loss, *hits(scores, labels)


def hits(scores, labels):
    """How many of the labels are the first, and among the first five, of the scores (N, ..., K).  A NaN is a miss."""
    scores = scores.reshape(len(labels), -1)
    xp = array_module(scores)
    own = scores[xp.arange(len(labels)), labels][:, None]
    above = (~(scores < own)).sum(axis=1) - 1
    return (above < 1).sum(), (above < 5).sum()


def evaluate(net, split, device, batch=250):
    """{"loss", "top1", "top5"} over a split, one centre crop a picture, means over the pictures."""
    sums = [0.0, 0.0, 0.0]
    for _, pictures, labels in batches(split, batch):
        labels = device.put(labels)
        scores, _ = net.forward(prepare(device.put(pictures), net.mean, net.shape[0], dtype=net.dtype), keep=False)
        new = softmax_cross_entropy(scores, labels)[0], *hits(scores, labels)
        sums = [old + value for old, value in zip(sums, new, strict=True)]
    return {name: float(value) / len(split) for name, value in zip(METRICS, sums, strict=True)}


def _finish_epoch(net, data, device, at, rate):
    """Validate; the log's row; and set the position to the start of the next epoch."""
    row = {"epoch": at["epoch"] + 1, "lr": rate}
    row |= {f"train_{name}": value / len(data.train) for name, value in zip(METRICS, at["sums"], strict=True)}
    row |= {f"val_{name}": value for name, value in evaluate(net, data.val, device).items()}
    at.update(epoch=at["epoch"] + 1, position=0, sums=[0.0, 0.0, 0.0])
    return row


def _keep(save, folder, row, at):
    """last.h5 always, best.h5 where the validation top-1 is the best yet, and the snapshots of Fig. 4."""
    if row["val_top1"] > at["best"]:
        at["best"] = row["val_top1"]
        save("best.h5", state=False)
    if row["epoch"] in SNAPSHOTS:
        (folder / "snapshots").mkdir(exist_ok=True)
        save(f"snapshots/epoch-{row['epoch']:03d}.h5", state=False)
    save("last.h5")


def _read_sums(net, at, rate):
    """Bring the running sums to the host, every ten steps only, since that waits for the device; refuse a NaN."""
    at["sums"] = [float(value) for value in at["sums"]]
    if math.isfinite(at["sums"][0]):
        return
    broken = [name for (name, _), value in net.params.items() if not np.isfinite(to_cpu(value)).all()]
    where = f"; the weights of {broken[0]} are not finite" if broken else ""
    raise RawconvError(
        f"The loss became {at['sums'][0]} in epoch {at['epoch'] + 1} after {at['position']} pictures{where}. "
        f"Start again with a lower --lr (it was {rate:.2g}); the checkpoints of earlier epochs are intact."
    )


def _warn_if_stuck(row, classes, say):
    if row["epoch"] > 1 and abs(row["train_loss"] - math.log(classes)) < 0.01 * math.log(classes):
        say(
            f"The loss is stuck at ln({classes}) = {math.log(classes):.2f}: the net does not learn. "
            "Try another --lr, and check that the class folders differ."
        )


@contextlib.contextmanager
def _stoppable():
    """Inside, the first SIGINT or SIGTERM only puts its number into the list given, so that no step is left half done.

    A second one acts at once.
    """
    stop, before = [], {}

    def note(number, frame):
        stop.append(number)
        signal.signal(number, before[number])

    if threading.current_thread() is threading.main_thread():
        heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]  # nohup stays so
        before = {number: signal.signal(number, note) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _line(row, epochs):
    return (
        f"epoch {row['epoch']:3d}/{epochs}  lr {row['lr']:.2g}  "
        f"train loss {row['train_loss']:.3f} top-1 {row['train_top1']:.1%} top-5 {row['train_top5']:.1%}  "
        f"val loss {row['val_loss']:.3f} top-1 {row['val_top1']:.1%} top-5 {row['val_top5']:.1%}  "
        f"{row['seconds']:.0f} s"
    )


def _read_log(folder, epochs):
    path = folder / "log.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [row for row in rows if row["epoch"] <= epochs]


def _write_log(folder, rows, epochs):
    """log.jsonl, log.csv and curves.png, each replaced whole."""
    table = io.StringIO()
    writer = csv.DictWriter(table, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(folder / "log.csv", table.getvalue().encode())
    replace_file(folder / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    replace_file(folder / "curves.png", draw_curves(rows, epochs))
