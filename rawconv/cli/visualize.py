"""rawconv-visualize: its options, and the strongest units over a data set; pictures.py has single pictures."""

import contextlib
import os
import pathlib
from typing import Any, NamedTuple

import click

from ..errors import RawconvError, UsageError
from ..files.locks import locked
from . import asked_maps, pictures
from .common import command, finish, need_pictures, refusal, refuse_existing, say
from .options import options_given, range_option, weights_option, where_options


@command("rawconv-visualize")
@click.argument("images", nargs=-1, metavar="[PICTURE...]")
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="LAYER",
    help="Layer to show: 4, conv4, pool5, fc6, scores; repeatable.  [every conv]",
)
@click.option(
    "--units",
    metavar="MAPS",
    help="Feature maps to show: 3,17,40-47, random:18 or all, or names of classes.  [18, by a rule the figure states]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Seed by which --units random:N draws.",
)
@click.option(
    "--top",
    default=9,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Number of strongest units of a feature map, or of a picture.",
)
@click.option(
    "--rule",
    default="deconv",
    show_default=True,
    type=click.Choice(("deconv", "gradient", "guided")),
    help="Rule by which the way down passes a ReLU.",
)
@click.option("--shared-switches", default="add", show_default=True, type=click.Choice(("add", "max", "overwrite")),
              help="Value of a position that several pooling windows chose.")  # fmt: skip
@click.option(
    "--lrn",
    type=click.Choice(("identity", "gradient")),
    help="Rule for a normalisation layer.  [identity; gradient with --rule gradient]",
)
@click.option(
    "--control",
    metavar="CONTROL",
    help="Ingredient to exchange, to see what it contributes: untrained, cascade-1 (-2, ...), other-unit, "
    "mismatched-filters, other-switches, no-switches.  [none]",
)
@click.option(
    "--trace",
    metavar="UNIT",
    help="Print each step of the projection of conv4:17, conv4:17:y:x or scores:ladybug in PICTURE, and stop.",
)
@click.option("--percentile", default=99.5, show_default=True, type=click.FloatRange(50, 100),
              help="Percentile of |value| that is drawn with full contrast; 100 clips nothing.")  # fmt: skip
@click.option(
    "--patches/--no-patches",
    default=True,
    help="Draw the picture's own pixels beside each projection.  [patches]",
)
@click.option(
    "--split",
    default="val",
    show_default=True,
    type=click.Choice(("val", "train")),
    help="Split whose pictures are scanned.",
)
@click.option(
    "--report",
    metavar="FILE.html",
    help="File to write one page for a browser to: every map and its units, or why each PICTURE got its class.",
)
@click.option(
    "--label",
    metavar="CLASS",
    help="True class of the PICTUREs, for --report.  [the class that their folder is named after]",
)
@range_option
@weights_option
@where_options
def main(
    images,
    layers,
    weights,
    data,
    split,
    out,
    device,
    tf32,
    workspace,
    force,
    as_json,
    units,
    seed,
    top,
    rule,
    shared_switches,
    lrn,
    control,
    trace,
    percentile,
    patches,
    report,
    label,
    value_range,
):
    """Draw what units respond to, projected down to pixels.

    Without PICTURE it draws the strongest units of each map over a data set, beside the patches they saw (Zeiler &
    Fergus 2013, figure 2).  With PICTUREs it prints their classes, and draws what their strongest units saw.

    Examples:

    \b
    rawconv-visualize --layer 4
    rawconv-visualize --layer 4 --layer 5 --weights runs/zf64-scenes-1/last.h5 cat.jpg
    mpirun -n 4 rawconv-visualize --layer 4 --data imagenet/ --device gpu
    """
    from .. import checkpoint, soundness
    from ..data.levels import Levels
    from ..data.sources import source_text
    from ..layers import Rules
    from ..machine.distributed import choose_device, init_distributed
    from ..report.look import Look
    from ..training.runs import limit_columns
    from ..visualize import controls

    lrn = lrn or ("gradient" if rule == "gradient" else "identity")
    look = Look(Rules(rule, lrn, shared_switches), percentile, patches)
    with init_distributed(refusal) as ranks, contextlib.ExitStack() as held:
        weights = pathlib.Path(weights) if weights else checkpoint.default()
        levels = Levels.of(value_range)
        data = data if images else source_text(data, value_range=value_range)
        need_pictures(images)
        _need_draw(units)
        _need_others(images, control)
        _need_report(report, control, force)
        _need_label(label, images, report)
        if trace:
            _only_a_trace(
                images, {"--layer": layers, "--units": units, "--out": out, "--control": control}
            )
        if out and ranks.rank == 0:
            refuse_existing(out, force, [data])
        device = held.enter_context(choose_device(device, ranks, say, tf32))
        if images and ranks.rank:
            return None  # processes share the images of a data set; single ones are the first one's
        net, info, _ = checkpoint.load(weights)
        soundness.check_net(net.to(device))
        limit_columns(net, workspace)
        if trace:
            return pictures.trace(net, images, trace, look.rules, str(weights), as_json, levels)
        look = look._replace(control=controls.control(net, control))
        asked = [
            (name, asked_maps.map_numbers(units, net, name, seed))
            for name in asked_maps.layer_objects(net, layers, units)
        ]
        job = Job(net, info, weights, asked, look, top, out, workspace << 20, held, ranks)
        beside = pictures.Beside(data, split, report, label)
        drawn = (
            pictures.of_images(job, images, levels, beside, as_json)
            if images
            else _of_data(job, data, split, report)
        )
        if drawn:
            _conclude(job, *drawn, control, as_json)


