"""Each layer and direction on a GPU, the whole step, and the same net in PyTorch, beside the floor
of the card.

The floor table alone needs no GPU (`--dry`): it is arithmetic, see roofline.py.
"""

import datetime
import json
from functools import partial

import click
import numpy as np
from roofline import CARDS, work_of

from rawconv import models
from rawconv.layers.max_pool import MaxPool
from rawconv.machine.arrays import choose_device
from rawconv.training.optimizer import SGD
from rawconv.training.recipes import recipe_of
from rawconv.training.step import train_step

ROUNDS = 10


@click.command()
@click.option("--device", default="gpu", show_default=True, help="gpu or gpu:N.")
@click.option(
    "--dry", is_flag=True, help="Only the floors, by arithmetic, for --card: on any machine."
)
@click.option(
    "--card", type=click.Choice(sorted(CARDS)), default="h100", show_default=True, help="For --dry."
)
@click.option("--model", type=click.Choice(list(models.MODELS)), default="zfnet", show_default=True)
@click.option("--batch", type=click.IntRange(1), default=128, show_default=True)
@click.option("--json", "path", type=click.Path(dir_okay=False), help="Write the results there.")
def main(device, dry, card, model, batch, path):
    """Milliseconds, TFLOP/s and GB/s of each layer and direction, beside the floor that the card sets.

    floor: by our kernels' operations and bytes; least: with every input, weight and output moved
    once, as an implicit convolution would.  Peaks are measured on the card (a product, a copy);
    with --dry they are its data sheet's.
    """
    net, times, whole = models.build(model, 1000), {}, {}
    if dry:
        name, (tflops, gbs) = card, CARDS[card]
    else:
        place = choose_device(device)
        if str(place) == "cpu":
            raise click.UsageError(
                "--device must be a gpu; the CPU has `tools/bench.py layers` and `step`."
            )
        others = torch_times(net, batch)
        net.to(place)
        name, tflops, gbs = peaks(place)
        times, whole = layer_times(net, batch), whole_times(net, batch, others)
    rows = [
        row(work, tflops, gbs, times.get((work.layer, work.direction)))
        for work in work_of(net, batch)
    ]
    found = {
        "model": model,
        "batch": batch,
        "card": name,
        "peak_tflops": tflops,
        "peak_gbs": gbs,
        "dry": dry,
    }
    found |= {"rows": rows, "whole": whole, "date": datetime.date.today().isoformat()}
    click.echo(table(found))
    if path:
        with open(path, "w") as file:
            json.dump(found, file, indent=1)


def row(work, tflops, gbs, seconds=None):
    """All figures of one line: milliseconds, and what was reached where it was measured."""
    floor, least = work.floors(tflops, gbs)
    found = work._asdict() | {"floor_ms": floor * 1e3, "least_floor_ms": least * 1e3}
    if seconds:
        found |= {"ms": seconds * 1e3, "tflops": work.operations / seconds / 1e12}
        found |= {"gbs": work.moved / seconds / 1e9, "times_floor": seconds / floor}
    return found


# ---------------------------------------------------------------------------------------------- measuring


def seconds(function, repeat=ROUNDS):
    """The median time on the GPU.  PyTorch runs on the same stream, the default one, so that this
    times it as well.
    """
    from cupyx.profiler import benchmark

    return float(np.median(benchmark(function, n_repeat=repeat, n_warmup=2).gpu_times))


def peaks(place, side=4096):
    """(name, TFLOP/s of a float32 product, GB/s of a copy) of this card, measured."""
    import cupy

    with place:
        name = cupy.cuda.runtime.getDeviceProperties(place.index)["name"].decode()
        side = side if cupy.cuda.runtime.memGetInfo()[1] > 8 << 30 else side // 16
        a, b = cupy.ones((2, side, side), "float32")
        product = seconds(lambda: cupy.matmul(a, b, out=b))
        copy = seconds(lambda: cupy.copyto(a, b))
    return name, 2 * side**3 / product / 1e12, 2 * a.nbytes / copy / 1e9


