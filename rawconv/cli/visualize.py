"""rawconv-visualize: arguments in, calls, figures out."""

import json
import os
import pathlib
import re

import click

from ..errors import RawconvError, UsageError
from .common import (
    command,
    data_option,
    device_option,
    finish,
    force_option,
    json_option,
    out_option,
    plain,
    printable,
    refuse_existing,
    say,
    weights_option,
    workspace_option,
)


@command("rawconv-visualize")
@click.argument("pictures", nargs=-1, metavar="[PICTURE...]")
@click.option(
    "--layer", "layers", multiple=True, metavar="LAYER", help="4, conv4, pool5, fc6, scores; repeatable.  [every conv]"
)
@click.option("--units", metavar="MAPS", help="Which maps: 3,17,40-47 or all.  [18 by a rule the figure states]")
@click.option(
    "--top",
    default=9,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Strongest units of a map, or of a picture.",
)
@click.option(
    "--rule",
    default="deconv",
    show_default=True,
    type=click.Choice(("deconv", "gradient", "guided")),
    help="At a ReLU.",
)
@click.option("--shared-switches", default="add", show_default=True, type=click.Choice(("add", "max", "overwrite")),
              help="Where pooling windows chose the same place.")  # fmt: skip
@click.option(
    "--lrn", type=click.Choice(("identity", "gradient")), help="At a norm.  [identity; gradient with --rule gradient]"
)
@click.option("--control", type=click.Choice(("random-weights", "other-switches", "no-switches")),
              help="Go down with this exchanged, to see what comes from it.")  # fmt: skip
@click.option("--trace", metavar="UNIT", help="Print the way down of conv4:17 or conv4:17:y:x in PICTURE, and stop.")
@click.option("--percentile", default=99.5, show_default=True, type=click.FloatRange(50, 100),
              help="Of |value| that is full contrast; 100 cuts nothing off.")  # fmt: skip
@click.option(
    "--patches/--no-patches", default=True, help="Beside the projections, the pictures' own pixels.  [patches]"
)
@click.option(
    "--split", default="val", show_default=True, type=click.Choice(("val", "train")), help="The pictures to scan."
)
@click.option("--report", metavar="FILE.html", help="Also one page for a browser with every map and its units.")
@weights_option
@data_option
@out_option
@device_option
@workspace_option
@force_option
@json_option
def main(
    pictures,
    layers,
    weights,
    data,
    split,
    out,
    device,
    workspace,
    force,
    as_json,
    units,
    top,
    rule,
    shared_switches,
    lrn,
    control,
    trace,
    percentile,
    patches,
    report,
):
    """Draw what the units of a net respond to, projected down to pixels.

    Without PICTURE: the strongest units of each map over a data set, beside the patches they saw (Zeiler & Fergus
    2013, figure 2).  With PICTUREs: their classes, and what their strongest units saw.

    \b
    rawconv-visualize --layer 4
    rawconv-visualize --layer 4 --layer 5 --weights runs/zf64-scenes-1/last.h5 cat.jpg
    """
    from .. import checkpoint, controls
    from ..arrays import choose_device
    from ..layers import Rules
    from ..report.pages import Look
    from ..runs import limit_columns

    look = Look(
        Rules(rule, lrn or ("gradient" if rule == "gradient" else "identity"), shared_switches), percentile, patches
    )
    weights = pathlib.Path(weights) if weights else checkpoint.default()
    _need_files(pictures)
    _need_report(report, pictures, force)
    if trace:
        _only_a_trace(pictures, {"--layer": layers, "--units": units, "--out": out, "--control": control})
    if report and control:
        raise UsageError("--report shows a net as it is; leave --control or --report out.")
    if control == "other-switches" and len(pictures) == 1:
        raise UsageError("--control other-switches needs another PICTURE to take the switches of.")
    if out:
        refuse_existing(out, force)
    device = choose_device(device, say)
    with device:
        net, info, _ = checkpoint.load(weights)
        net.to(device)
        limit_columns(net, workspace)
        if trace:
            return _trace(net, pictures, trace, look.rules, str(weights), as_json)
        look = look._replace(control=controls.control(net, control))
        asked = [(name, _maps(units, net, name)) for name in _layers(net, layers)]
        about = {"command": "rawconv-visualize", "weights": str(weights), "model": net.model, "top": top}
        about |= {"rules": look.rules._asdict(), "percentile": percentile, "patches": patches, "control": control}
        if pictures:
            stored, trouble = _read(pictures, net)
            folder = _folder(out, weights, net, info.get("data"))
            about |= _draw_pictures(net, stored, asked, look, top, folder, as_json)
        else:
            source, trouble = _open(net, weights, info, data), []
            folder = _folder(out, weights, net, source.source)
            drawn, found = _draw_layers(net, source, split, asked, look, top, folder)
            about |= drawn
            if report:
                trouble += _report(report, net, info, source, split, found, asked, look, top)
                about["report"] = report
    if trouble:
        about["errors"] = trouble
    _write(folder / "index.json", _readable(plain(about)).encode())
    finish(folder, about | {"index": folder / "index.json"}, as_json)
    if trouble:
        raise RawconvError(" ".join(trouble))