class Job(NamedTuple):
    """What is drawn, of pictures or of a data set, and where.

    asked: [(layer object, map numbers or None)].  top: how many units.  out: --out.
    workspace: bytes.  held: what is released when the command ends.  ranks: the processes.
    """

    net: Any
    info: dict
    weights: pathlib.Path
    asked: list
    look: Any
    top: int
    out: str | None
    workspace: int
    held: contextlib.ExitStack
    ranks: Any

    def folder(self, data):
        """--out, made and locked; without it, a new folder named after the net and `data`."""
        from ..files.run_folders import new_folder, result_folder

        if not self.out:
            return new_folder(*result_folder(self.weights, self.net, data, "visualize"))
        pathlib.Path(self.out).mkdir(parents=True, exist_ok=True)
        self.held.enter_context(locked(self.out))
        return pathlib.Path(self.out)


def _of_data(job, data, split, report):
    """Draw those over a data set, and the page where `report` names one: as pictures.of_images; None from
    all processes but the first, which share the scan alone.
    """
    from ..report import figure2
    from ..training.trained_on import data_of

    net, look, top, ranks = job.net, job.look, job.top, job.ranks
    # a net that names no data set was trained elsewhere: no picture of this one need be held out
    source = data_of(net, job.weights, job.info, data, whole=not job.info.get("data"))
    folder = ranks.broadcast(None if ranks.rank else job.folder(source.source))
    found = figure2.scan_layers(net, source, split, job.asked, top, folder, say, ranks)
    if ranks.rank:
        return None
    shown, about = figure2.draw_layers(
        net, source, split, job.asked, found, look, top, folder, say, bool(report), job.workspace
    )
    if not report:
        return folder, about, []
    trouble = figure2.draw_report(
        report, net, job.info, source, split, shown, look, top, job.weights, say
    )
    return folder, about | {"report": report}, trouble


def _conclude(job, folder, described, trouble, control, as_json):
    """Write index.json and end the command; RawconvError where something went wrong on the way."""
    from ..report.figure2 import write_index

    look = job.look
    about = {
        "command": "rawconv-visualize",
        "weights": str(job.weights),
        "model": job.net.model,
        "top": job.top,
    }
    about |= {"rules": look.rules._asdict(), "percentile": look.percentile, "patches": look.patches}
    about |= {"control": control} | described | ({"errors": trouble} if trouble else {})
    finish(folder, about | {"index": write_index(folder, about)}, as_json)
    if trouble:
        raise RawconvError(" ".join(trouble))


# What cannot be together, or is not there


def _need_draw(units):
    from ..visualize.random_maps import is_random

    if "seed" in options_given() and not is_random(units):
        raise UsageError("--seed is for --units random:18, which draws maps; leave it out.")


def _need_others(images, control):
    if control == "other-switches" and len(images) == 1:
        raise UsageError("--control other-switches needs another PICTURE to take the switches of.")


def _need_label(label, images, report):
    if label and not (images and report):
        raise UsageError("--label is the true class of PICTUREs in a --report; name both.")


def _need_report(report, control, force):
    """UsageError where a page cannot be: in the place of a folder or of what is there already."""
    if report and control:
        raise UsageError("--report shows a net as it is; leave --control or --report out.")
    if report and pathlib.Path(report).is_dir():
        raise UsageError(
            f"--report {report} is a folder; name a file, as {report.rstrip('/')}/report.html."
        )
    if report and not force and os.path.lexists(report):
        raise UsageError(f"{report} exists; name another --report, or add --force to overwrite it.")


def _only_a_trace(images, drawing):
    if not images:
        raise UsageError("--trace needs a PICTURE to follow the unit in.")
    for option, value in drawing.items():
        if value:
            raise UsageError(f"--trace only prints; leave out {option}.")


if __name__ == "__main__":
    main()
