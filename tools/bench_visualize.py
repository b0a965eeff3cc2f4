"""Figure 2 of ZFNet's conv5 against a loop over Captum (pip install torch captum)."""

import json
import statistics
import warnings

import bench_rival
import click
import numpy as np
from bench_timing import conditions, machine, take_turns

from rawconv import models
from rawconv.data import Split
from rawconv.data.preprocessing import preprocess
from rawconv.layers import Rules
from rawconv.layers.conv import Conv
from rawconv.machine.threads import cut
from rawconv.report.pages import PROJECTION_BYTES
from rawconv.visualize.projection import project_units
from rawconv.visualize.top_activations import scan

RULES = Rules("deconv", "gradient", "add")  # what Captum's NeuronDeconvolution computes
SCANNED, TOP = 256, 9


@click.command()
@click.option("--quick", is_flag=True, help="A share of the work and 2 rounds: to see that it runs.")
@click.option("--rounds", type=click.IntRange(1), help="[7; quick: 2]")
@click.option("--captum-units", type=click.IntRange(1), help="Units of a round for Captum.  [24; quick: 3]")
@click.option("--distinct", "apart", type=click.IntRange(1), help="Units of the distinct case.  [all; quick: 32]")
@click.option("--full/--no-full", default=True, help="Time the way through whole maps as well.  [full]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
def main(quick, rounds, captum_units, apart, full, as_json):
    """Projections of all maps x 9 of ZFNet's conv5, in units a second: ours against Captum, one unit at a time.

    Random He weights, random pictures, the same rule for all (NeuronDeconvolution's), reading and drawing not counted.
    scanned: the 9 strongest of each map in 256 pictures.  distinct: as many units, each of a picture of its own.
    Captum is timed with the net cut after conv5, which spares it the fully connected layers, and with the whole net.
    """
    rounds, captum_units = rounds or (2 if quick else 7), captum_units or (3 if quick else 24)
    pictures, top = (SCANNED // TOP, 1) if quick else (SCANNED, TOP)  # as many units a picture in both
    net = paper_net()
    cases = {"scanned": scanned(net, pictures, top)}
    cases["distinct"] = distinct(cases["scanned"][1], apart or (32 if quick else None))
    captum = captum_loops(net)
    ways = {(case, "windowed"): ours(net, *data, False) for case, data in cases.items()}
    if full:
        ways |= {(case, "full"): ours(net, *data, True) for case, data in cases.items()}
    ways |= {(None, name): loop_over(loop, net, *cases["scanned"], captum_units) for name, loop in captum.items()}
    error = disagreement(net, *cases["scanned"], captum["captum, cut"])
    seconds = take_turns({way: work for way, (work, _) in ways.items()}, rounds)
    results = summary(cases, ways, seconds, captum_units) | {"rounds": rounds, "quick": quick, "disagreement": error}
    click.echo(json.dumps(results) if as_json else lines(results))


# ---------------------------------------------------------------------------------------------- what is to be projected


def paper_net():
    """ZFNet with weights that keep signals alive: an untrained one's fade to nothing on their way up."""
    net, rng = models.build("zfnet"), np.random.default_rng(1)
    for _, layer in net.layers:
        if isinstance(layer, Conv):
            std = np.float32(np.sqrt(2 / np.prod(layer.weight.shape[:3])))
            layer.weight = rng.standard_normal(layer.weight.shape, np.float32) * std
    return net


def scanned(net, count, top):
    """(stored pictures, units (U, 4)): the `top` strongest of each map in `count` pictures, by picture."""
    pictures = noise(count)
    split = Split(pictures.__getitem__, np.zeros(count, np.int64), [str(i) for i in range(count)], pictures.shape[1:])
    found = next(iter(scan(net, split, ["conv5"], top, progress=False).values()))
    maps = np.repeat(np.arange(len(found.value)), top)
    units = np.column_stack([found.picture.ravel(), maps, found.y.ravel(), found.x.ravel()])
    return pictures, units[np.argsort(units[:, 0], kind="stable")]


def distinct(units, count=None):
    """The same units (or the first `count`), each moved to a picture of its own."""
    units = units[:count].copy()
    units[:, 0] = np.arange(len(units))
    return noise(len(units)), units


def noise(count):
    return np.random.default_rng(2).integers(0, 256, (count, 224, 224, 3), np.uint8)


# ---------------------------------------------------------------------------------------------- the ways


def ours(net, pictures, units, full):
    """Does what rawconv-visualize does between reading and drawing."""

    def work():
        for part in cut(len(units), PROJECTION_BYTES // pictures[0].size // 4):
            ids, rows = np.unique(units[part, 0], return_inverse=True)
            some = np.column_stack([rows, units[part, 1:]])
            project_units(net, preprocess(net, pictures[ids]), "conv5", some, RULES, full)

    return work, len(units)


def captum_loops(net):
    """{name: function(prepared picture, map, y, x) -> attribution} of the same weights in PyTorch."""
    import captum.attr
    import torch

    warnings.filterwarnings("ignore", message="Setting .* hooks on ReLU|Input Tensor 0 did not already require")
    whole = bench_rival.twin(net, exact=True).eval()
    last = list(net.shapes).index("relu5") + 1

    def loop(modules):
        witness = captum.attr.NeuronDeconvolution(modules, modules.relu5)
        return lambda x, *unit: witness.attribute(torch.tensor(x.transpose(2, 0, 1).copy())[None], unit)

    return {"captum, cut": loop(whole[:last]), "captum, whole net": loop(whole)}


def loop_over(attribute, net, pictures, units, count):
    """One unit after the other, `count` of them spread over all; pictures are prepared beforehand."""
    some = units[np.linspace(0, len(units) - 1, count).astype(int)]
    prepared = preprocess(net, pictures[some[:, 0]])

    def work():
        for x, (_, *unit) in zip(prepared, some.tolist(), strict=True):
            attribute(x, *unit)

    return work, count


def disagreement(net, pictures, units, attribute):
    """The largest difference from activation x Captum, in float32, of 3 units; 1 is the largest value."""
    some = units[:: max(1, len(units) // 3)][:3]
    x, errors = preprocess(net, pictures[some[:, 0]]), []
    units = np.column_stack([np.arange(len(some)), some[:, 1:]])
    r, values = project_units(net, x, "conv5", units, RULES)
    for one, got, value, (_, *unit) in zip(x, r, values, some.tolist(), strict=True):
        want = value * attribute(one, *unit).detach().numpy()[0].transpose(1, 2, 0)
        errors.append(np.abs(got - want).max() / np.abs(want).max())
    return float(max(errors))


# ---------------------------------------------------------------------------------------------- timing


def summary(cases, ways, seconds, captum_units):
    """Everything as numbers: counts, medians, spread, and ratios of throughput to Captum's."""
    import captum

    rates = {way: [count / s for s in seconds[way]] for way, (_, count) in ways.items()}
    median = {way: statistics.median(found) for way, found in rates.items()}
    rows = [
        {
            "case": case,
            "way": name,
            "units": ways[case, name][1],
            "pictures": len(np.unique(cases[case][1][:, 0])) if case else captum_units,
            "units_a_second": median[case, name],
            "lowest": min(rates[case, name]),
            "highest": max(rates[case, name]),
            "times_full": median[case, name] / median[case, "full"] if (case, "full") in ways else None,
            "times_captum": {other: median[case, name] / median[None, other] for c, other in ways if c is None},
        }
        for case, name in ways
    ]
    return {"rows": rows, "scanned_pictures": len(cases["scanned"][0]), **machine(), "captum": captum.__version__}


def lines(results):
    head = f"{'':10}{'way':20}{'units':>7}{'pictures':>10}{'units/s':>10}{'lowest':>9}{'highest':>9}{'x full':>8}"
    head += "   x " + ", x ".join(results["rows"][0]["times_captum"])
    text = [head]
    for row in results["rows"]:
        ratios = ", ".join(f"{ratio:.2f}" for ratio in row["times_captum"].values())
        full = f"{row['times_full']:.2f}" if row["times_full"] else ""
        numbers = f"{row['units_a_second']:10.2f}{row['lowest']:9.2f}{row['highest']:9.2f}{full:>8}   {ratios}"
        text.append(f"{row['case'] or '':10}{row['way']:20}{row['units']:7}{row['pictures']:10}{numbers}")
    text.append(
        f"medians of {results['rounds']} rounds in turns; {results['scanned_pictures']} pictures scanned; largest "
        f"difference from activation x Captum {results['disagreement']:.1e} of the maximum; {conditions(results)}, "
        f"Captum {results['captum']}"
    )
    return "\n".join(text)
