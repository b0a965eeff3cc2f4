"""Figure 5: pictures moved down and up, enlarged and turned: how far their features go, and whether
the class stays.

    result = run(subject, study, shown(subject, count=24), drawn=5)

For a picture x, a transformed one T(x) and the features f of a low and a high layer, three distances:

    raw         |f(x) - f(T(x))|
    relative    the same / |f(x)|
    unit        |f(x) / |f(x)| - f(T(x)) / |f(T(x))||, from 0 to sqrt(2) where features are not negative

The paper does not say which it draws; its axes end at 1.4 for layer 7, as those of `unit` would.
linearity.py measures how straight the curves are, beside those of nets before training.

The stored picture is transformed about its centre, then cut to the net's input; what comes in from
outside is `fill`.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from .. import soundness
from ..data.preprocessing import preprocess
from ..errors import UsageError
from ..layers.softmax import softmax
from ..machine.arrays import to_cpu
from ..machine.threads import cut
from ..visualize.controls import SEED, untrained
from ..visualize.forward_pass import ForwardPass
from ..visualize.units import layer_object, user_name
from .invariance_page import draw, examples
from .linearity import DISTANCES, NETS, sentence, summary
from .study import Result
from .subject import filling

PIXELS = 224  # of the paper's pictures: its shifts are shares of them
AT_ONCE = 8  # pictures on their way up together: all their maps are kept
AXES = {  # where the paper's axes end: layer 1, layer 7
    "translation": (10, 0.8),
    "scale": (12, 0.7),
    "rotation": (15, 1.4),
}


class Kind(NamedTuple):
    """A family of transformations: its name, the values on the axis, what these are, the one that
    changes nothing, and those whose pictures are drawn."""

    name: str
    values: np.ndarray
    label: str
    neutral: float
    drawn: list

    @property
    def axes(self):
        """Where the paper's axes for layers 1 and 7 end."""
        return AXES[self.name]

    def sizes(self):
        """How far each value is from the one that changes nothing, below 0 the other way; turns go from
        -180 to 180.
        """
        away = self.values - self.neutral
        return np.where(away > 180, away - 360, away) if self.name == "rotation" else away

    def source(self, value):
        """((2, 2), (2,)): where a place (x, y) of the new picture, counted from the centre, was in
        the old one.
        """
        if self.name == "translation":
            return np.eye(2), np.array([0, -value])
        if self.name == "scale":
            return np.eye(2) / value, np.zeros(2)
        angle = np.radians(value)
        return np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        ), np.zeros(2)


