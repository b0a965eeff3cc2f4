"""Figure 2 of a layer of an imported net, the 9 strongest of every map, beside a loop over Captum."""

import statistics
import time
import warnings

import bench_torchvision
import click
import numpy as np
import torch
from bench_contention import disturbance, told
from bench_rival import LAYOUTS, tensor
from bench_rounds import ratios, take_turns
from bench_timing import conditions, machine, ratio_text, rounds_option
from bench_visualize import noise

from rawconv.convert.from_torch import IMAGENET
from rawconv.data.preprocessing import preprocess
from rawconv.layers import Rules
from rawconv.visualize.forward_pass import passes_of_units
from rawconv.visualize.projection import project
from rawconv.visualize.top_activations import scan
from rawconv.visualize.units import layer_object

FIGURES = {"squeezenet1_0": "features.9", "resnet18": "layer3"}  # the first is fire7
RULES = Rules("deconv", "gradient", "add")  # what Captum's Deconvolution computes
TOP, PICTURES, AT_ONCE = 9, 256, 32
STD = 255 * np.array(IMAGENET[1], np.float32)  # PyTorch's nets take pixels over it
BATCHES = (1, 8, 32)  # units in one call of Captum, in both memory formats: the fastest is used
PARTS = ("scan", "project")


@click.command()
@click.option("--net", "names", multiple=True, type=click.Choice(list(FIGURES)), help="[all]")
@click.option("--units", type=click.IntRange(32), default=96, show_default=True, help="A round's.")
@rounds_option
def main(names, units, rounds):
    """Seconds of a whole figure: 256 pictures scanned, and the 9 strongest places of every map
    projected, by rawconv and by PyTorch with captum.attr.Deconvolution.

    A round scans 32 pictures and projects some units of neighbouring pictures, and the seconds of
    the whole are reckoned from it.  PyTorch's net is cut above the layer, and its batch norm folded;
    Captum gets several units in one call, as many as are fastest.
    """
    for name in names or FIGURES:
        click.echo(lines(name, *figure(name, units, rounds)))
    click.echo(conditions(machine()))


def figure(name, count, rounds):
    """(Rounds of the four parts, how many units, how often a round's units and pictures are in the
    whole, Captum's batch and memory format, the largest difference)."""
    net, model = bench_torchvision.pair(name)
    split, layer = noise(PICTURES), FIGURES[name]
    tops = scan(net, split, [layer], TOP, AT_ONCE, False)[layer]
    # the units of a dead map are all of the first pictures, and would be most of a round
    alive = np.flatnonzero(tops.value.min(axis=1) > 0).tolist()
    found = sorted(tops.units(layer, alive))
    some = [unit for unit in found if unit.image <= found[count - 1].image]
    captum = Captum(net, model, layer, split)
    error = disagreement(net, split, [u for u in some if u.image == some[0].image][:3], captum)
    batch, layout = captum.fastest(some)
    ways = {
        ("rawconv", "scan"): lambda: scan(net, noise(AT_ONCE), [layer], TOP, AT_ONCE, False),
        ("rawconv", "project"): lambda: projected(net, split, some),
        ("PyTorch", "scan"): lambda: captum.scan(layout),
        ("PyTorch", "project"): lambda: captum.project(some[:AT_ONCE], batch, layout),
    }
    timed = take_turns(ways, rounds)
    times = {
        ("rawconv", "scan"): PICTURES / AT_ONCE, ("rawconv", "project"): len(found) / len(some),
        ("PyTorch", "scan"): PICTURES / AT_ONCE, ("PyTorch", "project"): len(found) / AT_ONCE,
    }  # fmt: skip
    return timed, len(found), times, (batch, layout), error


def projected(net, split, units):
    """[Projection, ...], as rawconv-visualize makes them between reading and drawing."""
    return [
        projection
        for passed, pairs, _ in passes_of_units(net, split, units)
        for projection in project(passed, [unit for _, unit in pairs], RULES)
    ]


