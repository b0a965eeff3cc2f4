"""rawconv-visualize PICTURE...: single pictures, what their strongest units saw, and a unit's way down in words."""

import pathlib
from typing import NamedTuple

from ..errors import RawconvError, UsageError
from .common import echo, finish, say


class Beside(NamedTuple):
    """What single pictures are shown beside.

    data, split: --data, None for the net's own, and --split, of which the maps' favourites are.
    report, label: --report and --label.
    """

    data: str | None
    split: str
    report: str | None
    label: str | None


def of_images(job, images, levels, beside, as_json):
    """Draw the strongest units of single pictures: (folder, {} for index.json, what went wrong)."""
    from ..report import figure2

    asked = _asked_why(job.net, images, beside) if beside.report else []
    stored, trouble = figure2.read_images(images, job.net, levels)
    figure2.need_others(job.look, stored)
    source, why_not = _data_beside(job, beside)
    folder, tell = job.folder(job.info.get("data")), figure2.silent if as_json else echo
    liked = _liked(job, source, beside, folder, why_not)
    described = figure2.draw_images(
        job.net, stored, job.asked, job.look, job.top, folder, tell, job.workspace, liked
    )
    if not beside.report:
        return folder, described, trouble
    asked = {path: true for path, true in zip(images, asked, strict=True)}
    pictures = [(path, image, asked[path]) for _, path, image in stored]
    trouble += figure2.draw_why(beside.report, job.net, pictures, liked, job.look, job.weights, say)
    return folder, described | {"report": beside.report}, trouble


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
    from ..training.trained_on import data_of

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


def trace(net, images, unit, rules, weights, as_json, levels):
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
    described = {
        "command": "rawconv-visualize",
        "weights": weights,
        "model": net.model,
        "rules": rules._asdict(),
    }
    finish(None, described | {"traces": traces} | ({"errors": trouble} if trouble else {}), as_json)
    if trouble:
        raise RawconvError(" ".join(trouble))