def kinds(height, shift=None, scale=1.8):
    """The three of the figure for pictures of `height`: up to `shift` pixels both ways (60 of 224),
    to `scale` times.

    Whole pixels, so that a shift is exact.
    """
    shift = round(height * 60 / PIXELS) if shift is None else shift
    down = np.arange(0, shift + 1, max(1, round(shift / 15)))
    down, larger = np.concatenate([-down[:0:-1], down]).astype(float), np.linspace(1, scale, 17)
    return (
        Kind(
            "translation",
            down,
            "pixels down",
            0,
            [down[0], down[len(down) // 3], down[-1 - len(down) // 3], down[-1]],
        ),
        Kind("scale", larger, "times", 1, larger[[0, 5, 11, 16]].tolist()),
        Kind("rotation", np.arange(0, 360, 10.0), "degrees", 0, [0, 90, 180, 270]),
    )


class Look(NamedTuple):
    """What the figure shows: the distance that is drawn, the fill as a stored picture, and how many
    of the pictures have curves."""

    distance: str
    grey: np.ndarray
    drawn: int


def run(
    subject,
    study,
    pictures,
    low="1",
    high="7",
    shift=None,
    scale=1.8,
    distance="unit",
    fill="mean",
    drawn=5,
):
    """A study.Result about subject.Shown pictures.

    low, high: layers.  shift: pixels, by default 60 of 224.  distance: the one that is drawn; all
    are in the files.  drawn: how many of the pictures have curves in the figure, the first ones.
    """
    net = subject.net
    soundness.check_scores(net)
    if distance not in DISTANCES:
        raise UsageError(f"There is no distance {distance!r}; there are {', '.join(DISTANCES)}.")
    names, grey = [layer_object(net, layer) for layer in (low, high)], filling(net, fill)
    families = {kind.name: kind for kind in kinds(net.shape[0], shift, scale)}

    def measured(key):
        name, _, number = key.partition(" of picture ")
        asked = pictures[int(number)], families[name], names, grey
        before = [measure(untrained(net, SEED + k), *asked) for k in range(NETS)]
        return measure(net, *asked) | {
            "untrained": np.array([[each[which] for which in DISTANCES] for each in before])
        }

    keys = [f"{name} of picture {k}" for name in families for k in range(len(pictures))]
    curves_of = dict(zip(keys, study.each(keys, measured, "invariance"), strict=True))
    curves = {
        name: [curves_of[f"{name} of picture {k}"] for k in range(len(pictures))]
        for name in families
    }
    return _result(net, pictures, families, curves, names, Look(distance, grey, drawn))


# ---------------------------------------------------------------------------------------------- one picture


def transform(image, kind, value, fill):
    """A picture, uint8 (S, S, 3), transformed about its centre, bicubic; `fill` (S, S, 3) where it
    did not reach.
    """
    matrix, shift = kind.source(value)
    size = image.shape[1::-1]
    offset = np.array(size) / 2 + shift - matrix @ np.array(size) / 2
    row = [*matrix[0], offset[0], *matrix[1], offset[1]]

    def moved(plane, resample):
        return np.asarray(
            Image.fromarray(plane).transform(size, Image.Transform.AFFINE, row, resample)
        )

    # In floats: of whole numbers Pillow cuts off what it should round.
    planes = [moved(image[..., c].astype(np.float32), Image.Resampling.BICUBIC) for c in range(3)]
    inside = moved(np.full(size[::-1], 255, np.uint8), Image.Resampling.NEAREST) > 0
    new = np.rint(np.clip(np.stack(planes, axis=2), 0, 255)).astype(np.uint8)
    return np.where(inside[..., None], new, fill)


def measure(net, shown, kind, names, fill):
    """{raw, relative, unit: (values, layers), p: P(true class) (values,)} of a Shown picture, transformed."""
    new = np.stack([transform(shown.image, kind, value, fill) for value in kind.values])
    still, _ = _respond(net, shown.image[None], names, shown.label)
    features, p = zip(
        *(_respond(net, new[part], names, shown.label) for part in cut(len(new), AT_ONCE)),
        strict=True,
    )
    features = [np.concatenate(layer) for layer in zip(*features, strict=True)]
    columns = [distances(x[0], y) for x, y in zip(still, features, strict=True)]
    curves = {kind: np.stack([column[kind] for column in columns], axis=1) for kind in DISTANCES}
    return curves | {"p": np.concatenate(p)}


def _respond(net, pictures, names, label):
    """([features (N, dimensions) of each layer], P(label) (N,)) of stored pictures."""
    maps = ForwardPass(net, preprocess(net, pictures)).maps
    p = to_cpu(softmax(maps[net.output])).reshape(len(pictures), -1)[:, label]
    return [to_cpu(maps[name]).reshape(len(pictures), -1) for name in names], p


def distances(x, y):
    """The three distances of features x (D,) to each of y (N, D): {name: (N,)}; 0 for features that
    are all 0.
    """
    x, y = x.astype(float), y.astype(float)
    raw, tiny = np.linalg.norm(y - x, axis=1), np.finfo(float).tiny
    size, sizes = (
        max(np.linalg.norm(x), tiny),
        np.maximum(np.linalg.norm(y, axis=1, keepdims=True), tiny),
    )
    return {
        "raw": raw,
        "relative": raw / size,
        "unit": np.linalg.norm(y / sizes - x / size, axis=1),
    }


# ---------------------------------------------------------------------------------------------- what it shows


def _result(net, pictures, families, curves, names, look):
    """The study.Result; curves: {name: [what `measure` says of each picture, and "untrained"]}."""
    layers = [user_name(net, name) for name in names]
    classes = [net.classes[shown.label] for shown in pictures]
    summaries = {name: summary(kind, curves[name], layers) for name, kind in families.items()}
    published = {
        name: {"axis ends": dict(zip(("layer 1", "layer 7"), ends, strict=True))}
        for name, ends in AXES.items()
    }
    numbers = {
        "pictures": [shown.name for shown in pictures],
        "classes": classes,
        "layers": layers,
        "nets": NETS,
    } | summaries
    figure = _figure(net, pictures[: look.drawn], families, curves, numbers, look)
    return Result(
        numbers,
        _rows(pictures, families, curves, numbers),
        figure,
        [sentence(kind, summaries[name], layers) for name, kind in families.items()],
        published,
    )


def _rows(pictures, families, curves, numbers):
    """A row for each picture, transformation and value."""
    return [
        {"picture": shown.name, "class": label, "transformation": name, "value": value}
        | _cells(curve, i, numbers["layers"])
        for name, kind in families.items()
        for shown, label, curve in zip(pictures, numbers["classes"], curves[name], strict=True)
        for i, value in enumerate(kind.values)
    ]


def _figure(net, pictures, families, curves, numbers, look):
    """invariance_page.draw of the pictures that are drawn."""
    labels = [name.replace("_", " ")[:16] for name in numbers["classes"][: len(pictures)]]
    tiles = {
        name: examples(net, pictures, lambda shown, kind=kind: _moved(shown, kind, look.grey))
        for name, kind in families.items()
    }
    return draw(labels, families, curves, numbers, look.distance, tiles)


def _cells(curve, i, layers):
    """What a row has at value i of a curve: P, and each distance at each layer."""
    distances = {
        f"{layer}_{which}": curve[which][i, k]
        for k, layer in enumerate(layers)
        for which in DISTANCES
    }
    return {"p": curve["p"][i]} | distances


def _moved(shown, kind, grey):
    """A Shown picture by the values that are drawn."""
    return [transform(shown.image, kind, value, grey) for value in kind.drawn]