class Captum:
    """The PyTorch module, cut so that its output is a layer's map, and what a user of Captum does with it."""

    def __init__(self, net, model, layer, split):
        from captum.attr import Deconvolution

        warnings.filterwarnings("ignore", message="Setting .* hooks on ReLU|Input Tensor 0 did not")
        x = preprocess(net, split.read([0]))
        self.net, self.split = net, split
        self.cut = cut_at(model, x / STD, net.forward(x, layer_object(net, layer))[0])
        self.deconvolution = Deconvolution(self.cut)
        self.batch = preprocess(net, split.read(range(AT_ONCE))) / STD

    def scan(self, layout):
        """The strongest place of every map in some pictures."""
        cut, x = self.cut.to(memory_format=LAYOUTS[layout]), tensor(self.batch, layout)
        with torch.no_grad():
            return cut(x).flatten(2).max(2)

    def project(self, units, batch, layout):
        """[(H, W, 3), ...]: the attributions of units, `batch` of them in a call."""
        self.cut.to(memory_format=LAYOUTS[layout])
        images = preprocess(self.net, self.split.read([unit.image for unit in units])) / STD
        found = []
        for k in range(0, len(units), batch):
            targets = [(unit.channel, unit.y, unit.x) for unit in units[k : k + batch]]
            x = tensor(images[k : k + batch], layout).requires_grad_()
            found += self.deconvolution.attribute(x, target=targets)
        return [one.detach().numpy().transpose(1, 2, 0) for one in found]

    def fastest(self, units):
        """(batch, memory format) that takes least for some units."""
        seconds = {}
        for layout in LAYOUTS:
            for batch in BATCHES:
                self.project(units[:batch], batch, layout)
                begin = time.perf_counter()
                self.project(units[: max(BATCHES)], batch, layout)
                seconds[batch, layout] = time.perf_counter() - begin
        return min(seconds, key=seconds.get)


def cut_at(model, x, y):
    """The torch.fx module that ends where its map of x is our y, its ReLUs not in place, for Captum's hooks."""
    for module in model.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    want, ends = torch.tensor(y.transpose(0, 3, 1, 2)), []

    class Watch(torch.fx.Interpreter):
        def run_node(self, node):
            made = super().run_node(node)
            if isinstance(made, torch.Tensor) and made.shape == want.shape:
                ends.extend([node] if torch.allclose(made, want, atol=1e-3 * want.max()) else [])
            return made

    with torch.no_grad():
        Watch(model).run(tensor(x, "channels_first"))
    graph = model.graph
    end = next(node for node in graph.nodes if node.op == "output")
    with graph.inserting_before(end):
        graph.output(ends[-1])
    graph.erase_node(end)
    graph.eliminate_dead_code()
    model.recompile()
    return model


def disagreement(net, split, units, captum):
    """The largest difference from activation x Captum, in float32, of units that are not dead; 1 is
    the largest value.
    """
    errors = [0.0]
    for found in projected(net, split, units):
        if not found.dead:
            unit = found.unit._replace(image=units[0].image)
            (gradient,) = captum.project([unit], 1, "channels_first")
            want = found.value * gradient / STD
            errors.append(np.abs(found.pixels - want).max() / np.abs(want).max())
    return float(max(errors))


def lines(name, timed, count, times, used, error):
    whole = {
        side: [
            sum(parts)
            for parts in zip(
                *([times[side, part] * s for s in timed.seconds[side, part]] for part in PARTS),
                strict=True,
            )
        ]
        for side in ("rawconv", "PyTorch")
    }
    text = [f"{name} {FIGURES[name]}: {PICTURES} pictures scanned, {count} units"]
    for side, seconds in whole.items():
        parts = [
            f"{part} {times[side, part] * statistics.median(timed.seconds[side, part] or [0]):.1f}"
            for part in PARTS
        ]
        text.append(f"{side:9}{statistics.median(seconds or [0]):8.1f} s    {', '.join(parts)}")
    median, least = ratios(whole["PyTorch"], whole["rawconv"])
    text.append(
        f"{ratio_text(median)} times as fast ({ratio_text(least)} of the shortest rounds); Captum by {used[0]} units, "
        f"{used[1]}; largest difference from activation x Captum {error:.1e} of the maximum; "
        f"{told(disturbance(timed.shares))}"
    )
    return "\n".join(text)
