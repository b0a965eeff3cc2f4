"""Each layer and direction on a GPU, the whole step, and the same net in PyTorch, beside the floor
of the card.

The floor table alone needs no GPU (`--dry`): it is arithmetic, see roofline.py.
"""

import datetime
import json
from functools import partial

import click
import gpu_rivals as rivals
import numpy as np
from gpu_timing import peaks, timed
from roofline import CARDS, work_of

from rawconv import models
from rawconv.errors import UsageError
from rawconv.layers.gpu.sums import sum_of_rows
from rawconv.layers.max_pool import MaxPool
from rawconv.machine.arrays import choose_device
from rawconv.training.optimizer import SGD
from rawconv.training.recipes import recipe_of
from rawconv.training.step import train_step

FLOORS = {
    "floor_ms": "floor ms", "least_floor_ms": "least", "index_ms": "index", "apart_ms": "apart"
}  # fmt: skip
MODELS = [*models.MODELS, *rivals.VISION]


@click.command()
@click.option("--device", default="gpu", show_default=True, help="gpu or gpu:N.")
@click.option(
    "--dry", is_flag=True, help="Only the floors, by arithmetic, for --card: on any machine."
)
@click.option(
    "--card", type=click.Choice(sorted(CARDS)), default="h100", show_default=True, help="For --dry."
)
@click.option(
    "--model", type=click.Choice(MODELS), default="zfnet", show_default=True,
    help="squeezenet and resnet18 are torchvision's, with seeded weights; without layers' rows.",
)  # fmt: skip
@click.option("--batch", type=click.IntRange(1), default=128, show_default=True)
@click.option(
    "--torch", "rival", type=click.Choice(list(rivals.WAYS)), default="eager", show_default=True,
    help="all: also torch.compile, and without LRN.",
)  # fmt: skip
@click.option("--json", "path", type=click.Path(dir_okay=False), help="Write the results there.")
def main(device, dry, card, model, batch, rival, path):
    """Milliseconds, TFLOP/s and GB/s of each layer and direction, beside the floor that the card sets.

    floor: by our kernels' operations and bytes; least: with every input, weight and output moved
    once, as an implicit convolution would; index: by the instructions of our kernels; apart: with
    the product and the kernels beside it after one another.  Peaks are measured on the card (a
    product, a copy); with --dry they are its data sheet's.  Of the whole net, ms is the device's
    time and host ms the time until the call returns.
    """
    modules, times, whole = None, {}, {}
    net = models.build(model, 1000) if model in models.MODELS else None
    if net is None:
        net, modules = vision(model)
    if dry:
        name, (tflops, gbs, tf32) = card, CARDS[card]
    else:
        place = choose_device(device)
        if str(place) == "cpu":
            raise click.UsageError(
                "--device must be a gpu; the CPU has `tools/bench.py layers` and `step`."
            )
        others = other_times(net, modules, batch, rivals.WAYS[rival])
        net.to(place)
        name, tflops, gbs, tf32 = peaks(place, has_tf32(device))
        times = {} if modules else layer_times(net, batch)
        whole = whole_times(net, batch, others)
        if tf32:
            net.execution = net.execution._replace(tf32=True)
            fast = whole_times(net, batch, others, ", TF32")
            whole |= {f"{what}, TF32": one for what, one in fast.items()}
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
        "peak_tf32_tflops": tf32,
        "dry": dry,
    }
    found |= {"rows": rows, "whole": whole, "date": datetime.date.today().isoformat()}
    click.echo(table(found))
    if path:
        with open(path, "w") as file:
            json.dump(found, file, indent=1)


def vision(model):
    try:
        return rivals.vision(model)
    except ImportError as error:
        raise click.ClickException(f"--model {model} is torchvision's ({error}).") from error


def has_tf32(device):
    """Whether the card multiplies in TF32."""
    try:
        choose_device(device, tf32=True)
    except UsageError:
        return False
    return True


def other_times(net, modules, batch, ways):
    """{kind: {way: times}} in PyTorch; {} where it is not there, or nobody asked."""
    if not ways or not rivals.torch_there():
        return {}
    if modules is None:
        return rivals.torch_times(net, batch, ("forward", "step"), ways)
    return rivals.vision_times(modules, rivals.random_input(net, batch), ways)


