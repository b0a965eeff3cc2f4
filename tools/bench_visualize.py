"""Figure 2 of ZFNet's conv5 against a loop over Captum (pip install torch captum)."""

import json
import statistics
import warnings

import bench_rival
import click
import numpy as np
from bench_contention import disturbance, told
from bench_rounds import ratios, take_turns
from bench_timing import conditions, machine, need_a_clean_round, ratio_text

from rawconv import models
from rawconv.data import Split
from rawconv.data.preprocessing import preprocess
from rawconv.layers import Rules
from rawconv.layers.conv import Conv
from rawconv.visualize.forward_pass import ForwardPass, passes_of_units
from rawconv.visualize.projection import project
from rawconv.visualize.top_activations import scan

RULES = Rules("deconv", "gradient", "add")  # what Captum's NeuronDeconvolution computes
SCANNED, TOP = 256, 9


@click.command()
@click.option(
    "--quick", is_flag=True, help="A share of the work and 2 rounds: to see that it runs."
)
@click.option("--rounds", type=click.IntRange(1), help="[7; quick: 2]")
@click.option(
    "--captum-units", type=click.IntRange(1), help="Units of a round for Captum.  [24; quick: 3]"
)
@click.option(
    "--distinct",
    "apart",
    type=click.IntRange(1),
    help="Units of the distinct case.  [all; quick: 32]",
)
@click.option(
    "--full/--no-full", default=True, help="Time the way through whole maps as well.  [full]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
def main(quick, rounds, captum_units, apart, full, as_json):
    """Projections of all maps x 9 of ZFNet's conv5, in units a second: ours against Captum, one
    unit at a time.

    Random He weights, random pictures, the same rule for all (NeuronDeconvolution's), reading and
    drawing not counted.
    scanned: the 9 strongest of each map in 256 pictures.  distinct: as many units, each of a
    picture of its own. Captum is timed with the net cut after conv5, which spares it the fully
    connected layers, and with the whole net.
    """
    rounds, captum_units = rounds or (2 if quick else 7), captum_units or (3 if quick else 24)
    # as many units a picture in both
    images, top = (SCANNED // TOP, 1) if quick else (SCANNED, TOP)
    net = paper_net()
    cases = {"scanned": scanned(net, images, top)}
    cases["distinct"] = distinct(cases["scanned"][1], apart or (32 if quick else None))
    captum = captum_loops(net)
    ways = {(case, "windowed"): ours(net, *data, False) for case, data in cases.items()}
    if full:
        ways |= {(case, "full"): ours(net, *data, True) for case, data in cases.items()}
    ways |= {
        (None, name): loop_over(loop, net, *cases["scanned"], captum_units)
        for name, loop in captum.items()
    }
    error = disagreement(net, *cases["scanned"], captum["captum, cut"])
    timed = take_turns({way: work for way, (work, _) in ways.items()}, rounds)
    results = summary(cases, ways, timed, captum_units) | {
        **disturbance(timed.shares),
        "quick": quick,
        "disagreement": error,
    }
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
    """(split, Units): the `top` strongest of each map in `count` pictures, by picture."""
    split = noise(count)
    return split, sorted(scan(net, split, ["conv5"], top, progress=False)["conv5"].units("conv5"))


def distinct(units, count=None):
    """The same units (or the first `count`), each moved to a picture of its own."""
    units = [unit._replace(image=k) for k, unit in enumerate(units[:count])]
    return noise(len(units)), units


def noise(count):
    """A split of `count` pictures."""
    images = np.random.default_rng(2).integers(0, 256, (count, 224, 224, 3), np.uint8)
    return Split(
        images.__getitem__,
        np.zeros(count, np.int64),
        [str(i) for i in range(count)],
        images.shape[1:],
    )


# ---------------------------------------------------------------------------------------------- the ways


def ours(net, split, units, full):
    """Does what rawconv-visualize does between reading and drawing."""

    def work():
        for passed, pairs, _ in passes_of_units(net, split, units):
            for _ in project(passed, [unit for _, unit in pairs], RULES, full=full):
                pass

    return work, len(units)


def captum_loops(net):
    """{name: function(prepared picture, map, y, x) -> attribution} of the same weights in PyTorch."""
    import captum.attr
    import torch

    warnings.filterwarnings(
        "ignore", message="Setting .* hooks on ReLU|Input Tensor 0 did not already require"
    )
    whole = bench_rival.twin(net, exact=True).eval()
    last = list(net.shapes).index("relu5") + 1

    def loop(modules):
        witness = captum.attr.NeuronDeconvolution(modules, modules.relu5)
        return lambda x, *unit: witness.attribute(
            torch.tensor(x.transpose(2, 0, 1).copy())[None], unit
        )

    return {"captum, cut": loop(whole[:last]), "captum, whole net": loop(whole)}


def loop_over(attribute, net, split, units, count):
    """One unit after the other, `count` of them spread over all; pictures are prepared beforehand."""
    some = [units[k] for k in np.linspace(0, len(units) - 1, count).astype(int)]
    prepared = preprocess(net, split.read([unit.image for unit in some]))

    def work():
        for x, unit in zip(prepared, some, strict=True):
            attribute(x, unit.channel, unit.y, unit.x)

    return work, count


def disagreement(net, split, units, attribute):
    """The largest difference from activation x Captum, in float32, of 3 units; 1 is the largest value."""
    some = units[:: max(1, len(units) // 3)][:3]
    passed, errors = (
        ForwardPass(net, preprocess(net, split.read([unit.image for unit in some])), ["conv5"]),
        [],
    )
    for x, found in zip(
        passed.x,
        project(passed, [u._replace(image=k) for k, u in enumerate(some)], RULES),
        strict=True,
    ):
        gradient = attribute(x, found.unit.channel, found.unit.y, found.unit.x)
        want = found.value * gradient.detach().numpy()[0].transpose(1, 2, 0)
        errors.append(np.abs(found.pixels - want).max() / np.abs(want).max())
    return float(max(errors))


# ---------------------------------------------------------------------------------------------- timing


def summary(cases, ways, timed, captum_units):
    """Everything as numbers: counts, medians, spread, and ratios of throughput to Captum's."""
    import captum

    need_a_clean_round("Figure 2 of conv5", timed)
    each = {way: [s / count for s in timed.seconds[way]] for way, (_, count) in ways.items()}
    rates = {way: [1 / one for one in found] for way, found in each.items()}
    full = {
        way: ratios(each[way[0], "full"], each[way]) if (way[0], "full") in ways else (None, None)
        for way in ways
    }
    rows = [
        {
            "case": case,
            "way": name,
            "units": ways[case, name][1],
            "pictures": len({unit.image for unit in cases[case][1]}) if case else captum_units,
            "units_a_second": statistics.median(rates[case, name]),
            "lowest": min(rates[case, name]),
            "highest": max(rates[case, name]),
            "times_full": full[case, name][0],
            "times_full_shortest": full[case, name][1],
            "times_captum": {
                other: ratios(each[None, other], each[case, name]) for c, other in ways if c is None
            },
        }
        for case, name in ways
    ]
    return {
        "rows": rows,
        "scanned_pictures": len(cases["scanned"][0]),
        **machine(),
        "captum": captum.__version__,
    }


def lines(results):
    head = f"{'':10}{'way':20}{'units':>7}{'pictures':>10}{'units/s':>10}{'lowest':>9}{'highest':>9}{'x full':>13}"
    head += "   x " + ", x ".join(results["rows"][0]["times_captum"])
    text = [head]
    for row in results["rows"]:
        times = ", ".join(
            f"{ratio_text(median)} ({ratio_text(least)})"
            for median, least in row["times_captum"].values()
        )
        full = f"{ratio_text(row['times_full'])} ({ratio_text(row['times_full_shortest'])})"
        numbers = f"{row['units_a_second']:10.2f}{row['lowest']:9.2f}{row['highest']:9.2f}{full:>13}   {times}"
        text.append(
            f"{row['case'] or '':10}{row['way']:20}{row['units']:7}{row['pictures']:10}{numbers}"
        )
    text.append(
        f"medians, in brackets of the shortest rounds, in turns; {told(results)}; "
        f"{results['scanned_pictures']} pictures scanned; largest difference from activation x Captum "
        f"{results['disagreement']:.1e} of the maximum; {conditions(results)}, Captum {results['captum']}"
    )
    return "\n".join(text)
