"""The way up of nets that users bring: torchvision's, imported, beside PyTorch."""

import bench_torchvision
import click
from bench_memory import above_loaded, peaks
from bench_rival import LAYOUTS
from bench_rounds import take_turns
from bench_timing import json_option, report, rounds_option, row

NETS = ("squeezenet1_1", "resnet18", "resnet50", "mobilenet_v2")


@click.command()
@click.option("--net", "names", multiple=True, help=f"Repeatable.  [{', '.join(NETS)}]")
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True)
@click.option("--memory", is_flag=True, help="Also the peak memory, each in a process of its own.")
@click.option("--peak-of", type=click.Choice(["rawconv", *LAYOUTS]), hidden=True)
@rounds_option
@json_option
def main(names, batch, memory, peak_of, rounds, path):
    """Milliseconds of the forward pass of torchvision models, 224 pixels, seeded weights.

    PyTorch runs in eval and inference mode, batch norm folded by torch.fx, contiguous and
    channels_last: the faster counts.  --memory: what a pass takes above the loaded net.
    """
    if peak_of:
        return click.echo(peak_here(names[0], batch, peak_of))
    rows = []
    for name in names or NETS:
        found = take_turns(ways(name, batch), rounds)
        command = ("imported", "--net", name, "--batch", batch)
        more = {"memory": peaks(command, found.seconds)} if memory else {}
        rows.append(row(f"{name} {batch} forward", found, **more))
    report("imported", rows, path)


def ways(name, batch):
    """{way: function} of one pass up."""
    net, model = bench_torchvision.pair(name)
    x = bench_torchvision.some_images(batch)
    return {
        "rawconv": lambda: net.forward(x, keep=False),
        **bench_torchvision.forwards(model, x),
    }


def peak_here(name, batch, way):
    """Bytes above the loaded net, which one picture went up before."""
    net, model = bench_torchvision.pair(name)
    small, x = (bench_torchvision.some_images(n) for n in (1, batch))
    if way == "rawconv":
        model = None
        net.forward(small, keep=False)
        return above_loaded(lambda: net.forward(x, keep=False))
    net = None
    bench_torchvision.forwards(model, small)[way]()
    work = bench_torchvision.forwards(model, x)[way]
    x = None
    return above_loaded(work)