def layer_times(net, batch):
    """{(layer, direction): seconds}, on random numbers of the right shapes.  A convolution goes up
    with its ReLU.
    """
    import cupy

    found, rng, shape = {}, cupy.random.RandomState(0), net.shape
    for name, layer in net.layers:
        x, y = (
            rng.standard_normal((batch, *size), "float32") for size in (shape, net.shapes[name])
        )
        rng_key = (0, 0, np.arange(batch))
        cache = layer.forward(x.copy(), rng_key)[1]
        lowest = name == net.layers[0][0]
        back = layer.parameter_gradients if lowest else layer.backward
        up = (
            partial(layer.forward, fuse_relu=net.fused_ceilings[name])
            if name in net.fused_ceilings
            else layer.forward
        )
        found[name, "up"] = seconds(lambda up=up, x=x, rng_key=rng_key: up(x, rng_key))
        found[name, "back"] = seconds(lambda back=back, y=y, cache=cache: back(y, cache))
        found[name, "down"] = seconds(lambda layer=layer, y=y, cache=cache: layer.deconv(y, cache))
        shape = net.shapes[name]
    return found


def whole_times(net, batch, others):
    """{what: {"ms", "torch_ms", "ratio"}}: the way up, a training step, and the projection of a
    whole layer.
    """
    import cupy

    size = net.stored[0]
    images = (
        cupy.random.RandomState(1)
        .randint(0, 256, (batch, size, size, net.shape[2]))
        .astype("uint8")
    )
    labels, optimizer, rng_key = (
        cupy.arange(batch) % len(net.classes),
        SGD(net),
        (0, 0, np.arange(batch)),
    )
    x = cupy.random.RandomState(2).standard_normal((batch, *net.shape), "float32")
    top = [name for name, layer in net.layers if isinstance(layer, MaxPool)][-1]
    y, caches = net.forward(x, top)
    ours = {
        "forward": lambda: net.forward(x, keep=False),
        "step": lambda: train_step(
            net, images, labels, rng_key, recipe_of(net).crop, optimizer, 1e-6
        ),
        f"down from {top}": lambda: net.deconv(y, caches),
    }
    found = {}
    for what, work in ours.items():
        found[what] = {"ms": seconds(work) * 1e3}
        if what in others:
            found[what] |= {
                "torch_ms": others[what] * 1e3,
                "ratio": found[what]["ms"] / others[what] / 1e3,
            }
    return found


def torch_times(net, batch):
    """{"forward", "step": seconds} of the same net in PyTorch on the same card, no TF32; {} where
    it is not there.
    """
    try:
        import torch
    except ImportError:
        return {}
    if not torch.cuda.is_available():
        return {}
    import bench_step

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    x, labels = bench_step.some_images(net, batch)
    kinds = ("forward", "step")
    return {
        kind: seconds(bench_step.torchs(net, x, labels, kind, "channels_last", device="cuda"))
        for kind in kinds
    }


def table(found):
    text = [
        f"{found['model']}, {found['batch']} pictures, float32, {found['card']}: {found['peak_tflops']:.1f} TFLOP/s, "
        f"{found['peak_gbs']:.0f} GB/s ({'data sheet' if found['dry'] else 'measured'}); {found['date']}",
        f"{'layer':10}{'':6}{'GFLOP':>10}{'MB moved':>10}{'least':>10}{'floor ms':>10}{'least':>10}"
        + ("" if found["dry"] else f"{'ms':>10}{'x floor':>9}{'TFLOP/s':>9}{'GB/s':>8}"),
    ]
    for one in found["rows"]:
        line = f"{one['layer']:10}{one['direction']:6}{one['operations'] / 1e9:10.2f}{one['moved'] / 1e6:10.1f}"
        line += f"{one['least'] / 1e6:10.1f}{one['floor_ms']:10.3f}{one['least_floor_ms']:10.3f}"
        if "ms" in one:
            line += (
                f"{one['ms']:10.3f}{one['times_floor']:9.2f}{one['tflops']:9.2f}{one['gbs']:8.0f}"
            )
        text.append(line)
    for direction in ("up", "back", "down"):
        rows = [one for one in found["rows"] if one["direction"] == direction]
        floors = (sum(one[key] for one in rows) for key in ("floor_ms", "least_floor_ms"))
        text.append(f"{'all':10}{direction:36}" + "".join(f"{floor:10.3f}" for floor in floors))
    for what, one in found["whole"].items():
        other = (
            f", PyTorch {one['torch_ms']:.3f} ms, ratio {one['ratio']:.2f}"
            if "ratio" in one
            else ""
        )
        text.append(f"{what}: {one['ms']:.3f} ms{other}")
    return "\n".join(text)
