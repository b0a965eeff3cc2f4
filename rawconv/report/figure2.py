"""Figure 2: one layer as a picture in memory, or in files, as rawconv-visualize makes them in a folder.

    figure(net, "pictures/", "layer3.0")                                                 a Pillow picture
    found = scan_layers(net, data, "val", [("relu4", None)], 9, folder)                  the strongest units of layer 4
    shown, about = draw_layers(net, data, "val", [("relu4", None)], found, LOOK, 9, folder)
    about = draw_images(net, stored, [("relu4", None)], LOOK, 9, folder)                 those of single pictures
    write_index(folder, about)

Layers are asked for as [(layer object, map numbers or None for those a rule chooses)].  What is
returned as `about` is for index.json.  `say(sentence)` is told what has been done.
"""

from __future__ import annotations

import itertools
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from ..data import open_data
from ..data.dataset import DataSet
from ..data.images import read
from ..data.levels import Levels
from ..data.preprocessing import stored_size
from ..errors import RawconvError, UsageError
from ..files.json_text import json_text
from ..files.png import write_png
from ..files.run_folders import clean
from ..files.storage import replace_file
from ..visualize.earlier_scans import scan_once
from ..visualize.forward_pass import WORKSPACE, forward_passes
from ..visualize.random_maps import draw
from ..visualize.top_activations import scan
from ..visualize.units import layer_object, shown_name, user_name
from . import html, why
from .experiments import experiments
from .look import LOOK
from .pages import draw_pages, image_page, layer_pages, plan
from .winners import project_winners

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from PIL import Image

    from ..net import Net
    from .look import Look


def silent(sentence):
    """Says nothing."""


# ---------------------------------------------------------------------------------------------- in and out


def read_images(paths, net, levels=None):
    """([(name for files, path, stored picture)], [a sentence for each that is no picture]);
    RawconvError if none is.
    """
    found, trouble, taken, levels = [], [], set(), levels or Levels()
    for path in paths:
        try:
            image = read(path, stored_size(net), levels)
        except (RawconvError, UsageError) as error:
            trouble.append(str(error))
            continue
        stem = clean(pathlib.Path(path).stem)[:80] or "picture"
        name = next(name for name in _numbered(stem) if name.casefold() not in taken)
        taken.add(name.casefold())  # some file systems know no difference between a.png and A.png
        found.append((name, path, image))
    levels.tell()
    if not found:
        raise RawconvError(" ".join(trouble))
    return found, trouble


def _numbered(stem):
    """stem, stem_2, stem_3, ..."""
    return itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))


def write_index(folder, about):
    """folder/index.json; its path."""
    replace_file(folder / "index.json", json_text(about).encode())
    return folder / "index.json"


# ---------------------------------------------------------------------------------------------- what is drawn


def figure(
    net: Net,
    data: DataSet | str | os.PathLike[str],
    layer: str,
    maps: Sequence[int] | str | None = None,
    top: int = 9,
    look: Look = LOOK,
    seed: int = 0,
) -> Image.Image:
    """Draw the strongest units of a layer's feature maps over a data set, projected down to pixels
    (Zeiler & Fergus 2013, figure 2): a Pillow image.

    data: a DataSet, or what open_data takes.  Its validation images are scanned; all of a folder that has none.
    layer: "4", "conv4", "layer3.0", ...
    maps: their numbers; None: the 18 whose weakest unit shown is strongest; "random:18": so many drawn by `seed`.
    top: how many units of a feature map, each of another image.  look: how they are drawn, look.Look.
    UsageError: a layer, feature map or data set does not exist.  RawconvError: the data cannot be used.
    """
    if not isinstance(data, DataSet):
        data = open_data(data, stored_size(net), whole=True)
    if isinstance(maps, str):
        maps = draw(maps, net.shapes[layer_object(net, layer)][2], seed)
    found = scan(net, data.val, layer, top)[layer]
    title = _title(net, layer_object(net, layer), data)
    (_, drawn), *_ = layer_pages(net, data, data.val, layer, found, title, maps, look, top)[0]
    return drawn


def _title(net, layer, data):
    return f"{shown_name(net, layer)} of {net.model or 'the net'}, {data.name}"


def scan_layers(net, data, split, asked, top, folder, say=silent, ranks=None):
    """Scan the images of `split`, or read an earlier scan: {layer object: TopActivations}.

    ranks: processes that share the scan.
    """
    images = getattr(data, split)
    if len(images) < top:
        say(
            f"There are only {len(images)} pictures, so each map shows {len(images)} units instead of {top}."
        )
    layers = [name for name, _ in asked]
    found, spared = scan_once(net, data.source, images, layers, top, folder, say=say, ranks=ranks)
    if spared:
        say(f"Read the strongest units from {spared}; no new scan was needed.")
    return found


