"""A whole training step, and the way up alone: forward, loss, backward, update."""

import json
import subprocess
import sys

import bench_rival as rival
import click
import numpy as np
import torch
from bench_rounds import take_turns
from bench_timing import json_option, report, rounds_option, row

from rawconv import models
from rawconv.layers.softmax import softmax_cross_entropy
from rawconv.training.optimizer import SGD

WITHOUT = ", no LRN"
WAYS = ("rawconv", *rival.LAYOUTS, *(layout + WITHOUT for layout in rival.LAYOUTS))


@click.command()
@click.option("--model", "names", multiple=True, help="Repeatable.  [zfnet]")
@click.option("--batch", type=click.IntRange(1), help="[32 for pictures of 224 pixels, else 128]")
@click.option(
    "--what", type=click.Choice(["step", "forward", "both"]), default="both", show_default=True
)
@click.option(
    "--no-lrn",
    is_flag=True,
    help="Also against PyTorch with its normalisation deleted (ours is kept).",
)
@click.option(
    "--compile", "compiled", is_flag=True, help="Also against torch.compile (channels_last)."
)
@click.option(
    "--memory", is_flag=True, help="Also the peak memory of a step, each in a process of its own."
)
@click.option(
    "--peak-of",
    type=click.Choice(WAYS),
    hidden=True,
    help="Print the peak of two steps of one way as JSON.",
)
@rounds_option
@json_option
def main(names, batch, what, no_lrn, compiled, memory, peak_of, rounds, path):
    """Milliseconds of a training step: up, softmax and loss, back, momentum and decay."""
    if peak_of:
        return click.echo(json.dumps(peak_here(names[0], batch, peak_of)))
    rows = []
    for name in names or ["zfnet"]:
        net = models.build(name)
        size = batch or (32 if net.shape[0] == 224 else 128)
        x, labels = some_images(net, size)
        kinds = ("forward", "step") if what == "both" else (what,)
        for kind in kinds:
            ways = {"rawconv": ours(net, x, labels, kind)}
            for way in WAYS[1:]:
                if no_lrn or not way.endswith(WITHOUT):
                    layout, lrn = way.removesuffix(WITHOUT), not way.endswith(WITHOUT)
                    ways[way] = torchs(net, x, labels, kind, layout, lrn)
            more = {}
            if compiled:
                way = torchs(net, x, labels, kind, "channels_last", True, torch.compile)
                if why := why_not(way):
                    more["missing"] = {"compiled": why}
                else:
                    ways["compiled"] = way
            found = take_turns(ways, rounds)
            if memory and kind == "step":
                more["memory"] = {way: peak(name, size, way) for way in WAYS[:3]}
            work, flops = f"{name} {size} {kind}", step_flops(net, size, kind)
            plain = [way for way in ways if not way.endswith(WITHOUT)]
            rows.append(row(work, found.of(*plain), flops, **more))
            if no_lrn:
                bare = ["rawconv", *(way for way in ways if way.endswith(WITHOUT))]
                rows.append(row(work + WITHOUT, found.of(*bare), flops))
    report("step", rows, path)


def why_not(work):
    """One line on why it does not run here, or None.  torch.compile needs a C++ compiler, for one."""
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {error}".strip().splitlines()[0]


def some_images(net, batch):
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, *net.shape), np.float32) * 60, rng.integers(
        0, len(net.classes), batch
    )


def ours(net, x, labels, kind):
    """One call of it, as training.train_step does it after the pictures are cut."""
    optimizer, rng_key = SGD(net), (0, 0, range(len(x)))

    def step():
        scores, caches = net.forward(x, rng_key=rng_key)
        _, dscores = softmax_cross_entropy(scores, labels)
        _, grads = net.backward(dscores, caches, stop=optimizer.lowest)
        optimizer.update(grads, 1e-5, 1 / len(x))

    return step if kind == "step" else lambda: net.forward(x, keep=False)


def torchs(net, x, labels, kind, layout, lrn=True, wrap=lambda modules: modules, device="cpu"):
    modules = rival.twin(net, lrn=lrn).to(device, memory_format=rival.LAYOUTS[layout])
    x, labels, run = (
        rival.tensor(x, layout).to(device),
        torch.tensor(labels, device=device),
        wrap(modules),
    )
    optimizer = torch.optim.SGD(modules.parameters(), 1e-5, 0.9, weight_decay=5e-4)

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(run(x), labels).backward()
        optimizer.step()

    def forward():
        with torch.inference_mode():
            run(x)

    modules.train(kind == "step")
    return step if kind == "step" else forward


def step_flops(net, batch, kind):
    """Multiplications and additions of the convolutions as written, however they are done; the
    lowest has no dx.
    """
    shapes = zip(net.layers, net.shapes.values(), strict=True)
    each = [
        2 * batch * int(np.prod([*layer.weight.shape[:3], *out]))
        for (_, layer), out in shapes
        if layer.params
    ]
    return sum(each) if kind == "forward" else 3 * sum(each) - each[0]


def peak(name, batch, way):
    """Bytes of two steps in a process of its own, above what it had with everything imported and no
    net built.
    """
    command = [sys.executable, __file__.replace("bench_step", "bench"), "step"]
    command += ["--model", name, "--batch", str(batch), "--peak-of", way]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak_here(name, batch, way):
    if batch > 1:
        peak_here("lenet", 1, way)  # compiles, and starts the threads
    before = resident_peak()
    net = models.build(name)
    x, labels = some_images(net, batch)
    if way == "rawconv":
        step = ours(net, x, labels, "step")
    else:
        step = torchs(net, x, labels, "step", way.removesuffix(WITHOUT), not way.endswith(WITHOUT))
        x = net = None  # the twin has copies of its own
    step()
    step()
    return resident_peak() - before


def resident_peak():
    """Linux's own count of this program: getrusage's takes over the parent's peak."""
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))
