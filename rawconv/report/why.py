"""One page that says of given pictures what a net takes them for, and why.

    page = why_page(net, [Asked("cat.jpg", image, 3)], liked)
    open("why.html", "wb").write(page)

Of each picture: its class scores; what hiding a part of it changes; and the units of the last layers
that speak most for the guessed class and for the true one (or the second, where the true one is not
known), each with its projection and the patches that its map likes.
"""

from typing import NamedTuple

import numpy as np

from ..layers.softmax import softmax
from ..machine.arrays import to_cpu
from ..visualize.contributions import contributions, last_layers
from ..visualize.forward_pass import forward_pass
from ..visualize.occluder import Places, cover
from ..visualize.projection import project
from ..visualize.receptive_field import fields
from ..visualize.units import layer_object
from . import html, sheets
from .look import LOOK
from .one_file import fill

SHOWN = 5  # classes, and units on either side
TILE = 96  # pixels of a tile at most
POSITIONS = 16  # of the square, in a row


class Asked(NamedTuple):
    """A picture: the name of its file, stored uint8 (S, S, 3), the number of its true class or None."""

    name: str
    image: np.ndarray
    true: int | None = None


def why_page(net, asked, liked, look=LOOK, weights=""):
    """The page, bytes.

    asked: [Asked].  liked: the Liked of last_layers(net).  look: rules of the projections.
    weights: the name of the checkpoint.
    """
    about = {
        "model": net.model or "net", "weights": str(weights), "picture": net.shape[:2],
        "classes": [html.words(name) for name in net.classes], "look": look.sentence(),
        "liked": [liked.words, liked.trouble],
        "pictures": [_picture(net, picture, liked, look) for picture in asked],
    }  # fmt: skip
    return fill(f"Why? · {about['model']} · rawconv", about, "why")


def _picture(net, asked, liked, look):
    passed = forward_pass(net, asked.image)
    p, logits = (to_cpu(y).reshape(-1) for y in (softmax(passed["scores"]), passed["scores"]))
    order = np.argsort(-p, kind="stable").tolist()
    true = order[0] if asked.true is None else asked.true
    other = true if true != order[0] else order[1]
    listed = [*order[:SHOWN], *([other] if other not in order[:SHOWN] else [])]
    image = passed.center_crops()[0]
    return {
        "name": asked.name, "image": sheets.sheet([[image]], image.shape[:2]),
        "classes": [[k, float(p[k]), float(logits[k]), order.index(k) + 1] for k in listed],
        "guessed": order[0], "true": asked.true, "other": other,
        "heat": _heat(passed, [order[0], other]),
        "layers": [_layer(passed, layer, order[0], other, liked, look, image) for layer in last_layers(net)],
    }  # fmt: skip


def _heat(passed, classes):
    """The probabilities of `classes` with a grey square at each place."""
    side, step = (max(1, round(passed.net.shape[1] / parts)) for parts in (4, POSITIONS))
    places = Places.of(passed.net.shape, side, step)
    p = np.concatenate([answers.p for answers in cover(passed, places.boxes)])
    return {
        "side": side, "rows": places.rows.tolist(), "columns": places.columns.tolist(),
        "maps": [{"class": k, "values": [html.short(value) for value in p[:, k].tolist()]} for k in classes],
    }  # fmt: skip


def _layer(passed, layer, guessed, other, liked, look, image):
    """What the page tells of a layer: Contributions.numbers, but of the strongest alone, which have tiles."""
    net, found = passed.net, contributions(passed, layer, guessed, other)
    about, name = found.numbers(), layer_object(passed.net, layer)
    for_guessed, for_other = found.strongest(SHOWN)
    strongest = [*for_guessed, *reversed(for_other)]
    units = [one.unit for one in strongest]
    patches, shape = liked.patches(units), html.bounded(net, fields(net)[name], TILE)
    projections = project(passed, units, look.rules)
    whole = all(unit.shown_box(net) == (0, 0, *net.shape[:2]) for unit in units)
    about["contributions"] = [
        {"unit": str(one.unit), "for": html.short(one.adds), "value": html.short(one.value)}
        | _tiles(look.tile(projection, image), patches[layer, one.unit.channel], shape)
        | {"box": projection.box}
        for one, projection in zip(strongest, projections, strict=True)
    ]  # fmt: skip
    return about | {
        "tile": shape,
        "cell": sheets.cell_size(shape),
        "whole": whole,
        "maps": net.shapes[name][2],
    }


def _tiles(tile, liked, shape):
    """A row of tiles: the projection, the patch, then what the map likes."""
    row = [tile.projection, tile.patch, *liked]
    return {
        "sheet": sheets.sheet([row], shape),
        "liked": len(liked),
        "dead": tile.dead,
        "empty": tile.empty,
    }