def row(work, tflops, gbs, seconds=None):
    """All figures of one line: milliseconds, and what was reached where it was measured."""
    floor, least = work.floors(tflops, gbs)
    found = work._asdict() | {"floor_ms": floor * 1e3, "least_floor_ms": least * 1e3}
    found["index_ms"] = work.index_seconds(tflops) * 1e3
    found["apart_ms"] = work.apart(tflops, gbs) * 1e3
    if seconds:
        found |= {"ms": seconds * 1e3, "tflops": work.operations / seconds / 1e12}
        found |= {"gbs": work.moved / seconds / 1e9, "times_floor": seconds / floor}
    return found


# ---------------------------------------------------------------------------------------------- measuring


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
        works = {"up": partial(up, x, rng_key), "back": partial(back, y, cache)}
        works["down"] = partial(layer.deconv, y, cache)
        if layer.params:
            works["bias"] = partial(sum_of_rows, y.reshape(-1, y.shape[3]))
        found |= {(name, way): timed(work)["ms"] / 1e3 for way, work in works.items()}
        shape = net.shapes[name]
    return found


def whole_times(net, batch, others, precision=""):
    """{what: {"ms", "host_ms", "ways": PyTorch's, "torch_ms", "ratio"}}: the way up, a training
    step, and the projection of a whole layer.

    torch_ms, ratio: of PyTorch's channels_last in the same `precision`, "" or ", TF32".
    """
    import cupy

    size = net.stored[0]
    images = (
        cupy.random.RandomState(1)
        .randint(0, 256, (batch, size, size, net.shape[2]))
        .astype("uint8")
    )
    labels, optimizer, rng_key = (
        cupy.arange(batch) % net.shapes[net.output][2],
        SGD(net),
        (0, 0, np.arange(batch)),
    )
    x = cupy.asarray(rivals.random_input(net, batch))
    pools = [name for name, layer in net.layers if isinstance(layer, MaxPool)]
    top = pools[-1] if net.model in models.MODELS else net.convolutions[-1]
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
        found[what] = timed(work)
        ways = others.get(what, {})
        if "ms" in ways.get(f"channels_last{precision}", {}):
            theirs = ways[f"channels_last{precision}"]["ms"]
            found[what] |= {"torch_ms": theirs, "ratio": found[what]["ms"] / theirs}
        found[what] |= {"ways": ways} if ways and not precision else {}
    return found


def table(found):
    """The results as text."""
    text = [
        f"{found['model']}, {found['batch']} pictures, float32, {found['card']}: {found['peak_tflops']:.1f} TFLOP/s, "
        f"{found['peak_gbs']:.0f} GB/s ({'data sheet' if found['dry'] else 'measured'}); {found['date']}",
        f"{'layer':10}{'':6}{'GFLOP':>10}{'MB moved':>10}{'least':>10}"
        + "".join(f"{title:>10}" for title in FLOORS.values())
        + ("" if found["dry"] else f"{'ms':>10}{'x floor':>9}{'TFLOP/s':>9}{'GB/s':>8}"),
    ]
    for one in found["rows"]:
        line = f"{one['layer']:10}{one['direction']:6}{one['operations'] / 1e9:10.2f}{one['moved'] / 1e6:10.1f}"
        line += f"{one['least'] / 1e6:10.1f}" + "".join(f"{one[key]:10.3f}" for key in FLOORS)
        if "ms" in one:
            line += (
                f"{one['ms']:10.3f}{one['times_floor']:9.2f}{one['tflops']:9.2f}{one['gbs']:8.0f}"
            )
        text.append(line)
    for direction in ("up", "back", "bias", "down"):
        rows = [one for one in found["rows"] if one["direction"] == direction]
        floors = (sum(one[key] for one in rows) for key in FLOORS)
        text.append(f"{'all':10}{direction:36}" + "".join(f"{floor:10.3f}" for floor in floors))
    for what, one in found["whole"].items():
        ratio = f", ratio to PyTorch {one['ratio']:.2f}" if "ratio" in one else ""
        text.append(f"{what}: {one['ms']:.3f} ms, host {one['host_ms']:.3f} ms{ratio}")
        for way, theirs in one.get("ways", {}).items():
            said = theirs.get("why") or f"{theirs['ms']:.3f} ms, host {theirs['host_ms']:.3f} ms"
            text.append(f"  PyTorch, {way}: {said}")
    return "\n".join(text)


if __name__ == "__main__":
    main()