def draw_layers(
    net, data, split, asked, found, look, top, folder, say=silent, page=False, workspace=WORKSPACE
):
    """Project what scan_layers found, and draw it: (Shown, about).

    page: whether the units' ways down for draw_report are found as well, while their images are up.
    workspace: bytes that the maps of the images on their way together may take.
    """
    images, described = getattr(data, split), []
    plans = [plan(net, name, found[name], maps, top) for name, maps in asked]
    followed = html.units_of_page(net, found, dict(asked), top) if page else None
    units = [unit for shown in plans for unit in shown.units()]
    tiles, ways = project_winners(net, images, found, units, look, followed, workspace)
    for shown in plans:
        title = _title(net, shown.name, data)
        pages, description = draw_pages(net, data, images, shown, tiles, title, look)
        for file, drawn in pages:
            write_png(folder / file, drawn)
        described.append(description)
        say(_summary(description, [file for file, _ in pages]))
    about = {"data": data.source, "split": split, "pictures": len(images), "layers": described}
    return html.Shown(found, dict(asked), ways), about


def _summary(description, files):
    dead = (
        f", {len(description['dead'])} of {description['maps']} maps dead"
        if description["dead"]
        else ""
    )
    return f"{description['layer']}: {', '.join(files)}{dead}"


def draw_why(path, net, pictures, liked, look, weights, say=silent):
    """Write the page that says why single pictures were taken for what: [a sentence where that failed].

    pictures: [(path, stored picture, number of the true class or None)].  liked: a Liked of last_layers(net).
    """
    asked = [why.Asked(pathlib.Path(name).name, image, true) for name, image, true in pictures]
    return _write_page(path, why.why_page(net, asked, liked, look, pathlib.Path(weights).name), say)


def draw_report(path, net, info, data, split, shown, look, top, weights, say=silent):
    """Write the page of what draw_layers found: [a sentence where that failed]; the figures are
    there all the same.
    """
    done = experiments(net, data.source, weights)
    page = html.report(net, info, data, getattr(data, split), shown, look, top, done)
    trouble = _write_page(path, page, say)
    if done and not trouble:
        say(f"with the experiments on this net: {', '.join(one['name'] for one in done)}")
    return trouble


def _write_page(path, page, say):
    """Write a page: [a sentence where that failed]."""
    try:
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, page)
    except OSError as error:
        return [
            f"{path} could not be written ({error.strerror}); name another --report. The figures are complete."
        ]
    except RawconvError as error:
        return [f"{error} The figures are complete."]
    say(f"{path}: one page of {len(page) / 1e6:.1f} MB, for any browser, without a network")
    return []


def need_others(look, stored):
    """RawconvError where --control other-switches would change nothing: an image of read_images has
    no other after it (after the last stands the first), or the same one again.
    """
    if not _exchanges(look):
        return
    if len(stored) == 1:
        raise RawconvError(
            "--control other-switches needs another picture to take the switches of."
        )
    for (_, path, image), (_, after, other) in zip(stored, stored[1:] + stored[:1], strict=True):
        if np.array_equal(image, other):
            raise RawconvError(
                f"--control other-switches takes the switches of the next picture, but {path} and {after} are the same "
                "pixel for pixel; leave one out or put another between them."
            )


def _exchanges(look):
    return getattr(look.control, "name", None) == "other-switches"


def draw_images(net, stored, asked, look, top, folder, say=silent, workspace=WORKSPACE, liked=None):
    """The classes (said) and strongest units (drawn) of what read_images found: about.

    Each picture goes up once.  workspace: bytes that the maps of the pictures on their way together may take.
    liked: the Liked that knows what the maps like, or None.
    """
    need_others(look, stored)
    exchanged = _exchanges(look)
    layers, described = (
        [*(["scores"] if net.has_scores else []), *(layer for layer, _ in asked)],
        [],
    )
    images = np.stack([image for *_, image in stored])
    for rows, passed in forward_passes(net, images, layers, workspace, exchanged):
        answers = passed.classes() if net.has_scores else [[]] * len(passed)
        for row, ((name, path, _), best) in enumerate(zip(stored[rows], answers, strict=False)):
            title, drawn = pathlib.Path(path).name, []
            if best:
                say(f"{path}: " + ", ".join(f"{label} {p:.1%}" for label, p in best))
                title += f": {best[0][0].replace('_', ' ')} {best[0][1]:.0%}"
            for layer, maps in asked:
                page, description = image_page(passed, row, layer, title, maps, look, top, liked)
                drawn.append({"file": f"{clean(user_name(net, layer))}-{name}.png", **description})
                write_png(folder / drawn[-1]["file"], page)
            classes = [{"class": label, "probability": p} for label, p in best]
            described.append({"picture": path, "classes": classes, "layers": drawn})
    return {"pictures": described}