# What the words mean


def _layers(net, layers):
    """The layer objects asked for, each once; by default those of all convolutions."""
    from ..deconvnet import layer_names, layer_object

    names = layer_names(net)
    every = [name for name in names if name.startswith("conv")] or list(names)
    return list(dict.fromkeys(layer_object(net, layer) for layer in layers or every))


def _maps(units, net, name):
    """ "3,17,40-47" or "all" -> map numbers of a layer; None -> None."""
    count = net.shapes[name][2]
    if units is None:
        return None
    if units == "all":
        return list(range(count))
    found = []
    for part in units.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        if not match:
            raise UsageError(f"--units {units} is no list of maps; write 3,17,40-47 or all.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last >= count or first > last:
            raise UsageError(f"--units {units}: {name} has the maps 0 to {count - 1}.")
        found += range(first, last + 1)
    return list(dict.fromkeys(found))


def _need_files(pictures):
    for picture in pictures:
        if not pathlib.Path(picture).exists():
            raise UsageError(f"There is no picture {picture}.")
        if pathlib.Path(picture).is_dir():
            raise UsageError(f"{picture} is a folder; name the pictures in it, or scan it with --data {picture}.")


def _need_report(report, pictures, force):
    """UsageError where a page cannot be: of single pictures, in the place of a folder or of what is there already."""
    if report and pictures:
        raise UsageError("--report shows the units of a data set; leave it out with pictures, or the pictures with it.")
    if report and pathlib.Path(report).is_dir():
        raise UsageError(f"--report {report} is a folder; name a file, as {report.rstrip('/')}/report.html.")
    if report and not force and os.path.lexists(report):
        raise UsageError(f"{report} exists; name another --report, or add --force to overwrite it.")


def _open(net, weights, info, data):
    """The data set asked for, or the one the checkpoint names."""
    from ..data import open_data
    from ..deconvnet import stored_size

    source = data or info.get("data")
    if not source:
        raise UsageError(f"{weights} does not name its data set; name one with --data.")
    try:
        return open_data(source, stored_size(net))
    except UsageError as error:
        if data:
            raise
        raise UsageError(
            f"{weights} was trained on {source}, which is not here; name it, or other pictures, with --data."
        ) from error


def _read(pictures, net):
    """([(name for files, path, stored picture)], [a sentence for each that is no picture])."""
    from ..data.decode import decode
    from ..deconvnet import stored_size

    found, trouble, taken = [], [], set()
    for path in pictures:
        try:
            with open(path, "rb") as file:
                picture = decode(file, stored_size(net))
        except OSError as error:
            if error.errno:
                trouble.append(f"{path} cannot be read ({error.strerror}).")
                continue
            trouble.append(f"{path} is not a picture that can be read; give a JPEG, PNG or the like.")
            continue
        except Exception as error:  # whatever a decoder stumbles over in a broken file
            trouble.append(f"{path} is not a picture that can be read ({error}); give a JPEG, PNG or the like.")
            continue
        stem = name = re.sub(r"[^\w.+-]+", "_", pathlib.Path(path).stem)[:80] or "picture"
        while name in taken:
            name = f"{stem}_{len(taken) + 1}"
        taken.add(name)
        found.append((name, path, picture))
    if not found:
        raise RawconvError(" ".join(trouble))
    return found, trouble


def _folder(out, weights, net, source):
    """--out, or visualize-<n> in the run's folder, or runs/<model>-<data>-visualize-<n>; made here."""
    if out:
        pathlib.Path(out).mkdir(parents=True, exist_ok=True)
        return pathlib.Path(out)
    run = next((folder for folder in weights.parents[:2] if folder.parent.name == "runs"), None)
    if run:
        root, stem = run, "visualize"
    else:
        name = pathlib.Path(source or "").stem.partition(":")[0]
        root, stem = pathlib.Path("runs"), re.sub(r"[^\w.+-]+", "_", f"{net.model or 'net'}-{name or 'data'}-visualize")
    root.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = root / f"{stem}-{number}"
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


# A unit's way down, in words


def _only_a_trace(pictures, drawing):
    if not pictures:
        raise UsageError("--trace needs a PICTURE to follow the unit in.")
    for option, value in drawing.items():
        if value:
            raise UsageError(f"--trace only prints; leave out {option}.")


def _trace(net, pictures, unit, rules, weights, as_json):
    """Print the table of each picture; unreadable ones are told at the end."""
    from ..trace import table, trace

    stored, trouble = _read(pictures, net)
    traces = []
    for _, path, picture in stored:
        full, steps = trace(net, picture, unit, rules)
        traces.append({"picture": path, "unit": full, "steps": [step.numbers() for step in steps]})
        if not as_json:
            click.echo(printable(f"{path}, {full}"))
            click.echo(table(steps))
    about = {"command": "rawconv-visualize", "weights": weights, "model": net.model, "rules": rules._asdict()}
    finish(None, about | {"traces": traces} | ({"errors": trouble} if trouble else {}), as_json)
    if trouble:
        raise RawconvError(" ".join(trouble))


# What is drawn


def _draw_layers(net, data, split, asked, look, top, folder):
    """Scan (or read an earlier scan), project, draw; -> (what goes into index.json, {layer object: Strongest})."""
    from ..deconvnet import user_name
    from ..report.pages import layer_pages
    from ..topk import scan_once

    pictures = getattr(data, split)
    if len(pictures) < top:
        say(f"There are only {len(pictures)} pictures, so each map shows {len(pictures)} units instead of {top}.")
    found, spared = scan_once(net, data.source, pictures, [name for name, _ in asked], top, folder)
    if spared:
        say(f"Read the strongest units from {spared}; no new scan was needed.")
    described = []
    for name, maps in asked:
        title = f"{user_name(net, name)} of {net.model or 'the net'}, {data.name}"
        pages, description = layer_pages(net, data, pictures, name, found[name], title, maps, look, top)
        for file, page in pages:
            _save(page, folder / file)
        described.append(description)
        dead = f", {len(description['dead'])} of {description['maps']} maps dead" if description["dead"] else ""
        say(f"{description['layer']}: {', '.join(file for file, _ in pages)}{dead}")
    return {"data": data.source, "split": split, "pictures": len(pictures), "layers": described}, found


def _report(path, net, info, data, split, found, asked, look, top):
    """Write the page; -> [a sentence if it could not be written]: the figures are there all the same."""
    from ..report.html import report

    page = report(net, info, data, getattr(data, split), found, dict(asked), look, top)
    try:
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        _write(path, page)
    except OSError as error:
        return [f"{path} could not be written ({error.strerror}); name another --report. The figures are complete."]
    except RawconvError as error:
        return [f"{error} The figures are complete."]
    say(f"{path}: one page of {len(page) / 1e6:.1f} MB, for any browser, without a network")
    return []


def _draw_pictures(net, stored, asked, look, top, folder, quiet):
    """Classes and strongest units of single pictures; -> what goes into index.json."""
    import numpy as np

    from ..deconvnet import user_name
    from ..report.pages import classify, picture_page

    described = []
    if look.control and look.control.name == "other-switches" and len(stored) == 1:
        raise RawconvError("--control other-switches needs another picture to take the switches of.")
    others = [picture for *_, picture in stored[1:] + stored[:1]]
    bests = classify(net, np.stack([p for *_, p in stored]))
    for (name, path, picture), best, other in zip(stored, bests, others, strict=True):
        if not quiet:
            click.echo(printable(f"{path}: " + ", ".join(f"{label} {p:.1%}" for label, p in best)))
        layers = []
        for layer, maps in asked:
            file = f"{user_name(net, layer)}-{name}.png"
            title = f"{pathlib.Path(path).name}: {best[0][0].replace('_', ' ')} {best[0][1]:.0%}"
            page, description = picture_page(net, picture, layer, title, maps, look, top, other)
            _save(page, folder / file)
            layers.append({"file": file, **description})
        described.append(
            {"picture": path, "classes": [{"class": c, "probability": p} for c, p in best], "layers": layers}
        )
    return {"pictures": described}


def _readable(value):
    """JSON by lines, but a list of numbers on one."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    return re.sub(
        r"\[\s+(-?[\d.]+(?:,\s+-?[\d.]+)*)\s+\]", lambda found: "[" + re.sub(r"\s+", " ", found[1]) + "]", text
    )


def _save(page, path):
    import io

    out = io.BytesIO()
    page.save(out, "PNG")
    _write(path, out.getvalue())


def _write(path, content):
    from ..storage import replace_file

    replace_file(path, content)


if __name__ == "__main__":
    main()
