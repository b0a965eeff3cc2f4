"""rawconv-visualize: arguments in, calls, figures out."""

import contextlib
import os
import pathlib
import re
from typing import Any, NamedTuple

import click

from ..errors import RawconvError, UsageError
from ..files.locks import locked
from .common import (
    command,
    echo,
    finish,
    options_given,
    range_option,
    refusal,
    refuse_existing,
    say,
    weights_option,
    where_options,
)


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
    "mismatched-filters, other-switches, no-switches.",
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
    help="File for one page for a browser: every map and its units; of PICTUREs, why each is taken for what.",
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
    """Draw what the units of a net respond to, projected down to pixels.

    Without PICTURE: the strongest units of each map over a data set, beside the patches they saw (Zeiler & Fergus
    2013, figure 2).  With PICTUREs: their classes, and what their strongest units saw.

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
        _need_files(images)
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
            return _trace(net, images, trace, look.rules, str(weights), as_json, levels)
        look = look._replace(control=controls.control(net, control))
        asked = [(name, _maps(units, net, name, seed)) for name in _layers(net, layers, units)]
        job = Job(net, info, weights, asked, look, top, out, workspace << 20, held, ranks)
        drawn = (
            _of_images(job, images, levels, Beside(data, split, report, label), as_json)
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


class Beside(NamedTuple):
    """What single pictures are shown beside.

    data, split: --data, None for the net's own, and --split, of which the maps' favourites are.
    report, label: --report and --label.
    """

    data: str | None
    split: str
    report: str | None
    label: str | None


def _of_images(job, images, levels, beside, as_json):
    """Draw the strongest units of single pictures: (folder, {} for index.json, what went wrong)."""
    from ..report import figure2

    asked = _asked_why(job.net, images, beside) if beside.report else []
    stored, trouble = figure2.read_images(images, job.net, levels)
    figure2.need_others(job.look, stored)
    source, why_not = _data_beside(job, beside)
    folder, tell = job.folder(job.info.get("data")), figure2.silent if as_json else echo
    liked = _liked(job, source, beside, folder, why_not)
    about = figure2.draw_images(
        job.net, stored, job.asked, job.look, job.top, folder, tell, job.workspace, liked
    )
    if not beside.report:
        return folder, about, trouble
    asked = {path: true for path, true in zip(images, asked, strict=True)}
    pictures = [(path, image, asked[path]) for _, path, image in stored]
    trouble += figure2.draw_why(beside.report, job.net, pictures, liked, job.look, job.weights, say)
    return folder, about | {"report": beside.report}, trouble


def _asked_why(net, images, beside):
    """The number of the true class of each picture, None where it is not known.

    UsageError: --label is no class.  RawconvError: the net has no score for each class.
    """
    from .. import soundness
    from ..visualize.class_number import class_number, is_class

    soundness.check_scores(net)
    if beside.label:
        return [class_number(net, beside.label)] * len(images)
    folders = [pathlib.Path(image).absolute().parent.name for image in images]
    return [class_number(net, name) if is_class(net, name) else None for name in folders]


def _data_beside(job, beside):
    """(the data set whose pictures the maps are scanned for, or None; why there is none, a sentence)."""
    from ..training.runs import data_of

    if job.look.control or not (job.look.patches or beside.report):
        return None, ""
    whole = not job.info.get("data")
    try:
        return data_of(job.net, job.weights, job.info, beside.data, whole), ""
    except (RawconvError, UsageError) as error:
        if beside.data:
            raise
        return None, f"What the maps like is not shown: {error}"


def _liked(job, source, beside, folder, why_not):
    """The Liked of the layers that are drawn; without a data set one that knows nothing."""
    from ..report.liked import Liked, find_liked
    from ..visualize.contributions import last_layers
    from ..visualize.units import layer_object

    if source is None:
        if why_not:
            say(why_not)
        return Liked(job.net, None, {}, trouble=why_not)
    layers = [name for name, _ in job.asked] if job.look.patches else []
    if beside.report:
        layers += [layer_object(job.net, layer) for layer in last_layers(job.net)]
    return find_liked(job.net, source, beside.split, list(dict.fromkeys(layers)), folder, say)


def _of_data(job, data, split, report):
    """Draw those over a data set, and the page where `report` names one: as _of_images; None from
    all processes but the first, which share the scan alone.
    """
    from ..report import figure2
    from ..training.runs import data_of

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


# What the words mean


def _layers(net, layers, units):
    """The layer objects asked for, each once; by default those of all convolutions, or the class
    scores where `units` are names of classes.
    """
    from ..visualize.units import layer_names, layer_object

    names = layer_names(net)
    if not layers and units and _has_names(units) and net.has_scores:
        layers = ["scores"]
    every = [name for name in names if name in net.convolutions] or list(names)
    return list(dict.fromkeys(layer_object(net, layer) for layer in layers or every))


def _has_names(units):
    """Whether --units are names of classes and not numbers of maps."""
    from ..visualize.random_maps import is_random

    return units != "all" and not is_random(units) and re.search(r"[^\d\s,-]", units)


def _maps(units, net, name, seed):
    """ "3,17,40-47" or "all" -> map numbers of a layer; "random:18" -> RandomMaps by a seed; of the
    class scores also names; None -> None.
    """
    from ..visualize.class_number import class_number, is_class
    from ..visualize.random_maps import draw, is_random
    from ..visualize.units import is_score, user_name

    if units is None:
        return None
    if units == "all":
        return list(range(net.shapes[name][2]))
    if is_random(units):
        return draw(units, net.shapes[name][2], seed)
    layer, found = user_name(net, name), []
    parts = [units] if is_score(net, name) and is_class(net, units) else units.split(",")
    for part in parts:
        part = part.strip().removeprefix("scores:")
        if is_score(net, name) and _has_names(part):
            found.append(class_number(net, part))
        elif _has_names(part):
            raise UsageError(
                f"--units {units} is no list of maps of {layer}; write 3,17,40-47 or all. Names of classes are for "
                "--layer scores."
            )
        else:
            found += _range(part, units, layer, net.shapes[name][2])
    return list(dict.fromkeys(found))


def _range(part, units, layer, count):
    """The map numbers of "17" or "40-47", a part of --units, in a layer of `count` maps."""
    match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
    if not match:
        raise UsageError(f"--units {units} is no list of maps; write 3,17,40-47 or all.")
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise UsageError(f"--units {units}: {first}-{last} runs backwards; write {last}-{first}.")
    if last >= count:
        raise UsageError(f"--units {units}: {layer} has the maps 0 to {count - 1}.")
    return range(first, last + 1)


def _need_files(images):
    for image in images:
        if not pathlib.Path(image).exists():
            raise UsageError(f"There is no picture {image}.")
        if pathlib.Path(image).is_dir():
            raise UsageError(
                f"{image} is a folder; name the pictures in it, or scan it with --data {image}."
            )


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


# A unit's way down, in words


def _only_a_trace(images, drawing):
    if not images:
        raise UsageError("--trace needs a PICTURE to follow the unit in.")
    for option, value in drawing.items():
        if value:
            raise UsageError(f"--trace only prints; leave out {option}.")


def _trace(net, images, unit, rules, weights, as_json, levels):
    """Print the table of each picture; unreadable ones are told at the end."""
    from ..report.figure2 import read_images
    from ..visualize.forward_pass import forward_pass
    from ..visualize.projection import project
    from ..visualize.trace import exact, table
    from ..visualize.units import parse_unit, unit_text

    stored, trouble = read_images(images, net, levels)
    net, layer, traces = exact(net), parse_unit(net, unit).layer, []
    for _, path, image in stored:
        passed = forward_pass(net, image, [layer])
        (projection,) = project(passed, [unit], rules)
        dead, lost, steps = passed.dead(projection.unit), projection.lost(), projection.steps()
        traces.append(
            {"picture": path, "unit": str(projection.unit)}
            | ({"dead": dead} if dead else {})
            | ({"empty": lost} if lost else {})
        )
        traces[-1]["steps"] = [step.numbers() for step in steps]
        if not as_json:
            echo(f"{path}, {unit_text(net, projection.unit)}")
            for line in [*filter(None, (dead, lost)), *table(steps).splitlines()]:
                echo(line)
    about = {
        "command": "rawconv-visualize",
        "weights": weights,
        "model": net.model,
        "rules": rules._asdict(),
    }
    finish(None, about | {"traces": traces} | ({"errors": trouble} if trouble else {}), as_json)
    if trouble:
        raise RawconvError(" ".join(trouble))


if __name__ == "__main__":
    main()
